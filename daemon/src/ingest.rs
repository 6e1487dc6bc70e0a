//! Mounts the ingest kinds into web's router: decoded by collectors, stored by telemetry, answered after the commit.

use std::sync::Arc;

use async_trait::async_trait;
use collectors::ingest::otlp::{self, Otlp, Signal};
use store::telemetry::TelemetryError;
use web::{
    App,
    ingest::{Ingest, IngestReply, IngestRequest},
};

use crate::settings::Settings;

/// The kinds that are mounted.
pub(crate) fn kinds(settings: &Settings, app: &App) -> Vec<Arc<dyn Ingest>> {
    let otlp = Arc::new(Otlp::new(settings.environment()));
    let kind = |signal| Arc::new(OtlpHttp { otlp: Arc::clone(&otlp), signal, app: app.clone() }) as Arc<dyn Ingest>;
    vec![kind(Signal::Traces), kind(Signal::Logs), kind(Signal::Metrics)]
}

struct OtlpHttp {
    otlp: Arc<Otlp>,
    signal: Signal,
    app: App,
}

fn reply(answer: otlp::Answer) -> IngestReply {
    IngestReply {
        status: answer.status,
        content_type: answer.content_type,
        body: answer.body,
        retry_after_s: answer.retry_after_s,
    }
}
