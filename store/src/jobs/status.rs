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
    /// How long ago it was queued.
    pub age: SignedDuration,
}

impl JobStatus {
    pub(crate) fn of(entry: &Entry, clock: &Clock, now: Elapsed) -> Self {
        Self {
            job: entry.job.clone(),
            attempts: entry.attempts,
            running: entry.hold == Hold::Running,
            failure: entry.failure.clone(),
            wait: entry.wait(clock).max(SignedDuration::ZERO),
            age: now.since(entry.queued_at),
        }
    }
}
