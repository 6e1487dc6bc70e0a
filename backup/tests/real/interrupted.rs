//! Runs that do not end well leave no snapshot, and the next run works.

use std::{fs, process::Command};

use backup::{Reason, Repository};

use crate::support::{Place, child_that_backs_up, noise, output, refused, run, wait_until};

#[test]
fn a_cancelled_run_leaves_no_snapshot() {
    let place = Place::new();
    place.fill();
    place.init();
    let run = run();
    let repository = Repository::open(
        &place.location(),
        crate::support::PASSWORD,
        backup::Access::Write,
        run.clone(),
    )
    .unwrap();
    // A pipe in a file's place would wait for ever; a large sparse file takes long enough to be cancelled in.
    fs::File::create(place.path("source/large"))
        .unwrap()
        .set_len(40_000_000_000)
        .unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("the source is being read", || {
                run.traffic.moved().source_bytes > 8_000_000
            });
            run.cancel.cancel();
        });
        refused(repository.backup(&place.request()), Reason::Cancelled);
    });
    fs::remove_file(place.path("source/large")).unwrap();
    let repository = place.open();
    assert!(repository.snapshots().unwrap().is_empty());
    let captured = repository.backup(&place.request()).unwrap();
    repository.verify(&captured.snapshot).unwrap();
}

/// The body of a child that backs up until it is killed; started by the test below through its own name.
#[test]
#[ignore = "the body of a child, started by other tests"]
fn child_that_backs_up_until_it_is_killed() {
    let Some(place) = fs::read_link("/proc/self/cwd")
        .ok()
        .filter(|path| path.join("repository").is_dir())
    else {
        return;
    };
    let location = backup::Location::Folder(place.join("repository"));
    let repository = Repository::open(&location, crate::support::PASSWORD, backup::Access::Write, run()).unwrap();
    let source = backup::Source::Folder {
        paths: vec![place.join("source")],
        exclude: vec![],
    };
    let request = backup::Request {
        job: "nightly".into(),
        run: "killed".into(),
        sources: vec![source],
        staging: place.join("staging"),
        rules: backup::Rules::default(),
    };
    repository.backup(&request).unwrap();
}

#[test]
fn a_killed_run_leaves_no_snapshot_and_its_lock_is_taken_over() {
    let place = Place::new();
    place.write("source/noise", noise(7, 60_000_000));
    let repository = place.init();
    for _ in 0..2 {
        let before = place.objects("data").len();
        let mut child = child_that_backs_up(&place);
        wait_until("a pack is stored", || place.objects("data").len() > before);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(repository.snapshots().unwrap().is_empty());
        assert_eq!(place.objects("locks").len(), 1);
    }
    let report = repository.check_packs().unwrap();
    assert!(report.is_whole() && report.stray > 0, "{report:?}");
    // The dead process's lock does not stand in the way, and what it left half-written is swept.
    let captured = repository.backup(&place.request()).unwrap();
    repository.verify(&captured.snapshot).unwrap();
    assert!(place.objects("locks").is_empty() && place.objects("tmp").is_empty());
    output(
        Command::new("restic")
            .env("RESTIC_PASSWORD", crate::support::PASSWORD)
            .arg("-r")
            .arg(place.path("repository"))
            .args(["--no-cache", "check", "--read-data"]),
    );
}
