//! Backups that do not come to their end as they should: killed, stopped, before a store that never answers. Each is a failure
//! with its reason, and none holds up another. And what was not as it should be in one that does is told.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::daemon::Setup;
use harness::{Daemon, wait};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

/// A store that takes every connection and never says a word.
struct Silent {
    port: u16,
    _kept: Arc<Mutex<Vec<TcpStream>>>,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let kept = Arc::<Mutex<Vec<TcpStream>>>::default();
        let into = Arc::clone(&kept);
        let taking = move || {
            for stream in listener.incoming().map_while(Result::ok) {
                into.lock().unwrap().push(stream);
            }
        };
        std::thread::Builder::new()
            .name("silent".to_owned())
            .spawn(taking)
            .unwrap();
        Self { port, _kept: kept }
    }
}

/// A daemon with a backup to the silent store, and one to a folder.
fn watcher(folder: &Path, store: &Silent, timeout: &str) -> Daemon {
    fs::create_dir_all(folder.join("files")).unwrap();
    fs::write(folder.join("files/one.txt"), "kept").unwrap();
    let password = folder.join("password");
    fs::write(&password, "correct horse battery staple\n").unwrap();
    fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let at = folder.display();
    let text = format!(
        r#"
        [backup.bucket]
        at = "0 3 1 1 *"
        source.folder = {{ paths = ["{at}/files"] }}
        to = "silent"
        timeout = "{timeout}"
        [backup.files]
        at = "0 3 1 1 *"
        source.folder = {{ paths = ["{at}/files"] }}
        to = "local"
        [repository.local]
        folder = {{ path = "{at}/repository" }}
        password = {{ file = "{at}/password" }}
        [repository.silent]
        s3 = {{ bucket = "b", endpoint = {{ env = "S3_ENDPOINT" }}, access_key = {{ env = "S3_KEY" }}, secret_key = {{ env = "S3_SECRET" }} }}
        password = {{ file = "{at}/password" }}
        "#
    );
    Setup::new(folder, &text)
        .env("S3_ENDPOINT", &format!("http://127.0.0.1:{}", store.port))
        .env("S3_KEY", "key")
        .env("S3_SECRET", "secret")
        .start()
}

fn ask_for(daemon: &Daemon, backup: &str) {
    let answer = daemon
        .api("POST", &format!("/api/v1/backups/{backup}/run"), b"")
        .unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

/// The process of the only child there is, other than one known before.
fn child(daemon: &Daemon, other_than: Option<Pid>) -> Pid {
    wait::until("a child to begin", SOON, || {
        let entries = fs::read_dir(daemon.data().join("runs")).ok()?;
        entries.filter_map(Result::ok).find_map(|entry| {
            let started: Value = serde_json::from_slice(&fs::read(entry.path().join("started")).ok()?).ok()?;
            let pid = Pid::from_raw(i32::try_from(started["pid"].as_i64()?).ok()?)?;
            (Some(pid) != other_than && test_kill_process(pid).is_ok()).then_some(pid)
        })
    })
}

/// The first failure that is recorded with this reason.
fn failure(daemon: &Daemon, reason: &str) -> Value {
    wait::until("the failure to be recorded", SOON, || {
        let failed = daemon.facts("backup_failed");
        failed.into_iter().find(|fact| fact["fact"]["reason"] == reason)
    })
}

fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, after)| !after.starts_with('Z'))
}

#[test]
fn a_store_that_never_answers_holds_up_no_other_backup() {
    let folder = tempfile::tempdir().unwrap();
    let store = Silent::start();
    let daemon = watcher(folder.path(), &store, "3s");
    ask_for(&daemon, "bucket");
    child(&daemon, None);
    ask_for(&daemon, "files");
    wait::until("the other backup's proof", SOON, || {
        let proved = daemon.facts("backup_proved");
        proved
            .iter()
            .any(|fact| fact["fact"]["backup"] == "files")
            .then_some(())
    });
    let failed = failure(&daemon, "deadline");
    assert_eq!(failed["fact"]["backup"], "bucket", "{failed:#}");
    assert_eq!(failed["fact"]["stage"], "open", "{failed:#}");
    // The job of the one that fails goes on; in a queue with the other it would stand before it.
    let ended = daemon.facts("job_done,job_ended");
    assert!(
        ended.iter().all(|fact| fact["fact"]["queue"] != "backup/bucket"),
        "{ended:#?}"
    );
}

#[test]
fn a_child_that_is_killed_leaves_a_failure_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let store = Silent::start();
    let mut daemon = watcher(folder.path(), &store, "1h");
    ask_for(&daemon, "bucket");
    let first = child(&daemon, None);
    // Together with the daemon, as when the machine dies; and it is begun again for the same time.
    daemon.kill();
    kill_process(first, Signal::KILL).unwrap();
    daemon.start_again();
    let failed = failure(&daemon, "interrupted");
    assert_eq!(failed["fact"]["stage"], "open", "{failed:#}");
    let second = child(&daemon, Some(first));
    // And alone.
    kill_process(second, Signal::KILL).unwrap();
    wait::until("the second failure", SOON, || {
        let failed = daemon.facts("backup_failed");
        (failed
            .iter()
            .filter(|fact| fact["fact"]["reason"] == "interrupted")
            .count()
            == 2)
            .then_some(())
    });
    wait::until("the failed attempt, in words", SOON, || {
        let attempts = daemon.facts("job_failed");
        let told = |fact: &Value| fact["fact"]["why"].to_string().contains("ended without a word");
        attempts.iter().any(told).then_some(())
    });
}

#[test]
fn a_child_that_is_stopped_is_ended_after_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = Silent::start();
    let daemon = watcher(folder.path(), &store, "3s");
    ask_for(&daemon, "bucket");
    let stopped = child(&daemon, None);
    kill_process(stopped, Signal::STOP).unwrap();
    let failed = failure(&daemon, "deadline");
    assert_eq!(failed["fact"]["backup"], "bucket", "{failed:#}");
    assert!(!is_alive(stopped));
}

#[test]
fn what_was_not_as_it_should_be_in_a_copy_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = Silent::start();
    let daemon = watcher(folder.path(), &store, "3s");
    let mut database = b"SQLite format 3\0".to_vec();
    database.resize(4096, 7);
    fs::write(folder.path().join("files/shop.db"), database).unwrap();
    let proofs = |count: usize| {
        wait::until("a proof", SOON, || {
            (daemon.facts("backup_proved").len() >= count).then_some(())
        });
    };
    ask_for(&daemon, "files");
    proofs(1);
    let captured = daemon.facts("backup_captured");
    assert!(
        captured[0]["fact"]["bare_databases"][0]
            .to_string()
            .contains("files/shop.db"),
        "{captured:#?}"
    );
    let list = daemon.cli(&["backup", "list"]).out;
    assert!(list.contains("1 database was copied as a plain file"), "{list}");

    for pack in packs(&folder.path().join("repository/data")) {
        fs::remove_file(pack).unwrap();
    }
    ask_for(&daemon, "files");
    proofs(2);
    let captured = daemon.facts("backup_captured");
    assert!(
        !captured[1]["fact"]["lost_packs"].as_array().unwrap().is_empty(),
        "{captured:#?}"
    );
    for command in [&["backup", "list"][..], &["timeline", "--kind", "backup_captured"]] {
        let said = daemon.cli(command).out;
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("lost in the store"), "{said}");
    }
}

fn packs(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { packs(&path) } else { vec![path] })
        .collect()
}
