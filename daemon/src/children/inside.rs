//! Inside the child: reads its order, does it, and leaves a word about how it ended.

mod command;

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::mpsc,
    time::Duration,
};

use events::{ActEnd, Clocks};
use outbound::child::{ChildEnd, ChildTask};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    directory::{RunDirectory, Started},
    overdue,
};
use crate::clock::MachineClocks;

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
    let started = Started {
        pid: std::process::id(),
        ticks: overdue::own_ticks(),
        boot_ns: MachineClocks::new().now().boot.0,
    };
    write_whole(directory, "started", &serde_json::to_vec(&started)?)?;
    let deadline = Duration::from_millis(order.deadline_ms);
    let mut left = None;
    let repeated = matches!(&order.task, ChildTask::Command { once: true, .. }) && !is_first_time(directory)?;
    let (ended, output) = match &order.task {
        _ if repeated => (ActEnd::Unknown, "it was begun before and is not begun again".to_owned()),
        ChildTask::Command {
            argv,
            environment,
            directory: place,
            ..
        } => {
            let ran = command::run(argv, environment, place.as_deref(), deadline);
            left = ran.output;
            (ran.ended, ran.printed)
        }
        ChildTask::Backup { request } => backup_task(directory, request, deadline)?,
    };
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let end = ChildEnd {
        pid: std::process::id(),
        ended,
        took_ms,
        output,
    };
    write_whole(directory, "rc", &serde_json::to_vec(&end)?)?;
    if let Some(output) = left {
        // It ended and said how: nobody waits for us while we read what it left running.
        let _ = flock(io::stdin(), FlockOperation::Unlock);
        output.read_on();
    }
    Ok(())
}

/// Leaves a mark beside the run directory that outlives it; false when there was one. It is on disk before the act is.
fn is_first_time(directory: &Path) -> io::Result<bool> {
    let mark = RunDirectory::new(directory.to_owned()).mark();
    match OpenOptions::new().write(true).create_new(true).open(&mark) {
        Ok(file) => file.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    }
    store::sync_directory(mark.parent().unwrap_or(directory))?;
    Ok(true)
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
    let own = directory.to_owned();
    std::thread::spawn(move || {
        if watchdog.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout) {
            // A word about why, as far as the disk takes it.
            let _ = write_whole(&own, "overdue", b"{}");
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
