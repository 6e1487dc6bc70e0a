//! What was done.

use events::{ActEnd, ActFinished, ActionConcluded, ActionMode, ActionProposed, ActionResult, Fact, Gate};

use super::{Sentence, readings, sentence};
use crate::command::{
    page::Tone,
    text::{lasting, took},
};

pub(super) fn of(fact: &Fact) -> Option<Sentence> {
    Some(match fact {
        Fact::ActionProposed(proposed) => proposal(proposed),
        Fact::ActReady(_) => sentence("action", Tone::Quiet, "ready, asks for the last word"),
        Fact::ActStarting(gated) => sentence(
            &gated.action,
            Tone::Plain,
            format!("acts; asked again: {}", gates(&gated.gates)),
        ),
        Fact::ActRefused(gated) => sentence(
            &gated.action,
            Tone::Doubt,
            format!("may not act: {}", gates(&gated.gates)),
        ),
        Fact::ActFinished(finished) => {
            let tone = if matches!(finished.end, ActEnd::Exit { code: 0 } | ActEnd::ObservedDone) {
                Tone::Plain
            } else {
                Tone::Bad
            };
            sentence("action", tone, finish(finished))
        }
        Fact::ActionVerifying(verifying) => match verifying.since {
            Some(_) => sentence("action", Tone::Plain, "what it should bring about holds"),
            None => sentence(
                "action",
                Tone::Doubt,
                format!(
                    "what it should bring about does not hold: {}",
                    readings(&verifying.readings)
                ),
            ),
        },
        Fact::ActionConcluded(concluded) => conclusion(concluded),
        Fact::ActingSwitched(switched) => {
            let what = switched
                .action
                .as_ref()
                .map_or_else(|| "all acting".to_owned(), |action| format!("action {action}"));
            let done = if switched.stopped { "stopped" } else { "allowed" };
            sentence("actions", Tone::Plain, format!("{what} {done} by {}", switched.by))
        }
        _ => return None,
    })
}

fn proposal(proposed: &ActionProposed) -> Sentence {
    let mode = match proposed.mode {
        ActionMode::Automatic => "automatic",
        ActionMode::DryRun | ActionMode::Other => "dry-run",
    };
    let tone = if proposed.passed { Tone::Plain } else { Tone::Doubt };
    sentence(
        &proposed.action,
        tone,
        format!("proposed ({mode}); {}", gates(&proposed.gates)),
    )
}

/// The gates in a line: which are closed and why, else that all are open.
pub(crate) fn gates(all: &[Gate]) -> String {
    let closed: Vec<String> = all
        .iter()
        .filter(|gate| !gate.open)
        .map(|gate| format!("{} ({})", gate.gate, gate.why))
        .collect();
    match (closed.is_empty(), all.len()) {
        (true, 0) => "no gates".to_owned(),
        (true, 1) => "its gate is open".to_owned(),
        (true, many) => format!("all {many} gates open"),
        (false, _) => format!("refused by {}", closed.join(", ")),
    }
}

fn finish(finished: &ActFinished) -> String {
    let micros = u64::try_from(finished.took.as_micros()).unwrap_or(0);
    let spent = if micros < 10_000_000 {
        took(micros)
    } else {
        lasting(finished.took)
    };
    format!("{} after {spent}", end(&finished.end))
}

/// How an act ended.
pub(crate) fn end(end: &ActEnd) -> String {
    match end {
        ActEnd::Exit { code } => format!("exit {code}"),
        ActEnd::Signal { signal } => format!("killed by signal {signal}"),
        ActEnd::Deadline => "ended by us at its deadline".to_owned(),
        ActEnd::NotStarted { why } => format!("never began: {why}"),
        ActEnd::ObservedDone => "was done, as was found after a crash".to_owned(),
        ActEnd::ObservedNotDone => "was not done, as was found after a crash".to_owned(),
        ActEnd::Unknown => "nobody can say how it ended, as the daemon crashed".to_owned(),
        ActEnd::Other => "ended in a way that only a newer version knows".to_owned(),
    }
}

fn conclusion(concluded: &ActionConcluded) -> Sentence {
    let tone = match concluded.result {
        ActionResult::Verified => Tone::Good,
        ActionResult::DryRun => Tone::Plain,
        ActionResult::Refused | ActionResult::Other => Tone::Doubt,
        ActionResult::Held => Tone::Bad,
    };
    sentence(&concluded.action, tone, outcome(concluded))
}

/// How an action ended, and the sentence about it, without saying the same twice.
pub(crate) fn outcome(concluded: &ActionConcluded) -> String {
    let said = concluded
        .summary
        .strip_prefix(&format!("{}: ", concluded.action))
        .unwrap_or(&concluded.summary);
    let word = result(concluded.result);
    if said.to_lowercase().starts_with(&word.to_lowercase()) {
        said.to_owned()
    } else {
        format!("{word}: {said}")
    }
}

/// How an action ended, in a word.
pub(crate) fn result(result: ActionResult) -> &'static str {
    match result {
        ActionResult::Verified => "done and verified",
        ActionResult::DryRun => "dry-run, nothing was done",
        ActionResult::Refused => "refused",
        ActionResult::Held => "HELD",
        ActionResult::Other => "concluded",
    }
}
