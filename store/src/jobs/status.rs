//! What can be said about a waiting job.

use events::{Clock, Elapsed, Job};
use jiff::SignedDuration;

use super::entry::{Entry, Hold};

/// A job that did not come to its end yet, for status pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStatus {
    /// The job.
    pub job: Job,
    /// Attempts begun so far.
    pub attempts: u32,
    /// True while an attempt runs.
    pub running: bool,
    /// Why the last attempt failed.
    pub failure: Option<String>,
    /// How long it still waits by itself; zero when it is due (jobs before it in its queue may still be in its way).
    pub wait: SignedDuration,
    /// How long it could have begun by itself and was not; zero while it waits.
    pub overdue: SignedDuration,
    /// How long the attempt that runs has been running.
    pub running_for: Option<SignedDuration>,
    /// How long ago it was queued.
    pub age: SignedDuration,
}

impl JobStatus {
    pub(crate) fn of(entry: &Entry, clock: &Clock, now: Elapsed) -> Self {
        let (wait, running) = (entry.wait(clock), entry.hold == Hold::Running);
        let since = entry.begun_at.filter(|_| running);
        Self {
            job: entry.job.clone(),
            attempts: entry.attempts,
            running,
            failure: entry.failure.clone(),
            wait: wait.max(SignedDuration::ZERO),
            overdue: if running {
                SignedDuration::ZERO
            } else {
                wait.min(SignedDuration::ZERO).abs()
            },
            running_for: since.map(|since| clock.boot.since(since)),
            age: now.since(entry.queued_at),
        }
    }
}
