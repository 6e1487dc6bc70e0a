//! Rows of actions.

use serde::{Deserialize, Serialize};

use super::{Row, Views};
use crate::{
    ActEnd, ActionMode, ActionProposed, ActionResult, Fact, Gate, IncidentId, JobId, Name, Reading, Recorded,
    ReleaseId, ServiceId, Stamp, Verify, Watched,
};

/// Where a run of an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// The gates were asked.
    Proposed,
    /// The act may begin, or began.
    Starting,
    /// The act ended well and what it should bring about is awaited.
    Verifying,
    /// The act ended badly; its conclusion is about to follow.
    Failed,
    /// The gates closed before the act.
    Refused,
    /// A state that a newer version wrote.
    #[serde(other)]
    Other,
}

/// One run of an action; closed when it is concluded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRun {
    /// Which action.
    pub action: Name,
    /// For which incident.
    pub incident: IncidentId,
    /// About which service.
    pub service: Option<ServiceId>,
    /// About which release.
    pub release: Option<ReleaseId>,
    /// How far it may go.
    pub mode: ActionMode,
    /// Where it stands.
    pub state: RunState,
    /// When it was proposed.
    pub proposed: Stamp,
    /// When the act was allowed to begin.
    pub starting: Option<Stamp>,
    /// When the act ended.
    pub finished: Option<Stamp>,
    /// What the alert rested on.
    pub evidence: Vec<Reading>,
    /// What the gates said last.
    pub gates: Vec<Gate>,
    /// What is run, for a person.
    pub command: String,
    /// How the act ended.
    pub end: Option<ActEnd>,
    /// End of its output.
    pub output: String,
    /// What must hold afterwards.
    pub verify: Option<Verify>,
    /// Since when it holds.
    pub holds_since: Option<Watched>,
    /// What each answered last.
    pub verified: Vec<Reading>,
    /// How it was concluded.
    pub result: Option<ActionResult>,
}

impl Row for ActionRun {
    const SHAPE: u32 = 1;
}

/// What an action remembers from run to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// When an act last began: cool-down goes by it.
    pub last_act: Option<Stamp>,
    /// The run that was proposed last; it may be under way.
    pub last_run: Option<JobId>,
    /// How the run that was concluded last ended, in one sentence without the action's name.
    pub last_result: Option<String>,
    /// The run that `last_result` speaks of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_result_run: Option<JobId>,
    /// When that run was concluded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_result_at: Option<Stamp>,
    /// Held until a person releases it, and why; without the action's name.
    pub held: Option<String>,
}

impl Row for Action {
    const SHAPE: u32 = 2;
}

impl ActionRun {
    /// Whether the act began or may begin at any moment, and is not concluded: what it did is not known yet.
    #[must_use]
    pub fn acts(&self) -> bool {
        let passed = || self.gates.iter().all(|gate| gate.open);
        match self.state {
            RunState::Proposed => self.mode == ActionMode::Automatic && passed(),
            RunState::Starting | RunState::Verifying | RunState::Failed => true,
            RunState::Refused | RunState::Other => false,
        }
    }
}

impl Views {
    pub(super) fn apply_acting(&mut self, fact: &Recorded) {
        let stamp = fact.stamp();
        match fact.fact() {
            Fact::ActionProposed(proposed) => self.propose_action(fact, proposed),
            Fact::ActStarting(gated) => {
                self.runs.edit(&gated.run.to_string(), |row| {
                    row.state = RunState::Starting;
                    row.starting = Some(stamp);
                    row.gates.clone_from(&gated.gates);
                });
                self.edit_action(&gated.action, |row| row.last_act = Some(stamp));
            }
            Fact::ActRefused(gated) => self.runs.edit(&gated.run.to_string(), |row| {
                row.state = RunState::Refused;
                row.gates.clone_from(&gated.gates);
            }),
            Fact::ActFinished(finished) => self.runs.edit(&finished.run.to_string(), |row| {
                let well = matches!(finished.end, ActEnd::Exit { code: 0 } | ActEnd::ObservedDone);
                row.state = if well { RunState::Verifying } else { RunState::Failed };
                row.finished = Some(stamp);
                row.end = Some(finished.end.clone());
                row.output.clone_from(&finished.output);
            }),
            Fact::ActionVerifying(verifying) => self.runs.edit(&verifying.run.to_string(), |row| {
                row.holds_since = verifying.since;
                row.verified.clone_from(&verifying.readings);
            }),
            Fact::ActionConcluded(concluded) => {
                let run = concluded.run.to_string();
                self.runs.edit(&run, |row| row.result = Some(concluded.result));
                self.runs.close(&run);
                self.edit_action(&concluded.action, |row| {
                    let summary = concluded.summary_alone().to_owned();
                    row.last_result_run = Some(concluded.run);
                    row.last_result_at = Some(stamp);
                    if concluded.result == ActionResult::Held {
                        row.held = Some(summary.clone());
                    }
                    row.last_result = Some(summary);
                });
                self.note_action(concluded.incident, &concluded.summary);
            }
            Fact::ActingSwitched(switched) => match &switched.action {
                Some(action) if !switched.stopped => self.edit_action(action, |row| row.held = None),
                Some(action) => {
                    let by = format!("stopped by {}", switched.by);
                    self.edit_action(action, |row| row.held = Some(by));
                }
                None => self.now.acting_stopped_by = switched.stopped.then(|| switched.by.clone()),
            },
            _ => {}
        }
    }

    fn propose_action(&mut self, fact: &Recorded, proposed: &ActionProposed) {
        let row = ActionRun {
            action: proposed.action.clone(),
            incident: proposed.incident,
            service: fact.envelope.service.clone(),
            release: proposed.release.clone(),
            mode: proposed.mode,
            state: RunState::Proposed,
            proposed: fact.stamp(),
            starting: None,
            finished: None,
            evidence: proposed.evidence.clone(),
            gates: proposed.gates.clone(),
            command: proposed.command.clone(),
            end: None,
            output: String::new(),
            verify: proposed.verify.clone(),
            holds_since: None,
            verified: Vec::new(),
            result: None,
        };
        self.runs.put(&proposed.run.to_string(), row);
        self.edit_action(&proposed.action, |row| row.last_run = Some(proposed.run));
    }

    fn edit_action(&mut self, action: &Name, change: impl FnOnce(&mut Action)) {
        if self.actions.get(action.as_str()).is_none() {
            self.actions.put(action.as_str(), Action::default());
        }
        self.actions.edit(action.as_str(), change);
    }
}

#[cfg(test)]
mod tests;
