//! The command of an act: in a process group of its own, which ends at the deadline.

use std::{
    io::{self, PipeReader, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use events::ActEnd;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::time::Instant;

use super::{super::GRACE, OUTPUT_MAX, printable};

/// How often a command is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long in all output is waited for after the end: what the command left running may go on printing for ever.
const REST: Duration = Duration::from_millis(200);

/// What came of a command.
pub(super) struct Ran {
    /// How it ended.
    pub(super) ended: ActEnd,
    /// The end of its output.
    pub(super) printed: String,
    /// What it left running may still print here.
    pub(super) output: Option<Output>,
}

/// Runs a command and ends its group at the deadline.
pub(super) fn run(argv: &[String], environment: &[(String, String)], place: Option<&str>, deadline: Duration) -> Ran {
    let (mut child, output) = match spawn(argv, environment, place) {
        Ok(spawned) => spawned,
        Err(why) => {
            return Ran {
                ended: ActEnd::NotStarted { why },
                printed: String::new(),
                output: None,
            };
        }
    };
    let ended = wait(&mut child, deadline);
    if ended == ActEnd::Deadline {
        end_group(child.id());
        let _ = child.wait();
    }
    Ran {
        ended,
        printed: output.rest(),
        output: Some(output),
    }
}

fn spawn(argv: &[String], environment: &[(String, String)], place: Option<&str>) -> Result<(Child, Output), String> {
    let (program, arguments) = argv.split_first().ok_or("no program is given")?;
    let failed = |error: io::Error| format!("{program}: {error}");
    let (reader, writer) = io::pipe().map_err(failed)?;
    let output = Output::of(reader).map_err(failed)?;
    // The other end is the command's alone once this statement is over.
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(place.unwrap_or("/"))
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(failed)?)
        .stderr(writer)
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    Ok((child, output))
}

#[expect(
    clippy::disallowed_methods,
    reason = "inside the child there is no runtime to wait with"
)]
fn wait(child: &mut Child, deadline: Duration) -> ActEnd {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return end_of(status),
            Ok(None) if begun.elapsed() >= deadline => return ActEnd::Deadline,
            Ok(None) => std::thread::sleep(LOOK),
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
pub(super) struct Output {
    tail: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Output {
    /// Reads until nobody can write any more, whatever comes: a command must neither wait for us nor break on us.
    fn of(mut from: PipeReader) -> io::Result<Self> {
        let tail = Arc::<Mutex<Vec<u8>>>::default();
        let into = Arc::clone(&tail);
        let read_on = move || {
            let mut buffer = [0; OUTPUT_MAX];
            loop {
                match from.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(read) => keep(&into, buffer.get(..read).unwrap_or_default()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        };
        let reader = std::thread::Builder::new().name("output".to_owned()).spawn(read_on)?;
        Ok(Self { tail, reader })
    }

    /// What was printed up to now; what is still on its way is waited for, but not for long.
    #[expect(
        clippy::disallowed_methods,
        reason = "inside the child there is no runtime to wait with"
    )]
    fn rest(&self) -> String {
        let ended = Instant::now();
        while !self.reader.is_finished() && ended.elapsed() < REST {
            std::thread::sleep(LOOK / 10);
        }
        printable(&self.tail.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads on, to nowhere, as long as somebody may write: who prints to a pipe that nobody reads is killed.
    pub(super) fn read_on(self) {
        let _ = self.reader.join();
    }
}

fn keep(tail: &Mutex<Vec<u8>>, piece: &[u8]) {
    let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
    tail.extend(piece);
    let surplus = tail.len().saturating_sub(OUTPUT_MAX);
    tail.drain(..surplus);
}
