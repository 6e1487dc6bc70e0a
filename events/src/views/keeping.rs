//! Rows of backups.

use serde::{Deserialize, Serialize};

use super::{Row, Views};
use crate::{BackupCaptured, BackupFailed, BackupStage, Fact, JobId, Name, Recorded, Stamp, Timestamp};

/// What a backup last failed at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFailure {
    /// When.
    pub at: Stamp,
    /// At which step.
    pub stage: BackupStage,
    /// The reason, from a closed list.
    pub reason: Name,
    /// The reason in words.
    pub detail: String,
}

impl BackupFailure {
    /// True when the copy itself is no good, as [`BackupFailed::is_about_the_copy`] says.
    #[must_use]
    pub fn is_about_the_copy(&self) -> bool {
        crate::is_about_the_copy(self.stage, &self.reason)
    }
}

/// Where a backup stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// When it was first known.
    pub known: Stamp,
    /// Its schedule, as written.
    pub schedule: String,
    /// When it is due next.
    pub next: Option<Timestamp>,
    /// The newest time it was begun for.
    pub last_intended: Option<Timestamp>,
    /// The job that was last begun.
    pub last_job: Option<JobId>,
    /// When the last copy was captured.
    pub captured: Option<Stamp>,
    /// When a copy was last verified.
    pub verified: Option<Stamp>,
    /// When a copy was last proved.
    pub proved: Option<Stamp>,
    /// The copy that was.
    pub proved_snapshot: Option<String>,
    /// The last failure since the last proof.
    pub failure: Option<BackupFailure>,
    /// Due times that were missed, ever.
    pub missed: u32,
}

impl Row for Backup {
    const SHAPE: u32 = 1;
}

/// A copy in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Which backup made it.
    pub backup: Name,
    /// Where it lies.
    pub repository: Name,
    /// The time it was meant for.
    pub intended: Timestamp,
    /// When it was captured.
    pub captured: Stamp,
    /// Bytes read from the source.
    pub bytes: u64,
    /// Bytes it added to the repository.
    pub added_bytes: u64,
    /// Files in it.
    pub files: u64,
    /// Digest over its files.
    pub digest: String,
    /// When it was last verified.
    pub verified: Option<Stamp>,
    /// When it was last proved.
    pub proved: Option<Stamp>,
    /// Why it is no good, if so.
    pub damaged: Option<String>,
    /// Files that changed while they were read.
    #[serde(default)]
    pub torn: u64,
    /// Files that could not be read and were allowed to be missing.
    #[serde(default)]
    pub unreadable: u64,
    /// Databases in it that were copied as plain files.
    #[serde(default)]
    pub bare_databases: u64,
    /// Packs that were found lost when it was made.
    #[serde(default)]
    pub lost_packs: u64,
}

impl Row for Snapshot {
    const SHAPE: u32 = 2;
}

impl Views {
    pub(super) fn apply_keeping(&mut self, fact: &Recorded) {
        let stamp = fact.stamp();
        match fact.fact() {
            Fact::BackupScheduled(scheduled) => self.edit_backup(&scheduled.backup, stamp, |row| {
                row.schedule.clone_from(&scheduled.schedule);
                row.next = scheduled.next;
            }),
            Fact::BackupDue(due) => self.edit_backup(&due.backup, stamp, |row| {
                row.last_job = Some(due.job);
                if due.asked_by.is_none() {
                    row.last_intended = Some(due.intended);
                    row.next = due.next;
                }
            }),
            Fact::BackupMissed(missed) => {
                self.edit_backup(&missed.backup, stamp, |row| {
                    row.missed = row.missed.saturating_add(missed.times);
                });
            }
            Fact::BackupCaptured(captured) => self.put_snapshot(captured, stamp),
            Fact::BackupVerified(verified) => {
                self.snapshots
                    .edit(&verified.snapshot, |row| row.verified = Some(stamp));
                self.edit_backup(&verified.backup, stamp, |row| row.verified = Some(stamp));
            }
            Fact::BackupProved(proved) => {
                self.snapshots.edit(&proved.snapshot, |row| {
                    row.proved = Some(stamp);
                    row.damaged = None;
                });
                self.edit_backup(&proved.backup, stamp, |row| {
                    row.proved = Some(stamp);
                    row.proved_snapshot = Some(proved.snapshot.clone());
                    row.failure = None;
                });
            }
            Fact::BackupFailed(failed) => self.fail_backup(failed, stamp),
            Fact::SnapshotsPruned(pruned) => {
                for snapshot in &pruned.snapshots {
                    self.snapshots.close(snapshot);
                }
            }
            _ => {}
        }
    }

    fn put_snapshot(&mut self, captured: &BackupCaptured, stamp: Stamp) {
        let row = Snapshot {
            backup: captured.backup.clone(),
            repository: captured.repository.clone(),
            intended: captured.intended,
            captured: stamp,
            bytes: captured.bytes,
            added_bytes: captured.added_bytes,
            files: captured.files,
            digest: captured.digest.clone(),
            verified: None,
            proved: None,
            damaged: None,
            torn: captured.torn.len() as u64,
            unreadable: captured.unreadable.len() as u64,
            bare_databases: captured.bare_databases.len() as u64,
            lost_packs: captured.lost_packs.len() as u64,
        };
        self.snapshots.put(&captured.snapshot, row);
        self.edit_backup(&captured.backup, stamp, |row| row.captured = Some(stamp));
    }

    fn fail_backup(&mut self, failed: &BackupFailed, stamp: Stamp) {
        if let (Some(snapshot), true) = (&failed.snapshot, failed.is_about_the_copy()) {
            self.snapshots
                .edit(snapshot, |row| row.damaged = Some(failed.detail.clone()));
        }
        let failure = BackupFailure {
            at: stamp,
            stage: failed.stage,
            reason: failed.reason.clone(),
            detail: failed.detail.clone(),
        };
        self.edit_backup(&failed.backup, stamp, |row| row.failure = Some(failure));
    }

    fn edit_backup(&mut self, backup: &Name, stamp: Stamp, change: impl FnOnce(&mut Backup)) {
        if self.backups.get(backup.as_str()).is_none() {
            self.backups.put(
                backup.as_str(),
                Backup {
                    known: stamp,
                    ..Backup::default()
                },
            );
        }
        self.backups.edit(backup.as_str(), change);
    }
}
