//! The door for ingest kinds: the daemon mounts them here, and a reply goes out after the commit.

use async_trait::async_trait;
use axum::http::HeaderMap;
use bytes::Bytes;

/// One request of a sender, whole: its body is read within limits before the kind sees it.
#[derive(Clone, Debug)]
pub struct IngestRequest {
    /// Its headers: content type and encoding, later signatures.
    pub headers: HeaderMap,
    /// Its body, as sent.
    pub body: Bytes,
    /// Who sent it: `loopback`, later a token's name.
    pub source: String,
}

/// The reply of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestReply {
    /// HTTP status.
    pub status: u16,
    /// Its content type.
    pub content_type: &'static str,
    /// Its body.
    pub body: Vec<u8>,
    /// Seconds after which a repeat makes sense.
    pub retry_after_s: Option<u64>,
}

/// A kind of ingest.
#[async_trait]
pub trait Ingest: Send + Sync {
    /// The path it answers, such as `/v1/traces`.
    fn path(&self) -> &'static str;

    /// Most bytes of a body; more is answered 413 without reading on.
    fn body_max(&self) -> usize;

    /// Takes a request and replies once it is committed.
    async fn take(&self, request: IngestRequest) -> IngestReply;
}
