//! Takes due jobs from their queues and hands them to the worker of their family: one loop a queue, so that a dead
//! destination delays no other.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use events::{Answer, Attempt, Input, Name, Observed, OnCrash, Outcome, Reporter, Stop, SubmitError, Worker};
use store::{Begun, Journal, Taken};

use crate::supervisor::{Stage, Supervisor, Token};

/// Pause after a commit that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Speaks to the journal for a worker. Outcomes and requests of workers use the reserved queue: a flood of other facts
/// must not hold up a page.
struct JournalReporter {
    journal: Journal,
    queue: Name,
}

#[async_trait]
impl Reporter for JournalReporter {
    async fn submit(&self, input: Input) -> Result<Answer, SubmitError> {
        self.journal.submit_reserved(input).await
    }

    fn progress(&self, text: &str) {
        tracing::debug!(queue = %self.queue, text, "progress");
    }
}

/// Runs one loop for each queue.
pub(crate) fn start(supervisor: &mut Supervisor, journal: &Journal, queues: Vec<(Name, Arc<dyn Worker>)>) {
    let token = supervisor.token(Stage::Work);
    for (queue, worker) in queues {
        let (journal, token) = (journal.clone(), token.clone());
        let name = format!("worker/{queue}");
        supervisor.restarting(Stage::Work, name, move || {
            serve(journal.clone(), queue.clone(), Arc::clone(&worker), token.clone())
        });
    }
}

/// Jobs of queues that no configuration names any more are ended, so that they are not waited for in silence.
pub(crate) async fn end_orphans(journal: &Journal, queues: &BTreeSet<Name>) {
    for status in journal.jobs().waiting().await {
        if is_served(queues, &status.job.queue) {
            continue;
        }
        let attempt = Attempt {
            job: status.job.clone(),
            number: status.attempts,
            composed: None,
        };
        let why = "its destination, action or backup is not configured any more".to_owned();
        if let Err(error) = journal.jobs().end(&attempt, Outcome::Failed { why }).await {
            tracing::warn!(job = %status.job.id, %error, "end a job of a removed queue");
        }
    }
}

/// Whether one of the queues is it, or is a prefix of it that ends with `/`.
fn is_served(queues: &BTreeSet<Name>, queue: &Name) -> bool {
    let begins = |served: &Name| served.as_str().ends_with('/') && queue.as_str().starts_with(served.as_str());
    queues.contains(queue) || queues.iter().any(begins)
}

async fn serve(journal: Journal, queue: Name, worker: Arc<dyn Worker>, stop: Token) {
    let reporter = JournalReporter {
        journal: journal.clone(),
        queue: queue.clone(),
    };
    let jobs = journal.jobs();
    while let Some(taken) = jobs.next(queue.as_str(), &stop).await {
        let ended = attempt(&jobs, &taken, worker.as_ref(), &reporter, &stop).await;
        if let Err(error) = ended {
            tracing::warn!(%queue, job = %taken.job.id, %error, "record an attempt; it is taken again");
            tokio::select! { () = tokio::time::sleep(PAUSE) => {}, () = stop.stopped() => {} }
        }
        if stop.is_stopped() {
            return;
        }
    }
}

/// One attempt. What an older process left begun is looked at first, unless it may simply be sent again.
#[tracing::instrument(level = "debug", skip_all, fields(queue = %taken.job.queue, job = %taken.job.id))]
async fn attempt(
    jobs: &store::Jobs,
    taken: &Taken,
    worker: &dyn Worker,
    report: &dyn Reporter,
    stop: &Token,
) -> Result<(), SubmitError> {
    if taken.left_begun && taken.job.on_crash != OnCrash::Resend {
        let left = taken.last_attempt();
        match worker.observe(&left, report, stop).await {
            Observed::NotBegun => {}
            Observed::Ended(outcome) => return end(jobs, &left, outcome, stop).await,
            Observed::Unknown { why } => return end(jobs, &left, Outcome::Held { why }, stop).await,
        }
    }
    let attempt = match jobs.begin(taken).await? {
        Begun::Attempt(attempt) => attempt,
        Begun::Superseded | Begun::Expired | Begun::Parked | Begun::Postponed => return Ok(()),
    };
    let outcome = worker.run(&attempt, report, stop).await;
    end(jobs, &attempt, outcome, stop).await
}

/// Records an outcome; what was cut short by our own stop is left begun, and the next process looks at it.
async fn end(jobs: &store::Jobs, attempt: &Attempt, outcome: Outcome, stop: &Token) -> Result<(), SubmitError> {
    if stop.is_stopped() && matches!(outcome, Outcome::Later { .. }) && attempt.job.on_crash != OnCrash::Resend {
        return jobs.stopped(attempt).await;
    }
    jobs.end(attempt, outcome).await
}

#[cfg(test)]
mod tests {
    use events::name_of;

    use super::*;

    #[test]
    fn a_queue_is_served_by_its_name_or_by_a_prefix() {
        let queues = ["notify/me", "test/me/"].map(name_of).into();
        for (queue, served) in [
            ("notify/me", true),
            ("notify/me2", false),
            ("notify/me/2", false),
            ("test/me/12", true),
            ("test/me2/12", false),
            ("backup/files", false),
        ] {
            assert_eq!(is_served(&queues, &name_of(queue)), served, "{queue}");
        }
    }
}
