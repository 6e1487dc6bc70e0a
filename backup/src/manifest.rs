//! The record of what was captured, taken while the source was read: the measure of every later proof.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Hasher};

/// What stood under one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A folder.
    Folder,
    /// A file: its bytes as they were read.
    File {
        /// Length in bytes.
        bytes: u64,
        /// SHA-256 of the bytes.
        sha256: Digest,
    },
    /// A symbolic link and its target, as bytes.
    Link(Vec<u8>),
    /// A pipe, a socket or a device.
    Special,
}

/// Every path of a capture with its content; paths are absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    entries: BTreeMap<Vec<u8>, Content>,
}

impl Manifest {
    /// Nothing was captured yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes what stood under a path.
    pub fn insert(&mut self, path: &Path, content: Content) {
        self.entries.insert(key(path), content);
    }

    /// The entries, by path.
    pub fn entries(&self) -> impl Iterator<Item = (PathBuf, &Content)> {
        self.entries
            .iter()
            .map(|(path, content)| (PathBuf::from(OsString::from_vec(path.clone())), content))
    }

    /// What stood under this path.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Content> {
        self.entries.get(&key(path))
    }

    /// Number of files.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.entries
            .values()
            .filter(|content| matches!(content, Content::File { .. }))
            .count() as u64
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entries
            .values()
            .map(|content| {
                if let Content::File { bytes, .. } = content {
                    *bytes
                } else {
                    0
                }
            })
            .sum()
    }

    /// One digest over all paths and contents. Equal digests mean equal captures.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        for (path, content) in &self.entries {
            hasher.field(path);
            match content {
                Content::Folder => hasher.field(b"folder"),
                Content::File { sha256, .. } => {
                    hasher.field(b"file");
                    hasher.field(sha256.as_bytes());
                }
                Content::Link(target) => {
                    hasher.field(b"link");
                    hasher.field(target);
                }
                Content::Special => hasher.field(b"special"),
            }
        }
        hasher.finish()
    }

    /// The first paths in which two manifests differ, at most `limit`.
    #[must_use]
    pub fn differences(&self, other: &Self, limit: usize) -> Vec<PathBuf> {
        let mine = self
            .entries
            .iter()
            .filter(|(path, content)| other.entries.get(*path) != Some(*content));
        let theirs = other
            .entries
            .iter()
            .filter(|(path, _)| !self.entries.contains_key(*path));
        mine.chain(theirs)
            .map(|(path, _)| PathBuf::from(OsString::from_vec(path.clone())))
            .take(limit)
            .collect()
    }
}

/// Absolute and relative spellings of a snapshot's paths are the same.
fn key(path: &Path) -> Vec<u8> {
    Path::new("/").join(path).as_os_str().as_bytes().to_vec()
}

/// What a SQLite database held when it was captured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its path in the snapshot.
    pub path: PathBuf,
    /// `PRAGMA user_version`.
    pub user_version: i64,
    /// `PRAGMA application_id`.
    pub application_id: i64,
    /// SHA-256 over the schema.
    pub schema: Digest,
    /// Rows of each table.
    pub rows: BTreeMap<String, u64>,
    /// Rows that break a foreign key; a source may have had some before it was copied. None when it could not be asked.
    pub orphans: Option<u64>,
}

/// What a snapshot says about itself; it stands in the snapshot's description, so that a bare machine can prove it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Version of this note: 1.
    pub watchkeep: u32,
    /// The id of the run that took it.
    pub run: String,
    /// Number of files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// [`Manifest::digest`] of everything.
    pub digest: Digest,
    /// The databases in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<Database>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &[u8]) -> Content {
        Content::File {
            bytes: text.len() as u64,
            sha256: Digest::of(text),
        }
    }

    #[test]
    fn the_digest_depends_on_paths_kinds_and_contents_but_not_on_order() {
        let mut one = Manifest::new();
        one.insert(Path::new("/a"), file(b"x"));
        one.insert(Path::new("b"), Content::Folder);
        let mut two = Manifest::new();
        two.insert(Path::new("/b"), Content::Folder);
        two.insert(Path::new("a"), file(b"x"));
        assert_eq!(one.digest(), two.digest());
        assert!(one.differences(&two, 9).is_empty());

        for changed in [
            file(b"y"),
            Content::Folder,
            Content::Link(b"x".to_vec()),
            Content::Special,
        ] {
            let mut other = two.clone();
            other.insert(Path::new("/a"), changed);
            assert_ne!(one.digest(), other.digest());
            assert_eq!(one.differences(&other, 9), [PathBuf::from("/a")]);
        }
        // A path and its neighbour must not be taken for one another.
        let mut shifted = Manifest::new();
        shifted.insert(Path::new("/ab"), Content::Link(b"c".to_vec()));
        let mut other = Manifest::new();
        other.insert(Path::new("/a"), Content::Link(b"bc".to_vec()));
        assert_ne!(shifted.digest(), other.digest());
    }
}
