//! Does the acts: asks for the last word, runs the child, records how it ended. Decides nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use events::{
    ActEnd, ActFinished, ActReady, Answer, Attempt, Envelope, Fact, Input, JobId, Key, Name, Observed, Outcome,
    Reporter, Stop, SubmitError, Work, Worker, consequences, name_of,
};
use jiff::SignedDuration;
use outbound::child::{ChildEnd, Children, Followed, Found, NoLines};

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

/// An attempt at an act.
struct Turn<'a> {
    id: JobId,
    act: &'a dyn ActKind,
    report: &'a dyn Reporter,
    stop: &'a dyn Stop,
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

    /// Records how an act ended.
    async fn ended(&self, turn: &Turn<'_>, end: ChildEnd) -> Outcome {
        // The helper is gone without a word: the target is asked before anybody is.
        if end.ended == ActEnd::Unknown {
            return self.ask_target(turn).await;
        }
        self.record(turn, end).await
    }

    /// Waits for the child of a job that was begun before; none when it turns out that it never was.
    async fn adopt(&self, turn: &Turn<'_>) -> Option<Outcome> {
        match self.children.follow(turn.id, &NoLines, turn.stop).await {
            Followed::Ended(end) => Some(self.ended(turn, end).await),
            Followed::Stopped => Some(stopping("the act goes on and is found again")),
            Followed::NeverBegun => None,
        }
    }

    async fn record(&self, turn: &Turn<'_>, end: ChildEnd) -> Outcome {
        let id = turn.id;
        let took = SignedDuration::from_millis(i64::try_from(end.took_ms).unwrap_or(i64::MAX));
        let unknown = matches!(end.ended, ActEnd::Unknown);
        let finished = ActFinished {
            run: id,
            end: end.ended,
            pid: Some(end.pid).filter(|pid| *pid > 0),
            took,
            output: end.output,
        };
        let answer = match submit(turn.report, fact(id, "finished", Fact::ActFinished(finished))).await {
            Ok(answer) => answer,
            Err(error) => {
                return Outcome::Later {
                    why: format!("record the end of the act: {error}"),
                    not_before: None,
                };
            }
        };
        self.children.forget(id).await;
        // An end that was recorded before a crash stands: what is found of the act now, or not any more, says nothing anew.
        if unknown && !matches!(answer, Answer::Conflict { .. }) {
            return Outcome::Held {
                why: "the act was interrupted and nobody can say whether it was done".to_owned(),
            };
        }
        Outcome::Done {
            answer: "the act ended; see the action".to_owned(),
        }
    }

    /// The child is gone without a word: asks the target.
    async fn ask_target(&self, turn: &Turn<'_>) -> Outcome {
        let of_act = events::Identity {
            store: turn.id.0,
            epoch: 0,
        };
        let asked = JobId::derive(&of_act, &["observe"]);
        let ended = match turn.act.observe() {
            None => ActEnd::Unknown,
            Some(question) => {
                self.children.forget(asked).await;
                let answer = self
                    .children
                    .run(asked, &question, turn.act.deadline(), &NoLines, turn.stop)
                    .await;
                match answer.map(|end| end.ended) {
                    Some(ActEnd::Exit { code: 0 }) => ActEnd::ObservedDone,
                    Some(ActEnd::Exit { code: 1 }) => ActEnd::ObservedNotDone,
                    Some(_) => ActEnd::Unknown,
                    None => return stopping("the target is asked again"),
                }
            }
        };
        self.children.forget(asked).await;
        let end = ChildEnd {
            pid: 0,
            ended,
            took_ms: 0,
            output: String::new(),
        };
        self.record(turn, end).await
    }
}

/// The daemon stops before the outcome is known: the next process looks again.
fn stopping(then: &str) -> Outcome {
    Outcome::Later {
        why: format!("the daemon is stopping; {then}"),
        not_before: None,
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
async fn submit(report: &dyn Reporter, input: Input) -> Result<Answer, SubmitError> {
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
        let turn = Turn { id, act, report, stop };
        // An attempt whose end could not be recorded: it is not asked for again, only recorded.
        if self.children.find(id).await != Found::NeverBegun
            && let Some(outcome) = self.adopt(&turn).await
        {
            return outcome;
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
        match self.children.run(id, &act.task(), act.deadline(), &NoLines, stop).await {
            Some(end) => self.ended(&turn, end).await,
            None => stopping("the act goes on and is found again"),
        }
    }

    async fn observe(&self, attempt: &Attempt, report: &dyn Reporter, stop: &dyn Stop) -> Observed {
        let id = attempt.job.id;
        let Some(act) = self.act(attempt) else {
            return Observed::Unknown {
                why: "the action is not configured any more".to_owned(),
            };
        };
        // Only waited for: what never began is asked for anew, with the last word of this moment.
        let turn = Turn { id, act, report, stop };
        match self.adopt(&turn).await {
            Some(outcome) => Observed::Ended(outcome),
            None => Observed::NotBegun,
        }
    }
}
