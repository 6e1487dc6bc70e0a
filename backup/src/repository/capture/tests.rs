use super::*;
use crate::run::{Clock, Run};

fn repository(folder: &std::path::Path) -> Repository {
    let run = Run::new("testhost", Clock::new(|| jiff::Timestamp::UNIX_EPOCH));
    Repository::init(&Location::Folder(folder.join("repository")), "password", None, run).unwrap()
}

/// A request over a file that answers every read with an error, whoever asks.
fn unreadable(folder: &std::path::Path) -> Request {
    std::fs::create_dir(folder.join("source")).unwrap();
    std::fs::write(folder.join("source/file"), "content").unwrap();
    let paths = vec![folder.join("source"), "/proc/self/mem".into()];
    Request {
        job: "job".into(),
        run: "run".into(),
        sources: vec![Source::Folder { paths, exclude: vec![] }],
        staging: folder.join("staging"),
        rules: Rules::default(),
    }
}

/// Why there is a gate: the library by itself says that all went well.
#[test]
fn without_the_gate_the_library_stores_a_snapshot_over_an_unreadable_file() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path());
    let request = unreadable(folder.path());
    let staging = Staging::open(&request.staging).unwrap();
    let (parts, _) = repository.stage(&request, &staging).unwrap();
    let tally = Shared::default();
    let Ok(entries) = Entries::new(parts, tally.clone(), repository.run().clone()) else {
        panic!()
    };

    repository.guard.enter(Mode::Maintaining);
    repository.archive(&request, &entries).unwrap();
    assert_eq!(repository.snapshots().unwrap().len(), 1);
    // Only our own count knows.
    assert_eq!(tally.lock().error_count, 1);
    assert!(repository.judge(&tally.lock(), &Rules::default()).is_err());
}

#[test]
fn with_the_gate_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path());
    let failure = repository.backup(&unreadable(folder.path())).unwrap_err();
    assert_eq!(failure.reason(), Reason::SourceUnreadable);
    assert!(repository.snapshots().unwrap().is_empty());
    assert!(repository.find_run("run").unwrap().is_none());
}

#[test]
fn a_run_that_could_not_say_so_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path());
    let mut request = unreadable(folder.path());
    request.rules.allow_unreadable = vec!["/proc".into()];
    request.run = "job-7/1".into();
    let captured = repository.backup(&request).unwrap();
    let found = repository.find_run("job-7/").unwrap().unwrap();
    assert_eq!((found.id, found.note), (captured.snapshot, Some(captured.note)));
}
