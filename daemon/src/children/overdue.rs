//! The deadline of a child, kept from outside: one that hangs, or that somebody stopped, cannot keep it itself.
//!
//! A process is signalled only while the lock of its run directory is held and its number still has the start that the
//! child wrote down: a number that was given to somebody else is left alone.

use std::{fs, time::Duration};

use events::Clocks;
use outbound::child::ChildEnd;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::Instant;

use super::{GRACE, directory::RunDirectory, inside};
use crate::clock::MachineClocks;

/// A child ends itself at its deadline, with what it runs, and has its own grace and some more for that.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a child is given of which nobody can read how long it was: as long as anything may take.
const UNKNOWN: Duration = Duration::from_hours(24);
/// How long after it was killed a child is waited for: one that the kernel does not let go must not hold up its queue.
const GIVEN_UP: Duration = Duration::from_secs(30);

/// Watches the time of one child.
pub(super) struct Watch {
    since: Instant,
    /// How old it was at the first look, and how long it was given.
    known: Option<(Duration, Duration)>,
    asked: Option<Instant>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            known: None,
            asked: None,
        }
    }

    /// Looks at a child that lives, and ends it when it is past its deadline. An answer means that it is waited for no longer:
    /// it was killed and does not end.
    pub(super) fn look(&mut self, directory: &RunDirectory) -> Option<ChildEnd> {
        if self.known.is_none() {
            self.known = directory.limit().map(|limit| (age(directory), limit));
        }
        let (age, limit) = self.known.unwrap_or((Duration::ZERO, UNKNOWN));
        if age.saturating_add(self.since.elapsed()) < limit.saturating_add(PATIENCE) {
            return None;
        }
        let Some(asked) = self.asked else {
            tracing::warn!(directory = %directory.path().display(), "a child is past its deadline and is ended");
            self.asked = Some(Instant::now());
            // First of all: whatever becomes of us, it ended by its deadline.
            if let Err(error) = inside::write_whole(directory.path(), "overdue", b"{}") {
                tracing::warn!(directory = %directory.path().display(), %error, "note that a child is ended");
            }
            end(directory, Signal::TERM);
            return None;
        };
        if asked.elapsed() < GRACE {
            return None;
        }
        end(directory, Signal::KILL);
        (asked.elapsed() >= GRACE + GIVEN_UP)
            .then(|| directory.overdue("\nit was killed, and its process does not end"))
    }
}

/// How old the child is, by the boot clock.
fn age(directory: &RunDirectory) -> Duration {
    let now = MachineClocks::new().now().boot.0;
    directory.started().map_or(Duration::ZERO, |started| {
        Duration::from_nanos(u64::try_from(now.saturating_sub(started.boot_ns)).unwrap_or(0))
    })
}

/// Signals the groups of what the child runs; the child itself, which has nothing to put in order, is only killed.
fn end(directory: &RunDirectory, signal: Signal) {
    let Some(started) = directory.started() else { return };
    let Some(child) = process(started.pid).filter(|child| child.ticks == started.ticks) else {
        return;
    };
    let own = all().into_iter().filter(|process| process.parent == child.pid);
    for process in own.filter(|process| process.group != child.group) {
        signal_group(process.group, signal);
    }
    if signal == Signal::KILL {
        signal_group(child.group, signal);
    }
}

fn signal_group(group: i32, signal: Signal) {
    let Some(group) = Pid::from_raw(group) else { return };
    if let Err(error) = kill_process_group(group, signal) {
        tracing::debug!(%error, "signal a process group");
    }
}

struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    ticks: u64,
}

fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| process(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// A process by its number. Source: `proc_pid_stat(5)`; the name, which may hold anything, stands in brackets.
fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    Some(Process {
        pid: i32::try_from(pid).ok()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        ticks: fields.get(19)?.parse().ok()?,
    })
}

/// When this very process was made, in ticks since boot.
pub(super) fn own_ticks() -> u64 {
    process(std::process::id()).map_or(0, |process| process.ticks)
}
