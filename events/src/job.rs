//! Jobs: what must happen once the decision is committed. A page, an act and a backup differ only in what a crash
//! means for them.

use async_trait::async_trait;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{About, Answer, BackupTask, IncidentId, Input, JobId, Moment, Name, Recorded, Timestamp, Views};

/// Something that must happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Derived from what it stands for, so that it exists once.
    pub id: JobId,
    /// One queue for each destination, so that a dead one delays no other; within a queue jobs run one by one, in order.
    pub queue: Name,
    /// When it may begin.
    pub due: Due,
    /// After so much elapsed time it is given up, but never before one attempt since the process started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<SignedDuration>,
    /// What a crash in mid-run means.
    pub on_crash: OnCrash,
    /// What to do.
    pub work: Work,
}

/// When a job may begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// So long after a moment, on the boot clock; in another boot: now.
    After(Moment, SignedDuration),
    /// At a time of the calendar.
    At(Timestamp),
}

/// What a crash in mid-run means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCrash {
    /// Messages: send again, with the same id and the same bytes.
    Resend,
    /// Acts: never repeat; look at the target first.
    Observe,
    /// Backups: start over, for the same intended time.
    Restart,
}

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    /// Tell somebody.
    Message {
        /// Whom.
        destination: Name,
        /// What.
        #[serde(flatten)]
        about: About,
    },
    /// Copy, verify, prove.
    Backup {
        /// Which backup.
        backup: Name,
        /// What to do.
        task: BackupTask,
        /// The time it was meant for.
        intended: Timestamp,
    },
    /// Act.
    Act {
        /// Which action.
        action: Name,
        /// For which incident.
        incident: IncidentId,
    },
    /// Work that a newer version wrote: it is left alone.
    #[serde(other)]
    Unknown,
}

/// One attempt at a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The job.
    pub job: Job,
    /// Number of the attempt, from 1.
    pub number: u32,
    /// What was composed at the first attempt.
    pub composed: Option<String>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; with what the other side answered, in a line.
    Done {
        /// The answer.
        answer: String,
    },
    /// Try again, not before so long.
    Later {
        /// Why, without secrets.
        why: String,
        /// What the other side asked for (`Retry-After`); else the queue's back-off decides.
        not_before: Option<SignedDuration>,
    },
    /// It cannot succeed.
    Failed {
        /// Why, without secrets.
        why: String,
    },
    /// Nobody can say whether it was done: a person must look.
    Held {
        /// What to look at.
        why: String,
    },
}

/// What is found after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// It was never begun: run it.
    NotBegun,
    /// It goes on, or ended: this is its outcome.
    Ended(Outcome),
    /// Nobody can say.
    Unknown {
        /// What to look at.
        why: String,
    },
}

/// Does the jobs of one queue family.
#[async_trait]
pub trait Worker: Send + Sync {
    /// Makes one attempt. Returns soon after `stop` says so.
    async fn run(&self, attempt: &Attempt, report: &dyn Reporter, stop: &dyn Stop) -> Outcome;

    /// After a crash: finds out what became of an attempt that was begun. Never repeats the act.
    async fn observe(&self, attempt: &Attempt, report: &dyn Reporter, stop: &dyn Stop) -> Observed;
}

/// Why an input was not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The commit failed or is in doubt: ask again with the same key.
    #[error("commit the fact: {0}")]
    NotCommitted(String),
    /// The queue is full: come back later.
    #[error("the intake is full")]
    Full,
    /// The store refuses facts while the disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}

/// How a worker speaks to the journal.
#[async_trait]
pub trait Reporter: Send + Sync {
    /// Submits an input and waits for its commit.
    async fn submit(&self, input: Input) -> Result<Answer, SubmitError>;

    /// Says how far it is; kept in memory only, at most once a second.
    fn progress(&self, text: &str);
}

/// How a worker learns that it shall end.
#[async_trait]
pub trait Stop: Send + Sync {
    /// True once it shall end.
    fn is_stopped(&self) -> bool;

    /// Returns when it shall end.
    async fn stopped(&self);
}

/// What a message says, decided at the turn of its first attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composition {
    /// The message, as its notifier understands it; the bytes never change afterwards.
    pub body: String,
    /// Other waiting messages that it says with it.
    pub covers: Vec<JobId>,
}

/// Composes messages: pure, from the views at that turn.
pub trait Composer: Send + Sync {
    /// `None` for work that says nothing.
    fn compose(&self, views: &Views, job: &Job, now: &Moment) -> Option<Composition>;
}

/// Facts that came of a submitted input.
#[must_use]
pub fn consequences(answer: &Answer) -> &[Recorded] {
    match answer {
        Answer::Accepted { facts } => facts,
        _ => &[],
    }
}
