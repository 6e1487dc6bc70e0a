//! The daemon's shell: what it refuses to reload, how it fails to start, what it tells outward, and a binary that is
//! replaced under it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;

/// A receiver of POSTs that answers with a status that can be changed. It runs until the test's process ends.
struct Receiver {
    port: u16,
    status: Arc<AtomicU16>,
    heard: Arc<AtomicUsize>,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    #[expect(clippy::disallowed_methods, reason = "it lives as long as the test's process")]
    fn new(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self {
            port: listener.local_addr().unwrap().port(),
            status: Arc::new(AtomicU16::new(status)),
            heard: Arc::default(),
            bodies: Arc::default(),
        };
        let (status, heard) = (Arc::clone(&receiver.status), Arc::clone(&receiver.heard));
        let bodies = Arc::clone(&receiver.bodies);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &status, &heard, &bodies);
            }
        });
        receiver
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }
}

fn answer(
    mut stream: TcpStream,
    status: &AtomicU16,
    heard: &AtomicUsize,
    bodies: &Mutex<Vec<Value>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(stream.try_clone()?);
    let (mut length, mut posted) = (0, false);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        posted |= line.starts_with("post ");
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = Vec::new();
    lines.take(length).read_to_end(&mut body)?;
    bodies.lock().unwrap().extend(serde_json::from_slice::<Value>(&body));
    heard.fetch_add(usize::from(posted), Ordering::SeqCst);
    let status = status.load(Ordering::SeqCst);
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

/// A folder with a configuration, and the daemon that runs there.
struct Place {
    folder: tempfile::TempDir,
    port: u16,
    daemon: Option<Child>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Place {
    /// A place whose configuration has these sections besides `[store]` and `[web]`.
    fn new(sections: &str) -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
            port: free_port(),
            daemon: None,
        };
        place.secret("password", "correct horse battery staple");
        std::fs::create_dir(place.path("source")).unwrap();
        std::fs::write(place.path("source").join("a"), "content").unwrap();
        place.configure("", sections);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn secret(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// Writes the configuration, with lines more in `[web]`.
    fn configure(&self, web: &str, sections: &str) {
        let (data, port) = (self.path("data"), self.port);
        let listen = if web.contains("listen") {
            String::new()
        } else {
            format!("listen = \"127.0.0.1:{port}\"")
        };
        let text = format!(
            "[store]\npath = \"{}\"\n[web]\n{listen}\n{web}\n[network]\nanchors = []\n{}",
            data.display(),
            sections.replace("HERE", &self.folder.path().display().to_string())
        );
        std::fs::write(self.path("watchkeep.toml"), text).unwrap();
    }

    fn command_of(&self, binary: PathBuf) -> Command {
        let mut command = Command::new(binary);
        command
            .current_dir(self.folder.path())
            .env_remove("RUNTIME_DIRECTORY")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, words: &str) -> Output {
        let mut command = self.command_of(env!("CARGO_BIN_EXE_watchkeep").into());
        command.args(words.split(' ')).output().unwrap()
    }

    /// What a command said, on both outputs; it has to end with that code.
    fn said(&self, words: &str, code: i32) -> String {
        let output = self.run(words);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words}\n{text}\n{}", self.log());
        text
    }

    fn start(&mut self) {
        self.start_from(env!("CARGO_BIN_EXE_watchkeep").into());
    }

    fn start_from(&mut self, binary: PathBuf) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let mut command = self.command_of(binary);
        let command = command.arg("run").stdout(log.try_clone().unwrap()).stderr(log);
        self.daemon = Some(command.spawn().unwrap());
        self.wait("the daemon is ready", |place| {
            place.http("/readyz").is_some_and(|answer| answer.contains(" 200 "))
        });
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn http(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// All facts of these kinds, oldest first, without their places.
    fn facts(&self, kinds: &str) -> Vec<Value> {
        // By its socket: the configuration may name another data folder by now.
        let socket = self.path("data").join("watchkeep.sock");
        let output = self.run(&format!(
            "timeline --since 1h --kind {kinds} --json --socket {}",
            socket.display()
        ));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let mut shown = answer
            .get("facts")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        shown.sort_by_key(|fact| fact.get("seq").and_then(Value::as_u64));
        shown
            .iter_mut()
            .filter_map(|shown| Some(shown.get_mut("fact")?.take()))
            .collect()
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

    fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()));
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

fn field<'v>(fact: &'v Value, name: &str) -> &'v str {
    fact.get(name).and_then(Value::as_str).unwrap_or_default()
}

const BACKUP: &str = r#"
[backup.files]
at = "0 3 * * *"
source.folder = { paths = ["HERE/source"] }
to = "local"
keep = { last = 3 }
[repository.local]
folder = { path = "HERE/repository" }
password = { file = "HERE/password" }
"#;

#[test]
fn a_binary_that_was_replaced_still_starts_children() {
    let mut place = Place::new(BACKUP);
    let binary = place.path("watchkeep");
    std::fs::copy(env!("CARGO_BIN_EXE_watchkeep"), &binary).unwrap();
    place.start_from(binary.clone());
    // As a package manager does: another file takes the name. It is no Watchkeep, and says so by its code.
    std::fs::write(place.path("new"), "#!/bin/sh\nexit 99\n").unwrap();
    std::fs::set_permissions(place.path("new"), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::rename(place.path("new"), &binary).unwrap();
    let said = place.said("backup run files", 0);
    assert!(said.contains("PROVED"), "{said}");
}

/// What is wrong with a configuration, what writes it, and what is said of it.
type Reload<'a> = (&'a str, &'a dyn Fn(&Place), &'a str);

#[test]
fn a_reload_to_what_could_not_start_is_refused_and_the_old_one_goes_on() {
    let mut place = Place::new(BACKUP);
    place.start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let elsewhere = BACKUP.to_owned();
    let cases: [Reload<'_>; 4] = [
        (
            "a group that is not there",
            &|place| place.configure("group = \"no-such-group\"", BACKUP),
            "there is no group",
        ),
        (
            "an address that is taken",
            &|place| place.configure(&format!("listen = \"{taken}\""), BACKUP),
            "listen on 127.0.0.1:",
        ),
        (
            "another data folder",
            &|place| {
                place.configure("", &elsewhere);
                let text = std::fs::read_to_string(place.path("watchkeep.toml")).unwrap();
                let moved = text.replace(&place.path("data").display().to_string(), "/var/tmp/elsewhere");
                std::fs::write(place.path("watchkeep.toml"), moved).unwrap();
            },
            "[store] path changed from",
        ),
        (
            "a probe that cannot be built",
            &|place| {
                let probe = "[probe.x]\nevery = \"5s\"\ncheck.http = { url = \"https://localhost/\", ca = \"HERE/none.pem\" }\n";
                place.configure("", &format!("{BACKUP}{probe}"));
            },
            "probe x",
        ),
    ];
    for (number, (what, change, why)) in cases.iter().enumerate() {
        change(&place);
        place.signal("-HUP");
        place.wait(what, |place| place.facts("task_failed").len() > number);
        let refused = place.facts("task_failed").pop().unwrap();
        assert_eq!(field(&refused, "task"), "reload", "{what}: {refused}");
        assert!(field(&refused, "error").contains(why), "{what}: {refused}");
        assert!(place.log().contains(why), "{what}: {}", place.log());
    }
    assert!(place.http("/readyz").unwrap().contains(" 200 "), "the old one goes on");
    assert_eq!(place.facts("started").len(), 1, "it was never begun anew");
    // The control: what could start is taken.
    place.configure("trust_loopback = true", BACKUP);
    let pid = place.pid();
    place.signal("-HUP");
    place.wait("a good one is taken", |place| place.facts("started").len() == 2);
    assert_eq!(place.pid(), pid);
}

#[test]
fn a_failed_start_says_why_once() {
    let probe = "[probe.x]\nevery = \"5s\"\ncheck.http = { url = \"https://localhost/\", ca = \"HERE/none.pem\" }\n";
    let place = Place::new(probe);
    let said = place.said("run", 1);
    assert_eq!(said.matches("none.pem").count(), 1, "{said}");
    assert!(!said.contains("essential"), "{said}");
    // What fails only after the journal is open.
    let place = Place::new("");
    std::fs::create_dir_all(place.path("data").join("telemetry.db")).unwrap();
    let said = place.said("run", 1);
    assert!(said.contains("open telemetry") && !said.contains("essential"), "{said}");
}

#[test]
fn check_beside_the_daemon_does_not_mind_its_port() {
    let receiver = Receiver::new(404);
    let heartbeat = "[heartbeat.outward]\nurl = { file = \"HERE/heartbeat\" }\nevery = \"1h\"\n";
    let mut place = Place::new(heartbeat);
    place.secret("heartbeat", &receiver.url());
    let said = place.said("check", 0);
    assert!(
        said.contains(&format!("[web] listen 127.0.0.1:{}: is free", place.port)),
        "{said}"
    );
    assert!(said.contains("heartbeat outward: 127.0.0.1: can be reached"), "{said}");
    assert_eq!(receiver.heard.load(Ordering::SeqCst), 0, "check gives no sign of life");
    place.start();
    let said = place.said("check", 0);
    assert!(said.contains("in use by the running watchkeep"), "{said}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!(
        "listen = \"{}\"\ngroup = \"no-such-group\"",
        taken.local_addr().unwrap()
    );
    place.configure(&listen, heartbeat);
    place.secret("heartbeat", &format!("http://127.0.0.1:{}/", free_port()));
    let said = place.said("check", 1);
    for problem in [
        "another program has it",
        "there is no group",
        "heartbeat outward: 127.0.0.1",
    ] {
        assert!(said.contains(problem), "{problem}: {said}");
    }
    assert!(said.contains("3 problems"), "{said}");
}

#[test]
fn a_heartbeat_that_does_not_arrive_is_a_fact_and_so_is_its_return() {
    let receiver = Receiver::new(503);
    let mut place = Place::new("[heartbeat.outward]\nurl = { file = \"HERE/heartbeat\" }\nevery = \"1s\"\n");
    place.secret("heartbeat", &receiver.url());
    place.start();
    place.wait("it is said to fail", |place| {
        place.facts("heartbeat_changed").len() == 1
    });
    let fails = place.facts("heartbeat_changed").remove(0);
    assert_eq!(fails.get("arrives"), Some(&Value::Bool(false)), "{fails}");
    assert!(field(&fails, "why").contains("503"), "{fails}");
    let status = place.said("status", 1);
    assert!(
        status.contains("the outward heartbeat outward does not arrive"),
        "{status}"
    );
    assert!(
        place.http("/readyz").unwrap().contains(" 200 "),
        "it watches all the same"
    );
    receiver.status.store(200, Ordering::SeqCst);
    place.wait("it is said to arrive", |place| {
        place.facts("heartbeat_changed").len() == 2
    });
    let arrives = place.facts("heartbeat_changed").remove(1);
    assert_eq!(arrives.get("arrives"), Some(&Value::Bool(true)), "{arrives}");
    let status = place.said("status", 0);
    assert!(!status.contains("heartbeat"), "{status}");
}

#[test]
fn a_test_message_does_not_wait_for_an_earlier_one() {
    let receiver = Receiver::new(503);
    let mut place = Place::new("[notify.me]\nvia.webhook = { url = { file = \"HERE/hook\" } }\n");
    place.secret("hook", &receiver.url());
    place.start();
    place.said("notify test me --no-wait", 0);
    // After its second failure it waits for about ten seconds.
    place.wait("the first test failed twice", |_| {
        receiver.heard.load(Ordering::SeqCst) >= 2
    });
    receiver.status.store(204, Ordering::SeqCst);
    let said = place.said("notify test me", 0);
    assert!(said.contains("delivered: 204"), "{said}");
    place.wait("both arrive", |place| place.facts("job_done").len() == 2);
    let queued: Vec<String> = place
        .facts("notified")
        .iter()
        .map(|fact| field(fact, "job").to_owned())
        .collect();
    let done: Vec<String> = place
        .facts("job_done")
        .iter()
        .map(|fact| field(fact, "job").to_owned())
        .collect();
    assert_eq!(
        done,
        [queued.get(1).unwrap().clone(), queued.first().unwrap().clone()],
        "the second came first"
    );
}

#[test]
fn what_init_writes_for_systemd_passes_check_and_says_the_steps() {
    let place = Place::new("");
    std::fs::remove_file(place.path("watchkeep.toml")).unwrap();
    let said = place.said("init --systemd", 0);
    for step in [
        "useradd --system",
        "/etc/systemd/system/watchkeep.service",
        "systemctl enable --now",
        "check --config",
    ] {
        assert!(said.contains(step), "{step}: {said}");
    }
    place.said("check --offline", 0);
    let unit = std::fs::read_to_string(place.path("watchkeep.service")).unwrap();
    // This folder is in /tmp, which the unit's process does not see.
    assert!(unit.contains(" run --config /etc/watchkeep/watchkeep.toml\n"), "{unit}");
    let said = place.said("init --systemd", 1);
    assert!(said.contains("left alone"), "{said}");
}

#[test]
fn what_waits_for_a_destination_that_was_renamed_is_told_to_the_new_one_with_its_rule() {
    let (dead, alive) = (Receiver::new(503), Receiver::new(204));
    let of = |destination: &str, secret: &str| {
        format!(
            "[notify.{destination}]\nvia.webhook = {{ url = {{ file = \"HERE/{secret}\" }} }}\n[probe.shop]\nevery = \
             \"1s\"\ncheck.tcp = {{ address = \"127.0.0.1:9\" }}\n[alert.shop-down]\nwhen = \"not up(shop)\"\nfor = \
             \"1s\"\nnotify = [\"{destination}\"]\n"
        )
    };
    let mut place = Place::new(&of("old", "dead"));
    place.secret("dead", &dead.url());
    place.secret("alive", &alive.url());
    place.start();
    place.wait("the page is refused", |_| dead.heard.load(Ordering::SeqCst) >= 1);
    place.configure("", &of("new", "alive"));
    place.signal("-HUP");
    place.wait("the new one is told", |_| !alive.bodies.lock().unwrap().is_empty());
    let told = alive.bodies.lock().unwrap().first().cloned().unwrap();
    let title = field(&told, "title");
    assert_eq!(
        title, "Messages do not reach old: it was not told that shop-down fires",
        "{told}"
    );
    assert!(field(&told, "text").contains("More: watchkeep why "), "{told}");
}
