//! Jobs: taken by workers once the decision is committed, and brought to an end that is a fact.
//!
//! Within a queue jobs run one by one, in the order in which they were queued; a job that waits in back-off holds up
//! only its own queue, and what is queued behind a message makes it try again at once. The lock on the data folder is the lease: a new process owns all jobs at once.

mod board;
mod entry;
mod status;

use std::time::Duration;

use events::{
    Attempt, Elapsed, Ending, Envelope, Fact, Input, Job, JobDone, JobEnded, JobFailed, JobId, Key, Name, OnCrash,
    Outcome, Stop, SubmitError, name_of,
};
use jiff::SignedDuration;

use self::entry::back_off;
pub use self::status::JobStatus;
pub(crate) use self::{
    board::{Pick, Shared},
    entry::{Entry, Hold, JobChange, load_jobs, write_change},
};
use crate::Journal;

/// Longest sleep before the clocks are read again.
const NAP_MAX: Duration = Duration::from_secs(60);
/// Most characters of a reason that are kept.
const WHY_MAX: usize = 500;

/// The queues, for workers.
#[derive(Clone)]
pub struct Jobs {
    journal: Journal,
}

/// How long a job waits after an attempt that came to nothing.
struct Wait {
    wait: SignedDuration,
    failures: u32,
    asked: bool,
}

/// A job that is due and that nobody else gets. Dropped after [`Jobs::begin`] without [`Jobs::end`] (a worker that
/// panicked) it counts as an attempt of which nobody knows the outcome.
pub struct Taken {
    /// The job.
    pub job: Job,
    /// Attempts begun before.
    pub attempts_so_far: u32,
    /// What was composed at the first one.
    pub composed: Option<String>,
    /// The last attempt was begun, and nobody knows how it ended: what [`events::OnCrash`] says holds.
    pub left_begun: bool,
    _lease: Lease,
}

impl Taken {
    /// The last attempt that was begun: what [`events::Worker::observe`] is asked about, and [`Jobs::end`] is told of.
    #[must_use]
    pub fn last_attempt(&self) -> Attempt {
        Attempt {
            job: self.job.clone(),
            number: self.attempts_so_far,
            composed: self.composed.clone(),
        }
    }
}

struct Lease {
    journal: Journal,
    job: JobId,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let jobs = &self.journal.shared.jobs;
        jobs.lock().release(self.job);
        jobs.wake();
    }
}

/// Whether an attempt may run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each attempt, and nearly always the large one"
)]
pub enum Begun {
    /// This attempt is committed: run it.
    Attempt(Attempt),
    /// Another message says it already; the job came to its end.
    Superseded,
    /// Its time ran out; the job came to its end.
    Expired,
    /// Three attempts ended with their process; the job came to its end, and a person must look.
    Parked,
    /// The same of a message: a page is never given up for that. It waits, longer from time to time, so that one that ends
    /// its process leaves the others room to go out.
    Postponed,
}

impl Jobs {
    pub(crate) fn new(journal: Journal) -> Self {
        Self { journal }
    }

    /// Names of the queues that hold something.
    #[must_use]
    pub fn queues(&self) -> Vec<Name> {
        self.journal.shared.jobs.lock().queues()
    }

    /// Changes whenever jobs were queued or ended, and at each commit.
    #[must_use]
    pub fn changed(&self) -> tokio::sync::watch::Receiver<u64> {
        self.journal.shared.jobs.subscribe()
    }

    /// Every job that did not come to its end.
    #[expect(clippy::unused_async, reason = "an engine on another host has to ask for it")]
    pub async fn waiting(&self) -> Vec<JobStatus> {
        let clock = self.journal.shared.clocks.now();
        self.journal.shared.jobs.lock().waiting(&clock, self.now())
    }

    /// The next due job of a queue, or of all queues that begin with a prefix ending with `/`. Waits until one is due;
    /// `None` when told to stop.
    pub async fn next(&self, queue: &str, stop: &dyn Stop) -> Option<Taken> {
        let shared = &self.journal.shared;
        let mut changed = shared.jobs.subscribe();
        while !stop.is_stopped() {
            changed.borrow_and_update();
            let clock = shared.clocks.now();
            let picked = shared.jobs.lock().pick(queue, &clock);
            let nap = match picked {
                Pick::Due(entry) => return Some(self.taken(*entry)),
                Pick::Wait(wait) => wait
                    .and_then(|wait| Duration::try_from(wait).ok())
                    .map_or(NAP_MAX, |wait| wait.min(NAP_MAX)),
            };
            tokio::select! {
                closed = changed.changed() => closed.ok()?,
                () = tokio::time::sleep(nap) => {}
                () = stop.stopped() => {}
            }
        }
        None
    }

    /// Begins an attempt: the first one as a fact, later ones as a change of the job's row. Both are committed when this
    /// returns.
    ///
    /// # Errors
    /// When the commit failed: nothing was begun; drop what was taken and take it again.
    pub async fn begin(&self, taken: &Taken) -> Result<Begun, SubmitError> {
        let id = taken.job.id;
        let entry = self.journal.shared.jobs.lock().get(id).cloned();
        let Some(entry) = entry else {
            return Ok(Begun::Superseded);
        };
        if entry.is_expired(self.now()) {
            let why = entry.failure.as_deref().unwrap_or("its time ran out");
            self.finish(&entry, Ending::Expired, why).await?;
            return Ok(Begun::Expired);
        }
        if entry.crashes() >= entry::CRASHES_MAX {
            let why = format!("{} attempts ended with the process that made them", entry.crashes());
            if entry.job.on_crash == OnCrash::Resend {
                let wait = back_off(id, entry.failures.max(entry::CRASHES_MAX), None);
                self.wait(
                    &entry,
                    &why,
                    Wait {
                        wait,
                        failures: entry.failures,
                        asked: false,
                    },
                )
                .await?;
                return Ok(Begun::Postponed);
            }
            self.finish(&entry, Ending::Parked, &why).await?;
            return Ok(Begun::Parked);
        }
        if entry.attempts == 0 {
            let start = Input::JobStart(Box::new(entry.job.clone()));
            self.journal.submit_item(Some(start), None).await?;
        } else {
            let begun = JobChange::Begun {
                job: id,
                attempts: entry.attempts.saturating_add(1),
                crashed: entry.crashes(),
            };
            self.journal.submit_item(None, Some(begun)).await?;
        }
        let began = self.journal.shared.clocks.now().boot;
        let mut board = self.journal.shared.jobs.lock();
        board.edit(id, |entry| {
            entry.hold = Hold::Running;
            entry.tried = true;
            entry.begun_at = Some(began);
            entry.left = false;
            entry.stopped = false;
        });
        Ok(board.get(id).map_or(Begun::Superseded, |entry| {
            Begun::Attempt(Attempt {
                job: entry.job.clone(),
                number: entry.attempts,
                composed: entry.composed.clone(),
            })
        }))
    }

    /// Records how an attempt ended. An outcome of an older attempt, or of a job that came to its end, is ignored.
    ///
    /// # Errors
    /// When the commit failed: say it again.
    pub async fn end(&self, attempt: &Attempt, outcome: Outcome) -> Result<(), SubmitError> {
        let entry = self.journal.shared.jobs.lock().get(attempt.job.id).cloned();
        let Some(entry) = entry.filter(|entry| entry.attempts == attempt.number) else {
            return Ok(());
        };
        match outcome {
            Outcome::Done { answer } => {
                let done = JobDone {
                    job: entry.job.id,
                    queue: entry.job.queue.clone(),
                    attempts: attempt.number,
                    answer: cut(&answer),
                };
                self.tell(&entry.job, "done", Fact::JobDone(done)).await
            }
            Outcome::Failed { why } => self.finish(&entry, Ending::Failed, &why).await,
            Outcome::Held { why } => self.finish(&entry, Ending::Held, &why).await,
            Outcome::Later { why, not_before } => {
                let failures = entry.failures.saturating_add(1);
                let wait = back_off(entry.job.id, if entry.hurried { 1 } else { failures }, not_before);
                let asked = not_before.is_some();
                self.wait(&entry, &cut(&why), Wait { wait, failures, asked }).await
            }
        }
    }

    /// An attempt was cut short because the process ends in order. It stays begun, so that the next process looks at it
    /// or adopts it, but it does not count as one that crashed.
    ///
    /// # Errors
    /// When the commit failed; it counts as crashed then.
    pub async fn stopped(&self, attempt: &Attempt) -> Result<(), SubmitError> {
        let job = attempt.job.id;
        let same = |entry: &Entry| entry.attempts == attempt.number;
        let current = self.journal.shared.jobs.lock().get(job).is_some_and(same);
        if current {
            self.journal.submit_item(None, Some(JobChange::Stopped { job })).await?;
        }
        Ok(())
    }

    /// After an attempt that came to nothing: waits, or ends what expired.
    async fn wait(&self, entry: &Entry, why: &str, wait: Wait) -> Result<(), SubmitError> {
        let Wait { wait, failures, asked } = wait;
        let now = self.now();
        let left = entry.left_until_expiry(now);
        if left.is_some_and(|left| left <= SignedDuration::ZERO) {
            return self.finish(entry, Ending::Expired, why).await;
        }
        let id = entry.job.id;
        let wait = left.map_or(wait, |left| wait.min(left));
        let clock = self.journal.shared.clocks.now();
        let change = JobChange::Later {
            job: id,
            why: why.to_owned(),
            failures,
            not_before: clock.boot.plus(wait),
            asked,
            boot_id: clock.boot_id,
        };
        let news = entry.failure.as_deref() != Some(why);
        let failed = news.then(|| {
            let failed = JobFailed {
                job: id,
                queue: entry.job.queue.clone(),
                attempt: entry.attempts,
                why: why.to_owned(),
            };
            let key = format!("{id}/failed/{}", entry.attempts);
            Input::from(about(&entry.job, &key, Fact::JobFailed(failed)))
        });
        self.journal.submit_item(failed, Some(change)).await?;
        self.journal
            .shared
            .jobs
            .lock()
            .edit(id, |entry| entry.hold = Hold::Taken);
        Ok(())
    }

    async fn finish(&self, entry: &Entry, ending: Ending, why: &str) -> Result<(), SubmitError> {
        let ended = JobEnded {
            job: entry.job.id,
            queue: entry.job.queue.clone(),
            ending,
            attempts: entry.attempts,
            why: cut(why),
        };
        self.tell(&entry.job, "ended", Fact::JobEnded(ended)).await
    }

    async fn tell(&self, job: &Job, what: &str, fact: Fact) -> Result<(), SubmitError> {
        let envelope = about(job, &format!("{}/{what}", job.id), fact);
        self.journal.submit_item(Some(envelope.into()), None).await.map(drop)
    }

    fn taken(&self, entry: Entry) -> Taken {
        Taken {
            _lease: Lease {
                journal: self.journal.clone(),
                job: entry.job.id,
            },
            job: entry.job,
            attempts_so_far: entry.attempts,
            composed: entry.composed,
            left_begun: entry.left,
        }
    }

    fn now(&self) -> Elapsed {
        let shared = &self.journal.shared;
        shared.views().now.stamp(&shared.clocks.now(), false).at
    }
}

/// An observed fact about a job, recorded once.
fn about(job: &Job, key: &str, fact: Fact) -> Envelope {
    let envelope = Envelope::new(name_of(&format!("job/{}", job.queue)), name_of("worker"), fact);
    match Key::new(key) {
        Ok(key) => envelope.keyed(key),
        Err(_) => envelope,
    }
}

fn cut(text: &str) -> String {
    text.chars().take(WHY_MAX).collect()
}
