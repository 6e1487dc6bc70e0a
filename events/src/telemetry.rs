//! Telemetry: what is measured and pruned by age, beside the facts that are kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ProbeResult, ReleaseId, ServiceId, SpanId, Timestamp, TraceId};

/// Attributes by name; values are the shortest text of what was sent.
pub type Attributes = BTreeMap<String, String>;

/// One log record, in OpenTelemetry's terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// When it happened, as the sender says; its own observation time or our arrival time when it does not say.
    pub time: Timestamp,
    /// Who sent it.
    pub service: ServiceId,
    /// Version the sender stated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub release: Option<ReleaseId>,
    /// OpenTelemetry severity number, 0 (unset) to 24.
    pub severity: u8,
    /// The text; a structured body as JSON.
    pub body: String,
    /// Trace it belongs to; also found from a W3C `traceparent` in the body.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace: Option<TraceId>,
    /// Span it belongs to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub span: Option<SpanId>,
    /// Resource and record attributes, the record's winning.
    #[serde(skip_serializing_if = "Attributes::is_empty", default)]
    pub attributes: Attributes,
}

/// What part a span plays; servers and consumers are requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanKind {
    /// Not said.
    #[default]
    Unspecified,
    /// Inside one service.
    Internal,
    /// Answers a request.
    Server,
    /// Makes a request.
    Client,
    /// Hands over a message.
    Producer,
    /// Takes a message.
    Consumer,
}

/// One span, in OpenTelemetry's terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanRecord {
    /// Start, as the sender says.
    pub start: Timestamp,
    /// End, as the sender says.
    pub end: Timestamp,
    /// Who sent it.
    pub service: ServiceId,
    /// Version the sender stated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub release: Option<ReleaseId>,
    /// Its trace.
    pub trace: TraceId,
    /// Its id.
    pub span: SpanId,
    /// The span that caused it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<SpanId>,
    /// What was done.
    pub name: String,
    /// Its part.
    pub kind: SpanKind,
    /// True when its status is ERROR.
    pub error: bool,
    /// Message of the status.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub status_message: String,
    /// Resource and span attributes, the span's winning.
    #[serde(skip_serializing_if = "Attributes::is_empty", default)]
    pub attributes: Attributes,
    /// Events within the span, as the sender wrote them: `(time, name, attributes)`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub events: Vec<(Timestamp, String, Attributes)>,
}

impl SpanRecord {
    /// Servers and consumers are the requests of a service.
    #[must_use]
    pub fn is_request(&self) -> bool {
        matches!(self.kind, SpanKind::Server | SpanKind::Consumer)
    }

    /// Status ERROR, or an HTTP status of 500 and more (attribute names before and after OpenTelemetry 1.21).
    #[must_use]
    pub fn is_bad(&self) -> bool {
        let status = ["http.response.status_code", "http.status_code"]
            .iter()
            .find_map(|name| self.attributes.get(*name));
        self.error
            || status
                .and_then(|text| text.parse::<u16>().ok())
                .is_some_and(|code| code >= 500)
    }

    /// Duration in microseconds; an end before the start counts as 0.
    #[must_use]
    pub fn duration_us(&self) -> u64 {
        u64::try_from(self.end.0.saturating_sub(self.start.0) / 1000).unwrap_or(0)
    }
}

/// One row of telemetry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "table", rename_all = "snake_case")]
pub enum Record {
    /// A log record.
    Log(LogRecord),
    /// A span.
    Span(SpanRecord),
    /// A probe's result.
    Probe(ProbeResult),
}

impl Record {
    /// When it happened; of a span its end.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        match self {
            Self::Log(log) => log.time,
            Self::Span(span) => span.end,
            Self::Probe(probe) => probe.ended,
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn service(&self) -> &ServiceId {
        match self {
            Self::Log(log) => &log.service,
            Self::Span(span) => &span.service,
            Self::Probe(probe) => &probe.service,
        }
    }

    /// Version the sender stated.
    #[must_use]
    pub fn release(&self) -> Option<&ReleaseId> {
        match self {
            Self::Log(log) => log.release.as_ref(),
            Self::Span(span) => span.release.as_ref(),
            Self::Probe(_) => None,
        }
    }

    /// Trace it belongs to.
    #[must_use]
    pub fn trace(&self) -> Option<TraceId> {
        match self {
            Self::Log(log) => log.trace,
            Self::Span(span) => Some(span.trace),
            Self::Probe(_) => None,
        }
    }
}

/// What one ingest request, or one probe, hands over to be stored together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Who sent it: `loopback`, a token's name, `probe`.
    pub source: String,
    /// Idempotency key: BLAKE3-128 of the decoded body; `None` for what is never repeated (probes).
    pub key: Option<[u8; 16]>,
    /// The rows.
    pub records: Vec<Record>,
    /// Reply to store beside the key and to repeat with it; opaque here.
    pub reply: Vec<u8>,
}
