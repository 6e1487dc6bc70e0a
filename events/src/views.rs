//! The read models: plain rows, in memory until closed, changed only by [`Views::apply`].
//!
//! `apply` reads the fact and its own rows, nothing else: applying all facts again gives the same rows in any later
//! version. Page, API and command line read these rows and fold nothing a second time.

mod acting;
mod changes;
mod keeping;
mod limits;
mod telling;
mod watching;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, de::DeserializeOwned};

pub use self::{acting::*, keeping::*, limits::*, telling::*, watching::*};
use crate::{Fact, Recorded};

/// A row of a view. The shape number is raised when its meaning changes; rows of another shape are folded anew.
pub trait Row: Clone + PartialEq + Serialize + DeserializeOwned {
    /// Shape of this version.
    const SHAPE: u32;
}

/// The rows of one view by key.
#[derive(Clone, Debug)]
pub struct Rows<T> {
    open: BTreeMap<String, T>,
    changed: BTreeSet<String>,
    closed: BTreeMap<String, T>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            changed: BTreeSet::new(),
            closed: BTreeMap::new(),
        }
    }
}

impl<T: Row> Rows<T> {
    /// The row of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&T> {
        self.open.get(key)
    }

    /// All open rows, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.open.iter().map(|(key, row)| (key.as_str(), row))
    }

    /// Number of open rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// True when no row is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn put(&mut self, key: &str, row: T) {
        if self.open.get(key) != Some(&row) {
            self.changed.insert(key.to_owned());
            self.open.insert(key.to_owned(), row);
        }
    }

    fn edit(&mut self, key: &str, change: impl FnOnce(&mut T)) {
        if let Some(row) = self.open.get(key) {
            let mut edited = row.clone();
            change(&mut edited);
            self.put(key, edited);
        }
    }

    fn close(&mut self, key: &str) {
        if let Some(row) = self.open.remove(key) {
            self.changed.insert(key.to_owned());
            self.closed.insert(key.to_owned(), row);
        }
    }

    fn load(&mut self, key: String, json: &str) -> Result<(), serde_json::Error> {
        self.open.insert(key, serde_json::from_str(json)?);
        Ok(())
    }

    fn take_changed(&mut self, view: &'static str, into: &mut Vec<ChangedRow>) {
        for key in std::mem::take(&mut self.changed) {
            let open = self.open.get(&key);
            let Some(row) = open.or_else(|| self.closed.get(&key)) else {
                continue;
            };
            let json = serde_json::to_string(row).unwrap_or_default();
            into.push(ChangedRow {
                view,
                closed: open.is_none(),
                key,
                shape: T::SHAPE,
                json,
            });
        }
        self.closed.clear();
    }
}

/// A row that a commit changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangedRow {
    /// Which view.
    pub view: &'static str,
    /// Key within it.
    pub key: String,
    /// Shape of the row.
    pub shape: u32,
    /// True when it left memory: kept for reading only.
    pub closed: bool,
    /// The row as JSON.
    pub json: String,
}

/// Why stored rows were not taken.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// A view or shape of another version: the rows must be folded anew.
    #[error("view {view} has shape {shape}, which this version does not write")]
    Shape {
        /// Which view.
        view: String,
        /// The shape found.
        shape: u32,
    },
    /// A row that cannot be read.
    #[error("read row {key} of view {view}")]
    Unreadable {
        /// Which view.
        view: String,
        /// Which row.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

macro_rules! views {
    ($($(#[$doc:meta])* $field:ident: $row:ty),* $(,)?) => {
        /// All views.
        #[derive(Clone, Debug, Default)]
        pub struct Views {
            /// The one row that every tick changes.
            pub now: Now,
            now_before: Option<Now>,
            $($(#[$doc])* pub $field: Rows<$row>,)*
        }

        impl Views {
            /// Names and shapes of all views.
            pub const SHAPES: &'static [(&'static str, u32)] = &[("now", Now::SHAPE), $((stringify!($field), <$row>::SHAPE)),*];

            /// Takes an open row as it was stored.
            ///
            /// # Errors
            /// When the view or its shape is not of this version, or the row cannot be read.
            pub fn load(&mut self, view: &str, key: String, shape: u32, json: &str) -> Result<(), RowError> {
                if !Self::SHAPES.contains(&(view, shape)) {
                    return Err(RowError::Shape { view: view.to_owned(), shape });
                }
                let at = key.clone();
                let read = match view {
                    "now" => serde_json::from_str(json).map(|now: Now| {
                        self.now_before = Some(now.clone());
                        self.now = now;
                    }),
                    $(stringify!($field) => self.$field.load(key, json),)*
                    _ => Ok(()),
                };
                read.map_err(|source| RowError::Unreadable { view: view.to_owned(), key: at, source })
            }

            /// Rows changed since the last call, and forgets the closed ones.
            pub fn take_changed(&mut self) -> Vec<ChangedRow> {
                let mut rows = Vec::new();
                if self.now_before.as_ref() != Some(&self.now) {
                    let json = serde_json::to_string(&self.now).unwrap_or_default();
                    rows.push(ChangedRow { view: "now", key: String::new(), shape: Now::SHAPE, closed: false, json });
                    self.now_before = Some(self.now.clone());
                }
                $(self.$field.take_changed(stringify!($field), &mut rows);)*
                rows
            }
        }
    };
}

views! {
    /// Probes by name.
    probes: Probe,
    /// Rules that are not inactive, by name.
    phases: RulePhase,
    /// Incidents by id, until they are resolved and told.
    incidents: Incident,
    /// Silences that are set and not ended, by id.
    silences: Silence,
    /// Messages by job id, until they are delivered or given up.
    deliveries: Delivery,
    /// What is live, by service.
    releases: Release,
    /// Backups by name.
    backups: Backup,
    /// Copies by repository id of the snapshot, until they are pruned.
    snapshots: Snapshot,
    /// Runs of actions by job id, until they are concluded.
    runs: ActionRun,
    /// Actions by name.
    actions: Action,
    /// Limits that were reached, by name.
    limits: Limit,
}

impl Views {
    /// Changes the rows by a fact: the only writer of views.
    pub fn apply(&mut self, fact: &Recorded) {
        match fact.fact() {
            Fact::Started(_)
            | Fact::Configured(_)
            | Fact::Tick(_)
            | Fact::ClockJumped(_)
            | Fact::NetworkChanged(_)
            | Fact::ProbeChanged(_)
            | Fact::CertificateSeen(_)
            | Fact::ReactorFailed(_)
            | Fact::DeploymentRecorded(_) => self.apply_watching(fact),
            Fact::AlertPhase(_)
            | Fact::IncidentAcked(_)
            | Fact::SilenceSet(_)
            | Fact::SilenceEnded(_)
            | Fact::Notified(_)
            | Fact::JobStarted(_)
            | Fact::JobFailed(_)
            | Fact::JobDone(_)
            | Fact::JobEnded(_) => self.apply_telling(fact),
            Fact::BackupScheduled(_)
            | Fact::BackupDue(_)
            | Fact::BackupMissed(_)
            | Fact::BackupCaptured(_)
            | Fact::BackupVerified(_)
            | Fact::BackupProved(_)
            | Fact::BackupFailed(_)
            | Fact::SnapshotsPruned(_) => self.apply_keeping(fact),
            Fact::ActionProposed(_)
            | Fact::ActStarting(_)
            | Fact::ActRefused(_)
            | Fact::ActFinished(_)
            | Fact::ActionVerifying(_)
            | Fact::ActionConcluded(_)
            | Fact::ActingSwitched(_) => self.apply_acting(fact),
            Fact::LimitReached(reached) => self.reach_limit(reached, fact.stamp()),
            _ => {}
        }
    }
}
