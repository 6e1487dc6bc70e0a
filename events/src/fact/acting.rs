//! Facts of recovery: proposed, gated, started, finished, verified, concluded.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{IncidentId, JobId, Name, Reading, ReleaseId, Watched};

/// How far an action may go by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionMode {
    /// Only say what would be done.
    #[default]
    DryRun,
    /// Do it.
    Automatic,
    /// A mode that a newer version wrote: treated as dry-run.
    #[serde(other)]
    Other,
}

/// One gate and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Which: `still_firing`, `no_newer_deployment`, `kill_switch`, `cool_down`, `evidence`, `not_held`, …
    pub gate: Name,
    /// True when it lets the action through.
    pub open: bool,
    /// The answer in words.
    pub why: String,
}

/// An alert asks for an action. The id of the run is that of the act's job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionProposed {
    /// The run: also the job that acts, when it goes ahead.
    pub run: JobId,
    /// Which action.
    pub action: Name,
    /// For which incident.
    pub incident: IncidentId,
    /// How far it may go.
    pub mode: ActionMode,
    /// What the alert rests on.
    pub evidence: Vec<Reading>,
    /// What the gates say.
    pub gates: Vec<Gate>,
    /// True when all gates are open: in automatic mode the act is queued.
    pub passed: bool,
    /// The release that was live. Under a name of its own: fields of a fact stand beside those of its envelope.
    #[serde(rename = "live_release", skip_serializing_if = "Option::is_none", default)]
    pub release: Option<ReleaseId>,
    /// What would be, or is, run, for a person.
    pub command: String,
    /// What must hold afterwards.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verify: Option<Verify>,
}

/// What must hold after an act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verify {
    /// These probes or services must be up.
    pub up: Vec<Name>,
    /// For so much watched time.
    pub hold: SignedDuration,
    /// Within so much watched time, else it failed.
    pub within: SignedDuration,
}

/// The worker is ready to act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActReady {
    /// Which run.
    pub run: JobId,
    /// True when the kill-switch file is there.
    pub kill_switch: bool,
}

/// The last word of the gates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActGated {
    /// Which run.
    pub run: JobId,
    /// Which action.
    pub action: Name,
    /// What the gates say now.
    pub gates: Vec<Gate>,
}

/// How an act ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ended", rename_all = "snake_case")]
pub enum ActEnd {
    /// By itself.
    Exit {
        /// Exit code.
        code: i32,
    },
    /// By a signal that was not ours.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// We ended it at its deadline, with its process group.
    Deadline,
    /// It never began.
    NotStarted {
        /// Why.
        why: String,
    },
    /// After a crash `observe` says that it was done.
    ObservedDone,
    /// After a crash `observe` says that it was not done.
    ObservedNotDone,
    /// After a crash nobody can say.
    Unknown,
    /// An end that a newer version wrote.
    #[serde(other)]
    Other,
}

/// The act ended, or was found ended after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActFinished {
    /// Which run.
    pub run: JobId,
    /// How.
    pub end: ActEnd,
    /// Process id it had.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<u32>,
    /// How long it took.
    pub took: SignedDuration,
    /// End of its output, at most 4 KiB, control characters replaced.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub output: String,
}

/// What is verified began to hold (`since` given) or ceased to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionVerifying {
    /// Which run.
    pub run: JobId,
    /// Since when it holds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Watched>,
    /// What each answered.
    pub readings: Vec<Reading>,
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionResult {
    /// Done and verified.
    Verified,
    /// Dry-run: nothing was done.
    DryRun,
    /// The gates did not let it through.
    Refused,
    /// It failed, or what it should bring about did not come: held until a person releases it.
    Held,
    /// A result that a newer version wrote.
    #[serde(other)]
    Other,
}

/// The end of an action, with all its evidence: notification, page and `why` all render this one fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionConcluded {
    /// Which run.
    pub run: JobId,
    /// Which action.
    pub action: Name,
    /// For which incident.
    pub incident: IncidentId,
    /// How it ended.
    pub result: ActionResult,
    /// In one sentence.
    pub summary: String,
    /// What the alert rested on.
    pub evidence: Vec<Reading>,
    /// What the gates said last.
    pub gates: Vec<Gate>,
    /// What was, or would have been, run.
    pub command: String,
    /// How the act ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end: Option<ActEnd>,
    /// End of its output.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub output: String,
    /// What was verified.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub verified: Vec<Reading>,
}

impl ActionConcluded {
    /// The sentence without the action's name, for where that is said already.
    #[must_use]
    pub fn summary_alone(&self) -> &str {
        let rest = self.summary.strip_prefix(self.action.as_str());
        rest.and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&self.summary)
    }
}

/// A person stopped or allowed acting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActingSwitched {
    /// Only this action is released from being held; absent = all acting.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub action: Option<Name>,
    /// True: no action may begin.
    pub stopped: bool,
    /// Who.
    pub by: String,
}
