//! What was decided about alerts, and who was told.

use events::{About, AlertPhase, Ending, Fact, Phase, PhaseCause, SilenceScope};

use super::{Sentence, readings, sentence};
use crate::command::{
    page::Tone,
    text::{cause, short, time},
};

pub(super) fn of(fact: &Fact) -> Option<Sentence> {
    decided(fact).or_else(|| job(fact))
}

fn decided(fact: &Fact) -> Option<Sentence> {
    Some(match fact {
        Fact::AlertPhase(phase) => alert(phase),
        Fact::IncidentAcked(acked) => {
            let note = acked.note.as_ref().map_or_else(String::new, |note| format!(": {note}"));
            sentence(
                "incident",
                Tone::Plain,
                format!("{} taken by {}{note}", short(&acked.incident.to_string()), acked.by),
            )
        }
        Fact::SilenceSet(set) => {
            let reason = set
                .reason
                .as_ref()
                .map_or_else(String::new, |reason| format!(": {reason}"));
            let text = format!(
                "{} silenced from {} to {} UTC by {}{reason}",
                scope(&set.scope),
                time(set.from),
                time(set.until),
                set.by
            );
            sentence("silence", Tone::Plain, text)
        }
        Fact::SilenceLifted(lifted) => sentence(
            "silence",
            Tone::Plain,
            format!("{} lifted by {}", short(&lifted.silence.to_string()), lifted.by),
        ),
        Fact::SilenceEnded(ended) => sentence(
            "silence",
            Tone::Plain,
            format!("{} is not silenced any more", scope(&ended.scope)),
        ),
        Fact::Notified(notified) => sentence(
            &notified.destination,
            Tone::Plain,
            format!("message queued: {}", about(&notified.about)),
        ),
        Fact::TestRequested(test) => sentence(
            &test.destination,
            Tone::Plain,
            format!("test message asked for by {}", test.by),
        ),
        _ => return None,
    })
}

fn job(fact: &Fact) -> Option<Sentence> {
    Some(match fact {
        Fact::JobStarted(job) => sentence(queue(job.queue.as_str()), Tone::Quiet, "first attempt begins"),
        Fact::JobFailed(job) => sentence(
            queue(job.queue.as_str()),
            Tone::Doubt,
            format!("attempt {} failed, goes on trying: {}", job.attempt, cause(&job.why)),
        ),
        Fact::JobDone(job) => {
            let word = if job.queue.as_str().starts_with("notify/") || job.queue.as_str().starts_with("test/") {
                "delivered"
            } else {
                "done"
            };
            let answer = if job.answer.is_empty() {
                String::new()
            } else {
                format!(": {}", job.answer)
            };
            let attempts = if job.attempts > 1 {
                format!(" at attempt {}", job.attempts)
            } else {
                String::new()
            };
            sentence(
                queue(job.queue.as_str()),
                Tone::Good,
                format!("{word}{attempts}{answer}"),
            )
        }
        Fact::JobEnded(job) => {
            let tone = if job.ending == Ending::Superseded {
                Tone::Quiet
            } else {
                Tone::Bad
            };
            sentence(
                queue(job.queue.as_str()),
                tone,
                format!("{}: {}", ending(job.ending), cause(&job.why)),
            )
        }
        _ => return None,
    })
}

fn alert(phase: &AlertPhase) -> Sentence {
    let why = readings(&phase.readings);
    let because = if why.is_empty() {
        String::new()
    } else {
        format!(": {why}")
    };
    let ended = match phase.why {
        PhaseCause::RuleRemoved => "ended, as its rule was removed".to_owned(),
        PhaseCause::RuleChanged => format!("ended, as its rule was changed{because}"),
        PhaseCause::Evidence | PhaseCause::Other => format!("resolved{because}"),
    };
    let (tone, text) = match phase.to {
        Phase::Firing if phase.opens() => (Tone::Bad, format!("FIRES{because}")),
        Phase::Firing => (Tone::Bad, format!("still fires{because}")),
        Phase::Pending => (Tone::Doubt, format!("in breach, not yet for long enough{because}")),
        Phase::Clearing => (Tone::Doubt, format!("breach over, not yet for long enough{because}")),
        Phase::Inactive if phase.resolves() => (Tone::Good, ended),
        Phase::Inactive => (Tone::Good, "breach over before it fired".to_owned()),
        Phase::Other => (Tone::Doubt, "in a phase that only a newer version knows".to_owned()),
    };
    sentence(&phase.rule, tone, text)
}

/// What a message says, in a few words.
pub(crate) fn about(about: &About) -> String {
    let id = about
        .incident()
        .map_or_else(String::new, |incident| short(&incident.to_string()));
    match about {
        About::Firing { .. } => format!("incident {id} fires"),
        About::Reminder { reminder, .. } => format!("reminder {} of incident {id}", reminder.saturating_add(1)),
        About::Resolved { .. } => format!("incident {id} resolved"),
        About::Notice { title, .. } => title.clone(),
        About::Test { by } => format!("test, asked for by {by}"),
        About::Other => "something that only a newer version understands".to_owned(),
    }
}

/// How a job ended that did not succeed.
pub(crate) fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Expired => "NOT delivered, its time ran out",
        Ending::Superseded => "not needed, another message says it",
        Ending::Failed => "failed for good",
        Ending::Parked => "parked after three crashes, a person must look",
        Ending::Held => "held, a person must look",
        Ending::Other => "ended",
    }
}

/// What a silence covers.
pub(crate) fn scope(scope: &SilenceScope) -> String {
    match (&scope.rule, &scope.service) {
        (None, None) => "everything".to_owned(),
        (Some(rule), None) => rule.to_string(),
        (None, Some(service)) => format!("service {service}"),
        (Some(rule), Some(service)) => format!("{rule} of service {service}"),
    }
}

/// What a queue belongs to: `me` of `notify/me`, and of `test/me/12`.
fn queue(queue: &str) -> &str {
    match queue.split_once('/') {
        Some(("test", rest)) => rest.rsplit_once('/').map_or(rest, |(name, _)| name),
        Some((_, name)) => name,
        None => queue,
    }
}
