//! What was counted is carried by ticks once and only once, whatever becomes of their commits.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use events::{Attributes, Bins, CommitId, Fact, LogRecord, Record, ServiceId, SubmitError, TelemetryHead, Timestamp};
use store::{FaultPoint, Faults, Options, Store, TickPart, TickSource};
use uuid::Uuid;

use crate::bench::{Engine, HandClock, Running, Sqlite, fact};

/// Telemetry of nothing but counts.
#[derive(Default)]
struct Counts {
    bins: Mutex<Bins>,
    row: AtomicU64,
    generation: AtomicU64,
}

impl Counts {
    fn count(&self) {
        let log = LogRecord {
            time: Timestamp(0),
            service: ServiceId::new("shop").unwrap(),
            release: None,
            severity: 9,
            body: String::new(),
            trace: None,
            span: None,
            attributes: Attributes::new(),
        };
        self.bins.lock().unwrap().count(&Record::Log(log), None, Timestamp(0));
        self.row.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl TickSource for Counts {
    async fn copy(&self) -> TickPart {
        let bins = self.bins.lock().unwrap();
        TickPart {
            head: Some(TelemetryHead {
                generation: Uuid::from_u128(self.generation.load(Ordering::SeqCst).into()),
                row: self.row.load(Ordering::SeqCst),
            }),
            receipt: None,
            bins: bins.clone(),
        }
    }

    async fn carried(&self, part: &TickPart) {
        self.bins.lock().unwrap().subtract(&part.bins);
    }
}

/// Fails one commit in three, before or after COMMIT, and some of the openings after it.
struct Often(AtomicU64);

impl Often {
    fn next(&self) -> u64 {
        let state = self.0.load(Ordering::SeqCst);
        let next = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0.store(next, Ordering::SeqCst);
        next >> 33
    }
}

impl Faults for Often {
    fn fails(&self, point: FaultPoint, commit: CommitId) -> bool {
        match point {
            FaultPoint::DiskFull => false,
            _ if commit < CommitId(4) => false,
            _ => self.next().is_multiple_of(5),
        }
    }
}

fn options(seed: u64) -> Options {
    Options {
        faults: Some(Arc::new(Often(AtomicU64::new(seed)))),
        ..Options::default()
    }
}

async fn carried(running: &Running) -> u64 {
    let all = running.all().await;
    let ticks = all.iter().filter_map(|fact| match fact.fact() {
        Fact::Tick(tick) => Some(tick.bins.iter().map(|(_, bin)| bin.records).sum::<u64>()),
        _ => None,
    });
    ticks.sum()
}

/// Counts and ticks through faults. Gives what was counted, and what the journal says in the end.
async fn counted_and_carried<E: Engine>(seed: u64, believe: bool) -> (u64, u64) {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, options(seed)).await;
    let counts = Arc::new(Counts::default());
    let store = Store::new(running.journal.clone(), Arc::clone(&counts));
    let mut counted = 0;
    for round in 0..40 {
        for _ in 0..round % 4 {
            counts.count();
            counted += 1;
        }
        clock.advance(jiff::SignedDuration::from_secs(5));
        if believe {
            let _ = believing_tick(&running, &counts).await;
        } else {
            let _ = store.tick().await;
        }
    }
    loop {
        let ended = if believe {
            believing_tick(&running, &counts).await
        } else {
            store.tick().await
        };
        if ended.is_ok() && counts.bins.lock().unwrap().is_empty() {
            return (counted, carried(&running).await);
        }
    }
}

/// Control: takes COMMIT's error for the truth.
async fn believing_tick(running: &Running, counts: &Counts) -> Result<events::Answer, SubmitError> {
    let part = counts.copy().await;
    let tick = Fact::Tick(events::Tick {
        telemetry: part.head,
        receipt: None,
        bins: part.bins.clone(),
    });
    let answer = running.journal.submit_reserved(fact("daemon", tick).into()).await?;
    counts.carried(&part).await;
    Ok(answer)
}

#[tokio::test]
async fn counted_is_carried() {
    for seed in 0..10 {
        let (counted, carried) = counted_and_carried::<Sqlite>(seed, false).await;
        assert_eq!(counted, carried, "seed {seed}");
    }
}

#[tokio::test]
async fn control_an_error_believed_is_found() {
    let mut broken = 0;
    for seed in 0..10 {
        let (counted, carried) = counted_and_carried::<Sqlite>(seed, true).await;
        broken += u64::from(counted != carried);
    }
    assert!(broken > 0);
}

#[tokio::test]
async fn another_telemetry_database_is_told_of_before_its_first_tick() {
    let (engine, clock) = (Sqlite::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    let counts = Arc::new(Counts::default());
    let store = Store::new(running.journal.clone(), Arc::clone(&counts));
    store.tick().await.unwrap();
    store.tick().await.unwrap();
    counts.generation.store(7, Ordering::SeqCst);
    store.tick().await.unwrap();
    store.tick().await.unwrap();
    let kinds: Vec<&str> = running
        .all()
        .await
        .iter()
        .map(|fact| fact.fact().kind())
        .skip(2)
        .collect();
    assert_eq!(kinds, ["tick", "tick", "telemetry_replaced", "tick", "tick"]);
}

/// A caller that is gone leaves a doubt behind, which the next tick settles.
#[tokio::test]
async fn a_tick_whose_caller_went_away_is_not_counted_twice() {
    let (engine, clock) = (Sqlite::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    let counts = Arc::new(Counts::default());
    let store = Store::new(running.journal.clone(), Arc::clone(&counts));
    counts.count();
    {
        let mut tick = Box::pin(store.tick());
        // Once: it is in the queue, and then given up.
        std::future::poll_fn(|context| {
            let _ = tick.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
    }
    counts.count();
    store.tick().await.unwrap();
    assert_eq!(carried(&running).await, 2);
}
