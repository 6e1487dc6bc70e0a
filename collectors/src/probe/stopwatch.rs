//! Where the time of a look went, and what was seen on the way.

use std::time::Duration;

use events::{Look, Timestamp, Timings};
use tokio::time::Instant;

/// Runs from the begin of a look.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    began: Instant,
    /// The parts so far.
    pub(crate) parts: Timings,
    /// End of the certificate that was shown on the way.
    pub(crate) certificate_expires: Option<Timestamp>,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            began: Instant::now(),
            parts: Timings::default(),
            certificate_expires: None,
        }
    }

    /// Time since the begin.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The look, with the parts and the total, and the certificate unless it is about another one.
    pub(crate) fn stamp(self, look: Look) -> Look {
        let total_us = micros(self.elapsed());
        Look {
            timings: Timings { total_us, ..self.parts },
            certificate_expires: look.certificate_expires.or(self.certificate_expires),
            ..look
        }
    }
}

/// Whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
