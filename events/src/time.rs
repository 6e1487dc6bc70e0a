//! Time as facts: wall clock for display and calendars, boot clock for durations, and the two cumulative clocks
//! that every fact is stamped with.

use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment of the wall clock: nanoseconds since the Unix epoch, UTC. RFC 3339 in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub fn as_nanos(self) -> i64 {
        self.0
    }

    /// This moment moved by a duration, clamped to what an `i64` of nanoseconds can hold.
    #[must_use]
    pub fn plus(self, by: SignedDuration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }

    /// How much later `self` is than `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> SignedDuration {
        SignedDuration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This moment without its fraction of a second: what a person reads.
    #[must_use]
    pub fn whole_seconds(self) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(1_000_000_000)))
    }

    /// The same moment as jiff's type, for calendars and display.
    #[must_use]
    pub fn to_jiff(self) -> jiff::Timestamp {
        // An i64 of nanoseconds lies well inside jiff's range.
        jiff::Timestamp::from_nanosecond(i128::from(self.0)).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }

    /// From jiff's type, clamped to the years 1677 to 2262.
    #[must_use]
    pub fn from_jiff(at: jiff::Timestamp) -> Self {
        let clamped = at.as_nanosecond().clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        Self(i64::try_from(clamped).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_jiff().fmt(formatter)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        jiff::Timestamp::deserialize(deserializer).map(Self::from_jiff)
    }
}

/// Nanoseconds of a duration, clamped to an `i64`.
#[must_use]
pub fn nanos(duration: SignedDuration) -> i64 {
    let clamped = duration.as_nanos().clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(clamped).unwrap_or(0)
}

macro_rules! cumulative {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub i64);

        impl $name {
            /// This clock's reading moved by a duration.
            #[must_use]
            pub fn plus(self, by: SignedDuration) -> Self {
                Self(self.0.saturating_add(nanos(by)))
            }

            /// How much further this clock has run than at `earlier`.
            #[must_use]
            pub fn since(self, earlier: Self) -> SignedDuration {
                SignedDuration::from_nanos(self.0.saturating_sub(earlier.0))
            }
        }
    };
}

cumulative!(
    /// Nanoseconds since this machine's boot, suspend included (`CLOCK_BOOTTIME`). Comparable within one [`BootId`].
    Boottime
);
cumulative!(
    /// Nanoseconds of elapsed time since the journal began; runs on while the daemon is down. Windows go by it.
    Elapsed
);
cumulative!(
    /// Nanoseconds during which the daemon really watched; stands still while it is down. Holds go by it.
    Watched
);

/// Which boot of the machine a [`Boottime`] belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BootId(pub String);

/// One reading of the machine's clocks, taken by the shell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Wall clock.
    pub wall: Timestamp,
    /// Boot clock.
    pub boot: Boottime,
    /// Boot that the boot clock belongs to.
    pub boot_id: BootId,
}

/// When a fact was recorded, on every clock there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Wall clock: for display and calendars only.
    pub wall: Timestamp,
    /// Boot clock.
    pub boot: Boottime,
    /// Boot that `boot` belongs to.
    pub boot_id: BootId,
    /// Cumulative elapsed time.
    pub at: Elapsed,
    /// Cumulative watched time.
    pub watched: Watched,
}

/// Between two ticks at most this much counts as watched: a longer gap was a stall, not watching.
pub const WATCHED_MAX_PER_TICK: SignedDuration = SignedDuration::from_secs(10);

/// A difference between wall and boot clock larger than this is a [`crate::Fact::ClockJumped`].
pub const CLOCK_JUMP_MIN: SignedDuration = SignedDuration::from_secs(2);

impl Moment {
    /// Stamps a reading of the clocks, given the moment of the last tick (or of `Started`).
    ///
    /// `at` grows by the boot clock, in another boot by the wall clock, never backwards. `watched` grows by the same,
    /// at most [`WATCHED_MAX_PER_TICK`], and not at all until a first tick after a start (`watching` is false).
    #[must_use]
    pub fn stamp(last: &Self, watching: bool, clock: &Clock) -> Self {
        let same_boot = last.boot_id == clock.boot_id;
        let elapsed = if same_boot {
            clock.boot.since(last.boot)
        } else {
            clock.wall.since(last.wall)
        };
        let elapsed = elapsed.max(SignedDuration::ZERO);
        let watched = if watching && same_boot {
            elapsed.min(WATCHED_MAX_PER_TICK)
        } else {
            SignedDuration::ZERO
        };
        Self {
            wall: clock.wall,
            boot: clock.boot,
            boot_id: clock.boot_id.clone(),
            at: last.at.plus(elapsed),
            watched: last.watched.plus(watched),
        }
    }

    /// How far the wall clock moved against the boot clock since `last`, if both are of one boot and it is a jump.
    #[must_use]
    pub fn jump(last: &Self, clock: &Clock) -> Option<SignedDuration> {
        if last.boot_id != clock.boot_id {
            return None;
        }
        let drift = clock.wall.since(last.wall) - clock.boot.since(last.boot);
        (drift.abs() > CLOCK_JUMP_MIN).then_some(drift)
    }
}

/// Reads the machine's clocks; the daemon has the real one, tests move theirs.
pub trait Clocks: Send + Sync {
    /// The clocks now.
    fn now(&self) -> Clock;
}
