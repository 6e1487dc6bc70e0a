//! The guard reactor: from an alert that asks for an action to its conclusion, every answer recorded.

use std::collections::BTreeMap;

use events::{
    ActEnd, ActGated, ActReady, ActionConcluded, ActionMode, ActionProposed, ActionResult, ActionRun, ActionVerifying,
    AlertPhase, Due, Effects, Envelope, Fact, Gate, Job, JobId, Name, OnCrash, Reactor, Reading, Recorded, RunState,
    Verify, Views, Work, name_of,
};
use jiff::SignedDuration;

use crate::guard::{Guard, PROPOSAL_MAX, still_open, text, up};

/// An action as configured, in the terms of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// How far it may go.
    pub mode: ActionMode,
    /// When it may.
    pub guard: Guard,
    /// What must hold afterwards.
    pub verify: Option<Verify>,
    /// What is run, for a person.
    pub command: String,
}

/// Decides about actions. Remembers nothing: all of it is in the views.
pub struct GuardReactor {
    actions: BTreeMap<Name, Planned>,
}

impl GuardReactor {
    /// A reactor for the configured actions.
    #[must_use]
    pub fn new(actions: BTreeMap<Name, Planned>) -> Self {
        Self { actions }
    }

    fn propose(&self, views: &Views, fact: &Recorded, phase: &AlertPhase, out: &mut Effects) {
        let Some(incident) = phase.incident.and_then(|id| views.incidents.get(&id.to_string())) else {
            return;
        };
        let Some(action) = incident.terms.action.clone() else {
            return;
        };
        let Some(planned) = self.actions.get(&action) else {
            return;
        };
        let run = JobId::derive(&views.now.identity, &["act", action.as_str(), &incident.id.to_string()]);
        let gates = planned.guard.gates(views, &action, incident, &fact.recorded_at);
        let passed = gates.iter().all(|gate| gate.open);
        let release = incident
            .service
            .as_ref()
            .and_then(|service| views.releases.get(service.as_str()));
        let proposed = ActionProposed {
            run,
            action: action.clone(),
            incident: incident.id,
            mode: planned.mode,
            evidence: incident.readings.clone(),
            gates,
            passed,
            release: release.map(|release| release.current.version.clone()),
            command: planned.command.clone(),
            verify: planned.verify.clone(),
        };
        out.record(about(&action, Fact::ActionProposed(proposed)).about(incident.service.clone()));
        if passed && planned.mode == ActionMode::Automatic {
            out.enqueue(Job {
                id: run,
                queue: name_of(&format!("act/{action}")),
                due: Due::After(fact.recorded_at.clone(), SignedDuration::ZERO),
                expires: Some(PROPOSAL_MAX),
                on_crash: OnCrash::Observe,
                work: Work::Act {
                    action,
                    incident: incident.id,
                },
            });
        }
    }
}

impl Reactor for GuardReactor {
    fn name(&self) -> &'static str {
        "guard"
    }

    fn window(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    fn absorb(&mut self, _: &Recorded) {}

    fn react(&self, views: &Views, fact: &Recorded, out: &mut Effects) {
        match fact.fact() {
            Fact::AlertPhase(phase) if phase.opens() => self.propose(views, fact, phase, out),
            Fact::ActionProposed(proposed) => conclude_unless_acting(views, proposed, out),
            Fact::ActReady(ready) => last_word(views, fact, ready, out),
            Fact::ActRefused(gated) => conclude(views, gated.run, ActionResult::Refused, &refusal(&gated.gates), out),
            Fact::ActFinished(finished) => {
                if let Some(why) = failure(&finished.end) {
                    conclude(
                        views,
                        finished.run,
                        ActionResult::Held,
                        &format!("the act failed: {why}"),
                        out,
                    );
                }
            }
            // An act whose end is recorded is judged by that, not by what became of its job afterwards.
            Fact::JobEnded(ended) if unfinished(views, ended.job) => {
                conclude(
                    views,
                    ended.job,
                    ActionResult::Held,
                    &format!("the act did not come to its end: {}", ended.why),
                    out,
                );
            }
            Fact::Tick(_) | Fact::ProbeChanged(_) | Fact::ActionVerifying(_) => verify_all(views, fact, out),
            _ => {}
        }
    }
}

fn unfinished(views: &Views, id: JobId) -> bool {
    views
        .runs
        .get(&id.to_string())
        .is_some_and(|run| run.finished.is_none())
}

fn about(action: &Name, fact: Fact) -> Envelope {
    Envelope::new(name_of(&format!("action/{action}")), name_of("guard"), fact)
}

fn conclude_unless_acting(views: &Views, proposed: &ActionProposed, out: &mut Effects) {
    if !proposed.passed {
        conclude(
            views,
            proposed.run,
            ActionResult::Refused,
            &refusal(&proposed.gates),
            out,
        );
    } else if proposed.mode != ActionMode::Automatic {
        conclude(
            views,
            proposed.run,
            ActionResult::DryRun,
            "dry-run: every gate is open, it would have acted",
            out,
        );
    }
}

/// The last word before the act. An act that was allowed before a crash and never begun may be allowed again.
fn last_word(views: &Views, fact: &Recorded, ready: &ActReady, out: &mut Effects) {
    let Some(run) = views.runs.get(&ready.run.to_string()) else {
        return;
    };
    if !matches!(run.state, RunState::Proposed | RunState::Starting) {
        return;
    }
    let gates = still_open(views, run, ready.kill_switch, &fact.recorded_at);
    let open = gates.iter().all(|gate| gate.open);
    let gated = ActGated {
        run: ready.run,
        action: run.action.clone(),
        gates,
    };
    let fact = if open {
        Fact::ActStarting(gated)
    } else {
        Fact::ActRefused(gated)
    };
    out.record(about(&run.action, fact).about(run.service.clone()));
}

fn refusal(gates: &[Gate]) -> String {
    let closed: Vec<&str> = gates
        .iter()
        .filter(|gate| !gate.open)
        .map(|gate| gate.why.as_str())
        .collect();
    format!("not done: {}", closed.join("; "))
}

fn failure(end: &ActEnd) -> Option<String> {
    match end {
        ActEnd::Exit { code: 0 } | ActEnd::ObservedDone => None,
        ActEnd::Exit { code } => Some(format!("exit code {code}")),
        ActEnd::Signal { signal } => Some(format!("killed by signal {signal}")),
        ActEnd::Deadline => Some("not finished at its deadline, its process group was killed".to_owned()),
        ActEnd::NotStarted { why } => Some(format!("could not be started: {why}")),
        ActEnd::ObservedNotDone => Some("the daemon was interrupted, and the target says it was not done".to_owned()),
        ActEnd::Unknown | ActEnd::Other => {
            Some("the daemon was interrupted, and nobody can say whether it was done: look at the target".to_owned())
        }
    }
}

fn verify_all(views: &Views, fact: &Recorded, out: &mut Effects) {
    for (id, run) in views.runs.iter().filter(|(_, run)| run.state == RunState::Verifying) {
        if let Ok(run_id) = id.parse().map(JobId) {
            verify(views, run_id, run, fact, out);
        }
    }
}

fn verify(views: &Views, id: JobId, run: &ActionRun, fact: &Recorded, out: &mut Effects) {
    let (Some(wanted), Some(finished)) = (&run.verify, run.finished) else {
        return;
    };
    let now = fact.recorded_at.watched;
    let answers: Vec<(bool, Vec<Reading>)> = wanted.up.iter().map(|name| up(views, name)).collect();
    let holds = answers.iter().all(|(up, _)| *up);
    let readings: Vec<Reading> = answers.into_iter().flat_map(|(_, readings)| readings).collect();
    let result = match run.holds_since {
        Some(since) if holds && now.since(since) >= wanted.hold => Some((
            ActionResult::Verified,
            format!("done and verified: up for {}", text(wanted.hold)),
        )),
        _ if now.since(finished.watched) > wanted.within => {
            let why = format!(
                "done, but what must hold did not hold for {} within {}",
                text(wanted.hold),
                text(wanted.within)
            );
            Some((ActionResult::Held, why))
        }
        _ => None,
    };
    if let Some((result, summary)) = result {
        conclude(views, id, result, &summary, out);
    } else if holds != run.holds_since.is_some() {
        let verifying = ActionVerifying {
            run: id,
            since: holds.then_some(now),
            readings,
        };
        out.record(about(&run.action, Fact::ActionVerifying(verifying)).about(run.service.clone()));
    }
}

fn conclude(views: &Views, id: JobId, result: ActionResult, why: &str, out: &mut Effects) {
    let Some(run) = views.runs.get(&id.to_string()) else {
        return;
    };
    let concluded = ActionConcluded {
        run: id,
        action: run.action.clone(),
        incident: run.incident,
        result,
        summary: format!("{}: {why}", run.action),
        evidence: run.evidence.clone(),
        gates: run.gates.clone(),
        command: run.command.clone(),
        end: run.end.clone(),
        output: run.output.clone(),
        verified: run.verified.clone(),
    };
    out.record(about(&run.action, Fact::ActionConcluded(concluded)).about(run.service.clone()));
}
