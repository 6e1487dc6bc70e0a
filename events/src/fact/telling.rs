//! Facts of alerting: phases, incidents, silences, messages.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{IncidentId, JobId, Name, SilenceId, Timestamp, Watched};

/// Where a rule stands. Acknowledged and silenced are attributes of an incident, not phases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// All is well.
    #[default]
    Inactive,
    /// In breach, not yet for long enough.
    Pending,
    /// In breach for long enough: an incident is open.
    Firing,
    /// The breach is over, not yet for long enough.
    Clearing,
    /// A phase that a newer version wrote.
    #[serde(other)]
    Other,
}

/// How loudly an incident is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody has to act now.
    #[default]
    Page,
    /// Somebody has to act in working hours.
    Ticket,
    /// Nobody has to act.
    Info,
    /// A severity that a newer version wrote.
    #[serde(other)]
    Other,
}

/// One leaf of a rule's condition, with the value it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The leaf: `error_rate(shop, 5m)`.
    pub what: String,
    /// Its value in words: `2.3 % (23 of 1,000)`, or why it is unknown.
    pub value: String,
    /// What it was held against: `> 1%`.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub limit: String,
    /// Whether the leaf holds; absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub holds: Option<bool>,
}

/// The parts of a rule that outlive it: an incident is told and ended by them even when the rule is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleTerms {
    /// How loudly.
    pub severity: Severity,
    /// Whom to tell.
    pub notify: Vec<Name>,
    /// After how much watched time to tell again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remind: Option<SignedDuration>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub action: Option<Name>,
    /// What the rule is for, in its author's words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub summary: Option<String>,
    /// What the person on call should do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runbook: Option<String>,
    /// The condition, as written.
    pub when: String,
    /// The action may run without a person on this evidence: a probe says so too, or loopback is trusted.
    #[serde(default)]
    pub trusted: bool,
}

/// Something that changed shortly before an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub wall: Timestamp,
    /// What, in words: `shop 1.4.2 deployed (was 1.4.1)`.
    pub text: String,
    /// The service that changed; absent for the house itself: its configuration, clock, network.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<crate::ServiceId>,
}

/// Why a phase changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseCause {
    /// By what was seen.
    #[default]
    Evidence,
    /// The rule was removed.
    RuleRemoved,
    /// The rule was changed under its name: pending starts anew.
    RuleChanged,
    /// A cause that a newer version wrote.
    #[serde(other)]
    Other,
}

/// A rule went from one phase to another, or its held time stopped or went on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertPhase {
    /// Which rule.
    pub rule: Name,
    /// Phase before.
    pub from: Phase,
    /// Phase now. From firing or clearing to inactive is *resolved*.
    pub to: Phase,
    /// Why.
    #[serde(default)]
    pub why: PhaseCause,
    /// Watched nanoseconds held before `since`.
    #[serde(default)]
    pub base: i64,
    /// Since when held time runs on; absent while the condition is unknown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Watched>,
    /// When a pending rule will have fired, or a clearing one be resolved, if all stays as it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Watched>,
    /// The incident that is open, opened or resolved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incident: Option<IncidentId>,
    /// Values of the condition's leaves.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub readings: Vec<Reading>,
    /// Digest of the rule that decided, so that a changed rule is noticed.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub rule_digest: String,
    /// What outlives the rule; stated when firing begins.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub terms: Option<RuleTerms>,
    /// When the breach began; stated when firing begins.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub breach_began: Option<Timestamp>,
    /// What changed just before; stated when firing begins.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changes: Vec<Change>,
}

impl AlertPhase {
    /// True when an incident opens.
    #[must_use]
    pub fn opens(&self) -> bool {
        self.to == Phase::Firing && !matches!(self.from, Phase::Firing | Phase::Clearing)
    }

    /// True when an incident ends.
    #[must_use]
    pub fn resolves(&self) -> bool {
        self.to == Phase::Inactive && matches!(self.from, Phase::Firing | Phase::Clearing)
    }
}

/// A person has taken an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentAcked {
    /// Which.
    pub incident: IncidentId,
    /// Who.
    pub by: String,
    /// What they say about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// What a silence covers: every given part must match; a silence without parts covers everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceScope {
    /// Only this rule.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<Name>,
    /// Only this service.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<crate::ServiceId>,
}

/// A person set a silence, from now or ahead of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceSet {
    /// Its id.
    pub silence: SilenceId,
    /// What it covers.
    pub scope: SilenceScope,
    /// From when, by the wall clock.
    pub from: Timestamp,
    /// Until when, by the wall clock.
    pub until: Timestamp,
    /// Who.
    pub by: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// A person lifted a silence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceLifted {
    /// Which.
    pub silence: SilenceId,
    /// Who.
    pub by: String,
}

/// A silence ended: what still fires under it is told now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceEnded {
    /// Which.
    pub silence: SilenceId,
    /// What it covered.
    pub scope: SilenceScope,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum About {
    /// An incident began.
    Firing {
        /// Which.
        incident: IncidentId,
    },
    /// An incident goes on.
    Reminder {
        /// Which.
        incident: IncidentId,
        /// How many times it was reminded of before.
        reminder: u32,
    },
    /// An incident ended.
    Resolved {
        /// Which.
        incident: IncidentId,
    },
    /// Something to know about Watchkeep itself, a backup or an action.
    Notice {
        /// How loudly.
        severity: Severity,
        /// One line.
        title: String,
        /// What to know and what to do.
        lines: Vec<String>,
        /// The incident it belongs to, for threading.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        incident: Option<IncidentId>,
        /// What kind of notice it is, so that two about the same thing can be told in one: `network`, `delivery/me`.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        topic: Option<Name>,
    },
    /// A person asked for a test message.
    Test {
        /// Who.
        by: String,
    },
    /// Something that a newer version wrote.
    #[serde(other)]
    Other,
}

impl About {
    /// The incident a message belongs to.
    #[must_use]
    pub fn incident(&self) -> Option<IncidentId> {
        match self {
            Self::Firing { incident } | Self::Reminder { incident, .. } | Self::Resolved { incident } => {
                Some(*incident)
            }
            Self::Notice { incident, .. } => *incident,
            Self::Test { .. } | Self::Other => None,
        }
    }
}

/// A message was queued for a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {
    /// The job that delivers it; also its Message-ID and webhook-id.
    pub job: JobId,
    /// To whom.
    pub destination: Name,
    /// What about.
    #[serde(flatten)]
    pub about: About,
}

/// A person asked for a test message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestRequested {
    /// To whom.
    pub destination: Name,
    /// Who asked.
    pub by: String,
}
