//! Children: acts and long jobs run in a process of their own that outlives a crash of the daemon.

use std::time::Duration;

use async_trait::async_trait;
use events::{JobId, Stop};
use serde::{Deserialize, Serialize};

/// What a child is asked to do; written into its run directory, so it holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum ChildTask {
    /// Run a command.
    Command {
        /// Absolute path and arguments; no shell.
        argv: Vec<String>,
        /// Its whole environment.
        environment: Vec<(String, String)>,
        /// Where it runs.
        directory: Option<String>,
        /// True for an act: whatever becomes of the run directory, it is never run a second time.
        once: bool,
    },
    /// Run a task of the backup crate; the text is its own.
    Backup {
        /// The task, as JSON.
        request: String,
    },
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildEnd {
    /// Process id of the helper.
    pub pid: u32,
    /// How.
    pub ended: events::ActEnd,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// End of the output, at most 4 KiB; of a backup task its answer as JSON.
    pub output: String,
}

/// What is found of the child of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It never began.
    NeverBegun,
    /// It is running.
    Running,
    /// It ended, and this is how.
    Ended(ChildEnd),
    /// It began and is gone without a word.
    Lost,
}

/// What came of following a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// It ended, or is gone.
    Ended(ChildEnd),
    /// There is none, and there never was.
    NeverBegun,
    /// We were told to stop; the child goes on.
    Stopped,
}

/// Runs children, one for each job.
#[async_trait]
pub trait Children: Send + Sync {
    /// Looks for the child of a job.
    async fn find(&self, job: JobId) -> Found;

    /// Waits for the end of a child that was begun before; starts none. Lines and deadline as for [`Children::run`].
    async fn follow(&self, job: JobId, lines: &dyn Lines, stop: &dyn Stop) -> Followed;

    /// Starts the child of a job, unless it was begun before, and waits for its end. Lines that it reports are handed
    /// to `line` in order, with their number; after a crash again from the first one. At `stop` the wait ends with `None`
    /// and the child goes on. At the deadline the child ends itself and what it runs; one that does not is ended.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one thing of its own; a struct would only rename them"
    )]
    async fn run(
        &self,
        job: JobId,
        task: &ChildTask,
        deadline: Duration,
        lines: &dyn Lines,
        stop: &dyn Stop,
    ) -> Option<ChildEnd>;

    /// Forgets the run directory of a job that is at its end.
    async fn forget(&self, job: JobId);
}

/// Takes the lines that a child reports.
#[async_trait]
pub trait Lines: Send + Sync {
    /// One line, without its end; false means "ask again later": it could not be recorded.
    async fn line(&self, number: usize, text: &str) -> bool;
}

/// For children that report nothing.
pub struct NoLines;

#[async_trait]
impl Lines for NoLines {
    async fn line(&self, _: usize, _: &str) -> bool {
        true
    }
}
