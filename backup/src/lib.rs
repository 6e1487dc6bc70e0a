//! Backups that are proved: captured into a repository in restic's format, read back, restored, compared, and kept by
//! rules that never take the newest proved copy.
//!
//! Everything here is synchronous and may take hours; it runs in a child process of the daemon. The child opens a
//! [`Repository`], calls [`Repository::backup`], [`Repository::verify`], [`prove()`], [`restore()`], and reports what it
//! was answered. A caller stops it with [`Cancel`] and watches it by [`Traffic`].

mod digest;
mod failure;
mod manifest;
mod prove;
mod random;
mod repository;
mod restore;
pub mod retention;
mod run;
mod schedule;
mod settings;
mod source;
mod space;
pub mod task;
mod worker;

pub use self::{
    digest::{Digest, NotADigest},
    failure::{Failure, Reason},
    manifest::{Content, Database, Manifest, Note},
    prove::{Parts, Proof, prove},
    random::password,
    repository::{
        Access, Captured, Checked, Limits, Location, PackReport, PruneRule, Repository, Request, Rules, S3, Snapshot,
        Verified,
    },
    restore::{Listed, Order, Restored, list, restore},
    run::{Cancel, Clock, Moved, Run, Traffic},
    schedule::{Planned, ScheduleReactor, queue_of},
    settings::{
        BackupSettings, BucketPlace, FolderPlace, FolderSource, JournalSource, KeepSettings, ProveSettings,
        RepositorySettings, SourceSettings, SqliteSource,
    },
    source::Source,
    worker::{BackupWorker, Kept, ReadViews},
};
