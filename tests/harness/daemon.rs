//! The daemon under test: its configuration, its life and deaths, its command line and its API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use toml::{Table, Value as Toml};

use crate::certificate::Certificate;
use crate::http::{self, Message, Request};
use crate::{Process, ports, tools, wait};

/// How long a start may take.
const START: Duration = Duration::from_secs(30);

/// What a daemon is started with.
type Prepare = Box<dyn Fn(&mut Command) + Send>;

/// A daemon to be started: write the configuration, then [`Setup::start`].
pub struct Setup {
    folder: PathBuf,
    configuration: Table,
    port: u16,
    launcher: Option<Command>,
    prepare: Vec<Prepare>,
    environment: Vec<(String, String)>,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup")
            .field("folder", &self.folder)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Setup {
    /// A daemon that keeps everything under `folder`. `store.path` and `web.listen` are added to the configuration unless it
    /// says them.
    #[must_use]
    pub fn new(folder: &Path, configuration: &str) -> Self {
        let configuration: Table = configuration
            .parse()
            .unwrap_or_else(|error| panic!("the story's configuration: {error}"));
        let port = ports::free();
        let mut setup = Self {
            folder: folder.to_owned(),
            configuration,
            port,
            launcher: None,
            prepare: Vec::new(),
            environment: Vec::new(),
        };
        setup.default("store", "path", folder.join("data").display().to_string());
        setup.default("web", "listen", ports::local(port).to_string());
        let listen = setup.configuration["web"]["listen"]
            .as_str()
            .and_then(|text| text.parse::<SocketAddr>().ok());
        setup.port = listen.expect("web.listen is an address with a port").port();
        setup
    }

    fn default(&mut self, section: &str, key: &str, value: String) {
        let entry = self
            .configuration
            .entry(section)
            .or_insert_with(|| Toml::Table(Table::new()));
        let table = entry.as_table_mut().unwrap_or_else(|| panic!("[{section}] is a table"));
        table.entry(key).or_insert(Toml::String(value));
    }

    /// A variable of the daemon's environment, such as a secret's place. Its command line gets it too.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Trusts the authority of a test's certificate, and no other.
    #[must_use]
    pub fn trust(self, certificate: &Certificate) -> Self {
        self.env("SSL_CERT_FILE", &certificate.authority.display().to_string())
    }

    /// Something to be done to the command at each start of the daemon, such as [`crate::faketime::Clock::apply`].
    #[must_use]
    pub fn prepare(mut self, prepare: impl Fn(&mut Command) + Send + 'static) -> Self {
        self.prepare.push(Box::new(prepare));
        self
    }

    /// Starts the daemon by another program that gets its path and arguments, such as
    /// [`crate::netns::Namespace::command`] of `env`. Readiness is then asked over the socket.
    #[must_use]
    pub fn launcher(mut self, launcher: Command) -> Self {
        self.launcher = Some(launcher);
        self
    }

    /// Writes the configuration and starts the daemon, ready when this returns.
    #[must_use]
    pub fn start(self) -> Daemon {
        let mut daemon = self.stopped();
        daemon.start_again();
        daemon
    }

    /// Writes the configuration only.
    #[must_use]
    pub fn stopped(self) -> Daemon {
        std::fs::create_dir_all(&self.folder).unwrap();
        std::fs::write(
            self.folder.join("watchkeep.toml"),
            toml::to_string(&self.configuration).unwrap(),
        )
        .unwrap();
        Daemon {
            setup: self,
            process: None,
        }
    }
}

/// What a command of the command line did.
#[derive(Debug, Clone)]
pub struct Said {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// A daemon, running or stopped. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    setup: Setup,
    process: Option<Process>,
}

impl Daemon {
    /// A daemon with this configuration, ready.
    #[must_use]
    pub fn start(folder: &Path, configuration: &str) -> Self {
        Setup::new(folder, configuration).start()
    }

    /// Its configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.setup.folder.join("watchkeep.toml")
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.setup.configuration["store"]["path"].as_str().unwrap().into()
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.data().join("watchkeep.sock")
    }

    /// Its TCP address: OTLP, `/livez`, `/readyz`, `/metrics`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ports::local(self.setup.port)
    }

    /// Its own log of all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.setup.folder.join("watchkeep.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The running process; fails the test if it is stopped.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the daemon is running")
    }

    /// Starts it, without waiting for anything.
    pub fn launch(&mut self) {
        assert!(self.process.is_none(), "the daemon is running already");
        let binary = binary();
        let mut command = match &self.setup.launcher {
            None => Command::new(&binary),
            Some(launcher) => {
                let mut command = Command::new(launcher.get_program());
                command.args(launcher.get_args()).arg(&binary);
                command
            }
        };
        command
            .arg("run")
            .arg("--config")
            .arg(self.config_file())
            .current_dir(&self.setup.folder)
            .env_remove("RUNTIME_DIRECTORY");
        command.envs(self.setup.environment.iter().map(|(name, value)| (name, value)));
        for prepare in &self.setup.prepare {
            prepare(&mut command);
        }
        self.process = Some(Process::start(&mut command, &self.setup.folder.join("watchkeep.log")));
    }

    /// Starts it and waits until it is ready.
    pub fn start_again(&mut self) {
        self.launch();
        let (socket, address, by_socket) = (self.socket(), self.address(), self.setup.launcher.is_some());
        let process = self.process();
        wait::until("the daemon to be ready", START, || {
            process.assert_running();
            let ready = Request {
                method: "GET",
                path: "/readyz",
                headers: &[],
                body: b"",
            };
            let answer = if by_socket {
                http::send_to_socket(&socket, &ready)
            } else {
                http::send(address, &ready)
            };
            answer.ok().filter(|answer| answer.status() == 200).map(drop)
        });
    }

    /// Polls `look` with the output of a command in JSON, until it gives a value.
    pub fn wait_for_json<T>(
        &self,
        arguments: &[&str],
        limit: Duration,
        mut look: impl FnMut(&Value) -> Option<T>,
    ) -> T {
        let what = format!("{arguments:?} to say what it should");
        let mut last = String::new();
        let found = wait::try_until(limit, || {
            let said = self.cli(&[arguments, &["--json"]].concat());
            let value = serde_json::from_str::<Value>(&said.out).ok();
            last = format!("{}{}", said.out, said.err);
            value.as_ref().and_then(&mut look)
        });
        found.unwrap_or_else(|| panic!("waited {limit:?} in vain for {what}; last it said:\n{last}"))
    }

    /// SIGTERM; waits for its end and gives how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("the daemon is running");
        process.terminate(Duration::from_secs(30))
    }

    /// kill -9, as by the kernel: nothing is said goodbye to. Its children live on.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// kill -9 and a new start.
    pub fn crash(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Writes another configuration; it holds from the next start or SIGHUP.
    pub fn configure(&mut self, configuration: &str) {
        let mut fresh = Setup::new(&self.setup.folder, configuration);
        for (section, key) in [("store", "path"), ("web", "listen")] {
            let kept = self.setup.configuration[section][key].clone();
            fresh.configuration[section]
                .as_table_mut()
                .unwrap()
                .insert(key.to_owned(), kept);
        }
        self.setup.configuration = fresh.configuration;
        std::fs::write(self.config_file(), toml::to_string(&self.setup.configuration).unwrap()).unwrap();
    }

    /// Runs a command of the command line with `--config` added, and gives what it said.
    pub fn cli(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--config").arg(self.config_file());
        command.envs(self.setup.environment.iter().map(|(name, value)| (name, value)));
        say(command.current_dir(&self.setup.folder).env_remove("RUNTIME_DIRECTORY"))
    }

    /// Runs a command with `--json` and gives its output; fails the test unless it exits 0.
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let said = self.cli(&[arguments, &["--json"]].concat());
        assert_eq!(said.code, 0, "{arguments:?}: {}{}", said.out, said.err);
        serde_json::from_str(&said.out)
            .unwrap_or_else(|error| panic!("{arguments:?} gave no JSON: {error}\n{}", said.out))
    }

    /// A request to the API over the socket.
    pub fn api(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<Message> {
        let headers = [("Content-Type", "application/json")];
        http::send_to_socket(
            &self.socket(),
            &Request {
                method,
                path,
                headers: &headers,
                body,
            },
        )
    }

    /// All facts of these kinds (separated by commas), oldest first, as the timeline shows them.
    #[must_use]
    pub fn facts(&self, kinds: &str) -> Vec<Value> {
        let (mut facts, mut before): (Vec<Value>, Option<u64>) = (Vec::new(), None);
        loop {
            let before_query = before.map_or_else(String::new, |seq| format!("&before={seq}"));
            let path = format!("/api/v1/timeline?limit=1000&kind={kinds}{before_query}");
            let answer = self.api("GET", &path, b"").unwrap();
            assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
            let mut page = answer.json();
            let Value::Array(read) = page["facts"].take() else {
                panic!("{path} gave no facts")
            };
            before = read.last().and_then(|fact| fact["seq"].as_u64());
            facts.extend(read);
            if page["more"] != true || before.is_none() {
                facts.reverse();
                return facts;
            }
        }
    }

    /// Posts OTLP as JSON to the TCP address; `signal` is `traces` or `logs`.
    pub fn otlp(&self, signal: &str, body: &Value) -> std::io::Result<Message> {
        let (path, body) = (format!("/v1/{signal}"), body.to_string());
        let headers = [("Content-Type", "application/json")];
        http::send(
            self.address(),
            &Request {
                method: "POST",
                path: &path,
                headers: &headers,
                body: body.as_bytes(),
            },
        )
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.process = None;
        // Children outlive a daemon on purpose, in groups of their own; the story's end is theirs too.
        kill_leftovers(&self.setup.folder);
    }
}

/// Kills what still runs inside `folder` or was started with a path in it.
fn kill_leftovers(folder: &Path) {
    let own = std::process::id().to_string();
    let wanted = folder.display().to_string();
    for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .filter(|name| **name != own)
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let inside = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|path| path.starts_with(folder));
        let named = std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&wanted));
        let works_for_us = std::fs::read_to_string(entry.path().join("cmdline"))
            .is_ok_and(|line| line.contains("watchkeep-under-test"));
        if (named && works_for_us) || inside {
            let _gone = rustix::process::Pid::from_raw(pid)
                .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        }
    }
}

/// The binary under test, built together with the stories; where there is none, the product's own.
#[must_use]
pub fn binary() -> PathBuf {
    let programs = tools::programs();
    let mut paths = ["watchkeep-under-test", "watchkeep"]
        .map(|name| programs.join(name))
        .into_iter();
    paths
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{} has no watchkeep: build the whole workspace", programs.display()))
}

/// Runs the command line without a daemon's configuration.
#[must_use]
pub fn cli(folder: &Path, arguments: &[&str]) -> Said {
    say(Command::new(binary())
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUNTIME_DIRECTORY"))
}

fn say(command: &mut Command) -> Said {
    let done = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    Said {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}
