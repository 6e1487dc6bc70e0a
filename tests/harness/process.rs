//! A program of the test's own: in its own process group, its output in a file, gone when the value is dropped.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A started program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in its own process group, with both outputs appended to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap_or_else(|error| panic!("open {}: {error}", log.display()));
        let name = Path::new(command.get_program())
            .file_name()
            .and_then(OsStr::to_str)
            .unwrap_or("program")
            .to_owned();
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        Self {
            name,
            child,
            log: log.to_owned(),
        }
    }

    /// Its process id, which is also its group's.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it has printed so far, both outputs together.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until the log holds `text`, and gives the line with it; fails early if the program ends.
    pub fn wait_for_line(&mut self, text: &str, limit: Duration) -> String {
        let what = format!("{:?} in the log of {}", text, self.name);
        crate::wait::until(&what, limit, || {
            let found = self
                .log()
                .lines()
                .find(|line| line.contains(text))
                .map(ToOwned::to_owned);
            if found.is_none() {
                self.assert_running();
            }
            found
        })
    }

    /// Waits until it accepts connections on this loopback port; fails early if the program ends.
    pub fn wait_for_port(&mut self, port: u16, limit: Duration) {
        let what = format!("{} to accept on port {port}", self.name);
        crate::wait::until(&what, limit, || {
            self.assert_running();
            crate::ports::answers(crate::ports::local(port)).then_some(())
        });
    }

    /// Fails the test, with the log, if the program has ended.
    pub fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} ended with {status}:\n{}", self.name, self.log());
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal to the program alone, not to its group.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap_or_else(|error| panic!("signal {}: {error}", self.name));
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        crate::wait::until(&what, limit, || self.child.try_wait().unwrap())
    }

    /// Asks it to end (SIGTERM) and waits for it.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    /// kill -9 of the program alone: children in groups of their own live on, as after a crash.
    pub fn kill(&mut self) {
        if self.is_running() {
            self.signal(Signal::KILL);
        }
        self.child.wait().unwrap();
    }

    /// Resident memory in KiB, from `/proc`.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        status_field(self.id(), "VmRSS:")
    }

    /// The largest resident memory so far in KiB, from `/proc`.
    #[must_use]
    pub fn resident_kib_peak(&self) -> u64 {
        status_field(self.id(), "VmHWM:")
    }

    /// CPU time used so far, user and system together.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        let after = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 = after
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Duration::from_millis(ticks * 10)
    }
}

fn status_field(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group may be gone already, or hold only children: both are fine. The log stays for the failure's reader.
        let _gone = kill_process_group(self.pid(), Signal::KILL);
        let _ended = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}", self.name, tail(&self.log(), 80));
        }
    }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..)
        .unwrap_or_default()
        .join("\n")
}
