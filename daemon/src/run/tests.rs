//! The daemon in this process, with faults put in.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use events::{CommitId, Look, ProbeResult, Reason, ServiceId, Status};
use store::{FaultPoint, Faults};

use super::*;

/// Panics in the journal's writer from a commit on.
#[derive(Default)]
struct Bomb(AtomicU64);

impl Faults for Bomb {
    fn fails(&self, _: FaultPoint, commit: CommitId) -> bool {
        let from = self.0.load(Ordering::SeqCst);
        assert!(from == 0 || commit.0 < from, "put in by a test");
        false
    }
}

fn setup(folder: &Path) -> Setup {
    let text = format!(
        "[store]\npath = \"{}\"\n[web]\nlisten = \"127.0.0.1:0\"\n[network]\nanchors = []\n",
        folder.join("data").display()
    );
    Setup::new(Source::new("test", text))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_panics_ends_the_daemon_and_nobody_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let bomb = Arc::new(Bomb::default());
    let faults: Arc<dyn Faults> = bomb.clone();
    let mut setup = setup(folder.path());
    setup.options.faults = Some(faults);
    let running = start(setup).await.unwrap();
    let journal = running.record.journal.clone();
    bomb.0
        .store(journal.committed().borrow().commit.next().0, Ordering::SeqCst);
    // The next tick sets it off.
    let ended = tokio::time::timeout(Duration::from_secs(20), running.supervisor.fatal().cancelled()).await;
    assert!(ended.is_ok(), "the daemon goes on without a journal");
    let stopped = tokio::time::timeout(Duration::from_secs(5), running.stop("an essential part ended")).await;
    assert!(stopped.is_ok(), "the daemon hangs at its end");
}

#[tokio::test]
async fn results_that_cannot_be_stored_do_not_hold_up_the_watch() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(setup(folder.path())).await.unwrap();
    // Nobody takes them: the first lot fills the channel.
    let (history, _waiting) = mpsc::channel(1);
    let (results, found) = results::Results::new(running.record.journal.clone(), history);
    let mut comparing = tokio::task::JoinSet::new();
    comparing.spawn(results.run());
    let result = ProbeResult {
        probe: name_of("shop"),
        service: ServiceId::new("shop").unwrap(),
        planned: running.app.now(),
        ended: running.app.now(),
        look: Look::new(Status::Pass, Reason::Ok, String::new()),
        first: None,
    };
    // Each says something new, and so is a lot of its own.
    for number in 0..4 {
        let look = Look::new(
            if number % 2 == 0 { Status::Pass } else { Status::Fail },
            Reason::Ok,
            String::new(),
        );
        let status = look.status;
        found.send(ProbeResult { look, ..result.clone() }).await.unwrap();
        let compared = async {
            let mut commits = running.record.journal.committed();
            while running
                .record
                .journal
                .views()
                .await
                .probes
                .get("shop")
                .map(|row| row.status)
                != Some(status)
            {
                commits.changed().await.unwrap();
            }
        };
        let compared = tokio::time::timeout(Duration::from_secs(10), compared).await;
        assert!(compared.is_ok(), "the watch waits for telemetry");
    }
    drop(found);
    comparing.join_all().await;
    let query = store::FactQuery {
        kinds: vec!["limit_reached".to_owned()],
        limit: 10,
        ..store::FactQuery::default()
    };
    let told = running.record.journal.facts(&query).await.unwrap();
    let counts: Vec<u64> = told
        .items
        .iter()
        .filter_map(|fact| match fact.fact() {
            Fact::LimitReached(limit) => Some(limit.count),
            _ => None,
        })
        .collect();
    assert_eq!(
        counts,
        [1, 1],
        "three were dropped: the first is told, and that there were two"
    );
    running.stop("the test ends").await;
}

/// A log record that takes more than a page, compressed.
fn large_log(now: events::Timestamp) -> events::Batch {
    let body = (0..1000_u32).map(|number| blake3::hash(&number.to_le_bytes()).to_hex().to_string());
    let log = events::LogRecord {
        time: now,
        service: ServiceId::new("shop").unwrap(),
        release: None,
        severity: 9,
        body: body.collect(),
        trace: None,
        span: None,
        attributes: events::Attributes::new(),
    };
    events::Batch {
        source: "test".to_owned(),
        key: None,
        records: vec![events::Record::Log(log)],
        reply: Vec::new(),
    }
}

/// Flips a bit in the middle of a page that holds nothing but a part of a large value. Source: SQLite's file format, 1.6:
/// an overflow page begins with the number of the next one, whose first byte is 0 in a small file.
fn garble(database: &Path) {
    const PAGE: usize = 8192;
    let mut bytes = std::fs::read(database).unwrap();
    let is_overflow = |page: &&mut [u8]| page[0] == 0 && page.iter().filter(|byte| **byte != 0).count() > PAGE / 2;
    let page = bytes
        .chunks_exact_mut(PAGE)
        .skip(1)
        .find(is_overflow)
        .expect("a large value");
    page[PAGE / 2] ^= 1;
    std::fs::write(database, bytes).unwrap();
}

#[tokio::test]
async fn a_block_of_telemetry_that_cannot_be_read_is_a_fact() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(setup(folder.path())).await.unwrap();
    running
        .record
        .telemetry
        .append(large_log(running.app.now()))
        .await
        .unwrap();
    running.stop("to damage it").await;
    garble(&folder.path().join("data").join("telemetry.db"));
    let running = start(setup(folder.path())).await.unwrap();
    let filter = events::Filter::default();
    let found = running.record.telemetry.reader().logs(&filter, 10, None).await.unwrap();
    assert_eq!(found.gaps.len(), 1, "{found:?}");
    housekeeping::tell_damage(&running.record).await;
    housekeeping::tell_damage(&running.record).await;
    let query = store::FactQuery {
        kinds: vec!["task_failed".to_owned()],
        limit: 10,
        ..store::FactQuery::default()
    };
    let told = running.record.journal.facts(&query).await.unwrap();
    let [only] = told.items.as_slice() else {
        panic!("once: {told:?}")
    };
    let Fact::TaskFailed(failed) = only.fact() else {
        panic!("{only:?}")
    };
    assert_eq!(failed.task.as_str(), "telemetry");
    assert!(failed.error.contains("(block 1): what they held is lost"), "{failed:?}");
    running.stop("the test ends").await;
}
