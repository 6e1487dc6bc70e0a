//! Alive is not ready: a full disk or a failed reactor must not get the daemon restarted, but must be seen. And ready may
//! be degraded: what others do not take is said, and does not stop the heartbeat.

mod judge;
mod pulses;

use std::collections::BTreeMap;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use events::{About, Reason, Status, Views, Work};
use jiff::SignedDuration;
use store::{JobStatus, Journal, Room};

pub(crate) use self::judge::{Concern, Part};
use self::judge::{Vitals, Waiting, judge};
pub use self::pulses::{Pulse, PulseChange, Pulses};
use crate::{App, Desk, Problem, Readiness, api::json, routes::Ask};

/// Looks at what must be so.
pub async fn readiness(app: &App) -> Readiness {
    of(&Desk::from(app.clone())).await
}

pub(crate) async fn of(desk: &Desk) -> Readiness {
    match concerns(desk).await {
        Some(concerns) => summed_up(concerns),
        None => Readiness {
            ready: false,
            problems: vec!["no daemon is running: nothing is watched".to_owned()],
            degraded: Vec::new(),
        },
    }
}

/// Everything that is not as it should be; `None` when no daemon runs.
pub(crate) async fn concerns(desk: &Desk) -> Option<Vec<Concern>> {
    let journal = desk.journal()?;
    Some(judge(&vitals(desk, journal).await))
}

pub(crate) fn summed_up(concerns: Vec<Concern>) -> Readiness {
    let (problems, degraded): (Vec<_>, Vec<_>) = concerns.into_iter().partition(|concern| concern.stops);
    let texts = |concerns: Vec<Concern>| concerns.into_iter().map(|concern| concern.text).collect();
    Readiness {
        ready: problems.is_empty(),
        problems: texts(problems),
        degraded: texts(degraded),
    }
}

async fn vitals(desk: &Desk, journal: &Journal) -> Vitals {
    let clock = desk.clocks().now();
    let jobs = journal.jobs().waiting().await;
    let stats = desk
        .telemetry()
        .map(store::telemetry::Telemetry::stats)
        .unwrap_or_default();
    let views = desk.views().await;
    let now = &views.now;
    Vitals {
        tick_age: now.watching.then(|| clock.boot.since(now.moment.boot)),
        up_for: now.moment.watched.since(now.started.watched),
        reactors_failed: now.reactors_failed,
        journal_settled: journal.is_settled(),
        room: room(desk, journal, stats.disk_full),
        telemetry_stalled: SignedDuration::from_millis(i64::try_from(stats.stalled_ms).unwrap_or(i64::MAX)),
        telemetry_failures: stats.failed_in_a_row,
        probes: desk.described.probes.len(),
        probes_silent: silent(desk, &views),
        waiting: waiting(&jobs),
        heartbeats_failing: failing(desk),
    }
}

/// The writers know more than the file system: the journal also refuses while the reserve, which it gave away, is free
/// space.
fn room(desk: &Desk, journal: &Journal, telemetry_full: bool) -> Result<(Room, u64), String> {
    let space = desk.folder().space().map_err(|error| store::chain_of(&error))?;
    let refused = match (journal.is_disk_full(), telemetry_full) {
        (true, _) => Room::NoFacts,
        (false, true) => Room::NoTelemetry,
        (false, false) => Room::Enough,
    };
    Ok((refused.max(space.room(None)), space.free_bytes >> 20))
}

/// Probes of which the journal's writer has said that they gave no result.
fn silent(desk: &Desk, views: &Views) -> Vec<String> {
    let is_silent = |name: &&str| {
        let row = views.probes.get(name);
        row.is_some_and(|row| row.status == Status::Unknown && row.look.reason == Reason::NoResult)
    };
    let configured = desk.described.probes.iter().map(|probe| probe.name.as_str());
    configured.filter(is_silent).map(ToOwned::to_owned).collect()
}

/// What waits for each destination. Tests are left out: whoever asked for one is told what became of it.
pub(crate) fn waiting(jobs: &[JobStatus]) -> Vec<Waiting> {
    let mut found: BTreeMap<&str, Waiting> = BTreeMap::new();
    for status in jobs {
        let Work::Message { destination, about } = &status.job.work else {
            continue;
        };
        if matches!(about, About::Test { .. }) {
            continue;
        }
        let oldest = found.entry(destination.as_str()).or_insert_with(|| Waiting {
            destination: destination.to_string(),
            messages: 0,
            age: status.age,
            attempts: status.attempts,
            failure: status.failure.clone(),
            overdue: status.overdue,
            running_for: status.running_for,
        });
        oldest.messages += 1;
    }
    found.into_values().collect()
}

fn failing(desk: &Desk) -> Vec<(String, String)> {
    let all = desk.pulses.all().into_iter();
    all.filter(|(_, pulse)| pulse.is_failing())
        .map(|(name, pulse)| (name.to_string(), pulse.why))
        .collect()
}

pub(crate) async fn livez(_: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    Ok("ok\n".into_response())
}

pub(crate) async fn readyz(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let readiness = of(&desk).await;
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut response = json(readiness)?;
    *response.status_mut() = status;
    Ok(response)
}
