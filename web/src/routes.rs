//! One table: every route, who may use it, and what it is for. The routers are built from it and from nothing else.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use axum::{body::Bytes, http::HeaderMap, response::Response};

use crate::{Caller, Desk, Problem, Who, api, metrics, readiness};

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
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;

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
    /// Parameters and fields that it takes.
    pub takes: &'static str,
    pub(crate) answer: fn(Desk, Ask) -> Answering,
}

/// The methods that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Records.
    Post,
}

impl Verb {
    /// As HTTP writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

macro_rules! routes {
    ($($method:ident $path:literal $who:ident $handler:path, $what:literal, $takes:literal;)*) => {
        /// Every route of the API.
        pub const ROUTES: &[Route] = &[$(Route {
            method: Verb::$method,
            path: $path,
            who: Who::$who,
            what: $what,
            takes: $takes,
            answer: |desk, ask| Box::pin($handler(desk, ask)),
        }),*];
    };
}

routes! {
    Get "/livez" Anyone readiness::livez, "whether the daemon turns", "";
    Get "/readyz" Anyone readiness::readyz, "whether it watches, evaluates and tells", "";
    Get "/metrics" Anyone metrics::metrics, "its own figures, as Prometheus text", "";
    Get "/api/v1/status" Read api::status::status, "what is watched and how it is", "";
    Get "/api/v1/alerts" Read api::alerts::alerts, "open incidents, and rules that are not quiet", "`all` (true: also ended incidents)";
    Post "/api/v1/ack" Operate api::alerts::ack, "take an incident", "`incident` (id, its first characters, or the rule), `by`, `note`";
    Get "/api/v1/silences" Read api::alerts::silences, "silences that are set", "";
    Post "/api/v1/silences" Operate api::alerts::silence, "set a silence, now or ahead of time", "`rule`, `service` or `all`; `for` or `until`; `from`, `by`, `reason`";
    Post "/api/v1/silences/{id}/lift" Operate api::alerts::lift, "lift a silence", "`by`";
    Post "/api/v1/notify/{destination}/test" Operate api::alerts::test, "send a test message", "`by`";
    Get "/api/v1/timeline" Read api::timeline::timeline, "what happened, newest first (with `after`: oldest first)", "`service`, `stream`, `kind` (several by commas), `trace`, `since`, `until`, `before`, `after`, `limit`";
    Get "/api/v1/why/{id}" Read api::why::why, "why an incident, a run of an action, a copy or a message came out as it did", "";
    Get "/api/v1/logs" Read api::telemetry::logs, "log records, newest first", "`service`, `severity`, `contains`, `trace`, `since`, `until`, `before`, `limit`";
    Get "/api/v1/traces/{id}" Read api::telemetry::trace, "spans and logs of a trace", "";
    Get "/api/v1/latency/{service}" Read api::telemetry::latency, "latency and error rate of a service, by release", "`since`, `until`";
    Post "/api/v1/deployments" Operate api::deployments::record, "record a deployment", "`service`, `version`, `environment`, `began`, `migrations` (none, additive, destructive), `verified`, `by`, `note`";
    Get "/api/v1/backups" Read api::keeping::backups, "backups, copies and proofs", "";
    Post "/api/v1/backups/{backup}/{task}" Operate api::keeping::request, "`run` or `prove` a backup now", "`by`";
    Get "/api/v1/actions" Read api::acting::actions, "actions, their runs and what holds them", "";
    Post "/api/v1/actions/stop" Act api::acting::stop, "stop all acting, or one action", "`action`, `by`";
    Post "/api/v1/actions/allow" Act api::acting::allow, "allow acting again, or release a held action", "`action`, `by`";
    Get "/api/v1/jobs" Read api::acting::jobs, "jobs that wait, and why", "";
    Get "/api/v1/chain" Read api::timeline::chain, "verify the journal's chain", "";
}
