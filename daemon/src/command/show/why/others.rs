//! Why a run of an action, a copy or a message came out as it did.

use events::{ActionMode, Delivery, DeliveryState, Fact, Gate, Snapshot};
use web::answer::WhyAnswer;

use super::{Once, done};
use crate::command::{
    page::{Page, Tone},
    show::{
        actions,
        sentence::{acting, reading_on, telling},
        timeline,
    },
    text::{ago, clock_utc, counted, short, size},
};

/// A run of an action.
pub(super) fn run(page: &mut Page, answer: &WhyAnswer) {
    let Some(run) = answer.run() else {
        page.line("this run was written by a version that this one does not understand");
        return;
    };
    let now = answer.asked_at;
    let mode = if run.mode == ActionMode::Automatic {
        "automatic"
    } else {
        "dry-run"
    };
    let (tone, word) = match run.result {
        None => (Tone::Doubt, actions::state(&run)),
        Some(result @ (events::ActionResult::Verified | events::ActionResult::DryRun)) => {
            (Tone::Good, acting::result(result).to_owned())
        }
        Some(result) => (Tone::Bad, acting::result(result).to_owned()),
    };
    page.marked(
        tone,
        &run.action.to_string(),
        &format!(" ({mode}): {word}, run {}", short(&answer.id)),
    );
    page.gap();
    page.field(
        "since",
        &format!("{}, {}", clock_utc(run.proposed.wall, now), ago(run.proposed.wall, now)),
    );
    let mut label = Once("why");
    label.line(page, &format!("incident {}", short(&run.incident.to_string())));
    run.evidence
        .iter()
        .for_each(|leaf| label.line(page, &reading_on(leaf, now)));
    if let Some(release) = &run.release {
        label.line(page, &format!("release {release} was live"));
    }
    let mut label = Once("before");
    for change in answer.incident.iter().flat_map(|incident| &incident.changes) {
        label.line(page, &format!("{} {}", clock_utc(change.wall, now), change.text));
    }
    gates(page, answer, &run.gates);
    let would = if run.starting.is_none() { "would run" } else { "command" };
    page.field(would, &run.command);
    done::page(page, answer, "nothing");
    page.gap();
    let held = answer.facts.iter().any(
        |fact| matches!(&fact.fact.fact, Fact::ActionConcluded(done) if done.result == events::ActionResult::Held),
    );
    let mut label = Once("now");
    if held {
        label.line(
            page,
            &format!("watchkeep actions allow {} (once you have looked)", run.action),
        );
    }
    label.line(
        page,
        &format!("watchkeep why {} (the incident)", short(&run.incident.to_string())),
    );
}

/// Every gate as it stood last, the closed ones first: some are asked at the proposal only, some again right before the act.
fn gates(page: &mut Page, answer: &WhyAnswer, known: &[Gate]) {
    let proposed = answer.facts.iter().find_map(|fact| match &fact.fact.fact {
        Fact::ActionProposed(proposed) => Some(&proposed.gates),
        _ => None,
    });
    let again = answer.facts.iter().rev().find_map(|fact| match &fact.fact.fact {
        Fact::ActStarting(gated) | Fact::ActRefused(gated) => Some(&gated.gates),
        _ => None,
    });
    let first = proposed.map_or(known, Vec::as_slice);
    let again = again.filter(|_| proposed.is_some()).map_or(&[][..], Vec::as_slice);
    let mut all: Vec<(&Gate, &str)> = Vec::new();
    for gate in first {
        match again.iter().find(|other| other.gate == gate.gate) {
            Some(other) => all.push((other, " (right before the act)")),
            None => all.push((gate, "")),
        }
    }
    let only_then = again
        .iter()
        .filter(|gate| first.iter().all(|other| other.gate != gate.gate));
    all.extend(only_then.map(|gate| (gate, " (right before the act)")));
    all.sort_by_key(|(gate, _)| gate.open);
    let mut label = Once("gates");
    for (gate, when) in all {
        let word = if gate.open { "open" } else { "CLOSED" };
        label.line(page, &format!("{word} {}: {}{when}", gate.gate, gate.why));
    }
}

/// A copy of a backup.
pub(super) fn snapshot(page: &mut Page, answer: &WhyAnswer) {
    let Ok(copy) = serde_json::from_value::<Snapshot>(answer.row.clone()) else {
        page.line("this copy was written by a version that this one does not understand");
        return;
    };
    let now = answer.asked_at;
    let (tone, word) = match (&copy.damaged, copy.proved, copy.verified) {
        (Some(_), _, _) => (Tone::Bad, "DAMAGED"),
        (None, Some(_), _) => (Tone::Good, "PROVED"),
        (None, None, Some(_)) => (Tone::Doubt, "READ BACK, NOT PROVED"),
        (None, None, None) => (Tone::Doubt, "NOT PROVED"),
    };
    page.marked(
        tone,
        word,
        &format!("  copy {} of {} in {}", short(&answer.id), copy.backup, copy.repository),
    );
    page.gap();
    page.field(
        "of",
        &format!(
            "{}, taken {}",
            clock_utc(copy.intended, now),
            ago(copy.captured.wall, now)
        ),
    );
    page.field(
        "holds",
        &format!(
            "{}, {} ({} new)",
            counted(copy.files, "file", "files"),
            size(copy.bytes),
            size(copy.added_bytes)
        ),
    );
    if let Some(why) = &copy.damaged {
        page.field("why", why);
    }
    for (what, stamp) in [("read back", copy.verified), ("proved", copy.proved)] {
        let text = stamp.map_or_else(
            || "never".to_owned(),
            |stamp| format!("{}, {}", clock_utc(stamp.wall, now), ago(stamp.wall, now)),
        );
        page.field(what, &text);
    }
    page.gap();
    timeline::lines(page, &answer.facts.iter().collect::<Vec<_>>());
    page.gap();
    let next = match copy.damaged {
        Some(_) => format!("watchkeep backup run {} (makes another one)", copy.backup),
        None => format!(
            "watchkeep restore --repository {} --snapshot {} --to DIR",
            copy.repository,
            short(&answer.id)
        ),
    };
    page.field("now", &next);
}

/// A message to somebody.
pub(super) fn message(page: &mut Page, answer: &WhyAnswer) {
    let Ok(delivery) = serde_json::from_value::<Delivery>(answer.row.clone()) else {
        page.line("this message was written by a version that this one does not understand");
        return;
    };
    let now = answer.asked_at;
    let (tone, word) = match &delivery.state {
        DeliveryState::Delivered => (Tone::Good, "DELIVERED".to_owned()),
        DeliveryState::Queued => (Tone::Doubt, "WAITS".to_owned()),
        DeliveryState::Started => (Tone::Doubt, "UNDER WAY".to_owned()),
        DeliveryState::Covered { by } => (Tone::Plain, format!("SAID by message {}", short(&by.to_string()))),
        DeliveryState::GivenUp { ending } => (Tone::Bad, format!("GIVEN UP ({})", telling::ending(*ending))),
    };
    page.marked(
        tone,
        &word,
        &format!("  message {} to {}", short(&answer.id), delivery.destination),
    );
    page.gap();
    page.field("says", &telling::about(&delivery.about));
    page.field(
        "queued",
        &format!(
            "{}, {}",
            clock_utc(delivery.queued.wall, now),
            ago(delivery.queued.wall, now)
        ),
    );
    if let Some(why) = &delivery.failure {
        page.field("failed", why);
    }
    if let Some(said) = delivery.answer.as_ref().filter(|said| !said.is_empty()) {
        page.field("answer", said);
    }
    page.gap();
    timeline::lines(page, &answer.facts.iter().collect::<Vec<_>>());
    page.gap();
    let mut label = Once("now");
    if !delivery.is_over() || matches!(delivery.state, DeliveryState::GivenUp { .. }) {
        label.line(
            page,
            &format!("watchkeep notify test {} (tries it for real)", delivery.destination),
        );
    }
    if let Some(about) = delivery.about.incident() {
        label.line(
            page,
            &format!("watchkeep why {} (the incident)", short(&about.to_string())),
        );
    }
}
