//! A TCP port: it takes a connection, with TLS if wanted, and a line of talk if wanted.

use std::path::PathBuf;

use async_trait::async_trait;
use config::{Located, Mistake, Span};
use events::{Look, Reason, Status};
use outbound::Context;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{
    Endpoint, Probe, ProbeKind,
    line::{Route, Talk, tls_client},
    stopwatch::{Stopwatch, micros},
    why,
};

/// How much is read while waiting for what is expected.
const READ_MAX: usize = 64 * 1024;

/// `check.tcp`: a TCP port.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpCheck {
    /// Where: `db.internal:5432`.
    pub address: Located<Endpoint>,
    /// Whether to speak TLS from the first byte; the certificate is verified and its end reported.
    #[serde(default)]
    pub tls: bool,
    /// Text to send once connected.
    #[serde(default)]
    pub send: Option<String>,
    /// Text that has to come back.
    #[serde(default)]
    pub expect: Option<String>,
    /// A right answer that takes longer fails as too slow.
    #[serde(default)]
    pub slow_over: Option<Span>,
    /// The authority (PEM file) to trust in place of the system's.
    #[serde(default)]
    pub ca: Option<Located<PathBuf>>,
}

struct TcpProbe {
    route: Route,
    check: TcpCheck,
}

#[async_trait]
impl ProbeKind for TcpCheck {
    fn mistakes(&self) -> Vec<Mistake> {
        match &self.ca {
            Some(ca) if !self.tls => {
                vec![Mistake::at(ca.span(), "`ca` is given, but `tls` is not true").help("add `tls = true`")]
            }
            _ => Vec::new(),
        }
    }

    fn has_ca(&self) -> bool {
        self.ca.is_some()
    }

    fn build(&self, context: &Context) -> Result<Box<dyn Probe>, Mistake> {
        let config = tls_client(context, self.tls, self.ca.as_ref())?;
        let endpoint = (*self.address).clone();
        let no_name = || {
            Mistake::at(
                self.address.span(),
                format!("no certificate can be for {}", self.address),
            )
        };
        let route = Route::new(context, endpoint, config).ok_or_else(no_name)?;
        Ok(Box::new(TcpProbe {
            route,
            check: self.clone(),
        }))
    }

    fn target(&self) -> String {
        let scheme = if self.tls { "tls" } else { "tcp" };
        format!("{scheme}://{}", self.address)
    }

    fn is_near(&self) -> bool {
        outbound::is_private_target(&self.address.to_string())
    }

    fn host(&self) -> String {
        self.address.host().to_owned()
    }
}

#[async_trait]
impl Probe for TcpProbe {
    async fn look(&self, deadline: Instant) -> Look {
        let mut watch = Stopwatch::start();
        let look = match self.route.open(&mut watch, deadline).await {
            Err(look) => look,
            Ok(mut stream) => self.talk(stream.as_mut(), &mut watch, deadline).await,
        };
        watch.stamp(look)
    }
}

impl TcpProbe {
    async fn talk(&self, stream: &mut dyn Talk, watch: &mut Stopwatch, deadline: Instant) -> Look {
        if let Some(text) = &self.check.send {
            let send = async {
                stream.write_all(text.as_bytes()).await?;
                stream.flush().await
            };
            match timeout_at(deadline, send).await {
                Err(_) => return why::fail(Reason::Timeout, "connected, but what is sent is not taken"),
                Ok(Err(error)) => return why::of_talk("send", &error),
                Ok(Ok(())) => {}
            }
        }
        let said = match &self.check.expect {
            None => "connected".to_owned(),
            Some(wanted) => match listen(stream, wanted, watch, deadline).await {
                Ok(()) => format!("answered with {wanted:?}"),
                Err(look) => return look,
            },
        };
        let took = watch.elapsed();
        match self.check.slow_over.map(Span::as_std).filter(|limit| took > *limit) {
            None => Look::new(Status::Pass, Reason::Ok, said),
            Some(limit) => {
                let (took, limit) = (took.as_millis(), limit.as_millis());
                why::fail(Reason::TooSlow, format!("{said} after {took} ms, allowed {limit} ms"))
            }
        }
    }
}

/// Reads until the expected text came.
async fn listen(stream: &mut dyn Talk, wanted: &str, watch: &mut Stopwatch, deadline: Instant) -> Result<(), Look> {
    let began = Instant::now();
    let mut heard: Vec<u8> = Vec::new();
    // Where the expected text may begin in what is not searched yet.
    let mut from = 0;
    let lacking = |heard: &[u8], reason, how: &str| {
        let mut look = why::fail(reason, format!("{how}, expected {wanted:?}"));
        look.evidence = why::evidence(&[heard]);
        Err(look)
    };
    loop {
        let unsearched = heard.get(from..).unwrap_or_default();
        if wanted.is_empty()
            || unsearched
                .windows(wanted.len())
                .any(|window| window == wanted.as_bytes())
        {
            return Ok(());
        }
        from = heard.len().saturating_sub(wanted.len() - 1);
        if heard.len() >= READ_MAX {
            return lacking(&heard, Reason::BodyMismatch, "answered with more than 64 KiB");
        }
        heard.reserve(1024);
        match timeout_at(deadline, stream.read_buf(&mut heard)).await {
            Err(_) if heard.is_empty() => return lacking(&heard, Reason::Timeout, "connected, but nothing was said"),
            Err(_) => return lacking(&heard, Reason::BodyMismatch, "answered otherwise before the deadline"),
            Ok(Ok(0)) if heard.is_empty() => return lacking(&heard, Reason::ConnectionReset, "closed without a word"),
            Ok(Ok(0)) => return lacking(&heard, Reason::BodyMismatch, "answered otherwise and closed"),
            Ok(Ok(_)) => {
                watch.parts.first_byte_us.get_or_insert_with(|| micros(began.elapsed()));
            }
            Ok(Err(error)) => return Err(why::of_talk("listen", &error)),
        }
    }
}
