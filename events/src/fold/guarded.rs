//! Calls into reactors, with their panics caught at the edge.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Composer, Composition, Effect, Effects, Job, Moment, Reactor, Recorded, Views};

/// True when the fact was absorbed; false when the reactor panicked and its state is lost.
pub(super) fn absorb(reactor: &mut dyn Reactor, fact: &Recorded) -> bool {
    catch_unwind(AssertUnwindSafe(|| reactor.absorb(fact))).is_ok()
}

/// What the reactor decided; `None` when it panicked.
pub(super) fn react(reactor: &dyn Reactor, views: &Views, fact: &Recorded) -> Option<Vec<Effect>> {
    catch_unwind(AssertUnwindSafe(|| {
        let mut effects = Effects::default();
        reactor.react(views, fact, &mut effects);
        effects.into_list()
    }))
    .ok()
}

/// What a message says; nothing when the composer panicked: its worker gives the job up, and that is a fact, where a writer
/// that ends at each attempt would tell nobody anything any more.
pub(super) fn compose(composer: &dyn Composer, views: &Views, job: &Job, now: &Moment) -> Option<Composition> {
    catch_unwind(AssertUnwindSafe(|| composer.compose(views, job, now)))
        .ok()
        .flatten()
}
