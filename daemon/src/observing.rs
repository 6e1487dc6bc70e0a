//! The daemon's own logs and traces: text on standard error, and spans to any OTLP endpoint that the settings name. Not
//! into its own store, unless that is the endpoint they name.

use std::{sync::OnceLock, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use hyper::{Request, Response};
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};
use tokio::runtime::Handle;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt};

use crate::settings::Settings;

/// Where spans go; nowhere until the settings name an endpoint.
type Export = Option<OpenTelemetryLayer<Registry, SdkTracer>>;

static EXPORT: OnceLock<reload::Handle<Export, Registry>> = OnceLock::new();
static EXPORTED: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// What is logged when `RUST_LOG` does not say.
const FILTER: &str =
    "info,sqlx=warn,hyper=warn,reqwest=warn,opentelemetry=warn,aws=warn,rustic_core=warn,tokio_cron_scheduler=warn";
/// What is exported: spans of our own crates only, as those of the exporter's client would never end.
const OURS: &str = "off,daemon=debug,store=debug,web=debug,alerting=debug,collectors=debug,backup=debug,recovery=debug";
/// How long one export may take, its answer included.
const EXPORT_MAX: Duration = Duration::from_secs(10);
/// Most bytes of an answer: by the protocol it says in a few words how many spans were refused.
const ANSWER_MAX: usize = 64 * 1024;
/// How long the last export may hold up the end of the process.
const LAST_EXPORT_MAX: Duration = Duration::from_secs(2);

/// Sends logs to standard error: for people on a terminal, as JSON elsewhere.
pub(crate) fn subscribe() {
    use std::io::IsTerminal;
    // Layer and filter are there from the start, as a filter has to be known to the registry; both are filled in later.
    let (export, exporter) = reload::Layer::new(Export::None);
    let (exported, chooser) = reload::Layer::new(EnvFilter::new("off"));
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
        .with(export.with_filter(exported))
        .with(people)
        .with(machines)
        .try_init()
        .is_ok()
    {
        let _ = EXPORT.set(exporter);
        let _ = EXPORTED.set(chooser);
    }
}

/// The exporter's client: reqwest on the daemon's runtime, as the exporter has a thread of its own.
#[derive(Debug)]
struct Client {
    client: reqwest::Client,
    runtime: Handle,
    deadline: Duration,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let exchange = exchange(self.client.clone(), request);
        // Its clock starts on the runtime: the thread of the exporter has none.
        let deadline = self.deadline;
        let sent = self
            .runtime
            .spawn(async move { tokio::time::timeout(deadline, exchange).await });
        sent.await??
    }
}

/// Sends the request and takes the whole answer.
async fn exchange(client: reqwest::Client, request: reqwest::Request) -> Result<Response<Bytes>, HttpError> {
    let mut answer = client.execute(request).await?;
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        headers.clone_from(answer.headers());
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Err(format!("the answer has more than {ANSWER_MAX} bytes").into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(response.body(body.into())?)
}

/// Begins to export spans, if the settings name an endpoint.
pub(crate) fn export(settings: &Settings, client: reqwest::Client) {
    let Some(traces) = &settings.traces else { return };
    let client = Client {
        client,
        runtime: Handle::current(),
        deadline: EXPORT_MAX,
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
    if let (Some(export), Some(exported)) = (EXPORT.get(), EXPORTED.get()) {
        let _ = export.modify(|slot| *slot = Some(layer));
        let _ = exported.modify(|filter| *filter = EnvFilter::new(OURS));
    }
    let _ = PROVIDER.set(provider);
}

/// Sends what waits, while the daemon's runtime still runs.
pub(crate) fn flush() {
    if let Some(provider) = PROVIDER.get()
        && let Err(error) = provider.shutdown_with_timeout(LAST_EXPORT_MAX)
    {
        tracing::warn!(%error, "send the last of the daemon's own traces");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task::JoinSet,
    };

    use super::*;
    use crate::clock::MachineClocks;

    /// What comes of an export to an endpoint that answers so, again and again or once, and keeps the connection.
    async fn export_to(
        head: &'static str,
        chunk: &'static str,
        is_endless: bool,
    ) -> Result<Response<Bytes>, HttpError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let mut endpoint = JoinSet::new();
        endpoint.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(chunk.as_bytes()).await.is_ok() && is_endless {}
            std::future::pending::<()>().await;
        });
        let context = outbound::Context::new(outbound::ContextOptions {
            clocks: Arc::new(MachineClocks::new()),
            data_dir: std::env::temp_dir(),
            environment: "production".to_owned(),
            extra_ca: None,
        });
        let client = Client {
            client: context.unwrap().client().clone(),
            runtime: Handle::current(),
            deadline: Duration::from_secs(1),
        };
        let sent = client.send_bytes(Request::post(url).body(Bytes::new()).unwrap());
        let waited = tokio::time::timeout(Duration::from_secs(20), sent).await;
        waited.expect("the export goes on beyond its deadline")
    }

    #[tokio::test]
    async fn an_answer_is_taken_whole() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        let answer = export_to(head, "ok", false).await.unwrap();
        assert_eq!(answer.body().as_ref(), b"ok");
    }

    #[tokio::test]
    async fn an_answer_that_does_not_end_ends_at_the_deadline() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        let error = export_to(head, "ok", false).await.unwrap_err();
        assert!(error.is::<tokio::time::error::Elapsed>(), "{error}");
    }

    #[tokio::test]
    async fn an_answer_has_a_limit() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let error = export_to(head, "10\r\n0123456789abcdef\r\n", true).await.unwrap_err();
        assert_eq!(error.to_string(), "the answer has more than 65536 bytes");
    }
}
