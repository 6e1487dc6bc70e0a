//! A repository in a local folder. A file appears under its name only when it is whole and durable:
//! written beside, synced, renamed, folder synced.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::storage::{Kind, Listed, Object, Storage};
use crate::{
    digest::Digest,
    failure::{Failure, Reason},
    random,
};

/// Unfinished files; on the same file system as the rest, ignored by restic.
const UNFINISHED: &str = "tmp";

#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, object: &Object) -> PathBuf {
        self.root.join(object.path())
    }

    /// Makes a folder below the root, and syncs the one above it.
    fn make(&self, relative: &str) -> io::Result<()> {
        let path = self.root.join(relative);
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => sync_folder(path.parent().unwrap_or(&self.root)),
        }
    }

    fn write_whole(&self, object: &Object, content: &[u8]) -> io::Result<()> {
        let target = self.path(object);
        let folder = target.parent().unwrap_or(&self.root);
        if !folder.is_dir() {
            self.make(object.kind.folder())?;
            if let Ok(relative) = folder.strip_prefix(&self.root) {
                self.make(&relative.to_string_lossy())?;
            }
        }
        self.make(UNFINISHED)?;
        let unfinished = self.root.join(UNFINISHED).join(random::nonce()?.to_string());
        let written = write_new(&unfinished, content).and_then(|()| fs::rename(&unfinished, &target));
        if written.is_err() {
            // The first error is the one to tell.
            drop(fs::remove_file(&unfinished));
        }
        written?;
        sync_folder(folder)
    }
}

impl Storage for Folder {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn create(&self) -> Result<(), Failure> {
        let failed = |error| failure("making the repository's folders below", &self.root, error);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .map_err(failed)?;
        for kind in [Kind::Key, Kind::Snapshot, Kind::Index, Kind::Pack, Kind::Lock] {
            self.make(kind.folder()).map_err(failed)?;
        }
        for spread in 0..=255_u8 {
            let path = self.root.join(format!("data/{spread:02x}"));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
                _ => {}
            }
        }
        sync_folder(&self.root.join("data")).map_err(failed)?;
        // The root itself must survive a power cut as well.
        self.root
            .parent()
            .filter(|parent| parent.is_dir())
            .map_or(Ok(()), sync_folder)
            .map_err(failed)
    }

    fn probe(&self) -> Result<(), Failure> {
        let failed = |error| failure("trying to write below", &self.root, error);
        if !self.root.is_dir() {
            return Err(missing(&self.root));
        }
        self.make(UNFINISHED).map_err(failed)?;
        let path = self
            .root
            .join(UNFINISHED)
            .join(random::nonce().map_err(failed)?.to_string());
        write_new(&path, b"probe").map_err(failed)?;
        fs::remove_file(&path).map_err(failed)
    }

    fn list(&self, kind: Kind) -> Result<Vec<Listed>, Failure> {
        let path = self.root.join(kind.folder());
        let failed = |error| failure("listing", &path, error);
        if kind == Kind::Config {
            return match fs::metadata(&path) {
                Ok(found) => Ok(vec![Listed {
                    name: Digest::default(),
                    size: found.len(),
                }]),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
                Err(error) => Err(failed(error)),
            };
        }
        let mut found = Vec::new();
        let depth = u8::from(kind == Kind::Pack);
        list_into(&path, depth, &mut found).map_err(failed)?;
        Ok(found)
    }

    fn read(&self, object: &Object, range: Option<Range<u64>>) -> Result<Bytes, Failure> {
        let path = self.path(object);
        read_file(&path, range)
            .map(Bytes::from)
            .map_err(|error| failure("reading", &path, error))
    }

    fn write(&self, object: &Object, content: Bytes) -> Result<(), Failure> {
        let path = self.path(object);
        let existing = fs::metadata(&path).map(|found| found.len());
        if object.kind == Kind::Config && existing.is_ok() {
            return Err(Failure::new(
                Reason::AlreadyExists,
                format!("a repository exists already in {}", self.location()),
            ));
        }
        self.write_whole(object, &content)
            .map_err(|error| failure("writing", &path, error))
    }

    fn remove(&self, object: &Object) -> Result<(), Failure> {
        let path = self.path(object);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failure("removing", &path, error)),
            Ok(()) => {
                let folder = path.parent().unwrap_or(&self.root);
                sync_folder(folder).map_err(|error| failure("syncing", folder, error))
            }
        }
    }

    fn sweep(&self) -> Result<(), Failure> {
        let path = self.root.join(UNFINISHED);
        let failed = |error| failure("sweeping", &path, error);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.map_err(failed)?,
        };
        for entry in entries {
            fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
        }
        Ok(())
    }
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn read_file(path: &Path, range: Option<Range<u64>>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let Some(range) = range else {
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        return Ok(content);
    };
    file.seek(SeekFrom::Start(range.start))?;
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
    let mut content = vec![0_u8; length];
    file.read_exact(&mut content)?;
    Ok(content)
}

/// Lists the objects in a folder and `depth` levels below. What is not named like an object is none of ours.
fn list_into(path: &Path, depth: u8, found: &mut Vec<Listed>) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if depth > 0 && entry.file_type()?.is_dir() {
            list_into(&entry.path(), depth - 1, found)?;
        } else if let Some(name) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            match entry.metadata() {
                Ok(metadata) => found.push(Listed {
                    name,
                    size: metadata.len(),
                }),
                // Removed while we listed.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn missing(root: &Path) -> Failure {
    Failure::new(Reason::NotFound, format!("there is no folder {}", root.display()))
}

fn failure(doing: &str, path: &Path, error: io::Error) -> Failure {
    let reason = match error.kind() {
        ErrorKind::NotFound => Reason::NotFound,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Reason::Credentials,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Reason::StoreFull,
        // A range that ends behind the file's end: the object was cut.
        ErrorKind::UnexpectedEof => Reason::Corrupt,
        ErrorKind::TimedOut => Reason::Timeout,
        _ => Reason::Server,
    };
    Failure::caused(reason, format!("{doing} {}", path.display()), error)
}
