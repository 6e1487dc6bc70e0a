//! OTLP over HTTP (opentelemetry.io/docs/specs/otlp, 1.x): logs and traces, protobuf and JSON, gzip.
//!
//! A request is walked, not decoded whole: each record is cut out and decoded by itself. So memory stays within a small
//! multiple of the body (an empty span is 2 bytes on the wire and 300 in memory), and a record that is not valid is
//! rejected alone, as the protocol's partial success wants it.

mod attributes;
mod body;
mod json;
mod protobuf;
mod records;
mod reply;
mod resource;

use events::{Batch, Timestamp};

pub use self::reply::{Answer, Refusal};
use self::{
    body::{Encoding, decoded},
    records::Records,
};

/// Largest body, as sent.
pub const BODY_MAX: usize = 8 << 20;
/// Largest body, inflated.
pub const DECODED_MAX: usize = 32 << 20;
/// Most records of one request.
pub const RECORDS_MAX: usize = 65_536;
/// Largest record on the wire.
pub const RECORD_MAX: usize = 512 << 10;
/// Largest sum of what the records of one request hold, resource attributes repeated in each.
pub const KEPT_MAX: usize = 32 << 20;
/// Most attributes of a record, of its resource, or of one of its events.
pub const ATTRIBUTES_MAX: usize = 128;
/// Largest value of an attribute, and largest text of a log record.
pub const TEXT_MAX: usize = 64 << 10;
/// Largest sum of the attributes of a resource: they are repeated in each of its records.
pub const RESOURCE_MAX: usize = 16 << 10;
/// Most events of a span.
pub const SPAN_EVENTS_MAX: usize = 128;
/// Deepest nesting of a JSON body.
pub const DEPTH_MAX: usize = 64;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Metrics: not taken yet, and said so.
    Metrics,
}

impl Signal {
    /// Where it is sent to.
    pub fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
            Self::Metrics => "/v1/metrics",
        }
    }
}

/// One request, its body read whole.
#[derive(Clone, Copy, Debug)]
pub struct OtlpRequest<'a> {
    /// Header `Content-Type`.
    pub content_type: Option<&'a str>,
    /// Header `Content-Encoding`.
    pub content_encoding: Option<&'a str>,
    /// The body, as sent.
    pub body: &'a [u8],
    /// Who sent it: `loopback`, a token's name.
    pub source: &'a str,
    /// When it came: the time of records that state none.
    pub arrived: Timestamp,
}

/// Takes requests.
#[derive(Clone, Debug)]
pub struct Otlp {
    environment: String,
}

impl Otlp {
    /// For a daemon of an environment: services of that one go by their plain name, others as `shop@staging`.
    pub fn new(environment: &str) -> Self {
        Self {
            environment: environment.to_owned(),
        }
    }

    /// Decodes a request. The batch holds its idempotency key and the reply, to be sent once it is committed by
    /// [`Answer::stored`]; a refusal is sent by [`Refusal::answer`].
    ///
    /// Takes up to a second of one core for the largest body: not for the threads that serve.
    pub fn take(&self, signal: Signal, request: &OtlpRequest<'_>) -> Result<Batch, Refusal> {
        if signal == Signal::Metrics {
            return Err(Refusal::NoMetrics);
        }
        let encoding = Encoding::of(request.content_type)?;
        let body = decoded(request.content_encoding, request.body)?;
        let mut records = Records::new(&self.environment, request.arrived);
        match encoding {
            Encoding::Protobuf => protobuf::walk(signal, &body, &mut records)?,
            Encoding::Json => json::walk(signal, &body, &mut records)?,
        }
        let (kept, partial) = records.finish();
        Ok(Batch {
            source: request.source.to_owned(),
            key: Some(key(signal, request.source, &body)),
            records: kept,
            reply: Answer::accepted(signal, encoding, &partial).body,
        })
    }
}

/// Idempotency key: of the body as decoded, so that another compression of the same is the same.
fn key(signal: Signal, source: &str, body: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(signal.path().as_bytes());
    hasher.update(&source.len().to_le_bytes());
    hasher.update(source.as_bytes());
    hasher.update(body);
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    key
}

#[cfg(test)]
mod tests;
