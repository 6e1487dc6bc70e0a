//! What the writer and everybody else share.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use events::{Boottime, Clock, Clocks, Commit, CommitId, Fact, Identity, ReleaseId, Seq, ServiceId, Views};
use tokio::sync::watch;

use super::{opening::Engine, reader::Reader};
use crate::{
    commit::{Expected, Intake, shared_views, standing},
    jobs::{self, Entry, JobChange},
};

/// The last commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Its number.
    pub commit: CommitId,
    /// Its last fact.
    pub seq: Seq,
    /// When it was committed, by the boot clock.
    pub at: Boottime,
}

/// Current release by service.
pub type Releases = Arc<BTreeMap<ServiceId, ReleaseId>>;

/// Committed views as they were at one moment. Holding them delays nobody.
#[derive(Clone, Debug)]
pub struct ViewsGuard(Arc<Views>);

impl Deref for ViewsGuard {
    type Target = Views;

    fn deref(&self) -> &Views {
        &self.0
    }
}

pub(crate) struct Shared {
    pub(crate) intake: Intake,
    pub(crate) jobs: jobs::Shared,
    pub(crate) reader: Reader,
    pub(crate) clocks: Arc<dyn Clocks>,
    pub(crate) identity: Identity,
    pub(crate) committed: watch::Sender<Committed>,
    pub(crate) releases: watch::Sender<Releases>,
    views: Mutex<Arc<Views>>,
    settled: AtomicBool,
    expected: Mutex<Vec<Expected>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(reader: Reader, clocks: Arc<dyn Clocks>, engine: &mut Engine) -> Self {
        let entries = std::mem::take(&mut engine.jobs);
        let shared = Self {
            intake: Intake::default(),
            jobs: jobs::Shared::default(),
            reader,
            identity: engine.identity.clone(),
            committed: watch::Sender::new(standing(engine, &clocks.now())),
            releases: watch::Sender::default(),
            clocks,
            views: Mutex::default(),
            settled: AtomicBool::new(false),
            expected: Mutex::default(),
        };
        shared.take_over(engine, entries);
        shared
    }

    /// Takes over what was read when the journal was opened.
    pub(crate) fn take_over(&self, engine: &Engine, entries: Vec<Entry>) {
        *lock(&self.views) = Arc::new(shared_views(engine));
        self.reader.know(&engine.ledger.dictionary);
        self.jobs.lock().replace(entries);
        self.tell_releases();
        let at = self.committed.borrow().at;
        let standing = standing(
            engine,
            &Clock {
                boot: at,
                ..Clock::default()
            },
        );
        self.committed.send_if_modified(|committed| {
            let changed = committed.seq != standing.seq;
            *committed = standing;
            changed
        });
        self.settled.store(true, Ordering::Release);
        self.jobs.wake();
    }

    /// A commit failed: what the disk holds is not known until the journal was opened again.
    pub(crate) fn unsettle(&self) {
        self.settled.store(false, Ordering::Release);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// Shows a commit that is durable to everybody; its changes of jobs come with the places of those it queued.
    pub(crate) fn publish(
        &self,
        engine: &Engine,
        commit: &Commit,
        changes: Vec<(JobChange, Option<i64>)>,
        clock: &Clock,
    ) {
        self.reader.know(&engine.ledger.dictionary);
        {
            let mut views = lock(&self.views);
            // A reader that still holds the views keeps its copy; else they are changed where they are.
            let views = Arc::make_mut(&mut views);
            for fact in &commit.facts {
                views.apply(fact);
            }
            views.take_changed();
        }
        {
            let mut board = self.jobs.lock();
            for (change, place) in changes {
                board.apply(change, place);
            }
        }
        let deployed = |fact: &events::Recorded| matches!(fact.fact(), Fact::DeploymentRecorded(_));
        if commit.facts.iter().any(deployed) {
            self.tell_releases();
        }
        self.committed.send_replace(standing(engine, clock));
        self.jobs.wake();
    }

    fn tell_releases(&self) {
        let releases: BTreeMap<ServiceId, ReleaseId> = self
            .views()
            .releases
            .iter()
            .filter_map(|(service, row)| Some((ServiceId::new(service).ok()?, row.current.version.clone())))
            .collect();
        self.releases.send_if_modified(|known| {
            let changed = **known != releases;
            if changed {
                *known = Arc::new(releases);
            }
            changed
        });
    }

    pub(crate) fn views(&self) -> ViewsGuard {
        ViewsGuard(Arc::clone(&lock(&self.views)))
    }

    pub(crate) fn expected(&self) -> Vec<Expected> {
        lock(&self.expected).clone()
    }

    pub(crate) fn expect(&self, expected: Vec<Expected>) {
        *lock(&self.expected) = expected;
    }
}
