//! What is composed: the one body that every kind of notifier reads.

use events::{Change, IncidentId, JobId, Name, Reading, ServiceId, Severity, Timestamp};
use serde::{Deserialize, Serialize};

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An incident began.
    Firing,
    /// An incident goes on.
    Reminder,
    /// An incident ended.
    Resolved,
    /// Something to know about Watchkeep itself, a backup or an action.
    Notice,
    /// Several messages in one.
    Digest,
    /// A person asked for it.
    Test,
}

/// A composed message. A webhook receives it as it is; other kinds make their own form of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// Version of this form: 1.
    pub version: u32,
    /// Id of the message, the same at every attempt.
    pub id: JobId,
    /// What it is about.
    pub kind: Kind,
    /// One line of at most [`super::TITLE_MAX`] characters.
    pub title: String,
    /// The whole message.
    pub text: String,
    /// How loudly.
    pub severity: Severity,
    /// The incident, when it is about one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incident: Option<IncidentBody>,
    /// When it was composed.
    pub at: Timestamp,
}

/// An incident in a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentBody {
    /// Its id: the same in all its messages.
    pub id: IncidentId,
    /// Its rule.
    pub rule: Name,
    /// The service the rule is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<ServiceId>,
    /// When the breach began.
    pub since: Timestamp,
    /// When it fired.
    pub fired: Timestamp,
    /// When it was resolved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolved: Option<Timestamp>,
    /// Why: the values of the condition.
    pub readings: Vec<Reading>,
    /// What changed just before.
    pub changes: Vec<Change>,
    /// What was done, each in one sentence.
    pub actions: Vec<String>,
    /// Who has taken it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acked: Option<String>,
    /// What its author wants done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runbook: Option<String>,
    /// Commands that help now.
    pub commands: Vec<String>,
}
