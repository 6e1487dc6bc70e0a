//! What the writer itself records at a tick: probes that fell silent, and inputs that were refused.

use std::collections::BTreeMap;

use events::{
    Boottime, Clock, Envelope, Fact, Input, LimitReached, Look, Name, ProbeResult, Reason, ServiceId, Status, name_of,
};
use jiff::SignedDuration;

use super::intake::Refused;

/// Refused inputs are told of at most once in so much time.
const TOLD_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// A probe of which results are expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Which probe.
    pub probe: Name,
    /// The service it speaks for.
    pub service: ServiceId,
    /// After so long without a result nothing is known any more: three intervals and the timeout.
    pub limit: SignedDuration,
}

/// When probes were last heard of, by the boot clock, in this process.
#[derive(Default)]
pub(super) struct Silence {
    heard: BTreeMap<Name, Boottime>,
}

impl Silence {
    /// Notes the probes that are heard of now.
    pub(super) fn hear<'a>(&mut self, inputs: impl Iterator<Item = &'a Input>, clock: &Clock) {
        for input in inputs {
            if let Input::Probe(result) = input {
                self.heard.insert(result.probe.clone(), clock.boot);
            }
        }
    }

    /// Results that say of the silent ones: unknown. A probe that was never heard of counts from when it was expected.
    pub(super) fn silent(&mut self, expected: &[Expected], clock: &Clock) -> Vec<Input> {
        self.heard
            .retain(|probe, _| expected.iter().any(|expected| expected.probe == *probe));
        let mut silent = Vec::new();
        for Expected { probe, service, limit } in expected {
            let heard = *self.heard.entry(probe.clone()).or_insert(clock.boot);
            if clock.boot.since(heard) <= *limit {
                continue;
            }
            let detail = format!("no result for more than {limit:#}");
            silent.push(Input::Probe(Box::new(ProbeResult {
                probe: probe.clone(),
                service: service.clone(),
                planned: clock.wall,
                ended: clock.wall,
                look: Look::new(Status::Unknown, Reason::NoResult, detail),
                first: None,
            })));
        }
        silent
    }
}

/// Refused inputs that were not told of yet.
#[derive(Default)]
pub(super) struct Limits {
    waiting: Refused,
    told: Option<Boottime>,
}

impl Limits {
    pub(super) fn add(&mut self, more: Refused) {
        self.waiting.queue_full += more.queue_full;
        self.waiting.disk_full += more.disk_full;
        self.waiting.failing += more.failing;
    }

    /// Facts about what was refused, if it is time to tell.
    pub(super) fn due(&self, clock: &Clock) -> Vec<Input> {
        if self.told.is_some_and(|told| clock.boot.since(told) < TOLD_EVERY) {
            return Vec::new();
        }
        let Refused {
            queue_full,
            disk_full,
            failing,
        } = self.waiting;
        let told = [
            (
                "journal_queue",
                queue_full,
                "facts were refused because too many waited",
            ),
            ("journal_disk", disk_full, "facts were refused because the disk is full"),
            ("journal_commit", failing, "facts were refused because commits failed"),
        ];
        told.into_iter()
            .filter(|(_, count, _)| *count > 0)
            .map(|(limit, count, detail)| {
                let reached = LimitReached {
                    limit: name_of(limit),
                    count,
                    detail: detail.to_owned(),
                };
                Envelope::new(name_of("daemon"), name_of("journal"), Fact::LimitReached(reached)).into()
            })
            .collect()
    }

    /// They were told of.
    pub(super) fn told(&mut self, clock: &Clock) {
        self.waiting = Refused::default();
        self.told = Some(clock.boot);
    }
}
