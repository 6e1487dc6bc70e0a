//! `status`: what is wrong first, since when and why; what is well in one line.

use events::{Backup, Incident, Network, Phase, Probe, Status, Timestamp};
use web::answer::{StatusAnswer, WaitingJob};

use super::{actions, alerts, backups, jobs, sentence::watching::found};
use crate::command::{
    page::{Look, Page, Tone},
    text::{ago, clock_utc, counted, lasting, number, padded, plain, width},
};

/// Most lines of one part.
const LINES_MAX: usize = 20;
/// Releases that are shown: what went live last is mostly what one looks for.
const RELEASES_MAX: usize = 3;
/// Widest name.
const NAME_MAX: usize = 24;

/// The page, and whether all is well.
pub(crate) fn page(answer: &StatusAnswer, look: Look) -> (String, bool) {
    let mut page = Page::new(look);
    let open: Vec<&Incident> = answer
        .incidents
        .values()
        .filter(|incident| incident.resolved.is_none())
        .collect();
    let failing = probes(answer, Status::Fail);
    let unknown = probes(answer, Status::Unknown);
    let bad_backups: Vec<(&String, String)> = answer
        .backups
        .iter()
        .filter(|(name, _)| is_configured(answer, name))
        .filter_map(|(name, row)| backups::trouble(row, answer.asked_at).map(|why| (name, why)))
        .collect();
    let stuck: Vec<&WaitingJob> = answer.jobs.iter().filter(|job| job.failure.is_some()).collect();
    let offline = answer.now.network == Network::Offline;
    let held: Vec<_> = answer
        .actions
        .iter()
        .filter_map(|(name, row)| row.held.as_ref().map(|why| (name, why)))
        .collect();
    let well = answer.ready.ready
        && answer.ready.degraded.is_empty()
        && open.is_empty()
        && failing.is_empty()
        && bad_backups.is_empty()
        && stuck.is_empty()
        && !offline
        && held.is_empty();

    headline(&mut page, answer, &open, failing.len(), well);
    daemon_problems(&mut page, answer, offline);
    incidents(&mut page, answer, &open);
    actions::acting(&mut page, &answer.runs, &open, answer.asked_at);
    looks(&mut page, &failing, Tone::Bad, "FAIL", answer.asked_at);
    looks(&mut page, &unknown, Tone::Doubt, "?", answer.asked_at);
    for (name, why) in bad_backups.iter().take(LINES_MAX) {
        page.hanging(Tone::Bad, "BACKUP  ", &format!("{name}: {why}"));
    }
    for (name, why) in held.iter().take(LINES_MAX) {
        page.hanging(
            Tone::Bad,
            "HELD    ",
            &format!("action {name}: {why}; `watchkeep actions allow {name}` releases it"),
        );
    }
    waiting(&mut page, &stuck);
    notes(&mut page, answer);
    page.gap();
    summary(&mut page, answer, failing.len() + unknown.len(), bad_backups.len());
    (page.finish(), well)
}

fn is_configured(answer: &StatusAnswer, backup: &str) -> bool {
    answer.described.backups.is_empty() || answer.described.backups.iter().any(|name| name.as_str() == backup)
}

/// Probes of a status, the one that has it longest first. What is configured and was never heard of is unknown.
fn probes(answer: &StatusAnswer, status: Status) -> Vec<(&str, &Probe)> {
    let configured = |name: &str| {
        answer.described.probes.is_empty() || answer.described.probes.iter().any(|probe| probe.name.as_str() == name)
    };
    let mut found: Vec<(&str, &Probe)> = answer
        .probes
        .iter()
        .filter(|(name, row)| row.status == status && configured(name))
        .map(|(name, row)| (name.as_str(), row))
        .collect();
    found.sort_by_key(|(name, row)| (row.since.wall, *name));
    found
}

fn headline(page: &mut Page, answer: &StatusAnswer, open: &[&Incident], failing: usize, well: bool) {
    if well {
        page.marked(
            Tone::Good,
            "all is well",
            &format!(" at {}", clock_utc(answer.asked_at, answer.asked_at)),
        );
        return;
    }
    let mut parts = Vec::new();
    if !answer.ready.ready {
        parts.push("the watch itself is in trouble".to_owned());
    }
    if !open.is_empty() {
        parts.push(format!("{} open", counted(open.len() as u64, "alert", "alerts")));
    }
    if failing > 0 {
        let verb = if failing == 1 { "fails" } else { "fail" };
        parts.push(format!("{} {verb}", counted(failing as u64, "probe", "probes")));
    }
    if parts.is_empty() {
        parts.push("something needs a look".to_owned());
    }
    page.marked(
        Tone::Bad,
        &parts.join(", "),
        &format!(" at {}", clock_utc(answer.asked_at, answer.asked_at)),
    );
    page.gap();
}

fn daemon_problems(page: &mut Page, answer: &StatusAnswer, offline: bool) {
    for problem in &answer.ready.problems {
        page.hanging(Tone::Bad, "WATCH   ", problem);
    }
    for degraded in &answer.ready.degraded {
        page.hanging(Tone::Doubt, "WATCH   ", degraded);
    }
    if offline {
        let since = answer.now.network_since.wall;
        let text = format!(
            "this machine is cut off since {}, {}: nothing outside is blamed",
            clock_utc(since, answer.asked_at),
            ago(since, answer.asked_at)
        );
        page.hanging(Tone::Bad, "OFFLINE ", &text);
    }
}

fn incidents(page: &mut Page, answer: &StatusAnswer, open: &[&Incident]) {
    let mut open = open.to_vec();
    open.sort_by_key(|incident| (incident.terms.severity, incident.fired.wall));
    let beside = alerts::Beside {
        phases: &answer.phases,
        silences: &answer.silences,
        runs: &answer.runs,
        now: answer.asked_at,
    };
    for incident in open.iter().take(LINES_MAX) {
        alerts::incident(page, incident, &beside);
    }
    more(page, open.len(), "alerts", "watchkeep alerts");
}

fn looks(page: &mut Page, rows: &[(&str, &Probe)], tone: Tone, word: &str, now: Timestamp) {
    let wide = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).min(NAME_MAX);
    for (name, row) in rows.iter().take(LINES_MAX) {
        let since = format!("since {}, {}", clock_utc(row.since.wall, now), ago(row.since.wall, now));
        let lead = format!("{} {}  ", padded(word, 7), padded(&plain(name), wide));
        page.hanging(tone, &lead, &format!("{} {since}", found(&row.look)));
    }
    more(page, rows.len(), "probes", "watchkeep status --json");
}

fn more(page: &mut Page, all: usize, what: &str, command: &str) {
    if all > LINES_MAX {
        page.wrapped(
            8,
            &format!("… {} more {what}: {command}", number((all - LINES_MAX) as u64)),
        );
    }
}

fn waiting(page: &mut Page, stuck: &[&WaitingJob]) {
    for waiting in stuck.iter().take(LINES_MAX) {
        page.hanging(Tone::Doubt, "WAITS   ", &jobs::line(waiting));
    }
    more(page, stuck.len(), "jobs", "watchkeep jobs");
}

fn notes(page: &mut Page, answer: &StatusAnswer) {
    if let Some(by) = &answer.now.acting_stopped_by {
        page.hanging(
            Tone::Doubt,
            "note    ",
            &format!("all acting is stopped by {by}; `watchkeep actions allow` allows it"),
        );
    }
    let now = answer.now.moment.wall.max(answer.asked_at);
    let ahead = answer.silences.values().filter(|silence| silence.from > now).count();
    let held = answer.silences.len() - ahead;
    if held > 0 {
        page.hanging(
            Tone::Doubt,
            "note    ",
            &format!(
                "{} in force: watchkeep silence --list",
                counted(held as u64, "silence is", "silences are")
            ),
        );
    }
    let pending: Vec<&str> = answer
        .phases
        .iter()
        .filter(|(_, row)| row.phase == Phase::Pending)
        .map(|(rule, _)| rule.as_str())
        .collect();
    if !pending.is_empty() {
        page.hanging(
            Tone::Doubt,
            "note    ",
            &format!("in breach, not yet for long enough: {}", listed(&pending)),
        );
    }
    if answer.described.destinations.is_empty() && !answer.described.rules.is_empty() {
        page.hanging(Tone::Doubt, "note    ", "nobody is told: no [notify.…] is configured");
    }
    // Without a file that could be read, nobody can say what stands in it.
    if answer.described.backups.is_empty() && !answer.described.file.is_empty() {
        page.hanging(
            Tone::Doubt,
            "note    ",
            "nothing is backed up: add [backup.journal], see docs/guide/backups.md",
        );
    }
}

fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 8 {
        format!("{shown} and {} more", names.len() - 8)
    } else {
        shown
    }
}

/// What is well, and who says so.
fn summary(page: &mut Page, answer: &StatusAnswer, not_passing: usize, bad_backups: usize) {
    let passing = probes(answer, Status::Pass).len();
    let mut parts = Vec::new();
    if passing > 0 {
        let all = if not_passing == 0 && passing > 1 { "all " } else { "" };
        parts.push(format!("{all}{}", counted(passing as u64, "probe", "probes")));
    }
    let good: Vec<&Backup> = answer
        .backups
        .iter()
        .filter(|(name, row)| is_configured(answer, name) && backups::trouble(row, answer.asked_at).is_none())
        .map(|(_, row)| row)
        .collect();
    if !good.is_empty() {
        let oldest = good.iter().filter_map(|row| row.proved).map(|proved| proved.wall).min();
        let proof = oldest.map_or_else(
            || ", not due yet".to_owned(),
            |wall| format!(", proved {}", ago(wall, answer.asked_at)),
        );
        let all = if bad_backups == 0 && good.len() > 1 { "all " } else { "" };
        parts.push(format!(
            "{all}{}{proof}",
            counted(good.len() as u64, "backup", "backups")
        ));
    }
    if !parts.is_empty() {
        page.hanging(Tone::Good, "ok      ", &parts.join("; "));
    }
    releases(page, answer);
    let now = &answer.now;
    let up = if answer.running {
        format!("up {}", lasting(answer.asked_at.since(now.started.wall)))
    } else {
        "NOT RUNNING".to_owned()
    };
    let environment = if answer.described.environment.is_empty() {
        String::new()
    } else {
        format!(" in {}", answer.described.environment)
    };
    let rules = counted(answer.described.rules.len() as u64, "rule", "rules");
    let seen = counted(answer.probes.len() as u64, "probe", "probes");
    page.hanging(
        Tone::Quiet,
        "watch   ",
        &format!("watchkeep {}{environment}, {up}; {seen}, {rules}", answer.version),
    );
}

/// What went live last.
fn releases(page: &mut Page, answer: &StatusAnswer) {
    let mut rows: Vec<_> = answer.releases.iter().collect();
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.recorded.wall));
    let wide = rows
        .iter()
        .take(RELEASES_MAX)
        .map(|(service, _)| width(service))
        .max()
        .unwrap_or(0)
        .min(NAME_MAX);
    for (place, (service, row)) in rows.into_iter().take(RELEASES_MAX).enumerate() {
        let at = row.current.began.unwrap_or(row.recorded.wall);
        let label = if place == 0 { "live    " } else { "        " };
        let since = format!("since {}, {}", clock_utc(at, answer.asked_at), ago(at, answer.asked_at));
        page.marked(
            Tone::Quiet,
            label,
            &format!("{}  {}  {since}", padded(&plain(service), wide), row.current.version),
        );
    }
}
