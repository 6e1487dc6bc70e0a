//! `watchkeep alerts test`: what would these rules have done? The observed facts of the journal are folded again with
//! other rules; nobody is told and nothing is done.

use std::{path::Path, sync::Arc};

use config::Source;
use events::{
    AlertPhase, CommitId, Composer, Configured, Elapsed, Fact, Failures, Fold, Key, Name, Opening, Past, Phase,
    Recorded, Seq, Timestamp, Views, replay::facts_since,
};
use miette::{IntoDiagnostic, WrapErr};
use serde::Serialize;
use store::{Folder, Reader};

use crate::{plan, settings};

/// Facts read at once.
const PAGE: u32 = 1000;
/// One incident that would have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct WouldHave {
    /// The rule.
    pub(crate) rule: Name,
    /// When it would have fired.
    pub(crate) fired: Timestamp,
    /// When it would have ended; absent when it would fire still.
    pub(crate) resolved: Option<Timestamp>,
    /// What it would have rested on.
    pub(crate) readings: Vec<String>,
}

/// What a replay of rules shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tested {
    /// From when on it counts.
    pub(crate) since: Timestamp,
    /// Facts that were folded again.
    pub(crate) facts: usize,
    /// Incidents that would have been, oldest first.
    pub(crate) incidents: Vec<WouldHave>,
    /// What else to know.
    pub(crate) notes: Vec<String>,
}

/// Replays the journal of a data folder with the rules of a configuration.
///
/// # Errors
/// When the configuration has mistakes or the journal cannot be read.
pub(crate) async fn test(data: &Path, rules: &Source, since: Timestamp) -> miette::Result<Tested> {
    settings::read(rules).map_err(|mistakes| miette::miette!("{}", mistakes.render(false)))?;
    let folder = Folder::look(data).into_diagnostic()?;
    let reader = Reader::open(&folder)
        .await
        .into_diagnostic()
        .wrap_err("open the journal")?;
    let mut fold = Fold::open(
        Opening {
            views: Views::default(),
            seq: Seq::default(),
            commit: CommitId::default(),
            text: None,
            failures: Failures::new(),
        },
        plan::factory(),
        Arc::new(Silent),
    );
    let mut tested = Tested {
        since,
        ..Tested::default()
    };
    let mut configured = false;
    let mut next = Seq(1);
    loop {
        let facts = reader
            .all_facts(next, PAGE)
            .await
            .into_diagnostic()
            .wrap_err("read the journal")?;
        let Some(last) = facts.last() else { break };
        next = last.seq.next();
        for fact in facts.into_iter().filter(|fact| fact.cause.is_none()) {
            let Some(fact) = with_rules(fact, rules, &mut configured) else {
                continue;
            };
            let made = fold
                .again(&fact, &Nothing)
                .map_err(|failed| miette::miette!("the rules could not be folded: {failed}"))?;
            tested.facts += made.facts.len();
            made.facts.iter().for_each(|fact| tested.note(fact));
        }
    }
    tested
        .incidents
        .retain(|incident| incident.resolved.is_none_or(|end| end >= since));
    tested
        .notes
        .push("thresholds on latency are read from histograms: right within 0.7 %".to_owned());
    Ok(tested)
}

impl Tested {
    fn note(&mut self, fact: &Recorded) {
        let Fact::AlertPhase(phase) = fact.fact() else { return };
        if phase.opens() {
            let readings = phase
                .readings
                .iter()
                .map(|reading| format!("{} {} {}", reading.what, reading.value, reading.limit))
                .collect();
            self.incidents.push(WouldHave {
                rule: phase.rule.clone(),
                fired: fact.recorded_at.wall,
                resolved: None,
                readings,
            });
        } else if resolves(phase) {
            let open = self
                .incidents
                .iter_mut()
                .rev()
                .find(|incident| incident.rule == phase.rule && incident.resolved.is_none());
            if let Some(incident) = open {
                incident.resolved = Some(fact.recorded_at.wall);
            }
        }
    }
}

fn resolves(phase: &AlertPhase) -> bool {
    phase.to == Phase::Inactive && phase.resolves()
}

/// The journal's first configuration is replaced by the one that is tried; later ones are left out.
fn with_rules(mut fact: Recorded, rules: &Source, configured: &mut bool) -> Option<Recorded> {
    if matches!(fact.fact(), Fact::Configured(_)) {
        if std::mem::replace(configured, true) {
            return None;
        }
        let text = config::redacted(&rules.text);
        let digest = blake3::hash(text.as_bytes()).to_hex().to_string();
        fact.envelope.fact = Fact::Configured(Configured {
            digest,
            text: Some(text),
            same_as: None,
        });
    }
    Some(fact)
}

/// A replay composes nothing.
struct Silent;

impl Composer for Silent {
    fn compose(&self, _: &Views, _: &events::Job, _: &events::Moment) -> Option<events::Composition> {
        None
    }
}

/// Only the first fact configures, so nothing before it is asked for.
struct Nothing;

impl Past for Nothing {
    fn seen(&self, _: &Name, _: &Key) -> Option<(Seq, String)> {
        None
    }

    fn since(&self, from: Elapsed) -> Vec<Recorded> {
        facts_since(&[], from).to_vec()
    }
}
