//! The message of an incident. It answers five questions, in this order: since when, why, what changed just before,
//! what was done, what to do now.

use events::{ActionRun, Change, Incident, IncidentId, JobId, Moment, Reading, RunState, Severity, Timestamp, Views};

use super::{Draft, IncidentBody, Kind};
use crate::words::{clip, count, duration, moment, stretch};

/// Most lines under one question.
const LINES_MAX: usize = 10;
/// Longest line.
const LINE_MAX: usize = 300;

/// What is said of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Firing,
    Reminder,
    Resolved {
        /// Nobody was told yet that it began.
        first_told: bool,
    },
}

pub(super) fn draft(views: &Views, id: IncidentId, what: What, now: &Moment, covers: Vec<JobId>) -> Draft {
    let kind = match what {
        What::Firing => Kind::Firing,
        What::Reminder => Kind::Reminder,
        What::Resolved { .. } => Kind::Resolved,
    };
    let Some(incident) = views.incidents.get(&id.to_string()) else {
        return gone(id, kind, covers);
    };
    let acting = acting(views, id);
    Draft {
        kind,
        severity: incident.terms.severity,
        title: title(incident, what, now.wall),
        text: text(incident, what, now.wall, &acting),
        incident: Some(body(incident, what, &acting)),
        covers,
    }
}

/// An incident whose row is not there any more; it cannot happen, and if it does, it is told all the same.
fn gone(id: IncidentId, kind: Kind, covers: Vec<JobId>) -> Draft {
    Draft {
        kind,
        severity: Severity::Page,
        title: format!("Incident {id}"),
        text: format!("More: watchkeep why {id}"),
        incident: None,
        covers,
    }
}

/// The one line of an incident.
pub(super) fn title(incident: &Incident, what: What, now: Timestamp) -> String {
    let subject = Subject::of(incident);
    let since = incident.breach_began;
    match what {
        What::Firing => format!("FIRING {}", subject.breach(incident)),
        What::Reminder => format!(
            "STILL FIRING for {}: {}",
            duration(now.since(since)),
            subject.breach(incident)
        ),
        What::Resolved { .. } if incident.rule_removed => {
            format!(
                "ENDED {}: its rule was removed, nobody knows whether it is over",
                incident.rule
            )
        }
        What::Resolved { first_told } => {
            let end = ended(incident).unwrap_or(now);
            let lasted = duration(end.since(since));
            let lasted = if first_told {
                format!("{} ({lasted})", stretch(since, end))
            } else {
                lasted
            };
            match subject {
                Subject::Down(name) => format!("RESOLVED {name} is up again, was down {lasted}"),
                Subject::Rule => format!("RESOLVED {}{}: lasted {lasted}", incident.rule, summary(incident)),
            }
        }
    }
}

/// When the breach of a resolved incident ended: the time that it had to stay away is no part of it.
fn ended(incident: &Incident) -> Option<Timestamp> {
    let resolved = incident.resolved?;
    Some(incident.breach_ended.unwrap_or(resolved.wall))
}

/// What an incident is about, in its title.
enum Subject<'a> {
    /// A probe or service that is down.
    Down(&'a str),
    /// Anything else, by the rule's name.
    Rule,
}

impl<'a> Subject<'a> {
    fn of(incident: &'a Incident) -> Self {
        let when = incident.terms.when.trim();
        let inner = when.strip_prefix("not up(").and_then(|rest| rest.strip_suffix(')'));
        match inner.filter(|name| !name.contains(['(', ')'])) {
            Some(name) => Self::Down(name.trim_matches(['"', '\'', ' '])),
            None => Self::Rule,
        }
    }

    fn breach(&self, incident: &Incident) -> String {
        match self {
            Self::Down(name) => format!("{name} is down{}", reason(&incident.readings)),
            Self::Rule if incident.terms.summary.is_some() => format!("{}{}", incident.rule, summary(incident)),
            Self::Rule => format!("{}{}", incident.rule, leading(&incident.readings)),
        }
    }
}

fn summary(incident: &Incident) -> String {
    let summary = incident.terms.summary.as_ref();
    summary.map_or_else(String::new, |summary| format!(": {}", clip(summary, 80)))
}

/// `: connection refused`, from the first probe that fails; with what was found, when that is short.
fn reason(readings: &[Reading]) -> String {
    let failing = readings.iter().find(|reading| reading.what.starts_with("probe "));
    failing.map_or_else(String::new, |reading| {
        let value = &reading.value;
        let short = value.split_once(" (").map_or(value.as_str(), |(short, _)| short);
        let fits = value.chars().count() <= 60;
        format!(": {}", if fits { value } else { short })
    })
}

/// `: error_rate(shop, 5m) 2.3 % (23 of 1,000) > 1%`, from the first leaf that holds.
fn leading(readings: &[Reading]) -> String {
    let holding = readings.iter().find(|reading| reading.holds == Some(true));
    holding
        .or(readings.first())
        .map_or_else(String::new, |reading| format!(": {}", line(reading)))
}

fn line(reading: &Reading) -> String {
    let limit = if reading.limit.is_empty() {
        String::new()
    } else {
        format!(", limit {}", reading.limit)
    };
    clip(&format!("{}: {}{limit}", reading.what, reading.value), LINE_MAX)
}

/// What actions do about it that are not concluded, each in one sentence.
fn acting(views: &Views, id: IncidentId) -> Vec<String> {
    let runs = views.runs.iter().map(|(_, run)| run);
    let said = |run: &ActionRun| {
        let how = match (run.state, run.starting, run.finished) {
            (RunState::Starting, Some(stamp), _) => format!("acts since {}, not ended yet", moment(stamp.wall)),
            (RunState::Verifying, _, Some(stamp)) => {
                format!(
                    "has acted, waits since {} for what it should bring about",
                    moment(stamp.wall)
                )
            }
            (RunState::Failed, ..) => "has acted and failed".to_owned(),
            _ => "is about to act".to_owned(),
        };
        clip(&format!("{} {how}: {}", run.action, run.command), LINE_MAX)
    };
    runs.filter(|run| run.incident == id && run.acts()).map(said).collect()
}

fn text(incident: &Incident, what: What, now: Timestamp, acting: &[String]) -> String {
    let mut lines = vec![since(incident, what, now)];
    let is_over = matches!(what, What::Resolved { .. });
    let (readings, asked) = match what {
        What::Resolved { .. } if !incident.last_readings.is_empty() => (&incident.last_readings, "Why it is over:"),
        What::Reminder => (&incident.readings, "Why it fired:"),
        _ => (&incident.readings, "Why:"),
    };
    if is_over {
        section(
            &mut lines,
            "Why it began:",
            incident.readings.iter().map(line),
            "not recorded",
        );
    }
    let why = if incident.rule_removed {
        "nobody knows: the rule was removed"
    } else {
        "not recorded"
    };
    section(&mut lines, asked, readings.iter().map(line), why);
    if let Some((at, since)) = incident.read_since().filter(|_| what == What::Reminder) {
        let asked = format!("Last seen, {}:", moment(at.wall));
        section(&mut lines, &asked, since.iter().map(line), why);
    }
    let changes = incident.changes_by_nearness();
    let changes = changes.into_iter().map(|change| changed(change, incident));
    section(
        &mut lines,
        "Changed just before:",
        changes,
        "nothing recorded in the last hour",
    );
    let nothing = if is_over {
        "nothing by an action, and nobody had taken it"
    } else {
        "nothing yet"
    };
    section(&mut lines, "Done:", done(incident, acting).into_iter(), nothing);
    lines.push("To do:".to_owned());
    if let Some(runbook) = incident.terms.runbook.as_ref().filter(|_| !is_over) {
        lines.push(format!("  {}", clip(runbook, LINE_MAX)));
    }
    lines.extend(commands(incident, what).iter().map(|command| format!("  {command}")));
    lines.join("\n")
}

fn since(incident: &Incident, what: What, now: Timestamp) -> String {
    let began = incident.breach_began;
    match what {
        What::Resolved { .. } => {
            let end = ended(incident).unwrap_or(now);
            format!(
                "From {} to {} ({})",
                moment(began),
                moment(end),
                duration(end.since(began))
            )
        }
        What::Firing | What::Reminder => format!("Since: {} ({} ago)", moment(began), duration(now.since(began))),
    }
}

/// A question and its answers: one line when there is one, or none.
fn section(into: &mut Vec<String>, asked: &str, answers: impl Iterator<Item = String>, none: &str) {
    let answers: Vec<String> = answers.collect();
    match answers.as_slice() {
        [] => into.push(format!("{asked} {none}")),
        [only] => into.push(format!("{asked} {only}")),
        several => {
            into.push(asked.to_owned());
            into.extend(several.iter().take(LINES_MAX).map(|answer| format!("  {answer}")));
            if several.len() > LINES_MAX {
                into.push(format!("  and {}", count(several.len() - LINES_MAX, "more line")));
            }
        }
    }
}

/// `shop 1.4.2 deployed (was 1.4.1), 2m 4s before, 2026-11-21 03:10:00 UTC`.
fn changed(change: &Change, incident: &Incident) -> String {
    let distance = incident.breach_began.since(change.wall);
    let side = if distance.is_negative() {
        "after it began"
    } else {
        "before"
    };
    clip(
        &format!(
            "{}, {} {side}, {}",
            change.text_for(incident.service.as_ref()),
            duration(distance),
            moment(change.wall)
        ),
        LINE_MAX,
    )
}

fn done(incident: &Incident, acting: &[String]) -> Vec<String> {
    let concluded = incident.actions.iter().map(|action| clip(action, LINE_MAX));
    let mut done: Vec<String> = concluded.chain(acting.iter().cloned()).collect();
    if let Some(ack) = &incident.ack {
        let note = ack.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
        done.push(clip(&format!("{} has taken it{note}", ack.by), LINE_MAX));
    }
    done
}

fn commands(incident: &Incident, what: What) -> Vec<String> {
    let why = format!("watchkeep why {}", incident.id);
    match what {
        What::Resolved { .. } => vec![why],
        What::Firing | What::Reminder => vec![
            why,
            format!("watchkeep ack {}", incident.id),
            format!("watchkeep silence {} --for 1h", incident.rule),
        ],
    }
}

fn body(incident: &Incident, what: What, acting: &[String]) -> IncidentBody {
    let readings = match what {
        What::Resolved { .. } if !incident.last_readings.is_empty() => &incident.last_readings,
        _ => &incident.readings,
    };
    let reading = |reading: &Reading| Reading {
        what: clip(&reading.what, 200),
        value: clip(&reading.value, 200),
        limit: clip(&reading.limit, 80),
        holds: reading.holds,
    };
    let change = |change: &Change| Change {
        wall: change.wall,
        text: clip(&change.text, 200),
        service: change.service.clone(),
    };
    IncidentBody {
        id: incident.id,
        rule: incident.rule.clone(),
        service: incident.service.clone(),
        since: incident.breach_began,
        fired: incident.fired.wall,
        resolved: incident.resolved.map(|stamp| stamp.wall),
        readings: readings.iter().take(LINES_MAX).map(reading).collect(),
        changes: incident.changes.iter().take(LINES_MAX).map(change).collect(),
        actions: incident
            .actions
            .iter()
            .chain(acting)
            .take(LINES_MAX)
            .map(|action| clip(action, 200))
            .collect(),
        acked: incident.ack.as_ref().map(|ack| clip(&ack.by, 100)),
        runbook: incident.terms.runbook.as_ref().map(|runbook| clip(runbook, LINE_MAX)),
        commands: commands(incident, what),
    }
}

#[cfg(test)]
mod tests;
