//! How the journal is opened.

use std::{fmt, sync::Arc};

use events::CommitId;

/// When the journal calls a commit durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// After the disk has said so.
    #[default]
    Full,
    /// Negative control: a power cut loses acknowledged commits.
    Normal,
}

/// When a caller is told that its input is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// After COMMIT.
    #[default]
    AfterCommit,
    /// Negative control: before it, so that a crash in between makes a liar of us.
    BeforeCommit,
}

/// Where a fault can be put in by a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPoint {
    /// After the rows were written, before COMMIT: the commit does not happen.
    BeforeCommit,
    /// After COMMIT, before its success is known: the commit is in doubt, and has happened.
    AfterCommit,
    /// When the journal is opened again after a failure: it stays closed.
    Reopen,
    /// As [`FaultPoint::BeforeCommit`], with the disk reporting that it is full.
    DiskFull,
}

/// Faults put in by tests.
pub trait Faults: Send + Sync {
    /// Whether to fail here, in the given commit.
    fn fails(&self, point: FaultPoint, commit: CommitId) -> bool;
}

/// How the journal is opened. The defaults are the safe ones; apart from `free_min_bytes`, everything here exists only
/// so that tests can show that the safe choice is needed (negative controls) and can put faults in.
#[derive(Clone)]
pub struct Options {
    /// Bytes that must stay free for ordinary facts to be taken. `None`: 5 % of the file system, at most 1 GiB.
    pub free_min_bytes: Option<u64>,
    /// Control: whether a commit waits for the disk.
    pub synchronous: Synchronous,
    /// Control: false trusts disks never to garble a sector at a power cut (SQLite's own default).
    pub powersafe_overwrite_off: bool,
    /// Control: false trusts what the page cache says after a failed sync.
    pub checkpoint_at_open: bool,
    /// Control: when callers are answered.
    pub acknowledge: Acknowledge,
    /// Test: most pages that the database may have, as a full disk.
    pub pages_max: Option<u32>,
    /// Test: faults to put in.
    pub faults: Option<Arc<dyn Faults>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            free_min_bytes: None,
            synchronous: Synchronous::Full,
            powersafe_overwrite_off: true,
            checkpoint_at_open: true,
            acknowledge: Acknowledge::AfterCommit,
            pages_max: None,
            faults: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("free_min_bytes", &self.free_min_bytes)
            .field("synchronous", &self.synchronous)
            .field("powersafe_overwrite_off", &self.powersafe_overwrite_off)
            .field("checkpoint_at_open", &self.checkpoint_at_open)
            .field("acknowledge", &self.acknowledge)
            .finish_non_exhaustive()
    }
}

impl Options {
    pub(crate) fn fails(&self, point: FaultPoint, commit: CommitId) -> bool {
        self.faults.as_ref().is_some_and(|faults| faults.fails(point, commit))
    }
}
