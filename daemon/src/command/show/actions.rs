//! `actions`: what may act, what it did last, and what holds it.

use events::{Action, ActionRun, RunState, Timestamp};
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
        well &= action(&mut page, described, row, now);
    }
    for (id, run) in &answer.runs {
        page.gap();
        let text = format!(
            "{} since {}: {}; watchkeep why {}",
            run.action,
            clock_utc(run.proposed.wall, now),
            state(run),
            short(id)
        );
        page.hanging(Tone::Doubt, "runs    ", &text);
    }
    (page.finish(), well)
}

fn action(page: &mut Page, described: &DescribedAction, row: &Action, now: Timestamp) -> bool {
    let name = &described.name;
    match &row.held {
        Some(why) => page.hanging(
            Tone::Bad,
            "HELD    ",
            &format!("{name}: {why}; `watchkeep actions allow {name}` releases it"),
        ),
        None => page.hanging(Tone::Good, "ready   ", &format!("{name} ({})", described.mode)),
    }
    page.wrapped(8, &described.command);
    let last = match (&row.last_result, row.last_act) {
        (None, None) => "it never acted".to_owned(),
        (result, acted) => {
            let when = acted.map_or_else(
                || "never acted".to_owned(),
                |stamp| format!("acted {}", ago(stamp.wall, now)),
            );
            let run = row.last_run.map_or_else(String::new, |run| {
                format!("; watchkeep why {}", short(&run.to_string()))
            });
            format!("{when}; {}{run}", said(result.as_deref(), name.as_str()))
        }
    };
    page.wrapped(8, &last);
    row.held.is_none()
}

/// What came of the last run; its name is known by its place.
fn said<'a>(result: Option<&'a str>, name: &str) -> &'a str {
    let Some(result) = result else {
        return "not concluded yet";
    };
    result
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(result)
}

/// Where a run stands.
pub(crate) fn state(run: &ActionRun) -> String {
    match run.state {
        RunState::Proposed => format!("proposed, {}", gates(&run.gates)),
        RunState::Starting => "acts".to_owned(),
        RunState::Verifying => "done, waits for what it should bring about".to_owned(),
        RunState::Failed => "failed".to_owned(),
        RunState::Refused => gates(&run.gates),
        RunState::Other => "in a state that only a newer version knows".to_owned(),
    }
}
