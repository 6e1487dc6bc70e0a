//! The shape of every decision: pure, over facts.

use jiff::SignedDuration;

use crate::{Envelope, Job, Recorded, Views};

/// Decides what follows from facts. No IO, no clock, no randomness. One reactor for each family of decisions; inside
/// it, rules are indexed by stream.
pub trait Reactor: Send + Sync {
    /// Its name, as recorded in causes.
    fn name(&self) -> &'static str;

    /// How much elapsed time of facts `absorb` needs to have seen.
    fn window(&self) -> SignedDuration;

    /// Takes a fact in. The only place where `self` changes.
    fn absorb(&mut self, fact: &Recorded);

    /// Decides; sees the views as they are just after the fact.
    fn react(&self, views: &Views, fact: &Recorded, out: &mut Effects);
}

/// Reactors in order of registration.
pub type Reactors = Vec<Box<dyn Reactor>>;

/// The reactors of one configuration.
pub struct House {
    /// All but the paging reactor.
    pub reactors: Reactors,
    /// The minimal reactor that is shown only [`crate::Fact::ReactorFailed`] and [`crate::Fact::FoldCut`], and may only enqueue.
    pub paging: Box<dyn Reactor>,
}

impl House {
    /// The longest window of all.
    #[must_use]
    pub fn window(&self) -> SignedDuration {
        self.reactors
            .iter()
            .map(|reactor| reactor.window())
            .max()
            .unwrap_or(SignedDuration::ZERO)
    }
}

/// Builds reactors, empty, from the text of a [`crate::Configured`] fact, so that a replay uses the rules of the time.
/// Total: a text that this version cannot read gives a house that only pages.
pub trait Factory: Send + Sync {
    /// Builds them.
    fn build(&self, text: &str) -> House;
}

/// What follows from a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A derived fact.
    Record(Box<Envelope>),
    /// Something that must happen.
    Enqueue(Box<Job>),
}

/// Collects effects in order.
#[derive(Debug, Default)]
pub struct Effects {
    list: Vec<Effect>,
}

impl Effects {
    /// Adds a derived fact.
    pub fn record(&mut self, envelope: Envelope) {
        self.list.push(Effect::Record(Box::new(envelope)));
    }

    /// Adds a job.
    pub fn enqueue(&mut self, job: Job) {
        self.list.push(Effect::Enqueue(Box::new(job)));
    }

    /// The effects, in order.
    #[must_use]
    pub fn into_list(self) -> Vec<Effect> {
        self.list
    }
}
