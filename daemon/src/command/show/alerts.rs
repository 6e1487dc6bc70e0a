//! `alerts`: what fires, and with `--all` what ended and what is quiet.

use std::collections::BTreeSet;

use events::{Incident, Phase, Severity, Silence, Timestamp};
use web::answer::{AlertsAnswer, SilencesAnswer};

use super::sentence::{readings, telling::scope};
use crate::command::{
    page::{Look, Page, Tone},
    text::{ago, clock_utc, counted, lasting, padded, short},
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
    for one in &open {
        let clearing = answer
            .phases
            .get(one.rule.as_str())
            .is_some_and(|row| row.phase == Phase::Clearing);
        incident(&mut page, one, clearing, answer.silences.values(), answer.asked_at);
    }
    doubtful(&mut page, answer);
    if all {
        ended(&mut page, answer);
        quiet(&mut page, answer);
    }
    (page.finish(), well)
}

/// One incident in two or three lines.
pub(crate) fn incident<'a>(
    page: &mut Page,
    incident: &Incident,
    clearing: bool,
    silences: impl Iterator<Item = &'a Silence>,
    now: Timestamp,
) {
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
    let why = readings(&incident.readings);
    let why = if why.is_empty() { &incident.terms.when } else { &why };
    page.wrapped(8, why);
    if let Some(change) = incident.changes.last() {
        page.wrapped(
            8,
            &format!("just before: {} at {}", change.text, clock_utc(change.wall, now)),
        );
    }
    let mut state = Vec::new();
    match &incident.ack {
        Some(ack) => state.push(format!("taken by {}", ack.by)),
        None => state.push("nobody has taken it".to_owned()),
    }
    let mut silences = silences;
    if let Some(silence) = silences.find(|silence| {
        silence.from <= now && now < silence.until && silence.scope.covers(&incident.rule, incident.service.as_ref())
    }) {
        state.push(format!("silenced until {}", clock_utc(silence.until, now)));
    }
    if let Some(done) = incident.actions.last() {
        state.push(done.clone());
    }
    page.wrapped(
        8,
        &format!(
            "{}; watchkeep why {}",
            state.join("; "),
            short(&incident.id.to_string())
        ),
    );
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
