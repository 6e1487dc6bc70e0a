//! What the tests share: engines, a clock that is moved by hand, toy reactors, a journal that can be crashed.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use events::{
    About, Answer, BootId, Boottime, Clock, Clocks, Composer, Composition, Due, Effects, Envelope, Fact, Factory,
    House, Identity, Input, Job, JobId, Key, Moment, Name, OnCrash, Reactor, Recorded, Started, Stop, Stopped,
    SubmitError, TestRequested, Tick, Timestamp, Views, Work, name_of,
};
use jiff::SignedDuration;
use store::{Folder, Journal, Options, StoreError, Writer};
use tokio::{sync::watch, task::JoinSet};

/// An engine under test: where it keeps its things, and how it opens them.
#[async_trait]
pub(crate) trait Engine: Send + Sync {
    /// A fresh place.
    fn new() -> Self;
    /// Opens the journal there.
    async fn open(
        &self,
        options: Options,
        factory: Arc<dyn Factory>,
        clocks: Arc<dyn Clocks>,
    ) -> Result<(Folder, Journal, Writer), StoreError>;
    /// Its files.
    fn path(&self) -> &Path;
}

/// SQLite in a folder.
pub(crate) struct Sqlite {
    path: PathBuf,
    _folder: Option<tempfile::TempDir>,
}

impl Sqlite {
    /// In a folder that somebody else made.
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            _folder: None,
        }
    }
}

#[async_trait]
impl Engine for Sqlite {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            path: folder.path().to_owned(),
            _folder: Some(folder),
        }
    }

    async fn open(
        &self,
        options: Options,
        factory: Arc<dyn Factory>,
        clocks: Arc<dyn Clocks>,
    ) -> Result<(Folder, Journal, Writer), StoreError> {
        let folder = Folder::own(self.path(), Timestamp(0), "contract test")?;
        let (journal, writer) = Journal::open(&folder, options, factory, Arc::new(Echo), clocks).await?;
        Ok((folder, journal, writer))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// A clock that is moved by hand.
#[derive(Default)]
pub(crate) struct HandClock(Mutex<Clock>);

impl HandClock {
    pub(crate) fn advance(&self, by: SignedDuration) {
        let mut clock = self.0.lock().unwrap();
        clock.wall = clock.wall.plus(by);
        clock.boot = clock.boot.plus(by);
    }

    /// Sets the wall clock forth or back.
    pub(crate) fn set_wall(&self, by: SignedDuration) {
        let mut clock = self.0.lock().unwrap();
        clock.wall = clock.wall.plus(by);
    }

    pub(crate) fn reboot(&self, name: &str) {
        let mut clock = self.0.lock().unwrap();
        clock.boot = Boottime(1_000_000_000);
        clock.boot_id = BootId(name.to_owned());
    }
}

impl Clocks for HandClock {
    fn now(&self) -> Clock {
        self.0.lock().unwrap().clone()
    }
}

/// Composes a body that tells when it was composed.
pub(crate) struct Echo;

impl Composer for Echo {
    fn compose(&self, _: &Views, job: &Job, now: &Moment) -> Option<Composition> {
        matches!(job.work, Work::Message { .. }).then(|| Composition {
            body: format!("{} composed at {}", job.id, now.at.0),
            covers: Vec::new(),
        })
    }
}

/// Enqueues a job for each test that is asked for. The name of the destination says what a crash means, and when the job
/// expires.
struct Teller;

impl Reactor for Teller {
    fn name(&self) -> &'static str {
        "teller"
    }

    fn window(&self) -> SignedDuration {
        SignedDuration::from_mins(1)
    }

    fn absorb(&mut self, _: &Recorded) {}

    fn react(&self, views: &Views, fact: &Recorded, out: &mut Effects) {
        let Fact::TestRequested(asked) = fact.fact() else {
            return;
        };
        let destination = asked.destination.as_str();
        let id = JobId::derive(&views.now.identity, &["test", &fact.seq.to_string()]);
        out.record(Envelope::new(
            name_of("teller"),
            name_of("teller"),
            Fact::Notified(events::Notified {
                job: id,
                destination: asked.destination.clone(),
                about: About::Test { by: asked.by.clone() },
            }),
        ));
        let on_crash = if destination.contains("observe") {
            OnCrash::Observe
        } else if destination.contains("restart") {
            OnCrash::Restart
        } else {
            OnCrash::Resend
        };
        out.enqueue(Job {
            id,
            queue: name_of(&format!("notify/{destination}")),
            due: Due::After(fact.recorded_at.clone(), SignedDuration::ZERO),
            expires: destination.contains("hour").then_some(SignedDuration::from_hours(1)),
            on_crash,
            work: Work::Message {
                destination: asked.destination.clone(),
                about: About::Test { by: asked.by.clone() },
            },
        });
    }
}

struct Nobody;

impl Reactor for Nobody {
    fn name(&self) -> &'static str {
        "paging"
    }

    fn window(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    fn absorb(&mut self, _: &Recorded) {}

    fn react(&self, _: &Views, _: &Recorded, _: &mut Effects) {}
}

/// Builds the toy reactors.
pub(crate) struct Toys;

impl Factory for Toys {
    fn build(&self, _: &str) -> House {
        House {
            reactors: vec![Box::new(Teller)],
            paging: Box::new(Nobody),
        }
    }
}

/// Says when to stop.
#[derive(Clone)]
pub(crate) struct StopSign(watch::Sender<bool>);

impl StopSign {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(crate) fn raise(&self) {
        self.0.send_replace(true);
    }
}

#[async_trait]
impl Stop for StopSign {
    fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    async fn stopped(&self) {
        let mut sign = self.0.subscribe();
        let _ = sign.wait_for(|stopped| *stopped).await;
    }
}

/// A journal with its writer running.
pub(crate) struct Running {
    pub(crate) journal: Journal,
    pub(crate) clock: Arc<HandClock>,
    stop: StopSign,
    tasks: JoinSet<()>,
    _folder: Folder,
}

impl Running {
    /// Starts a journal and records that it started, with a configuration at the first start.
    pub(crate) async fn start(engine: &impl Engine, clock: &Arc<HandClock>, options: Options) -> Self {
        let running = Self::open(engine, clock, options).await.unwrap();
        let started = Fact::Started(Started {
            version: "0.0.0".to_owned(),
            identity: running.journal.identity(),
        });
        running.must(fact("daemon", started)).await;
        if running.journal.views().await.now.configured.is_none() {
            let configured = Fact::Configured(events::Configured {
                digest: "1".to_owned(),
                text: Some("toys".to_owned()),
                same_as: None,
            });
            running.must(fact("daemon", configured)).await;
        }
        running
    }

    pub(crate) async fn open(
        engine: &impl Engine,
        clock: &Arc<HandClock>,
        options: Options,
    ) -> Result<Self, StoreError> {
        let clocks: Arc<dyn Clocks> = clock.clone();
        let (folder, journal, writer) = engine.open(options, Arc::new(Toys), clocks).await?;
        let stop = StopSign::new();
        let mut tasks = JoinSet::new();
        let sign = stop.clone();
        tasks.spawn(async move { writer.run(&sign).await });
        Ok(Self {
            journal,
            clock: Arc::clone(clock),
            stop,
            tasks,
            _folder: folder,
        })
    }

    /// Submits to the reserved queue; it has to be committed.
    pub(crate) async fn must(&self, envelope: Envelope) -> Answer {
        self.journal.submit_reserved(envelope.into()).await.unwrap()
    }

    pub(crate) async fn submit(&self, envelope: Envelope) -> Result<Answer, SubmitError> {
        self.journal.submit(Input::from(envelope)).await
    }

    /// Five seconds go by, and a tick says so.
    pub(crate) async fn tick(&self) -> Answer {
        self.clock.advance(SignedDuration::from_secs(5));
        self.must(fact("daemon", Fact::Tick(Tick::default()))).await
    }

    /// Ends the process as kill -9 would: nothing is drained, nothing is closed.
    pub(crate) async fn crash(mut self) {
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Ends it in order.
    pub(crate) async fn end(mut self) {
        self.stop.raise();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }

    /// Everything in the journal.
    pub(crate) async fn all(&self) -> Vec<Recorded> {
        let mut all = Vec::new();
        loop {
            let from = events::Seq(all.len() as u64 + 1);
            let facts = self.journal.all_facts(from, 1000).await.unwrap();
            if facts.is_empty() {
                return all;
            }
            all.extend(facts);
        }
    }
}

/// An envelope with a fact.
pub(crate) fn fact(stream: &str, fact: Fact) -> Envelope {
    Envelope::new(name_of(stream), name_of("test"), fact)
}

/// A fact without consequences.
pub(crate) fn note(text: &str) -> Envelope {
    fact(
        "note",
        Fact::Stopped(Stopped {
            reason: text.to_owned(),
        }),
    )
}

/// The same, to be recorded once.
pub(crate) fn keyed(key: &str, text: &str) -> Envelope {
    note(text).keyed(Key::new(key).unwrap())
}

/// A fact that enqueues a job.
pub(crate) fn ask(destination: &str) -> Envelope {
    fact(
        "ask",
        Fact::TestRequested(TestRequested {
            destination: Name::new(destination).unwrap(),
            by: "test".to_owned(),
        }),
    )
}

/// Waits until something holds, at most 20 s.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The one store's identity differs from any other's.
pub(crate) fn identity(running: &Running) -> Identity {
    running.journal.identity()
}
