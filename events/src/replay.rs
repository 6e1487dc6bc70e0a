//! Replay: the observed facts of a journal folded again, and what comes of them compared with what the journal says.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    AbsorbPanicked, ChangedRow, CommitId, Composer, Elapsed, Fact, Factory, Failed, Failures, Fold, Job, Key, Name,
    Opening, Recorded, Seq, Views, fold::Past,
};

/// What a replay found.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Facts that came of the replay and differ from the journal: place, journal's, replay's.
    pub differences: Vec<Difference>,
    /// Facts folded.
    pub facts: usize,
    /// Jobs queued by the replay.
    pub jobs: Vec<Job>,
    /// Rows at the end.
    pub views: Views,
}

/// A place at which journal and replay differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub seq: Seq,
    /// What the journal holds.
    pub journal: Option<Box<Recorded>>,
    /// What the replay made.
    pub replay: Option<Box<Recorded>>,
}

/// The failures that a journal tells of at their facts' own turns: a replay is told all of them in advance.
#[must_use]
pub fn failures(facts: &[Recorded]) -> Failures {
    let failed = |fact: &Recorded| match fact.fact() {
        Fact::ReactorFailed(failed) if fact.cause.is_some() => {
            Some(((failed.reactor.clone(), failed.seq, failed.stage), false))
        }
        _ => None,
    };
    facts.iter().filter_map(failed).collect()
}

/// The failures that were met when the journal was opened, by the commit that tells of them: they are in force from the
/// first fact of that commit on.
fn met(facts: &[Recorded]) -> BTreeMap<CommitId, Vec<Failed>> {
    let mut met: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for fact in facts.iter().filter(|fact| fact.cause.is_none()) {
        if let Fact::ReactorFailed(failed) = fact.fact() {
            let pair = (failed.reactor.clone(), failed.seq, failed.stage);
            met.entry(fact.commit).or_default().push(pair);
        }
    }
    met
}

struct Before<'a>(&'a [Recorded]);

impl Past for Before<'_> {
    fn seen(&self, _: &Name, _: &Key) -> Option<(Seq, String)> {
        None
    }

    fn since(&self, from: Elapsed) -> Vec<Recorded> {
        facts_since(self.0, from).to_vec()
    }
}

/// The facts from the last tick at or before a moment on.
#[must_use]
pub fn facts_since(facts: &[Recorded], from: Elapsed) -> &[Recorded] {
    let at = facts
        .iter()
        .rposition(|fact| matches!(fact.fact(), Fact::Tick(_)) && fact.recorded_at.at <= from);
    facts.get(at.unwrap_or(0)..).unwrap_or_default()
}

/// Folds the observed facts of a whole journal again.
///
/// # Errors
/// When a reactor panics at a fact at which it did not before.
pub fn replay(
    facts: &[Recorded],
    factory: Arc<dyn Factory>,
    composer: Arc<dyn Composer>,
) -> Result<Replayed, AbsorbPanicked> {
    let opening = Opening {
        views: Views::default(),
        seq: Seq::default(),
        commit: CommitId::default(),
        text: None,
        failures: failures(facts),
    };
    let mut fold = Fold::open(opening, factory, composer);
    let mut replayed = Replayed::default();
    let mut made: Vec<Recorded> = Vec::with_capacity(facts.len());
    let mut met = met(facts);
    for fact in facts.iter().filter(|fact| fact.cause.is_none()) {
        if let Some(met) = met.remove(&fact.commit) {
            fold.reopen(&met, &Before(&made))?;
        }
        let commit = fold.again(fact, &Before(&made))?;
        made.extend(commit.facts);
        replayed.jobs.extend(commit.jobs);
    }
    for index in 0..facts.len().max(made.len()) {
        let (journal, again) = (facts.get(index), made.get(index));
        if journal != again {
            let seq = journal.or(again).map_or(Seq::default(), |fact| fact.seq);
            let boxed = |fact: Option<&Recorded>| fact.cloned().map(Box::new);
            replayed.differences.push(Difference {
                seq,
                journal: boxed(journal),
                replay: boxed(again),
            });
        }
    }
    replayed.facts = made.len();
    replayed.views = fold.views().clone();
    Ok(replayed)
}

/// Applies facts to empty views: the same rows as the journal keeps, in any later version.
#[must_use]
pub fn refold<'a>(facts: impl IntoIterator<Item = &'a Recorded>) -> Views {
    let mut views = Views::default();
    for fact in facts {
        views.apply(fact);
    }
    views
}

/// The rows that a journal's table holds after a refold: the last state of each, open or closed.
#[must_use]
pub fn rows_of(facts: &[Recorded]) -> Vec<ChangedRow> {
    let mut last = BTreeMap::new();
    let mut views = Views::default();
    for fact in facts {
        views.apply(fact);
        for row in views.take_changed() {
            last.insert((row.view, row.key.clone()), row);
        }
    }
    last.into_values().collect()
}
