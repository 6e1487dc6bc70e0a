//! How soon a daemon with a long record is ready.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use events::{
    BootId, Boottime, Clock, Clocks, Composer, Composition, Effects, Envelope, Fact, Factory, House, Job, Look, Moment,
    Name, ProbeChanged, Reactor, Reason, Recorded, Started, Status, Stop, Tick, Timestamp, Views, name_of,
};
use jiff::SignedDuration;
use store::{Folder, Journal, Options};
use tokio::task::JoinSet;

const FACTS: i64 = 1_000_000;
/// How many are on their way at a time.
const AT_ONCE: usize = 1000;

/// A tick every five seconds: a million facts are eight weeks.
const STEP: i64 = 5_000_000_000;

/// Runs from eight weeks ago to now.
struct Weeks {
    began: Timestamp,
    step: AtomicI64,
}

impl Clocks for Weeks {
    fn now(&self) -> Clock {
        let gone = self.step.load(Ordering::Relaxed) * STEP;
        Clock {
            wall: Timestamp(self.began.0 + gone),
            boot: Boottime(gone),
            boot_id: BootId("figures".to_owned()),
        }
    }
}

/// Nobody reacts while the record is made.
struct Nobody;

impl Reactor for Nobody {
    fn name(&self) -> &'static str {
        "nobody"
    }

    fn window(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    fn absorb(&mut self, _: &Recorded) {}

    fn react(&self, _: &Views, _: &Recorded, _: &mut Effects) {}
}

impl Factory for Nobody {
    fn build(&self, _: &str) -> House {
        House {
            reactors: Vec::new(),
            paging: Box::new(Self),
        }
    }
}

impl Composer for Nobody {
    fn compose(&self, _: &Views, _: &Job, _: &Moment) -> Option<Composition> {
        None
    }
}

struct Never;

#[async_trait::async_trait]
impl Stop for Never {
    async fn stopped(&self) {
        std::future::pending::<()>().await;
    }

    fn is_stopped(&self) -> bool {
        false
    }
}

/// Makes a record of a million facts, then starts the daemon on it five times.
pub(crate) fn start(folder: &Path) {
    let mut daemon = harness::daemon::Setup::new(folder, "[network]\nanchors = []\n").stopped();
    let data = daemon.data();
    std::fs::create_dir_all(&data).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(fill(&data));
    drop(runtime);
    let size = std::fs::metadata(data.join("journal.db")).unwrap().len() / 1_000_000;
    println!("start: {FACTS} facts, {size} MB");
    let mut took: Vec<Duration> = (0..5)
        .map(|_| {
            let began = Instant::now();
            daemon.start_again();
            let took = began.elapsed();
            daemon.kill();
            took
        })
        .collect();
    took.sort();
    println!(
        "start: ready after {:?} (median of 5, after kill -9), from {:?} to {:?}",
        took[2], took[0], took[4]
    );
}

async fn fill(data: &Path) {
    let folder = Folder::own(data, Timestamp(0), "figures").unwrap();
    let clocks = Arc::new(Weeks {
        began: Timestamp(Timestamp::from_jiff(jiff::Timestamp::now()).0 - FACTS * STEP),
        step: AtomicI64::new(0),
    });
    let (journal, writer) = Journal::open(
        &folder,
        Options::default(),
        Arc::new(Nobody),
        Arc::new(Nobody),
        clocks.clone(),
    )
    .await
    .unwrap();
    let writing = tokio::spawn(async move { writer.run(&Never).await });
    let started = Fact::Started(Started {
        version: "figures".to_owned(),
        identity: journal.identity(),
    });
    let by = name_of("figures");
    journal
        .submit(Envelope::new(by.clone(), by, started).into())
        .await
        .unwrap();
    let mut waiting = JoinSet::new();
    for number in 0..FACTS {
        if waiting.len() >= AT_ONCE {
            waiting.join_next().await.unwrap().unwrap();
        }
        clocks.step.store(number, Ordering::Relaxed);
        let journal = journal.clone();
        waiting.spawn(async move { journal.submit(fact(number).into()).await.map(drop).unwrap() });
    }
    while waiting.join_next().await.is_some() {}
    writing.abort();
    let _ended = writing.await;
}

/// Four ticks, then one of 500 probes changes its mind.
fn fact(number: i64) -> Envelope {
    if number % 5 != 0 {
        return Envelope::new(name_of("daemon"), name_of("figures"), Fact::Tick(Tick::default()));
    }
    let probe: Name = name_of(&format!("target-{}", number / 5 % 500));
    let (from, to, reason) = if (number / 2500) % 2 == 0 {
        (Status::Pass, Status::Fail, Reason::HttpStatus)
    } else {
        (Status::Fail, Status::Pass, Reason::Ok)
    };
    let changed = ProbeChanged {
        probe: probe.clone(),
        from,
        look: Look::new(to, reason, "HTTP/1.1 503 Service Unavailable"),
        first: None,
    };
    let stream = name_of(&format!("probe/{probe}"));
    Envelope::new(stream, name_of("figures"), Fact::ProbeChanged(changed))
}
