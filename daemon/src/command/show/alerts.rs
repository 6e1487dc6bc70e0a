//! `alerts`: what fires, and with `--all` what ended and what is quiet.

use std::collections::{BTreeMap, BTreeSet};

use events::{ActionRun, Incident, Phase, RulePhase, Severity, Silence, Timestamp};
use web::answer::{AlertsAnswer, SilencesAnswer};

use super::{
    actions::{acting, under_way},
    sentence::{reading, readings, telling::scope},
};
use crate::command::{
    page::{Look, Page, Tone},
    text::{ago, cause, clock_utc, counted, lasting, padded, short},
};

/// The page, and whether nothing fires.
pub(crate) fn page(answer: &AlertsAnswer, all: bool, look: Look) -> (String, bool) {
    let mut page = Page::new(look);
    let mut open: Vec<&Incident> = answer
        .incidents
        .values()
        .filter(|incident| incident.resolved.is_none())
        .collect();
    open.sort_by_key(|incident| (incident.terms.severity, incident.fired.wall));
    let well = open.is_empty();
    let at = format!(" at {}", clock_utc(answer.asked_at, answer.asked_at));
    if well {
        page.marked(Tone::Good, "no alert fires", &at);
    } else {
        let fires = if open.len() == 1 {
            "alert is open"
        } else {
            "alerts are open"
        };
        page.marked(Tone::Bad, &format!("{} {fires}", open.len()), &at);
        page.gap();
    }
    let beside = Beside {
        phases: &answer.phases,
        silences: &answer.silences,
        runs: &answer.runs,
        now: answer.asked_at,
    };
    for one in &open {
        incident(&mut page, one, &beside);
    }
    acting(&mut page, &answer.runs, &open, answer.asked_at);
    doubtful(&mut page, answer);
    if all {
        ended(&mut page, answer);
        quiet(&mut page, answer);
    }
    (page.finish(), well)
}

/// What stands beside an incident.
pub(crate) struct Beside<'a> {
    /// Rules that are not inactive.
    pub(crate) phases: &'a BTreeMap<String, RulePhase>,
    /// Silences that are set.
    pub(crate) silences: &'a BTreeMap<String, Silence>,
    /// Runs of actions that are not concluded.
    pub(crate) runs: &'a BTreeMap<String, ActionRun>,
    /// When it was asked.
    pub(crate) now: Timestamp,
}

/// One incident in a few lines.
pub(crate) fn incident(page: &mut Page, incident: &Incident, beside: &Beside<'_>) {
    let now = beside.now;
    let row = beside.phases.get(incident.rule.as_str());
    let clearing = row.is_some_and(|row| row.phase == Phase::Clearing);
    let word = if clearing { "clears" } else { "FIRES" };
    let tone = if clearing { Tone::Doubt } else { Tone::Bad };
    let severity = severity(incident.terms.severity);
    let began = incident.breach_began;
    let head = format!(
        "{} ({severity}) since {}, {}",
        incident.rule,
        clock_utc(began, now),
        ago(began, now)
    );
    page.marked(tone, &padded(word, 8), &head);
    read(page, incident, row, now);
    if let Some(change) = incident.nearest_change() {
        let text = change.text_for(incident.service.as_ref());
        page.wrapped(8, &format!("just before: {text} at {}", clock_utc(change.wall, now)));
    }
    for (destination, why) in &incident.undelivered {
        page.wrapped(8, &format!("NOT TOLD to {destination}, given up: {}", cause(why)));
    }
    page.wrapped(
        8,
        &format!(
            "{}; watchkeep why {}",
            state(incident, beside).join("; "),
            short(&incident.id.to_string())
        ),
    );
}

/// What was read when it fired, and since then.
fn read(page: &mut Page, incident: &Incident, row: Option<&RulePhase>, now: Timestamp) {
    if let Some((at, since)) = incident.read_since() {
        // What ended the breach is a leaf that does not hold any more: all are shown.
        let all = || since.iter().map(reading).collect::<Vec<_>>().join("; ");
        let (word, said) = match row.map(|row| (row.phase, row.stopped)) {
            Some((_, Some(_))) => ("unknown", all()),
            Some((Phase::Clearing, None)) => ("not in breach", all()),
            _ => ("in breach", readings(since)),
        };
        page.wrapped(8, &format!("{word} since {}: {said}", clock_utc(at.wall, now)));
    }
    match readings(&incident.readings).as_str() {
        "" => page.wrapped(8, &incident.terms.when),
        fired => page.wrapped(8, &format!("at firing: {fired}")),
    }
}

/// Who has it in hand, and what is done about it.
fn state(incident: &Incident, beside: &Beside<'_>) -> Vec<String> {
    let now = beside.now;
    let mut state = vec![match &incident.ack {
        Some(ack) => format!("taken by {}", ack.by),
        None => "nobody has taken it".to_owned(),
    }];
    let in_force = |silence: &&Silence| {
        silence.from <= now && now < silence.until && silence.scope.covers(&incident.rule, incident.service.as_ref())
    };
    if let Some(silence) = beside.silences.values().find(in_force) {
        state.push(format!("silenced until {}", clock_utc(silence.until, now)));
    }
    state.extend(incident.actions.last().cloned());
    let runs = beside
        .runs
        .values()
        .filter(|run| run.incident == incident.id && run.acts());
    state.extend(runs.map(|run| format!("{} {}", run.action, under_way(run, now))));
    state
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Page => "page",
        Severity::Ticket => "ticket",
        Severity::Info => "info",
        Severity::Other => "?",
    }
}

/// Rules in breach that do not fire yet, and rules that see nothing.
fn doubtful(page: &mut Page, answer: &AlertsAnswer) {
    for (rule, row) in &answer.phases {
        if row.phase == Phase::Pending {
            let held = jiff::SignedDuration::from_nanos(row.held(answer.now.moment.watched));
            page.hanging(
                Tone::Doubt,
                "pending ",
                &format!("{rule} in breach for {}, not yet for long enough", lasting(held)),
            );
        }
        if let Some(stopped) = row.stopped {
            page.hanging(
                Tone::Doubt,
                "blind   ",
                &format!(
                    "{rule} is unknown since {}: it keeps as it is",
                    clock_utc(stopped.wall, answer.asked_at)
                ),
            );
        }
    }
}

fn ended(page: &mut Page, answer: &AlertsAnswer) {
    if answer.ended.is_empty() {
        return;
    }
    page.gap();
    page.line("ended, newest first");
    for incident in &answer.ended {
        let until = incident.resolved.map_or(answer.asked_at, |stamp| stamp.wall);
        let how = if incident.rule_removed {
            " (its rule was removed)"
        } else {
            ""
        };
        let text = format!(
            "{}  {} at {} for {}{how}",
            short(&incident.id.to_string()),
            incident.rule,
            clock_utc(incident.breach_began, answer.asked_at),
            lasting(until.since(incident.breach_began)),
        );
        page.line(&format!("  {text}"));
    }
}

fn quiet(page: &mut Page, answer: &AlertsAnswer) {
    let busy: BTreeSet<&String> = answer.phases.keys().collect();
    let quiet: Vec<&str> = answer
        .rules
        .iter()
        .filter(|rule| !busy.contains(rule))
        .map(String::as_str)
        .collect();
    page.gap();
    match quiet.as_slice() {
        [] => page.line("no rule is quiet"),
        many => page.hanging(
            Tone::Good,
            "quiet   ",
            &format!("{}: {}", counted(many.len() as u64, "rule", "rules"), many.join(", ")),
        ),
    }
}

/// `silence --list`.
pub(crate) fn silences(answer: &SilencesAnswer, look: Look) -> String {
    let mut page = Page::new(look);
    if answer.silences.is_empty() {
        page.line("nothing is silenced");
    }
    let now = answer.asked_at;
    for silence in answer.silences.values() {
        let word = if silence.from > now { "ahead" } else { "silent" };
        let from = if silence.from > now {
            format!("from {} ", clock_utc(silence.from, now))
        } else {
            String::new()
        };
        let text = format!(
            "{} {from}until {}, {}",
            scope(&silence.scope),
            clock_utc(silence.until, now),
            ago(silence.until, now)
        );
        page.hanging(Tone::Doubt, &padded(word, 8), &text);
        let reason = silence
            .reason
            .as_ref()
            .map_or_else(String::new, |reason| format!(": {reason}"));
        page.wrapped(
            8,
            &format!(
                "set by {}{reason}; watchkeep silence --lift {}",
                silence.by,
                short(&silence.id.to_string())
            ),
        );
    }
    page.finish()
}
