//! What the daemon's factory builds from the alerting part of a configuration.

use std::sync::Arc;

use events::Reactor;

use crate::{
    notifier::{Destinations, Notifier},
    paging::Paging,
    reactor::AlertingReactor,
    rules::Rules,
};

/// The reactors of alerting, in the order in which they have to be registered.
#[must_use]
pub fn reactors(rules: &Arc<Rules>, destinations: &Arc<Destinations>) -> Vec<Box<dyn Reactor>> {
    vec![
        Box::new(AlertingReactor::new(Arc::clone(rules))),
        Box::new(Notifier::new(Arc::clone(rules), Arc::clone(destinations))),
    ]
}

/// The reactor that pages when the core itself is broken.
#[must_use]
pub fn paging(destinations: &Arc<Destinations>) -> Box<dyn Reactor> {
    Box::new(Paging::new(Arc::clone(destinations)))
}
