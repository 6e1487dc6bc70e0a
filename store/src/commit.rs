//! The one writer: takes what waits, folds it, commits it, answers.

mod intake;
mod own;
mod space;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use events::{
    Answer, Clock, Commit, Elapsed, Fact, Failures, Input, Key, Name, Past, Recorded, Seq, Stage, Stop, SubmitError,
    Views,
};
use sqlx::Connection as _;
use tokio::time::{Instant, MissedTickBehavior};

pub(crate) use self::intake::{Class, Intake, Item};
pub use self::{
    intake::{QUEUE_BYTES, QUEUE_MAX},
    own::Expected,
};
use self::{
    intake::{Refused, Shut},
    own::{Limits, Silence},
    space::SpaceGuard,
};
use crate::{
    Acknowledge, FaultPoint, Folder, StoreError, chain_of,
    jobs::JobChange,
    journal::{
        connection,
        opening::{self, Engine, Environment, Source},
        shared::{Committed, Shared},
    },
};

/// Panics met while one commit is folded before its inputs are refused.
const PANICS_MAX: usize = 64;
/// So many failed commits within a minute stop the ordinary intake until one succeeds.
const FAILURES_MAX: usize = 3;
const FAILURES_WITHIN: Duration = Duration::from_secs(60);
/// How often the writer looks after space and a journal that stayed closed.
const TEND_EVERY: Duration = Duration::from_secs(1);

/// Commits what is submitted. There is one for each journal; it ends when told to, after what waits was committed. Dropped
/// before that (its task panicked) it leaves nobody waiting: what waits, and what comes later, is refused at once.
pub struct Writer {
    shared: Arc<Shared>,
    environment: Environment,
    engine: Option<Engine>,
    space: SpaceGuard,
    silence: Silence,
    limits: Limits,
    failed: Vec<Instant>,
}

/// What the fold may ask about the past, looked up before.
#[derive(Default)]
struct Known {
    seen: BTreeMap<(Name, Key), (Seq, String)>,
    history: Vec<Recorded>,
}

impl Past for Known {
    fn seen(&self, source: &Name, key: &Key) -> Option<(Seq, String)> {
        self.seen.get(&(source.clone(), key.clone())).cloned()
    }

    fn since(&self, _: Elapsed) -> Vec<Recorded> {
        self.history.clone()
    }
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, environment: Environment, engine: Engine, folder: &Folder) -> Self {
        Self {
            space: SpaceGuard::new(folder, &environment.options),
            shared,
            environment,
            engine: Some(engine),
            silence: Silence::default(),
            limits: Limits::default(),
            failed: Vec::new(),
        }
    }

    /// Runs until told to stop; then takes nothing more, commits what waits, and closes the journal.
    pub async fn run(mut self, stop: &dyn Stop) {
        let mut tend = tokio::time::interval(TEND_EVERY);
        tend.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let items = self.shared.intake.take();
            if !items.is_empty() {
                self.process(items).await;
                continue;
            }
            if self.shared.intake.is_closed() {
                break;
            }
            tokio::select! {
                () = self.shared.intake.arrived() => {}
                _ = tend.tick() => self.tend().await,
                () = stop.stopped() => self.shared.intake.close(),
            }
        }
        self.close().await;
    }

    async fn close(mut self) {
        let Some(mut engine) = self.engine.take() else { return };
        let emptied = connection::checkpoint(&mut engine.ledger.connection, &self.environment.path).await;
        if let Err(error) = emptied {
            tracing::info!(error = %chain_of(&error), "the write-ahead log stays; the next start empties it");
        }
        if let Err(error) = engine.ledger.connection.close().await {
            tracing::warn!(%error, "the journal did not close cleanly");
        }
    }

    /// Looks after the space, and after a journal that could not be opened again.
    async fn tend(&mut self) {
        self.space.look();
        self.shut();
        if self.engine.is_none() {
            self.reopen(&Failures::new()).await.ok();
        }
    }

    /// Refuses, or takes again, ordinary inputs.
    fn shut(&mut self) {
        self.failed.retain(|at| at.elapsed() < FAILURES_WITHIN);
        let shut = if self.space.is_full() {
            Some(Shut::DiskFull)
        } else if self.failed.len() >= FAILURES_MAX {
            Some(Shut::Failing)
        } else {
            None
        };
        self.shared.intake.shut(shut);
    }

    /// One commit, and the answers.
    async fn process(&mut self, mut items: Vec<Item>) {
        self.space.look();
        self.shut();
        let clock = self.shared.clocks.now();
        self.silence
            .hear(items.iter().filter_map(|item| item.input.as_ref()), &clock);
        let told = self.add_own(&mut items, &clock);
        let mut result = self.commit(&mut items, &clock).await;
        if result.as_ref().is_err_and(StoreError::is_full) {
            self.space.ran_full();
            self.shut();
            if self.engine.is_none() {
                self.reopen(&Failures::new()).await.ok();
            }
            self.refuse_ordinary(&mut items);
            if !items.is_empty() {
                result = self.commit(&mut items, &clock).await;
            }
        }
        match result {
            Ok(answers) => {
                self.failed.clear();
                if told {
                    self.limits.told(&clock);
                }
                for (item, answer) in items.iter_mut().zip(answers) {
                    item.answer(Ok(answer));
                }
            }
            Err(error) => self.refuse(items, &error),
        }
    }

    /// At a tick the writer's own inputs follow the reserved ones. True when it tells of refused inputs.
    fn add_own(&mut self, items: &mut Vec<Item>, clock: &Clock) -> bool {
        let is_tick =
            |item: &Item| matches!(&item.input, Some(Input::Fact(envelope)) if matches!(envelope.fact, Fact::Tick(_)));
        if !items.iter().any(is_tick) {
            return false;
        }
        self.limits.add(self.shared.intake.take_refused());
        let limits = self.limits.due(clock);
        let told = !limits.is_empty();
        let mut own = self.silence.silent(&self.shared.expected(), clock);
        own.extend(limits);
        let at = items.iter().take_while(|item| item.class == Class::Reserved).count();
        let own = own
            .into_iter()
            .map(|input| Item::new(Class::Reserved, Some(input), None, None));
        items.splice(at..at, own);
        told
    }

    fn refuse_ordinary(&self, items: &mut Vec<Item>) {
        let mut refused = 0;
        items.retain_mut(|item| {
            let ordinary = item.class == Class::Ordinary;
            if ordinary {
                item.answer(Err(SubmitError::DiskFull));
                refused += 1;
            }
            !ordinary
        });
        let refused = Refused {
            disk_full: refused,
            ..Refused::default()
        };
        self.shared.intake.count_refused(refused);
    }

    fn refuse(&mut self, items: Vec<Item>, error: &StoreError) {
        let full = error.is_full();
        if !full {
            self.failed.push(Instant::now());
        }
        self.shut();
        let why = chain_of(error);
        tracing::error!(
            error = why,
            inputs = items.len(),
            "a commit failed; its inputs are given back"
        );
        for mut item in items {
            item.answer(Err(if full {
                SubmitError::DiskFull
            } else {
                SubmitError::NotCommitted(why.clone())
            }));
        }
    }

    /// Folds and writes. On any error the memory was dropped, and the journal opened again if that was possible.
    #[tracing::instrument(level = "debug", skip_all, fields(inputs = items.len()))]
    async fn commit(&mut self, items: &mut [Item], clock: &Clock) -> Result<Vec<Answer>, StoreError> {
        let mut met = Failures::new();
        for _ in 0..PANICS_MAX {
            if self.engine.is_none() {
                self.reopen(&met).await?;
            }
            let Some(mut engine) = self.engine.take() else { break };
            match attempt(&self.shared, &self.environment, &mut engine, items, clock).await {
                Ok(answers) => {
                    self.engine = Some(engine);
                    return Ok(answers);
                }
                Err(Attempted::Panicked(pair)) => {
                    tracing::error!(reactor = %pair.0, seq = %pair.1, "a reactor panicked while it took a fact in");
                    met.insert(pair, false);
                    engine.ledger.connection.close().await.ok();
                }
                Err(Attempted::Failed(error)) => {
                    // What is in memory may be ahead of the disk: both are given up.
                    self.shared.unsettle();
                    engine.ledger.connection.close().await.ok();
                    if let Err(error) = self.reopen(&Failures::new()).await {
                        tracing::error!(error = %chain_of(&error), "the journal stays closed for now");
                    }
                    return Err(error);
                }
            }
        }
        Err(StoreError::damaged("reactors panic at too many facts of one commit"))
    }

    /// Opens the journal again, as at a start.
    async fn reopen(&mut self, met: &Failures) -> Result<(), StoreError> {
        let next = self.shared.committed.borrow().commit.next();
        if self.environment.options.fails(FaultPoint::Reopen, next) {
            return Err(StoreError::Unsettled);
        }
        let mut engine = opening::open(&self.environment, met, false).await?;
        let entries = std::mem::take(&mut engine.jobs);
        self.shared.take_over(&engine, entries);
        self.engine = Some(engine);
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.intake.abandon();
    }
}

/// Why an attempt at a commit came to nothing.
enum Attempted {
    /// A reactor panicked: the same inputs are folded again without it.
    Panicked((Name, Seq, Stage)),
    /// The database failed.
    Failed(StoreError),
}

impl From<StoreError> for Attempted {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

async fn attempt(
    shared: &Shared,
    environment: &Environment,
    engine: &mut Engine,
    items: &mut [Item],
    clock: &Clock,
) -> Result<Vec<Answer>, Attempted> {
    let options = &environment.options;
    let inputs: Vec<Input> = items.iter().filter_map(|item| item.input.clone()).collect();
    let known = look_up(engine, &inputs).await?;
    let commit = engine.fold.commit(inputs, clock, &known);
    let commit = commit.map_err(|panicked| Attempted::Panicked((panicked.reactor, panicked.seq, Stage::Absorb)))?;
    let changes = changes_of(&commit, items);
    let mut answered = commit.answers.iter().cloned();
    let answers: Vec<Answer> = items
        .iter()
        .map(|item| {
            let answer = item.input.as_ref().and_then(|_| answered.next());
            answer.unwrap_or(Answer::Unchanged)
        })
        .collect();
    if commit.facts.is_empty() && changes.is_empty() {
        return Ok(answers);
    }
    if options.acknowledge == Acknowledge::BeforeCommit {
        for (item, answer) in items.iter_mut().zip(&answers) {
            item.answer(Ok(answer.clone()));
        }
    }
    let written = engine.ledger.write(&commit, &changes).await?;
    if options.fails(FaultPoint::DiskFull, commit.id) {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        return Err(StoreError::io("write to", &environment.path)(source).into());
    }
    if options.fails(FaultPoint::BeforeCommit, commit.id) {
        return Err(put_in("fail before COMMIT").into());
    }
    engine.ledger.commit().await?;
    if options.fails(FaultPoint::AfterCommit, commit.id) {
        return Err(put_in("lose the answer of COMMIT").into());
    }
    engine.ledger.link = written.link;
    let changes = changes.into_iter().zip(written.places).collect();
    shared.publish(engine, &commit, changes, clock);
    Ok(answers)
}

fn put_in(what: &'static str) -> StoreError {
    StoreError::database(what)(sqlx::Error::Protocol("put in by a test".to_owned()))
}

/// Looks up what the fold may ask: known keys and, for a configuration with text, the facts of its reactors' window.
async fn look_up(engine: &mut Engine, inputs: &[Input]) -> Result<Known, StoreError> {
    let mut known = Known::default();
    let mut from: Option<Elapsed> = None;
    for input in inputs {
        let Input::Fact(envelope) = input else { continue };
        if let Fact::Configured(configured) = &envelope.fact
            && let Some(text) = &configured.text
        {
            let start = engine.fold.window_start_of(text);
            from = Some(from.map_or(start, |from| from.min(start)));
        }
        let Some(key) = &envelope.key else { continue };
        let found: Option<(i64, String)> = sqlx::query_as("SELECT seq, body FROM fact WHERE source = ? AND key = ?")
            .bind(envelope.source.as_str())
            .bind(key.as_str())
            .fetch_optional(&mut engine.ledger.connection)
            .await
            .map_err(StoreError::database("look a key up"))?;
        if let Some((seq, body)) = found {
            let seq = Seq(u64::try_from(seq).unwrap_or(0));
            known.seen.insert((envelope.source.clone(), key.clone()), (seq, body));
        }
    }
    if let Some(from) = from {
        let mut source = Source {
            connection: &mut engine.ledger.connection,
            dictionary: &engine.ledger.dictionary,
        };
        known.history = source.since(from).await?;
    }
    Ok(known)
}

/// What a commit changes in the table of jobs: what was queued, what its facts say, and what workers handed in.
fn changes_of(commit: &Commit, items: &[Item]) -> Vec<JobChange> {
    let at = commit.facts.last().map(|fact| fact.recorded_at.at).unwrap_or_default();
    let queued = commit.jobs.iter().map(|job| JobChange::Queued {
        job: Box::new(job.clone()),
        at,
    });
    let told = commit.facts.iter().filter_map(|fact| match fact.fact() {
        Fact::JobStarted(started) => Some(JobChange::Started {
            job: started.job,
            composed: started.composed.clone(),
        }),
        Fact::JobDone(done) => Some(JobChange::Ended { job: done.job }),
        Fact::JobEnded(ended) => Some(JobChange::Ended { job: ended.job }),
        _ => None,
    });
    let handed_in = items.iter().filter_map(|item| item.change.clone());
    queued.chain(told).chain(handed_in).collect()
}

/// Views of a fold, ready to be shared.
pub(crate) fn shared_views(engine: &Engine) -> Views {
    engine.fold.views().clone()
}

/// Where a fold stands, for those who wait for a commit.
pub(crate) fn standing(engine: &Engine, clock: &Clock) -> Committed {
    Committed {
        commit: engine.fold.commit_id(),
        seq: engine.fold.seq(),
        at: clock.boot,
    }
}
