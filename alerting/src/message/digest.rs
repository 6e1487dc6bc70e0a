//! Many messages in one: what still fires first, each on one line; what does not fit is counted.

use std::collections::BTreeMap;

use events::{About, IncidentId, Moment, Severity, Timestamp, Views};

use super::{
    Draft, Kind, Waiting,
    incident::{What, title},
};
use crate::words::{clip, count, moment};

/// Most lines.
const LINES_MAX: usize = 50;
/// Longest line, without what stands in brackets.
const LINE_MAX: usize = 110;

/// What is waiting, sorted by what a person wants to know first; incidents in order of time.
#[derive(Default)]
struct Sorted {
    firing: Vec<(Timestamp, String)>,
    resolved: Vec<(Timestamp, String)>,
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
        title: heading(&sorted),
        text: text(sorted),
        incident: None,
        covers: waiting.iter().map(|message| message.job).collect(),
    }
}

fn tell(views: &Views, id: IncidentId, (began, ended): (bool, bool), now: &Moment, into: &mut Sorted) {
    let Some(incident) = views.incidents.get(&id.to_string()) else {
        into.firing.push((now.wall, format!("incident {id}")));
        return;
    };
    into.raise(incident.terms.severity);
    let id = id.to_string();
    let id = id.split('-').next().unwrap_or(&id);
    if ended {
        let line = title(incident, What::Resolved { first_told: began }, now.wall);
        let at = incident.resolved.map_or(now.wall, |stamp| stamp.wall);
        into.resolved.push((at, format!("{} [{id}]", clip(&line, LINE_MAX))));
    } else {
        let line = title(incident, What::Firing, now.wall);
        let since = incident.breach_began;
        let over = incident.resolved.map_or("", |_| ", over by now");
        let line = format!("{} [{id}, since {}{over}]", clip(&line, LINE_MAX), moment(since));
        into.firing.push((since, line));
    }
}

/// `7 firing, 3 resolved, 2 notices in one message`.
fn heading(sorted: &Sorted) -> String {
    let mut parts = Vec::new();
    for (number, what) in [(sorted.firing.len(), "firing"), (sorted.resolved.len(), "resolved")] {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    }
    if !sorted.notices.is_empty() {
        parts.push(count(sorted.notices.len(), "notice"));
    }
    format!("{} in one message", parts.join(", "))
}

fn text(sorted: Sorted) -> String {
    let by_time = |mut lines: Vec<(Timestamp, String)>| {
        lines.sort_by_key(|(at, _)| *at);
        lines.into_iter().map(|(_, line)| line)
    };
    let notices = sorted.notices.into_iter().map(|line| clip(&line, LINE_MAX));
    let all: Vec<String> = by_time(sorted.firing)
        .chain(by_time(sorted.resolved))
        .chain(notices)
        .collect();
    let more = all.len().saturating_sub(LINES_MAX);
    let mut lines: Vec<String> = all.into_iter().take(LINES_MAX).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.push("To do:".to_owned());
    lines.push("  watchkeep alerts".to_owned());
    lines.push("  watchkeep why ID    (in brackets)".to_owned());
    lines.push("  watchkeep timeline --since 1d".to_owned());
    lines.join("\n")
}
