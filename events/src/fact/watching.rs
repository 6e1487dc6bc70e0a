//! Facts of the daemon's own life and of what it sees.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Bins, CommitId, Identity, Look, Name, ReleaseId, Seq, Status, Timestamp};

/// A process began to own the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Version of the binary.
    pub version: String,
    /// Which journal, and in which epoch.
    pub identity: Identity,
}

/// The process ended on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// What ended it: a signal, a reload.
    pub reason: String,
}

/// The rules that hold from here on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configured {
    /// BLAKE3 of the redacted text, hexadecimal.
    pub digest: String,
    /// The redacted text; absent when it is the same as before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
    /// The fact that holds the text, when it is the same as before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub same_as: Option<Seq>,
}

/// How far telemetry had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryHead {
    /// Which telemetry database.
    pub generation: Uuid,
    /// Its last row that is counted in a tick.
    pub row: u64,
}

/// Digest of the telemetry rows since the tick before: through it they are part of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Rows committed since the tick before.
    pub rows: u64,
    /// BLAKE3 over the stored batches, in row order, hexadecimal.
    pub digest: String,
}

/// Five seconds went by. The cumulative clocks are in the fact's moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// How far telemetry has come; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub telemetry: Option<TelemetryHead>,
    /// What was committed there since the tick before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub receipt: Option<Receipt>,
    /// What was counted; stored packed beside the body.
    #[serde(skip, default)]
    pub bins: Bins,
}

/// The wall clock moved against the boot clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockJumped {
    /// By how much; positive is forward.
    pub by: SignedDuration,
}

/// The telemetry database is another one than before: counting begins at its first row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryReplaced {
    /// The one before.
    pub before: Uuid,
    /// The one now.
    pub now: Uuid,
}

/// A limit was reached; at most one fact a minute for each limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitReached {
    /// Which limit: `series`, `ingest_queue`, `disk_budget`.
    pub limit: Name,
    /// How many were refused, cut or merged since the fact before.
    pub count: u64,
    /// What that means, for a person.
    pub detail: String,
}

/// What a reactor was doing when it panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Taking a fact in: its state was rebuilt without it.
    Absorb,
    /// Deciding: its effects were dropped.
    React,
    /// A stage that a newer version wrote.
    #[serde(other)]
    Other,
}

/// A reactor panicked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactorFailed {
    /// Which reactor.
    pub reactor: Name,
    /// At which fact.
    pub seq: Seq,
    /// At what.
    pub stage: Stage,
}

/// A chain of more than eight consequences was cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldCut {
    /// Whose fact was not appended.
    pub reactor: Name,
}

/// A task of the daemon failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFailed {
    /// Which task.
    pub task: Name,
    /// How, without secrets.
    pub error: String,
    /// How often since the daemon started.
    pub failures: u32,
}

/// An outward heartbeat does not arrive any more, or arrives again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatChanged {
    /// Which heartbeat.
    pub heartbeat: Name,
    /// True when it arrives.
    pub arrives: bool,
    /// Why it does not, without its address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
}

/// A probe answers differently than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeChanged {
    /// Which probe.
    pub probe: Name,
    /// What held before.
    pub from: Status,
    /// What was found, with reason and evidence.
    pub look: Look,
    /// The first of two looks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first: Option<Look>,
}

/// A probe was shown another certificate than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateSeen {
    /// Which probe.
    pub probe: Name,
    /// When the certificate ends.
    pub expires: Timestamp,
}

/// State of our own network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// At least one anchor answers, or none ever did since the start, so that they have no opinion.
    #[default]
    Online,
    /// Anchors that answered before do not any more: nobody outside is blamed.
    Offline,
    /// A state that a newer version wrote.
    #[serde(other)]
    Other,
}

/// Our own network went away or came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkChanged {
    /// How it is now.
    pub to: Network,
    /// What each anchor answered.
    pub evidence: Vec<String>,
}

/// How a release changes stored data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Migrations {
    /// Not at all.
    None,
    /// Only by adding: the release before still runs on it.
    Additive,
    /// The release before does not run on it any more.
    Destructive,
    /// A word that a newer version wrote: treated like destructive.
    #[serde(other)]
    Other,
}

/// A release of a service went live. The service is the envelope's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// What is live now.
    pub version: ReleaseId,
    /// When the cut-over began, if not just now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub began: Option<Timestamp>,
    /// What it does to stored data, if said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub migrations: Option<Migrations>,
    /// True when the one who recorded it has verified it.
    #[serde(default)]
    pub verified: bool,
    /// Who or what deployed it, in their words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
    /// A note: commit subject, link.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// Where the journal stood, for manifests and the outward heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// Last commit.
    pub commit: CommitId,
    /// Last fact.
    pub seq: Seq,
    /// Its link, hexadecimal.
    pub link: String,
}
