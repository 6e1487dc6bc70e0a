//! Forgetting snapshots and reclaiming their room. The library prunes in two phases: packs are marked first, and
//! removed by a later prune when nobody can still need them.

use jiff::Span;
use rustic_core::{LimitOption, PruneOptions, repofile::SnapshotId};

use super::{
    Repository,
    catalog::PackReport,
    engine::{self, call},
    guard::Mode,
    lock::Lock,
    storage::Kind,
};
use crate::{
    digest::Digest,
    failure::{Failure, Reason},
};

/// How long packs stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneRule {
    /// Hours that a marked pack stays before it is removed. At least 24 and more than the store's own lock age.
    pub keep_marked_hours: u16,
    /// Hours in which a new pack is left alone.
    pub keep_new_hours: u16,
}

impl Default for PruneRule {
    fn default() -> Self {
        Self {
            keep_marked_hours: 48,
            keep_new_hours: 24,
        }
    }
}

impl Repository {
    /// Removes these snapshots. Their data stays until prunes remove it.
    ///
    /// # Errors
    /// [`Reason::Invalid`] when nothing would be left; [`Reason::Locked`] when the store keeps them; what it said otherwise.
    pub fn forget(&self, ids: &[Digest]) -> Result<(), Failure> {
        if ids.is_empty() {
            return Ok(());
        }
        let lock = Lock::take(&self.guard, &self.key, true)?;
        self.guard.enter(Mode::Maintaining);
        let forgotten = self.forget_locked(ids);
        self.guard.enter(Mode::Reading);
        drop(lock);
        forgotten
    }

    fn forget_locked(&self, ids: &[Digest]) -> Result<(), Failure> {
        let left = self
            .guard
            .list(Kind::Snapshot)?
            .iter()
            .filter(|listed| !ids.contains(&listed.name))
            .count();
        if left == 0 {
            return Err(Failure::new(
                Reason::Invalid,
                "refusing to remove the last snapshot of a repository",
            ));
        }
        let open = engine::open(&self.guard, &self.key)?;
        let ids: Vec<SnapshotId> = ids.iter().map(|id| engine::id(id).into()).collect();
        call(&self.guard, "removing snapshots", || open.delete_snapshots(&ids))
    }

    /// Marks packs that nobody needs, and removes those that were marked long enough ago.
    ///
    /// # Errors
    /// What the store said; [`Reason::Panicked`].
    pub fn prune(&self, rule: PruneRule) -> Result<PackReport, Failure> {
        let lock = Lock::take(&self.guard, &self.key, true)?;
        self.guard.enter(Mode::Maintaining);
        let pruned = self.prune_locked(rule);
        self.guard.enter(Mode::Reading);
        drop(lock);
        pruned?;
        self.check_packs()
    }

    fn prune_locked(&self, rule: PruneRule) -> Result<(), Failure> {
        self.guard.sweep()?;
        let mut options = PruneOptions::default();
        options.instant_delete = false;
        options.early_delete_index = false;
        options.max_unused = LimitOption::Percentage(10);
        options.keep_delete = Span::new().hours(rule.keep_marked_hours);
        options.keep_pack = Span::new().hours(rule.keep_new_hours);
        let open = engine::open(&self.guard, &self.key)?;
        let plan = call(&self.guard, "planning the prune", || open.prune_plan(&options))?;
        call(&self.guard, "pruning", || open.prune(&options, plan))
    }

    /// Compares the packs of the index with those in the store, without reading them.
    ///
    /// # Errors
    /// A damaged index; what the store said.
    pub fn check_packs(&self) -> Result<PackReport, Failure> {
        Ok(self.catalog()?.compare(&self.guard.list(Kind::Pack)?))
    }
}
