//! Facts of jobs: what happens after a decision was committed.

use serde::{Deserialize, Serialize};

use crate::{JobId, Name};

/// A job was begun for the first time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStarted {
    /// Which.
    pub job: JobId,
    /// Its queue.
    pub queue: Name,
    /// What it says: composed at this turn and never changed afterwards. Only messages have it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub composed: Option<String>,
    /// Other messages that this one says with it; they are not sent.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub covers: Vec<JobId>,
}

/// An attempt failed and will be repeated: the first time, or with a new reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFailed {
    /// Which.
    pub job: JobId,
    /// Its queue.
    pub queue: Name,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Why, without secrets.
    pub why: String,
}

/// A job is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDone {
    /// Which.
    pub job: JobId,
    /// Its queue.
    pub queue: Name,
    /// Attempts it took.
    pub attempts: u32,
    /// What the other side answered, in a line.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub answer: String,
}

/// How a job ended that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Its time ran out.
    Expired,
    /// Another message said it.
    Superseded,
    /// It failed for good.
    Failed,
    /// Three attempts ended with the process: a person must look.
    Parked,
    /// Nobody can say whether it was done: a person must look.
    Held,
    /// An ending that a newer version wrote.
    #[serde(other)]
    Other,
}

/// A job ended without success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnded {
    /// Which.
    pub job: JobId,
    /// Its queue.
    pub queue: Name,
    /// How.
    pub ending: Ending,
    /// Attempts it had.
    pub attempts: u32,
    /// Why, without secrets.
    pub why: String,
}
