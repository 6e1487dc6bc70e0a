//! What happened while a source was read: the library forgets errors, we count them.

use std::{
    collections::BTreeMap,
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    digest::Hasher,
    manifest::{Content, Manifest},
    run::Run,
};

/// Errors beyond this many are counted, not kept.
const KEPT: usize = 1000;
/// The first bytes of every SQLite database.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";

/// The record of one reading.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) manifest: Manifest,
    /// What could not be read, and why.
    pub(crate) errors: BTreeMap<PathBuf, String>,
    /// All errors, those beyond the limit too.
    pub(crate) error_count: u64,
    /// Files that the library was given.
    pub(crate) files_offered: u64,
    /// Files that were read to their end.
    pub(crate) files_read: u64,
    /// Files that changed while they were read.
    pub(crate) torn: Vec<PathBuf>,
    /// SQLite databases that were copied as plain files.
    pub(crate) bare_databases: Vec<PathBuf>,
}

/// A tally that the readers of many threads share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Arc<Mutex<Tally>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Tally> {
        // A panic elsewhere leaves the counts behind; the run has failed then anyway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn error(&self, path: &Path, what: impl Into<String>) {
        let mut tally = self.lock();
        tally.error_count += 1;
        if tally.errors.len() < KEPT {
            tally.errors.entry(path.to_owned()).or_insert_with(|| what.into());
        }
    }
}

/// Opens a file without following a link and without waiting for a pipe's other end: either may have taken the
/// file's place since it was listed.
pub(crate) fn open_plain(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no longer a file"));
    }
    Ok(file)
}

/// A file while it is read: hashed, counted, compared with itself at the end.
pub(crate) struct Counted {
    file: File,
    /// Under which path it stands in the snapshot.
    path: PathBuf,
    before: Metadata,
    hasher: Hasher,
    bytes: u64,
    magic: Vec<u8>,
    settled: bool,
    /// It is the file itself, not a copy that a database made of itself.
    is_original: bool,
    tally: Shared,
    run: Run,
}

impl Counted {
    pub(crate) fn open(file: &Path, path: PathBuf, tally: Shared, run: Run) -> io::Result<Self> {
        let is_original = file == path;
        let file = open_plain(file)?;
        let before = file.metadata()?;
        let hasher = Hasher::default();
        Ok(Self {
            file,
            path,
            before,
            hasher,
            bytes: 0,
            magic: Vec::new(),
            settled: false,
            is_original,
            tally,
            run,
        })
    }

    /// Notes the end of the file.
    fn settle(&mut self) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let sha256 = std::mem::take(&mut self.hasher).finish();
        let torn = match self.file.metadata() {
            Ok(after) => !same(&self.before, &after) || after.len() != self.bytes,
            Err(error) => return self.tally.error(&self.path, format!("looking at it again: {error}")),
        };
        let mut tally = self.tally.lock();
        tally.files_read += 1;
        tally.manifest.insert(
            &self.path,
            Content::File {
                bytes: self.bytes,
                sha256,
            },
        );
        if torn && tally.torn.len() < KEPT {
            tally.torn.push(self.path.clone());
        }
        if self.is_original && self.magic == SQLITE && tally.bare_databases.len() < KEPT {
            tally.bare_databases.push(self.path.clone());
        }
    }
}

/// Whether a file looks untouched. The change time is left out: a hard link made beside it tears nothing.
fn same(before: &Metadata, after: &Metadata) -> bool {
    let of = |metadata: &Metadata| (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    of(before) == of(after)
}

impl Read for Counted {
    /// Fills the buffer as far as the file reaches: short reads cost the library nine times the time.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.run.cancel.is_cancelled() {
            return Err(io::Error::other("the run was cancelled"));
        }
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read(rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.settled = true;
                    self.tally.error(&self.path, format!("reading it: {error}"));
                    return Err(error);
                }
            }
        }
        let read = buffer.get(..filled).unwrap_or_default();
        self.hasher.update(read);
        self.bytes += filled as u64;
        self.run.traffic.read(filled);
        let wanted = SQLITE.len() - self.magic.len();
        self.magic.extend(read.iter().take(wanted));
        if filled == 0 && !buffer.is_empty() {
            self.settle();
        }
        Ok(filled)
    }
}

impl Drop for Counted {
    /// The library may stop at the last byte without asking for the end. Anything before it is an error.
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        match self.read(&mut [0_u8]) {
            Ok(0) => {}
            Ok(_) => self.tally.error(&self.path, "it was not read to its end"),
            Err(_) if self.settled => {}
            Err(error) => self.tally.error(&self.path, error.to_string()),
        }
        self.settled = true;
    }
}
