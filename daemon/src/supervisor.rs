//! Every task is owned and named. Stages stop in order, each after the one before; what does not stop in time is
//! aborted, and that is said.

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use events::{Stop, TaskFailed, name_of};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Stages in the order in which they stop: first nothing new is taken in, last the journal is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Sockets and requests.
    Serve,
    /// Probes and schedules.
    Collect,
    /// Jobs.
    Work,
    /// Ticks and the writers of journal and telemetry.
    Write,
}

const STAGES: [Stage; 4] = [Stage::Serve, Stage::Collect, Stage::Work, Stage::Write];

/// How long a stage may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// Pause before a failed task is started again, doubling to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Tells a task that it shall end.
#[derive(Clone, Debug)]
pub(crate) struct Token(pub(crate) CancellationToken);

#[async_trait]
impl Stop for Token {
    fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    async fn stopped(&self) {
        self.0.cancelled().await;
    }
}

struct Running {
    stage: Stage,
    token: CancellationToken,
    tasks: JoinSet<()>,
}

/// Owns all tasks.
pub(crate) struct Supervisor {
    stages: Vec<Running>,
    failed: mpsc::Sender<TaskFailed>,
    fatal: CancellationToken,
}

impl Supervisor {
    /// An empty house. Failures of tasks go to the channel; `fatal` is cancelled when an essential task ends.
    pub(crate) fn new(failed: mpsc::Sender<TaskFailed>) -> Self {
        let stage = |stage| Running {
            stage,
            token: CancellationToken::new(),
            tasks: JoinSet::new(),
        };
        Self {
            stages: STAGES.map(stage).into(),
            failed,
            fatal: CancellationToken::new(),
        }
    }

    /// Cancelled when an essential task has ended by itself.
    pub(crate) fn fatal(&self) -> CancellationToken {
        self.fatal.clone()
    }

    /// Tells when a stage shall end.
    pub(crate) fn token(&self, stage: Stage) -> Token {
        let found = self.stages.iter().find(|running| running.stage == stage);
        Token(found.map_or_else(CancellationToken::new, |running| running.token.clone()))
    }

    /// Runs a task that must not end before its stage does: its end or panic ends the process.
    pub(crate) fn essential(
        &mut self,
        stage: Stage,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let Some(running) = self.stages.iter_mut().find(|running| running.stage == stage) else {
            return;
        };
        let (fatal, token) = (self.fatal.clone(), running.token.clone());
        let ended = EndsLoudly { name, fatal, token };
        running.tasks.spawn(async move {
            let _ended = ended;
            task.await;
        });
    }

    /// Runs a task again and again: a panic or an early end is told, and after a pause it starts anew.
    pub(crate) fn restarting<F>(&mut self, stage: Stage, name: String, task: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(running) = self.stages.iter_mut().find(|running| running.stage == stage) else {
            return;
        };
        let (token, failed) = (running.token.clone(), self.failed.clone());
        running.tasks.spawn(async move {
            let mut failures = 0;
            while !token.is_cancelled() {
                let mut once = JoinSet::new();
                once.spawn(task());
                let error = match once.join_next().await {
                    Some(Err(error)) if error.is_panic() => "it panicked".to_owned(),
                    _ if token.is_cancelled() => return,
                    _ => "it ended by itself".to_owned(),
                };
                failures += 1;
                tracing::error!(task = name, error, "a task failed and is started again");
                // A full channel means that failures are told already.
                let _ = failed.try_send(TaskFailed {
                    task: name_of(&name),
                    error,
                    failures,
                });
                let pause = PAUSE.saturating_mul(1 << failures.min(6)).min(PAUSE_MAX);
                tokio::select! { () = tokio::time::sleep(pause) => {}, () = token.cancelled() => {} }
            }
        });
    }

    /// Stops all stages in order.
    pub(crate) async fn stop(mut self) {
        for running in &mut self.stages {
            running.token.cancel();
            let all = async { while running.tasks.join_next().await.is_some() {} };
            if tokio::time::timeout(GRACE, all).await.is_err() {
                tracing::warn!(stage = ?running.stage, left = running.tasks.len(), "tasks did not end in time and are aborted");
                running.tasks.shutdown().await;
            }
        }
    }
}

/// Dropped without [`Supervisor::stop`], as at a start that failed, it stops all tasks at once; that is no failure of theirs.
impl Drop for Supervisor {
    fn drop(&mut self) {
        for running in &self.stages {
            running.token.cancel();
        }
    }
}

/// Says when an essential task ends before it was told to, by return or by panic.
struct EndsLoudly {
    name: &'static str,
    fatal: CancellationToken,
    token: CancellationToken,
}

impl Drop for EndsLoudly {
    fn drop(&mut self) {
        if !self.token.is_cancelled() {
            tracing::error!(
                task = self.name,
                "an essential task ended; the daemon ends too, so that it is started anew"
            );
            self.fatal.cancel();
        }
    }
}

/// A stop that several share.
pub(crate) type SharedStop = Arc<dyn Stop>;

#[cfg(test)]
mod tests {
    use super::*;

    /// A supervisor of one essential task that goes on for ever, and whether that task has ended.
    fn with_one_task() -> (Supervisor, Arc<()>) {
        let (failed, _) = mpsc::channel(1);
        let mut supervisor = Supervisor::new(failed);
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        supervisor.essential(Stage::Write, "held", async move {
            std::future::pending::<()>().await;
            drop(holds);
        });
        (supervisor, held)
    }

    async fn ended(held: &Arc<()>) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while Arc::strong_count(held) > 1 {
            assert!(tokio::time::Instant::now() < deadline, "the task goes on");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_is_given_up_at_a_failed_start_is_no_failure() {
        let (supervisor, held) = with_one_task();
        let fatal = supervisor.fatal();
        drop(supervisor);
        ended(&held).await;
        assert!(!fatal.is_cancelled());
    }

    #[tokio::test]
    async fn an_essential_task_that_panics_ends_the_daemon() {
        let (mut supervisor, _held) = with_one_task();
        supervisor.essential(Stage::Serve, "broken", async { panic!("put in by a test") });
        let fatal = supervisor.fatal();
        let told = tokio::time::timeout(Duration::from_secs(20), fatal.cancelled()).await;
        assert!(told.is_ok(), "nobody was told");
    }
}
