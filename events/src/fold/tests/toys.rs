//! Small reactors of every kind, sound and flawed.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, Once,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::SignedDuration;

use crate::*;

/// What is wrong with the reactors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    StateInReact,
    WallTime,
    HashOrder,
    Immortal,
}

/// Splitmix64: enough for histories, and the same everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(super) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

/// Panics that no replay can foresee: reactors ask it whether to panic now.
#[derive(Clone)]
pub(super) struct Chance(Arc<Mutex<(Random, u64)>>);

const PANIC: &str = "toy panic";

impl Chance {
    pub(super) fn new(seed: u64, one_in: u64) -> Self {
        Self(Arc::new(Mutex::new((Random(seed ^ 0xABCD), one_in))))
    }

    pub(super) fn never(&self) {
        self.0.lock().unwrap().1 = 0;
    }

    fn strike(&self) {
        let struck = {
            let (random, one_in) = &mut *self.0.lock().unwrap();
            *one_in > 0 && random.one_in(*one_in)
        };
        assert!(!struck, "{PANIC}");
    }
}

/// Keeps the wanted panics out of the output; all others are shown.
pub(super) fn silence_toy_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<String>();
            if text.is_none_or(|text| text != PANIC) {
                shown(info);
            }
        }));
    });
}

/// Settings of the toys, from the text of a configuration: `window=20 threshold=2 panic-at-depth=1`.
fn setting(text: &str, name: &str, default: i64) -> i64 {
    text.split(' ')
        .filter_map(|word| word.split_once('='))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(default)
}

pub(super) struct Toys {
    pub(super) flaw: Flaw,
    pub(super) chance: Chance,
    /// Differs from run to run: what a flawed reactor takes for the time.
    pub(super) wall: Arc<AtomicU64>,
}

impl Factory for Toys {
    fn build(&self, text: &str) -> House {
        let window = SignedDuration::from_secs(setting(text, "window", 20));
        let threshold = usize::try_from(setting(text, "threshold", 2)).unwrap();
        let mut reactors: Reactors = vec![
            Box::new(Breaches {
                window,
                threshold,
                flaw: self.flaw,
                failures: VecDeque::new(),
                total: 0,
                wall: Arc::clone(&self.wall),
                chance: self.chance.clone(),
            }),
            Box::new(Notifier {
                flaw: self.flaw,
                told: AtomicU64::new(0),
                chance: self.chance.clone(),
            }),
            Box::new(Chainer {
                panics: setting(text, "panic-at-depth", 0) > 0,
            }),
        ];
        if setting(text, "counter", 1) > 0 {
            reactors.push(Box::new(Counter {
                window,
                bins: VecDeque::new(),
                chance: self.chance.clone(),
            }));
        }
        House {
            reactors,
            paging: Box::new(Pager),
        }
    }
}

fn record(name: &str, fact: Fact, out: &mut Effects) {
    out.record(Envelope::new(name_of(name), name_of(name), fact));
}

/// Opens and ends an alert by the number of failures in a window.
struct Breaches {
    window: SignedDuration,
    threshold: usize,
    flaw: Flaw,
    failures: VecDeque<Elapsed>,
    total: u64,
    wall: Arc<AtomicU64>,
    chance: Chance,
}

impl Reactor for Breaches {
    fn name(&self) -> &'static str {
        "breaches"
    }

    fn window(&self) -> SignedDuration {
        self.window
    }

    fn absorb(&mut self, fact: &Recorded) {
        self.chance.strike();
        if let Fact::ProbeChanged(changed) = fact.fact()
            && changed.look.status == Status::Fail
        {
            self.failures.push_back(fact.recorded_at.at);
            self.total += 1;
        }
        let begin = fact.recorded_at.at.plus(-self.window);
        while self.failures.front().is_some_and(|at| *at <= begin) {
            self.failures.pop_front();
        }
    }

    fn react(&self, views: &Views, fact: &Recorded, out: &mut Effects) {
        if !matches!(fact.fact(), Fact::Tick(_)) {
            return;
        }
        let begin = fact.recorded_at.at.plus(-self.window);
        let mut count = self.failures.iter().filter(|at| **at > begin).count();
        if self.flaw == Flaw::Immortal {
            count = usize::try_from(self.total % 5).unwrap();
        }
        if self.flaw == Flaw::WallTime {
            count += usize::try_from(self.wall.fetch_add(1, Ordering::Relaxed) % 2).unwrap();
        }
        let row = views.phases.get("rule");
        let phase = row.map_or(Phase::Inactive, |row| row.phase);
        let to = match phase {
            Phase::Inactive if count >= self.threshold => Phase::Firing,
            Phase::Firing if count == 0 => Phase::Inactive,
            _ => return,
        };
        let opened = IncidentId::derive(&views.now.identity, &["rule", &fact.seq.to_string()]);
        let changed = AlertPhase {
            rule: name_of("rule"),
            from: phase,
            to,
            why: PhaseCause::Evidence,
            base: 0,
            since: Some(fact.recorded_at.watched),
            until: None,
            incident: Some(row.and_then(|row| row.incident).unwrap_or(opened)),
            readings: Vec::new(),
            rule_digest: String::new(),
            terms: None,
            breach_began: None,
            changes: Vec::new(),
        };
        record("breaches", Fact::AlertPhase(changed), out);
    }
}

/// Tells somebody when an alert begins or ends, and of deployments.
struct Notifier {
    flaw: Flaw,
    told: AtomicU64,
    chance: Chance,
}

impl Reactor for Notifier {
    fn name(&self) -> &'static str {
        "notifier"
    }

    fn window(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    fn absorb(&mut self, _: &Recorded) {
        self.chance.strike();
    }

    fn react(&self, views: &Views, fact: &Recorded, out: &mut Effects) {
        self.chance.strike();
        let about = match fact.fact() {
            Fact::AlertPhase(phase) if phase.opens() => About::Firing {
                incident: phase.incident.unwrap(),
            },
            Fact::AlertPhase(phase) if phase.resolves() => About::Resolved {
                incident: phase.incident.unwrap(),
            },
            Fact::DeploymentRecorded(_) => About::Test {
                by: "notifier".to_owned(),
            },
            _ => return,
        };
        if self.flaw == Flaw::StateInReact && self.told.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
            return;
        }
        let mut destinations = vec!["a", "b", "c"];
        if self.flaw == Flaw::HashOrder {
            let set: HashSet<&str> = destinations.into_iter().collect();
            destinations = unordered(&set);
        }
        for destination in destinations {
            let job = JobId::derive(&views.now.identity, &[destination, &fact.seq.to_string()]);
            let notified = Notified {
                job,
                destination: name_of(destination),
                about: about.clone(),
            };
            record("notifier", Fact::Notified(notified), out);
            out.enqueue(Job {
                id: job,
                queue: name_of(&format!("notify/{destination}")),
                due: Due::After(fact.recorded_at.clone(), SignedDuration::ZERO),
                expires: None,
                on_crash: OnCrash::Resend,
                work: Work::Message {
                    destination: name_of(destination),
                    about: about.clone(),
                },
            });
        }
    }
}

#[expect(clippy::iter_over_hash_type, reason = "the flaw that the control is about")]
fn unordered<'a>(set: &HashSet<&'a str>) -> Vec<&'a str> {
    let mut list = Vec::new();
    for item in set {
        list.push(*item);
    }
    list
}

/// What sets the chainer off.
pub(super) fn chain() -> Input {
    let lifted = SilenceLifted {
        silence: SilenceId(uuid::Uuid::nil()),
        by: "chain".to_owned(),
    };
    Envelope::new(name_of("chain"), name_of("test"), Fact::SilenceLifted(lifted)).into()
}

/// Answers a fact with the same fact, for ever: its chain has to be cut. May panic at the last one.
struct Chainer {
    panics: bool,
}

impl Reactor for Chainer {
    fn name(&self) -> &'static str {
        "chainer"
    }

    fn window(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    fn absorb(&mut self, _: &Recorded) {}

    fn react(&self, _: &Views, fact: &Recorded, out: &mut Effects) {
        let Fact::SilenceLifted(lifted) = fact.fact() else {
            return;
        };
        let depth = lifted.by.len() - "chain".len();
        assert!(!(self.panics && depth == 8), "{}", PANIC.to_owned());
        for _ in 0..=usize::from(depth == 3) {
            let mut again = lifted.clone();
            again.by.push('+');
            record("chain", Fact::SilenceLifted(again), out);
        }
    }
}

/// Counts requests in a window, for two services.
struct Counter {
    window: SignedDuration,
    bins: VecDeque<(Elapsed, u64)>,
    chance: Chance,
}

impl Reactor for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn window(&self) -> SignedDuration {
        self.window
    }

    fn absorb(&mut self, fact: &Recorded) {
        self.chance.strike();
        if let Fact::Tick(tick) = fact.fact() {
            let records = tick.bins.iter().map(|(_, bin)| bin.records).sum();
            self.bins.push_back((fact.recorded_at.at, records));
        }
    }

    fn react(&self, _: &Views, fact: &Recorded, out: &mut Effects) {
        let Fact::NetworkChanged(_) = fact.fact() else { return };
        let begin = fact.recorded_at.at.plus(-self.window);
        let counts = self
            .bins
            .iter()
            .filter(|(at, _)| *at > begin)
            .map(|(_, records)| records);
        let reached = LimitReached {
            limit: name_of("requests"),
            count: counts.sum(),
            detail: String::new(),
        };
        record("counter", Fact::LimitReached(reached), out);
    }
}

/// Pages when a reactor fails.
struct Pager;

impl Reactor for Pager {
    fn name(&self) -> &'static str {
        "pager"
    }

    fn window(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    fn absorb(&mut self, _: &Recorded) {}

    fn react(&self, views: &Views, fact: &Recorded, out: &mut Effects) {
        // What it records is dropped: it may only enqueue.
        record("pager", Fact::Unknown, out);
        let about = About::Test { by: "pager".to_owned() };
        out.enqueue(Job {
            id: JobId::derive(&views.now.identity, &["page", &fact.seq.to_string()]),
            queue: name_of("notify/a"),
            due: Due::After(fact.recorded_at.clone(), SignedDuration::ZERO),
            expires: None,
            on_crash: OnCrash::Resend,
            work: Work::Message {
                destination: name_of("a"),
                about,
            },
        });
    }
}

/// Composes from the views, so that the turn of a start matters.
pub(super) struct Teller;

impl Composer for Teller {
    fn compose(&self, views: &Views, job: &Job, now: &Moment) -> Option<Composition> {
        let waiting: BTreeMap<&str, &Delivery> = views.deliveries.iter().collect();
        // One that panics composes nothing, now and in every replay.
        assert!(waiting.len() % 7 != 6, "{}", PANIC.to_owned());
        let covers = waiting
            .iter()
            .filter(|(id, row)| **id > job.id.to_string().as_str() && row.state == DeliveryState::Queued)
            .take(1)
            .filter_map(|(id, _)| id.parse().ok().map(JobId))
            .collect();
        Some(Composition {
            body: format!("{} open at {}", waiting.len(), now.at.0),
            covers,
        })
    }
}
