//! `watchkeep restore` on a machine with nothing but the repository and its password.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    sync::atomic::{AtomicI64, Ordering},
};

use backup::{Clock, Location, Repository, Request, Rules, Run, Source};

const PASSWORD: &str = "correct horse battery staple";

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// A repository with two copies of each of these backups, made in this order.
    fn with_copies_of(backups: &[&str]) -> (Self, Vec<String>) {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::write(place.path("password"), PASSWORD).unwrap();
        fs::set_permissions(
            place.path("password"),
            std::os::unix::fs::PermissionsExt::from_mode(0o600),
        )
        .unwrap();
        let seconds = AtomicI64::new(1_800_000_000);
        let clock = Clock::new(move || {
            let now = seconds.fetch_add(1, Ordering::Relaxed);
            jiff::Timestamp::from_second(now).unwrap()
        });
        let run = Run::new("testhost", clock);
        let location = Location::Folder(place.path("repository"));
        let repository = Repository::init(&location, PASSWORD, None, run).unwrap();
        let mut copies = Vec::new();
        for round in ["old", "new"] {
            for backup in backups {
                fs::create_dir_all(place.path(backup)).unwrap();
                fs::write(place.path(backup).join("file"), format!("{round} {backup}")).unwrap();
                let request = Request {
                    job: (*backup).to_owned(),
                    run: format!("{backup}/{round}"),
                    sources: vec![Source::Folder {
                        paths: vec![place.path(backup)],
                        exclude: Vec::new(),
                    }],
                    staging: place.path("staging"),
                    rules: Rules::default(),
                };
                copies.push(repository.backup(&request).unwrap().snapshot.to_string());
            }
        }
        (place, copies)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn restore(&self, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_watchkeep"))
            .args(["restore", "--repository", "repository", "--password-file", "password"])
            .args(["--to", "restored"])
            .args(more)
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    fn refused(&self, more: &[&str]) -> String {
        let output = self.restore(more);
        assert_eq!(output.status.code(), Some(1), "{more:?}");
        assert!(!self.path("restored").exists(), "{more:?}");
        // Wrapped for a terminal.
        let text = String::from_utf8(output.stderr).unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What was restored of a backup; the place is empty again afterwards.
    fn restored(&self, backup: &str, more: &[&str]) -> String {
        let output = self.restore(more);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let file = self.path(backup).join("file");
        let text = fs::read_to_string(self.path("restored").join(file.strip_prefix("/").unwrap())).unwrap();
        fs::remove_dir_all(self.path("restored")).unwrap();
        text
    }
}

#[test]
fn of_several_backups_one_has_to_be_named() {
    let (place, copies) = Place::with_copies_of(&["orders", "files"]);
    let why = place.refused(&[]);
    assert!(why.contains("copies of several backups: say which"), "{why}");
    for backup in ["--backup orders (newest ", "--backup files (newest "] {
        assert!(why.contains(backup), "{why}");
    }
    assert_eq!(place.restored("orders", &["--backup", "orders"]), "new orders");
    assert_eq!(place.restored("files", &["--backup", "files"]), "new files");
    assert_eq!(place.restored("orders", &["--snapshot", &copies[0]]), "old orders");
    let both = ["--backup", "orders", "--snapshot", &copies[0]];
    assert_eq!(place.restored("orders", &both), "old orders");

    let why = place.refused(&["--backup", "order"]);
    assert!(
        why.contains("no copy of backup \"order\"") && why.contains("did you mean orders?"),
        "{why}"
    );
    let why = place.refused(&["--backup", "something"]);
    assert!(why.contains("there are copies of files, orders"), "{why}");
    let why = place.refused(&["--backup", "files", "--snapshot", &copies[0]]);
    assert!(
        why.contains("is of backup \"orders\", not of backup \"files\""),
        "{why}"
    );
}

#[test]
fn of_one_backup_the_newest_needs_no_name() {
    let (place, _) = Place::with_copies_of(&["orders"]);
    assert_eq!(place.restored("orders", &[]), "new orders");
}

/// A password for paper: shown once, nowhere else, and enough on a bare machine.
#[test]
fn a_recovery_key_opens_the_repository_alone() {
    let (place, _) = Place::with_copies_of(&["orders"]);
    let make = |repository: &str| {
        Command::new(env!("CARGO_BIN_EXE_watchkeep"))
            .args(["backup", "recovery-key", repository, "--password-file", "password"])
            .current_dir(place.folder.path())
            .output()
            .unwrap()
    };
    let made = make("repository");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let said = String::from_utf8(made.stdout).unwrap();
    let key = said.lines().find_map(|line| line.strip_prefix("  ")).unwrap();
    assert_eq!(key.split('-').count(), 8, "{said}");
    assert!(!said.contains(PASSWORD) && made.stderr.is_empty());

    // The first one is gone: this one is all there is.
    fs::write(place.path("password"), key).unwrap();
    assert_eq!(place.restored("orders", &[]), "new orders");
    fs::write(place.path("password"), "another one").unwrap();
    place.refused(&[]);

    fs::create_dir(place.path("empty")).unwrap();
    let none = make("empty");
    assert_eq!(none.status.code(), Some(1));
    let why = String::from_utf8(none.stderr).unwrap();
    assert!(why.contains("there is no repository yet"), "{why}");
    assert!(!place.path("empty/config").exists());
}
