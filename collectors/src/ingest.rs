//! What is sent to us: pure functions from a request to a batch and a reply. The daemon mounts them, stores the batch and
//! replies once it is committed.

pub mod otlp;
pub mod traceparent;
