//! Makes facts of what a child reports.

use std::time::Duration;

use async_trait::async_trait;
use events::{
    Attempt, BackupCaptured, BackupFailed, BackupProved, BackupStage, BackupVerified, Envelope, Fact, Input, Key, Name,
    Reporter, SnapshotsPruned, SubmitError, Timestamp, name_of,
};
use jiff::SignedDuration;
use outbound::child::Lines;
use tokio::sync::Mutex;

use crate::{
    Reason,
    task::{CapturedStep, FailedStep, ProvedStep, Step, VerifiedStep},
};

/// How often it is tried to record an end before that is left to the next attempt.
const TRIES: usize = 30;
/// Pause in between.
const AGAIN: Duration = Duration::from_secs(1);

/// What a child reported so far.
#[derive(Default)]
pub(super) struct Seen {
    /// The failure that ended it, and whether another attempt makes sense.
    pub(super) failed: Option<(String, bool)>,
    /// The step that it began last.
    pub(super) reached: Option<BackupStage>,
}

/// Records what a child reports, each line once.
pub(super) struct Recorder<'a> {
    pub(super) report: &'a dyn Reporter,
    pub(super) attempt: &'a Attempt,
    pub(super) backup: &'a Name,
    /// The repository by the settings of now: for a child that does not say where it put its copy.
    pub(super) repository: Name,
    pub(super) intended: Timestamp,
    pub(super) seen: Mutex<Seen>,
}

impl Recorder<'_> {
    /// Records the end of a child that could not say it itself; false when that is not committed.
    pub(super) async fn record_end(&self, stage: BackupStage, reason: Reason, why: &str) -> bool {
        let failed = FailedStep {
            stage,
            reason: reason.as_str().to_owned(),
            detail: why.to_owned(),
            snapshot: None,
            again: None,
        };
        for _ in 0..TRIES {
            match self.record(self.failed(failed.clone()), "end").await {
                Ok(()) => return true,
                Err(SubmitError::Stopping) => return false,
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
        false
    }

    /// Submits a fact of this attempt; asking again with the same key is harmless.
    async fn record(&self, fact: Fact, what: &str) -> Result<(), SubmitError> {
        let envelope = Envelope::new(name_of(&format!("backup/{}", self.backup)), name_of("worker"), fact);
        let Ok(key) = Key::new(format!("{}/{}/{what}", self.attempt.job.id, self.attempt.number)) else {
            return Ok(());
        };
        self.report.submit(Input::from(envelope.keyed(key))).await.map(drop)
    }

    fn fact(&self, step: Step) -> Option<Fact> {
        Some(match step {
            Step::Began { .. } => return None,
            Step::Captured(captured) => self.captured(captured),
            Step::Verified(verified) => self.verified(verified),
            Step::Proved(proved) => self.proved(proved),
            Step::Pruned { snapshots, held_back } => Fact::SnapshotsPruned(SnapshotsPruned {
                backup: self.backup.clone(),
                snapshots,
                held_back,
            }),
            Step::Failed(failed) => self.failed(failed),
        })
    }

    fn captured(&self, step: CapturedStep) -> Fact {
        Fact::BackupCaptured(BackupCaptured {
            backup: self.backup.clone(),
            job: self.attempt.job.id,
            repository: lies_in(&step, &self.repository),
            snapshot: step.snapshot,
            intended: self.intended,
            bytes: step.bytes,
            added_bytes: step.added_bytes,
            files: step.files,
            digest: step.digest,
            torn: step.torn,
            unreadable: step.unreadable,
            bare_databases: step.bare_databases,
            lost_packs: step.lost_packs,
            took: took(step.took_ms),
        })
    }

    fn verified(&self, step: VerifiedStep) -> Fact {
        Fact::BackupVerified(BackupVerified {
            backup: self.backup.clone(),
            job: self.attempt.job.id,
            snapshot: step.snapshot,
            bytes: step.bytes,
            took: took(step.took_ms),
        })
    }

    fn proved(&self, step: ProvedStep) -> Fact {
        Fact::BackupProved(BackupProved {
            backup: self.backup.clone(),
            job: self.attempt.job.id,
            snapshot: step.snapshot,
            bytes: step.bytes,
            files: step.files,
            checks: step.checks,
            took: took(step.took_ms),
        })
    }

    fn failed(&self, step: FailedStep) -> Fact {
        Fact::BackupFailed(BackupFailed {
            backup: self.backup.clone(),
            job: self.attempt.job.id,
            stage: step.stage,
            reason: name_of(&step.reason),
            detail: step.detail,
            snapshot: step.snapshot,
        })
    }
}

/// The repository of a copy: as its child says it, or by the settings of now.
pub(super) fn lies_in(step: &CapturedStep, now: &Name) -> Name {
    step.repository.as_ref().unwrap_or(now).clone()
}

fn took(ms: u64) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

#[async_trait]
impl Lines for Recorder<'_> {
    async fn line(&self, number: usize, text: &str) -> bool {
        let Ok(step) = serde_json::from_str::<Step>(text) else {
            return true;
        };
        match &step {
            Step::Began { stage } => self.seen.lock().await.reached = Some(*stage),
            Step::Failed(FailedStep {
                detail,
                again: Some(again),
                ..
            }) => self.seen.lock().await.failed = Some((detail.clone(), *again)),
            _ => {}
        }
        match self.fact(step) {
            Some(fact) => self.record(fact, &number.to_string()).await.is_ok(),
            None => true,
        }
    }
}
