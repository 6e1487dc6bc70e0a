//! Where the time of a look went.

use std::time::Duration;

use events::{Look, Timings};
use tokio::time::Instant;

/// Runs from the begin of a look.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    began: Instant,
    /// The parts so far.
    pub(crate) parts: Timings,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            began: Instant::now(),
            parts: Timings::default(),
        }
    }

    /// Time since the begin.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The look, with the parts and the total.
    pub(crate) fn stamp(self, look: Look) -> Look {
        let total_us = micros(self.elapsed());
        let timings = Timings { total_us, ..self.parts };
        Look { timings, ..look }
    }
}

/// Whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
