//! Damage in the store is found, named, and never restored.

use std::{fs, path::Path};

use backup::{Access, Order, Reason, Repository, restore};

use crate::support::{PASSWORD, Place, RECOVERY, flip, refused, run};

/// A repository with one proved snapshot.
fn filled() -> (Place, Repository, backup::Captured) {
    let place = Place::new();
    place.fill();
    let repository = place.init();
    let captured = repository.backup(&place.request()).unwrap();
    (place, repository, captured)
}

#[test]
fn one_flipped_bit_anywhere_fails_the_verification_and_the_restore_before_it_writes() {
    let (place, repository, captured) = filled();
    repository.verify(&captured.snapshot).unwrap();
    let order = Order {
        snapshot: captured.snapshot,
        only: None,
        destination: place.path("back"),
        replace: false,
    };
    let mut tried = 0;
    for kind in ["data", "index", "snapshots", "keys"] {
        for path in place.objects(kind) {
            let whole = fs::read(&path).unwrap();
            flip(&path);
            let text = refused(repository.verify(&captured.snapshot), Reason::Corrupt);
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(text.contains(name), "{name}: {text}");
            if kind != "keys" {
                refused(restore(&repository, &order), Reason::Corrupt);
                refused(
                    backup::prove(&repository, &captured.snapshot, None, &place.path("scratch")),
                    Reason::Corrupt,
                );
            }
            assert!(!place.path("back").exists(), "{name}");
            fs::write(&path, whole).unwrap();
            tried += 1;
        }
    }
    assert!(tried >= 6, "{tried}");
    // The control: with the bytes back everything is whole again.
    repository.verify(&captured.snapshot).unwrap();
    restore(&repository, &order).unwrap();
}

#[test]
fn truncated_and_missing_packs_are_found_without_reading_and_with() {
    let (place, repository, captured) = filled();
    for path in place.objects("data") {
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(repository.check_packs().unwrap().wrong_size.len(), 1);
        refused(repository.verify(&captured.snapshot), Reason::Corrupt);
        fs::remove_file(&path).unwrap();
        assert_eq!(repository.check_packs().unwrap().missing.len(), 1);
        refused(repository.verify(&captured.snapshot), Reason::Corrupt);
        fs::write(&path, &whole).unwrap();
    }
    assert!(repository.check_packs().unwrap().is_whole());
}

#[test]
fn swapped_snapshots_are_found() {
    let (place, repository, first) = filled();
    place.write("source/new", "new");
    let second = repository.backup(&place.request()).unwrap();
    let paths = place.objects("snapshots");
    let (one, two) = (fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
    fs::write(&paths[0], &two).unwrap();
    fs::write(&paths[1], &one).unwrap();
    // Both decrypt, both are valid: only the name tells.
    for snapshot in [first.snapshot, second.snapshot] {
        refused(repository.verify(&snapshot), Reason::Corrupt);
    }
    refused(repository.snapshots(), Reason::Corrupt);
}

#[test]
fn an_older_valid_pack_in_a_packs_place_is_found() {
    let (place, repository, captured) = filled();
    let packs = place.objects("data");
    let whole = fs::read(&packs[0]).unwrap();
    fs::copy(&packs[1], &packs[0]).unwrap();
    refused(repository.verify(&captured.snapshot), Reason::Corrupt);
    fs::write(&packs[0], whole).unwrap();
    repository.verify(&captured.snapshot).unwrap();
}

#[test]
fn a_lost_pack_is_told_and_stored_again() {
    let (place, repository, first) = filled();
    let largest = place
        .objects("data")
        .into_iter()
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap();
    fs::remove_file(&largest).unwrap();
    let second = repository.backup(&place.request()).unwrap();
    assert_eq!(second.lost_packs.len(), 1);
    assert!(largest.ends_with(second.lost_packs[0].to_string()));
    repository.verify(&second.snapshot).unwrap();
    // The sources still had everything, so the first snapshot is whole again too.
    repository.verify(&first.snapshot).unwrap();
    let third = repository.backup(&place.request()).unwrap();
    assert!(third.lost_packs.is_empty());
}

#[test]
fn either_password_opens_and_a_damaged_key_file_does_not_shut_out_the_other() {
    let (place, _, _) = filled();
    let open = |password| Repository::open(&place.location(), password, Access::Read, run());
    assert_eq!(open(PASSWORD).unwrap().id(), open(RECOVERY).unwrap().id());
    refused(open("wrong"), Reason::WrongPassword);
    refused(open(""), Reason::WrongPassword);
    let keys = place.objects("keys");
    assert_eq!(keys.len(), 2);
    let works = |path: &Path| {
        let whole = fs::read(path).unwrap();
        flip(path);
        let answers = [PASSWORD, RECOVERY].map(|password| open(password).map(drop).map_err(|f| f.reason()));
        fs::write(path, whole).unwrap();
        answers
    };
    for key in &keys {
        let answers = works(key);
        assert!(
            answers.contains(&Ok(())) && answers.contains(&Err(Reason::Corrupt)),
            "{answers:?}"
        );
    }
    flip(&place.path("repository/config"));
    refused(open(PASSWORD), Reason::Corrupt);
}

#[test]
fn nothing_where_a_repository_should_be_and_a_repository_where_nothing_should_be() {
    let place = Place::new();
    refused(
        Repository::open(&place.location(), PASSWORD, Access::Write, run()),
        Reason::NotFound,
    );
    refused(
        Repository::open(&place.location(), PASSWORD, Access::Read, run()),
        Reason::NotFound,
    );
    place.init();
    refused(
        Repository::init(&place.location(), PASSWORD, None, run()),
        Reason::AlreadyExists,
    );
    refused(Repository::init(&place.location(), "", None, run()), Reason::Invalid);
}

#[test]
fn a_proof_is_measured_by_what_was_recorded_outside() {
    let (place, repository, first) = filled();
    place.write("source/new", "new");
    let second = repository.backup(&place.request()).unwrap();
    let scratch = place.path("scratch");
    let prove = |snapshot, digest| backup::prove(&repository, snapshot, digest, &scratch);
    prove(&first.snapshot, Some(&first.note.digest)).unwrap();
    refused(prove(&second.snapshot, Some(&first.note.digest)), Reason::Mismatch);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
}
