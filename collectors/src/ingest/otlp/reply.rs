//! What is replied: full or partial success, or a `google.rpc.Status` that says why not.

use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse},
    trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse},
};
use prost::Message;
use serde_json::json;

use super::{Signal, body::Encoding};

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// Header `Retry-After`.
    pub retry_after_s: Option<u64>,
}

/// Records that were not taken, and why the first was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Partial {
    pub(super) rejected: i64,
    pub(super) first: String,
}

impl Partial {
    /// What the sender's developer reads; empty when all is well.
    fn message(&self) -> String {
        if self.rejected == 0 {
            String::new()
        } else {
            format!("{} rejected, the first: {}", self.rejected, self.first)
        }
    }
}

impl Answer {
    pub(super) fn accepted(signal: Signal, encoding: Encoding, partial: &Partial) -> Self {
        let body = match encoding {
            Encoding::Json => accepted_json(signal, partial),
            Encoding::Protobuf => accepted_protobuf(signal, partial),
        };
        Self {
            status: 200,
            content_type: encoding.content_type(),
            body,
            retry_after_s: None,
        }
    }

    /// The answer to a stored batch, from its `reply`: the same for a repeat of the request. A JSON reply is an object,
    /// and no protobuf reply begins like one.
    pub fn stored(reply: &[u8]) -> Self {
        let encoding = if reply.first() == Some(&b'{') {
            Encoding::Json
        } else {
            Encoding::Protobuf
        };
        Self {
            status: 200,
            content_type: encoding.content_type(),
            body: reply.to_vec(),
            retry_after_s: None,
        }
    }
}

fn accepted_json(signal: Signal, partial: &Partial) -> Vec<u8> {
    let count = match signal {
        Signal::Logs => "rejectedLogRecords",
        _ => "rejectedSpans",
    };
    // 64 bits are text in proto3's JSON.
    let reply = match partial.rejected {
        0 => json!({}),
        rejected => json!({ "partialSuccess": { count: rejected.to_string(), "errorMessage": partial.message() } }),
    };
    reply.to_string().into_bytes()
}

fn accepted_protobuf(signal: Signal, partial: &Partial) -> Vec<u8> {
    let is_partial = partial.rejected > 0;
    match signal {
        Signal::Logs => ExportLogsServiceResponse {
            partial_success: is_partial.then(|| ExportLogsPartialSuccess {
                rejected_log_records: partial.rejected,
                error_message: partial.message(),
            }),
        }
        .encode_to_vec(),
        _ => ExportTraceServiceResponse {
            partial_success: is_partial.then(|| ExportTracePartialSuccess {
                rejected_spans: partial.rejected,
                error_message: partial.message(),
            }),
        }
        .encode_to_vec(),
    }
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another content type than the two.
    #[error("content type {0:?} is not taken; send application/x-protobuf or application/json")]
    ContentType(String),
    /// Another compression than gzip.
    #[error("content encoding {0:?} is not taken; send gzip, or none")]
    ContentEncoding(String),
    /// The gzip stream is broken.
    #[error("inflate the body: {0}")]
    Gzip(String),
    /// Too large, as sent or inflated.
    #[error("the body is larger than {max} bytes; send smaller batches")]
    BodyTooLarge {
        /// The limit.
        max: usize,
    },
    /// Too many records.
    #[error("more than {max} records in one request; send smaller batches")]
    TooManyRecords {
        /// The limit.
        max: usize,
    },
    /// JSON nested too deep.
    #[error("JSON is nested deeper than {max}")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// Not the message it should be.
    #[error("decode the body: {0}")]
    Undecodable(String),
    /// Metrics.
    #[error("metrics are not taken; set OTEL_METRICS_EXPORTER=none")]
    NoMetrics,
    /// The sender's share, or the intake, is full.
    #[error("too much at once; come back in {retry_after_s} s")]
    Busy {
        /// When to come back.
        retry_after_s: u64,
    },
    /// It cannot be stored now.
    #[error("{why}; come back in {retry_after_s} s")]
    Unavailable {
        /// Why not.
        why: String,
        /// When to come back.
        retry_after_s: u64,
    },
    /// The disk is full.
    #[error("the disk is full; come back in {retry_after_s} s")]
    DiskFull {
        /// When to come back.
        retry_after_s: u64,
    },
}

/// `google.rpc.Status`, as far as it is used.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

impl Refusal {
    /// HTTP status, and the code of `google.rpc.Code` that goes with it.
    fn codes(&self) -> (u16, i32) {
        match self {
            Self::ContentType(_) | Self::ContentEncoding(_) => (415, 3),
            Self::Gzip(_) | Self::TooDeep { .. } | Self::Undecodable(_) => (400, 3),
            Self::BodyTooLarge { .. } | Self::TooManyRecords { .. } => (413, 8),
            Self::NoMetrics => (404, 12),
            Self::Busy { .. } => (429, 8),
            Self::Unavailable { .. } => (503, 14),
            Self::DiskFull { .. } => (507, 8),
        }
    }

    /// The answer, written as the request was: its content type decides, JSON when that is neither.
    pub fn answer(&self, content_type: Option<&str>) -> Answer {
        let (status, code) = self.codes();
        let encoding = Encoding::of(content_type).unwrap_or(Encoding::Json);
        let message = self.to_string();
        let body = match encoding {
            Encoding::Json => json!({ "code": code, "message": message }).to_string().into_bytes(),
            Encoding::Protobuf => RpcStatus { code, message }.encode_to_vec(),
        };
        let retry_after_s = match self {
            Self::Busy { retry_after_s }
            | Self::Unavailable { retry_after_s, .. }
            | Self::DiskFull { retry_after_s } => Some(*retry_after_s),
            _ => None,
        };
        Answer {
            status,
            content_type: encoding.content_type(),
            body,
            retry_after_s,
        }
    }
}
