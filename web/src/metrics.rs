//! The daemon's own figures in the Prometheus text format, version 0.0.4.

use std::{fmt::Write, time::Duration};

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use events::{Network, Phase, Reason, Status, Views};
use store::JobStatus;

use crate::{
    Desk, Problem,
    readiness::{self, Part},
    routes::Ask,
};

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.0, "# HELP watchkeep_{name} {help}\n# TYPE watchkeep_{name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let braces = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.0, "watchkeep_{name}{braces} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.value(name, &[], value);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

pub(crate) async fn metrics(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let mut text = Text(String::new());
    readiness(&mut text, &desk).await;
    text.family("build_info", "gauge", "Version of the binary.");
    text.value("build_info", &[("version", desk.version)], 1);
    if let Some(journal) = desk.journal() {
        let waiting = journal.jobs().waiting().await;
        let failing = waiting.iter().filter(|job| job.failure.is_some()).count();
        let oldest = waiting.iter().map(|job| job.age).max().unwrap_or_default();
        text.one(
            "jobs_waiting",
            "gauge",
            "Jobs that are not at their end.",
            waiting.len(),
        );
        text.one(
            "jobs_failing",
            "gauge",
            "Those of them whose last attempt failed.",
            failing,
        );
        text.one(
            "jobs_oldest_seconds",
            "gauge",
            "Age of the oldest of them.",
            oldest.as_secs(),
        );
        messages(&mut text, &waiting);
        text.one(
            "journal_backlog",
            "gauge",
            "Inputs that wait to be committed.",
            journal.backlog(),
        );
        let committed = *journal.committed().borrow();
        text.one(
            "journal_facts_total",
            "counter",
            "Facts in the journal.",
            committed.seq.0,
        );
        text.one(
            "journal_commits_total",
            "counter",
            "Commits of the journal.",
            committed.commit.0,
        );
    }
    if let Ok(space) = desk.folder().space() {
        text.one(
            "disk_free_bytes",
            "gauge",
            "Free bytes of the data folder's file system.",
            space.free_bytes,
        );
    }
    telemetry(&mut text, &desk);
    of_views(&mut text, &*desk.views().await);
    Ok((
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text.0,
    )
        .into_response())
}

/// Whether it watches, and which parts are not well.
async fn readiness(text: &mut Text, desk: &Desk) {
    let concerns = readiness::concerns(desk).await;
    let ready = concerns
        .as_ref()
        .is_some_and(|concerns| concerns.iter().all(|concern| !concern.stops));
    text.one(
        "ready",
        "gauge",
        "1 when nothing speaks against readiness.",
        u8::from(ready),
    );
    text.family(
        "part_state",
        "gauge",
        "How a part is: 0 well, 1 not well and the watch goes on, 2 it stops readiness.",
    );
    for part in Part::ALL {
        let of_part = concerns.iter().flatten().filter(|concern| concern.part == part);
        let states = of_part.map(|concern| if concern.stops { 2 } else { 1 });
        text.value("part_state", &[("part", part.text())], states.max().unwrap_or(0));
    }
    text.family(
        "heartbeat_failures",
        "gauge",
        "Failures of an outward heartbeat since it last arrived.",
    );
    let pulses = desk.pulses.all();
    for (heartbeat, pulse) in &pulses {
        text.value(
            "heartbeat_failures",
            &[("heartbeat", heartbeat.as_str())],
            pulse.failures,
        );
    }
    text.family(
        "heartbeat_sent_timestamp_seconds",
        "gauge",
        "When an outward heartbeat last arrived; 0 when never since the start.",
    );
    for (heartbeat, pulse) in &pulses {
        let at = pulse.sent.map_or(0, |at| at.0 / 1_000_000_000);
        text.value(
            "heartbeat_sent_timestamp_seconds",
            &[("heartbeat", heartbeat.as_str())],
            at,
        );
    }
}

/// What waits for whom.
fn messages(text: &mut Text, jobs: &[JobStatus]) {
    let waiting = readiness::waiting(jobs);
    text.family("messages_waiting", "gauge", "Messages that wait for a destination.");
    for row in &waiting {
        text.value("messages_waiting", &[("destination", &row.destination)], row.messages);
    }
    text.family(
        "message_oldest_seconds",
        "gauge",
        "Age of the oldest message that waits for a destination.",
    );
    for row in &waiting {
        let labels = [("destination", row.destination.as_str())];
        text.value("message_oldest_seconds", &labels, row.age.as_secs());
    }
}

fn telemetry(text: &mut Text, desk: &Desk) {
    let Some(telemetry) = desk.telemetry() else { return };
    let stats = telemetry.stats();
    text.family("telemetry_records", "gauge", "Records that are stored.");
    for (table, value) in [("logs", stats.logs), ("spans", stats.spans), ("probes", stats.probes)] {
        text.value("telemetry_records", &[("table", table)], value);
    }
    text.one(
        "telemetry_bytes",
        "gauge",
        "Bytes of telemetry.db that hold something.",
        stats.bytes,
    );
    text.one(
        "telemetry_queued_batches",
        "gauge",
        "Batches that wait to be committed.",
        stats.queued,
    );
    text.one(
        "telemetry_queued_bytes",
        "gauge",
        "Bytes that wait to be committed.",
        stats.queued_bytes,
    );
    text.one(
        "telemetry_committed_total",
        "counter",
        "Records committed since the start.",
        stats.committed,
    );
    text.one(
        "telemetry_repeated_total",
        "counter",
        "Batches that had been stored before.",
        stats.repeated,
    );
    text.family(
        "telemetry_refused_total",
        "counter",
        "Batches that were refused, by reason.",
    );
    for (reason, value) in [
        ("busy", stats.refused_busy),
        ("disk_full", stats.refused_full),
        ("too_large", stats.refused_large),
    ] {
        text.value("telemetry_refused_total", &[("reason", reason)], value);
    }
    text.one(
        "telemetry_failed_total",
        "counter",
        "Transactions that failed.",
        stats.failed,
    );
    text.one(
        "telemetry_stalled_seconds",
        "gauge",
        "How long what waits longest to be committed has been waiting.",
        stats.stalled_ms / 1000,
    );
    text.one(
        "telemetry_damaged_total",
        "counter",
        "Blocks that were found damaged.",
        stats.damaged,
    );
}

fn of_views(text: &mut Text, views: &Views) {
    let now = &views.now;
    text.one(
        "reactors_failed",
        "gauge",
        "Reactor failures since the start.",
        now.reactors_failed,
    );
    let watched = Duration::from_nanos(now.moment.watched.0.unsigned_abs());
    text.one(
        "watched_seconds_total",
        "counter",
        "Time really watched.",
        watched.as_secs(),
    );
    text.one(
        "network_online",
        "gauge",
        "0 when the watcher itself is cut off.",
        u8::from(now.network != Network::Offline),
    );
    text.family("probe_up", "gauge", "1 pass, 0 fail, -1 unknown.");
    for (probe, row) in views.probes.iter() {
        let value = match row.status {
            Status::Pass => 1,
            Status::Fail => 0,
            Status::Unknown => -1,
        };
        text.value("probe_up", &[("probe", probe)], value);
    }
    let silent = |row: &&events::Probe| row.status == Status::Unknown && row.look.reason == Reason::NoResult;
    text.one(
        "probes_silent",
        "gauge",
        "Probes that gave no result for three intervals.",
        views.probes.iter().map(|(_, row)| row).filter(silent).count(),
    );
    text.family(
        "rule_firing",
        "gauge",
        "1 when an incident of the rule is open; rules that are quiet are not listed.",
    );
    for (rule, row) in views.phases.iter() {
        text.value(
            "rule_firing",
            &[("rule", rule)],
            u8::from(matches!(row.phase, Phase::Firing | Phase::Clearing)),
        );
    }
    text.family(
        "backup_proved_timestamp_seconds",
        "gauge",
        "When a copy of the backup was last proved; 0 when never.",
    );
    for (backup, row) in views.backups.iter() {
        let at = row.proved.map_or(0, |stamp| stamp.wall.0 / 1_000_000_000);
        text.value("backup_proved_timestamp_seconds", &[("backup", backup)], at);
    }
}
