//! How the outward heartbeats fare: kept in memory, as each is tried again within its interval.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use events::{Name, Timestamp};

/// So many failures in a row before a heartbeat is said to fail: one may be the other side's deployment.
const FAILURES_MIN: u32 = 3;

/// How one outward heartbeat fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// When it last arrived, since the start.
    pub sent: Option<Timestamp>,
    /// Failures in a row.
    pub failures: u32,
    /// When the first of them was.
    pub since: Option<Timestamp>,
    /// Why the last of them failed, without the address.
    pub why: String,
}

impl Pulse {
    /// True when it failed often enough to be said.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failures >= FAILURES_MIN
    }
}

/// What became of a heartbeat that changes what there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PulseChange {
    /// It fails.
    Fails {
        /// Why.
        why: String,
    },
    /// It arrives again.
    Arrives,
}

/// All outward heartbeats.
#[derive(Debug, Default)]
pub struct Pulses(Mutex<BTreeMap<Name, Pulse>>);

impl Pulses {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Pulse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how a heartbeat ended; says so when that is news.
    pub fn note(&self, name: &Name, now: Timestamp, ended: Result<(), String>) -> Option<PulseChange> {
        let mut all = self.lock();
        let pulse = all.entry(name.clone()).or_default();
        match ended {
            Ok(()) => {
                let failed = pulse.is_failing();
                *pulse = Pulse {
                    sent: Some(now),
                    ..Pulse::default()
                };
                failed.then_some(PulseChange::Arrives)
            }
            Err(why) => {
                pulse.failures = pulse.failures.saturating_add(1);
                pulse.since.get_or_insert(now);
                pulse.why.clone_from(&why);
                (pulse.failures == FAILURES_MIN).then_some(PulseChange::Fails { why })
            }
        }
    }

    /// All of them as they are.
    #[must_use]
    pub fn all(&self) -> BTreeMap<Name, Pulse> {
        self.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use events::name_of;

    use super::*;

    #[test]
    fn the_third_failure_and_the_first_success_after_it_are_news() {
        let (pulses, name) = (Pulses::default(), name_of("outward"));
        let note = |at, ended: Result<(), &str>| pulses.note(&name, Timestamp(at), ended.map_err(str::to_owned));
        assert_eq!(note(1, Ok(())), None);
        assert_eq!(note(2, Err("one")), None);
        assert_eq!(note(3, Err("two")), None);
        assert!(!pulses.all()[&name].is_failing());
        let why = "three".to_owned();
        assert_eq!(note(4, Err("three")), Some(PulseChange::Fails { why }));
        assert_eq!(note(5, Err("four")), None, "it is known");
        let pulse = pulses.all()[&name].clone();
        assert_eq!(
            (pulse.sent, pulse.since, pulse.why.as_str()),
            (Some(Timestamp(1)), Some(Timestamp(2)), "four")
        );
        assert_eq!(note(6, Ok(())), Some(PulseChange::Arrives));
        assert_eq!(note(7, Err("again")), None);
        assert_eq!(note(8, Ok(())), None, "a single failure is no news");
    }
}
