//! Restoring: verified first, then written. A bare machine needs the location and the password, nothing else.

mod write;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub(crate) use self::write::{Durability, Target};
use crate::{
    digest::Digest,
    failure::{Failure, Reason},
    repository::{Repository, Snapshot, packs::Packs, plan::Plan},
    space,
};

/// What to restore, and where.
#[derive(Clone, Debug)]
pub struct Order {
    /// The snapshot.
    pub snapshot: Digest,
    /// Only what stands at or below this path of the snapshot.
    pub only: Option<PathBuf>,
    /// A folder that does not exist or is empty. The snapshot's paths are made below it.
    pub destination: PathBuf,
    /// Accepts a destination that is not empty: files of the same name are replaced, others stay.
    pub replace: bool,
}

/// A restore that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Files written.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What could not be restored as it was (sockets, devices, foreign owners without the right to set them).
    pub omitted: Vec<String>,
    /// How long the verification before the first byte took.
    pub verify_took: Duration,
    /// How long the writing took.
    pub write_took: Duration,
}

/// Restores a snapshot or a part of it. Everything that is needed is read, hashed and decrypted before the destination
/// is touched.
///
/// # Errors
/// [`Reason::Corrupt`] before anything was written; [`Reason::DestinationNotEmpty`], [`Reason::DestinationFull`],
/// [`Reason::NotFound`] when nothing stands under `only`; what the store said.
pub fn restore(repository: &Repository, order: &Order) -> Result<Restored, Failure> {
    let started = Instant::now();
    let snapshot = repository.snapshot(&order.snapshot)?;
    let catalog = repository.catalog()?;
    let mut packs = repository.packs(&catalog);
    let plan = Plan::make(&mut packs, snapshot.tree, order.only.as_deref(), false)?;
    if let Some(only) = &order.only
        && !plan
            .entries
            .iter()
            .any(|entry| Path::new("/").join(&entry.path).starts_with(Path::new("/").join(only)))
    {
        return Err(Failure::new(
            Reason::NotFound,
            format!("nothing stands under {} in the snapshot", only.display()),
        ));
    }
    for number in plan.packs() {
        if !packs.has_seen(number) {
            packs.open(number, &mut |_, _| Ok(()))?;
        }
    }
    let verify_took = started.elapsed();
    let target = Target::prepare(&order.destination, order.replace)?;
    space::require(target.root(), plan.bytes, Reason::DestinationFull)?;
    let omitted = lay_down(&mut packs, &plan, &target, Durability::Synced)?;
    Ok(Restored {
        files: plan.files,
        bytes: plan.bytes,
        omitted,
        verify_took,
        write_took: started.elapsed().saturating_sub(verify_took),
    })
}

/// Writes a plan below a target: folders, contents pack by pack, then links, rights and times.
pub(crate) fn lay_down(
    packs: &mut Packs<'_>,
    plan: &Plan,
    target: &Target,
    durability: Durability,
) -> Result<Vec<String>, Failure> {
    let mut files = target.begin(plan)?;
    for number in plan.packs() {
        let pieces = plan.pieces_of(number);
        packs.open(number, &mut |blob, content| {
            for piece in pieces.get(&blob.offset).into_iter().flatten() {
                files.write(piece, content)?;
            }
            Ok(())
        })?;
    }
    files.finish(durability)
}

/// One entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Absolute path in the snapshot.
    pub path: PathBuf,
    /// Length of a file; none for anything else.
    pub bytes: Option<u64>,
}

/// The entries of a snapshot, by path.
///
/// # Errors
/// [`Reason::Corrupt`]; what the store said.
pub fn list(repository: &Repository, snapshot: &Snapshot) -> Result<Vec<Listed>, Failure> {
    let catalog = repository.catalog()?;
    let plan = Plan::make(&mut repository.packs(&catalog), snapshot.tree, None, false)?;
    let by_path: BTreeMap<PathBuf, Option<u64>> = plan
        .entries
        .iter()
        .map(|entry| (Path::new("/").join(&entry.path), entry.shape.bytes()))
        .collect();
    Ok(by_path
        .into_iter()
        .map(|(path, bytes)| Listed { path, bytes })
        .collect())
}
