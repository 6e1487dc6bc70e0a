//! A journal in memory: what the real one does around the fold, with crashes and faults at will.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
};

use jiff::SignedDuration;

use super::toys::{Chance, Flaw, Teller, Toys};
use crate::{replay::facts_since, *};

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Durable,
    /// It did not happen, and its callers are told so.
    Failed,
    /// It happened, and its callers are told otherwise.
    Doubtful,
}

pub(super) struct Shell {
    pub(super) facts: Vec<Recorded>,
    pub(super) rows: BTreeMap<(&'static str, String), ChangedRow>,
    pub(super) jobs: Vec<Job>,
    pub(super) clock: Clock,
    pub(super) chance: Chance,
    pub(super) fate: Fate,
    pub(super) rebuild_panics: u64,
    pub(super) flaw: Flaw,
    pub(super) wall: Arc<AtomicU64>,
    fold: Option<Fold>,
    commit: CommitId,
}

struct Journal<'a>(&'a [Recorded]);

impl Past for Journal<'_> {
    fn seen(&self, source: &Name, key: &Key) -> Option<(Seq, String)> {
        let same = |fact: &&Recorded| fact.envelope.source == *source && fact.envelope.key.as_ref() == Some(key);
        let fact = self.0.iter().find(same)?;
        Some((fact.seq, encode::body(&fact.envelope)))
    }

    fn since(&self, from: Elapsed) -> Vec<Recorded> {
        facts_since(self.0, from).to_vec()
    }
}

impl Shell {
    pub(super) fn new(flaw: Flaw, seed: u64) -> Self {
        Self {
            facts: Vec::new(),
            rows: BTreeMap::new(),
            jobs: Vec::new(),
            clock: Clock {
                wall: Timestamp(1_700_000_000_000_000_000),
                boot: Boottime(1_000_000_000),
                boot_id: BootId("boot-0".to_owned()),
            },
            chance: Chance::new(seed, 600),
            fate: Fate::Durable,
            rebuild_panics: 0,
            flaw,
            wall: Arc::new(AtomicU64::new(seed)),
            fold: None,
            commit: CommitId(0),
        }
    }

    pub(super) fn factory(&self) -> Arc<dyn Factory> {
        Arc::new(Toys {
            flaw: self.flaw,
            chance: self.chance.clone(),
            wall: Arc::clone(&self.wall),
        })
    }

    pub(super) fn advance(&mut self, by: SignedDuration) {
        self.clock.wall = self.clock.wall.plus(by);
        self.clock.boot = self.clock.boot.plus(by);
    }

    /// Drops the memory.
    pub(super) fn crash(&mut self) {
        self.fold = None;
    }

    pub(super) fn views(&mut self) -> Views {
        if self.fold.is_none() {
            self.open(Failures::new());
        }
        self.fold.as_ref().unwrap().views().clone()
    }

    /// Starts a process, with or without a configuration.
    pub(super) fn start(&mut self, text: Option<&str>) {
        self.crash();
        let identity = Identity {
            store: uuid::Uuid::from_u128(1),
            epoch: 1,
        };
        let started = Fact::Started(Started {
            version: "1".to_owned(),
            identity,
        });
        let mut inputs = vec![observed(started)];
        if let Some(text) = text {
            inputs.push(self.configured(text));
        }
        while self.commit(&inputs).is_none() {}
    }

    /// A configuration; without its text when that is in force already.
    pub(super) fn configured(&mut self, text: &str) -> Input {
        let now = self.views().now;
        let same_as = now.configured.filter(|row| row.digest == text).map(|row| row.text);
        observed(Fact::Configured(Configured {
            digest: text.to_owned(),
            text: same_as.is_none().then(|| text.to_owned()),
            same_as,
        }))
    }

    /// Opens the journal as at a start: rows as stored, reactors from the window.
    fn open(&mut self, met: Failures) {
        let mut views = Views::default();
        for row in self.rows.values().filter(|row| !row.closed) {
            views.load(row.view, row.key.clone(), row.shape, &row.json).unwrap();
        }
        let mut failures: Failures = replay::failures(&self.facts)
            .into_keys()
            .map(|pair| (pair, true))
            .collect();
        failures.extend(self.facts.iter().filter_map(|fact| match fact.fact() {
            Fact::ReactorFailed(failed) => Some(((failed.reactor.clone(), failed.seq, failed.stage), true)),
            _ => None,
        }));
        failures.extend(met);
        let text = views.now.configured.as_ref().map(|row| self.text(row.text));
        loop {
            let opening = Opening {
                views: views.clone(),
                seq: self.facts.last().map(|fact| fact.seq).unwrap_or_default(),
                commit: self.commit,
                text: text.clone(),
                failures: failures.clone(),
            };
            let mut fold = Fold::open(opening, self.factory(), Arc::new(Teller));
            // More than the window may be fed, never less.
            let from = fold.window_start().plus(SignedDuration::from_secs(-7));
            match fold.rebuild(facts_since(&self.facts, from)) {
                Ok(()) => {
                    self.fold = Some(fold);
                    return;
                }
                Err(AbsorbPanicked { reactor, seq }) => {
                    self.rebuild_panics += 1;
                    failures.insert((reactor, seq, Stage::Absorb), false);
                }
            }
        }
    }

    fn text(&self, seq: Seq) -> String {
        let index = usize::try_from(seq.0 - 1).unwrap();
        match self.facts[index].fact() {
            Fact::Configured(configured) => match &configured.text {
                Some(text) => text.clone(),
                None => self.text(configured.same_as.unwrap()),
            },
            other => panic!("{other:?} holds no text"),
        }
    }

    /// Commits inputs. `None` when the caller is told that it failed: it may have happened all the same.
    pub(super) fn commit(&mut self, inputs: &[Input]) -> Option<Vec<Answer>> {
        let mut met = Failures::new();
        let commit = loop {
            if self.fold.is_none() {
                self.open(met.clone());
            }
            let fold = self.fold.as_mut().unwrap();
            match fold.commit(inputs.to_vec(), &self.clock, &Journal(&self.facts)) {
                Ok(commit) => break commit,
                Err(AbsorbPanicked { reactor, seq }) => {
                    met.insert((reactor, seq, Stage::Absorb), false);
                    self.fold = None;
                }
            }
        };
        let fate = std::mem::replace(&mut self.fate, Fate::Durable);
        if fate == Fate::Failed {
            self.fold = None;
            return None;
        }
        if !commit.facts.is_empty() {
            self.commit = commit.id;
        }
        self.facts.extend(commit.facts);
        self.jobs.extend(commit.jobs);
        for row in commit.rows {
            self.rows.insert((row.view, row.key.clone()), row);
        }
        if fate == Fate::Doubtful {
            self.fold = None;
            return None;
        }
        Some(commit.answers)
    }
}

/// An observed fact.
pub(super) fn observed(fact: Fact) -> Input {
    Envelope::new(name_of("test"), name_of("test"), fact).into()
}
