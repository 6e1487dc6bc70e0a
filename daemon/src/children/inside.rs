//! Inside the child: reads its order, does it, and leaves a word about how it ended.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Command, ExitCode, Stdio},
    sync::mpsc,
    time::Duration,
};

use events::ActEnd;
use outbound::child::{ChildEnd, ChildTask};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Most output kept of a command, its end.
pub(super) const OUTPUT_MAX: usize = 4096;

/// What the daemon left for the child to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) task: ChildTask,
    pub(super) deadline_ms: u64,
}

/// Writes a file so that it is there whole, or not at all, after a power cut too.
pub(super) fn write_whole(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let passing = directory.join(format!("{name}.tmp"));
    let mut file = File::create(&passing)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&passing, directory.join(name))?;
    store::sync_directory(directory)
}

/// The child's main: `watchkeep child DIRECTORY`.
pub(crate) fn main(directory: &Path) -> ExitCode {
    match work(directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn work(directory: &Path) -> io::Result<()> {
    let order: Order = serde_json::from_slice(&std::fs::read(directory.join("task"))?)?;
    let begun = Instant::now();
    write_whole(directory, "started", &serde_json::to_vec(&std::process::id())?)?;
    let deadline = Duration::from_millis(order.deadline_ms);
    let repeated = matches!(&order.task, ChildTask::Command { once: true, .. }) && !is_first_time(directory)?;
    let (ended, output) = match &order.task {
        _ if repeated => (ActEnd::Unknown, "it was begun before and is not begun again".to_owned()),
        ChildTask::Command {
            argv,
            environment,
            directory: place,
            ..
        } => command(argv, environment, place.as_deref(), deadline),
        ChildTask::Backup { request } => backup_task(directory, request, deadline)?,
    };
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let end = ChildEnd {
        pid: std::process::id(),
        ended,
        took_ms,
        output,
    };
    write_whole(directory, "rc", &serde_json::to_vec(&end)?)
}

/// Leaves a mark beside the run directory that outlives it; false when there was one. It is on disk before the act is.
fn is_first_time(directory: &Path) -> io::Result<bool> {
    let mark = super::mark_of(directory);
    match OpenOptions::new().write(true).create_new(true).open(&mark) {
        Ok(file) => file.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    }
    store::sync_directory(mark.parent().unwrap_or(directory))?;
    Ok(true)
}

/// Runs a command in a process group of its own and ends the group at the deadline.
fn command(
    argv: &[String],
    environment: &[(String, String)],
    place: Option<&str>,
    deadline: Duration,
) -> (ActEnd, String) {
    let Some((program, arguments)) = argv.split_first() else {
        return (
            ActEnd::NotStarted {
                why: "no program is given".to_owned(),
            },
            String::new(),
        );
    };
    let spawned = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(place.unwrap_or("/"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            return (
                ActEnd::NotStarted {
                    why: format!("{program}: {error}"),
                },
                String::new(),
            );
        }
    };
    let (sender, chunks) = mpsc::sync_channel(16);
    let readers = [
        child.stdout.take().map(|out| drain(out, sender.clone())),
        child.stderr.take().map(|err| drain(err, sender)),
    ];
    let group = child.id();
    let until = Instant::now() + deadline;
    let mut tail = Vec::new();
    let mut ended = None;
    while ended.is_none() {
        take_chunk(&chunks, Duration::from_millis(20), &mut tail);
        ended = match child.try_wait() {
            Ok(Some(status)) => Some(status.code().map_or_else(
                || ActEnd::Signal {
                    signal: status.signal().unwrap_or(0),
                },
                |code| ActEnd::Exit { code },
            )),
            Ok(None) if Instant::now() >= until => Some(ActEnd::Deadline),
            Ok(None) => None,
            Err(error) => Some(ActEnd::NotStarted { why: error.to_string() }),
        };
    }
    if ended == Some(ActEnd::Deadline) {
        super::end_group(group, || {
            rustix::process::Pid::from_raw(i32::try_from(group).unwrap_or(0))
                .is_none_or(|pid| rustix::process::test_kill_process_group(pid).is_err())
        });
        let _ = child.wait();
    }
    // What the command left running may hold the pipes open: its output is not waited for.
    while readers.iter().flatten().any(|reader| !reader.is_finished())
        && take_chunk(&chunks, Duration::from_millis(200), &mut tail)
    {}
    while take_chunk(&chunks, Duration::ZERO, &mut tail) {}
    (ended.unwrap_or(ActEnd::Unknown), printable(&tail))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the child is a process of its own; the thread ends with the pipe"
)]
fn drain(mut from: impl Read + Send + 'static, into: mpsc::SyncSender<Vec<u8>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if into.send(buffer.get(..read).unwrap_or_default().to_vec()).is_err() {
                return;
            }
        }
    })
}

/// Takes one piece of output, keeping the end only; false when none came in time.
fn take_chunk(chunks: &mpsc::Receiver<Vec<u8>>, wait: Duration, tail: &mut Vec<u8>) -> bool {
    let Ok(chunk) = chunks.recv_timeout(wait) else {
        return false;
    };
    tail.extend(chunk);
    let surplus = tail.len().saturating_sub(OUTPUT_MAX);
    tail.drain(..surplus);
    true
}

/// Text of output: no control characters but line ends.
pub(super) fn printable(bytes: &[u8]) -> String {
    let clean = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    String::from_utf8_lossy(bytes).chars().map(clean).collect()
}

#[expect(
    clippy::disallowed_methods,
    clippy::exit,
    reason = "the library cannot be cancelled: past its deadline the process is the unit that ends"
)]
/// Runs a backup task, its report going line by line into the run directory. Past its deadline the process ends itself:
/// the snapshot is written last, so nothing of it counts.
fn backup_task(directory: &Path, request: &str, deadline: Duration) -> io::Result<(ActEnd, String)> {
    let report = OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join("report"))?;
    let (done, watchdog) = mpsc::sync_channel::<()>(1);
    std::thread::spawn(move || {
        if watchdog.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout) {
            std::process::exit(3);
        }
    });
    let mut report = report;
    let mut line = |text: &str| {
        report
            .write_all(format!("{text}\n").as_bytes())
            .and_then(|()| report.sync_data())
    };
    let answer = crate::keeping::run_task(request, &mut line)?;
    let _ = done.send(());
    Ok((ActEnd::Exit { code: 0 }, answer))
}
