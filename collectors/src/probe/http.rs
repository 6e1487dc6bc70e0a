//! HTTP and HTTPS: one request over a fresh connection, as only that notices a server that takes no new ones.

mod body;
mod exchange;
mod request;
mod statuses;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use async_trait::async_trait;
use config::{Located, Mistake, Secret, Span, WebUrl};
use events::{EVIDENCE_MAX, Look, Reason, Status};
use outbound::Context;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

pub use self::statuses::Statuses;
use self::{
    body::Conditions,
    exchange::{Answer, Exchange},
    request::Request,
};
use super::{
    Endpoint, Probe, ProbeKind,
    line::{Route, Talk, tls_client},
    stopwatch::Stopwatch,
    why::{self, evidence},
};

/// How much of a body is read when it has to hold something.
const BODY_MAX: usize = 256 * 1024;

/// `check.http`: an HTTP or HTTPS address.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// The address. Redirects are not followed: a 3xx answer is an answer.
    pub url: Located<WebUrl>,
    /// How to ask.
    #[serde(default)]
    pub method: Method,
    /// Headers to send.
    #[serde(default)]
    pub headers: BTreeMap<Located<String>, String>,
    /// Headers to send whose values are secrets.
    #[serde(default)]
    pub secret_headers: BTreeMap<Located<String>, Located<Secret>>,
    /// Body to send.
    #[serde(default)]
    pub body: Option<Located<String>>,
    /// Who we are.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// The expected statuses; 200 to 399 when not said.
    #[serde(default)]
    pub status: Statuses,
    /// Text that the body has to hold.
    #[serde(default)]
    pub contains: Option<String>,
    /// Text that the body must not hold.
    #[serde(default)]
    pub not_contains: Option<String>,
    /// Values that a JSON body has to hold, by JSON pointer (RFC 6901): `json = { "/status" = "ok" }`.
    #[serde(default)]
    pub json: BTreeMap<Located<String>, serde_json::Value>,
    /// A right answer that takes longer fails as too slow.
    #[serde(default)]
    pub slow_over: Option<Span>,
    /// The authority (PEM file) to trust in place of the system's.
    #[serde(default)]
    pub ca: Option<Located<PathBuf>>,
}

/// Request method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "RFC 9110 §9.3 says what they are")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    fn text(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

/// How a request shows who sends it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// User and password (RFC 7617).
    Basic(BasicAuth),
    /// A token (RFC 6750).
    Bearer(Located<Secret>),
}

/// User and password.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user; without a colon.
    pub user: Located<String>,
    /// The password.
    pub password: Located<Secret>,
}

struct HttpProbe {
    route: Route,
    request: Request,
    is_head: bool,
    status: Statuses,
    conditions: Conditions,
    slow_over: Option<Duration>,
}

impl HttpCheck {
    fn route(&self, context: &Context) -> Result<Route, Mistake> {
        let config = tls_client(context, self.url.is_https(), self.ca.as_ref())?;
        let host = self.url.host().trim_start_matches('[').trim_end_matches(']');
        Route::new(context, Endpoint::known(host, self.url.port()), config)
            .ok_or_else(|| Mistake::at(self.url.span(), format!("no certificate can be for the name {host:?}")))
    }
}

#[async_trait]
impl ProbeKind for HttpCheck {
    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = request::mistakes(self);
        mistakes.extend(body::mistakes(self));
        mistakes
    }

    fn has_ca(&self) -> bool {
        self.ca.is_some()
    }

    fn build(&self, context: &Context) -> Result<Box<dyn Probe>, Mistake> {
        Ok(Box::new(HttpProbe {
            route: self.route(context)?,
            request: Request::new(self)?,
            is_head: self.method == Method::Head,
            status: self.status.clone(),
            conditions: Conditions::new(self),
            slow_over: self.slow_over.map(Span::as_std),
        }))
    }

    fn target(&self) -> String {
        // A query may hold a token.
        let mut url = self.url.as_url().clone();
        url.set_query(None);
        url.set_fragment(None);
        url.into()
    }

    fn is_near(&self) -> bool {
        outbound::is_private_target(self.url.as_str())
    }

    fn host(&self) -> String {
        self.url.host().to_owned()
    }
}

#[async_trait]
impl Probe for HttpProbe {
    async fn look(&self, deadline: Instant) -> Look {
        let mut watch = Stopwatch::start();
        let look = match self.route.open(&mut watch, deadline).await {
            Err(look) => look,
            Ok(mut stream) => self.ask(stream.as_mut(), &mut watch, deadline).await,
        };
        watch.stamp(look)
    }
}

impl HttpProbe {
    async fn ask(&self, stream: &mut dyn Talk, watch: &mut Stopwatch, deadline: Instant) -> Look {
        let exchange = Exchange {
            request: &self.request.bytes,
            is_head: self.is_head,
            body_max: self.conditions.body_wanted(),
        };
        match timeout_at(deadline, exchange.run(stream, watch)).await {
            Err(_) => why::fail(Reason::Timeout, "connected, but no whole answer before the deadline"),
            Ok(Err(look)) => look,
            Ok(Ok(answer)) => self.judge(&answer, watch.elapsed()),
        }
    }

    fn judge(&self, answer: &Answer, took: Duration) -> Look {
        let objection = if self.status.holds(answer.status) {
            self.conditions.objection(answer)
        } else {
            Some((Reason::HttpStatus, format!("{}, expected {}", answer.line, self.status)))
        };
        let slow = self.slow_over.filter(|limit| took > *limit);
        let (reason, detail) = match (objection, slow) {
            (Some(objection), _) => objection,
            (None, Some(limit)) => {
                let (took, limit) = (took.as_millis(), limit.as_millis());
                (
                    Reason::TooSlow,
                    format!("{} after {took} ms, allowed {limit} ms", answer.line),
                )
            }
            (None, None) => return Look::new(Status::Pass, Reason::Ok, answer.line.as_str()),
        };
        let mut look = why::fail(reason, self.request.hide(&detail));
        // Hidden before it is cut: half a secret is one as well.
        let body = answer.body.get(..SHOWN_MAX).unwrap_or(&answer.body);
        let body = self.request.hide(&String::from_utf8_lossy(body));
        look.evidence = evidence(&[answer.line.as_bytes(), b"\n\n", body.as_bytes()]);
        look
    }
}

/// What is read of a body that nothing is asked of: enough for the evidence.
const UNASKED: usize = SHOWN_MAX;
/// What is looked at for the evidence: more than is shown, so that a secret at the cut is seen whole.
const SHOWN_MAX: usize = 2 * EVIDENCE_MAX;
