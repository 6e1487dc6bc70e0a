//! The command of an act: in a process group of its own, which ends at the deadline.

use std::{
    io::Read,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::Duration,
};

use events::ActEnd;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::time::Instant;

use super::{super::GRACE, OUTPUT_MAX, printable};

/// How often a command is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long output is waited for after the end: what the command left running may hold the pipes open.
const REST: Duration = Duration::from_millis(200);

/// Runs a command and ends its group at the deadline; how it ended, and the end of its output.
pub(super) fn run(
    argv: &[String],
    environment: &[(String, String)],
    place: Option<&str>,
    deadline: Duration,
) -> (ActEnd, String) {
    let mut child = match spawn(argv, environment, place) {
        Ok(child) => child,
        Err(why) => return (ActEnd::NotStarted { why }, String::new()),
    };
    let mut output = Output::of(&mut child);
    let ended = wait(&mut child, deadline, &mut output);
    if ended == ActEnd::Deadline {
        end_group(child.id());
        let _ = child.wait();
    }
    (ended, output.rest())
}

fn spawn(argv: &[String], environment: &[(String, String)], place: Option<&str>) -> Result<Child, String> {
    let (program, arguments) = argv.split_first().ok_or("no program is given")?;
    Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(place.unwrap_or("/"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("{program}: {error}"))
}

fn wait(child: &mut Child, deadline: Duration, output: &mut Output) -> ActEnd {
    let begun = Instant::now();
    loop {
        output.take(LOOK);
        match child.try_wait() {
            Ok(Some(status)) => return end_of(status),
            Ok(None) if begun.elapsed() >= deadline => return ActEnd::Deadline,
            Ok(None) => {}
            // It was started, and nobody can ask any more.
            Err(_) => return ActEnd::Unknown,
        }
    }
}

fn end_of(status: ExitStatus) -> ActEnd {
    let signal = || ActEnd::Signal {
        signal: status.signal().unwrap_or(0),
    };
    status.code().map_or_else(signal, |code| ActEnd::Exit { code })
}

/// Ends a process group: asks, waits, kills.
#[expect(
    clippy::disallowed_methods,
    reason = "inside the child there is no runtime to wait with"
)]
fn end_group(group: u32) {
    let Some(group) = i32::try_from(group).ok().and_then(Pid::from_raw) else {
        return;
    };
    let _ = kill_process_group(group, Signal::TERM);
    let asked = Instant::now();
    while test_kill_process_group(group).is_ok() && asked.elapsed() < GRACE {
        std::thread::sleep(LOOK);
    }
    let _ = kill_process_group(group, Signal::KILL);
}

/// What a command prints, as far as it is kept: its end.
struct Output {
    chunks: mpsc::Receiver<Vec<u8>>,
    readers: Vec<std::thread::JoinHandle<()>>,
    tail: Vec<u8>,
}

impl Output {
    fn of(child: &mut Child) -> Self {
        let (sender, chunks) = mpsc::sync_channel(16);
        let out = child.stdout.take().map(|out| drain(out, sender.clone()));
        let err = child.stderr.take().map(|err| drain(err, sender));
        Self {
            chunks,
            readers: out.into_iter().chain(err).collect(),
            tail: Vec::new(),
        }
    }

    /// Takes one piece; false when none came in time.
    fn take(&mut self, wait: Duration) -> bool {
        let Ok(chunk) = self.chunks.recv_timeout(wait) else {
            return false;
        };
        self.tail.extend(chunk);
        let surplus = self.tail.len().saturating_sub(OUTPUT_MAX);
        self.tail.drain(..surplus);
        true
    }

    fn rest(mut self) -> String {
        while self.readers.iter().any(|reader| !reader.is_finished()) && self.take(REST) {}
        while self.take(Duration::ZERO) {}
        printable(&self.tail)
    }
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
