//! The daemon's own figures in the Prometheus text format, version 0.0.4.

use std::fmt::Write;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use events::{Phase, Status};

use crate::{App, Problem, readiness::readiness, routes::Ask};

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.0, "# HELP watchkeep_{name} {help}\n# TYPE watchkeep_{name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let braces = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
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

pub(crate) async fn metrics(app: App, _: Ask) -> Result<Response, Problem> {
    let ready = readiness(&app).await;
    let waiting = app.journal.jobs().waiting().await?;
    let stats = app.telemetry.stats();
    let mut text = Text(String::new());
    text.one("ready", "gauge", "1 when nothing speaks against readiness.", u8::from(ready.ready));
    text.one("jobs_waiting", "gauge", "Jobs that are not at their end.", waiting.len());
    for (name, value) in stats.figures() {
        text.one(&format!("telemetry_{name}"), "gauge", "See docs/guide/metrics.md.", value);
    }
    let views = app.journal.views().await;
    text.one("journal_facts_total", "counter", "Facts in the journal.", app.journal.committed().borrow().seq);
    text.one("reactors_failed", "gauge", "Reactor failures since the start.", views.now.reactors_failed);
    text.one("watched_seconds_total", "counter", "Time really watched.", views.now.moment.watched.0 / 1_000_000_000);
    text.family("probe_up", "gauge", "1 pass, 0 fail, -1 unknown.");
    for (probe, row) in views.probes.iter() {
        let value = match row.status {
            Status::Pass => 1,
            Status::Fail => 0,
            Status::Unknown => -1,
        };
        text.value("probe_up", &[("probe", probe)], value);
    }
    text.family("rule_firing", "gauge", "1 when an incident of the rule is open.");
    for (rule, row) in views.phases.iter() {
        text.value("rule_firing", &[("rule", rule)], u8::from(matches!(row.phase, Phase::Firing | Phase::Clearing)));
    }
    text.family("backup_proved_timestamp_seconds", "gauge", "When a copy of the backup was last proved.");
    for (backup, row) in views.backups.iter() {
        let at = row.proved.map_or(0, |stamp| stamp.wall.0 / 1_000_000_000);
        text.value("backup_proved_timestamp_seconds", &[("backup", backup)], at);
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.0).into_response())
}
