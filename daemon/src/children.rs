//! Children: acts and backups in processes of their own, which a crash of the daemon does not end.
//!
//! A run directory `runs/ID` holds the lock that the child inherits as its standard input (std opens everything else
//! close-on-exec), the task, what the child began (`started`), what it reports (`report`) and how it ended (`rc`).
//! Lock held = still running; `rc` = the outcome; neither = gone without a word.

pub(crate) mod inside;

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use async_trait::async_trait;
use events::{ActEnd, JobId, Stop};
use outbound::child::{ChildEnd, ChildTask, Children, Found, Lines};
use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, Signal, kill_process_group},
};

/// How often a running child is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long a child has after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// Longest report line; what is beyond is cut.
const LINE_MAX: usize = 64 * 1024;

/// Runs children as re-executed copies of this binary.
pub(crate) struct RunDirectories {
    runs: PathBuf,
}

impl RunDirectories {
    /// Children under a folder that exists.
    #[must_use]
    pub(crate) fn new(runs: PathBuf) -> Self {
        Self { runs }
    }

    /// Removes the run directories of jobs that came to their end, when the process that should have was killed first.
    pub(crate) fn sweep(&self, waiting: &BTreeSet<String>) {
        let Ok(entries) = std::fs::read_dir(&self.runs) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "begun") {
                let is_wanted = path
                    .file_stem()
                    .and_then(|name| name.to_str())
                    .is_some_and(|name| waiting.contains(name));
                if !is_wanted && let Err(error) = std::fs::remove_file(&path) {
                    tracing::warn!(mark = %path.display(), %error, "remove the mark of an ended act");
                }
                continue;
            }
            let is_wanted = entry.file_name().to_str().is_some_and(|name| waiting.contains(name));
            if is_wanted || is_locked(&entry.path()).unwrap_or(true) {
                continue;
            }
            if let Err(error) = std::fs::remove_dir_all(entry.path()) {
                tracing::warn!(directory = %entry.path().display(), %error, "remove the run directory of an ended job");
            }
        }
    }

    fn directory(&self, job: JobId) -> PathBuf {
        self.runs.join(job.to_string())
    }

    /// Starts the child, unless it was begun before.
    fn begin(&self, job: JobId, task: &ChildTask, deadline: Duration) -> io::Result<Option<tokio::process::Child>> {
        let directory = self.directory(job);
        if directory.join("started").exists() || mark_of(&directory).exists() || is_locked(&directory)? {
            return Ok(None);
        }
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .mode(0o600)
            .open(directory.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let order = inside::Order {
            task: task.clone(),
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
        };
        inside::write_whole(&directory, "task", &serde_json::to_vec(&order)?)?;
        store::sync_directory(&self.runs)?;
        let log = File::create(directory.join("log"))?;
        // A group of its own: what ends the daemon from a terminal does not end the child.
        let child = tokio::process::Command::new(crate::OWN_BINARY)
            .arg0(std::env::current_exe()?)
            .arg("child")
            .arg(&directory)
            .stdin(Stdio::from(lock))
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .process_group(0)
            .kill_on_drop(false)
            .spawn()?;
        Ok(Some(child))
    }
}

/// The mark of an act that was begun, beside its run directory: whatever becomes of that, the act is not begun again.
fn mark_of(directory: &Path) -> PathBuf {
    directory.with_extension("begun")
}

/// Whether somebody holds the lock of a run directory.
fn is_locked(directory: &Path) -> io::Result<bool> {
    let file = match OpenOptions::new().read(true).write(true).open(directory.join("lock")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn read_json<T: serde::de::DeserializeOwned>(directory: &Path, name: &str) -> Option<T> {
    serde_json::from_slice(&std::fs::read(directory.join(name)).ok()?).ok()
}

fn find(directory: &Path) -> Found {
    // The order matters: a child writes `rc` before it lets go of the lock.
    if is_locked(directory).unwrap_or(true) {
        return Found::Running;
    }
    if let Some(end) = read_json(directory, "rc") {
        return Found::Ended(end);
    }
    if directory.join("started").exists() || mark_of(directory).exists() {
        Found::Lost
    } else {
        Found::NeverBegun
    }
}

/// Gone without a word; what it wrote to its log is all there is.
fn lost(directory: &Path) -> ChildEnd {
    let log = std::fs::read(directory.join("log")).unwrap_or_default();
    let tail = log
        .get(log.len().saturating_sub(inside::OUTPUT_MAX)..)
        .unwrap_or_default();
    ChildEnd {
        pid: 0,
        ended: ActEnd::Unknown,
        took_ms: 0,
        output: inside::printable(tail),
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
    /// Hands over the whole lines that are there; stops at the first that is not taken.
    async fn pass_on(&mut self, lines: &dyn Lines) -> bool {
        if let Ok(mut file) = File::open(&self.path) {
            let mut read = Vec::new();
            let more = file
                .seek(SeekFrom::Start(self.offset))
                .and_then(|_| file.take(1 << 20).read_to_end(&mut read));
            if more.is_ok() {
                self.offset += read.len() as u64;
                self.rest.append(&mut read);
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
        true
    }
}

#[async_trait]
impl Children for RunDirectories {
    async fn find(&self, job: JobId) -> Found {
        find(&self.directory(job))
    }

    async fn run(
        &self,
        job: JobId,
        task: &ChildTask,
        deadline: Duration,
        lines: &dyn Lines,
        stop: &dyn Stop,
    ) -> Option<ChildEnd> {
        let directory = self.directory(job);
        let mut child = match self.begin(job, task, deadline) {
            Ok(child) => child,
            Err(error) => {
                let ended = ActEnd::NotStarted { why: error.to_string() };
                return Some(ChildEnd {
                    pid: 0,
                    ended,
                    took_ms: 0,
                    output: String::new(),
                });
            }
        };
        let mut report = Report {
            path: directory.join("report"),
            offset: 0,
            rest: Vec::new(),
            next: 0,
        };
        loop {
            // Reaps it; the truth is in the directory.
            if let Some(child) = &mut child {
                let _ = child.try_wait();
            }
            let found = find(&directory);
            let passed = report.pass_on(lines).await;
            match found {
                Found::Ended(end) if passed => return Some(end),
                Found::Lost if passed => return Some(lost(&directory)),
                Found::NeverBegun => {
                    let end = lost(&directory);
                    let ended = ActEnd::NotStarted {
                        why: format!("the helper process did not begin: {}", end.output.trim()),
                    };
                    return Some(ChildEnd { ended, ..end });
                }
                _ => {}
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.stopped() => return None,
            }
        }
    }

    async fn forget(&self, job: JobId) {
        let directory = self.directory(job);
        if is_locked(&directory).unwrap_or(true) || !directory.exists() {
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(&directory) {
            tracing::warn!(%job, %error, "remove the run directory of a job");
        }
    }
}

/// Ends a process group: asks, waits, kills. For children that are past their deadline.
#[expect(
    clippy::disallowed_methods,
    reason = "inside the child there is no runtime to wait with"
)]
fn end_group(group: u32, gone: impl Fn() -> bool) {
    let Some(pid) = i32::try_from(group).ok().and_then(Pid::from_raw) else {
        return;
    };
    let _ = kill_process_group(pid, Signal::TERM);
    let until = tokio::time::Instant::now() + GRACE;
    while !gone() && tokio::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = kill_process_group(pid, Signal::KILL);
}
