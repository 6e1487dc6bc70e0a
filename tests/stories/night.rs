//! The schedule comes; the copy goes to a folder and to a real S3 server, is read back, restored, compared and pruned.
//! Stock restic opens it. One flipped byte: the next verification fails loudly, and `restore` writes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use std::time::Duration;

use events::{BootId, Boottime, Clock, Clocks, Timestamp};
use harness::daemon::Setup;
use harness::s3::{self, S3};
use harness::webhook::Webhook;
use harness::{Daemon, faketime, ports, wait};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw5qiPmHtqq0k=";
const SOON: Duration = Duration::from_secs(90);

fn settings(folder: &Path, s3: &S3) -> String {
    let (data, files) = (folder.join("shop.db"), folder.join("files"));
    fs::create_dir_all(files.join("deep/er")).unwrap();
    fs::write(files.join("deep/er/one.txt"), "kept").unwrap();
    fs::write(files.join("two.bin"), vec![7; 300_000]).unwrap();
    let password = folder.join("password");
    fs::write(&password, "correct horse battery staple\n").unwrap();
    fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let sql = "create table orders(id integer primary key, item text); insert into orders(item) values('tea'),('milk')";
    let made = Command::new("python3")
        .args([
            "-c",
            "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.commit()",
        ])
        .arg(&data)
        .arg(sql)
        .status()
        .unwrap();
    assert!(made.success());
    format!(
        r#"
        [notify.hook]
        via.webhook = {{ url = {{ env = "HOOK_URL" }}, secret = {{ env = "HOOK_KEY" }} }}
        [backup.journal]
        at = "0 3 * * *"
        source.journal = {{}}
        to = "local"
        keep = {{ last = 1 }}
        [backup.shop]
        at = "0 3 * * *"
        source.sqlite = {{ path = "{}" }}
        to = "s3"
        [backup.files]
        at = "0 3 * * *"
        source.folder = {{ paths = ["{}"] }}
        to = "local"
        [repository.local]
        folder = {{ path = "{}" }}
        password = {{ file = "{}" }}
        [repository.s3]
        s3 = {{ bucket = "{}", prefix = "night", endpoint = {{ env = "S3_ENDPOINT" }}, access_key = {{ env = "S3_KEY" }}, secret_key = {{ env = "S3_SECRET" }} }}
        password = {{ file = "{}" }}
        "#,
        data.display(),
        files.display(),
        folder.join("repository").display(),
        password.display(),
        s3.bucket,
        password.display()
    )
}

fn watcher(folder: &Path, s3: &S3, hook: &Webhook) -> Setup {
    Setup::new(folder, &settings(folder, s3))
        .env("HOOK_URL", &hook.url())
        .env("HOOK_KEY", KEY)
        .env("S3_ENDPOINT", &s3.endpoint())
        .env("S3_KEY", s3.access_key)
        .env("S3_SECRET", s3.secret_key)
}

fn restic(folder: &Path, arguments: &[&str]) -> String {
    let done = Command::new("restic")
        .args(["--no-cache", "-r"])
        .arg(folder.join("repository"))
        .args(arguments)
        .env("RESTIC_PASSWORD_FILE", folder.join("password"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Moved by a file, through libfaketime: the black box meets its night.
#[test]
fn the_night_comes_and_every_copy_is_proved_and_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let (s3, hook) = (S3::strict(&folder.path().join("s3")), Webhook::start());
    let clock = faketime::Clock::new(folder.path());
    let mover = faketime::Clock::new(folder.path());
    let daemon = watcher(folder.path(), &s3, &hook)
        .prepare(move |command| clock.apply(command))
        .start();
    for (night, offset) in ["+25h", "+50h"].into_iter().enumerate() {
        mover.set(offset);
        wait::until("a night's three proofs", SOON, || {
            (daemon.facts("backup_proved").len() >= 3 * (night + 1)).then_some(())
        });
    }
    wait::until("the end of the second night", SOON, || {
        (daemon
            .facts("job_done")
            .iter()
            .filter(|fact| {
                fact["fact"]["queue"]
                    .as_str()
                    .is_some_and(|queue| queue.starts_with("backup/"))
            })
            .count()
            >= 6)
            .then_some(())
    });
    assert!(
        daemon.facts("backup_failed").is_empty(),
        "{:#?}",
        daemon.facts("backup_failed")
    );
    assert!(daemon.facts("clock_jumped").len() >= 2, "the jump is a fact");
    let due = daemon.facts("backup_due").len();
    assert_eq!(due, 6, "each backup once a night");
    restic(folder.path(), &["check", "--read-data"]);
    assert!(
        restic(folder.path(), &["snapshots"]).contains("files"),
        "stock restic lists them"
    );
}

#[test]
fn a_flipped_byte_fails_loudly_and_restore_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (s3, hook) = (S3::strict(&folder.path().join("s3")), Webhook::start());
    let daemon = watcher(folder.path(), &s3, &hook).start();
    let run = daemon.cli(&["backup", "run", "files"]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert_eq!(daemon.facts("backup_proved").len(), 1);

    let restored = folder.path().join("restored");
    let good = restore(&daemon, &restored);
    assert_eq!(good.code, 0, "{}{}", good.out, good.err);
    let files = folder.path().join("files");
    let same = Command::new("diff")
        .arg("-r")
        .arg(&files)
        .arg(restored.join(files.strip_prefix("/").unwrap()))
        .status()
        .unwrap();
    assert!(same.success(), "what was restored is what was there");

    let pack = largest(&folder.path().join("repository/data"));
    s3::flip(&pack, 1000);
    let verified = daemon.cli(&["backup", "prove", "files"]);
    assert_eq!(verified.code, 1, "{}{}", verified.out, verified.err);
    let failed = daemon.facts("backup_failed").pop().unwrap();
    assert_eq!(
        (failed["fact"]["stage"].as_str(), failed["fact"]["reason"].as_str()),
        (Some("verify"), Some("corrupt")),
        "{failed:#}"
    );
    let told = hook.wait_for(1, SOON);
    assert!(told[0].request.text().contains("files"), "{}", told[0].request.text());

    let empty = folder.path().join("empty");
    let refused = restore(&daemon, &empty);
    assert_ne!(refused.code, 0, "a damaged copy was restored");
    assert!(
        !empty.exists() || fs::read_dir(&empty).unwrap().next().is_none(),
        "something was written"
    );
}

fn restore(daemon: &Daemon, to: &Path) -> harness::daemon::Said {
    daemon.cli(&["restore", "--repository", "local", "--to", to.to_str().unwrap()])
}

fn largest(folder: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        files.extend(fs::read_dir(entry).unwrap().map(|entry| entry.unwrap().path()));
    }
    files
        .into_iter()
        .max_by_key(|file| fs::metadata(file).unwrap().len())
        .unwrap()
}

/// A clock that the story moves.
struct Moved(AtomicI64);

impl Clocks for Moved {
    fn now(&self) -> Clock {
        let now = self.0.load(Ordering::Acquire);
        Clock {
            wall: Timestamp(now),
            boot: Boottime(now),
            boot_id: BootId("story".to_owned()),
        }
    }
}

/// In-process, with an injected clock: a missed week makes up for the newest time only, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_week_of_sleep_only_the_newest_night_is_made_up_for() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    fs::write(&password, "secret\n").unwrap();
    fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let text = format!(
        "[store]\npath = \"{0}/data\"\n[web]\nlisten = \"{1}\"\n[network]\nanchors = []\n[backup.nightly]\nat = \"0 3 * * *\"\nsource.journal = {{}}\nto = \"local\"\n[repository.local]\nfolder = {{ path = \"{0}/repository\" }}\npassword = {{ file = \"{2}\" }}\n",
        folder.path().display(),
        ports::local(ports::free()),
        password.display()
    );
    let start: jiff::Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let clock = Arc::new(Moved(AtomicI64::new(Timestamp::from_jiff(start).0)));
    let mut setup = daemon::Setup::new(config::Source::new("story", text));
    setup.clocks = Arc::clone(&clock) as Arc<dyn Clocks>;
    let running = daemon::start(setup).await.unwrap();
    let week = Duration::from_secs(7 * 24 * 3600).as_nanos();
    clock.0.fetch_add(i64::try_from(week).unwrap(), Ordering::AcqRel);
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let row = running.record.journal.views().await.backups.get("nightly").cloned();
        if let Some(row) = row.filter(|row| row.missed > 0) {
            assert_eq!(row.missed, 6, "{row:?}");
            let newest: jiff::Timestamp = "2026-03-08T03:00:00Z".parse().unwrap();
            assert_eq!(row.last_intended, Some(Timestamp::from_jiff(newest)));
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the schedule did not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.stop("the story's end").await;
}
