//! Clocks of the daemon under test that a story turns: the wall clock together with the boot clock, as time does ([`crate::faketime`]
//! turns the wall clock alone). Its children read the machine's own, so let it be in the past.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use events::{Boottime, Clock, Clocks, Timestamp};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 24 * 3600 * SECOND;

/// Seconds from now to the next noon by UTC: a story that begins there is far from the small hours, whenever it is run.
#[must_use]
pub fn until_noon() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    (DAY / 2 / SECOND - i64::try_from(now).unwrap()).rem_euclid(DAY / SECOND)
}

/// The hand that turns.
#[derive(Debug)]
pub struct Hand {
    file: PathBuf,
    wall: i64,
    boot: i64,
}

impl Hand {
    /// The wall clock at a noon, so many days before the next one.
    #[must_use]
    pub fn noons_ago(folder: &Path, days: i64) -> Self {
        let hand = Self {
            file: folder.join("turned"),
            wall: until_noon() * SECOND - days * DAY,
            boot: 0,
        };
        hand.write();
        hand
    }

    /// Time goes by, on every clock.
    pub fn pass(&mut self, span: Duration) {
        let span = i64::try_from(span.as_nanos()).unwrap();
        (self.wall, self.boot) = (self.wall + span, self.boot + span);
        self.write();
    }

    /// Puts the command's daemon under these clocks.
    pub fn apply(&self) -> impl Fn(&mut Command) + Send + use<> {
        let file = self.file.clone();
        move |command: &mut Command| {
            command.env("WATCHKEEP_CLOCK", &file);
        }
    }

    fn write(&self) {
        let fresh = self.file.with_extension("new");
        std::fs::write(&fresh, format!("{} {}", self.wall, self.boot)).unwrap();
        std::fs::rename(fresh, &self.file).unwrap();
    }
}

/// Clocks as the hand says, by its file.
pub struct Turned {
    machine: Arc<dyn Clocks>,
    file: PathBuf,
}

impl std::fmt::Debug for Turned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turned")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Turned {
    /// The machine's clocks, turned.
    #[must_use]
    pub fn new(machine: Arc<dyn Clocks>, file: PathBuf) -> Self {
        Self { machine, file }
    }
}

impl Clocks for Turned {
    fn now(&self) -> Clock {
        let text = std::fs::read_to_string(&self.file).unwrap();
        let (wall, boot) = text.split_once(' ').unwrap();
        let now = self.machine.now();
        Clock {
            wall: Timestamp(now.wall.0 + wall.parse::<i64>().unwrap()),
            boot: Boottime(now.boot.0 + boot.parse::<i64>().unwrap()),
            boot_id: now.boot_id,
        }
    }
}
