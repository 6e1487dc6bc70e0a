//! When something is due by the calendar: five cron fields in a named time zone.
//!
//! Pure: no clock, and only the zone database that is compiled in, so that every host and every replay decides alike.

mod cron;
mod zone;

use std::fmt;

use jiff::civil::{DateTime, Time};
use jiff::tz::AmbiguousOffset;
use jiff::{Span as CivilSpan, Timestamp};

pub use cron::Cron;
pub use zone::Zone;

/// The longest time between two days that any fields can name: 29 February, over a year like 2100.
const DAYS_SEARCHED: u32 = 8 * 366 + 1;

/// A schedule: when, by the clock on the wall of some place.
///
/// A time that a clock change leaves out is due at the moment of the change; a time that comes twice is due the first
/// time only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    cron: Cron,
    zone: Zone,
}

/// Why there is no such calendar: which field is wrong, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CalendarError {
    message: String,
    help: String,
}

impl CalendarError {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }

    /// What to write instead.
    pub fn help(&self) -> &str {
        &self.help
    }
}

impl Calendar {
    /// Joins what is valid already.
    pub fn new(cron: Cron, zone: Zone) -> Self {
        Self { cron, zone }
    }

    /// Reads five cron fields (or `@hourly`, `@daily`, …) and the name of a time zone such as `Europe/London`.
    ///
    /// # Errors
    /// When a field is wrong or the zone unknown; the message names which, and what was expected.
    pub fn parse(cron: &str, zone: &str) -> Result<Self, CalendarError> {
        Ok(Self {
            cron: cron.parse()?,
            zone: zone.parse()?,
        })
    }

    /// The next time after a moment; none when there is none, as on 30 February.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let now = self.zone.get().to_datetime(after);
        let mut date = now.date();
        // Moments follow the order of the clock's readings, so what reads earlier than now is past.
        for _ in 0..=DAYS_SEARCHED {
            if self.cron.is_on(date) {
                let mut readings = self
                    .cron
                    .times()
                    .map(|time| date.to_datetime(time))
                    .filter(|reading| *reading > now);
                let due = readings.find_map(|reading| self.moment(reading).filter(|moment| *moment > after));
                if due.is_some() {
                    return due;
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The times after `after` and up to `until`, the first `limit` of them.
    pub fn occurrences(&self, after: Timestamp, until: Timestamp, limit: usize) -> Vec<Timestamp> {
        let next = |moment: &Timestamp| self.next_after(*moment);
        std::iter::successors(self.next_after(after), next)
            .take_while(|moment| *moment <= until)
            .take(limit)
            .collect()
    }

    /// When the clock on the wall reads so for the first time, or, if it never does, when it was put forward.
    fn moment(&self, reading: DateTime) -> Option<Timestamp> {
        let zone = self.zone.get();
        let ambiguous = zone.to_ambiguous_timestamp(reading);
        match ambiguous.offset() {
            AmbiguousOffset::Gap { before, .. } => {
                let reached = before.to_timestamp(reading).ok()?;
                let just_after = reached.checked_add(CivilSpan::new().nanoseconds(1)).ok()?;
                zone.preceding(just_after).next().map(|change| change.timestamp())
            }
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(reading).ok(),
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(reading).ok(),
        }
    }

    /// The cron fields.
    pub fn cron(&self) -> &Cron {
        &self.cron
    }

    /// The time zone.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.cron, self.zone)
    }
}

impl Cron {
    fn times(&self) -> impl Iterator<Item = Time> {
        self.hours().flat_map(move |hour| {
            self.minutes()
                .filter_map(move |minute| Time::new(hour, minute, 0, 0).ok())
        })
    }
}

#[cfg(test)]
mod tests;
