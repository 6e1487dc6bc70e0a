//! Children: acts and backups in processes of their own, which a crash of the daemon does not end.
//!
//! A run directory `runs/ID` holds the lock that the child inherits as its standard input (std opens everything else
//! close-on-exec), the task, what the child began (`started`), what it reports (`report`), that its time ran out
//! (`overdue`) and how it ended (`rc`). Lock held = still running; `rc` = the outcome; neither = gone without a word.
//! A helper whose command left something running that prints stays, without the lock, and reads that.

mod directory;
pub(crate) mod inside;
mod overdue;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use async_trait::async_trait;
use events::{ActEnd, JobId, Stop};
use outbound::child::{ChildEnd, ChildTask, Children, Followed, Found, Lines};

use self::{
    directory::{Entry, RunDirectory, entry},
    overdue::Watch,
};

/// How often a running child is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long what a child runs has after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// Longest report line; what is beyond is cut.
const LINE_MAX: usize = 64 * 1024;
/// Most of a report that is read at once.
const PIECE_MAX: u64 = 1 << 20;

/// Runs children as re-executed copies of this binary.
pub struct RunDirectories {
    runs: PathBuf,
    program: PathBuf,
}

impl RunDirectories {
    /// Children under a folder that exists, as processes of a program that does what `watchkeep child DIRECTORY` does.
    #[must_use]
    pub fn new(runs: PathBuf, program: &Path) -> Self {
        Self {
            runs,
            program: program.to_owned(),
        }
    }

    /// Removes what was left of jobs that came to their end, when the process that should have was killed first.
    pub async fn sweep(&self, waiting: &BTreeSet<String>) {
        let Ok(entries) = std::fs::read_dir(&self.runs) else {
            return;
        };
        let mut marks = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            let swept = match entry(&path) {
                Some(Entry::Run(job)) if !waiting.contains(&job) => RunDirectory::new(path.clone()).remove().await,
                Some(Entry::Gone) => std::fs::remove_dir_all(&path).map(|()| true),
                Some(Entry::Mark(job)) if !waiting.contains(&job) => {
                    marks.push((self.runs.join(job), path));
                    continue;
                }
                _ => continue,
            };
            if let Err(error) = swept {
                tracing::warn!(path = %path.display(), %error, "remove what was left of an ended job");
            }
        }
        // A mark goes last: as long as anything of its act is there, it says that it was begun.
        for (_, mark) in marks.iter().filter(|(directory, _)| !directory.exists()) {
            if let Err(error) = std::fs::remove_file(mark) {
                tracing::warn!(mark = %mark.display(), %error, "remove the mark of an ended act");
            }
        }
    }

    fn directory(&self, job: JobId) -> RunDirectory {
        RunDirectory::new(self.runs.join(job.to_string()))
    }

    /// Starts the child, unless it was begun before. All of it under the lock, and that very lock goes to the child: from
    /// before the decision until the child's end there is no moment at which nobody holds it.
    async fn begin(
        &self,
        job: JobId,
        task: &ChildTask,
        deadline: Duration,
    ) -> io::Result<Option<tokio::process::Child>> {
        let directory = self.directory(job);
        directory.make()?;
        let Some(lock) = directory.take().await? else {
            return Ok(None);
        };
        if directory.left()? != Found::NeverBegun {
            return Ok(None);
        }
        directory.prepare(&inside::Order {
            task: task.clone(),
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
        })?;
        store::sync_directory(&self.runs)?;
        let log = File::create(directory.path().join("log"))?;
        // A group of its own: what ends the daemon from a terminal does not end the child.
        let child = tokio::process::Command::new(&self.program)
            .arg0(std::env::current_exe()?)
            .arg("child")
            .arg(directory.path())
            .stdin(Stdio::from(lock))
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .process_group(0)
            .kill_on_drop(false)
            .spawn()?;
        Ok(Some(child))
    }
}

/// Reads what a child reports, line by line, from the first one on.
struct Report {
    path: PathBuf,
    offset: u64,
    rest: Vec<u8>,
    next: usize,
}

impl Report {
    fn of(directory: &RunDirectory) -> Self {
        Self {
            path: directory.path().join("report"),
            offset: 0,
            rest: Vec::new(),
            next: 0,
        }
    }

    /// Hands over the whole lines that are there; false when there may be more, or one was not taken.
    async fn pass_on(&mut self, lines: &dyn Lines) -> bool {
        let mut more = false;
        if let Ok(mut file) = File::open(&self.path) {
            let mut piece = Vec::new();
            let read = file
                .seek(SeekFrom::Start(self.offset))
                .and_then(|_| file.take(PIECE_MAX).read_to_end(&mut piece));
            if read.is_ok() {
                more = piece.len() as u64 == PIECE_MAX;
                self.offset += piece.len() as u64;
                self.rest.append(&mut piece);
            }
        }
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(self.rest.get(..end.min(LINE_MAX)).unwrap_or_default()).into_owned();
            if !lines.line(self.next, &text).await {
                return false;
            }
            self.rest.drain(..=end);
            self.next += 1;
        }
        !more
    }
}

#[async_trait]
impl Children for RunDirectories {
    async fn find(&self, job: JobId) -> Found {
        let directory = self.directory(job);
        directory.find().unwrap_or_else(|error| {
            untold(&directory, &error);
            Found::Running
        })
    }

    async fn follow(&self, job: JobId, lines: &dyn Lines, stop: &dyn Stop) -> Followed {
        let directory = self.directory(job);
        let (mut report, mut watch) = (Report::of(&directory), Watch::new());
        let mut is_told = false;
        loop {
            // First how it stands, then what it reported: nothing is reported after the end.
            let found = directory.find().unwrap_or_else(|error| {
                if !std::mem::replace(&mut is_told, true) {
                    untold(&directory, &error);
                }
                Found::Running
            });
            let passed = report.pass_on(lines).await;
            match found {
                Found::Ended(end) if passed => return Followed::Ended(end),
                Found::Lost if passed => return Followed::Ended(directory.lost()),
                Found::NeverBegun => return Followed::NeverBegun,
                Found::Running => {
                    if let Some(end) = watch.look(&directory) {
                        return Followed::Ended(end);
                    }
                }
                _ => {}
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.stopped() => return Followed::Stopped,
            }
        }
    }

    async fn run(
        &self,
        job: JobId,
        task: &ChildTask,
        deadline: Duration,
        lines: &dyn Lines,
        stop: &dyn Stop,
    ) -> Option<ChildEnd> {
        // The handle is kept for reaping only. What became of the child is in the directory, also when an error came after
        // the process was made.
        let begun = self.begin(job, task, deadline).await;
        match self.follow(job, lines, stop).await {
            Followed::Ended(end) => Some(end),
            Followed::Stopped => None,
            Followed::NeverBegun => {
                let end = self.directory(job).lost();
                let why = match &begun {
                    Err(error) => error.to_string(),
                    Ok(_) => format!("the helper process did not begin: {}", end.output.trim()),
                };
                Some(ChildEnd {
                    ended: ActEnd::NotStarted { why },
                    ..end
                })
            }
        }
    }

    async fn forget(&self, job: JobId) {
        if let Err(error) = self.directory(job).remove().await {
            tracing::warn!(%job, %error, "remove the run directory of a job");
        }
    }
}

/// A directory that cannot be looked at may have a child that lives.
fn untold(directory: &RunDirectory, error: &io::Error) {
    tracing::warn!(directory = %directory.path().display(), %error, "look for a child; it is taken to live");
}
