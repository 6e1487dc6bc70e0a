//! From the table of routes to routers: who may, what was sent within its limits, and one form of error for all.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::{
        Extension, Path, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, any},
};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    Ask, Caller, Desk, Host, Problem, ROUTES, Route, Verb, Who,
    ingest::{Ingest, IngestRequest},
};

/// Most bytes of a request to the API.
const BODY_MAX: usize = 64 * 1024;
/// Most bytes of bodies for ingest that are held at one time, over all senders: whoever would go beyond is told to come
/// back. A sender holds only what it has sent, so that a slow one keeps nobody out.
const HELD_MAX: usize = 12 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(15);
/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// The routes on the socket: all of them.
pub fn socket_router(desk: impl Into<Desk>) -> Router {
    router(desk.into(), ROUTES.iter())
}

/// The routes on TCP: those that are open, and ingest; with the checks against a local web page.
pub fn tcp_router(desk: impl Into<Desk>, host: Host, kinds: Vec<Arc<dyn Ingest>>) -> Router {
    let mut router = router(desk.into(), ROUTES.iter().filter(|route| route.who == Who::Anyone));
    let held = Arc::new(Semaphore::new(HELD_MAX));
    for kind in kinds {
        let (path, held) = (kind.path(), Arc::clone(&held));
        router = router.route(path, any(take).with_state(Taker { kind, held }));
    }
    let host = Arc::new(host);
    router.layer(axum::middleware::from_fn(
        move |request: Request, next: axum::middleware::Next| {
            let checked = host.check(request.headers());
            async move {
                match checked {
                    Ok(()) => next.run(request).await,
                    Err(problem) => problem.into_response(),
                }
            }
        },
    ))
}

fn router<'a>(desk: Desk, routes: impl Iterator<Item = &'a Route>) -> Router {
    let mut by_path: BTreeMap<&str, Vec<Route>> = BTreeMap::new();
    for route in routes {
        by_path.entry(route.path).or_default().push(*route);
    }
    let mut router = Router::new();
    for (path, routes) in by_path {
        router = router.route(path, at_path(routes.into()));
    }
    let missing = || async { Problem::missing("no such path").detail("see docs/guide/api.md for the routes") };
    router.fallback(missing).with_state(desk)
}

/// Parts of the path as axum read them.
type Parts = Result<Path<BTreeMap<String, String>>, PathRejection>;
/// Parts of the query as axum read them.
type Queried = Result<Query<Vec<(String, String)>>, QueryRejection>;

fn at_path(routes: Arc<[Route]>) -> MethodRouter<Desk> {
    any(
        move |State(desk): State<Desk>,
              caller: Option<Extension<Caller>>,
              parts: Parts,
              queried: Queried,
              request: Request| async move {
            let caller = caller.map_or(Caller::TCP, |Extension(caller)| caller);
            let route = match admitted(&routes, caller, request.method()) {
                Ok(route) => route,
                Err(refusal) => return refusal,
            };
            match ask(caller, parts, queried, request).await {
                Ok(ask) => answer(route, desk, ask).await,
                Err(problem) => problem.into_response(),
            }
        },
    )
}

/// The route for a method, if the caller may use it.
fn admitted(routes: &[Route], caller: Caller, method: &Method) -> Result<Route, Response> {
    let verb = match *method {
        Method::GET | Method::HEAD => Some(Verb::Get),
        Method::POST => Some(Verb::Post),
        _ => None,
    };
    let Some(route) = routes.iter().find(|route| Some(route.method) == verb) else {
        let takes: Vec<&str> = routes.iter().map(|route| route.method.name()).collect();
        return Err(wrong_method(&takes.join(", ")));
    };
    if route.who.admits(caller.scope) {
        return Ok(*route);
    }
    let detail = match route.who {
        Who::Act => "on the socket: be root, or the daemon's user",
        _ => "on the socket: be root, the daemon's user, or of its group",
    };
    Err(Problem::new(StatusCode::FORBIDDEN, "you may not do this")
        .detail(detail)
        .into_response())
}

fn wrong_method(takes: &str) -> Response {
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take that method")
        .detail(format!("it takes {takes}"));
    let mut response = problem.into_response();
    if let Ok(takes) = HeaderValue::from_str(takes) {
        response.headers_mut().insert(header::ALLOW, takes);
    }
    response
}

/// What a handler is given, read within its limits.
async fn ask(caller: Caller, parts: Parts, queried: Queried, request: Request) -> Result<Ask, Problem> {
    let Path(path) = parts.map_err(|error| Problem::bad(format!("the path: {}", error.body_text())))?;
    let Query(pairs) = queried.map_err(|error| Problem::bad(format!("the query: {}", error.body_text())))?;
    let mut query = BTreeMap::new();
    for (name, value) in pairs {
        if query.contains_key(&name) {
            let name: String = name.chars().take(80).collect();
            return Err(Problem::bad(format!("parameter {name:?} is there more than once")));
        }
        query.insert(name, value);
    }
    let headers = request.headers().clone();
    let body = read(request.into_body(), BODY_MAX).await?;
    Ok(Ask {
        caller,
        path,
        query,
        headers,
        body,
    })
}

#[tracing::instrument(level = "debug", skip_all, fields(otel.kind = "server", path = route.path))]
async fn answer(route: Route, desk: Desk, ask: Ask) -> Response {
    match tokio::time::timeout(ANSWER_TIME, (route.answer)(desk, ask)).await {
        Ok(answer) => answer.unwrap_or_else(IntoResponse::into_response),
        Err(_) => Problem::new(StatusCode::GATEWAY_TIMEOUT, "the answer took too long").into_response(),
    }
}

/// Reads a body within its limits; one that says it is larger is not read at all.
async fn read(body: Body, max: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {max} bytes"),
        )
    };
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIME, to_bytes(body, max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_limit(&error) => Err(too_large()),
        Ok(Err(_)) => Err(Problem::bad("the body broke off")),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body took too long to arrive",
        )),
    }
}

fn is_limit(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
}

/// An ingest kind, and the room that all kinds share.
#[derive(Clone)]
struct Taker {
    kind: Arc<dyn Ingest>,
    held: Arc<Semaphore>,
}

/// Reads a body within its limits and within the room there is for all; the permit stands for its bytes.
async fn read_held(body: Body, max: usize, held: &Arc<Semaphore>) -> Result<(Bytes, OwnedSemaphorePermit), Problem> {
    let too_large = || {
        let title = format!("the body is larger than {max} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, title)
    };
    let busy = || Problem::new(StatusCode::TOO_MANY_REQUESTS, "too much is being sent at once").retry_after(1);
    let said = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if said > max {
        return Err(too_large());
    }
    let (mut body, mut bytes) = (body, Vec::with_capacity(said));
    let mut permit = Arc::clone(held).try_acquire_many_owned(0).map_err(|_| busy())?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::bad("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > max {
            return Err(too_large());
        }
        let count = u32::try_from(data.len()).map_err(|_| too_large())?;
        permit.merge(Arc::clone(held).try_acquire_many_owned(count).map_err(|_| busy())?);
        bytes.extend_from_slice(&data);
    }
    Ok((bytes.into(), permit))
}

/// Hands a request to an ingest kind.
#[tracing::instrument(level = "debug", skip_all, fields(otel.kind = "server"))]
async fn take(State(Taker { kind, held }): State<Taker>, request: Request) -> Response {
    if request.method() != Method::POST {
        return wrong_method("POST");
    }
    let headers = request.headers().clone();
    let reading = read_held(request.into_body(), kind.body_max(), &held);
    let late = || Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive");
    let read = tokio::time::timeout(BODY_TIME, reading)
        .await
        .unwrap_or_else(|_| Err(late()));
    let (body, _held) = match read {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let reply = kind
        .take(IngestRequest {
            headers,
            body,
            source: "loopback".to_owned(),
        })
        .await;
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, [(header::CONTENT_TYPE, reply.content_type)], reply.body).into_response();
    if let Some(seconds) = reply.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
