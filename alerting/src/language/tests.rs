//! What the language promises, from the outside.

mod errors;
mod logic;
mod random;
mod reading;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use jiff::SignedDuration;

use super::{Evidence, Expression, Names, Unknown, parse};

/// The house that most tests stand in.
fn names() -> Names<'static> {
    Names {
        probes: BTreeSet::from(["shop", "mail.example", "404-page"]),
        services: BTreeSet::from(["shop", "api", "pay@staging"]),
        jobs: BTreeSet::from(["nightly", "weekly"]),
    }
}

fn read(text: &str) -> Expression {
    parse(text, &names()).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

fn unknown<T>(reason: &'static str) -> Result<T, Unknown> {
    Err(Unknown::new(reason))
}

/// Evidence from tables; what is not in them is unknown. Remembers what was asked.
#[derive(Default)]
struct Table {
    up: BTreeMap<&'static str, bool>,
    requests: BTreeMap<&'static str, u64>,
    errors: BTreeMap<&'static str, (u64, u64)>,
    /// Every latency, in nanoseconds.
    latencies: Vec<i64>,
    durations: BTreeMap<&'static str, SignedDuration>,
    asked: RefCell<Vec<String>>,
}

impl Table {
    fn look<T: Copy>(&self, table: &BTreeMap<&'static str, T>, question: &str, name: &str) -> Result<T, Unknown> {
        self.asked.borrow_mut().push(format!("{question} {name}"));
        table.get(name).copied().map_or_else(|| unknown("not in the table"), Ok)
    }
}

impl Evidence for Table {
    fn up(&self, name: &str) -> Result<bool, Unknown> {
        self.look(&self.up, "up", name)
    }

    fn requests(&self, service: &str, window: SignedDuration) -> Result<u64, Unknown> {
        self.look(&self.requests, &format!("requests {}s", window.as_secs()), service)
    }

    fn errors(&self, service: &str, window: SignedDuration) -> Result<(u64, u64), Unknown> {
        self.look(&self.errors, &format!("errors {}s", window.as_secs()), service)
    }

    fn over(&self, _: &str, limit: SignedDuration, _: SignedDuration) -> Result<(u64, u64), Unknown> {
        let over = self
            .latencies
            .iter()
            .filter(|latency| i128::from(**latency) > limit.as_nanos())
            .count();
        Ok((
            u64::try_from(over).unwrap(),
            u64::try_from(self.latencies.len()).unwrap(),
        ))
    }

    fn proof_age(&self, job: &str) -> Result<SignedDuration, Unknown> {
        self.look(&self.durations, "proof", job)
    }

    fn deployed_age(&self, service: &str) -> Result<SignedDuration, Unknown> {
        self.look(&self.durations, "deployed", service)
    }

    fn silent_for(&self, name: &str) -> Result<SignedDuration, Unknown> {
        self.look(&self.durations, "silent", name)
    }

    fn expires_in(&self, probe: &str) -> Result<SignedDuration, Unknown> {
        self.look(&self.durations, "expires", probe)
    }
}
