//! Turning the wall clock of a program that knows nothing of it (libfaketime). Its monotonic clocks run on as they are.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A wall clock for one or more programs.
#[derive(Debug, Clone)]
pub struct Clock {
    file: PathBuf,
}

impl Clock {
    /// A clock that shows the true time at first.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let clock = Self {
            file: folder.join("clock"),
        };
        clock.set("+0");
        clock
    }

    /// Turns the clock, also of programs that run: `+3h`, `-2d`, `+90` (seconds), all against the true time.
    pub fn set(&self, offset: &str) {
        let fresh = self.file.with_extension("new");
        std::fs::write(&fresh, format!("{offset}\n")).unwrap();
        std::fs::rename(fresh, &self.file).unwrap();
    }

    /// Puts the command's program under this clock.
    pub fn apply(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1");
        command
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}

fn library() -> PathBuf {
    let places = std::fs::read_dir("/usr/lib")
        .unwrap()
        .map(|entry| entry.unwrap().path().join("faketime/libfaketime.so.1"));
    places
        .into_iter()
        .find(|path| path.exists())
        .expect("libfaketime is not installed: run ./test --prepare")
}
