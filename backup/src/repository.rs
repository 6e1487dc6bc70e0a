//! A repository in restic's format, in a folder or in an S3 bucket. Stock restic opens it.
//!
//! The library `rustic_core` writes (chunks, packs, index, prune); everything that is read to be believed is read by our
//! own loops, because the library's `check` does not read everything and does not compare names with contents.

mod capture;
mod catalog;
mod crypto;
mod engine;
mod folder;
mod guard;
mod keys;
mod lock;
mod maintain;
pub(crate) mod packs;
pub(crate) mod plan;
mod s3;
mod storage;
mod verify;

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use rustic_core::{ConfigOptions, Credentials, KeyOptions};
use serde::{Deserialize, Serialize};

pub(crate) use self::engine::one_line;
pub use self::{
    capture::{Captured, Request, Rules},
    catalog::PackReport,
    maintain::PruneRule,
    packs::Checked,
    s3::{Limits, S3},
    verify::Verified,
};
use self::{
    crypto::Key,
    engine::call,
    guard::{Guard, Mode},
    storage::{Kind, Object, Storage},
};
use crate::{
    digest::Digest,
    failure::{Failure, Reason},
    manifest::Note,
    run::Run,
};

/// Where a repository is.
#[derive(Clone, Debug)]
pub enum Location {
    /// A local folder.
    Folder(PathBuf),
    /// A bucket of an S3 or R2 store.
    S3(S3),
}

/// What an opened repository will be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only: works with read-only credentials, takes no lock.
    Read,
    /// Writing too: a nonce is written, read back and removed first.
    Write,
}

/// An opened repository.
#[derive(Debug)]
pub struct Repository {
    guard: Arc<Guard>,
    key: Key,
    id: Digest,
    location: Location,
}

/// A snapshot of the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id: the SHA-256 of its object.
    pub id: Digest,
    /// When it was taken.
    pub time: Timestamp,
    /// The host it was taken on.
    pub host: String,
    /// The job that took it; none when stock restic did.
    pub job: Option<String>,
    /// What it was taken of.
    pub paths: Vec<String>,
    /// What was captured, as recorded at that time.
    pub note: Option<Note>,
    pub(crate) tree: Digest,
}

/// A snapshot's object, as far as we need it (design.rst, "Snapshots").
#[derive(Deserialize)]
struct SnapshotObject {
    time: Timestamp,
    tree: Digest,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    paths: Option<Vec<String>>,
    #[serde(default)]
    description: Option<String>,
}

impl Repository {
    /// Makes a new repository that opens with the password and, if there is one, with the recovery password.
    ///
    /// # Errors
    /// [`Reason::AlreadyExists`]; what the store said.
    pub fn init(location: &Location, password: &str, recovery: Option<&str>, run: Run) -> Result<Self, Failure> {
        if password.is_empty() || recovery.is_some_and(str::is_empty) {
            return Err(Failure::new(
                Reason::Invalid,
                "the password of a new repository is empty",
            ));
        }
        let guard = Guard::new(storage(location, &run)?, run);
        guard.enter(Mode::Initialising);
        guard.create()?;
        guard.probe()?;
        if !guard.list(Kind::Config)?.is_empty() {
            let text = format!("a repository exists already in {}", guard.location());
            return Err(Failure::new(Reason::AlreadyExists, text));
        }
        let closed = engine::closed(&guard)?;
        let key_options = key_options(&guard);
        let credentials = Credentials::Password(password.to_owned());
        let open = call(&guard, "making the repository", || {
            closed.init(&credentials, &key_options, &shape())
        })?;
        if let Some(recovery) = recovery {
            call(&guard, "adding the recovery key", || {
                open.add_key(recovery, &key_options)
            })?;
        }
        let key = engine::key_of(&open)?;
        drop(open);
        // The password that was asked for must open what was made.
        let (again, config) = keys::unlock(&guard, password)?;
        if again.parts() != key.parts() {
            return Err(Failure::new(
                Reason::Corrupt,
                "the new repository opens with another key than it was made with",
            ));
        }
        guard.enter(Mode::Reading);
        Ok(Self {
            guard,
            key,
            id: config.id,
            location: location.clone(),
        })
    }

    /// Opens a repository by its password or its recovery password.
    ///
    /// # Errors
    /// [`Reason::NotFound`], [`Reason::WrongPassword`], [`Reason::NotAStore`]; what the store said.
    pub fn open(location: &Location, password: &str, access: Access, run: Run) -> Result<Self, Failure> {
        run.cancel.check()?;
        let guard = Guard::new(storage(location, &run)?, run);
        if access == Access::Write {
            guard.probe()?;
        }
        let (key, config) = keys::unlock(&guard, password)?;
        Ok(Self {
            guard,
            key,
            id: config.id,
            location: location.clone(),
        })
    }

    /// Adds a password that opens the repository, such as a recovery password that is kept on paper.
    ///
    /// # Errors
    /// [`Reason::Invalid`] for an empty one; [`Reason::LockedByOther`]; what the store said.
    pub fn add_key(&self, password: &str) -> Result<(), Failure> {
        if password.is_empty() {
            return Err(Failure::new(Reason::Invalid, "the password to add is empty"));
        }
        let lock = lock::Lock::take(&self.guard, &self.key, false)?;
        self.guard.enter(Mode::Initialising);
        let added = engine::open(&self.guard, &self.key).and_then(|open| {
            call(&self.guard, "adding a key", || {
                open.add_key(password, &key_options(&self.guard))
            })
        });
        self.guard.enter(Mode::Reading);
        drop(lock);
        added?;
        let (again, _) = keys::unlock(&self.guard, password)?;
        if again.parts() != self.key.parts() {
            return Err(Failure::new(Reason::Corrupt, "the added password opens another key"));
        }
        Ok(())
    }

    /// The repository's own id; the same for every way to reach it.
    #[must_use]
    pub fn id(&self) -> Digest {
        self.id
    }

    /// Where it is, for people.
    #[must_use]
    pub fn location(&self) -> String {
        self.guard.location()
    }

    /// The run that uses it: cancellation, traffic, clock.
    #[must_use]
    pub fn run(&self) -> &Run {
        self.guard.run()
    }

    /// All snapshots, oldest first. Every one is read and compared with its name.
    ///
    /// # Errors
    /// [`Reason::Corrupt`] naming the damaged object; what the store said.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, Failure> {
        let listed = self.guard.list(Kind::Snapshot)?;
        let snapshots: Result<Vec<_>, _> = listed.into_iter().map(|listed| self.snapshot(&listed.name)).collect();
        let mut snapshots = snapshots?;
        snapshots.sort_by_key(|snapshot| (snapshot.time, snapshot.id));
        Ok(snapshots)
    }

    /// One snapshot.
    ///
    /// # Errors
    /// [`Reason::NotFound`], [`Reason::Corrupt`]; what the store said.
    pub fn snapshot(&self, id: &Digest) -> Result<Snapshot, Failure> {
        let object = Object::new(Kind::Snapshot, *id);
        let content = self.guard.read_checked(&object)?;
        let found: SnapshotObject = catalog::parse(&object, &self.key, &content)?;
        Ok(Snapshot {
            id: *id,
            time: found.time,
            host: found.hostname,
            job: Some(found.label).filter(|label| !label.is_empty()),
            paths: found.paths.unwrap_or_default(),
            note: found.description.and_then(|text| serde_json::from_str(&text).ok()),
            tree: found.tree,
        })
    }

    /// The newest snapshot that a run left whose id begins with this: an attempt that was killed after its snapshot was
    /// written and before it could say so.
    ///
    /// # Errors
    /// As [`Repository::snapshots`].
    pub fn find_run(&self, prefix: &str) -> Result<Option<Snapshot>, Failure> {
        let is_of_run = |snapshot: &Snapshot| snapshot.note.as_ref().is_some_and(|note| note.run.starts_with(prefix));
        Ok(self.snapshots()?.into_iter().rfind(is_of_run))
    }

    /// The one snapshot whose id begins with these digits.
    ///
    /// # Errors
    /// [`Reason::NotFound`] for none, [`Reason::Invalid`] for several.
    pub fn find(&self, prefix: &str) -> Result<Snapshot, Failure> {
        let listed = self.guard.list(Kind::Snapshot)?;
        let mut found = listed
            .iter()
            .filter(|listed| listed.name.to_string().starts_with(prefix));
        match (found.next(), found.next()) {
            (Some(only), None) => self.snapshot(&only.name),
            (None, _) => Err(Failure::new(
                Reason::NotFound,
                format!("no snapshot begins with {prefix:?}"),
            )),
            _ => Err(Failure::new(
                Reason::Invalid,
                format!("several snapshots begin with {prefix:?}"),
            )),
        }
    }

    /// The index, read and compared.
    pub(crate) fn catalog(&self) -> Result<catalog::Catalog, Failure> {
        catalog::Catalog::read(&self.guard, &self.key)
    }

    /// A reader of packs over this catalog.
    pub(crate) fn packs<'a>(&'a self, catalog: &'a catalog::Catalog) -> packs::Packs<'a> {
        packs::Packs::new(&self.guard, &self.key, catalog)
    }
}

fn key_options(guard: &Guard) -> KeyOptions {
    KeyOptions::default()
        .hostname(guard.run().host.clone())
        .with_created(true)
}

fn storage(location: &Location, run: &Run) -> Result<Box<dyn Storage>, Failure> {
    Ok(match location {
        Location::Folder(path) => Box::new(folder::Folder::new(path)),
        Location::S3(settings) => Box::new(s3::Bucket::new(settings, run)?),
    })
}

/// 256 KiB chunks store a hot tail in 40 % of the bytes of 1 MiB chunks; packs of 16 MiB bound the memory of whoever
/// reads them whole. Stock restic reads both.
fn shape() -> ConfigOptions {
    let mut options = ConfigOptions::default();
    options.set_chunk_size = "256KiB".parse().ok();
    options.set_chunk_min_size = "64KiB".parse().ok();
    options.set_chunk_max_size = "4MiB".parse().ok();
    options.set_datapack_size = "16MiB".parse().ok();
    options.set_datapack_growfactor = Some(0);
    options.set_treepack_size = "4MiB".parse().ok();
    options.set_treepack_growfactor = Some(0);
    options
}
