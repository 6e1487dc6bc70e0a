//! The fold: inputs in, one commit out. Pure; the shell reads the clocks, the journal and writes the commit.
//!
//! Order: an input sees the views as the one before left them, consequences included. A fact is appended, applied to
//! the views, absorbed by every reactor, and only then shown to `react`, in order of registration; their effects follow
//! depth first, each recorded fact folded to quiet before the next effect.

mod guarded;
mod input;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use self::guarded::{absorb, react};
pub use self::input::{Answer, Input};
use crate::{
    ChangedRow, Clock, ClockJumped, CommitId, Composer, Effect, Elapsed, Envelope, Fact, Factory, FoldCut, House, Job,
    Key, Moment, Name, Reactor, ReactorFailed, Recorded, Seq, Stage, Views, name_of,
};

/// A fact with more causes above it than this is not appended: [`FoldCut`] stands in its place.
pub const CAUSES_MAX: usize = 8;

/// A reactor and a fact at which it panicked, and whether a fact tells of it already (or, in a replay, will by itself).
/// What is not told yet is told at that fact's own turn (derived) or, when it was met in a rebuild, in the first commit
/// after it (observed).
pub type Failures = BTreeMap<Failed, bool>;

/// A reactor, a fact, and what it did when it panicked.
pub type Failed = (Name, Seq, Stage);

/// What the fold asks of the journal; answered from memory, the shell has looked it up before.
pub trait Past {
    /// Where a fact of that source and key stands, and its body.
    fn seen(&self, source: &Name, key: &Key) -> Option<(Seq, String)>;

    /// Facts from the last tick at or before a moment on, in order. Asked only when a configuration is among the
    /// inputs; more may be given, never less.
    fn since(&self, from: Elapsed) -> Vec<Recorded>;
}

/// One commit of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Its number.
    pub id: CommitId,
    /// Its facts, in order.
    pub facts: Vec<Recorded>,
    /// The rows that changed.
    pub rows: Vec<ChangedRow>,
    /// The jobs that were queued.
    pub jobs: Vec<Job>,
    /// One answer for each input.
    pub answers: Vec<Answer>,
}

/// A reactor panicked while taking a fact in: its state is lost. The shell drops the fold, opens it again knowing of
/// the failure, and offers the same inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reactor {reactor} panicked while absorbing fact {seq}")]
pub struct AbsorbPanicked {
    /// Which reactor.
    pub reactor: Name,
    /// At which fact.
    pub seq: Seq,
}

/// What a fold begins with.
pub struct Opening {
    /// Views as stored.
    pub views: Views,
    /// Last fact in the journal.
    pub seq: Seq,
    /// Last commit in the journal.
    pub commit: CommitId,
    /// Text of the last configuration, if there was one.
    pub text: Option<String>,
    /// Every failure that is recorded, and those that were just met.
    pub failures: Failures,
}

/// Views and reactors, kept in step with the journal.
pub struct Fold {
    views: Views,
    house: Option<House>,
    factory: Arc<dyn Factory>,
    composer: Arc<dyn Composer>,
    text: Option<String>,
    failures: Failures,
    seq: Seq,
    commit: CommitId,
}

/// What is known while one commit is folded.
struct Turn<'a> {
    moment: Moment,
    /// Its first fact; of a replay, which knows no commits, the first of all.
    first: Seq,
    past: &'a dyn Past,
    commit: Commit,
}

impl Fold {
    /// Opens a fold. Reactors are built from the text; call [`Fold::rebuild`] with the facts of their window next.
    #[must_use]
    pub fn open(opening: Opening, factory: Arc<dyn Factory>, composer: Arc<dyn Composer>) -> Self {
        let house = opening.text.as_deref().map(|text| factory.build(text));
        let Opening {
            views,
            seq,
            commit,
            text,
            failures,
        } = opening;
        Self {
            views,
            house,
            factory,
            composer,
            text,
            failures,
            seq,
            commit,
        }
    }

    /// The views as they are.
    #[must_use]
    pub fn views(&self) -> &Views {
        &self.views
    }

    /// Last fact folded.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Last commit that held a fact.
    #[must_use]
    pub fn commit_id(&self) -> CommitId {
        self.commit
    }

    /// From when on the reactors need the facts: the last tick at or before this moment.
    #[must_use]
    pub fn window_start(&self) -> Elapsed {
        let window = self.house.as_ref().map_or_else(Default::default, House::window);
        self.views.now.moment.at.plus(-window)
    }

    /// The same for a configuration that is about to come in.
    #[must_use]
    pub fn window_start_of(&self, text: &str) -> Elapsed {
        self.views.now.moment.at.plus(-self.factory.build(text).window())
    }

    /// Feeds the facts of the window to the reactors, as at a start.
    ///
    /// # Errors
    /// When a reactor panics at one of them: open the fold again, knowing of it.
    pub fn rebuild(&mut self, facts: &[Recorded]) -> Result<(), AbsorbPanicked> {
        let Some(house) = &mut self.house else { return Ok(()) };
        feed(house, &self.failures, facts)
    }

    /// Builds the reactors anew, as a journal that is opened again does, leaving out pairs at which they panic. For
    /// replays: what an opening met is in force from its first commit on, and not before.
    ///
    /// # Errors
    /// When a reactor panics at another fact.
    pub fn reopen(&mut self, met: &[Failed], past: &dyn Past) -> Result<(), AbsorbPanicked> {
        self.failures.extend(met.iter().map(|pair| (pair.clone(), true)));
        self.house = self.text.as_deref().map(|text| self.factory.build(text));
        let facts = past.since(self.window_start());
        self.rebuild(&facts)
    }

    /// Folds inputs into a commit. On an error the fold is spent.
    ///
    /// # Errors
    /// When a reactor panics while absorbing: see [`AbsorbPanicked`].
    pub fn commit(&mut self, inputs: Vec<Input>, clock: &Clock, past: &dyn Past) -> Result<Commit, AbsorbPanicked> {
        let starting = inputs
            .first()
            .is_some_and(|input| matches!(input, Input::Fact(envelope) if matches!(envelope.fact, Fact::Started(_))));
        let moment = self.views.now.stamp(clock, starting);
        let commit = Commit {
            id: self.commit.next(),
            ..Commit::default()
        };
        let mut turn = Turn {
            moment,
            first: self.seq.next(),
            past,
            commit,
        };
        if let (false, Some(by)) = (starting, Moment::jump(&self.views.now.compared(), clock)) {
            let jumped = Envelope::new(
                name_of("daemon"),
                name_of("clock"),
                Fact::ClockJumped(ClockJumped { by }),
            );
            self.append(&mut turn, None, 0, jumped)?;
        }
        for (index, input) in inputs.into_iter().enumerate() {
            let answer = self.take(&mut turn, input)?;
            turn.commit.answers.push(answer);
            if index == 0 {
                self.record_failures_met(&mut turn)?;
            }
        }
        Ok(self.finish(turn))
    }

    /// Folds one observed fact of a journal again, with the stamp it had: for replays.
    ///
    /// # Errors
    /// When a reactor panics that did not before.
    pub fn again(&mut self, fact: &Recorded, past: &dyn Past) -> Result<Commit, AbsorbPanicked> {
        let commit = Commit {
            id: fact.commit,
            ..Commit::default()
        };
        let mut turn = Turn {
            moment: fact.recorded_at.clone(),
            first: Seq::default(),
            past,
            commit,
        };
        self.append(&mut turn, None, 0, fact.envelope.clone())?;
        Ok(self.finish(turn))
    }

    fn finish(&mut self, mut turn: Turn<'_>) -> Commit {
        turn.commit.rows = self.views.take_changed();
        // Commits are numbered without gaps; one without facts is none.
        if !turn.commit.facts.is_empty() {
            self.commit = turn.commit.id;
        }
        turn.commit
    }

    /// Failures that were met while rebuilding, and not at their fact's own turn, are recorded as observed, right
    /// after the first input (which at a start is `Started`).
    fn record_failures_met(&mut self, turn: &mut Turn<'_>) -> Result<(), AbsorbPanicked> {
        let recorded = |failures: &Failures, pair: &(Name, Seq, Stage)| failures.get(pair).copied().unwrap_or(true);
        let met: Vec<_> = self
            .failures
            .keys()
            .filter(|pair| !recorded(&self.failures, pair) && pair.1 < turn.first)
            .cloned()
            .collect();
        for (reactor, seq, stage) in met {
            self.failures.insert((reactor.clone(), seq, stage), true);
            let failed = Fact::ReactorFailed(ReactorFailed { reactor, seq, stage });
            self.append(turn, None, 0, Envelope::new(name_of("daemon"), name_of("fold"), failed))?;
        }
        Ok(())
    }

    /// Appends a fact and folds what follows from it to quiet.
    fn append(
        &mut self,
        turn: &mut Turn<'_>,
        cause: Option<(Seq, Name)>,
        depth: usize,
        envelope: Envelope,
    ) -> Result<Seq, AbsorbPanicked> {
        self.seq = self.seq.next();
        let fact = Recorded {
            seq: self.seq,
            commit: turn.commit.id,
            cause,
            recorded_at: turn.moment.clone(),
            envelope,
        };
        let seq = fact.seq;
        self.views.apply(&fact);
        turn.commit.facts.push(fact.clone());
        if matches!(fact.fact(), Fact::Tick(_) | Fact::Started(_)) {
            turn.moment = self.views.now.moment.clone();
        }
        let mut failed = self.take_in(turn, &fact)?;
        let effects = self.decide(&fact, &mut failed);
        for (reactor, at, stage) in failed {
            let told = Fact::ReactorFailed(ReactorFailed {
                reactor: reactor.clone(),
                seq: at,
                stage,
            });
            self.follow(
                turn,
                (seq, reactor),
                depth,
                Envelope::new(name_of("daemon"), name_of("fold"), told),
            )?;
        }
        for (reactor, effect) in effects {
            match effect {
                Effect::Record(envelope) => self.follow(turn, (seq, reactor), depth, *envelope)?,
                Effect::Enqueue(job) => turn.commit.jobs.push(*job),
            }
        }
        Ok(seq)
    }

    /// Appends a consequence, or cuts the chain.
    fn follow(
        &mut self,
        turn: &mut Turn<'_>,
        cause: (Seq, Name),
        depth: usize,
        envelope: Envelope,
    ) -> Result<(), AbsorbPanicked> {
        // What tells of a failure leads to nothing but a page, and a failure that is not told breaks every replay.
        if depth < CAUSES_MAX || matches!(envelope.fact, Fact::ReactorFailed(_)) {
            return self.append(turn, Some(cause), depth + 1, envelope).map(drop);
        }
        if depth > CAUSES_MAX {
            return Ok(());
        }
        let cut = Fact::FoldCut(FoldCut {
            reactor: cause.1.clone(),
        });
        self.append(
            turn,
            Some(cause),
            depth + 1,
            Envelope::new(name_of("daemon"), name_of("fold"), cut),
        )
        .map(drop)
    }

    /// Lets every reactor absorb a fact; a new configuration builds them anew instead.
    fn take_in(&mut self, turn: &Turn<'_>, fact: &Recorded) -> Result<Vec<Failed>, AbsorbPanicked> {
        if let Fact::Configured(configured) = fact.fact()
            && let Some(text) = &configured.text
        {
            let mut house = self.factory.build(text);
            let from = fact.recorded_at.at.plus(-house.window());
            let mut facts = turn.past.since(from);
            facts.extend(turn.commit.facts.iter().cloned());
            feed(&mut house, &self.failures, &facts)?;
            self.text = Some(text.clone());
            self.house = Some(house);
            return Ok(self.untold(turn.first, fact.seq));
        }
        let failed = self.untold(fact.seq, fact.seq);
        let Some(house) = &mut self.house else {
            return Ok(failed);
        };
        if is_about_failure(fact.fact()) {
            return Ok(failed);
        }
        for reactor in &mut house.reactors {
            let pair = (name_of(reactor.name()), fact.seq, Stage::Absorb);
            if self.failures.contains_key(&pair) || absorb(reactor.as_mut(), fact) {
                continue;
            }
            return Err(AbsorbPanicked {
                reactor: pair.0,
                seq: fact.seq,
            });
        }
        Ok(failed)
    }

    /// Panics while absorbing, of reactors that there are, that no fact told of yet: they are told now.
    fn untold(&mut self, first: Seq, last: Seq) -> Vec<Failed> {
        let Some(house) = &self.house else { return Vec::new() };
        let names: Vec<Name> = house.reactors.iter().map(|reactor| name_of(reactor.name())).collect();
        let mut failed = Vec::new();
        for (pair, told) in &mut self.failures {
            let (reactor, seq, stage) = pair;
            if !*told && *stage == Stage::Absorb && (first..=last).contains(seq) && names.contains(reactor) {
                *told = true;
                failed.push(pair.clone());
            }
        }
        failed
    }

    /// Shows a fact to the reactors and collects what they decide; one that panics decides nothing.
    fn decide(&mut self, fact: &Recorded, failed: &mut Vec<Failed>) -> Vec<(Name, Effect)> {
        let Some(house) = &self.house else { return Vec::new() };
        if is_about_failure(fact.fact()) {
            let jobs = react(house.paging.as_ref(), &self.views, fact).unwrap_or_default();
            let only_jobs = jobs.into_iter().filter(|effect| matches!(effect, Effect::Enqueue(_)));
            return only_jobs.map(|effect| (name_of(house.paging.name()), effect)).collect();
        }
        let mut effects = Vec::new();
        for reactor in &house.reactors {
            let pair = (name_of(reactor.name()), fact.seq, Stage::React);
            let decided = if self.failures.contains_key(&pair) {
                None
            } else {
                react(reactor.as_ref(), &self.views, fact)
            };
            match decided {
                Some(decided) => effects.extend(decided.into_iter().map(|effect| (pair.0.clone(), effect))),
                None => {
                    failed.push(pair.clone());
                    self.failures.insert(pair, true);
                }
            }
        }
        effects
    }
}

/// What tells of a failing reactor is shown to the paging reactor only: another reactor could fail at it for ever.
fn is_about_failure(fact: &Fact) -> bool {
    matches!(fact, Fact::ReactorFailed(_) | Fact::FoldCut(_))
}

/// Feeds facts to new reactors, leaving out the pairs that are known to fail.
fn feed(house: &mut House, failures: &Failures, facts: &[Recorded]) -> Result<(), AbsorbPanicked> {
    for fact in facts.iter().filter(|fact| !is_about_failure(fact.fact())) {
        for reactor in &mut house.reactors {
            feed_one(reactor.as_mut(), failures, fact)?;
        }
    }
    Ok(())
}

fn feed_one(reactor: &mut dyn Reactor, failures: &Failures, fact: &Recorded) -> Result<(), AbsorbPanicked> {
    let pair = (name_of(reactor.name()), fact.seq, Stage::Absorb);
    if failures.contains_key(&pair) || absorb(reactor, fact) {
        return Ok(());
    }
    Err(AbsorbPanicked {
        reactor: pair.0,
        seq: fact.seq,
    })
}
