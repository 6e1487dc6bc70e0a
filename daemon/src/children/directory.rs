//! A run directory: its lock, and what its files say.
//!
//! Nothing is decided about a job from two moments. Whoever changes what a directory says holds its lock exclusively: the
//! one who begins, from before it decides until the child has inherited that very lock; the child, until it said how it
//! ended, or is gone; and whoever removes the directory. Whoever only looks holds it shared while it reads. So "nobody lives there" and "this is
//! what was left" are true together, and no kill in between leaves a state that reads as another one:
//!
//! - killed before the child was made: nobody holds the lock, nothing says that it began: it never did;
//! - killed afterwards: the child holds the lock until it ends, and then its files, or the mark, say that it began;
//! - killed while removing: the directory is renamed first, so it is there whole or not at all;
//! - killed after removing, before the job's end was recorded: the mark of an act holds how it ended.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use events::ActEnd;
use outbound::child::{ChildEnd, Found};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::inside::{self, Order};

/// How often a lock is tried again that somebody holds who only looks, or whose directory was just removed.
const TRIES: usize = 200;
/// Pause in between.
const PAUSE: Duration = Duration::from_millis(5);
/// Suffix of a directory that is being removed.
const GONE: &str = "gone";
/// Suffix of the mark of an act that was begun.
const BEGUN: &str = "begun";

/// What a child says of itself when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Started {
    /// Its process.
    pub(super) pid: u32,
    /// When that was made, in the kernel's ticks since boot: another process of the same number has another one.
    pub(super) ticks: u64,
    /// The boot clock when it began, in nanoseconds.
    pub(super) boot_ns: i64,
}

/// The run directory of a job.
#[derive(Clone, Debug)]
pub(super) struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The mark of an act that was begun, beside its run directory: whatever becomes of that, the act is not begun again.
    /// Once the directory was removed it says how the act ended, as `rc` did.
    pub(super) fn mark(&self) -> PathBuf {
        self.path.with_extension(BEGUN)
    }

    /// Makes the directory when it is not there.
    pub(super) fn make(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes the lock of a directory that is there; `None` when a child has it. Who only looks is waited for.
    ///
    /// # Errors
    /// When the directory is not there or cannot be used.
    pub(super) async fn take(&self) -> io::Result<Option<File>> {
        for _ in 0..TRIES {
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .mode(0o600)
                .open(self.lock())?;
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if self.is_of(Some(&lock))? => return Ok(Some(lock)),
                // Removed between opening and locking: this is nobody's lock any more.
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => match flock(&lock, FlockOperation::NonBlockingLockShared) {
                    Err(Errno::WOULDBLOCK) => return Ok(None),
                    Err(error) => return Err(error.into()),
                    // Only looked at: let go before the pause, so that two who want it do not stop each other.
                    Ok(()) => drop(lock),
                },
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(io::Error::other("the lock of the run directory does not come free"))
    }

    /// What is found of the child.
    ///
    /// # Errors
    /// When the directory cannot be looked at: then nobody knows.
    pub(super) fn find(&self) -> io::Result<Found> {
        for _ in 0..TRIES {
            let lock = match OpenOptions::new().read(true).write(true).open(self.lock()) {
                Ok(lock) => Some(lock),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            if let Some(lock) = &lock {
                match flock(lock, FlockOperation::NonBlockingLockShared) {
                    Ok(()) => {}
                    Err(Errno::WOULDBLOCK) => return Ok(Found::Running),
                    Err(error) => return Err(error.into()),
                }
            }
            let found = self.left()?;
            // Else another directory has taken its place meanwhile, and that was read in part.
            if self.is_of(lock.as_ref())? {
                return Ok(found);
            }
        }
        Err(io::Error::other("the run directory changes all the time"))
    }

    /// What the files say; the lock has to be held, or there must be none.
    pub(super) fn left(&self) -> io::Result<Found> {
        for told in [self.path.join("rc"), self.mark()] {
            if let Some(end) = read(&told)? {
                return Ok(Found::Ended(end));
            }
        }
        if self.has("overdue")? {
            return Ok(Found::Ended(self.overdue("")));
        }
        Ok(if self.has("started")? || self.mark().try_exists()? {
            Found::Lost
        } else {
            Found::NeverBegun
        })
    }

    /// Makes what was left by one who never began ready for a beginning; the lock has to be held.
    pub(super) fn prepare(&self, order: &Order) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name() != "lock" {
                std::fs::remove_file(entry.path())?;
            }
        }
        inside::write_whole(&self.path, "task", &serde_json::to_vec(order)?)
    }

    /// Removes the directory, unless a child has its lock; true when it is gone.
    pub(super) async fn remove(&self) -> io::Result<bool> {
        let held = match self.take().await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            held => held?,
        };
        if held.is_none() {
            return Ok(false);
        }
        // Its end outlives it: one who asks again, killed before the job's end was recorded, hears the same.
        if self.has("rc")? && self.mark().try_exists()? {
            std::fs::rename(self.path.join("rc"), self.mark())?;
        }
        // Renamed at once, removed piece by piece: a crash in between leaves nothing that reads as a run.
        let passing = self.path.with_extension(GONE);
        if passing.try_exists()? {
            std::fs::remove_dir_all(&passing)?;
        }
        std::fs::rename(&self.path, &passing)?;
        std::fs::remove_dir_all(&passing)?;
        Ok(true)
    }

    /// How long the child was given.
    pub(super) fn limit(&self) -> Option<Duration> {
        let order: Order = read(&self.path.join("task")).ok()??;
        Some(Duration::from_millis(order.deadline_ms))
    }

    /// What the child said of itself.
    pub(super) fn started(&self) -> Option<Started> {
        read(&self.path.join("started")).ok()?
    }

    /// Gone without a word; what it wrote to its log is all there is.
    pub(super) fn lost(&self) -> ChildEnd {
        let log = std::fs::read(self.path.join("log")).unwrap_or_default();
        let tail = log
            .get(log.len().saturating_sub(inside::OUTPUT_MAX)..)
            .unwrap_or_default();
        ChildEnd {
            pid: 0,
            ended: ActEnd::Unknown,
            took_ms: 0,
            output: inside::printable(tail),
        }
    }

    /// Ended at its deadline.
    pub(super) fn overdue(&self, remark: &str) -> ChildEnd {
        let lost = self.lost();
        ChildEnd {
            pid: self.started().map_or(0, |started| started.pid),
            ended: ActEnd::Deadline,
            took_ms: self
                .limit()
                .map_or(0, |limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
            output: format!("{}{remark}", lost.output),
        }
    }

    fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    fn has(&self, name: &str) -> io::Result<bool> {
        self.path.join(name).try_exists()
    }

    /// Whether this is the lock file that lies in the directory now; none for none.
    fn is_of(&self, lock: Option<&File>) -> io::Result<bool> {
        let identity = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
        let ours = lock.map(File::metadata).transpose()?.map(identity);
        let there = match std::fs::metadata(self.lock()) {
            Ok(meta) => Some(identity(meta)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(ours == there)
    }
}

/// A file as JSON; none when it is not there or is no such thing.
fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What lies in the folder of runs.
#[derive(Debug)]
pub(super) enum Entry {
    /// The run directory of a job, by its name.
    Run(String),
    /// A directory whose removal was cut short.
    Gone,
    /// The mark of an act that was begun, by its job's name.
    Mark(String),
}

/// What an entry of the folder of runs is.
pub(super) fn entry(path: &Path) -> Option<Entry> {
    let name = path.file_stem()?.to_str()?.to_owned();
    Some(match path.extension().and_then(|extension| extension.to_str()) {
        None => Entry::Run(name),
        Some(GONE) => Entry::Gone,
        Some(BEGUN) => Entry::Mark(name),
        Some(_) => return None,
    })
}
