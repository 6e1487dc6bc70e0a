//! Packs, read whole: size, digest, header and every blob are compared before a single byte is used.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    catalog::{Blob, BlobKind, Catalog, Pack},
    crypto::Key,
    guard::Guard,
    storage::{Kind, Object},
};
use crate::{
    digest::Digest,
    failure::{Failure, Reason},
};

/// Packs of trees kept in memory while trees are walked (each about 4 MiB).
const KEPT: usize = 8;

/// What was read and found equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Checked {
    /// Different packs read whole.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs decrypted and equal to their ids.
    pub blobs: u64,
}

/// Takes the blobs of a pack, one after the other.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&Blob, &[u8]) -> Result<(), Failure>;

/// Reads packs of one repository.
pub(crate) struct Packs<'a> {
    guard: &'a Arc<Guard>,
    key: &'a Key,
    catalog: &'a Catalog,
    kept: VecDeque<(u32, Bytes)>,
    seen: BTreeSet<u32>,
    pub(crate) checked: Checked,
}

impl<'a> Packs<'a> {
    pub(crate) fn new(guard: &'a Arc<Guard>, key: &'a Key, catalog: &'a Catalog) -> Self {
        Self {
            guard,
            key,
            catalog,
            kept: VecDeque::new(),
            seen: BTreeSet::new(),
            checked: Checked::default(),
        }
    }

    /// Whether this pack was read whole and found equal.
    pub(crate) fn has_seen(&self, number: u32) -> bool {
        self.seen.contains(&number)
    }

    /// Where a blob lies, or that the index does not know it.
    pub(crate) fn place(&self, kind: BlobKind, id: &Digest) -> Result<Blob, Failure> {
        let text = || format!("the index knows no {kind:?} blob {id}: the repository is damaged");
        self.catalog
            .find(kind, id)
            .copied()
            .ok_or_else(|| Failure::new(Reason::Corrupt, text()))
    }

    /// Reads a pack whole and hands every blob to `visit`, in order.
    ///
    /// # Errors
    /// [`Reason::Corrupt`] for the first difference; what `visit` returned; what the store said.
    pub(crate) fn open(&mut self, number: u32, visit: Visit<'_>) -> Result<Bytes, Failure> {
        self.guard.run().cancel.check()?;
        let pack = self.pack(number)?;
        let object = Object::new(Kind::Pack, pack.id);
        let content = self.guard.read_checked(&object).map_err(lost)?;
        check_shape(&object, pack, &content, self.key)?;
        for blob in &pack.blobs {
            let plain = self.plain(&object, blob, &content)?;
            visit(blob, &plain)?;
        }
        if self.seen.insert(number) {
            self.checked.packs += 1;
            self.checked.bytes += content.len() as u64;
            self.checked.blobs += pack.blobs.len() as u64;
        }
        Ok(content)
    }

    /// The content of a tree blob. Its pack is read whole, once for many trees.
    pub(crate) fn tree(&mut self, id: &Digest) -> Result<Vec<u8>, Failure> {
        let blob = self.place(BlobKind::Tree, id)?;
        let object = Object::new(Kind::Pack, self.pack(blob.pack)?.id);
        if let Some((_, content)) = self.kept.iter().find(|(number, _)| *number == blob.pack) {
            return self.plain(&object, &blob, content);
        }
        let content = self.open(blob.pack, &mut |_, _| Ok(()))?;
        let plain = self.plain(&object, &blob, &content)?;
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((blob.pack, content));
        Ok(plain)
    }

    fn pack(&self, number: u32) -> Result<&'a Pack, Failure> {
        self.catalog
            .pack(number)
            .ok_or_else(|| Failure::new(Reason::Corrupt, format!("the index has no pack {number}")))
    }

    fn plain(&self, object: &Object, blob: &Blob, pack: &[u8]) -> Result<Vec<u8>, Failure> {
        let range = usize::try_from(blob.offset).ok().zip(usize::try_from(blob.length).ok());
        let sealed = range.and_then(|(start, length)| pack.get(start..start.checked_add(length)?));
        sealed
            .and_then(|sealed| self.key.open_blob(sealed, blob.unpacked, &blob.id))
            .ok_or_else(|| {
                Failure::new(
                    Reason::Corrupt,
                    format!("blob {} in {object} does not decrypt to what its id says", blob.id),
                )
            })
    }
}

/// A pack that is gone is damage of the repository, not a question to the user.
fn lost(failure: Failure) -> Failure {
    if failure.reason() == Reason::NotFound {
        Failure::caused(Reason::Corrupt, "a pack is missing", failure)
    } else {
        failure
    }
}

/// Compares size and header with the index.
fn check_shape(object: &Object, pack: &Pack, content: &[u8], key: &Key) -> Result<(), Failure> {
    let expected = pack.size();
    if content.len() as u64 != expected {
        let text = format!("{object} has {} bytes, the index says {expected}", content.len());
        return Err(Failure::new(Reason::Corrupt, text));
    }
    let wrong = || {
        Failure::new(
            Reason::Corrupt,
            format!("the header of {object} does not agree with the index"),
        )
    };
    let (rest, length) = content.split_last_chunk::<4>().ok_or_else(wrong)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| wrong())?;
    let at = rest.len().checked_sub(length).ok_or_else(wrong)?;
    let header = rest.get(at..).and_then(|sealed| key.open(sealed)).ok_or_else(wrong)?;
    if header == header_of(pack) {
        Ok(())
    } else {
        Err(wrong())
    }
}

/// The header as restic writes it (design.rst, "Pack Format").
fn header_of(pack: &Pack) -> Vec<u8> {
    let mut header = Vec::new();
    for blob in &pack.blobs {
        header.push(match (blob.kind, blob.unpacked) {
            (BlobKind::Data, None) => 0,
            (BlobKind::Tree, None) => 1,
            (BlobKind::Data, Some(_)) => 2,
            (BlobKind::Tree, Some(_)) => 3,
        });
        header.extend_from_slice(&blob.length.to_le_bytes());
        if let Some(unpacked) = blob.unpacked {
            header.extend_from_slice(&unpacked.to_le_bytes());
        }
        header.extend_from_slice(blob.id.as_bytes());
    }
    header
}
