//! The command line against a daemon that runs, and against what it left.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

/// A folder with a configuration, and the daemon that runs there.
struct Place {
    folder: tempfile::TempDir,
    daemon: Option<Child>,
}

const CONFIG: &str = r#"
[store]
path = "DATA"
[web]
listen = "127.0.0.1:PORT"
[notify.me]
via.webhook = { url = { file = "URL" }, secret = { file = "SECRET" } }
[probe.shop]
every = "1s"
check.tcp = { address = "127.0.0.1:9" }
[alert.shop-down]
when = "not up(shop)"
for = "1s"
notify = ["me"]
[backup.files]
at = "0 3 * * *"
source.folder = { paths = ["SOURCE"] }
to = "local"
keep = { last = 3 }
[repository.local]
folder = { path = "REPOSITORY" }
password = { file = "PASSWORD" }
"#;

impl Place {
    fn new() -> Self {
        Self::with("")
    }

    /// The same with sections more.
    fn with(sections: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let secrets = [
            ("url", "http://127.0.0.1:9/"),
            ("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLasw"),
            ("password", "correct horse battery staple"),
        ];
        for (name, text) in secrets {
            std::fs::write(at(name), text).unwrap();
            std::fs::set_permissions(at(name), PermissionsExt::from_mode(0o600)).unwrap();
        }
        std::fs::create_dir(at("source")).unwrap();
        std::fs::write(at("source").join("a"), "content").unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut text = CONFIG.replace("PORT", &port.to_string()) + sections;
        for name in ["DATA", "URL", "SECRET", "SOURCE", "REPOSITORY", "PASSWORD"] {
            text = text.replace(name, &at(&name.to_lowercase()).display().to_string());
        }
        std::fs::write(at("watchkeep.toml"), text).unwrap();
        Self { folder, daemon: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_watchkeep")));
        command
            .current_dir(self.folder.path())
            .env_remove("RUNTIME_DIRECTORY")
            .stdin(Stdio::null());
        command
    }

    fn start(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let daemon = self
            .command()
            .arg("run")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        self.wait("the daemon answers", |place| {
            // Not from the record of the one before.
            let said = place.run("status");
            said.status.code() != Some(3) && !String::from_utf8_lossy(&said.stderr).contains("no daemon is running")
        });
    }

    fn stop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        let asked = Command::new("kill").arg(daemon.id().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()));
        assert_eq!(daemon.wait().unwrap().code(), Some(0), "{}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Runs a command line, words apart by blanks.
    fn run(&self, words: &str) -> Output {
        self.command().args(words.split(' ')).output().unwrap()
    }

    /// Runs it, and checks its exit code and that it is not coloured.
    fn said(&self, words: &str, code: i32) -> (String, String) {
        let output = self.run(words);
        let (out, err) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words}\n{out}\n{err}\n{}",
            self.log()
        );
        assert!(!out.contains('\u{1b}'), "colour without a terminal: {out}");
        (out, err)
    }

    fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) {
        for look in 0.. {
            if done(self) {
                return;
            }
            assert!(look < 600, "{what}: not within a minute\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

#[test]
fn without_a_daemon_and_without_a_record() {
    let place = Place::new();
    let (out, err) = place.said("status", 3);
    assert!(
        out.is_empty() && err.contains("no daemon answers") && err.contains("help: start one with `watchkeep run`"),
        "{err}"
    );
    place.said("ack shop-down", 3);
    place.said("check --offline", 0);
    let (version, _) = place.said("--version", 0);
    assert!(
        version.starts_with("watchkeep ") && !version.contains(" 0.0.0"),
        "{version}"
    );
    assert!(place.said("status --jsno", 2).1.contains("--json"));
    assert!(place.said("nonsense", 2).1.contains("unrecognized"));
    place.said("alerts test --since 1h", 1);
    std::fs::write(place.path("broken.toml"), "[probe.x]\nevry = \"5s\"\n").unwrap();
    let (_, err) = place.said("check --offline --config broken.toml", 1);
    assert!(
        err.starts_with("broken.toml:") && err.contains("did you mean `every`"),
        "{err}"
    );
}

#[test]
fn with_a_daemon_and_with_what_it_left() {
    let mut place = Place::new();
    place.start();
    place.wait("the alert fires", |place| place.run("alerts").status.code() == Some(1));
    asked(&place);
    recorded(&place);
    waited_for(&place);
    place.stop();
    left(&place);
}

#[test]
fn an_end_without_a_stop_is_said_and_a_backup_is_not_waited_for_in_vain() {
    let away = r#"
[backup.away]
at = "0 3 * * *"
keep = { last = 3 }
source.folder = { paths = ["SOURCE"] }
to = "away"
[repository.away]
s3 = { bucket = "b", endpoint = { file = "URL" }, access_key = { file = "PASSWORD" }, secret_key = { file = "PASSWORD" } }
password = { file = "PASSWORD" }
"#;
    let mut place = Place::with(away);
    place.start();
    let (_, err) = place.said("backup run away", 1);
    assert!(err.contains("goes on in the daemon: `watchkeep jobs`"), "{err}");
    assert!(place.said("jobs", 1).0.contains("backup away for "));
    assert!(!place.said("timeline", 0).0.contains("without a stop"));
    let mut daemon = place.daemon.take().unwrap();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    place.start();
    let (timeline, _) = place.said("timeline", 0);
    let said = "the run before ended without a stop: nothing was watched from ";
    assert_eq!(timeline.matches(said).count(), 1, "{timeline}");
    assert_eq!(
        timeline.matches("its first configuration is in force").count(),
        1,
        "{timeline}"
    );
    place.stop();
    place.start();
    let (timeline, _) = place.said("timeline", 0);
    assert_eq!(timeline.matches(said).count(), 1, "{timeline}");
}

fn asked(place: &Place) {
    let (status, _) = place.said("status", 1);
    assert!(
        status.contains("1 alert open, 1 probe fails") && status.contains("FIRES   shop-down"),
        "{status}"
    );
    let (json, err) = place.said("status --json", 1);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(json.pointer("/running") == Some(&Value::Bool(true)) && err.is_empty());
    let (why, _) = place.said("why shop-down", 0);
    for question in ["since", "why", "before", "done", "told", "now"] {
        assert!(why.lines().any(|line| line.starts_with(question)), "{question}: {why}");
    }
    let (jobs, _) = place.said("jobs", 1);
    assert!(
        jobs.contains("message to me for") && jobs.contains("it failed before"),
        "{jobs}"
    );
    assert!(place.said("chain", 0).0.starts_with("holds   every digest is right"));
    place.said("why ffffffff", 1);
    place.said("trace 4bf92f3577b34da6a3ce929d0e0e4736", 1);
    assert!(place.said("trace xyz", 2).1.contains("trace id"));
    place.said("logs --since 1h", 0);
    assert!(place.said("latency shop", 0).1.is_empty());
    for words in ["latency shp", "logs --service shp", "timeline --service shp"] {
        let (_, err) = place.said(words, 0);
        assert!(err.contains("did you mean \"shop\"?"), "{words}: {err}");
    }
    place.said("actions", 0);
    assert!(place.said("timeline --kind foo", 2).1.contains("no kind"));
    // Nobody reads on.
    let mut reader = place
        .command()
        .args(["timeline"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(reader.stdout.take());
    let ended = reader.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}

fn recorded(place: &Place) {
    assert!(
        place
            .said("ack shop-down --by alice", 0)
            .0
            .contains("is taken by alice")
    );
    assert!(place.said("ack nothing", 1).1.contains("no open incident"));
    assert!(
        place
            .said("deploy record shop 1.4.2 --by ci --key build-1", 0)
            .0
            .starts_with("recorded: shop 1.4.2 is live")
    );
    place.said("deploy record shop 1.4.2 --by ci --key build-1", 0);
    place.said("deploy record shop 1.4.3 --by ci --key build-1", 1);
    let (timeline, _) = place.said("timeline --kind deployment_recorded", 0);
    assert_eq!(timeline.matches("1.4.2 deployed by ci").count(), 1, "{timeline}");
    assert!(
        place
            .said("silence shop-dwn --for 1h", 1)
            .1
            .contains("did you mean \"shop-down\"?")
    );
    let (set, err) = place.said("silence --service nosuch --for 1h", 0);
    assert!(err.contains("no service \"nosuch\" was ever seen"), "{err}");
    assert!(set.contains("nosuch is silenced"), "ahead of time it is allowed: {set}");
    assert!(place.said("silence --service shop --for 1h", 0).1.is_empty());
    for set in place
        .said("silence --list", 0)
        .0
        .lines()
        .filter(|line| line.contains("--lift"))
    {
        place.said(&format!("silence --lift {}", set.rsplit(' ').next().unwrap()), 0);
    }
    let (set, _) = place.said("silence shop-down --for 1h --reason upgrade", 0);
    let id = set.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(place.said("silence --list", 0).0.contains("upgrade"));
    place.said(&format!("silence --lift {id}"), 0);
    let (_, err) = place.said("silence shop-down --for 1h --from 2026-12-01T02:00", 2);
    assert!(
        err.contains("--from: ") && err.contains("write 2026-12-01T02:00:00Z for UTC"),
        "{err}"
    );
    place.said("actions stop", 0);
    assert!(place.said("actions", 0).0.contains("STOPPED"));
    place.said("actions allow", 0);
}

fn waited_for(place: &Place) {
    let (run, _) = place.said("backup run files", 0);
    for step in ["copied 1 file", "read back", "PROVED", "done"] {
        assert!(run.contains(step), "{step}: {run}");
    }
    let (list, _) = place.said("backup list", 0);
    assert!(list.starts_with("files: proved"), "{list}");
    let copy = list
        .lines()
        .nth(2)
        .or(list.lines().nth(1))
        .unwrap()
        .trim()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    assert!(place.said(&format!("why {copy}"), 0).0.starts_with("PROVED"), "{list}");
    place.said("backup verify", 0);
    place.said("backup run nightly", 1);
    assert!(place.said("notify test mee", 1).1.contains("did you mean \"me\"?"));
    place.said("notify test me --no-wait", 0);
}

fn left(place: &Place) {
    let (status, err) = place.said("status", 1);
    assert!(
        err.contains("no daemon is running; this is as of its last commit"),
        "{err}"
    );
    assert!(
        status.contains("FIRES   shop-down") && status.contains("NOT RUNNING"),
        "{status}"
    );
    place.said("alerts", 1);
    assert!(place.said("timeline", 0).0.contains("stopped"));
    assert!(place.said("why shop-down", 0).0.starts_with("FIRING"));
    place.said("backup list", 0);
    assert!(place.said("chain", 0).0.starts_with("holds "));
    assert!(place.said("jobs", 3).1.contains("only a running daemon knows"));
    // Whoever wants to stop what acts is not told to start it.
    let (_, err) = place.said("actions stop", 3);
    let file = format!("`touch {}`", place.path("data/stop-acting").display());
    assert!(err.contains(&file) && !err.contains("watchkeep run"), "{err}");
    assert!(place.said("actions allow", 3).1.contains("no daemon is running"));
    let (_, err) = place.said("timeline --service shp", 0);
    assert_eq!(err.matches("no daemon is running").count(), 1, "{err}");
}
