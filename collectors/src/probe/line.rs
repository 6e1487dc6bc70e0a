//! A connection to talk over, with or without TLS, for the probes that need one.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use config::{Located, Mistake};
use events::{Look, Reason, Timestamp};
use outbound::{Context, Policy};
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    endpoint::Endpoint,
    stopwatch::{Stopwatch, micros},
    why,
};

/// Something to talk over.
pub(crate) trait Talk: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Talk for T {}

/// How to reach a target.
#[derive(Clone)]
pub(crate) struct Route {
    context: Context,
    endpoint: Endpoint,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// The TLS of a probe, when it speaks TLS: the system's authorities, or the one given.
pub(crate) fn tls_client(
    context: &Context,
    is_tls: bool,
    ca: Option<&Located<PathBuf>>,
) -> Result<Option<Arc<ClientConfig>>, Mistake> {
    match (is_tls, ca) {
        (false, _) => Ok(None),
        (true, None) => Ok(Some(context.tls().client())),
        (true, Some(ca)) => context.tls().client_trusting(ca).map(Some).map_err(|error| {
            Mistake::at(ca.span(), outbound::chain(&error))
                .help("give the path of a PEM file with the authority's certificate")
        }),
    }
}

impl Route {
    /// To an endpoint; with TLS when there is a configuration for it. `None` when the host can be no TLS name.
    pub(crate) fn new(context: &Context, endpoint: Endpoint, tls: Option<Arc<ClientConfig>>) -> Option<Self> {
        let tls = match tls {
            None => None,
            Some(config) => Some((config, server_name(endpoint.host())?)),
        };
        Some(Self {
            context: context.clone(),
            endpoint,
            tls,
        })
    }

    /// Opens a connection; the error is the look.
    pub(crate) async fn open(&self, watch: &mut Stopwatch, deadline: Instant) -> Result<Box<dyn Talk>, Look> {
        let (host, port) = (self.endpoint.host(), self.endpoint.port());
        let connected = self
            .context
            .connect(Policy::Configured, host, port, deadline)
            .await
            .map_err(|error| why::of_connect(&error))?;
        watch.parts.resolve_us = connected.resolve.map(micros);
        watch.parts.connect_us = Some(micros(connected.connect));
        let Some((config, name)) = &self.tls else {
            return Ok(Box::new(connected.stream));
        };
        let began = Instant::now();
        let stream = handshake(Arc::clone(config), name.clone(), connected.stream, deadline).await?;
        watch.parts.tls_us = Some(micros(began.elapsed()));
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        watch.certificate_expires = certificate.and_then(expiry);
        Ok(Box::new(stream))
    }
}

async fn handshake(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    stream: TcpStream,
    deadline: Instant,
) -> Result<TlsStream<TcpStream>, Look> {
    match timeout_at(deadline, TlsConnector::from(config).connect(name, stream)).await {
        Err(_) => Err(why::fail(
            Reason::Timeout,
            "TLS handshake: no answer before the deadline",
        )),
        Ok(Err(error)) => Err(why::of_handshake(&error)),
        Ok(Ok(stream)) => Ok(stream),
    }
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    match host.parse::<IpAddr>() {
        Ok(address) => Some(ServerName::IpAddress(address.into())),
        Err(_) => ServerName::try_from(host.to_owned()).ok(),
    }
}

/// When a certificate ends (RFC 5280 §4.1.2.5).
fn expiry(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let seconds = certificate.validity().not_after.timestamp();
    Some(Timestamp(seconds.saturating_mul(1_000_000_000)))
}
