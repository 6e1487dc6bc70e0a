//! Why: everything that belongs to an incident, a run of an action, a copy or a message.

use std::collections::BTreeSet;

use axum::response::Response;
use events::{Fact, Incident, Recorded, Seq, ServiceId};
use serde_json::Value;
use store::FactQuery;

use super::{json, timeline::shown};
use crate::{
    Desk, Problem,
    answer::{ShownFact, WhyAnswer},
    routes::Ask,
};

/// Facts in one answer.
const FACTS_MAX: usize = 500;
/// Facts that are looked at for one answer.
const LOOKED_AT_MAX: usize = 20_000;
/// An incident's last facts follow its end by no more than this many seconds.
const AFTER_END_S: i64 = 3600;
/// What probes said shortly before an incident belongs to it.
const BEFORE_S: i64 = 600;

pub(crate) async fn why(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let wanted = ask.part("id");
    let found = match of_rule(&desk, wanted).await {
        Some(found) => found,
        None => find(&desk, wanted).await?,
    };
    let incident = match found.view {
        "runs" => incident_of(&desk, &found.row).await?,
        _ => None,
    };
    let (facts, more) = Search::new(&found, incident.as_ref()).run(&desk).await?;
    let Found { view, id, row } = found;
    json(WhyAnswer {
        asked_at: desk.now(),
        view: view.to_owned(),
        id,
        row,
        incident,
        facts,
        more,
    })
}

/// The row that is asked about.
struct Found {
    view: &'static str,
    id: String,
    row: Value,
}

/// The newest open incident of a rule of that name.
async fn of_rule(desk: &Desk, rule: &str) -> Option<Found> {
    let views = desk.views().await;
    let incident = views
        .incidents
        .iter()
        .map(|(_, row)| row)
        .filter(|row| row.rule.as_str() == rule)
        .max_by_key(|row| row.fired.seq)?;
    Some(Found {
        view: "incidents",
        id: incident.id.to_string(),
        row: serde_json::to_value(incident).ok()?,
    })
}

/// The row, open or closed, whose key begins so.
async fn find(desk: &Desk, prefix: &str) -> Result<Found, Problem> {
    if prefix.len() < 4 {
        return Err(Problem::bad("give at least 4 characters of an id")
            .detail("`watchkeep alerts` and `watchkeep timeline` show ids"));
    }
    for view in ["incidents", "runs", "snapshots", "deliveries"] {
        let found = desk.reader().rows_with_prefix(view, prefix, 2).await?;
        match found.as_slice() {
            [] => {}
            [row] => {
                let value = serde_json::from_str(&row.json).unwrap_or_default();
                return Ok(Found {
                    view,
                    id: row.key.clone(),
                    row: value,
                });
            }
            _ => {
                return Err(Problem::bad(format!("{prefix:?} names more than one of the {view}"))
                    .detail("give more characters"));
            }
        }
    }
    let detail = "incidents, runs of actions, copies and messages have ids; `watchkeep alerts --all` and `watchkeep backup list` show them";
    Err(Problem::missing(format!("nothing begins with {prefix:?}")).detail(detail))
}

async fn incident_of(desk: &Desk, run: &Value) -> Result<Option<Incident>, Problem> {
    let Some(id) = run.get("incident").and_then(Value::as_str) else {
        return Ok(None);
    };
    let row = desk.reader().row("incidents", id).await?;
    Ok(row.and_then(|(_, json)| serde_json::from_str(&json).ok()))
}

/// A search for the facts that speak of a row.
struct Search<'a> {
    found: &'a Found,
    incident: Option<String>,
    rule: Option<String>,
    service: Option<String>,
    /// Jobs that were queued for it.
    jobs: BTreeSet<String>,
    from_wall: i64,
    from_seq: u64,
    until_wall: Option<i64>,
}

impl<'a> Search<'a> {
    fn new(found: &'a Found, of_run: Option<&Incident>) -> Self {
        let row = &found.row;
        let text = |name: &str| row.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let own: Option<Incident> = (found.view == "incidents")
            .then(|| serde_json::from_value(row.clone()).ok())
            .flatten();
        let seq = |name: &str| row.pointer(&format!("/{name}/seq")).and_then(Value::as_u64);
        let began = ["proposed", "captured", "queued"].into_iter().find_map(seq);
        let second = 1_000_000_000;
        Self {
            found,
            incident: own.as_ref().or(of_run).map(|incident| incident.id.to_string()),
            rule: text("rule"),
            service: text("service"),
            jobs: BTreeSet::from([found.id.clone()]),
            from_wall: own
                .as_ref()
                .map_or(0, |incident| incident.breach_began.0.saturating_sub(BEFORE_S * second)),
            from_seq: began.map_or(0, |seq| seq.saturating_sub(1)),
            until_wall: own
                .and_then(|incident| incident.resolved)
                .map(|stamp| stamp.wall.0.saturating_add(AFTER_END_S * second)),
        }
    }

    async fn run(mut self, desk: &Desk) -> Result<(Vec<ShownFact>, bool), Problem> {
        let mut query = FactQuery {
            kinds: Fact::KINDS
                .iter()
                .filter(|kind| self.concerns(kind))
                .map(|kind| (*kind).to_owned())
                .collect(),
            from_wall: (self.from_wall > 0).then_some(events::Timestamp(self.from_wall)),
            until_wall: self.until_wall.map(events::Timestamp),
            after_seq: Some(Seq(self.from_seq)),
            limit: super::LIMIT_MAX,
            ..FactQuery::default()
        };
        let mut kept = Vec::new();
        let mut looked_at = 0;
        loop {
            let page = desk.reader().facts(&query).await?;
            looked_at += page.items.len();
            for fact in &page.items {
                if self.takes(fact) {
                    kept.push(shown(fact));
                }
            }
            query.after_seq = page.items.last().map(|fact| fact.seq);
            let full = kept.len() >= FACTS_MAX || looked_at >= LOOKED_AT_MAX;
            if !page.more || full {
                let more = page.more || kept.len() > FACTS_MAX;
                kept.truncate(FACTS_MAX);
                return Ok((kept, more));
            }
        }
    }

    /// Whether a kind can speak of the row at all.
    fn concerns(&self, kind: &str) -> bool {
        let of_jobs = kind.starts_with("job_");
        match self.found.view {
            "incidents" => {
                let told = matches!(
                    kind,
                    "alert_phase"
                        | "incident_acked"
                        | "notified"
                        | "probe_changed"
                        | "deployment_recorded"
                        | "configured"
                );
                told || of_jobs || kind.starts_with("act") || matches!(kind, "network_changed" | "clock_jumped")
            }
            "runs" => of_jobs || kind.starts_with("act"),
            "snapshots" => kind.starts_with("backup_") || kind == "snapshots_pruned",
            _ => of_jobs || kind == "notified",
        }
    }

    /// Whether a fact speaks of the row; jobs that were queued for it are remembered on the way.
    fn takes(&mut self, fact: &Recorded) -> bool {
        let is = |other: &dyn std::fmt::Display, own: &Option<String>| {
            own.as_ref().is_some_and(|own| *own == other.to_string())
        };
        let is_incident = self.found.view == "incidents";
        match fact.fact() {
            Fact::Notified(notified) => {
                let about = notified
                    .about
                    .incident()
                    .filter(|_| is_incident)
                    .is_some_and(|incident| is(&incident, &self.incident));
                let taken = about || self.jobs.contains(&notified.job.to_string());
                if taken {
                    self.jobs.insert(notified.job.to_string());
                }
                taken
            }
            Fact::ActionProposed(proposed) => {
                let taken = self.jobs.contains(&proposed.run.to_string())
                    || (is_incident && is(&proposed.incident, &self.incident));
                if taken {
                    self.jobs.insert(proposed.run.to_string());
                }
                taken
            }
            Fact::AlertPhase(phase) => phase
                .incident
                .map_or_else(|| is(&phase.rule, &self.rule), |incident| is(&incident, &self.incident)),
            Fact::IncidentAcked(acked) => is(&acked.incident, &self.incident),
            Fact::ProbeChanged(changed) => {
                let of_service = fact
                    .envelope
                    .service
                    .as_ref()
                    .map(ServiceId::as_str)
                    .is_some_and(|service| Some(service) == self.service.as_deref());
                of_service || self.rule.as_deref() == Some(&format!("up/{}", changed.probe))
            }
            Fact::DeploymentRecorded(_) => {
                fact.envelope.service.as_ref().map(ServiceId::as_str) == self.service.as_deref()
            }
            Fact::Configured(configured) => configured.same_as.is_none(),
            Fact::NetworkChanged(_) | Fact::ClockJumped(_) => true,
            other => self.takes_job(other) || self.takes_copy(other),
        }
    }

    fn takes_job(&self, fact: &Fact) -> bool {
        let job = match fact {
            Fact::ActReady(ready) => ready.run,
            Fact::ActStarting(gated) | Fact::ActRefused(gated) => gated.run,
            Fact::ActFinished(finished) => finished.run,
            Fact::ActionVerifying(verifying) => verifying.run,
            Fact::ActionConcluded(concluded) => concluded.run,
            Fact::JobStarted(job) => job.job,
            Fact::JobFailed(job) => job.job,
            Fact::JobDone(job) => job.job,
            Fact::JobEnded(job) => job.job,
            _ => return false,
        };
        self.jobs.contains(&job.to_string())
    }

    fn takes_copy(&self, fact: &Fact) -> bool {
        let id = &self.found.id;
        match fact {
            Fact::BackupCaptured(captured) => captured.snapshot == *id,
            Fact::BackupVerified(verified) => verified.snapshot == *id,
            Fact::BackupProved(proved) => proved.snapshot == *id,
            Fact::BackupFailed(failed) => failed.snapshot.as_ref() == Some(id),
            Fact::SnapshotsPruned(pruned) => pruned.snapshots.contains(id),
            _ => false,
        }
    }
}
