//! What is watched and how it is.

use std::collections::BTreeMap;

use axum::response::Response;
use serde_json::{Value, json};
use store::telemetry::TelemetryStats;

use super::{by_key, json};
use crate::{
    Desk, Problem,
    answer::{StatusAnswer, WaitingJob},
    readiness,
    routes::Ask,
};

pub(crate) async fn status(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let ready = readiness::of(&desk).await;
    let jobs = waiting(&desk).await;
    let head = desk.reader().head().await?;
    let telemetry = desk
        .telemetry()
        .map(|telemetry| figures(&telemetry.stats()))
        .unwrap_or_default();
    let views = desk.views().await;
    json(StatusAnswer {
        asked_at: desk.now(),
        running: desk.journal().is_some(),
        version: desk.version.to_owned(),
        described: (*desk.described).clone(),
        ready,
        now: views.now.clone(),
        probes: by_key(views.probes.iter()),
        phases: by_key(views.phases.iter()),
        incidents: by_key(views.incidents.iter()),
        silences: by_key(views.silences.iter()),
        releases: by_key(views.releases.iter()),
        backups: by_key(views.backups.iter()),
        actions: by_key(views.actions.iter()),
        runs: by_key(views.runs.iter()),
        jobs,
        seq: head.seq,
        commit: head.commit,
        link: head.link,
        telemetry,
    })
}

/// Jobs that are not at their end; without a daemon nobody knows how they stand.
pub(crate) async fn waiting(desk: &Desk) -> Vec<WaitingJob> {
    let Some(journal) = desk.journal() else {
        return Vec::new();
    };
    let shown = |status: store::JobStatus| WaitingJob {
        job: status.job,
        attempts: status.attempts,
        running: status.running,
        failure: status.failure,
        wait: status.wait,
        age: status.age,
    };
    journal.jobs().waiting().await.into_iter().map(shown).collect()
}

fn figures(stats: &TelemetryStats) -> BTreeMap<String, Value> {
    let all = [
        ("logs", stats.logs),
        ("spans", stats.spans),
        ("probes", stats.probes),
        ("bytes", stats.bytes),
        ("row", stats.row),
        ("carried_row", stats.carried_row),
        ("queued", stats.queued as u64),
        ("queued_bytes", stats.queued_bytes as u64),
        ("committed", stats.committed),
        ("repeated", stats.repeated),
        ("refused_busy", stats.refused_busy),
        ("refused_full", stats.refused_full),
        ("refused_large", stats.refused_large),
        ("failed", stats.failed),
        ("damaged", stats.damaged),
    ];
    all.into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect()
}
