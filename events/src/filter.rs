//! One filter for telemetry: what the command line, the API and counted logs all say.

use serde::{Deserialize, Serialize};

use crate::{LogRecord, ServiceId, Timestamp, TraceId};

/// Which log records; every given part must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Of this service.
    pub service: Option<ServiceId>,
    /// Of this OpenTelemetry severity number or above.
    pub severity: Option<u8>,
    /// With this text in the body, letter case ignored for ASCII.
    pub contains: Option<String>,
    /// Of this trace.
    pub trace: Option<TraceId>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Whether a record is one of those.
    #[must_use]
    pub fn matches(&self, log: &LogRecord) -> bool {
        self.service.as_ref().is_none_or(|service| *service == log.service)
            && self.severity.is_none_or(|severity| log.severity >= severity)
            && self.trace.is_none_or(|trace| log.trace == Some(trace))
            && self.from.is_none_or(|from| log.time >= from)
            && self.until.is_none_or(|until| log.time < until)
            && self.contains.as_ref().is_none_or(|text| contains(&log.body, text))
    }
}

fn contains(body: &str, text: &str) -> bool {
    let wanted = text.as_bytes();
    wanted.is_empty()
        || body
            .as_bytes()
            .windows(wanted.len())
            .any(|window| window.eq_ignore_ascii_case(wanted))
}

/// OpenTelemetry severity number of a word such as `error`; `None` for an unknown word.
/// Source: OpenTelemetry logs data model, `SeverityNumber`.
#[must_use]
pub fn severity_number(word: &str) -> Option<u8> {
    Some(match word.to_ascii_lowercase().as_str() {
        "trace" => 1,
        "debug" => 5,
        "info" => 9,
        "warn" | "warning" => 13,
        "error" => 17,
        "fatal" | "critical" => 21,
        _ => return None,
    })
}

/// Word for an OpenTelemetry severity number.
#[must_use]
pub fn severity_word(number: u8) -> &'static str {
    match number {
        0 => "-",
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        _ => "fatal",
    }
}
