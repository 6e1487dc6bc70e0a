//! Who was told, and whether it arrived.

use std::collections::BTreeMap;

use events::{About, Ending, Fact, Incident, JobId};
use web::answer::WhyAnswer;

use super::{Once, at};
use crate::command::{
    page::Page,
    show::sentence::telling,
    text::{cause, counted},
};

/// How a message stands.
struct Told {
    text: String,
    destination: String,
    state: String,
}

/// Messages in the order in which they were queued.
#[derive(Default)]
struct Messages {
    order: Vec<JobId>,
    by_job: BTreeMap<JobId, Told>,
}

impl Messages {
    fn state(&mut self, job: JobId, state: String) {
        if let Some(told) = self.by_job.get_mut(&job) {
            told.state = state;
        }
    }

    fn take(&mut self, fact: &Fact, when: &str) {
        match fact {
            Fact::Notified(notified) => {
                let told = Told {
                    text: about(&notified.about),
                    destination: notified.destination.to_string(),
                    state: format!("queued at {when}, not sent yet"),
                };
                self.order.push(notified.job);
                self.by_job.insert(notified.job, told);
            }
            Fact::JobStarted(started) => {
                self.state(started.job, format!("being sent since {when}"));
                for job in &started.covers {
                    self.state(*job, "said by the message after it".to_owned());
                }
            }
            Fact::JobFailed(failed) => {
                let times = counted(u64::from(failed.attempt), "time", "times");
                self.state(
                    failed.job,
                    format!("NOT ARRIVED yet, tried {times}, last at {when}: {}", cause(&failed.why)),
                );
            }
            Fact::JobDone(done) => {
                let answer = if done.answer.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", done.answer)
                };
                self.state(done.job, format!("arrived at {when}{answer}"));
            }
            Fact::JobEnded(ended) if ended.ending == Ending::Superseded => {
                self.state(ended.job, "said by another message".to_owned());
            }
            Fact::JobEnded(ended) => {
                self.state(
                    ended.job,
                    format!("{} at {when}: {}", telling::ending(ended.ending), cause(&ended.why)),
                );
            }
            _ => {}
        }
    }
}

fn about(about: &About) -> String {
    match about {
        About::Firing { .. } => "fires".to_owned(),
        About::Resolved { .. } => "resolved".to_owned(),
        About::Reminder { .. } => "reminder".to_owned(),
        other => telling::about(other),
    }
}

pub(super) fn page(page: &mut Page, incident: &Incident, answer: &WhyAnswer) {
    let mut messages = Messages::default();
    for fact in &answer.facts {
        messages.take(&fact.fact.fact, &at(answer, fact));
    }
    let mut label = Once("told");
    for told in messages.order.iter().filter_map(|job| messages.by_job.get(job)) {
        label.line(page, &format!("{} ({}): {}", told.destination, told.text, told.state));
    }
    if messages.order.is_empty() {
        let nobody = if incident.terms.notify.is_empty() {
            "nobody: the rule names no one to notify"
        } else {
            "nobody: it was silenced, or is about to be told"
        };
        label.line(page, nobody);
    }
}
