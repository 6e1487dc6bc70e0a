//! The proof: a snapshot is fetched from the store, restored into a scratch folder, and every byte compared with what
//! was captured. Only a proved copy counts.

use std::{
    fs,
    os::unix::{ffi::OsStrExt as _, fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    digest,
    digest::Digest,
    failure::{Failure, Reason},
    manifest::{Content, Manifest},
    repository::{
        Repository,
        plan::{Plan, Shape},
    },
    restore::{Durability, Target, lay_down},
    source::sqlite,
    space,
};

/// How long the parts of a proof took; together the time a restore would take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// Reading index and trees.
    pub plan: Duration,
    /// Fetching, decrypting and writing.
    pub restore: Duration,
    /// Reading the restored files and comparing.
    pub compare: Duration,
    /// Asking the databases.
    pub assert: Duration,
}

/// A snapshot that was restored and found equal to what was captured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The snapshot.
    pub snapshot: Digest,
    /// Bytes fetched from the store.
    pub fetched_bytes: u64,
    /// Files compared.
    pub files: u64,
    /// Bytes compared.
    pub bytes: u64,
    /// Databases that answered as at their capture.
    pub databases: u64,
    /// How long it took.
    pub took: Parts,
}

/// Proves a snapshot. `expected` is the capture's digest as recorded outside the repository (the journal); without it
/// the one in the snapshot itself is the measure. `scratch` is a folder of our own, emptied before and after.
///
/// # Errors
/// [`Reason::NoRecord`] when the snapshot does not say what was captured, [`Reason::Corrupt`], [`Reason::Mismatch`],
/// [`Reason::ScratchFull`]; what the store said.
pub fn prove(
    repository: &Repository,
    snapshot: &Digest,
    expected: Option<&Digest>,
    scratch: &Path,
) -> Result<Proof, Failure> {
    let started = Instant::now();
    let before = repository.run().traffic.moved().fetched_bytes;
    let snapshot = repository.snapshot(snapshot)?;
    let Some(note) = &snapshot.note else {
        let text = format!("snapshot {} does not say what was captured", snapshot.id.short());
        return Err(Failure::new(Reason::NoRecord, text));
    };
    if expected.is_some_and(|expected| *expected != note.digest) {
        let text = format!("snapshot {} is not the capture that was recorded", snapshot.id.short());
        return Err(Failure::new(Reason::Mismatch, text));
    }
    let mut took = Parts::default();
    let catalog = repository.catalog()?;
    let mut packs = repository.packs(&catalog);
    let plan = Plan::make(&mut packs, snapshot.tree, None, false)?;
    took.plan = started.elapsed();

    let scratch = Scratch::open(scratch)?;
    space::require(&scratch.path, plan.bytes, Reason::ScratchFull)?;
    let target = Target::prepare(&scratch.path, false)?;
    lay_down(&mut packs, &plan, &target, Durability::Scratch).map_err(scratch_full)?;
    took.restore = started.elapsed().saturating_sub(took.plan);

    let found = read_back(repository, &plan, target.root())?;
    compare(&found, note.digest, note.files)?;
    took.compare = started.elapsed().saturating_sub(took.plan + took.restore);

    for database in &note.databases {
        let relative = database.path.strip_prefix("/").unwrap_or(&database.path);
        sqlite::prove(&target.root().join(relative), database, &repository.run().cancel)?;
    }
    took.assert = started
        .elapsed()
        .saturating_sub(took.plan + took.restore + took.compare);
    Ok(Proof {
        snapshot: snapshot.id,
        fetched_bytes: repository.run().traffic.moved().fetched_bytes - before,
        files: found.files(),
        bytes: found.bytes(),
        databases: note.databases.len() as u64,
        took,
    })
}

fn scratch_full(failure: Failure) -> Failure {
    if failure.reason() == Reason::DestinationFull {
        return Failure::caused(Reason::ScratchFull, "restoring into the scratch folder", failure);
    }
    failure
}

/// Reads what now lies on disk; the plan only says where to look.
fn read_back(repository: &Repository, plan: &Plan, root: &Path) -> Result<Manifest, Failure> {
    let mut manifest = Manifest::new();
    for entry in &plan.entries {
        repository.run().cancel.check()?;
        let path = root.join(&entry.path);
        let failed = |error| Failure::writing(Reason::ScratchFull, format!("reading back {}", path.display()), error);
        let content = match &entry.shape {
            Shape::Folder => Content::Folder,
            Shape::File(_) => {
                let mut file = fs::File::open(&path).map_err(failed)?;
                let (sha256, bytes) = digest::of_reader(&mut file).map_err(failed)?;
                Content::File { bytes, sha256 }
            }
            Shape::Link(_) => Content::Link(fs::read_link(&path).map_err(failed)?.as_os_str().as_bytes().to_vec()),
            Shape::Fifo | Shape::Special(_) => Content::Special,
        };
        manifest.insert(&entry.path, content);
    }
    Ok(manifest)
}

fn compare(found: &Manifest, expected: Digest, files: u64) -> Result<(), Failure> {
    if found.digest() == expected {
        return Ok(());
    }
    let text = format!(
        "the restored tree ({} files) is not what was captured ({files} files)",
        found.files()
    );
    Err(Failure::new(Reason::Mismatch, text))
}

/// A folder that is empty before and gone afterwards.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::writing(Reason::ScratchFull, format!("preparing {}", path.display()), error);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let path = path.join("proof");
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(failed)?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed at the next start.
        drop(fs::remove_dir_all(&self.path));
    }
}
