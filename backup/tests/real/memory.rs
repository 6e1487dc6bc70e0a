//! How much memory the parts take, measured in a process of their own.

use std::fs;

use backup::{Access, Location, Order, Repository, restore};

use crate::support::{PASSWORD, Place, child_of, noise, run};

/// What a backup, a proof and a restore in one process may take beside the key derivation, in KiB: one and a half times
/// what restic takes for one of them.
const LIMIT: u64 = 150 * 1024;

/// The largest amount of memory that this process has held since the last call, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    // 5 resets the peak: proc_pid_clear_refs(5).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The body of the child below.
#[test]
#[ignore = "the body of a child, started by another test"]
fn child_that_measures() {
    let Some(folder) = fs::read_link("/proc/self/cwd")
        .ok()
        .filter(|path| path.join("repository").is_dir())
    else {
        return;
    };
    let repository = Repository::open(
        &Location::Folder(folder.join("repository")),
        PASSWORD,
        Access::Write,
        run(),
    )
    .unwrap();
    peak();
    let base = peak();
    let source = backup::Source::Folder {
        paths: vec![folder.join("source")],
        exclude: vec![],
    };
    let request = backup::Request {
        job: "nightly".into(),
        run: "measured".into(),
        sources: vec![source],
        staging: folder.join("staging"),
        rules: backup::Rules::default(),
    };
    let captured = repository.backup(&request).unwrap();
    let mut report = format!("base {base}\nbackup {}\n", peak());
    backup::prove(&repository, &captured.snapshot, None, &folder.join("scratch")).unwrap();
    report.push_str(&format!("prove {}\n", peak()));
    let order = Order {
        snapshot: captured.snapshot,
        only: None,
        destination: folder.join("back"),
        replace: false,
    };
    restore(&repository, &order).unwrap();
    report.push_str(&format!("restore {}\n", peak()));
    fs::write(folder.join("report"), report).unwrap();
}

#[test]
fn memory_does_not_grow_with_the_data() {
    let place = Place::new();
    place.fill();
    for number in 0..3 {
        place.write(&format!("source/noise {number}"), noise(100 + number, 60_000_000));
    }
    let repository = place.init();
    assert!(
        child_of(&place, "memory::child_that_measures")
            .wait()
            .unwrap()
            .success()
    );
    let report = fs::read_to_string(place.path("report")).unwrap();
    for line in report.lines() {
        let (part, peak) = line.split_once(' ').unwrap();
        assert!(peak.parse::<u64>().unwrap() < LIMIT, "{part}: {report}");
    }
    assert_eq!(report.lines().count(), 4);
    // The child's snapshot is one of ours.
    let snapshot = repository.find_run("measured").unwrap().unwrap();
    repository.verify(&snapshot.id).unwrap();
}
