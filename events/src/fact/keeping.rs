//! Facts of backups: due, captured, verified, proved, pruned.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{JobId, Name, Timestamp};

/// What a backup job is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupTask {
    /// Copy, verify, prove, prune.
    Run,
    /// Verify and prove the newest copy again.
    Prove,
    /// A task that a newer version wrote.
    #[serde(other)]
    Other,
}

/// A backup's next due time was set: first seen, schedule changed, or clock jumped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupScheduled {
    /// Which backup.
    pub backup: Name,
    /// The schedule, as written.
    pub schedule: String,
    /// When it is due next; absent when never.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<Timestamp>,
}

/// A schedule came due, or a person asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupDue {
    /// Which backup.
    pub backup: Name,
    /// What to do.
    pub task: BackupTask,
    /// The time it was meant for.
    pub intended: Timestamp,
    /// The job that does it.
    pub job: JobId,
    /// When the schedule comes due next; absent when never, and when a person asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<Timestamp>,
    /// Who asked; absent when it was the schedule.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asked_by: Option<String>,
}

/// Due times went by while nobody was there; only the newest is made up for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupMissed {
    /// Which backup.
    pub backup: Name,
    /// How many times.
    pub times: u32,
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
}

/// A person asked for a backup or a proof now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRequested {
    /// Which backup.
    pub backup: Name,
    /// What to do.
    pub task: BackupTask,
    /// Who asked.
    pub by: String,
}

/// A copy was made and stored; nothing is known yet about its worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupCaptured {
    /// Which backup.
    pub backup: Name,
    /// The job that did it.
    pub job: JobId,
    /// Repository it lies in.
    pub repository: Name,
    /// Its id in the repository.
    pub snapshot: String,
    /// The time it was meant for.
    pub intended: Timestamp,
    /// Bytes read from the source.
    pub bytes: u64,
    /// Bytes added to the repository.
    pub added_bytes: u64,
    /// Files in it.
    pub files: u64,
    /// SHA-256 over the sorted list of path and digest of each file, hexadecimal.
    pub digest: String,
    /// Files that changed while they were read. Of this and the lists below the first hundred; a last line says how many more.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub torn: Vec<String>,
    /// What could not be read and was allowed to be missing, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unreadable: Vec<String>,
    /// Databases that were copied as plain files, perhaps in mid-write.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub bare_databases: Vec<String>,
    /// Packs that the store had lost: older copies that need them are damaged.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub lost_packs: Vec<String>,
    /// How long it took.
    pub took: SignedDuration,
}

/// Every byte of a copy was read back from the repository and was right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupVerified {
    /// Which backup.
    pub backup: Name,
    /// The job that did it.
    pub job: JobId,
    /// The copy.
    pub snapshot: String,
    /// Bytes read back.
    pub bytes: u64,
    /// How long it took.
    pub took: SignedDuration,
}

/// A copy was restored into a scratch place and compared with what was read at the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupProved {
    /// Which backup.
    pub backup: Name,
    /// The job that did it.
    pub job: JobId,
    /// The copy.
    pub snapshot: String,
    /// Bytes restored.
    pub bytes: u64,
    /// Files compared.
    pub files: u64,
    /// What was checked beside the digests: `integrity_check`, row counts.
    pub checks: Vec<String>,
    /// How long it took: what a real restore would take at least.
    pub took: SignedDuration,
}

/// Steps of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupStage {
    /// Opening the repository.
    Open,
    /// Reading the source and storing it.
    Capture,
    /// Reading it back.
    Verify,
    /// Restoring and comparing.
    Prove,
    /// Removing what retention drops.
    Prune,
    /// A step that a newer version wrote.
    #[serde(other)]
    Other,
}

/// A step of a backup failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFailed {
    /// Which backup.
    pub backup: Name,
    /// The job that found it.
    pub job: JobId,
    /// At which step.
    pub stage: BackupStage,
    /// The reason, from a closed list: `credentials`, `corrupt`, `staging_full`, `source_corrupt`, …
    pub reason: Name,
    /// The reason in words, without secrets.
    pub detail: String,
    /// The copy it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub snapshot: Option<String>,
}

impl BackupFailed {
    /// True when the copy itself is no good; false when it could not be looked at, such as by a broken network.
    #[must_use]
    pub fn is_about_the_copy(&self) -> bool {
        is_about_the_copy(self.stage, &self.reason)
    }
}

/// Whether a failure at this step for this reason says that the copy itself is no good.
pub(crate) fn is_about_the_copy(stage: BackupStage, reason: &Name) -> bool {
    let looked_at = matches!(stage, BackupStage::Verify | BackupStage::Prove);
    looked_at && matches!(reason.as_str(), "corrupt" | "mismatch" | "no_record" | "not_found")
}

/// Copies were removed by retention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotsPruned {
    /// Which backup.
    pub backup: Name,
    /// The removed copies.
    pub snapshots: Vec<String>,
    /// Why nothing, or not all, was removed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub held_back: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name_of;

    #[test]
    fn a_failure_is_about_the_copy_only_when_that_was_looked_at() {
        let about_it = |stage, reason: &str| {
            let failed = BackupFailed {
                backup: name_of("nightly"),
                job: JobId(uuid::Uuid::nil()),
                stage,
                reason: name_of(reason),
                detail: String::new(),
                snapshot: None,
            };
            failed.is_about_the_copy()
        };
        for reason in ["corrupt", "mismatch", "no_record", "not_found"] {
            for stage in [BackupStage::Verify, BackupStage::Prove] {
                assert!(about_it(stage, reason), "{stage:?} {reason}");
            }
            for stage in [
                BackupStage::Open,
                BackupStage::Capture,
                BackupStage::Prune,
                BackupStage::Other,
            ] {
                assert!(!about_it(stage, reason), "{stage:?} {reason}");
            }
        }
        // The network, the store, the scratch folder and our own end say nothing about the copy.
        for reason in [
            "unreachable",
            "timeout",
            "server",
            "credentials",
            "scratch_full",
            "deadline",
            "interrupted",
        ] {
            assert!(!about_it(BackupStage::Verify, reason), "{reason}");
        }
    }
}
