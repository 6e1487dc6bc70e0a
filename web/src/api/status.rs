//! What is watched and how it is.

use axum::response::Response;
use serde_json::json;

use super::{by_key, json};
use crate::{App, Problem, readiness::readiness, routes::Ask};

pub(crate) async fn status(app: App, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let ready = readiness(&app).await;
    let telemetry = app.telemetry.stats();
    let waiting = app.journal.jobs().waiting().await?;
    let head = app.journal.head().await?;
    let views = app.journal.views().await;
    json(json!({
        "version": app.version,
        "described": *app.described,
        "now": views.now,
        "wall": app.now(),
        "ready": ready,
        "probes": by_key(views.probes.iter()),
        "incidents": by_key(views.incidents.iter()),
        "silences": by_key(views.silences.iter()),
        "releases": by_key(views.releases.iter()),
        "backups": by_key(views.backups.iter()),
        "actions": by_key(views.actions.iter()),
        "jobs": waiting,
        "head": head,
        "telemetry": telemetry,
    }))
}
