//! Every record is counted in exactly one tick, whatever fails, whenever: random histories on real files, with failed
//! and doubtful commits on both sides, crashes between any two steps, pruning, and a database that is replaced. The
//! journal is a list. The controls leave out one of the six sentences of [`super::super::ledger`] each: every one must
//! lose or double a record in some history.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU8, Ordering},
};

use events::CommitId;
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};

use super::{
    super::*,
    world::{NOW, SECOND, World, batch, log},
};
use crate::{FaultPoint, Faults, Synchronous};

/// What happens to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Good,
    Failed,
    /// The caller hears of a failure, but it is committed.
    DoubtThere,
    DoubtNotThere,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many batches at once, of which the first commit has this fate; each is sent again until it is acknowledged.
    Append(u8, Fate),
    /// A batch, and a crash while it is on its way.
    AppendAndCrash,
    Tick(Fate),
    /// A tick; before its answer was heard the journal was opened again, and it is there or not.
    TickAndReopenedJournal(bool),
    /// A tick and a crash before its answer was heard; it is there or not.
    TickAndCrash(bool),
    Prune,
    Crash,
    Stop,
    Replace,
}

/// Which sentence is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    CountingAfterCommit,
    CopyingBeforeTakingAway,
    AskingTheHead,
    CountingBeforeTheTask,
    NumbersOnlyOnce,
    Generation,
    PruningStops,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Good),
        1 => Just(Fate::Failed),
        1 => Just(Fate::DoubtThere),
        1 => Just(Fate::DoubtNotThere),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4_u8, fate()).prop_map(|(many, fate)| Step::Append(many, fate)),
        2 => Just(Step::AppendAndCrash),
        4 => fate().prop_map(Step::Tick),
        1 => any::<bool>().prop_map(Step::TickAndReopenedJournal),
        1 => any::<bool>().prop_map(Step::TickAndCrash),
        2 => Just(Step::Prune),
        1 => Just(Step::Crash),
        1 => Just(Step::Stop),
        1 => Just(Step::Replace),
    ]
}

/// One fault, used once.
#[derive(Default)]
struct OneFault(AtomicU8);

impl Faults for OneFault {
    fn fails(&self, point: FaultPoint, _: CommitId) -> bool {
        let wanted = match point {
            FaultPoint::BeforeCommit => 1,
            FaultPoint::AfterCommit => 2,
            _ => return false,
        };
        self.0
            .compare_exchange(wanted, 0, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// What the journal of the test holds: ticks that are committed.
#[derive(Default)]
struct Journal(Vec<TickPart>);

impl Journal {
    fn head(&self) -> Option<TelemetryHead> {
        self.0.last().and_then(|tick| tick.head)
    }
}

struct History {
    world: World,
    telemetry: Telemetry,
    journal: Journal,
    fault: Arc<OneFault>,
    without: Without,
    sent: u64,
    /// Records by number: whether they were acknowledged. What a replaced database took with it is not in here.
    acknowledged: BTreeMap<u64, bool>,
}

impl History {
    async fn begin(without: Without) -> Self {
        let fault = Arc::new(OneFault::default());
        let mut world = World::new();
        world.options.linger = SignedDuration::ZERO;
        // Nobody pulls the plug here.
        world.options.database.synchronous = Synchronous::Normal;
        world.options.database.faults = Some(Arc::clone(&fault) as Arc<dyn Faults>);
        let telemetry = world.open(None).await;
        Self {
            world,
            telemetry,
            journal: Journal::default(),
            fault,
            without,
            sent: 0,
            acknowledged: BTreeMap::new(),
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Append(many, fate) => self.append(many, fate).await,
            Step::AppendAndCrash => self.append_and_crash().await,
            Step::Tick(fate) => self.tick(fate).await,
            Step::TickAndReopenedJournal(there) => {
                let part = self.telemetry.copy().await;
                self.journal.0.extend(there.then_some(part));
                self.telemetry.settle(self.journal.head());
            }
            Step::TickAndCrash(there) => {
                let part = self.telemetry.copy().await;
                self.journal.0.extend(there.then_some(part));
                self.crash().await;
            }
            Step::Prune => self.prune().await,
            Step::Crash => self.crash().await,
            Step::Stop => {
                self.world.close().await;
                self.open().await;
            }
            Step::Replace => self.replace().await,
        }
    }

    fn next_batch(&mut self) -> (u64, Batch) {
        self.sent += 1;
        let record = Record::Log(log(&format!("r{}", self.sent), NOW, "hello"));
        let mut sent = batch(None, vec![record]);
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.sent.to_le_bytes());
        sent.key = Some(key);
        (self.sent, sent)
    }

    async fn append(&mut self, many: u8, fate: Fate) {
        let code = match fate {
            Fate::Good => 0,
            Fate::Failed | Fate::DoubtNotThere => 1,
            Fate::DoubtThere => 2,
        };
        self.fault.0.store(code, Ordering::Release);
        for _ in 0..many {
            let (number, sent) = self.next_batch();
            if self.without == Without::CountingAfterCommit {
                count_now(&self.telemetry, &sent);
            }
            let mut answer = self.telemetry.append(sent.clone()).await;
            // After a failure some senders give up, others come back with the same key.
            while answer.is_err() && fate != Fate::Failed {
                answer = self.telemetry.append(sent.clone()).await;
            }
            self.acknowledged.insert(number, answer.is_ok());
        }
    }

    async fn append_and_crash(&mut self) {
        let (number, sent) = self.next_batch();
        let answer = {
            let mut append = std::pin::pin!(self.telemetry.append(sent));
            let wait = std::time::Duration::from_micros(self.sent % 7 * 150);
            tokio::time::timeout(wait, &mut append).await
        };
        self.acknowledged.insert(number, matches!(answer, Ok(Ok(_))));
        self.crash().await;
    }

    async fn tick(&mut self, fate: Fate) {
        let part = self.telemetry.copy().await;
        if self.without == Without::CopyingBeforeTakingAway {
            self.telemetry.carried(&part).await;
        }
        let there = matches!(fate, Fate::Good | Fate::DoubtThere);
        self.journal.0.extend(there.then(|| part.clone()));
        let believed = if self.without == Without::AskingTheHead {
            fate == Fate::Good
        } else {
            there
        };
        if believed && self.without != Without::CopyingBeforeTakingAway {
            self.telemetry.carried(&part).await;
        }
    }

    async fn prune(&mut self) {
        if self.without == Without::PruningStops {
            self.sql("DELETE FROM hot").await;
        }
        let retention = Retention {
            now: Timestamp(NOW + 1_000_000 * SECOND),
            keep: SignedDuration::ZERO,
            bytes_max: None,
        };
        self.telemetry.retain(retention).await.unwrap();
        // The keys went as well: what was sent before is never sent again here.
        if self.without == Without::NumbersOnlyOnce {
            self.sql("DELETE FROM sqlite_sequence").await;
        }
    }

    async fn sql(&self, sql: &'static str) {
        let mut connection = database::open(
            self.world.folder(),
            &Options {
                checkpoint_at_open: false,
                ..self.world.options.database.clone()
            },
        )
        .await
        .unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        database::close(connection).await;
    }

    async fn crash(&mut self) {
        self.world.crash().await;
        self.open().await;
    }

    async fn open(&mut self) {
        if self.without == Without::CountingBeforeTheTask {
            self.telemetry = self.world.open_uncounted(self.journal.head()).await;
            self.append(1, Fate::Good).await;
            self.world.count_late(&self.telemetry).await;
        } else {
            self.telemetry = self.world.open(self.journal.head()).await;
        }
    }

    /// Somebody put another database in the place of this one.
    async fn replace(&mut self) {
        self.world.close().await;
        let generation = self.telemetry.generation();
        let ours = self.counted();
        self.acknowledged
            .retain(|number, _| ours.contains_key(&format!("r{number}")));
        for name in ["telemetry.db", "telemetry.db-wal", "telemetry.db-shm"] {
            let _missing = std::fs::remove_file(self.world.folder().join(name));
        }
        if self.without == Without::Generation {
            self.telemetry = self.world.open(self.journal.head()).await;
            self.append(2, Fate::Good).await;
            self.world.close().await;
            let mut connection = database::open(self.world.folder(), &self.world.options.database)
                .await
                .unwrap();
            sqlx::query("UPDATE meta SET generation = ?")
                .bind(generation.as_bytes().to_vec())
                .execute(&mut connection)
                .await
                .unwrap();
            database::close(connection).await;
        }
        self.open().await;
    }

    /// How often the ticks of the journal carried each record.
    fn counted(&self) -> BTreeMap<String, u64> {
        let mut counted = BTreeMap::new();
        for (series, bin) in self.journal.0.iter().flat_map(|tick| tick.bins.iter()) {
            *counted.entry(series.service.as_str().to_owned()).or_default() += bin.records;
        }
        counted
    }

    async fn end(mut self) -> Result<(), String> {
        self.crash().await;
        self.tick(Fate::Good).await;
        let counted = self.counted();
        self.world.close().await;
        for (number, acknowledged) in &self.acknowledged {
            let times = counted.get(&format!("r{number}")).copied().unwrap_or(0);
            if times > 1 || (times == 0 && *acknowledged) {
                return Err(format!(
                    "record {number} (acknowledged: {acknowledged}) was counted {times} times"
                ));
            }
        }
        Ok(())
    }
}

/// Control of the first sentence: counts before COMMIT.
fn count_now(telemetry: &Telemetry, batch: &Batch) {
    let committed = ledger::Committed {
        row: lock(&telemetry.shared.ledger).row() + 1,
        rows: 1,
        digest: &[],
        arrived: Timestamp(NOW),
    };
    lock(&telemetry.shared.ledger).count(&committed, batch.records.iter().map(|record| (record, None)));
}

fn live(steps: &[Step], without: Without) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut history = History::begin(without).await;
        for step in steps {
            history.step(*step).await;
        }
        history.end().await
    })
}

/// Whether one of so many histories is broken.
fn breaks(histories: u32, without: Without) -> bool {
    let mut runner = TestRunner::deterministic();
    let steps = proptest::collection::vec(step(), 4..24);
    (0..histories).any(|_| live(&steps.new_tree(&mut runner).unwrap().current(), without).is_err())
}

#[test]
fn every_record_is_counted_once() {
    let config = Config {
        cases: 120,
        failure_persistence: None,
        ..Config::default()
    };
    let steps = proptest::collection::vec(step(), 4..24);
    TestRunner::new(config)
        .run(&steps, |steps| {
            live(&steps, Without::Nothing).map_err(TestCaseError::fail)
        })
        .unwrap();
}

#[test]
fn without_counting_after_commit_records_are_lost() {
    assert!(breaks(200, Without::CountingAfterCommit));
}

#[test]
fn without_copying_before_taking_away_records_are_lost() {
    assert!(breaks(200, Without::CopyingBeforeTakingAway));
}

#[test]
fn without_asking_the_head_records_are_doubled() {
    assert!(breaks(200, Without::AskingTheHead));
}

#[test]
fn without_counting_before_the_task_records_are_lost() {
    assert!(breaks(200, Without::CountingBeforeTheTask));
}

#[test]
fn with_row_numbers_used_again_records_are_lost() {
    assert!(breaks(200, Without::NumbersOnlyOnce));
}

#[test]
fn without_a_generation_records_are_lost() {
    assert!(breaks(200, Without::Generation));
}

#[test]
fn with_pruning_past_the_tick_records_are_lost() {
    assert!(breaks(200, Without::PruningStops));
}
