//! Alive is not ready: a full disk or a failed reactor must not get the daemon restarted, but must be seen.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::SignedDuration;
use serde::Serialize;

use crate::{App, Problem, api::json, routes::Ask};

/// The last tick may be so old: three of them.
const TICK_AGE_MAX: SignedDuration = SignedDuration::from_secs(15);

/// Whether the daemon does what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// True when nothing speaks against it.
    pub ready: bool,
    /// What speaks against it.
    pub problems: Vec<String>,
}

/// Looks at what must be so.
pub async fn readiness(app: &App) -> Readiness {
    let mut problems = Vec::new();
    let clock = app.clocks.now();
    let views = app.journal.views().await;
    let age = clock.boot.since(views.now.moment.boot);
    if !views.now.watching {
        problems.push("no tick was recorded since the start".to_owned());
    } else if age > TICK_AGE_MAX {
        problems.push(format!("the last tick is {} s old: nothing is evaluated", age.as_secs()));
    }
    match views.now.reactors_failed {
        0 => {}
        failed => problems.push(format!("{failed} reactor failures since the start: `watchkeep timeline` names them")),
    }
    drop(views);
    if app.journal.is_full() {
        problems.push("the disk is full: facts and telemetry are refused, pages still go out".to_owned());
    }
    Readiness { ready: problems.is_empty(), problems }
}

pub(crate) async fn livez(_: App, _: Ask) -> Result<Response, Problem> {
    Ok("ok\n".into_response())
}

pub(crate) async fn readyz(app: App, _: Ask) -> Result<Response, Problem> {
    let readiness = readiness(&app).await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = json(readiness)?;
    *response.status_mut() = status;
    Ok(response)
}
