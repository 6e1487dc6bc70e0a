//! One table: every route, who may use it, and what it is for. The routers are built from it and from nothing else.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Extension, Path, Query, Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, on},
};

use crate::{App, Caller, Host, Problem, Who, api, ingest::{Ingest, IngestRequest}, metrics, readiness};

/// Most bytes of a request to the API.
const BODY_MAX: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(15);
/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// What a handler is given.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who asks.
    pub caller: Caller,
    /// Parts of the path, by name.
    pub path: BTreeMap<String, String>,
    /// Parts of the query, by name.
    pub query: BTreeMap<String, String>,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// What a handler answers.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;

/// One route.
#[derive(Clone, Copy)]
pub struct Route {
    /// Method.
    pub method: Verb,
    /// Path, with its parts in braces.
    pub path: &'static str,
    /// Who may use it.
    pub who: Who,
    /// What it is for.
    pub what: &'static str,
    answer: fn(App, Ask) -> Answering,
}

/// The methods that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Records.
    Post,
}

macro_rules! routes {
    ($($method:ident $path:literal $who:ident $handler:path, $what:literal;)*) => {
        /// Every route of the API.
        pub const ROUTES: &[Route] = &[$(Route {
            method: Verb::$method,
            path: $path,
            who: Who::$who,
            what: $what,
            answer: |app, ask| Box::pin($handler(app, ask)),
        }),*];
    };
}

routes! {
    Get "/livez" Anyone readiness::livez, "whether the daemon turns";
    Get "/readyz" Anyone readiness::readyz, "whether it watches, evaluates and tells";
    Get "/metrics" Anyone metrics::metrics, "its own figures, as Prometheus text";
    Get "/api/v1/status" Read api::status::status, "what is watched and how it is";
    Get "/api/v1/alerts" Read api::alerts::alerts, "open incidents and rules that are not inactive";
    Post "/api/v1/ack" Operate api::alerts::ack, "take an incident";
    Get "/api/v1/silences" Read api::alerts::silences, "silences that are set";
    Post "/api/v1/silences" Operate api::alerts::silence, "set a silence, now or ahead of time";
    Post "/api/v1/silences/{id}/lift" Operate api::alerts::lift, "lift a silence";
    Post "/api/v1/notify/{destination}/test" Operate api::alerts::test, "send a test message";
    Get "/api/v1/timeline" Read api::timeline::timeline, "what happened, newest first";
    Get "/api/v1/why/{id}" Read api::timeline::why, "why an incident, action or backup went as it did";
    Get "/api/v1/logs" Read api::telemetry::logs, "log records";
    Get "/api/v1/traces/{id}" Read api::telemetry::trace, "spans and logs of a trace";
    Get "/api/v1/latency/{service}" Read api::telemetry::latency, "latency and error rate of a service";
    Post "/api/v1/deployments" Operate api::deployments::record, "record a deployment";
    Get "/api/v1/backups" Read api::keeping::backups, "backups, copies and proofs";
    Post "/api/v1/backups/{backup}/{task}" Operate api::keeping::request, "run or prove a backup now";
    Get "/api/v1/actions" Read api::acting::actions, "actions, their runs and what holds them";
    Post "/api/v1/actions/stop" Act api::acting::stop, "stop all acting, or one action";
    Post "/api/v1/actions/allow" Act api::acting::allow, "allow acting again, or release a held action";
    Get "/api/v1/jobs" Read api::acting::jobs, "jobs that wait, and why";
    Get "/api/v1/chain" Read api::timeline::chain, "verify the journal's chain";
}

/// The routes on the socket: all of them.
pub fn socket_router(app: App) -> Router {
    router(app, ROUTES.iter())
}

/// The routes on TCP: those that are open, and ingest; with the checks against a local web page.
pub fn tcp_router(app: App, host: Host, kinds: Vec<Arc<dyn Ingest>>) -> Router {
    let mut router = router(app, ROUTES.iter().filter(|route| route.who == Who::Anyone));
    for kind in kinds {
        router = router.route(kind.path(), on(axum::routing::MethodFilter::POST, take).fallback(wrong_method).with_state(kind));
    }
    let host = Arc::new(host);
    router.layer(axum::middleware::from_fn(move |request: Request, next: axum::middleware::Next| {
        let checked = host.check(request.headers());
        async move {
            match checked {
                Ok(()) => next.run(request).await,
                Err(problem) => problem.into_response(),
            }
        }
    }))
}

fn router<'a>(app: App, routes: impl Iterator<Item = &'a Route>) -> Router {
    let mut by_path: BTreeMap<&str, Vec<Route>> = BTreeMap::new();
    for route in routes {
        by_path.entry(route.path).or_default().push(*route);
    }
    let mut router = Router::new();
    for (path, routes) in by_path {
        router = router.route(path, at_path(routes));
    }
    let missing = || async { Problem::missing("no such path").detail("see docs/guide/api.md for the routes") };
    router.fallback(missing).with_state(app)
}

fn at_path(routes: Vec<Route>) -> MethodRouter<App> {
    any(
        move |State(app): State<App>,
              caller: Option<Extension<Caller>>,
              Path(path): Path<BTreeMap<String, String>>,
              Query(query): Query<BTreeMap<String, String>>,
              request: Request| async move {
            let caller = caller.map_or(Caller::TCP, |Extension(caller)| caller);
            let method = if request.method() == Method::GET { Verb::Get } else { Verb::Post };
            let known = request.method() == Method::GET || request.method() == Method::POST;
            let Some(route) = routes.iter().find(|route| known && route.method == method) else {
                return Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take that method").into_response();
            };
            if !route.who.admits(caller.scope) {
                return Problem::new(StatusCode::FORBIDDEN, "you may not do this")
                    .detail("on the socket: be root, the daemon's user, or of its group")
                    .into_response();
            }
            let headers = request.headers().clone();
            let body = match read(request.into_body(), BODY_MAX).await {
                Ok(body) => body,
                Err(problem) => return problem.into_response(),
            };
            let ask = Ask { caller, path, query, headers, body };
            match tokio::time::timeout(ANSWER_TIME, (route.answer)(app, ask)).await {
                Ok(answer) => answer.unwrap_or_else(IntoResponse::into_response),
                Err(_) => Problem::new(StatusCode::GATEWAY_TIMEOUT, "the answer took too long").into_response(),
            }
        },
    )
}

async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes POST only")
}

/// Reads a body within its limits.
async fn read(body: Body, max: usize) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_TIME, to_bytes(body, max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_limit(&error) => {
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {max} bytes")))
        }
        Ok(Err(_)) => Err(Problem::bad("the body broke off")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive")),
    }
}

fn is_limit(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

/// Hands a request to an ingest kind.
async fn take(State(kind): State<Arc<dyn Ingest>>, request: Request) -> Response {
    let headers = request.headers().clone();
    let body = match read(request.into_body(), kind.body_max()).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let reply = kind.take(IngestRequest { headers, body, source: "loopback".to_owned() }).await;
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, [(axum::http::header::CONTENT_TYPE, reply.content_type)], reply.body).into_response();
    if let Some(seconds) = reply.retry_after_s {
        response.headers_mut().insert(axum::http::header::RETRY_AFTER, seconds.into());
    }
    response
}
