//! The vocabulary of the journal: what can be recorded, and the envelope it comes in.
//!
//! Fields may be added only as optional; a meaning never changes: a new meaning is a new kind. An unknown kind reads
//! as [`Fact::Unknown`], so that an older binary still opens a newer journal.

mod acting;
mod keeping;
mod telling;
mod watching;
mod working;

use serde::{Deserialize, Serialize};

pub use self::{acting::*, keeping::*, telling::*, watching::*, working::*};
use crate::{CommitId, Key, Moment, Name, ReleaseId, Seq, ServiceId, TraceId};

/// A fact on its way into the journal. Complete from the first day, so that agents and replay need no migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// What it is about: `probe/shop`, `alert/shop-errors`, `daemon`.
    pub stream: Name,
    /// Who says so: `daemon`, `probe`, `cli:uid=1000`, `worker`, a reactor.
    pub source: Name,
    /// Idempotency key within the source; only observed facts have one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<Key>,
    /// Service it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<ServiceId>,
    /// Release of the service at that time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub release: Option<ReleaseId>,
    /// Trace it belongs to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace: Option<TraceId>,
    /// The fact itself.
    #[serde(flatten)]
    pub fact: Fact,
}

impl Envelope {
    /// An envelope with nothing but a stream, a source and the fact.
    #[must_use]
    pub fn new(stream: Name, source: Name, fact: Fact) -> Self {
        Self {
            stream,
            source,
            key: None,
            service: None,
            release: None,
            trace: None,
            fact,
        }
    }

    /// The same with an idempotency key.
    #[must_use]
    pub fn keyed(self, key: Key) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The same, about a service.
    #[must_use]
    pub fn about(self, service: Option<ServiceId>) -> Self {
        Self { service, ..self }
    }
}

/// A fact in its place in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its place.
    pub seq: Seq,
    /// The commit it came with.
    pub commit: CommitId,
    /// The fact and the reactor it follows from; `None` for what was observed.
    pub cause: Option<(Seq, Name)>,
    /// When it was recorded.
    pub recorded_at: Moment,
    /// What it says.
    pub envelope: Envelope,
}

impl Recorded {
    /// The fact itself.
    #[must_use]
    pub fn fact(&self) -> &Fact {
        &self.envelope.fact
    }

    /// When it was recorded, for a row of a view.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp {
            seq: self.seq,
            wall: self.recorded_at.wall,
            at: self.recorded_at.at,
            watched: self.recorded_at.watched,
        }
    }
}

/// A moment in a row of a view: enough to show it, to age it and to find the fact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Fact that set it.
    pub seq: Seq,
    /// Wall clock, for display.
    pub wall: crate::Timestamp,
    /// Cumulative elapsed time.
    pub at: crate::Elapsed,
    /// Cumulative watched time.
    pub watched: crate::Watched,
}

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident($body:ty) = $kind:literal),* $(,)?) => {
        /// Everything that can be recorded.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum Fact {
            $($(#[$doc])* #[serde(rename = $kind)] $name($body),)*
            /// A kind that a newer version wrote.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl Fact {
            /// Name of the kind, as stored.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $kind,)*
                    Self::Unknown => "unknown",
                }
            }

            /// Names of all kinds this version writes.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];
        }
    };
}

facts! {
    /// A process began to own the journal: its first fact.
    Started(Started) = "started",
    /// The process ended on purpose.
    Stopped(Stopped) = "stopped",
    /// The rules that hold from here on.
    Configured(Configured) = "configured",
    /// Five seconds went by, and this was counted in them.
    Tick(Tick) = "tick",
    /// The wall clock moved against the boot clock.
    ClockJumped(ClockJumped) = "clock_jumped",
    /// The telemetry database is another one than before.
    TelemetryReplaced(TelemetryReplaced) = "telemetry_replaced",
    /// A limit was reached and something was refused, cut or merged.
    LimitReached(LimitReached) = "limit_reached",
    /// A reactor panicked; it goes on without that fact.
    ReactorFailed(ReactorFailed) = "reactor_failed",
    /// A chain of consequences was cut.
    FoldCut(FoldCut) = "fold_cut",
    /// A task of the daemon failed and was started again, or given up.
    TaskFailed(TaskFailed) = "task_failed",
    /// An outward heartbeat does not arrive any more, or arrives again.
    HeartbeatChanged(HeartbeatChanged) = "heartbeat_changed",

    /// A probe answers differently than before.
    ProbeChanged(ProbeChanged) = "probe_changed",
    /// A probe was shown another certificate than before.
    CertificateSeen(CertificateSeen) = "certificate_seen",
    /// Our own network went away or came back.
    NetworkChanged(NetworkChanged) = "network_changed",
    /// A release of a service went live.
    DeploymentRecorded(Deployment) = "deployment_recorded",

    /// A rule went from one phase to another.
    AlertPhase(AlertPhase) = "alert_phase",
    /// A person has taken an incident.
    IncidentAcked(IncidentAcked) = "incident_acked",
    /// A person set a silence.
    SilenceSet(SilenceSet) = "silence_set",
    /// A person lifted a silence.
    SilenceLifted(SilenceLifted) = "silence_lifted",
    /// A silence ran out or was lifted.
    SilenceEnded(SilenceEnded) = "silence_ended",
    /// A message was queued for a destination.
    Notified(Notified) = "notified",
    /// A person asked for a test message.
    TestRequested(TestRequested) = "test_requested",

    /// A job was begun for the first time; of a message this holds what is said.
    JobStarted(JobStarted) = "job_started",
    /// An attempt failed: the first, or with a new reason.
    JobFailed(JobFailed) = "job_failed",
    /// A job is done; of a message: delivered.
    JobDone(JobDone) = "job_done",
    /// A job ended without success and will not be tried again.
    JobEnded(JobEnded) = "job_ended",

    /// A backup's next due time was set.
    BackupScheduled(BackupScheduled) = "backup_scheduled",
    /// A schedule came due.
    BackupDue(BackupDue) = "backup_due",
    /// Due times went by while nobody was there.
    BackupMissed(BackupMissed) = "backup_missed",
    /// A person asked for a backup or a proof now.
    BackupRequested(BackupRequested) = "backup_requested",
    /// A copy was made and stored.
    BackupCaptured(BackupCaptured) = "backup_captured",
    /// Every byte of a copy was read back.
    BackupVerified(BackupVerified) = "backup_verified",
    /// A copy was restored and compared.
    BackupProved(BackupProved) = "backup_proved",
    /// A step of a backup failed.
    BackupFailed(BackupFailed) = "backup_failed",
    /// Copies were removed by retention.
    SnapshotsPruned(SnapshotsPruned) = "snapshots_pruned",

    /// An alert asks for an action, and this is what the gates say.
    ActionProposed(ActionProposed) = "action_proposed",
    /// The worker is ready to act and asks for the last word.
    ActReady(ActReady) = "act_ready",
    /// The act may begin: recorded before it does.
    ActStarting(ActGated) = "act_starting",
    /// The act may not begin.
    ActRefused(ActGated) = "act_refused",
    /// The act ended, or was found ended.
    ActFinished(ActFinished) = "act_finished",
    /// What is verified after an act began or ceased to hold.
    ActionVerifying(ActionVerifying) = "action_verifying",
    /// The end of an action, with all its evidence.
    ActionConcluded(ActionConcluded) = "action_concluded",
    /// A person stopped or allowed all acting, or released a held action.
    ActingSwitched(ActingSwitched) = "acting_switched",
}
