//! What a caller is told is true, whatever becomes of a commit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use events::{Answer, CommitId, SubmitError, replay};
use store::{Acknowledge, FaultPoint, Faults, Options};

use crate::bench::{Echo, Engine, HandClock, Running, Sqlite, Toys, ask, eventually, keyed, note};

/// Fails at one point of one commit.
pub(crate) struct Once {
    point: FaultPoint,
    commit: AtomicU64,
}

impl Once {
    pub(crate) fn new(point: FaultPoint) -> Arc<Self> {
        Arc::new(Self {
            point,
            commit: AtomicU64::new(0),
        })
    }

    /// Arms it for the commit after this one.
    pub(crate) fn arm(&self, running: &Running) {
        let next = running.journal.committed().borrow().commit.next();
        self.commit.store(next.0, Ordering::SeqCst);
    }

    pub(crate) fn disarm(&self) {
        self.commit.store(0, Ordering::SeqCst);
    }
}

impl Faults for Once {
    fn fails(&self, point: FaultPoint, commit: CommitId) -> bool {
        point == self.point && self.commit.load(Ordering::SeqCst) == commit.0
    }
}

fn options(faults: &Arc<Once>) -> Options {
    let faults: Arc<dyn Faults> = faults.clone();
    Options {
        faults: Some(faults),
        ..Options::default()
    }
}

async fn a_failed_commit_is_given_back_and_leaves_nothing<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let fault = Once::new(FaultPoint::BeforeCommit);
    let running = Running::start(&engine, &clock, options(&fault)).await;
    running.tick().await;
    let before = running.journal.head().await.unwrap();
    fault.arm(&running);
    let refused = running.submit(keyed("a", "one")).await;
    assert!(matches!(refused, Err(SubmitError::NotCommitted(_))), "{refused:?}");
    assert_eq!(running.journal.head().await.unwrap(), before);
    assert!(running.journal.is_settled());
    fault.disarm();
    let again = running.submit(keyed("a", "one")).await.unwrap();
    assert!(matches!(again, Answer::Accepted { .. }), "{again:?}");
    replays(&running).await;
}

async fn a_doubtful_commit_is_given_back_and_found_again<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let fault = Once::new(FaultPoint::AfterCommit);
    let running = Running::start(&engine, &clock, options(&fault)).await;
    fault.arm(&running);
    let doubtful = running.submit(keyed("a", "one")).await;
    assert!(matches!(doubtful, Err(SubmitError::NotCommitted(_))), "{doubtful:?}");
    let again = running.submit(keyed("a", "one")).await.unwrap();
    assert!(matches!(again, Answer::Duplicate { .. }), "{again:?}");
    fault.arm(&running);
    running.submit(ask("me")).await.unwrap_err();
    assert_eq!(
        running.journal.views().await.deliveries.len(),
        1,
        "it was committed all the same"
    );
    assert_eq!(running.journal.jobs().waiting().await.len(), 1);
    running.tick().await;
    replays(&running).await;
}

/// The journal so far says the same again.
async fn replays(running: &Running) {
    let facts = running.all().await;
    let replayed = replay::replay(&facts, Arc::new(Toys), Arc::new(Echo)).unwrap();
    assert_eq!(replayed.differences, []);
    assert_eq!(running.journal.verify_chain().await.unwrap().damage, None);
}

/// A fact of which the caller knows that it is recorded, and a crash right after. True when it is still there.
async fn survives_a_crash<E: Engine>(acknowledge: Acknowledge) -> bool {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let fault = Once::new(FaultPoint::BeforeCommit);
    let with = Options {
        acknowledge,
        ..options(&fault)
    };
    let running = Running::start(&engine, &clock, with).await;
    // The control answers before it commits: the start and the configuration may still be under way.
    let mut committed = running.journal.committed();
    committed.wait_for(|committed| committed.seq.0 == 2).await.unwrap();
    fault.arm(&running);
    let mut told = running.submit(keyed("a", "one")).await;
    if told.is_err() {
        fault.disarm();
        told = running.submit(keyed("a", "one")).await;
    }
    told.unwrap();
    running.crash().await;
    let running = Running::open(&engine, &clock, Options::default()).await.unwrap();
    let key = Some("a");
    running
        .all()
        .await
        .iter()
        .any(|fact| fact.envelope.key.as_ref().map(events::Key::as_str) == key)
}

async fn a_journal_that_stays_closed_opens_as_soon_as_it_can<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let closed = Once::new(FaultPoint::Reopen);
    let failing = Once::new(FaultPoint::BeforeCommit);
    let both: Arc<dyn Faults> = Arc::new(Both(Arc::clone(&closed), Arc::clone(&failing)));
    let with = Options {
        faults: Some(both),
        ..Options::default()
    };
    let running = Running::start(&engine, &clock, with).await;
    closed.arm(&running);
    failing.arm(&running);
    running.submit(keyed("a", "one")).await.unwrap_err();
    assert!(!running.journal.is_settled());
    running.submit(keyed("a", "one")).await.unwrap_err();
    failing.disarm();
    closed.disarm();
    // Nobody has to submit anything for that.
    eventually("the journal is open again", async || running.journal.is_settled()).await;
    running.submit(keyed("a", "one")).await.unwrap();
}

struct Both(Arc<Once>, Arc<Once>);

impl Faults for Both {
    fn fails(&self, point: FaultPoint, commit: CommitId) -> bool {
        self.0.fails(point, commit) || self.1.fails(point, commit)
    }
}

async fn three_failures_stop_the_ordinary_intake_until_one_succeeds<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let fault = Once::new(FaultPoint::BeforeCommit);
    let running = Running::start(&engine, &clock, options(&fault)).await;
    fault.arm(&running);
    for _ in 0..3 {
        running.submit(keyed("a", "one")).await.unwrap_err();
    }
    fault.disarm();
    // Refused at the door: the fault is gone, and it would have succeeded.
    running.submit(keyed("a", "one")).await.unwrap_err();
    running.tick().await;
    eventually("ordinary facts are taken again", async || {
        running.submit(keyed("a", "one")).await.is_ok()
    })
    .await;
}

/// Panics in mid-commit once it is armed.
#[derive(Default)]
struct Bomb(AtomicBool);

impl Faults for Bomb {
    fn fails(&self, _: FaultPoint, _: CommitId) -> bool {
        assert!(!self.0.load(Ordering::SeqCst), "put in by a test");
        false
    }
}

/// More than one commit takes: some are in hand when the writer panics, some wait, one comes later.
async fn a_writer_that_panics_leaves_nobody_waiting<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let bomb = Arc::new(Bomb::default());
    let faults: Arc<dyn Faults> = bomb.clone();
    let options = Options {
        faults: Some(faults),
        ..Options::default()
    };
    let running = Arc::new(Running::start(&engine, &clock, options).await);
    bomb.0.store(true, Ordering::SeqCst);
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..600 {
        let running = Arc::clone(&running);
        callers.spawn(async move { running.submit(note(&number.to_string())).await });
    }
    let answers = tokio::time::timeout(Duration::from_secs(20), callers.join_all()).await;
    let answers = answers.expect("everybody is answered");
    assert!(answers.iter().all(|answer| *answer == Err(SubmitError::Stopping)));
    let later = tokio::time::timeout(Duration::from_secs(20), running.submit(note("later"))).await;
    assert_eq!(later.expect("the door is shut"), Err(SubmitError::Stopping));
}

#[tokio::test]
async fn panicked() {
    a_writer_that_panics_leaves_nobody_waiting::<Sqlite>().await;
}

#[tokio::test]
async fn failed() {
    a_failed_commit_is_given_back_and_leaves_nothing::<Sqlite>().await;
}

#[tokio::test]
async fn doubtful() {
    a_doubtful_commit_is_given_back_and_found_again::<Sqlite>().await;
}

#[tokio::test]
async fn told_only_after_commit() {
    assert!(survives_a_crash::<Sqlite>(Acknowledge::AfterCommit).await);
}

#[tokio::test]
async fn control_told_before_commit_is_found() {
    assert!(!survives_a_crash::<Sqlite>(Acknowledge::BeforeCommit).await);
}

#[tokio::test]
async fn stays_closed() {
    a_journal_that_stays_closed_opens_as_soon_as_it_can::<Sqlite>().await;
}

#[tokio::test]
async fn three_failures() {
    three_failures_stop_the_ordinary_intake_until_one_succeeds::<Sqlite>().await;
}
