//! Probes: built from the settings, run on their grid, their results handed to the journal and to telemetry.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use collectors::probe::{Anchors, OwnNetwork, ProbeSettings, ProbeSink, Runner, StatusOf, Watch};
use events::{Batch, Envelope, Fact, Input, LimitReached, Name, NetworkChanged, ProbeResult, Record, Stop, name_of};
use futures_util::FutureExt;
use jiff::SignedDuration;
use outbound::Context;
use store::{Expected, Journal, telemetry::Telemetry};
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::{
    settings::Settings,
    supervisor::{Stage, Supervisor, Token},
};

/// Results that wait to be stored; more than that are counted and dropped: telemetry that hangs does not end the watch.
const RESULTS_MAX: usize = 4096;
/// Results are stored together once a second.
const TOGETHER: Duration = Duration::from_secs(1);
/// Most results stored together.
const BATCH_MAX: usize = 1000;

/// Hands results on: status to the journal, the measurement to telemetry.
struct Sink {
    journal: Journal,
    results: mpsc::Sender<ProbeResult>,
    dropped: AtomicU64,
}

#[async_trait]
impl ProbeSink for Sink {
    async fn result(&self, result: ProbeResult) {
        // Reserved: an outage is seen and told while the disk is full, too.
        if let Err(error) = self
            .journal
            .submit_reserved(Input::Probe(Box::new(result.clone())))
            .await
        {
            tracing::warn!(probe = %result.probe, %error, "record a result; the next one is compared again");
        }
        // Closed only while the daemon stops.
        if let Err(TrySendError::Full(_)) = self.results.try_send(result) {
            self.drop_one().await;
        }
    }

    async fn network(&self, changed: NetworkChanged) {
        if let Err(error) = self.journal.submit_reserved(Input::Network(changed)).await {
            tracing::warn!(%error, "record the state of our own network");
        }
    }
}

impl Sink {
    /// Counts a result that is not stored: the first is a fact, and each one that doubles their number.
    async fn drop_one(&self) {
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if !dropped.is_power_of_two() {
            return;
        }
        let reached = LimitReached {
            limit: name_of("probe_results"),
            count: dropped.div_ceil(2),
            detail: "results of probes since the start are not stored, as telemetry does not keep up; they are compared all the same".to_owned(),
        };
        let envelope = Envelope::new(name_of("daemon"), name_of("probes"), Fact::LimitReached(reached));
        if let Err(error) = self.journal.submit_reserved(envelope.into()).await {
            tracing::warn!(%error, dropped, "record that results are not stored");
        }
    }
}

/// Makes all probes ready; nothing looks yet.
pub(super) fn watches(settings: &Settings, context: &Context) -> miette::Result<Vec<Watch>> {
    let watch = |(name, probe): (&config::Name, &ProbeSettings)| {
        Watch::new(name, probe, context)
            .map_err(|mistake| miette::miette!("probe {}: {}", name.as_str(), mistake.message))
    };
    settings.probe.iter().map(watch).collect()
}

/// Starts all probes.
pub(super) fn start(
    settings: &Settings,
    watches: Vec<Watch>,
    record: &super::Record,
    context: &Context,
    supervisor: &mut Supervisor,
) {
    record.journal.expect(watches.iter().map(expected).collect());
    let (results, waiting) = mpsc::channel(RESULTS_MAX);
    let (telemetry, stop) = (record.telemetry.clone(), supervisor.token(Stage::Work));
    supervisor.essential(Stage::Work, "results", store_results(telemetry, waiting, stop));
    let sink: Arc<dyn ProbeSink> = Arc::new(Sink {
        journal: record.journal.clone(),
        results,
        dropped: AtomicU64::new(0),
    });
    let journal = record.journal.clone();
    let status: StatusOf = Arc::new(move |name: &Name| {
        let views = journal.views().now_or_never()?;
        views.probes.get(name.as_str()).map(|row| row.status)
    });
    let (context, network) = (context.clone(), settings.network.clone());
    let token = supervisor.token(Stage::Collect);
    supervisor.restarting(Stage::Collect, "probes".to_owned(), move || {
        let own = OwnNetwork::new(Anchors::new(&context, &network), Arc::clone(&sink));
        Runner::new(&context, own, watches.clone(), Arc::clone(&status), Arc::clone(&sink)).run(token.0.clone())
    });
}

/// A sink with room for one result, and what takes it.
#[cfg(test)]
pub(super) fn sink_of_one(journal: &Journal) -> (Arc<dyn ProbeSink>, mpsc::Receiver<ProbeResult>) {
    let (results, waiting) = mpsc::channel(1);
    let journal = journal.clone();
    let dropped = AtomicU64::new(0);
    (
        Arc::new(Sink {
            journal,
            results,
            dropped,
        }),
        waiting,
    )
}

fn expected(watch: &Watch) -> Expected {
    let limit = watch.every.saturating_mul(3) + watch.look_max;
    Expected {
        probe: watch.name.clone(),
        service: watch.service.clone(),
        limit: SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX),
    }
}

/// Stores results together, so that a thousand probes are not a thousand commits.
async fn store_results(telemetry: Telemetry, mut waiting: mpsc::Receiver<ProbeResult>, stop: Token) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            received = waiting.recv_many(&mut batch, BATCH_MAX) => if received == 0 { stop.stopped().await; return },
            () = stop.stopped() => {}
        }
        let together = tokio::time::Instant::now() + TOGETHER;
        while !stop.is_stopped() && batch.len() < BATCH_MAX {
            match tokio::time::timeout_at(together, waiting.recv_many(&mut batch, BATCH_MAX)).await {
                Ok(1..) => {}
                _ => break,
            }
        }
        let records: Vec<Record> = batch.drain(..).map(Record::Probe).collect();
        if !records.is_empty() {
            let stored = Batch {
                source: "probe".to_owned(),
                key: None,
                records,
                reply: Vec::new(),
            };
            if let Err(error) = telemetry.append(stored).await {
                tracing::warn!(%error, "store the results of probes");
            }
        }
        if stop.is_stopped() {
            return;
        }
    }
}
