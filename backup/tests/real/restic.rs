//! Stock restic reads what we wrote, on a folder and over S3, and we respect each other's locks.

use std::{
    path::Path,
    process::{Command, Output},
};

use backup::{Access, Location, Order, Reason, Repository, Source, restore};

use crate::{
    s3,
    support::{PASSWORD, Place, RECOVERY, Server, assert_same_tree, backup_and_prove, output, refused, run, wait_until},
};

fn restic(repository: &Path) -> Command {
    let mut command = Command::new("restic");
    command.env("RESTIC_PASSWORD", PASSWORD).arg("--no-cache").arg("-r").arg(repository);
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
    let text = output(restic(&path).args(["snapshots", "--json", "--tag", "job:nightly"]));
    assert_eq!(text.matches("\"id\"").count(), 2, "{text}");

    std::fs::remove_file(place.path("source/more")).unwrap();
    output(restic(&path).args(["restore", &captured.snapshot.to_string(), "--target"]).arg(place.path("theirs")));
    let order = Order { snapshot: captured.snapshot, only: None, destination: place.path("ours"), replace: false };
    restore(&repository, &order).unwrap();
    let source = place.path("source");
    let source = source.strip_prefix("/").unwrap();
    output(Command::new("diff").arg("-r").arg(place.path("theirs").join(source)).arg(place.path("source")));
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
    let order = Order { snapshot: snapshot.id, only: None, destination: place.path("ours"), replace: false };
    restore(&repository, &order).unwrap();
    let source = place.path("source");
    output(Command::new("diff").arg("-r").arg(place.path("ours").join(source.strip_prefix("/").unwrap())).arg(&source));
    refused(backup::prove(&repository, &snapshot.id, None, &place.path("scratch")), Reason::NoRecord);
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
    let script = format!("restic --no-cache -r '{}' backup --stdin < '{}'", path.display(), pipe.display());
    let mut theirs = theirs.arg("-c").arg(script).env("RESTIC_PASSWORD", PASSWORD).spawn().unwrap();
    let input = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    wait_until("restic has its lock", || !place.objects("locks").is_empty());
    let text = refused(repository.backup(&place.request()), Reason::LockedByOther);
    assert!(text.contains(&theirs_pid(&text)), "{text}");
    drop(input);
    assert!(theirs.wait().unwrap().success());
    std::fs::remove_file(&pipe).unwrap();

    // Ours: restic's prune, which would delete our new packs, refuses while we write.
    place.write("source/noise", crate::support::noise(5, 40_000_000));
    std::thread::scope(|scope| {
        let ours = scope.spawn(|| repository.backup(&place.request()));
        wait_until("we have our lock", || !place.objects("locks").is_empty());
        let refusal: Output = restic(&path).arg("prune").output().unwrap();
        let text = String::from_utf8_lossy(&refusal.stderr).into_owned();
        assert!(!refusal.status.success() && text.contains("locked"), "{text}");
        assert!(text.contains("testhost"), "{text}");
        ours.join().unwrap().unwrap();
    });
    output(restic(&path).arg("prune"));
    repository.verify_everything().unwrap();
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
        let mut command = Command::new("moto_server");
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
    let location = Location::S3(settings);
    let repository = Repository::init(&location, PASSWORD, None, run()).unwrap();
    let request = place.request_of(vec![Source::Folder { paths: vec![place.path("source")], exclude: vec![] }]);
    let captured = backup_and_prove(&repository, &request, &place.path("scratch"));

    let url = format!("s3:{address}/backups/shop");
    let theirs = |arguments: &[&str]| {
        let mut command = restic(Path::new(&url));
        command.env("AWS_ACCESS_KEY_ID", s3::ACCESS).env("AWS_SECRET_ACCESS_KEY", s3::SECRET).args(arguments);
        output(&mut command)
    };
    assert!(theirs(&["check", "--read-data"]).contains("no errors were found"));
    let target = place.path("theirs");
    theirs(&["restore", &captured.snapshot.to_string(), "--target", target.to_str().unwrap()]);
    let source = place.path("source");
    output(Command::new("diff").arg("-r").arg(target.join(source.strip_prefix("/").unwrap())).arg(&source));
}
