//! The index: which blob lies where in which pack. Read by ourselves, every index file hashed against its name.

use std::{collections::BTreeSet, sync::Arc};

use serde::Deserialize;

use super::{
    crypto::{Key, OVERHEAD},
    guard::Guard,
    storage::{Kind, Listed, Object},
};
use crate::{
    digest::Digest,
    failure::{Failure, Reason},
};

/// What a blob holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BlobKind {
    Data,
    Tree,
}

#[derive(Deserialize)]
struct IndexFile {
    packs: Vec<IndexPack>,
    #[serde(default)]
    packs_to_delete: Vec<IndexPack>,
}

#[derive(Deserialize)]
struct IndexPack {
    id: Digest,
    blobs: Vec<IndexBlob>,
}

#[derive(Clone, Copy, Deserialize)]
struct IndexBlob {
    id: Digest,
    #[serde(rename = "type")]
    kind: BlobKind,
    offset: u32,
    length: u32,
    uncompressed_length: Option<u32>,
}

/// A blob in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) id: Digest,
    pub(crate) kind: BlobKind,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    /// The length of the content when it is compressed.
    pub(crate) unpacked: Option<u32>,
    /// Its pack, by position in the catalog.
    pub(crate) pack: u32,
}

impl Blob {
    /// Length of the content.
    pub(crate) fn content_length(&self) -> u64 {
        let stored = u64::from(self.length).saturating_sub(OVERHEAD as u64);
        self.unpacked.map_or(stored, u64::from)
    }
}

/// A pack: its name and its blobs, by offset.
#[derive(Clone, Debug)]
pub(crate) struct Pack {
    pub(crate) id: Digest,
    pub(crate) blobs: Vec<Blob>,
}

impl Pack {
    /// The size that follows from the blobs: blobs, sealed header, length of the header.
    pub(crate) fn size(&self) -> u64 {
        let header: u64 = self
            .blobs
            .iter()
            .map(|blob| if blob.unpacked.is_some() { 41 } else { 37 })
            .sum();
        let blobs: u64 = self.blobs.iter().map(|blob| u64::from(blob.length)).sum();
        blobs + header + OVERHEAD as u64 + 4
    }
}

/// Every blob of the repository.
#[derive(Debug)]
pub(crate) struct Catalog {
    packs: Vec<Pack>,
    /// Packs that a prune marked and a later one will remove.
    marked: BTreeSet<Digest>,
    /// (kind, id) → pack and position in it, sorted.
    places: Vec<(BlobKind, Digest, u32, u32)>,
    pub(crate) index_files: u64,
    pub(crate) index_bytes: u64,
}

impl Catalog {
    /// Reads the whole index.
    ///
    /// # Errors
    /// [`Reason::Corrupt`] when an index file is damaged; what the store said otherwise.
    pub(crate) fn read(guard: &Arc<Guard>, key: &Key) -> Result<Self, Failure> {
        let mut catalog = Self {
            packs: Vec::new(),
            marked: BTreeSet::new(),
            places: Vec::new(),
            index_files: 0,
            index_bytes: 0,
        };
        let mut seen = BTreeSet::new();
        for listed in guard.list(Kind::Index)? {
            let object = Object::new(Kind::Index, listed.name);
            let content = guard.read_checked(&object)?;
            let index: IndexFile = parse(&object, key, &content)?;
            catalog.index_files += 1;
            catalog.index_bytes += content.len() as u64;
            catalog.marked.extend(index.packs_to_delete.iter().map(|pack| pack.id));
            for pack in index.packs {
                if seen.insert(pack.id) {
                    catalog.add(&pack)?;
                }
            }
        }
        // A pack that stands in both lists is in use: an interrupted prune leaves that.
        for pack in &catalog.packs {
            catalog.marked.remove(&pack.id);
        }
        catalog.places.sort_unstable();
        Ok(catalog)
    }

    fn add(&mut self, pack: &IndexPack) -> Result<(), Failure> {
        let too_many = || Failure::new(Reason::Corrupt, "the index names more than 2^32 packs or blobs");
        let number = u32::try_from(self.packs.len()).map_err(|_| too_many())?;
        let mut blobs: Vec<Blob> = pack.blobs.iter().map(|blob| placed(blob, number)).collect();
        blobs.sort_unstable_by_key(|blob| blob.offset);
        for (position, blob) in blobs.iter().enumerate() {
            let position = u32::try_from(position).map_err(|_| too_many())?;
            self.places.push((blob.kind, blob.id, number, position));
        }
        self.packs.push(Pack { id: pack.id, blobs });
        Ok(())
    }

    /// Where this blob lies.
    pub(crate) fn find(&self, kind: BlobKind, id: &Digest) -> Option<&Blob> {
        let at = self.places.partition_point(|(k, i, ..)| (*k, *i) < (kind, *id));
        let (found_kind, found, pack, position) = self.places.get(at)?;
        if (found_kind, found) != (&kind, id) {
            return None;
        }
        self.packs
            .get(usize::try_from(*pack).ok()?)?
            .blobs
            .get(usize::try_from(*position).ok()?)
    }

    /// A pack by its position.
    pub(crate) fn pack(&self, number: u32) -> Option<&Pack> {
        self.packs.get(usize::try_from(number).ok()?)
    }

    pub(crate) fn packs(&self) -> &[Pack] {
        &self.packs
    }

    /// Compares the index with a listing of the store.
    pub(crate) fn compare(&self, listed: &[Listed]) -> PackReport {
        let mut stored: std::collections::BTreeMap<Digest, u64> =
            listed.iter().map(|listed| (listed.name, listed.size)).collect();
        let mut report = PackReport {
            packs: self.packs.len() as u64,
            ..PackReport::default()
        };
        for pack in &self.packs {
            match stored.remove(&pack.id) {
                None => report.missing.push(pack.id),
                Some(size) if size != pack.size() => report.wrong_size.push(pack.id),
                Some(size) => report.bytes += size,
            }
        }
        for (name, size) in stored {
            if self.marked.contains(&name) {
                report.marked += 1;
                report.marked_bytes += size;
            } else {
                report.stray += 1;
                report.stray_bytes += size;
            }
        }
        report
    }
}

/// The packs that the index names against those that lie in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PackReport {
    /// Packs in the index.
    pub packs: u64,
    /// Their bytes, as far as they are there.
    pub bytes: u64,
    /// Packs in the index that are not in the store: data is lost.
    pub missing: Vec<Digest>,
    /// Packs whose size is not the one in the index: data is lost.
    pub wrong_size: Vec<Digest>,
    /// Packs that a prune has marked and a later one will remove.
    pub marked: u64,
    /// Their bytes.
    pub marked_bytes: u64,
    /// Packs that no index names: left by interrupted runs, removed by prune.
    pub stray: u64,
    /// Their bytes.
    pub stray_bytes: u64,
}

impl PackReport {
    /// Whether everything that the index names is there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.wrong_size.is_empty()
    }
}

fn placed(blob: &IndexBlob, pack: u32) -> Blob {
    Blob {
        id: blob.id,
        kind: blob.kind,
        offset: blob.offset,
        length: blob.length,
        unpacked: blob.uncompressed_length.filter(|length| *length != 0),
        pack,
    }
}

/// Opens a sealed JSON object.
pub(crate) fn parse<T: for<'de> Deserialize<'de>>(object: &Object, key: &Key, content: &[u8]) -> Result<T, Failure> {
    let plain = key
        .open_object(content)
        .ok_or_else(|| Failure::new(Reason::Corrupt, format!("{object} cannot be decrypted: it was changed")))?;
    serde_json::from_slice(&plain)
        .map_err(|error| Failure::caused(Reason::Corrupt, format!("reading {object} after decryption"), error))
}
