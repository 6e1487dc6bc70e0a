//! What becomes of probe results: compared by the journal in the order they came, then stored by telemetry.
//!
//! Most results say what the last one said. They wait for each other up to a second, so that a thousand probes are neither a
//! thousand wake-ups nor a thousand commits; one that says something new goes on at once, behind those that came before it.

use std::time::Duration;

use events::{Batch, Envelope, Fact, Input, LimitReached, ProbeResult, Record, Stop, Views, name_of};
use futures_util::{FutureExt, future::join_all};
use store::{Journal, telemetry::Telemetry};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, timeout_at},
};

use crate::supervisor::Token;

/// Results that wait to be compared; when it is full, fewer probes look.
const COMPARED_MAX: usize = 1024;
/// Lots of results that wait to be stored; what comes beyond is counted and dropped: telemetry that hangs does not end the
/// watch.
pub(super) const LOTS_MAX: usize = 16;
/// How long a result that says nothing new may wait for others.
const TOGETHER: Duration = Duration::from_secs(1);
/// Most results compared and stored together.
const BATCH_MAX: usize = 1000;
/// Most results shown to the journal at a time: few enough to leave room in its queue.
const SHOWN_MAX: usize = 30;

/// Compares and passes on what a runner finds; runs beside it, on its thread, so that most results wake nobody else.
pub(super) struct Results {
    journal: Journal,
    history: mpsc::Sender<Vec<ProbeResult>>,
    waiting: mpsc::Receiver<ProbeResult>,
    /// How many were not passed on to be stored, and of how many a fact tells.
    dropped: u64,
    told: u64,
}

impl Results {
    /// What receives the results, and where they are sent.
    pub(super) fn new(journal: Journal, history: mpsc::Sender<Vec<ProbeResult>>) -> (Self, mpsc::Sender<ProbeResult>) {
        let (found, waiting) = mpsc::channel(COMPARED_MAX);
        let results = Self {
            journal,
            history,
            waiting,
            dropped: 0,
            told: 0,
        };
        (results, found)
    }

    /// Until nobody sends any more.
    pub(super) async fn run(mut self) {
        loop {
            let results = self.together().await;
            if results.is_empty() {
                return;
            }
            self.show(&results).await;
            let count = results.len();
            if let Err(TrySendError::Full(_)) = self.history.try_send(results) {
                self.tell_dropped(count).await;
            }
        }
    }

    /// What comes within a second of the first, or until it may be news. Empty when nobody sends any more.
    async fn together(&mut self) -> Vec<ProbeResult> {
        let mut results = Vec::new();
        let mut latest = self.waiting.recv_many(&mut results, BATCH_MAX).await;
        let until = Instant::now() + TOGETHER;
        while latest > 0 && results.len() < BATCH_MAX && !self.has_news(results.iter().rev().take(latest)) {
            let room = BATCH_MAX - results.len();
            let more = timeout_at(until, self.waiting.recv_many(&mut results, room)).await;
            latest = more.unwrap_or(0);
        }
        results
    }

    fn has_news<'a>(&self, mut results: impl Iterator<Item = &'a ProbeResult>) -> bool {
        let views = self.journal.views().now_or_never();
        views.is_none_or(|views| results.any(|result| is_news(&views, result)))
    }

    /// Reserved: an outage is seen and told while the disk is full, too.
    async fn show(&self, results: &[ProbeResult]) {
        for some in results.chunks(SHOWN_MAX) {
            let inputs = some.iter().map(|result| Input::Probe(Box::new(result.clone())));
            let answers = join_all(inputs.map(|input| self.journal.submit_reserved(input))).await;
            for (result, answer) in some.iter().zip(answers) {
                if let Err(error) = answer {
                    tracing::warn!(probe = %result.probe, %error, "record a result; the next one is compared again");
                }
            }
        }
    }

    /// Counts results that are not stored: the first are a fact, and each time that their number has doubled.
    async fn tell_dropped(&mut self, count: usize) {
        self.dropped += u64::try_from(count).unwrap_or(u64::MAX);
        if self.dropped < self.told.saturating_mul(2) {
            return;
        }
        let reached = LimitReached {
            limit: name_of("probe_results"),
            count: self.dropped - self.told,
            detail: format!(
                "{} results of probes are not stored, as telemetry does not keep up; they are compared all the same",
                self.dropped
            ),
        };
        self.told = self.dropped;
        let envelope = Envelope::new(name_of("daemon"), name_of("probes"), Fact::LimitReached(reached));
        if let Err(error) = self.journal.submit_reserved(envelope.into()).await {
            tracing::warn!(%error, dropped = self.dropped, "record that results are not stored");
        }
    }
}

/// Whether a result may change what holds. That it does is decided in the commit; here it is only how soon it is shown.
fn is_news(views: &Views, result: &ProbeResult) -> bool {
    let row = views.probes.get(result.probe.as_str());
    row.is_none_or(|row| row.status != result.look.status || row.look.reason != result.look.reason)
}

/// Stores what was compared.
pub(super) async fn store(telemetry: Telemetry, mut compared: mpsc::Receiver<Vec<ProbeResult>>, stop: Token) {
    loop {
        let results = tokio::select! {
            results = compared.recv() => results,
            () = stop.stopped() => compared.try_recv().ok(),
        };
        let Some(results) = results else {
            stop.stopped().await;
            return;
        };
        let batch = Batch {
            source: "probe".to_owned(),
            key: None,
            records: results.into_iter().map(Record::Probe).collect(),
            reply: Vec::new(),
        };
        if let Err(error) = telemetry.append(batch).await {
            tracing::warn!(%error, "store the results of probes");
        }
    }
}
