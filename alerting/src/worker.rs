//! The worker of all `notify/…` queues.

use std::collections::BTreeMap;

use async_trait::async_trait;
use events::{Attempt, Name, Observed, Outcome, Reporter, Stop, Work, Worker};

use crate::via::Notify;

/// Sends messages by the notifier of their destination.
pub struct MessageWorker {
    destinations: BTreeMap<Name, Box<dyn Notify>>,
}

impl MessageWorker {
    /// A worker for these destinations.
    #[must_use]
    pub fn new(destinations: BTreeMap<Name, Box<dyn Notify>>) -> Self {
        Self { destinations }
    }
}

#[async_trait]
impl Worker for MessageWorker {
    async fn run(&self, attempt: &Attempt, _: &dyn Reporter, stop: &dyn Stop) -> Outcome {
        let Work::Message { destination, .. } = &attempt.job.work else {
            let why = "this is no message".to_owned();
            return Outcome::Failed { why };
        };
        let Some(notifier) = self.destinations.get(destination) else {
            let why = format!("there is no destination {destination} any more");
            return Outcome::Failed { why };
        };
        let Some(composed) = &attempt.composed else {
            let why = "nothing was composed".to_owned();
            return Outcome::Failed { why };
        };
        tokio::select! {
            outcome = notifier.send(attempt.job.id, composed) => outcome,
            () = stop.stopped() => Outcome::Later { why: "the daemon is stopping".to_owned(), not_before: None },
        }
    }

    async fn observe(&self, _: &Attempt, _: &dyn Reporter, _: &dyn Stop) -> Observed {
        // A message is sent again, with the same id and the same bytes.
        Observed::NotBegun
    }
}
