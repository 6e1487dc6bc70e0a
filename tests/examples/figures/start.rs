//! How soon a daemon with a long record is ready.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use events::{
    Clock, Clocks, Composer, Composition, Effects, Envelope, Fact, Factory, House, Job, Look, Moment, Name, ProbeChanged,
    Reactor, Reason, Recorded, Started, Status, Stop, Timestamp, Views, name_of,
};
use jiff::SignedDuration;
use store::{Folder, Journal, Options};
use tokio::task::JoinSet;

const FACTS: usize = 1_000_000;
/// How many are on their way at a time.
const AT_ONCE: usize = 1000;

struct Wall;

impl Clocks for Wall {
    fn now(&self) -> Clock {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Clock {
            wall: Timestamp::from_jiff(jiff::Timestamp::now()),
            boot: events::Boottime(boot.tv_sec * 1_000_000_000 + boot.tv_nsec),
            boot_id: events::BootId("figures".to_owned()),
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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
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
    println!("start: ready after {:?} (median of 5, after kill -9), from {:?} to {:?}", took[2], took[0], took[4]);
}

async fn fill(data: &Path) {
    let folder = Folder::own(data, Timestamp(0), "figures").unwrap();
    let (journal, writer) = Journal::open(&folder, Options::default(), Arc::new(Nobody), Arc::new(Nobody), Arc::new(Wall))
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
        let (journal, changed) = (journal.clone(), changed(number));
        waiting.spawn(async move { journal.submit(changed.into()).await.map(drop).unwrap() });
    }
    while waiting.join_next().await.is_some() {}
    writing.abort();
    let _ended = writing.await;
}

/// One of 500 probes changes its mind.
fn changed(number: usize) -> Envelope {
    let probe: Name = name_of(&format!("target-{}", number % 500));
    let status = if (number / 500).is_multiple_of(2) { Status::Fail } else { Status::Pass };
    let look = Look::new(status, if status == Status::Fail { Reason::HttpStatus } else { Reason::Ok }, "HTTP/1.1 503 Service Unavailable");
    let changed = ProbeChanged {
        probe: probe.clone(),
        from: if status == Status::Fail { Status::Pass } else { Status::Fail },
        look,
        first: None,
    };
    let stream = name_of(&format!("probe/{probe}"));
    Envelope::new(stream, name_of("figures"), Fact::ProbeChanged(changed))
}
