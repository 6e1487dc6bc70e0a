//! The daemon's own logs and traces: text on standard error, and spans to any OTLP endpoint that the settings name. Not
//! into its own store, unless that is the endpoint they name.

use std::{sync::OnceLock, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use hyper::{Request, Response};
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tokio::runtime::Handle;
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt};

use crate::settings::Settings;

type Traces = Option<Box<dyn Layer<Registry> + Send + Sync>>;

static TRACES: OnceLock<reload::Handle<Traces, Registry>> = OnceLock::new();
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// What is logged when `RUST_LOG` does not say.
const FILTER: &str =
    "info,sqlx=warn,hyper=warn,reqwest=warn,opentelemetry=warn,aws=warn,rustic_core=warn,tokio_cron_scheduler=warn";
/// How long one export may take.
const EXPORT_MAX: Duration = Duration::from_secs(10);

/// Sends logs to standard error: for people on a terminal, as JSON elsewhere.
pub(crate) fn subscribe() {
    use std::io::IsTerminal;
    let (traces, handle) = reload::Layer::new(None::<Box<dyn Layer<Registry> + Send + Sync>>);
    let filter = || EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER));
    let terminal = std::io::stderr().is_terminal();
    let people = terminal.then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_filter(filter())
    });
    let machines = (!terminal).then(|| {
        tracing_subscriber::fmt::layer()
            .json()
            .with_writer(std::io::stderr)
            .with_filter(filter())
    });
    if tracing_subscriber::registry()
        .with(traces)
        .with(people)
        .with(machines)
        .try_init()
        .is_ok()
    {
        let _ = TRACES.set(handle);
    }
}

/// The exporter's client: reqwest on the daemon's runtime, as the exporter has a thread of its own.
#[derive(Debug)]
struct Client {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let answer = tokio::time::timeout(EXPORT_MAX, client.execute(request)).await??;
            let mut response = Response::builder().status(answer.status());
            if let Some(headers) = response.headers_mut() {
                headers.clone_from(answer.headers());
            }
            Ok::<_, HttpError>(response.body(answer.bytes().await?)?)
        });
        sent.await?
    }
}

/// Begins to export spans, if the settings name an endpoint.
pub(crate) fn export(settings: &Settings, client: reqwest::Client) {
    let Some(traces) = &settings.traces else { return };
    let client = Client {
        client,
        runtime: Handle::current(),
    };
    let built = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(traces.endpoint.as_str())
        .build();
    let exporter = match built {
        Ok(exporter) => exporter,
        Err(error) => {
            tracing::warn!(%error, "prepare the export of the daemon's own traces");
            return;
        }
    };
    let resource = Resource::builder().with_service_name("watchkeep").build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("watchkeep"));
    // Spans of our own crates only: those of the exporter's client would never end.
    let ours =
        EnvFilter::new("off,daemon=info,store=info,web=info,alerting=info,collectors=info,backup=info,recovery=info");
    if let Some(handle) = TRACES.get() {
        let _ = handle.modify(|slot| *slot = Some(layer.with_filter(ours).boxed()));
    }
    let _ = PROVIDER.set(provider);
}

/// Sends what waits.
pub(crate) fn flush() {
    if let Some(provider) = PROVIDER.get() {
        let _ = provider.shutdown();
    }
}
