//! Why an incident is, or was.

use events::{Fact, Incident, Phase, PhaseCause, Reading, Severity};
use jiff::SignedDuration;
use web::answer::WhyAnswer;

use super::{Once, at, done, told};
use crate::command::{
    page::{Page, Tone},
    show::sentence::{self, reading_on, watching::found},
    text::{ago, clock, clock_utc, counted, lasting, short},
};

/// Looks of probes that are shown, and changes since it fired.
const HISTORY_MAX: usize = 6;
/// What is looked at before a breach.
const LEAD_IN: SignedDuration = SignedDuration::from_mins(10);

pub(super) fn page(page: &mut Page, answer: &WhyAnswer) {
    let Ok(incident) = serde_json::from_value::<Incident>(answer.row.clone()) else {
        page.line("this incident was written by a version that this one does not understand");
        return;
    };
    headline(page, &incident, answer);
    page.gap();
    since(page, &incident, answer);
    why(page, &incident, answer);
    before(page, &incident, answer);
    after(page, &incident, answer);
    done::page(page, answer, "nothing: no action, and nobody has taken it");
    told::page(page, &incident, answer);
    page.gap();
    now(page, &incident, answer);
}

fn headline(page: &mut Page, incident: &Incident, answer: &WhyAnswer) {
    let severity = match incident.terms.severity {
        Severity::Page => "page",
        Severity::Ticket => "ticket",
        Severity::Info => "info",
        Severity::Other => "?",
    };
    let service = incident
        .service
        .as_ref()
        .map_or_else(String::new, |service| format!(", service {service}"));
    let rest = format!(
        "  {} ({severity}){service}, incident {}",
        incident.rule,
        short(&answer.id)
    );
    match incident.resolved {
        None => page.marked(Tone::Bad, "FIRING", &rest),
        Some(_) if incident.rule_removed => page.marked(Tone::Doubt, "ENDED (its rule was removed)", &rest),
        Some(_) => page.marked(Tone::Good, "RESOLVED", &rest),
    }
    if let Some(summary) = &incident.terms.summary {
        page.wrapped(0, summary);
    }
}

fn since(page: &mut Page, incident: &Incident, answer: &WhyAnswer) {
    let now = answer.asked_at;
    let began = incident.breach_began;
    let text = match incident.resolved {
        None => format!("{}, {}", clock_utc(began, now), ago(began, now)),
        Some(resolved) => format!(
            "{} to {}, for {}",
            clock(began, now),
            clock_utc(resolved.wall, now),
            lasting(resolved.wall.since(began))
        ),
    };
    let held = lasting(incident.fired.wall.since(began));
    page.field(
        "since",
        &format!(
            "{text}; it fired at {} after {held} in breach",
            clock(incident.fired.wall, now)
        ),
    );
}

fn why(page: &mut Page, incident: &Incident, answer: &WhyAnswer) {
    let mut label = Once("why");
    for leaf in &incident.readings {
        let unknown = if leaf.holds.is_none() { " (unknown)" } else { "" };
        label.line(page, &format!("{}{unknown}", reading_on(leaf, answer.asked_at)));
    }
    if incident.readings.is_empty() {
        label.line(page, &incident.terms.when);
    }
    for text in looks(incident, answer) {
        label.line(page, &text);
    }
    let all = |readings: &[Reading]| {
        let each = readings.iter().map(|leaf| reading_on(leaf, answer.asked_at));
        each.collect::<Vec<_>>().join("; ")
    };
    match (incident.resolved, incident.read_since()) {
        (Some(_), _) if !incident.last_readings.is_empty() => page.field("ended by", &all(&incident.last_readings)),
        (None, Some((at, readings))) => {
            page.field(
                "last",
                &format!("{} {}", clock(at.wall, answer.asked_at), all(readings)),
            );
        }
        _ => {}
    }
}

/// What probes said around it: the last words before it fired first.
fn looks(incident: &Incident, answer: &WhyAnswer) -> Vec<String> {
    let mut lines = Vec::new();
    for fact in &answer.facts {
        let Fact::ProbeChanged(changed) = &fact.fact.fact else {
            continue;
        };
        let word = match changed.look.status {
            events::Status::Pass => "works",
            events::Status::Fail => "fails",
            events::Status::Unknown => "unknown",
        };
        let what = match changed.look.status {
            events::Status::Pass => String::new(),
            _ => format!(": {}", found(&changed.look)),
        };
        lines.push(format!("{} probe {} {word}{what}", at(answer, fact), changed.probe));
        let first = changed.look.evidence.lines().find(|line| !line.trim().is_empty());
        if let Some(first) = first.filter(|_| fact.seq <= incident.fired.seq) {
            lines.push(format!("  it answered: {first}"));
        }
    }
    let left = lines.len().saturating_sub(HISTORY_MAX);
    lines.drain(..left);
    if left > 0 {
        lines.insert(0, format!("… {} before", counted(left as u64, "line", "lines")));
    }
    lines
}

fn before(page: &mut Page, incident: &Incident, answer: &WhyAnswer) {
    let mut label = Once("before");
    if incident.changes.is_empty() {
        label.line(page, "nothing that was recorded changed shortly before");
    }
    for change in incident.changes_by_nearness() {
        let ahead = incident.breach_began.since(change.wall);
        let gap = match ahead.as_secs() {
            _ if ahead.is_negative() => String::new(),
            0 => ", just before the breach".to_owned(),
            _ => format!(", {} before the breach", lasting(ahead)),
        };
        label.line(
            page,
            &format!(
                "{} {}{gap}",
                clock(change.wall, answer.asked_at),
                change.text_for(incident.service.as_ref())
            ),
        );
    }
}

/// What changed since it fired: perhaps somebody is at it already.
fn after(page: &mut Page, incident: &Incident, answer: &WhyAnswer) {
    let mut label = Once("after");
    let changes = answer
        .facts
        .iter()
        .filter(|fact| fact.seq > incident.fired.seq)
        .filter(|fact| {
            matches!(
                fact.fact.fact,
                Fact::DeploymentRecorded(_) | Fact::Configured(_) | Fact::NetworkChanged(_) | Fact::ClockJumped(_)
            )
        });
    for fact in changes.take(HISTORY_MAX) {
        let said = sentence::of(&fact.fact);
        label.line(page, &format!("{} {} {}", at(answer, fact), said.about, said.text));
    }
}

fn now(page: &mut Page, incident: &Incident, answer: &WhyAnswer) {
    let id = short(&answer.id);
    let mut label = Once("now");
    match (&incident.terms.runbook, incident.resolved) {
        (_, Some(_)) if !incident.rule_removed => label.line(page, "nothing has to be done: it is over"),
        (Some(runbook), _) => label.line(page, runbook),
        _ => {}
    }
    if let Some(held) = answer.facts.iter().rev().find_map(held) {
        label.line(page, &format!("watchkeep actions allow {held} (once you have looked)"));
    }
    if incident.resolved.is_none() && incident.ack.is_none() {
        label.line(page, &format!("watchkeep ack {id} (stops the reminders)"));
    }
    let service = incident
        .service
        .as_ref()
        .map_or_else(String::new, |service| format!(" --service {service}"));
    let since = span(answer.asked_at.since(incident.breach_began) + LEAD_IN);
    label.line(page, &format!("watchkeep timeline{service} --since {since}"));
    if incident.service.is_some() {
        label.line(
            page,
            &format!("watchkeep logs{service} --severity warn --since {since}"),
        );
    }
    if answer.facts.iter().any(removed) {
        label.line(page, "the rule is gone: nobody watches whether the breach goes on");
    }
}

/// As `--since` takes it, rounded up.
pub(super) fn span(duration: SignedDuration) -> String {
    let minutes = duration.as_secs().max(0) / 60 + 1;
    match minutes {
        ..300 => format!("{minutes}m"),
        300..6000 => format!("{}h", minutes / 60 + 1),
        _ => format!("{}d", minutes / 1440 + 1),
    }
}

fn held(fact: &web::answer::ShownFact) -> Option<&events::Name> {
    match &fact.fact.fact {
        Fact::ActionConcluded(concluded) if concluded.result == events::ActionResult::Held => Some(&concluded.action),
        _ => None,
    }
}

fn removed(fact: &web::answer::ShownFact) -> bool {
    matches!(&fact.fact.fact, Fact::AlertPhase(phase) if phase.why == PhaseCause::RuleRemoved && phase.to == Phase::Inactive)
}
