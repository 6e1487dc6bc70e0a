//! The hand-over between telemetry and the journal: what was counted is carried by a tick, once and only once.
//!
//! The tick *copies* bins and row number under one lock, and they are subtracted after its commit; when that commit
//! failed or is in doubt, the journal is asked: there = subtract, not there = keep.

use std::sync::Arc;

use async_trait::async_trait;
use events::{
    Answer, Bins, Envelope, Fact, Receipt, Seq, SubmitError, TelemetryHead, TelemetryReplaced, Tick, name_of,
};
use tokio::sync::Mutex;

use crate::Journal;

/// What telemetry hands over to one tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TickPart {
    /// How far telemetry has come; `None` when there is none.
    pub head: Option<TelemetryHead>,
    /// What was committed there since the tick before.
    pub receipt: Option<Receipt>,
    /// What was counted since the tick before.
    pub bins: Bins,
}

/// The telemetry half of a tick.
#[async_trait]
pub trait TickSource: Send + Sync {
    /// Copies, under one lock, what was counted and how far that is. Nothing is taken away yet.
    async fn copy(&self) -> TickPart;

    /// That part is in the journal: takes it away.
    async fn carried(&self, part: &TickPart);
}

/// No telemetry.
pub struct NoTelemetry;

#[async_trait]
impl TickSource for NoTelemetry {
    async fn copy(&self) -> TickPart {
        TickPart::default()
    }

    async fn carried(&self, _: &TickPart) {}
}

/// A tick of which it is not known whether it is in the journal.
struct Doubt {
    part: TickPart,
    /// The last tick before it.
    before: Option<Seq>,
}

/// Journal and telemetry, and the tick that binds them together.
pub struct Store<T> {
    /// Facts, views and jobs.
    pub journal: Journal,
    /// Logs, spans and results.
    pub telemetry: Arc<T>,
    doubt: Mutex<Option<Doubt>>,
}

impl<T: TickSource> Store<T> {
    /// Binds the two together. There is one for each journal, and nobody else records ticks.
    #[must_use]
    pub fn new(journal: Journal, telemetry: Arc<T>) -> Self {
        Self {
            journal,
            telemetry,
            doubt: Mutex::new(None),
        }
    }

    /// Records a tick; to be called every 5 s.
    ///
    /// # Errors
    /// When it was not committed, or nobody can say yet: what was counted is kept, and the next tick carries it.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn tick(&self) -> Result<Answer, SubmitError> {
        let mut doubt = self.doubt.lock().await;
        if let Some(open) = doubt.as_ref() {
            // The tick in doubt may still wait in the queue: nothing is known before this has passed it.
            self.journal.submit_item(None, None).await?;
            self.resolve(open).await?;
            *doubt = None;
        }
        let part = self.telemetry.copy().await;
        let views = self.journal.views().await;
        if let (Some(last), Some(head)) = (views.now.telemetry, part.head)
            && last.generation != head.generation
        {
            let replaced = Fact::TelemetryReplaced(TelemetryReplaced {
                before: last.generation,
                now: head.generation,
            });
            self.submit(replaced).await?;
        }
        let before = views.now.tick;
        let tick = Fact::Tick(Tick {
            telemetry: part.head,
            receipt: part.receipt.clone(),
            bins: part.bins.clone(),
        });
        // In doubt until it is known otherwise: whoever drops this future here leaves a doubt behind, not a loss.
        *doubt = Some(Doubt { part, before });
        let answer = self.submit(tick).await;
        match (&answer, doubt.as_ref()) {
            (Ok(_), Some(open)) => self.telemetry.carried(&open.part).await,
            (Err(_), Some(open)) if self.resolve(open).await.is_err() => return answer,
            _ => {}
        }
        *doubt = None;
        answer
    }

    /// Asks the journal whether a doubtful tick is there, and takes away what it carried.
    async fn resolve(&self, open: &Doubt) -> Result<(), SubmitError> {
        if !self.journal.is_settled() {
            return Err(SubmitError::NotCommitted("the journal is closed for now".to_owned()));
        }
        let there = self.journal.views().await.now.tick != open.before;
        if there {
            self.telemetry.carried(&open.part).await;
        }
        Ok(())
    }

    async fn submit(&self, fact: Fact) -> Result<Answer, SubmitError> {
        let envelope = Envelope::new(name_of("daemon"), name_of("daemon"), fact);
        self.journal.submit_reserved(envelope.into()).await
    }
}
