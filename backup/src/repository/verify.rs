//! Verification: every byte is fetched, hashed, decrypted and compared. Nothing is taken from a cache, nothing is sampled.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    Repository, Snapshot,
    catalog::Catalog,
    packs::Checked,
    plan::Plan,
    storage::{Kind, Object},
};
use crate::{
    digest::Digest,
    failure::{Failure, Reason},
};

/// Damaged objects that are named in a failure; the rest is counted.
const NAMED: usize = 10;

/// A verification in which everything was equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Packs read whole, and the blobs in them.
    pub packs: Checked,
    /// Keys, snapshots and index files whose names are their digests.
    pub objects: u64,
    /// Snapshots whose trees and files were found whole.
    pub snapshots: u64,
}

/// How much is verified.
enum Scope<'a> {
    One(&'a Snapshot),
    Everything,
}

impl Repository {
    /// Verifies one snapshot: every key, index and snapshot object, and every pack that it needs.
    ///
    /// # Errors
    /// [`Reason::Corrupt`] naming what is damaged; what the store said when it could not be asked.
    pub fn verify(&self, id: &Digest) -> Result<Verified, Failure> {
        let snapshot = self.snapshot(id)?;
        self.verify_scope(&Scope::One(&snapshot))
    }

    /// Verifies all snapshots and every pack of the index.
    ///
    /// # Errors
    /// As [`Repository::verify`].
    pub fn verify_everything(&self) -> Result<Verified, Failure> {
        self.verify_scope(&Scope::Everything)
    }

    fn verify_scope(&self, scope: &Scope<'_>) -> Result<Verified, Failure> {
        let mut damage = Damage::default();
        let mut objects = self.verify_objects(&mut damage)?;
        let Some(catalog) = damage.note(self.catalog())? else {
            return Err(damage.into_failure());
        };
        objects += catalog.index_files;
        let snapshots = match scope {
            Scope::One(snapshot) => vec![(*snapshot).clone()],
            Scope::Everything => self.readable_snapshots(&mut damage)?,
        };
        let packs = self.verify_packs(&catalog, &snapshots, matches!(scope, Scope::Everything), &mut damage)?;
        if damage.is_empty() {
            Ok(Verified {
                packs,
                objects,
                snapshots: snapshots.len() as u64,
            })
        } else {
            Err(damage.into_failure())
        }
    }

    /// Compares the name of every key and snapshot with its bytes, and opens it. (The index is compared as it is read.)
    fn verify_objects(&self, damage: &mut Damage) -> Result<u64, Failure> {
        let mut objects = 0;
        for kind in [Kind::Key, Kind::Snapshot] {
            for listed in self.guard.list(kind)? {
                let object = Object::new(kind, listed.name);
                let opened = self.guard.read_checked(&object).and_then(|content| match kind {
                    Kind::Key => Ok(()),
                    _ => super::catalog::parse::<serde::de::IgnoredAny>(&object, &self.key, &content).map(drop),
                });
                damage.note(opened)?;
                objects += 1;
            }
        }
        Ok(objects)
    }

    fn readable_snapshots(&self, damage: &mut Damage) -> Result<Vec<Snapshot>, Failure> {
        let mut snapshots = Vec::new();
        for listed in self.guard.list(Kind::Snapshot)? {
            snapshots.extend(damage.note(self.snapshot(&listed.name))?);
        }
        Ok(snapshots)
    }

    fn verify_packs(
        &self,
        catalog: &Catalog,
        snapshots: &[Snapshot],
        all: bool,
        damage: &mut Damage,
    ) -> Result<Checked, Failure> {
        let mut packs = self.packs(catalog);
        let mut wanted = BTreeSet::new();
        for snapshot in snapshots {
            if let Some(plan) = damage.note(Plan::make(&mut packs, snapshot.tree, None, true))? {
                wanted.extend(plan.packs());
                damage.add_all(plan.damage);
            }
        }
        if all {
            wanted.extend((0_u32..).zip(catalog.packs()).map(|(number, _)| number));
        }
        for number in wanted {
            if !packs.has_seen(number) {
                damage.note(packs.open(number, &mut |_, _| Ok(())))?;
            }
        }
        Ok(packs.checked)
    }
}

/// Everything that was found damaged. The search goes on behind a find, so that one answer names all.
#[derive(Default)]
struct Damage {
    named: BTreeSet<String>,
    count: u64,
}

impl Damage {
    /// Notes damage and goes on without a value; any other failure ends the verification.
    fn note<T>(&mut self, found: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match found {
            Ok(value) => Ok(Some(value)),
            Err(failure) if matches!(failure.reason(), Reason::Corrupt | Reason::NotFound) => {
                self.add_all(vec![failure]);
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    fn add_all(&mut self, failures: Vec<Failure>) {
        for failure in failures {
            let text = failure.chain();
            if self.named.contains(&text) {
                continue;
            }
            self.count += 1;
            if self.named.len() < NAMED {
                self.named.insert(text);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn into_failure(self) -> Failure {
        let more = self.count.saturating_sub(self.named.len() as u64);
        let mut text = self.named.into_iter().collect::<Vec<_>>().join("; ");
        if more > 0 {
            text.push_str(&format!("; and {more} more"));
        }
        Failure::new(Reason::Corrupt, format!("the repository is damaged: {text}"))
    }
}
