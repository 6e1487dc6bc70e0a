//! What a fact leaves to others on the same page: the action of a run, what a message says, what there was before.

use std::collections::BTreeMap;

use events::{Fact, JobId, Seq, Timestamp};
use web::answer::ShownFact;

use super::{Sentence, of, telling::about};
use crate::command::{
    page::Tone,
    text::{clock_utc, lasting, short},
};

/// A journal begins with the start of a daemon and its configuration: one among its first facts has none before it.
const FIRST_FACTS: Seq = Seq(3);

/// What is known beside the facts themselves.
#[derive(Default)]
pub(crate) struct Names {
    /// Actions by run.
    actions: BTreeMap<JobId, String>,
    /// What messages say, by job.
    messages: BTreeMap<JobId, String>,
    /// Of starts after an end without a stop: when the last fact before was recorded.
    broken_off: BTreeMap<Seq, Timestamp>,
}

impl Names {
    /// From the facts of a page.
    pub(crate) fn new<'a>(facts: impl IntoIterator<Item = &'a ShownFact>) -> Self {
        let mut names = Self::default();
        for fact in facts {
            match &fact.fact.fact {
                Fact::ActionProposed(proposed) => names.action(proposed.run, &proposed.action),
                Fact::ActStarting(gated) | Fact::ActRefused(gated) => names.action(gated.run, &gated.action),
                Fact::ActionConcluded(concluded) => names.action(concluded.run, &concluded.action),
                Fact::Notified(notified) => {
                    names.messages.insert(notified.job, about(&notified.about));
                }
                _ => {}
            }
        }
        names
    }

    /// With the starts that came after an end without a stop.
    pub(crate) fn broken_off(self, broken_off: BTreeMap<Seq, Timestamp>) -> Self {
        Self { broken_off, ..self }
    }

    fn action(&mut self, run: JobId, action: &events::Name) {
        self.actions.insert(run, action.to_string());
    }

    /// The sentence of a fact.
    pub(crate) fn sentence(&self, fact: &ShownFact) -> Sentence {
        let said = of(&fact.fact);
        match &fact.fact.fact {
            Fact::ActFinished(finished) => self.of_run(finished.run, said),
            Fact::ActionVerifying(verifying) => self.of_run(verifying.run, said),
            Fact::JobFailed(job) => self.of_message(job.job, job.queue.as_str(), said),
            Fact::JobDone(job) => self.of_message(job.job, job.queue.as_str(), said),
            Fact::JobEnded(job) => self.of_message(job.job, job.queue.as_str(), said),
            Fact::Configured(configured) if configured.same_as.is_none() && fact.seq <= FIRST_FACTS => Sentence {
                text: "its first configuration is in force".to_owned(),
                ..said
            },
            Fact::Started(_) => match self.broken_off.get(&fact.seq) {
                Some(last) => Sentence {
                    text: format!("{}; {}", said.text, unwatched(*last, fact.wall)),
                    tone: Tone::Doubt,
                    ..said
                },
                None => said,
            },
            _ => said,
        }
    }

    fn of_run(&self, run: JobId, said: Sentence) -> Sentence {
        let action = self.actions.get(&run).cloned();
        Sentence {
            about: action.unwrap_or_else(|| format!("run {}", short(&run.to_string()))),
            ..said
        }
    }

    fn of_message(&self, job: JobId, queue: &str, said: Sentence) -> Sentence {
        if !queue.starts_with("notify/") && !queue.starts_with("test/") {
            return said;
        }
        let what = match self.messages.get(&job) {
            Some(what) => what.clone(),
            None => format!("message {}", short(&job.to_string())),
        };
        Sentence {
            text: format!("{what}: {}", said.text),
            ..said
        }
    }
}

fn unwatched(last: Timestamp, started: Timestamp) -> String {
    format!(
        "the run before ended without a stop: nothing was watched from {} to {} ({})",
        clock_utc(last, started),
        clock_utc(started, started),
        lasting(started.since(last))
    )
}
