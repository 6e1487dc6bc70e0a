//! Does the acts: asks for the last word, runs the child, records how it ended. Decides nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use events::{
    ActEnd, ActFinished, ActReady, Attempt, Envelope, Fact, Input, JobId, Key, Name, Observed, Outcome, Reporter, Stop,
    SubmitError, Work, Worker, consequences, name_of,
};
use jiff::SignedDuration;
use outbound::child::{ChildEnd, Children, Found, NoLines};

use crate::{act::ActKind, settings::Act};

/// After a failed commit the worker asks again so soon.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it asks again before it leaves the job to the queue.
const TRIES: usize = 30;

/// Does the acts of all actions.
pub struct ActWorker {
    acts: BTreeMap<Name, Act>,
    children: Arc<dyn Children>,
    kill_switch: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl ActWorker {
    /// A worker for the configured acts; `kill_switch` says whether the kill-switch file is there.
    #[must_use]
    pub fn new(
        acts: BTreeMap<Name, Act>,
        children: Arc<dyn Children>,
        kill_switch: Arc<dyn Fn() -> bool + Send + Sync>,
    ) -> Self {
        Self {
            acts,
            children,
            kill_switch,
        }
    }

    fn act(&self, attempt: &Attempt) -> Option<&dyn ActKind> {
        match &attempt.job.work {
            Work::Act { action, .. } => self.acts.get(action).map(Act::as_dyn),
            _ => None,
        }
    }

    /// Runs, or goes on waiting for, the child of a job.
    async fn act_and_record(&self, id: JobId, act: &dyn ActKind, report: &dyn Reporter, stop: &dyn Stop) -> Outcome {
        match self.children.run(id, &act.task(), act.deadline(), &NoLines, stop).await {
            // The helper is gone without a word: the target is asked before anybody is.
            Some(end) if end.ended == ActEnd::Unknown => self.ask_target(id, act, report, stop).await,
            Some(end) => self.record(id, end, report).await,
            None => Outcome::Later {
                why: "the daemon is stopping; the act goes on and is found again".to_owned(),
                not_before: None,
            },
        }
    }

    async fn record(&self, id: JobId, end: ChildEnd, report: &dyn Reporter) -> Outcome {
        let took = SignedDuration::from_millis(i64::try_from(end.took_ms).unwrap_or(i64::MAX));
        let held = matches!(end.ended, ActEnd::Unknown);
        let finished = ActFinished {
            run: id,
            end: end.ended,
            pid: Some(end.pid).filter(|pid| *pid > 0),
            took,
            output: end.output,
        };
        if let Err(error) = submit(report, fact(id, "finished", Fact::ActFinished(finished))).await {
            return Outcome::Later {
                why: format!("record the end of the act: {error}"),
                not_before: None,
            };
        }
        self.children.forget(id).await;
        if held {
            return Outcome::Held {
                why: "the act was interrupted and nobody can say whether it was done".to_owned(),
            };
        }
        Outcome::Done {
            answer: "the act ended; see the action".to_owned(),
        }
    }

    /// The child is gone without a word: asks the target.
    async fn ask_target(&self, id: JobId, act: &dyn ActKind, report: &dyn Reporter, stop: &dyn Stop) -> Outcome {
        let asked = JobId::derive(&events::Identity { store: id.0, epoch: 0 }, &["observe"]);
        let ended = match act.observe() {
            None => ActEnd::Unknown,
            Some(question) => {
                self.children.forget(asked).await;
                match self
                    .children
                    .run(asked, &question, act.deadline(), &NoLines, stop)
                    .await
                    .map(|end| end.ended)
                {
                    Some(ActEnd::Exit { code: 0 }) => ActEnd::ObservedDone,
                    Some(ActEnd::Exit { code: 1 }) => ActEnd::ObservedNotDone,
                    _ => ActEnd::Unknown,
                }
            }
        };
        self.children.forget(asked).await;
        self.record(
            id,
            ChildEnd {
                pid: 0,
                ended,
                took_ms: 0,
                output: String::new(),
            },
            report,
        )
        .await
    }
}

fn fact(id: JobId, step: &str, fact: Fact) -> Input {
    let envelope = Envelope::new(name_of(&format!("action-run/{id}")), name_of("worker"), fact);
    match Key::new(format!("{id}/{step}")) {
        Ok(key) => envelope.keyed(key).into(),
        Err(_) => envelope.into(),
    }
}

/// Submits a keyed fact until it is committed: asking again is harmless.
async fn submit(report: &dyn Reporter, input: Input) -> Result<events::Answer, SubmitError> {
    let mut last = SubmitError::Stopping;
    for _ in 0..TRIES {
        match report.submit(input.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(SubmitError::Stopping) => return Err(SubmitError::Stopping),
            Err(error) => last = error,
        }
        tokio::time::sleep(AGAIN).await;
    }
    Err(last)
}

#[async_trait]
impl Worker for ActWorker {
    async fn run(&self, attempt: &Attempt, report: &dyn Reporter, stop: &dyn Stop) -> Outcome {
        let id = attempt.job.id;
        let Some(act) = self.act(attempt) else {
            return Outcome::Failed {
                why: "the action is not configured any more".to_owned(),
            };
        };
        // An attempt whose end could not be recorded: it is not asked for again, only recorded.
        if self.children.find(id).await != Found::NeverBegun {
            return self.act_and_record(id, act, report, stop).await;
        }
        let ready = Fact::ActReady(ActReady {
            run: id,
            kill_switch: (self.kill_switch)(),
        });
        // Without a key: each attempt asks anew, and the answer is that of this moment.
        let asked = Envelope::new(name_of(&format!("action-run/{id}")), name_of("worker"), ready);
        let answer = match report.submit(asked.into()).await {
            Ok(answer) => answer,
            Err(error) => {
                return Outcome::Later {
                    why: error.to_string(),
                    not_before: None,
                };
            }
        };
        let starting =
            |recorded: &events::Recorded| matches!(recorded.fact(), Fact::ActStarting(gated) if gated.run == id);
        if !consequences(&answer).iter().any(starting) {
            return Outcome::Done {
                answer: "the gates refused it".to_owned(),
            };
        }
        self.act_and_record(id, act, report, stop).await
    }

    async fn observe(&self, attempt: &Attempt, report: &dyn Reporter, stop: &dyn Stop) -> Observed {
        let id = attempt.job.id;
        let Some(act) = self.act(attempt) else {
            return Observed::Unknown {
                why: "the action is not configured any more".to_owned(),
            };
        };
        match self.children.find(id).await {
            Found::NeverBegun => Observed::NotBegun,
            Found::Running | Found::Ended(_) => Observed::Ended(self.act_and_record(id, act, report, stop).await),
            Found::Lost => Observed::Ended(self.ask_target(id, act, report, stop).await),
        }
    }
}
