//! Where the objects of a repository lie: a folder or an S3 bucket. Knows restic's names, not its contents.

use std::{fmt, ops::Range};

use bytes::Bytes;

use crate::{digest::Digest, failure::Failure};

/// The kinds of objects, one folder each (restic's design.rst, "Repository Layout").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Config,
    Key,
    Snapshot,
    Index,
    Pack,
    Lock,
    /// Ours: a nonce that proves that the other side is a store.
    Probe,
}

impl Kind {
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "keys",
            Self::Snapshot => "snapshots",
            Self::Index => "index",
            Self::Pack => "data",
            Self::Lock => "locks",
            Self::Probe => "probe",
        }
    }

    /// Whether the name of such an object is the SHA-256 of its bytes.
    pub(crate) fn is_named_by_content(self) -> bool {
        matches!(self, Self::Key | Self::Snapshot | Self::Index | Self::Pack | Self::Lock)
    }
}

/// One object. The name of the config is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) name: Digest,
}

impl Object {
    pub(crate) fn new(kind: Kind, name: Digest) -> Self {
        Self { kind, name }
    }

    pub(crate) fn config() -> Self {
        Self {
            kind: Kind::Config,
            name: Digest::default(),
        }
    }

    /// The path below the repository's root. Packs are spread over 256 folders by their first two digits.
    pub(crate) fn path(&self) -> String {
        let folder = self.kind.folder();
        match self.kind {
            Kind::Config => folder.to_owned(),
            Kind::Pack => {
                let name = self.name.to_string();
                let spread: String = name.chars().take(2).collect();
                format!("{folder}/{spread}/{name}")
            }
            _ => format!("{folder}/{}", self.name),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.path())
    }
}

/// An object as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: Digest,
    pub(crate) size: u64,
}

/// A store of objects. A write that returned is durable. Every call ends by itself within a stated time.
pub(crate) trait Storage: Send + Sync + fmt::Debug {
    /// What people call this place; without secrets.
    fn location(&self) -> String;

    /// Makes the place ready for a new repository.
    fn create(&self) -> Result<(), Failure>;

    /// Writes a nonce, reads it back, removes it: proves that this is a store and that we may write.
    fn probe(&self) -> Result<(), Failure>;

    /// All objects of a kind, in any order.
    fn list(&self, kind: Kind) -> Result<Vec<Listed>, Failure>;

    /// The whole object, or exactly this range of it.
    fn read(&self, object: &Object, range: Option<Range<u64>>) -> Result<Bytes, Failure>;

    /// Writes an object that is never changed afterwards. An equal object that is there already is success.
    fn write(&self, object: &Object, content: Bytes) -> Result<(), Failure>;

    /// Removes an object; one that is gone already is success.
    fn remove(&self, object: &Object) -> Result<(), Failure>;

    /// Removes what interrupted writes left behind. Called only while we hold the repository's lock.
    fn sweep(&self) -> Result<(), Failure> {
        Ok(())
    }
}
