//! What happened, and why.

use axum::response::Response;
use events::{Fact, IncidentId, Name, Recorded, Seq, ServiceId, TraceId};
use serde_json::{Value, json};
use store::FactQuery;

use super::{LIMIT_MAX, json};
use crate::{App, Problem, routes::Ask};

/// Facts that are only of use to the daemon itself; shown when a kind is asked for.
const QUIET: &[&str] = &["tick", "job_started", "certificate_seen"];

/// A fact as an answer shows it.
pub(crate) fn shown(fact: &Recorded) -> Value {
    json!({
        "seq": fact.seq,
        "commit": fact.commit,
        "wall": fact.recorded_at.wall,
        "cause": fact.cause,
        "fact": fact.envelope,
    })
}

pub(crate) async fn timeline(app: App, ask: Ask) -> Result<Response, Problem> {
    ask.only(&["service", "stream", "kind", "trace", "since", "until", "before", "limit"])?;
    let now = app.now();
    let asked: Option<String> = ask.read("kind")?;
    let kinds: Vec<String> = match asked {
        Some(kinds) => {
            let kinds: Vec<String> = kinds.split(',').map(ToOwned::to_owned).collect();
            if let Some(unknown) = kinds.iter().find(|kind| !Fact::KINDS.contains(&kind.as_str())) {
                return Err(Problem::bad(format!("kind: no kind {unknown:?}")).detail(format!("known: {}", Fact::KINDS.join(", "))));
            }
            kinds
        }
        None => Fact::KINDS.iter().filter(|kind| !QUIET.contains(kind)).map(|kind| (*kind).to_owned()).collect(),
    };
    let query = FactQuery {
        service: ask.read::<ServiceId>("service")?,
        stream: ask.read::<Name>("stream")?,
        kinds,
        trace: ask.read::<TraceId>("trace")?,
        from_wall: ask.moment("since", now)?,
        until_wall: ask.moment("until", now)?,
        before_seq: ask.read::<u64>("before")?.map(Seq),
        limit: ask.limit()?,
        newest_first: true,
        ..FactQuery::default()
    };
    let page = app.journal.facts(query).await?;
    json(json!({ "facts": page.items.iter().map(shown).collect::<Vec<_>>(), "more": page.more }))
}

pub(crate) async fn chain(app: App, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    json(app.journal.verify_chain().await?)
}

/// Everything that belongs to an incident, a run of an action, a message or a backup job: the row, and the facts.
pub(crate) async fn why(app: App, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let prefix = ask.part("id");
    if prefix.len() < 4 {
        return Err(Problem::bad("give at least 4 characters of an id").detail("`watchkeep alerts` and `watchkeep timeline` show ids"));
    }
    let Some((view, id, row)) = find(&app, prefix).await? else {
        return Err(Problem::missing(format!("nothing begins with {prefix:?}")).detail("incidents, runs of actions and copies have ids"));
    };
    let incident = match view {
        "incidents" => Some(id.clone()),
        "runs" => row.get("incident").and_then(Value::as_str).map(ToOwned::to_owned),
        _ => None,
    };
    let incident_row = match (&incident, view) {
        (Some(incident), "runs") => app.journal.row("incidents", incident).await?.and_then(|(_, json)| serde_json::from_str(&json).ok()),
        _ => None,
    };
    let facts = facts_of(&app, view, &id, &row, incident.as_deref()).await?;
    json(json!({ "view": view, "id": id, "row": row, "incident": incident_row, "facts": facts }))
}

/// The newest row, open or closed, whose key begins so.
async fn find(app: &App, prefix: &str) -> Result<Option<(&'static str, String, Value)>, Problem> {
    for view in ["incidents", "runs", "snapshots", "deliveries"] {
        let found = app.journal.rows_with_prefix(view, prefix, 2).await?;
        match found.as_slice() {
            [] => {}
            [(key, json)] => return Ok(Some((view, key.clone(), serde_json::from_str(json).unwrap_or_default()))),
            _ => return Err(Problem::bad(format!("{prefix:?} names more than one of the {view}")).detail("give more characters")),
        }
    }
    Ok(None)
}

/// Facts around a row that speak of it, oldest first.
async fn facts_of(app: &App, view: &str, id: &str, row: &Value, incident: Option<&str>) -> Result<Vec<Value>, Problem> {
    let seq_at = |name: &str| row.pointer(&format!("/{name}/seq")).and_then(Value::as_u64);
    let first = seq_at("fired").or(seq_at("proposed")).or(seq_at("captured")).or(seq_at("queued")).unwrap_or(0);
    let query = FactQuery {
        kinds: Fact::KINDS.iter().filter(|kind| **kind != "tick").map(|kind| (*kind).to_owned()).collect(),
        after_seq: Some(Seq(first.saturating_sub(50))),
        limit: LIMIT_MAX,
        newest_first: false,
        ..FactQuery::default()
    };
    let page = app.journal.facts(query).await?;
    let mut jobs: Vec<String> = Vec::new();
    let mut kept = Vec::new();
    for fact in &page.items {
        if belongs(fact, view, id, incident, row, &mut jobs) {
            kept.push(shown(fact));
        }
    }
    Ok(kept)
}

/// Whether a fact speaks of the row; jobs that were queued for it are remembered on the way.
fn belongs(fact: &Recorded, view: &str, id: &str, incident: Option<&str>, row: &Value, jobs: &mut Vec<String>) -> bool {
    let is_incident = |other: Option<IncidentId>| other.is_some_and(|other| Some(other.to_string().as_str()) == incident);
    let is_job = |job: events::JobId, jobs: &[String]| job.to_string() == id || jobs.contains(&job.to_string());
    match fact.fact() {
        Fact::Notified(notified) if is_incident(notified.about.incident()) => {
            jobs.push(notified.job.to_string());
            true
        }
        Fact::AlertPhase(phase) => is_incident(phase.incident) || (incident.is_some() && row.get("rule").and_then(Value::as_str) == Some(phase.rule.as_str())),
        Fact::IncidentAcked(acked) => is_incident(Some(acked.incident)),
        Fact::ActionProposed(proposed) if is_incident(Some(proposed.incident)) || proposed.run.to_string() == id => {
            jobs.push(proposed.run.to_string());
            true
        }
        Fact::ActReady(ready) => is_job(ready.run, jobs),
        Fact::ActStarting(gated) | Fact::ActRefused(gated) => is_job(gated.run, jobs),
        Fact::ActFinished(finished) => is_job(finished.run, jobs),
        Fact::ActionVerifying(verifying) => is_job(verifying.run, jobs),
        Fact::ActionConcluded(concluded) => is_job(concluded.run, jobs),
        Fact::JobStarted(job) => is_job(job.job, jobs),
        Fact::JobFailed(job) => is_job(job.job, jobs),
        Fact::JobDone(job) => is_job(job.job, jobs),
        Fact::JobEnded(job) => is_job(job.job, jobs),
        Fact::BackupCaptured(captured) => view == "snapshots" && captured.snapshot == id,
        Fact::BackupVerified(verified) => view == "snapshots" && verified.snapshot == id,
        Fact::BackupProved(proved) => view == "snapshots" && proved.snapshot == id,
        Fact::BackupFailed(failed) => view == "snapshots" && failed.snapshot.as_deref() == Some(id),
        Fact::DeploymentRecorded(_) | Fact::Configured(_) | Fact::NetworkChanged(_) | Fact::ClockJumped(_) => incident.is_some(),
        Fact::ProbeChanged(_) => incident.is_some() && fact.envelope.service.as_ref().map(ServiceId::as_str) == row.get("service").and_then(Value::as_str),
        _ => false,
    }
}
