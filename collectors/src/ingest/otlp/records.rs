//! From OpenTelemetry's records to ours.

use std::collections::BTreeMap;

use events::{Attributes, LogRecord, Record, SpanId, SpanKind, SpanRecord, Timestamp, TraceId};
use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    logs::v1 as logs,
    trace::v1::{self as traces, span, status::StatusCode},
};

use super::{
    KEPT_MAX, RECORDS_MAX, Refusal, SPAN_EVENTS_MAX, TEXT_MAX,
    attributes::{shorten, take, text},
    reply::Partial,
    resource::{Resource, size},
};
use crate::ingest::traceparent;

/// Longest name of a span or an event, and longest message of a status.
const NAME_MAX: usize = 4096;
/// What a record costs beside its texts.
const RECORD_SIZE: usize = 256;

/// Gathers the records of one request.
pub(super) struct Records<'a> {
    environment: &'a str,
    arrived: Timestamp,
    kept: Vec<Record>,
    kept_size: usize,
    entered: usize,
    partial: Partial,
}

impl<'a> Records<'a> {
    pub(super) fn new(environment: &'a str, arrived: Timestamp) -> Self {
        Self {
            environment,
            arrived,
            kept: Vec::new(),
            kept_size: 0,
            entered: 0,
            partial: Partial::default(),
        }
    }

    /// What was kept, and what was not.
    pub(super) fn finish(self) -> (Vec<Record>, Partial) {
        (self.kept, self.partial)
    }

    /// Counts a group or a scope: empty ones cost the sender two bytes each.
    pub(super) fn enter(&mut self) -> Result<(), Refusal> {
        self.entered += 1;
        if self.entered > RECORDS_MAX {
            return Err(Refusal::TooManyRecords { max: RECORDS_MAX });
        }
        Ok(())
    }

    /// Reads what a group of records shares.
    pub(super) fn group(&self, attributes: Vec<KeyValue>) -> Group {
        Group(Resource::new(self.environment, attributes))
    }

    /// Takes a span, or why it cannot be read.
    pub(super) fn span(&mut self, scope: &Scope<'_>, span: Result<traces::Span, String>) -> Result<(), Refusal> {
        let record = span.and_then(|span| self.to_span(scope, span));
        self.keep("span", record.map(Record::Span))
    }

    /// Takes a log record, or why it cannot be read.
    pub(super) fn log(&mut self, scope: &Scope<'_>, log: Result<logs::LogRecord, String>) -> Result<(), Refusal> {
        let record = log.and_then(|log| self.to_log(scope, log));
        self.keep("log record", record.map(Record::Log))
    }

    fn keep(&mut self, what: &str, record: Result<Record, String>) -> Result<(), Refusal> {
        if self.kept.len() >= RECORDS_MAX {
            return Err(Refusal::TooManyRecords { max: RECORDS_MAX });
        }
        let record = record.and_then(|record| {
            let size = record_size(&record);
            if self.kept_size + size > KEPT_MAX {
                return Err(format!("the records of one request hold more than {KEPT_MAX} bytes"));
            }
            self.kept_size += size;
            Ok(record)
        });
        match record {
            Ok(record) => self.kept.push(record),
            Err(why) => {
                self.partial.rejected += 1;
                if self.partial.first.is_empty() {
                    self.partial.first = format!("{what}: {why}");
                }
            }
        }
        Ok(())
    }

    fn to_span(&self, scope: &Scope<'_>, span: traces::Span) -> Result<SpanRecord, String> {
        let resource = scope.resource()?;
        let id = |name: &str, expected: usize| format!("its {name} is not {expected} bytes, or all zero");
        let trace = TraceId::from_bytes(&span.trace_id).ok_or_else(|| id("trace id", 16))?;
        let own = SpanId::from_bytes(&span.span_id).ok_or_else(|| id("span id", 8))?;
        let end = time(&[span.end_time_unix_nano, span.start_time_unix_nano]).unwrap_or(self.arrived);
        let start = time(&[span.start_time_unix_nano]).unwrap_or(end);
        let status = span.status.unwrap_or_default();
        let mut attributes = resource.attributes_within(&scope.name);
        take(&mut attributes, span.attributes);
        let events = span.events.into_iter().take(SPAN_EVENTS_MAX);
        Ok(SpanRecord {
            start,
            end,
            service: resource.service.clone(),
            release: resource.release.clone(),
            trace,
            span: own,
            parent: SpanId::from_bytes(&span.parent_span_id),
            name: short(span.name),
            kind: kind(span.kind),
            error: status.code == StatusCode::Error as i32,
            status_message: short(status.message),
            attributes,
            events: events.map(|event| self.event(event)).collect(),
        })
    }

    fn event(&self, event: span::Event) -> (Timestamp, String, Attributes) {
        let mut attributes = Attributes::new();
        take(&mut attributes, event.attributes);
        let at = time(&[event.time_unix_nano]).unwrap_or(self.arrived);
        (at, short(event.name), attributes)
    }

    fn to_log(&self, scope: &Scope<'_>, log: logs::LogRecord) -> Result<LogRecord, String> {
        let resource = scope.resource()?;
        let mut attributes = resource.attributes_within(&scope.name);
        take(&mut attributes, log.attributes);
        if !log.event_name.is_empty() {
            attributes.insert("event.name".to_owned(), short(log.event_name));
        }
        let mut body = text(log.body.and_then(|body| body.value));
        if shorten(&mut body, TEXT_MAX) {
            attributes.insert("watchkeep.cut".to_owned(), "body".to_owned());
        }
        let (trace, span) = match TraceId::from_bytes(&log.trace_id) {
            Some(trace) => (Some(trace), SpanId::from_bytes(&log.span_id)),
            None => found(&attributes, &body).unzip(),
        };
        Ok(LogRecord {
            time: time(&[log.time_unix_nano, log.observed_time_unix_nano]).unwrap_or(self.arrived),
            service: resource.service.clone(),
            release: resource.release.clone(),
            severity: severity(log.severity_number, &log.severity_text),
            body,
            trace,
            span,
            attributes,
        })
    }
}

/// What a group of records shares; the service's name is always made to fit, but the type does not know.
pub(super) struct Group(Option<Resource>);

/// The records of one instrumentation within a group.
pub(super) struct Scope<'a> {
    pub(super) group: &'a Group,
    pub(super) name: String,
}

impl Scope<'_> {
    fn resource(&self) -> Result<&Resource, String> {
        self.group
            .0
            .as_ref()
            .ok_or_else(|| "its service has no usable name".to_owned())
    }
}

/// A `traceparent` that an application wrote into its log itself.
fn found(attributes: &BTreeMap<String, String>, body: &str) -> Option<(TraceId, SpanId)> {
    let said = attributes.get("traceparent").and_then(|text| traceparent::parse(text));
    said.or_else(|| traceparent::find(body))
}

/// The first time that is stated; 0 is not.
fn time(stated: &[u64]) -> Option<Timestamp> {
    let nanos = stated.iter().copied().find(|nanos| *nanos > 0)?;
    Some(Timestamp(i64::try_from(nanos).unwrap_or(i64::MAX)))
}

fn short(text: String) -> String {
    let mut text = text;
    shorten(&mut text, NAME_MAX);
    text
}

fn kind(kind: i32) -> SpanKind {
    match span::SpanKind::try_from(kind) {
        Ok(span::SpanKind::Internal) => SpanKind::Internal,
        Ok(span::SpanKind::Server) => SpanKind::Server,
        Ok(span::SpanKind::Client) => SpanKind::Client,
        Ok(span::SpanKind::Producer) => SpanKind::Producer,
        Ok(span::SpanKind::Consumer) => SpanKind::Consumer,
        Ok(span::SpanKind::Unspecified) | Err(_) => SpanKind::Unspecified,
    }
}

/// The number; else what the usual words stand for (logs data model, appendix B).
fn severity(number: i32, text: &str) -> u8 {
    if let Some(number) = u8::try_from(number).ok().filter(|number| (1..=24).contains(number)) {
        return number;
    }
    match text.trim().to_ascii_lowercase().as_str() {
        "trace" => 1,
        "debug" => 5,
        "info" | "information" | "notice" => 9,
        "warn" | "warning" => 13,
        "error" | "err" | "severe" => 17,
        "fatal" | "critical" | "crit" | "alert" | "emerg" | "panic" => 21,
        _ => 0,
    }
}

fn record_size(record: &Record) -> usize {
    let texts = match record {
        Record::Log(log) => log.body.len() + size(&log.attributes),
        Record::Span(span) => {
            let events: usize = span
                .events
                .iter()
                .map(|(_, name, attributes)| 64 + name.len() + size(attributes))
                .sum();
            span.name.len() + span.status_message.len() + size(&span.attributes) + events
        }
        Record::Probe(_) => 0,
    };
    RECORD_SIZE + texts
}
