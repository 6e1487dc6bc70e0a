//! Composes messages: pure, from the views at the turn of the first attempt. What a message said never changes.
//!
//! Everything that waits for the destination is looked at: an end that waits behind its beginning is told with it, and
//! of more than five messages one digest is made. Nothing is dropped.

mod body;
mod digest;
mod incident;

use events::{
    About, Composer, Composition, Delivery, DeliveryState, IncidentId, Job, JobId, Moment, Name, Severity, Views, Work,
};

pub use self::body::{Body, IncidentBody, Kind};
use crate::words::{clip, moment};

/// Longest title: what a telephone shows.
pub const TITLE_MAX: usize = 120;
/// Longest text.
pub const TEXT_MAX: usize = 6000;
/// Longest body: what Standard Webhooks asks of senders.
pub const BODY_BYTES_MAX: usize = 20_000;
/// Of more messages than this for one destination one digest is made.
pub const DIGEST_OVER: usize = 5;
/// Most messages that one digest covers; the rest gets the next one.
const COVERS_MAX: usize = 500;

/// Composes the bodies of all messages, as JSON: see [`Body`].
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageComposer;

/// A message that waits for its first attempt.
struct Waiting<'a> {
    job: JobId,
    about: &'a About,
}

/// What a message will say.
struct Draft {
    kind: Kind,
    severity: Severity,
    title: String,
    text: String,
    incident: Option<IncidentBody>,
    covers: Vec<JobId>,
}

impl Composer for MessageComposer {
    fn compose(&self, views: &Views, job: &Job, now: &Moment) -> Option<Composition> {
        let Work::Message { destination, about } = &job.work else {
            return None;
        };
        // A test stands for itself: it is soon given up, and what else waits must not be given up with it.
        let waiting = match about {
            About::Test { .. } => Vec::new(),
            _ => waiting_for(views, destination, job.id),
        };
        let draft = if waiting.len() >= DIGEST_OVER {
            digest::draft(views, &Waiting { job: job.id, about }, &waiting, now)
        } else {
            single(views, about, &waiting, now)
        };
        let mut body = Body {
            version: 1,
            id: job.id,
            kind: draft.kind,
            title: clip(&draft.title, TITLE_MAX),
            text: cut(&draft.text, TEXT_MAX),
            severity: draft.severity,
            incident: draft.incident,
            at: now.wall,
        };
        Some(Composition {
            body: fitted(&mut body),
            covers: draft.covers,
        })
    }
}

/// Other messages for a destination that wait for their first attempt, in the order in which they were queued.
fn waiting_for<'a>(views: &'a Views, destination: &Name, own: JobId) -> Vec<Waiting<'a>> {
    let waits = |row: &Delivery| {
        let is_test = matches!(row.about, About::Test { .. });
        row.destination == *destination && row.state == DeliveryState::Queued && !is_test
    };
    let mut waiting: Vec<_> = views
        .deliveries
        .iter()
        .filter(|(_, row)| waits(row))
        .filter_map(|(key, row)| Some((row.queued.seq, job_id(key)?, &row.about)))
        .filter(|(_, job, _)| *job != own)
        .collect();
    waiting.sort_by_key(|(seq, job, _)| (*seq, *job));
    waiting.truncate(COVERS_MAX);
    waiting
        .into_iter()
        .map(|(_, job, about)| Waiting { job, about })
        .collect()
}

fn job_id(key: &str) -> Option<JobId> {
    serde_json::from_value(serde_json::Value::String(key.to_owned())).ok()
}

/// A message about one thing, with what waits about the same thing.
fn single(views: &Views, about: &About, waiting: &[Waiting<'_>], now: &Moment) -> Draft {
    match about {
        About::Firing { incident } | About::Reminder { incident, .. } | About::Resolved { incident } => {
            let same: Vec<_> = waiting.iter().filter(|other| is_of(other.about, *incident)).collect();
            let ends = same.iter().any(|other| matches!(other.about, About::Resolved { .. }));
            let covers = same.iter().map(|other| other.job).collect();
            let what = match about {
                About::Resolved { .. } => incident::What::Resolved { first_told: false },
                _ if ends => incident::What::Resolved {
                    first_told: matches!(about, About::Firing { .. }),
                },
                About::Reminder { .. } => incident::What::Reminder,
                _ => incident::What::Firing,
            };
            incident::draft(views, *incident, what, now, covers)
        }
        About::Notice { topic: Some(topic), .. } => {
            let same: Vec<_> = waiting
                .iter()
                .filter(|other| topic_of(other.about) == Some(topic))
                .collect();
            notices(about, &same)
        }
        About::Notice { .. } => notices(about, &[]),
        About::Test { by } => test(by, now),
        About::Other => other(),
    }
}

/// The message of an incident itself, not a notice that belongs to it.
fn is_of(about: &About, incident: IncidentId) -> bool {
    !matches!(about, About::Notice { .. }) && about.incident() == Some(incident)
}

fn topic_of(about: &About) -> Option<&Name> {
    match about {
        About::Notice { topic, .. } => topic.as_ref(),
        _ => None,
    }
}

/// A notice, or the newest of several about the same thing with what the others said.
fn notices(about: &About, same: &[&Waiting<'_>]) -> Draft {
    let newest = same.last().map_or(about, |other| other.about);
    let About::Notice {
        severity, title, lines, ..
    } = newest
    else {
        return other();
    };
    let mut text = lines.clone();
    let mut earlier: Vec<&About> = std::iter::once(about)
        .chain(same.iter().map(|other| other.about))
        .collect();
    earlier.pop();
    for before in earlier {
        // A cut-off whose end is told in the title needs no line of its own.
        if let About::Notice {
            severity,
            title,
            lines,
            topic,
            ..
        } = before
        {
            let ended = topic.as_ref().is_some_and(|topic| topic.as_str() == "network") && *severity == Severity::Page;
            if !ended {
                text.push(format!(
                    "Before that: {title}. {}",
                    lines.first().cloned().unwrap_or_default()
                ));
            }
        }
    }
    Draft {
        kind: Kind::Notice,
        severity: *severity,
        title: title.clone(),
        text: text.join("\n"),
        incident: None,
        covers: same.iter().map(|other| other.job).collect(),
    }
}

fn test(by: &str, now: &Moment) -> Draft {
    Draft {
        kind: Kind::Test,
        severity: Severity::Info,
        title: "TEST message from Watchkeep".to_owned(),
        text: format!(
            "{} asked for it, {}.\nAlerts for this destination arrive the same way. Nothing is wrong.",
            clip(by, 100),
            moment(now.wall)
        ),
        incident: None,
        covers: Vec::new(),
    }
}

fn other() -> Draft {
    Draft {
        kind: Kind::Notice,
        severity: Severity::Info,
        title: "Watchkeep has a message that this version cannot read".to_owned(),
        text: "A newer version wrote it. To do: watchkeep status".to_owned(),
        incident: None,
        covers: Vec::new(),
    }
}

/// The body as JSON, shortened until it is no longer than [`BODY_BYTES_MAX`].
fn fitted(body: &mut Body) -> String {
    let mut json = String::new();
    for (characters, items) in [(TEXT_MAX, 10), (3000, 5), (1000, 2), (300, 0)] {
        body.text = cut(&body.text, characters);
        if let Some(incident) = &mut body.incident {
            incident.readings.truncate(items);
            incident.changes.truncate(items);
            incident.actions.truncate(items);
        }
        // A body of texts and numbers cannot fail to serialise.
        json = serde_json::to_string(body).unwrap_or_default();
        if json.len() <= BODY_BYTES_MAX {
            break;
        }
    }
    json
}

/// A text no longer than so many characters, without control characters but line ends.
fn cut(text: &str, characters: usize) -> String {
    let plain = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
    text.chars().map(plain).take(characters).collect()
}
