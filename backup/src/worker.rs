//! Does the backup jobs: hands each to a child and records what the child reports. Decides nothing.

mod recorder;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use events::{
    ActEnd, Attempt, BackupStage, BackupTask, Clocks, Name, Observed, Outcome, Reporter, Stop, Timestamp, Views, Work,
    Worker, name_of,
};
use jiff::SignedDuration;
use outbound::child::{ChildEnd, ChildTask, Children, Followed};
use tokio::sync::{Mutex, MutexGuard};

use self::recorder::{Recorder, Seen};
use crate::{
    BackupSettings, Reason, RepositorySettings,
    task::{KnownCopy, TaskRequest, TaskSettings},
};

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
    /// What the child is asked, and how long it may take.
    async fn request(&self, attempt: &Attempt) -> Option<(TaskRequest, Duration)> {
        let Work::Backup { backup, task, .. } = &attempt.job.work else {
            return None;
        };
        let (backup, task) = (backup, *task);
        let kept = self.backups.get(backup)?;
        let travelling = TaskSettings {
            backup: kept.settings.clone(),
            repository: kept.repository.clone(),
        };
        let settings = config::text_of(&travelling).ok()?;
        let now = self.clocks.now().wall;
        let (mut copies, mut proved, mut jumped) = (Vec::new(), None, None);
        let mut read = |views: &Views| {
            copies = known(views, backup, &kept.repository_name);
            proved = last_proof(views, backup, &kept.repository_name);
            jumped = views.now.jumped.map(|stamp| stamp.wall);
        };
        self.views.read(&mut read).await;
        let day = SignedDuration::from_hours(24);
        let overdue = |every: SignedDuration| proved.is_none_or(|at: Timestamp| now.since(at) >= every);
        let request = TaskRequest {
            backup: backup.as_str().to_owned(),
            repository: kept.repository_name.clone(),
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
        };
        Some((request, kept.settings.timeout()))
    }

    /// Waits for its turn and does the job.
    async fn begin(&self, attempt: &Attempt, report: &dyn Reporter, stop: &dyn Stop) -> Outcome {
        let recorder = match self.recorder(attempt, report) {
            Ok(recorder) => recorder,
            Err(why) => return Outcome::Failed { why },
        };
        let Some((request, deadline)) = self.request(attempt).await else {
            return Outcome::Failed {
                why: "the backup is not configured any more".to_owned(),
            };
        };
        let Ok(request) = serde_json::to_string(&request) else {
            return Outcome::Failed {
                why: "the request cannot be written".to_owned(),
            };
        };
        let Some(_turn) = self.turn(stop).await else {
            return stopping();
        };
        let child = ChildTask::Backup { request };
        let id = attempt.job.id;
        match self.children.run(id, &child, deadline, &recorder, stop).await {
            Some(end) => self.conclude(&recorder, end).await,
            None => stopping(),
        }
    }

    /// Waits for the child that an older process left; none when it never began.
    async fn adopt(&self, attempt: &Attempt, report: &dyn Reporter, stop: &dyn Stop) -> Option<(Outcome, ActEnd)> {
        let failed = |why| Some((Outcome::Failed { why }, ActEnd::Other));
        let recorder = match self.recorder(attempt, report) {
            Ok(recorder) => recorder,
            Err(why) => return failed(why),
        };
        let Some(_turn) = self.turn(stop).await else {
            return Some((stopping(), ActEnd::Other));
        };
        match self.children.follow(attempt.job.id, &recorder, stop).await {
            Followed::Ended(end) => {
                let ended = end.ended.clone();
                Some((self.conclude(&recorder, end).await, ended))
            }
            Followed::Stopped => Some((stopping(), ActEnd::Other)),
            Followed::NeverBegun => None,
        }
    }

    async fn turn(&self, stop: &dyn Stop) -> Option<MutexGuard<'_, ()>> {
        tokio::select! {
            turn = self.turn.lock() => Some(turn),
            () = stop.stopped() => None,
        }
    }

    fn recorder<'a>(&self, attempt: &'a Attempt, report: &'a dyn Reporter) -> Result<Recorder<'a>, String> {
        let Work::Backup { backup, intended, .. } = &attempt.job.work else {
            return Err("this is no backup".to_owned());
        };
        let repository = self
            .backups
            .get(backup)
            .map_or_else(|| name_of("unknown"), |kept| kept.repository_name.clone());
        Ok(Recorder {
            report,
            attempt,
            backup,
            repository,
            intended: *intended,
            seen: Mutex::new(Seen::default()),
        })
    }

    /// Records an end without a word of its own, and says what it means for the job.
    async fn conclude(&self, recorder: &Recorder<'_>, end: ChildEnd) -> Outcome {
        let Seen { failed, reached } = std::mem::take(&mut *recorder.seen.lock().await);
        let outcome = match (failed, ending(&end)) {
            (Some((why, true)), _) => Outcome::Later { why, not_before: None },
            (Some((why, false)), _) => Outcome::Failed { why },
            (None, None) => Outcome::Done {
                answer: "copied and checked".to_owned(),
            },
            (None, Some((reason, why))) => {
                let stage = reached.unwrap_or(BackupStage::Open);
                if !recorder.record_end(stage, reason, &why).await {
                    // Its directory stays: the next attempt finds the end again.
                    let why = format!("record that {why}");
                    return Outcome::Later { why, not_before: None };
                }
                Outcome::Later { why, not_before: None }
            }
        };
        self.children.forget(recorder.attempt.job.id).await;
        outcome
    }
}

fn stopping() -> Outcome {
    Outcome::Later {
        why: "the daemon is stopping; the backup goes on and is found again".to_owned(),
        not_before: None,
    }
}

/// The reason and the words for a child that did not come to its end; none for one that did.
fn ending(end: &ChildEnd) -> Option<(Reason, String)> {
    let said = end.output.trim();
    let after = |what: &str| {
        if said.is_empty() {
            what.to_owned()
        } else {
            format!("{what}: {said}")
        }
    };
    match &end.ended {
        ActEnd::Exit { code: 0 } => None,
        ActEnd::Deadline => {
            let took = SignedDuration::from_millis(i64::try_from(end.took_ms).unwrap_or(i64::MAX));
            let what = format!("the backup was not finished in its time ({took:#}) and was ended");
            Some((Reason::Deadline, after(&what)))
        }
        ActEnd::NotStarted { why } => Some((Reason::NotStarted, format!("the child could not be started: {why}"))),
        _ => Some((
            Reason::Interrupted,
            after("the process that did the backup ended without a word"),
        )),
    }
}

/// The copies of a backup in one repository. Those that it left in another one are none of a run's business: they say nothing
/// about what has to be here.
fn copies<'a>(
    views: &'a Views,
    backup: &'a Name,
    repository: &'a Name,
) -> impl Iterator<Item = (&'a str, &'a events::Snapshot)> {
    let of_both = move |(_, row): &(&str, &events::Snapshot)| row.backup == *backup && row.repository == *repository;
    views.snapshots.iter().filter(of_both)
}

fn known(views: &Views, backup: &Name, repository: &Name) -> Vec<KnownCopy> {
    let known = |(id, row): (&str, &events::Snapshot)| KnownCopy {
        snapshot: id.to_owned(),
        sequence: row.captured.seq.0,
        at: row.captured.wall,
        proved: row.proved.is_some() && row.damaged.is_none(),
        digest: row.digest.clone(),
    };
    copies(views, backup, repository).map(known).collect()
}

/// When a copy that is still good was last proved there.
fn last_proof(views: &Views, backup: &Name, repository: &Name) -> Option<Timestamp> {
    let good = copies(views, backup, repository).filter(|(_, row)| row.damaged.is_none());
    let newest = good.filter_map(|(_, row)| row.proved).max_by_key(|stamp| stamp.seq);
    newest.map(|stamp| stamp.wall)
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

#[async_trait]
impl Worker for BackupWorker {
    async fn run(&self, attempt: &Attempt, report: &dyn Reporter, stop: &dyn Stop) -> Outcome {
        self.begin(attempt, report, stop).await
    }

    async fn observe(&self, attempt: &Attempt, report: &dyn Reporter, stop: &dyn Stop) -> Observed {
        match self.adopt(attempt, report, stop).await {
            // Nothing of it counts: the snapshot is written last. It starts over, for the same intended time.
            Some((_, ActEnd::Unknown)) | None => Observed::NotBegun,
            Some((outcome, _)) => Observed::Ended(outcome),
        }
    }
}

#[cfg(test)]
mod tests;
