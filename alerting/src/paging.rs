//! The reactor of last resort: it is shown only that a reactor failed or a chain was cut, and only pages.

use std::sync::Arc;

use events::{About, Effects, Fact, Reactor, Recorded, Severity, Views};
use jiff::SignedDuration;

use crate::notifier::{Destinations, message};

/// Pages everybody when the core itself is broken.
pub struct Paging {
    destinations: Arc<Destinations>,
}

impl Paging {
    /// A reactor that pages these destinations.
    #[must_use]
    pub fn new(destinations: Arc<Destinations>) -> Self {
        Self { destinations }
    }
}

impl Reactor for Paging {
    fn name(&self) -> &'static str {
        "paging"
    }

    fn window(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    fn absorb(&mut self, _: &Recorded) {}

    fn react(&self, views: &Views, fact: &Recorded, out: &mut Effects) {
        let title = match fact.fact() {
            // One that fails at every tick is told at the 1st, 10th, 100th time.
            Fact::ReactorFailed(failed) if is_power_of_ten(views.now.reactors_failed) => {
                format!(
                    "Watchkeep is broken: the part {} failed at fact {}",
                    failed.reactor, failed.seq
                )
            }
            Fact::FoldCut(cut) => format!("Watchkeep is broken: the part {} went round in circles", cut.reactor),
            _ => return,
        };
        let times = views.now.reactors_failed;
        let about = About::Notice {
            severity: Severity::Page,
            title,
            lines: vec![
                format!("What it would have decided was not decided. Failures since the start: {times}."),
                "To do: keep the data folder, read watchkeep's log, report it; watchkeep status".to_owned(),
            ],
            incident: None,
            topic: None,
        };
        for destination in &self.destinations.all {
            out.enqueue(message(views, fact, destination, about.clone(), ""));
        }
    }
}

fn is_power_of_ten(mut number: u32) -> bool {
    while number >= 10 && number.is_multiple_of(10) {
        number /= 10;
    }
    number == 1
}
