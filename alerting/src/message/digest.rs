//! Many messages in one: what still fires first, each on one line; what does not fit is counted.

use std::collections::BTreeMap;

use events::{About, IncidentId, Moment, Severity, Views};

use super::{
    Draft, Kind, Waiting,
    incident::{What, title},
};
use crate::words::{clip, count};

/// Most lines.
const LINES_MAX: usize = 50;
/// Longest line.
const LINE_MAX: usize = 110;

/// What is waiting, sorted by what a person wants to know first.
#[derive(Default)]
struct Sorted {
    firing: Vec<String>,
    resolved: Vec<String>,
    notices: Vec<String>,
    severity: Option<Severity>,
}

impl Sorted {
    fn raise(&mut self, severity: Severity) {
        self.severity = Some(self.severity.map_or(severity, |before| before.min(severity)));
    }
}

pub(super) fn draft(views: &Views, first: &Waiting<'_>, waiting: &[Waiting<'_>], now: &Moment) -> Draft {
    let mut sorted = Sorted::default();
    // What is said of each incident: whether it began, and whether it ended.
    let mut incidents: BTreeMap<IncidentId, (bool, bool)> = BTreeMap::new();
    let mut order = Vec::new();
    for message in std::iter::once(first).chain(waiting) {
        match message.about {
            About::Firing { incident } | About::Reminder { incident, .. } | About::Resolved { incident } => {
                let said = incidents.entry(*incident).or_insert_with(|| {
                    order.push(*incident);
                    (false, false)
                });
                said.0 |= matches!(message.about, About::Firing { .. });
                said.1 |= matches!(message.about, About::Resolved { .. });
            }
            About::Notice { title, severity, .. } => {
                sorted.raise(*severity);
                sorted.notices.push(title.clone());
            }
            About::Test { by } => sorted.notices.push(format!("TEST message, {by} asked for it")),
            About::Other => sorted
                .notices
                .push("a message that this version cannot read".to_owned()),
        }
    }
    for id in order {
        let Some((began, ended)) = incidents.get(&id).copied() else {
            continue;
        };
        tell(views, id, (began, ended), now, &mut sorted);
    }
    Draft {
        kind: Kind::Digest,
        severity: sorted.severity.unwrap_or(Severity::Info),
        title: heading(&sorted, waiting.len() + 1),
        text: text(sorted),
        incident: None,
        covers: waiting.iter().map(|message| message.job).collect(),
    }
}

fn tell(views: &Views, id: IncidentId, (began, ended): (bool, bool), now: &Moment, into: &mut Sorted) {
    let Some(incident) = views.incidents.get(&id.to_string()) else {
        into.firing.push(format!("incident {id}: watchkeep why {id}"));
        return;
    };
    into.raise(incident.terms.severity);
    if ended {
        let what = What::Resolved { first_told: began };
        into.resolved.push(title(incident, what, now.wall));
    } else {
        into.firing.push(title(incident, What::Firing, now.wall));
    }
}

/// `12 messages: 7 firing, 3 resolved, 2 notices`.
fn heading(sorted: &Sorted, messages: usize) -> String {
    let mut parts = Vec::new();
    for (number, what) in [(sorted.firing.len(), "firing"), (sorted.resolved.len(), "resolved")] {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    }
    if !sorted.notices.is_empty() {
        parts.push(count(sorted.notices.len(), "notice"));
    }
    format!("{} in one: {}", count(messages, "message"), parts.join(", "))
}

fn text(sorted: Sorted) -> String {
    let all: Vec<String> = sorted
        .firing
        .into_iter()
        .chain(sorted.notices)
        .chain(sorted.resolved)
        .map(|line| clip(&line, LINE_MAX))
        .collect();
    let more = all.len().saturating_sub(LINES_MAX);
    let mut lines: Vec<String> = all.into_iter().take(LINES_MAX).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.push("To do:".to_owned());
    lines.push("  watchkeep alerts".to_owned());
    lines.push("  watchkeep timeline --since 1d".to_owned());
    lines.join("\n")
}
