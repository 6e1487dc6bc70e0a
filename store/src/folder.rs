//! The data folder: one owner at a time, named; a reserve for a full disk; a look at the free space.

use std::{
    fmt,
    fs::{DirBuilder, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use events::Timestamp;
use rustix::fs::{FallocateFlags, FlockOperation, FsWord};
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// Size of the reserve file: enough for the facts of the hours until somebody makes room.
pub const RESERVE_BYTES: u64 = 16 * 1024 * 1024;

/// Telemetry stops this much before ordinary facts do, so that what is measured never takes the room of what is decided.
pub const TELEMETRY_AHEAD_BYTES: u64 = 64 * 1024 * 1024;
/// Most bytes that have to stay free when nothing is said; 5 % of a large disk would be a lot.
const FLOOR_MAX: u64 = 1024 * 1024 * 1024;
/// Most of a lock file that is read.
const HOLDER_MAX: u64 = 4096;

/// Network file systems by their magic number. Source: linux/magic.h and statfs(2).
const NETWORK_FILE_SYSTEMS: &[(FsWord, &str)] = &[
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB 2"),
    (0x5346_414F, "AFS"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
];

/// Who owns a data folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Since when.
    pub since: Timestamp,
    /// What it was started as.
    pub command: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, since, command } = self;
        if *pid == 0 {
            return formatter.write_str("another process has it");
        }
        write!(
            formatter,
            "process {pid} ({command}) has it since {}",
            since.whole_seconds()
        )
    }
}

/// Space on the file system of the data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this user may still write.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// What there is still room for. The order is that in which a filling disk is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Everything.
    Enough,
    /// Telemetry is refused; facts are taken.
    NoTelemetry,
    /// Ordinary facts are refused, too; what must go on goes on.
    NoFacts,
}

impl Space {
    /// Bytes that have to stay free for ordinary facts to be taken: what is said, else 5 % of the file system, at most
    /// 1 GiB.
    #[must_use]
    pub fn floor_bytes(&self, said: Option<u64>) -> u64 {
        said.unwrap_or_else(|| (self.total_bytes / 20).min(FLOOR_MAX))
    }

    /// What there is still room for. A floor of nothing switches both limits off.
    #[must_use]
    pub fn room(&self, said: Option<u64>) -> Room {
        let floor = self.floor_bytes(said);
        if self.free_bytes < floor {
            Room::NoFacts
        } else if floor > 0 && self.free_bytes < floor.saturating_add(TELEMETRY_AHEAD_BYTES) {
            Room::NoTelemetry
        } else {
            Room::Enough
        }
    }
}

/// The data folder. Owned ([`Folder::own`]) until dropped, or only looked at ([`Folder::look`]).
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: Option<File>,
}

impl Folder {
    /// Takes the folder for this process, creating it (0700) when it is missing.
    ///
    /// # Errors
    /// When another process has it (which is named), it lies on a network file system, or it cannot be written to.
    pub fn own(path: &Path, since: Timestamp, command: &str) -> Result<Self, StoreError> {
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(StoreError::io("create the data folder", path))?;
        refuse_network(path)?;
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(StoreError::io("open the lock file", &lock_path))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let holder = read_holder(&mut lock).unwrap_or_default();
                return Err(StoreError::InUse {
                    path: path.to_owned(),
                    holder,
                });
            }
            Err(errno) => return Err(StoreError::io("lock", &lock_path)(errno.into())),
        }
        let holder = Holder {
            pid: std::process::id(),
            since,
            command: command.chars().filter(|c| !c.is_control()).take(200).collect(),
        };
        write_holder(&mut lock, &holder).map_err(StoreError::io("write the lock file", &lock_path))?;
        let folder = Self {
            path: path.to_owned(),
            lock: Some(lock),
        };
        let runs = folder.runs();
        builder
            .create(&runs)
            .map_err(StoreError::io("create the folder of runs", &runs))?;
        if let Err(error) = folder.reserve() {
            tracing::warn!(error = %crate::chain_of(&error), "the reserve file could not be made");
        }
        folder.sync()?;
        Ok(folder)
    }

    /// Looks at a folder without taking it: for reading only.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn look(path: &Path) -> Result<Self, StoreError> {
        std::fs::metadata(path).map_err(StoreError::io("read the data folder", path))?;
        Ok(Self {
            path: path.to_owned(),
            lock: None,
        })
    }

    /// Who owns a folder now; `None` when nobody does.
    #[must_use]
    pub fn holder(path: &Path) -> Option<Holder> {
        let mut lock = File::open(path.join("lock")).ok()?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => Some(read_holder(&mut lock).unwrap_or_default()),
            _ => None,
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True when this process owns it.
    #[must_use]
    pub fn is_owned(&self) -> bool {
        self.lock.is_some()
    }

    /// The journal's database.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.db")
    }

    /// The folder in which running children leave their marks.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.path.join("runs")
    }

    /// Where the reserve lies.
    pub(crate) fn reserve_path(&self) -> PathBuf {
        self.path.join("reserve")
    }

    /// Space left.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn space(&self) -> Result<Space, StoreError> {
        space(&self.path)
    }

    /// Makes the reserve file, if it is not there in full.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn reserve(&self) -> Result<(), StoreError> {
        make_reserve(&self.reserve_path())
    }

    /// Makes the folder's entries durable.
    ///
    /// # Errors
    /// When the folder cannot be synced.
    pub fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(StoreError::io("sync the data folder", &self.path))
    }
}

/// Makes durable what was created, renamed or removed in a directory.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path).and_then(|folder| folder.sync_all())
}

pub(crate) fn space(path: &Path) -> Result<Space, StoreError> {
    let stat =
        rustix::fs::statvfs(path).map_err(|errno| StoreError::io("read the free space of", path)(errno.into()))?;
    Ok(Space {
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
    })
}

pub(crate) fn make_reserve(path: &Path) -> Result<(), StoreError> {
    let failed = || StoreError::io("make the reserve file", path);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed())?;
    let missing = file.metadata().map_err(failed())?.len() < RESERVE_BYTES;
    if !missing {
        return Ok(());
    }
    let made = match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
        Err(rustix::io::Errno::OPNOTSUPP) => {
            std::io::copy(&mut std::io::repeat(0).take(RESERVE_BYTES), &mut file).map(drop)
        }
        other => other.map_err(std::io::Error::from),
    };
    if made.is_err() {
        // Half a reserve would only keep others from the last bytes.
        let _ = std::fs::remove_file(path);
    }
    made.map_err(failed())
}

fn refuse_network(path: &Path) -> Result<(), StoreError> {
    let stat =
        rustix::fs::statfs(path).map_err(|errno| StoreError::io("read the file system of", path)(errno.into()))?;
    let network = NETWORK_FILE_SYSTEMS.iter().find(|(magic, _)| *magic == stat.f_type);
    match network {
        Some((_, kind)) => Err(StoreError::NetworkFileSystem {
            path: path.to_owned(),
            kind,
        }),
        None => Ok(()),
    }
}

fn read_holder(lock: &mut File) -> Option<Holder> {
    let mut text = String::new();
    lock.take(HOLDER_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write_holder(lock: &mut File, holder: &Holder) -> std::io::Result<()> {
    let text = serde_json::to_string(holder)?;
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    lock.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_is_refused_before_facts_are() {
        let room = |free_mib: u64, total_mib: u64| {
            let space = Space {
                free_bytes: free_mib << 20,
                total_bytes: total_mib << 20,
            };
            space.room(None)
        };
        // 5 % of 2,000 MiB is 100; 1 GiB of a large disk.
        for (total, floor) in [(2_000, 100), (1_000_000, 1024)] {
            assert_eq!(room(floor + 64, total), Room::Enough, "{total}");
            assert_eq!(room(floor + 63, total), Room::NoTelemetry, "{total}");
            assert_eq!(room(floor, total), Room::NoTelemetry, "{total}");
            assert_eq!(room(floor - 1, total), Room::NoFacts, "{total}");
        }
    }

    #[test]
    fn what_is_said_holds_and_nothing_switches_it_off() {
        let space = Space {
            free_bytes: 10,
            total_bytes: 1000,
        };
        assert_eq!(space.room(Some(11)), Room::NoFacts);
        assert_eq!(space.room(Some(10)), Room::NoTelemetry);
        assert_eq!(space.room(Some(0)), Room::Enough);
    }
}
