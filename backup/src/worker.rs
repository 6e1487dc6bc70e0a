//! Does the backup jobs: hands each to a child and records what the child reports. Decides nothing.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use events::{
    ActEnd, Attempt, BackupCaptured, BackupFailed, BackupProved, BackupTask, BackupVerified, Clocks, Envelope, Fact,
    Input, JobId, Key, Name, Observed, Outcome, Reporter, SnapshotsPruned, Stop, Timestamp, Views, Work, Worker,
    name_of,
};
use jiff::SignedDuration;
use outbound::child::{ChildEnd, ChildTask, Children, Found, Lines};
use tokio::sync::Mutex;

use crate::{
    BackupSettings, RepositorySettings,
    task::{KnownCopy, Step, TaskRequest, TaskSettings},
};

/// How long a backup may take.
const DEADLINE: Duration = Duration::from_hours(12);
/// Time between two runs when the calendar does not tell.
const INTERVAL: SignedDuration = SignedDuration::from_hours(24);

/// What a backup job needs to know.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The backup's settings.
    pub settings: BackupSettings,
    /// Name of its repository.
    pub repository_name: Name,
    /// Its repository's settings.
    pub repository: RepositorySettings,
}

/// Reads the views for a worker.
#[async_trait]
pub trait ReadViews: Send + Sync {
    /// Calls with the committed views.
    async fn read(&self, with: &mut (dyn for<'a> FnMut(&'a Views) + Send));
}

/// Does the jobs of all backups.
pub struct BackupWorker {
    /// Backups by name.
    pub backups: BTreeMap<Name, Kept>,
    /// Runs the children.
    pub children: Arc<dyn Children>,
    /// The views.
    pub views: Arc<dyn ReadViews>,
    /// The clocks.
    pub clocks: Arc<dyn Clocks>,
    /// The daemon's own journal.
    pub journal: PathBuf,
    /// A folder of our own for staging and scratch.
    pub scratch: PathBuf,
    /// This host.
    pub host: String,
    /// One at a time: each may take much memory and disk.
    pub turn: Mutex<()>,
}

impl BackupWorker {
    async fn request(&self, attempt: &Attempt, backup: &Name, task: BackupTask) -> Option<TaskRequest> {
        let kept = self.backups.get(backup)?;
        let travelling = TaskSettings {
            backup: kept.settings.clone(),
            repository: kept.repository.clone(),
        };
        let settings = config::text_of(&travelling).ok()?;
        let now = self.clocks.now().wall;
        let (mut copies, mut proved, mut jumped) = (Vec::new(), None, None);
        let mut read = |views: &Views| {
            copies = views
                .snapshots
                .iter()
                .filter(|(_, row)| row.backup == *backup)
                .map(known)
                .collect();
            proved = views
                .backups
                .get(backup.as_str())
                .and_then(|row| row.proved)
                .map(|stamp| stamp.wall);
            jumped = views.now.jumped.map(|stamp| stamp.wall);
        };
        self.views.read(&mut read).await;
        let day = SignedDuration::from_hours(24);
        let overdue = |every: SignedDuration| proved.is_none_or(|at: Timestamp| now.since(at) >= every);
        Some(TaskRequest {
            backup: backup.as_str().to_owned(),
            task,
            run: format!("{}/{}", attempt.job.id, attempt.number),
            settings,
            journal: self.journal.clone(),
            scratch: self.scratch.clone(),
            host: self.host.clone(),
            copies,
            prove: task == BackupTask::Prove
                || kept
                    .settings
                    .prove
                    .as_ref()
                    .is_none_or(|prove| overdue(prove.every.get())),
            clock_jumped: jumped.is_some_and(|at| now.since(at).abs() < day),
            interval: interval(&kept.settings, now),
        })
    }

    /// Runs, or goes on waiting for, the child of a job.
    async fn follow(&self, attempt: &Attempt, report: &dyn Reporter, stop: &dyn Stop) -> Outcome {
        let Work::Backup { backup, task, intended } = &attempt.job.work else {
            return Outcome::Failed {
                why: "this is no backup".to_owned(),
            };
        };
        let Some(request) = self.request(attempt, backup, *task).await else {
            return Outcome::Failed {
                why: "the backup is not configured any more".to_owned(),
            };
        };
        let Ok(text) = serde_json::to_string(&request) else {
            return Outcome::Failed {
                why: "the request cannot be written".to_owned(),
            };
        };
        let _turn = tokio::select! {
            turn = self.turn.lock() => turn,
            () = stop.stopped() => return Outcome::Later { why: "the daemon is stopping".to_owned(), not_before: None },
        };
        let id = attempt.job.id;
        let repository = self
            .backups
            .get(backup)
            .map_or_else(|| name_of("unknown"), |kept| kept.repository_name.clone());
        let recorder = Recorder {
            report,
            attempt,
            backup,
            repository,
            intended: *intended,
            failed: Mutex::new(None),
        };
        let child = ChildTask::Backup { request: text };
        let Some(end) = self.children.run(id, &child, DEADLINE, &recorder, stop).await else {
            return Outcome::Later {
                why: "the daemon is stopping; the backup goes on and is found again".to_owned(),
                not_before: None,
            };
        };
        let outcome = self.conclude(&recorder, end).await;
        self.children.forget(id).await;
        outcome
    }

    async fn conclude(&self, recorder: &Recorder<'_>, end: ChildEnd) -> Outcome {
        let said = end.output.trim().to_owned();
        match (recorder.failed.lock().await.take(), end.ended) {
            (Some((why, true)), _) => Outcome::Later { why, not_before: None },
            (Some((why, false)), _) => Outcome::Failed { why },
            (None, ActEnd::Exit { code: 0 }) => Outcome::Done {
                answer: "copied and checked".to_owned(),
            },
            (None, ActEnd::NotStarted { why }) => Outcome::Later {
                why: format!("the child could not be started: {why}"),
                not_before: None,
            },
            (None, ended) => Outcome::Later {
                why: format!("the child ended without a result ({ended:?}): {said}"),
                not_before: None,
            },
        }
    }
}

fn known((id, row): (&str, &events::Snapshot)) -> KnownCopy {
    KnownCopy {
        snapshot: id.to_owned(),
        sequence: row.captured.seq.0,
        at: row.captured.wall,
        proved: row.proved.is_some() && row.damaged.is_none(),
        digest: row.digest.clone(),
    }
}

/// Time between the next two runs.
fn interval(settings: &BackupSettings, now: Timestamp) -> SignedDuration {
    let Some(planned) = settings.planned() else {
        return INTERVAL;
    };
    let first = planned.calendar.next_after(now.to_jiff());
    let second = first.and_then(|first| planned.calendar.next_after(first));
    first
        .zip(second)
        .map_or(INTERVAL, |(first, second)| second.duration_since(first))
}

/// Records what a child reports, each line once.
struct Recorder<'a> {
    report: &'a dyn Reporter,
    attempt: &'a Attempt,
    backup: &'a Name,
    repository: Name,
    intended: Timestamp,
    failed: Mutex<Option<(String, bool)>>,
}

impl Recorder<'_> {
    fn fact(&self, step: Step) -> Fact {
        let (backup, job) = (self.backup.clone(), self.attempt.job.id);
        let took = |ms: u64| SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
        match step {
            Step::Captured {
                snapshot,
                bytes,
                added_bytes,
                files,
                digest,
                torn,
                took_ms,
            } => Fact::BackupCaptured(BackupCaptured {
                backup,
                job,
                repository: self.repository.clone(),
                snapshot,
                intended: self.intended,
                bytes,
                added_bytes,
                files,
                digest,
                torn,
                took: took(took_ms),
            }),
            Step::Verified {
                snapshot,
                bytes,
                took_ms,
            } => Fact::BackupVerified(BackupVerified {
                backup,
                job,
                snapshot,
                bytes,
                took: took(took_ms),
            }),
            Step::Proved {
                snapshot,
                bytes,
                files,
                checks,
                took_ms,
            } => Fact::BackupProved(BackupProved {
                backup,
                job,
                snapshot,
                bytes,
                files,
                checks,
                took: took(took_ms),
            }),
            Step::Pruned { snapshots, held_back } => Fact::SnapshotsPruned(SnapshotsPruned {
                backup,
                snapshots,
                held_back,
            }),
            Step::Failed {
                stage,
                reason,
                detail,
                snapshot,
                ..
            } => Fact::BackupFailed(BackupFailed {
                backup,
                job,
                stage,
                reason: name_of(&reason),
                detail,
                snapshot,
            }),
        }
    }
}

#[async_trait]
impl Lines for Recorder<'_> {
    async fn line(&self, number: usize, text: &str) -> bool {
        let Ok(step) = serde_json::from_str::<Step>(text) else {
            return true;
        };
        if let Step::Failed {
            detail,
            again: Some(again),
            ..
        } = &step
        {
            *self.failed.lock().await = Some((detail.clone(), *again));
        }
        let envelope = Envelope::new(
            name_of(&format!("backup/{}", self.backup)),
            name_of("worker"),
            self.fact(step),
        );
        let key: JobId = self.attempt.job.id;
        let Ok(key) = Key::new(format!("{key}/{}/{number}", self.attempt.number)) else {
            return true;
        };
        self.report.submit(Input::from(envelope.keyed(key))).await.is_ok()
    }
}

#[async_trait]
impl Worker for BackupWorker {
    async fn run(&self, attempt: &Attempt, report: &dyn Reporter, stop: &dyn Stop) -> Outcome {
        self.follow(attempt, report, stop).await
    }

    async fn observe(&self, attempt: &Attempt, report: &dyn Reporter, stop: &dyn Stop) -> Observed {
        match self.children.find(attempt.job.id).await {
            Found::Running | Found::Ended(_) => Observed::Ended(self.follow(attempt, report, stop).await),
            // Nothing of it counts: the snapshot is written last. It starts over, for the same intended time.
            Found::NeverBegun | Found::Lost => {
                self.children.forget(attempt.job.id).await;
                Observed::NotBegun
            }
        }
    }
}
