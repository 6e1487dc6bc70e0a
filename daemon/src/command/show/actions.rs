//! `actions`: what may act, what it did last, and what holds it.

use std::collections::BTreeMap;

use events::{Action, ActionRun, Incident, RunState, Stamp, Timestamp};
use web::answer::{ActionsAnswer, DescribedAction};

use super::sentence::acting::gates;
use crate::command::{
    page::{Look, Page, Tone},
    text::{ago, clock_utc, short},
};

/// The page, and whether none is held.
pub(crate) fn page(answer: &ActionsAnswer, look: Look) -> (String, bool) {
    let mut page = Page::new(look);
    let now = answer.asked_at;
    if let Some(by) = &answer.stopped_by {
        page.hanging(
            Tone::Doubt,
            "STOPPED ",
            &format!("all acting is stopped by {by}; `watchkeep actions allow` allows it"),
        );
        page.gap();
    }
    if answer.configured.is_empty() {
        page.line("no action is configured: see docs/guide/actions.md");
    }
    let unseen = Action::default();
    let mut well = true;
    for described in &answer.configured {
        let row = answer.actions.get(described.name.as_str()).unwrap_or(&unseen);
        let mut runs = answer.runs.iter();
        let run = runs.find(|(_, run)| run.action == described.name && run.acts());
        well &= action(&mut page, described, row, run, now);
    }
    let configured = |run: &ActionRun| answer.configured.iter().any(|known| known.name == run.action);
    for (id, run) in answer.runs.iter().filter(|(_, run)| run.acts() && !configured(run)) {
        page.gap();
        let text = format!("{}, not configured any more, {}", run.action, under_way(run, now));
        page.hanging(Tone::Doubt, "ACTS    ", &format!("{text}; watchkeep why {}", short(id)));
    }
    (page.finish(), well)
}

fn action(
    page: &mut Page,
    described: &DescribedAction,
    row: &Action,
    run: Option<(&String, &ActionRun)>,
    now: Timestamp,
) -> bool {
    let name = &described.name;
    match (&row.held, run) {
        (Some(why), _) => page.hanging(
            Tone::Bad,
            "HELD    ",
            &format!("{name}: {why}; `watchkeep actions allow {name}` releases it"),
        ),
        (None, Some(_)) => page.hanging(Tone::Doubt, "ACTS    ", &format!("{name} ({})", described.mode)),
        (None, None) => page.hanging(Tone::Good, "ready   ", &format!("{name} ({})", described.mode)),
    }
    page.wrapped(8, &described.command);
    if let Some((id, run)) = run {
        page.wrapped(8, &format!("{}; watchkeep why {}", under_way(run, now), short(id)));
    }
    page.wrapped(8, &last(row, run.is_some(), now));
    row.held.is_none()
}

/// What came of the run that was concluded last: not of one that is under way.
fn last(row: &Action, acts: bool, now: Timestamp) -> String {
    let Some(result) = &row.last_result else {
        return match (row.last_act, acts) {
            (None, _) => "it never acted".to_owned(),
            (Some(_), true) => "no run was concluded yet".to_owned(),
            (Some(stamp), false) => format!("it acted {}, not concluded yet", ago(stamp.wall, now)),
        };
    };
    let when = row
        .last_result_at
        .map_or_else(String::new, |stamp| format!(" {}", ago(stamp.wall, now)));
    let run = row.last_result_run.map_or_else(String::new, |run| {
        format!("; watchkeep why {}", short(&run.to_string()))
    });
    let before = if acts { "the run before" } else { "last run" };
    format!("{before}, concluded{when}: {result}{run}")
}

/// What acts just now for an incident that is over: those of open incidents are said there.
pub(crate) fn acting(page: &mut Page, runs: &BTreeMap<String, ActionRun>, open: &[&Incident], now: Timestamp) {
    let said = |run: &ActionRun| open.iter().any(|incident| incident.id == run.incident);
    for (id, run) in runs.iter().filter(|(_, run)| run.acts() && !said(run)) {
        let text = format!(
            "action {} {}; watchkeep why {}",
            run.action,
            under_way(run, now),
            short(id)
        );
        page.hanging(Tone::Doubt, "ACTS    ", &text);
    }
}

/// How a run stands that is not concluded.
pub(crate) fn under_way(run: &ActionRun, now: Timestamp) -> String {
    let since =
        |stamp: Option<Stamp>| stamp.map_or_else(String::new, |stamp| format!(" since {}", clock_utc(stamp.wall, now)));
    match run.state {
        RunState::Starting => format!("acts{}", since(run.starting)),
        RunState::Verifying => format!(
            "has acted and waits{} for what it should bring about",
            since(run.finished)
        ),
        _ => state(run),
    }
}

/// Where a run stands.
pub(crate) fn state(run: &ActionRun) -> String {
    match run.state {
        RunState::Proposed if run.acts() => "is about to act".to_owned(),
        RunState::Proposed => format!("proposed, {}", gates(&run.gates)),
        RunState::Starting => "acts".to_owned(),
        RunState::Verifying => "done, waits for what it should bring about".to_owned(),
        RunState::Failed => "failed".to_owned(),
        RunState::Refused => gates(&run.gates),
        RunState::Other => "in a state that only a newer version knows".to_owned(),
    }
}
