//! The jobs in memory: what the writer changes after a commit, and workers take from.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use events::{Clock, Elapsed, JobId, Name};
use jiff::SignedDuration;
use tokio::sync::watch;

use super::{
    entry::{Entry, Hold, JobChange},
    status::JobStatus,
};

/// All jobs that did not come to their end, in order of their places.
#[derive(Default)]
pub(crate) struct Board {
    queues: BTreeMap<Name, BTreeMap<i64, Entry>>,
    places: BTreeMap<JobId, (Name, i64)>,
}

/// The board, shared, and the word that something changed on it.
pub(crate) struct Shared {
    board: Mutex<Board>,
    changed: watch::Sender<u64>,
}

/// What there is to do in a queue.
pub(crate) enum Pick {
    /// This one is due and now taken.
    Due(Box<Entry>),
    /// Nothing before so long, unless something changes.
    Wait(Option<SignedDuration>),
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            board: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Says that something changed, if only the time.
    pub(crate) fn wake(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Board {
    /// Takes over what was read from the table; what this process knows of running attempts stays.
    pub(crate) fn replace(&mut self, entries: Vec<Entry>) {
        let mut before = std::mem::take(self);
        for mut entry in entries {
            if let Some(known) = before.remove(entry.job.id) {
                entry.hold = known.hold;
                entry.left = known.left;
                entry.stopped = known.stopped;
                entry.tried = known.tried;
                entry.begun_at = known.begun_at;
                entry.hurried = known.hurried;
            }
            self.insert(entry);
        }
    }

    fn insert(&mut self, entry: Entry) {
        let queue = entry.job.queue.clone();
        self.places.insert(entry.job.id, (queue.clone(), entry.place));
        self.queues.entry(queue).or_default().insert(entry.place, entry);
    }

    fn remove(&mut self, job: JobId) -> Option<Entry> {
        let (queue, place) = self.places.remove(&job)?;
        let jobs = self.queues.get_mut(&queue)?;
        let entry = jobs.remove(&place);
        if jobs.is_empty() {
            self.queues.remove(&queue);
        }
        entry
    }

    pub(crate) fn get(&self, job: JobId) -> Option<&Entry> {
        let (queue, place) = self.places.get(&job)?;
        self.queues.get(queue)?.get(place)
    }

    pub(crate) fn edit(&mut self, job: JobId, change: impl FnOnce(&mut Entry)) {
        let Some((queue, place)) = self.places.get(&job) else {
            return;
        };
        if let Some(entry) = self.queues.get_mut(queue).and_then(|jobs| jobs.get_mut(place)) {
            change(entry);
        }
    }

    /// Takes over a committed change.
    pub(crate) fn apply(&mut self, change: JobChange, place: Option<i64>) {
        match change {
            JobChange::Queued { job, at } => match place {
                Some(place) => {
                    let head = self.queues.get_mut(&job.queue).and_then(BTreeMap::first_entry);
                    if let Some(mut head) = head {
                        head.get_mut().hurry();
                    }
                    self.insert(Entry::new(place, *job, at));
                }
                None => tracing::error!(job = %job.id, "a job was queued twice; the first one stands"),
            },
            JobChange::Started { job, composed } => self.edit(job, |entry| {
                entry.attempts = 1;
                entry.composed = composed;
            }),
            JobChange::Begun { job, attempts, crashed } => self.edit(job, |entry| {
                entry.attempts = attempts;
                entry.crashed = crashed;
            }),
            JobChange::Stopped { job } => self.edit(job, |entry| {
                if entry.hold == Hold::Running {
                    entry.hold = Hold::Taken;
                    entry.left = true;
                    entry.stopped = true;
                }
            }),
            JobChange::Later {
                job,
                why,
                failures,
                boot_id,
                not_before,
                asked,
            } => self.edit(job, |entry| {
                entry.failure = Some(why);
                entry.failures = failures;
                (entry.asked, entry.hurried) = (asked, false);
                entry.not_before = Some((boot_id, not_before));
                entry.left = false;
                entry.crashed = 0;
            }),
            JobChange::Ended { job } => drop(self.remove(job)),
        }
    }

    /// Names of the queues that hold something.
    pub(crate) fn queues(&self) -> Vec<Name> {
        self.queues.keys().cloned().collect()
    }

    /// Takes the job that is due first at the head of a queue, or of any queue whose name begins with `wanted` when that
    /// ends with `/`.
    pub(crate) fn pick(&mut self, wanted: &str, clock: &Clock) -> Pick {
        let matches =
            |queue: &Name| queue.as_str() == wanted || (wanted.ends_with('/') && queue.as_str().starts_with(wanted));
        let mut wait: Option<SignedDuration> = None;
        let mut due: Option<&mut Entry> = None;
        let heads = self
            .queues
            .iter_mut()
            .filter(|(queue, _)| matches(queue))
            .filter_map(|(_, jobs)| {
                jobs.first_entry()
                    .map(std::collections::btree_map::OccupiedEntry::into_mut)
            });
        for head in heads.filter(|head| head.hold == Hold::Free) {
            let left = head.wait(clock);
            if left > SignedDuration::ZERO {
                wait = Some(wait.map_or(left, |wait| wait.min(left)));
            } else if due.as_ref().is_none_or(|due| head.place < due.place) {
                due = Some(head);
            }
        }
        match due {
            Some(entry) => {
                entry.hold = Hold::Taken;
                Pick::Due(Box::new(entry.clone()))
            }
            None => Pick::Wait(wait),
        }
    }

    /// A worker let go of a job. An attempt of which it gave no outcome is left to the rules for crashes.
    pub(crate) fn release(&mut self, job: JobId) {
        self.edit(job, |entry| {
            entry.left |= entry.hold == Hold::Running;
            entry.hold = Hold::Free;
        });
    }

    pub(crate) fn waiting(&self, clock: &Clock, now: Elapsed) -> Vec<JobStatus> {
        let all = self.queues.values().flat_map(BTreeMap::values);
        all.map(|entry| JobStatus::of(entry, clock, now)).collect()
    }
}
