//! Stock restic reads what we wrote, on a folder and over S3, and we respect each other's locks.

use std::{
    io::Write as _,
    path::Path,
    process::{Child, Command},
};

use backup::{Access, Location, Order, Reason, Repository, Source, restore};

use crate::{
    installed::installed,
    s3,
    support::{
        PASSWORD, Place, RECOVERY, Server, assert_same_tree, backup_and_prove, child_that_backs_up, output, refused,
        run, signal, wait_until,
    },
};

fn restic(repository: &Path) -> Command {
    let mut command = Command::new("restic");
    command
        .env("RESTIC_PASSWORD", PASSWORD)
        .arg("--no-cache")
        .arg("-r")
        .arg(repository);
    command
}

#[test]
fn stock_restic_checks_and_restores_our_repository() {
    let place = Place::new();
    place.fill();
    let repository = place.init();
    let captured = backup_and_prove(&repository, &place.request(), &place.path("scratch"));
    place.write("source/more", "more");
    repository.backup(&place.request()).unwrap();
    let path = place.path("repository");
    let text = output(restic(&path).args(["check", "--read-data"]));
    assert!(text.contains("no errors were found"), "{text}");
    output(restic(&path).env("RESTIC_PASSWORD", RECOVERY).arg("snapshots"));
    repository.add_key("a third password").unwrap();
    output(
        restic(&path)
            .env("RESTIC_PASSWORD", "a third password")
            .arg("snapshots"),
    );
    let third = Repository::open(&place.location(), "a third password", Access::Read, run()).unwrap();
    assert_eq!(third.id(), repository.id());
    let text = output(restic(&path).args(["snapshots", "--json", "--tag", "job:nightly"]));
    assert_eq!(text.matches("\"id\"").count(), 2, "{text}");

    std::fs::remove_file(place.path("source/more")).unwrap();
    output(
        restic(&path)
            .args(["restore", &captured.snapshot.to_string(), "--target"])
            .arg(place.path("theirs")),
    );
    let order = Order {
        snapshot: captured.snapshot,
        only: None,
        destination: place.path("ours"),
        replace: false,
    };
    restore(&repository, &order).unwrap();
    let source = place.path("source");
    let source = source.strip_prefix("/").unwrap();
    output(
        Command::new("diff")
            .arg("-r")
            .arg(place.path("theirs").join(source))
            .arg(place.path("source")),
    );
    assert_same_tree(&place.path("theirs").join(source), &place.path("ours").join(source));
}

#[test]
fn we_read_what_stock_restic_wrote_but_do_not_call_it_proved() {
    let place = Place::new();
    place.fill();
    let path = place.path("repository");
    output(restic(&path).args(["init", "--repository-version", "2"]));
    output(restic(&path).arg("backup").arg(place.path("source")));
    let repository = Repository::open(&place.location(), PASSWORD, Access::Write, run()).unwrap();
    let snapshot = repository.snapshots().unwrap().remove(0);
    repository.verify(&snapshot.id).unwrap();
    let order = Order {
        snapshot: snapshot.id,
        only: None,
        destination: place.path("ours"),
        replace: false,
    };
    restore(&repository, &order).unwrap();
    let source = place.path("source");
    output(
        Command::new("diff")
            .arg("-r")
            .arg(place.path("ours").join(source.strip_prefix("/").unwrap()))
            .arg(&source),
    );
    refused(
        backup::prove(&repository, &snapshot.id, None, &place.path("scratch")),
        Reason::NoRecord,
    );
    backup_and_prove(&repository, &place.request(), &place.path("scratch"));
    output(restic(&path).args(["check", "--read-data"]));
}

#[test]
fn restic_and_we_respect_each_others_locks() {
    let place = Place::new();
    place.fill();
    let pipe = place.path("source/slow");
    let repository = place.init();
    repository.backup(&place.request()).unwrap();
    let path = place.path("repository");

    // Theirs: a backup that waits for its input.
    output(Command::new("mkfifo").arg(&pipe));
    let mut theirs = Command::new("sh");
    let script = format!(
        "restic --no-cache -r '{}' backup --stdin < '{}'",
        path.display(),
        pipe.display()
    );
    let mut theirs = theirs
        .arg("-c")
        .arg(script)
        .env("RESTIC_PASSWORD", PASSWORD)
        .spawn()
        .unwrap();
    let mut input = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    wait_until("restic has its lock", || !place.objects("locks").is_empty());
    let text = refused(repository.backup(&place.request()), Reason::LockedByOther);
    assert!(text.contains(&theirs_pid(&text)), "{text}");
    input.write_all(b"something").unwrap();
    drop(input);
    assert!(theirs.wait().unwrap().success());
    std::fs::remove_file(&pipe).unwrap();
}

/// A backup of ours that stands still in its middle, with packs stored that no index names yet.
fn half_done(place: &Place) -> Child {
    place.write("source/noise", crate::support::noise(5, 60_000_000));
    let before = place.objects("data").len();
    let ours = child_that_backs_up(place);
    wait_until("a pack is stored", || place.objects("data").len() > before);
    signal(&ours, "STOP");
    ours
}

#[test]
fn restic_does_not_prune_while_we_write() {
    let place = Place::new();
    place.fill();
    let repository = place.init();
    repository.backup(&place.request()).unwrap();
    let path = place.path("repository");
    let mut ours = half_done(&place);
    let refusal = restic(&path).arg("prune").output().unwrap();
    let text = String::from_utf8_lossy(&refusal.stderr).into_owned();
    assert!(
        !refusal.status.success() && text.contains("locked") && text.contains("testhost"),
        "{text}"
    );
    signal(&ours, "CONT");
    assert!(ours.wait().unwrap().success());
    output(restic(&path).arg("prune"));
    repository.verify_everything().unwrap();
    assert_eq!(repository.snapshots().unwrap().len(), 2);
}

/// The control of the test above: without our lock restic removes what we have just stored. The run itself cannot
/// know; the verification does.
#[test]
fn without_our_lock_restic_prunes_our_packs_and_the_verification_finds_it() {
    let place = Place::new();
    place.fill();
    let repository = place.init();
    repository.backup(&place.request()).unwrap();
    let mut ours = half_done(&place);
    for lock in place.objects("locks") {
        std::fs::remove_file(lock).unwrap();
    }
    output(restic(&place.path("repository")).arg("prune"));
    signal(&ours, "CONT");
    ours.wait().unwrap();
    let newest = repository.snapshots().unwrap().pop().unwrap();
    refused(repository.verify(&newest.id), Reason::Corrupt);
}

fn theirs_pid(text: &str) -> String {
    let (_, behind) = text.split_once("process ").unwrap();
    format!("process {}", behind.split(' ').next().unwrap())
}

#[test]
fn stock_restic_reads_our_repository_over_s3() {
    let place = Place::new();
    place.fill();
    let server = Server::start(|port| {
        let mut command = Command::new(installed("python/bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command
    });
    let address = format!("http://127.0.0.1:{}", server.port);
    // moto makes a bucket for anybody who asks.
    output(Command::new("python3").arg("-c").arg(format!(
        "import urllib.request as u; u.urlopen(u.Request('{address}/backups', method='PUT'))"
    )));
    let mut settings = s3::settings(server.port);
    settings.region = "us-east-1".into();
    let elsewhere = Location::S3(backup::S3 {
        bucket: "elsewhere".into(),
        ..settings.clone()
    });
    let text = refused(
        Repository::init(&elsewhere, PASSWORD, None, run()),
        Reason::BucketMissing,
    );
    assert!(
        text.ends_with(": there is no bucket \"elsewhere\" (404 NoSuchBucket)"),
        "{text}"
    );
    let location = Location::S3(settings);
    let repository = Repository::init(&location, PASSWORD, None, run()).unwrap();
    let request = place.request_of(vec![Source::Folder {
        paths: vec![place.path("source")],
        exclude: vec![],
    }]);
    let captured = backup_and_prove(&repository, &request, &place.path("scratch"));

    let url = format!("s3:{address}/backups/shop");
    let theirs = |arguments: &[&str]| {
        let mut command = restic(Path::new(&url));
        command
            .env("AWS_ACCESS_KEY_ID", s3::ACCESS)
            .env("AWS_SECRET_ACCESS_KEY", s3::SECRET)
            .args(arguments);
        output(&mut command)
    };
    assert!(theirs(&["check", "--read-data"]).contains("no errors were found"));
    let target = place.path("theirs");
    theirs(&[
        "restore",
        &captured.snapshot.to_string(),
        "--target",
        target.to_str().unwrap(),
    ]);
    let source = place.path("source");
    output(
        Command::new("diff")
            .arg("-r")
            .arg(target.join(source.strip_prefix("/").unwrap()))
            .arg(&source),
    );
}
