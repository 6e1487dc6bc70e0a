//! The schedule comes; the copy goes to a folder and to a real S3 server, is read back, restored, compared and pruned.
//! Stock restic opens it. One flipped byte: the next verification fails loudly, and `restore` writes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use std::time::Duration;

use events::{BootId, Boottime, Clock, Clocks, Timestamp};
use harness::clock::{Hand, until_noon};
use harness::daemon::Setup;
use harness::s3::{self, S3};
use harness::webhook::Webhook;
use harness::{Daemon, faketime, ports, wait};
use serde_json::Value;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw5qiPmHtqq0k=";
const SOON: Duration = Duration::from_secs(90);
const DAY: Duration = Duration::from_secs(24 * 3600);
const NIGHTS: usize = 4;

fn new_password(folder: &Path) -> PathBuf {
    let password = folder.join("password");
    fs::write(&password, "correct horse battery staple\n").unwrap();
    fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    password
}

fn settings(folder: &Path, s3: &S3) -> String {
    let (data, files) = (folder.join("shop.db"), folder.join("files"));
    fs::create_dir_all(files.join("deep/er")).unwrap();
    fs::write(files.join("deep/er/one.txt"), "kept").unwrap();
    fs::write(files.join("two.bin"), vec![7; 300_000]).unwrap();
    let password = new_password(folder);
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
        keep = {{ last = 1 }}
        [backup.files]
        at = "0 3 * * *"
        source.folder = {{ paths = ["{}"] }}
        to = "local"
        keep = {{ last = 1 }}
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

/// Stock restic on a repository; fails the test unless it succeeds.
fn restic(folder: &Path, s3: &S3, repository: &str, arguments: &[&str]) -> String {
    let done = Command::new("restic")
        .args(["--no-cache", "-r", repository])
        .args(arguments)
        .env("RESTIC_PASSWORD_FILE", folder.join("password"))
        .env("AWS_ACCESS_KEY_ID", s3.access_key)
        .env("AWS_SECRET_ACCESS_KEY", s3.secret_key)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// The ids of the copies that stock restic lists, after it has checked every byte.
fn checked_by_restic(folder: &Path, s3: &S3, repository: &str) -> BTreeSet<String> {
    let said = restic(folder, s3, repository, &["check", "--read-data"]);
    assert!(said.contains("no errors were found"), "{said}");
    let listed: Value = serde_json::from_str(&restic(folder, s3, repository, &["snapshots", "--json"])).unwrap();
    listed
        .as_array()
        .unwrap()
        .iter()
        .map(|copy| text(&copy["id"]))
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

/// The copies of a backup that the daemon knows in a repository.
fn known(daemon: &Daemon, backup: &str, repository: &str) -> BTreeSet<String> {
    let answer = daemon.api("GET", "/api/v1/backups", b"").unwrap().json();
    let copies = answer["snapshots"].as_object().unwrap().iter();
    let wanted = copies.filter(|(_, copy)| copy["backup"] == backup && copy["repository"] == repository);
    wanted.map(|(id, _)| id.clone()).collect()
}

/// The copy of a backup that was proved last.
fn last_proved(daemon: &Daemon, backup: &str) -> String {
    let proofs = daemon.facts("backup_proved");
    let last = proofs.iter().rfind(|proof| proof["fact"]["backup"] == backup);
    text(&last.unwrap()["fact"]["snapshot"])
}

/// Waits until the three backups of so many nights are at their end, and asserts that none failed.
fn await_nights(daemon: &Daemon, nights: usize) {
    let ended = |fact: &&Value| fact["fact"]["queue"].as_str().unwrap().starts_with("backup/");
    wait::until("the end of the night", SOON, || {
        let done = daemon.facts("job_done").iter().filter(ended).count();
        let failed = daemon.facts("backup_failed");
        assert!(failed.is_empty(), "{failed:#?}");
        (done >= 3 * nights).then_some(())
    });
    assert_eq!(daemon.facts("backup_due").len(), 3 * nights, "each backup once a night");
    assert_eq!(daemon.facts("backup_proved").len(), 3 * nights);
}

/// The copies that a fact of retention removed.
fn removed(pruned: &Value) -> usize {
    pruned["fact"]["snapshots"].as_array().unwrap().len()
}

/// Time goes by on every clock: each night a copy that is proved, and the one before goes, as `keep = { last = 1 }` says.
#[test]
fn the_night_comes_and_every_copy_is_proved_and_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let (s3, hook) = (S3::moto(&folder.path().join("s3")), Webhook::start());
    let mut hand = Hand::noons_ago(folder.path(), 10);
    let daemon = watcher(folder.path(), &s3, &hook).prepare(hand.apply()).start();
    for night in 1..=NIGHTS {
        hand.pass(DAY);
        await_nights(&daemon, night);
    }
    assert!(daemon.facts("clock_jumped").is_empty());

    let pruned = daemon.facts("snapshots_pruned");
    let held: Vec<_> = pruned
        .iter()
        .filter(|fact| !fact["fact"]["held_back"].is_null())
        .collect();
    assert!(held.is_empty(), "{held:#?}");
    for (backup, repository) in [("journal", "local"), ("files", "local"), ("shop", "s3")] {
        let gone = pruned
            .iter()
            .filter(|fact| fact["fact"]["backup"] == backup)
            .map(removed)
            .sum::<usize>();
        assert_eq!(gone, NIGHTS - 1, "{backup}: all but the last are pruned");
        assert_eq!(
            known(&daemon, backup, repository),
            [last_proved(&daemon, backup)].into(),
            "{backup}"
        );
    }
    let local = folder.path().join("repository");
    assert_eq!(
        checked_by_restic(folder.path(), &s3, local.to_str().unwrap()),
        [last_proved(&daemon, "journal"), last_proved(&daemon, "files")].into()
    );
    let bucket = format!("s3:{}/{}/night", s3.endpoint(), s3.bucket);
    assert_eq!(
        checked_by_restic(folder.path(), &s3, &bucket),
        [last_proved(&daemon, "shop")].into()
    );
}

/// The control, moved by a file through libfaketime: the black box meets its night by a wall clock that jumps. Whatever
/// `keep` says, nothing is dropped by such a clock.
#[test]
fn a_clock_that_jumps_from_night_to_night_prunes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (s3, hook) = (S3::strict(&folder.path().join("s3")), Webhook::start());
    let clock = faketime::Clock::new(folder.path());
    let mover = faketime::Clock::new(folder.path());
    let noon = until_noon();
    mover.set(&format!("+{noon}"));
    let daemon = watcher(folder.path(), &s3, &hook)
        .prepare(move |command| clock.apply(command))
        .start();
    for night in 1..=2 {
        mover.set(&format!("+{}", noon.unsigned_abs() + night as u64 * DAY.as_secs()));
        await_nights(&daemon, night);
    }
    assert!(daemon.facts("clock_jumped").len() >= 2, "the jump is a fact");
    let pruned = daemon.facts("snapshots_pruned");
    assert_eq!(pruned.len(), 6, "{pruned:#?}");
    for fact in &pruned {
        assert_eq!(removed(fact), 0, "{fact:#}");
        assert!(
            text(&fact["fact"]["held_back"]).contains("the clock jumped"),
            "{fact:#}"
        );
    }
    for (backup, repository) in [("journal", "local"), ("files", "local"), ("shop", "s3")] {
        assert_eq!(known(&daemon, backup, repository).len(), 2, "{backup}");
    }
    let local = folder.path().join("repository");
    assert_eq!(checked_by_restic(folder.path(), &s3, local.to_str().unwrap()).len(), 4);
}

/// `to =` names another repository: there the backup begins anew, its copies in the old one stay, and neither stands for the
/// other.
#[test]
fn a_backup_that_goes_elsewhere_begins_anew_and_leaves_its_copies() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let files = folder.path().join("files");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("one.txt"), "kept").unwrap();
    let password = new_password(folder.path());
    let settings = |to: &str| {
        let (old, new, files, password) = (old.display(), new.display(), files.display(), password.display());
        format!(
            "[backup.files]\nat = \"0 3 * * *\"\nsource.folder = {{ paths = [\"{files}\"] }}\nto = \"{to}\"\nkeep = {{ last = 1 }}\n\
             [repository.old]\nfolder = {{ path = \"{old}\" }}\npassword = {{ file = \"{password}\" }}\n\
             [repository.new]\nfolder = {{ path = \"{new}\" }}\npassword = {{ file = \"{password}\" }}\n"
        )
    };
    let backup = |daemon: &Daemon, task: &str| daemon.cli(&["backup", task, "files"]);
    let done = |daemon: &Daemon, task: &str| {
        let said = backup(daemon, task);
        assert_eq!(said.code, 0, "{task}: {}{}", said.out, said.err);
        last_proved(daemon, "files")
    };
    let mut daemon = Daemon::start(folder.path(), &settings("old"));
    done(&daemon, "run");
    let left = done(&daemon, "run");

    daemon.stop();
    daemon.configure(&settings("new"));
    daemon.start_again();
    let none = backup(&daemon, "prove");
    assert_ne!(none.code, 0, "nothing is there that could be proved");
    let why = text(&daemon.facts("backup_failed").pop().unwrap()["fact"]["detail"]);
    assert!(why.contains("no copy in repository new yet"), "{why}");
    let first = done(&daemon, "run");
    assert_eq!(done(&daemon, "prove"), first, "the newest copy of this place");
    let second = done(&daemon, "run");
    assert_eq!(BTreeSet::from([&left, &first, &second]).len(), 3);

    assert_eq!(
        known(&daemon, "files", "old"),
        [left.clone()].into(),
        "they stay as they were"
    );
    assert_eq!(known(&daemon, "files", "new"), [second.clone()].into());
    let listed = daemon.cli(&["backup", "list"]).out;
    assert!(
        listed.contains("in new:") && listed.contains("left in old:"),
        "{listed}"
    );
    for (repository, copy) in [(&old, &left), (&new, &second)] {
        let said = Command::new("restic")
            .args(["--no-cache", "snapshots", "--json", "-r"])
            .arg(repository)
            .env("RESTIC_PASSWORD_FILE", &password)
            .output()
            .unwrap();
        let copies: Value = serde_json::from_slice(&said.stdout).unwrap();
        assert_eq!(copies.as_array().unwrap().len(), 1, "{copies:#}");
        assert_eq!(text(&copies[0]["id"]), *copy);
    }

    // The control: a place that should hold copies and is gone is a loss, and not a beginning.
    fs::rename(&new, folder.path().join("lost")).unwrap();
    assert_ne!(backup(&daemon, "run").code, 0);
    let why = text(&daemon.facts("backup_failed").pop().unwrap()["fact"]["detail"]);
    assert!(
        why.contains("repository new, where 1 copy of this backup should be"),
        "{why}"
    );
    assert!(!new.exists());
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
