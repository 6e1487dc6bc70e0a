//! Probes: built from the settings, run on their grid, their results handed to the journal and to telemetry.

use std::sync::Arc;

use async_trait::async_trait;
use collectors::probe::{Anchors, NetworkSettings, OwnNetwork, ProbeSettings, ProbeSink, Runner, StatusOf, Watch};
use events::{Input, Name, NetworkChanged, ProbeResult};
use futures_util::FutureExt;
use jiff::SignedDuration;
use outbound::Context;
use store::{Expected, Journal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::results::{self, Results};
use crate::{
    settings::Settings,
    supervisor::{Stage, Supervisor},
};

/// Takes what was found to where it is compared.
struct Sink {
    journal: Journal,
    results: mpsc::Sender<ProbeResult>,
}

#[async_trait]
impl ProbeSink for Sink {
    async fn result(&self, result: ProbeResult) {
        // Closed only while the probes stop.
        let _ = self.results.send(result).await;
    }

    async fn network(&self, changed: NetworkChanged) {
        if let Err(error) = self.journal.submit_reserved(Input::Network(changed)).await {
            tracing::warn!(%error, "record the state of our own network");
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
    let (history, compared) = mpsc::channel(results::LOTS_MAX);
    let storing = results::store(record.telemetry.clone(), compared, supervisor.token(Stage::Work));
    supervisor.essential(Stage::Work, "history", storing);
    let prober = Prober {
        context: context.clone(),
        network: settings.network.clone(),
        watches,
        journal: record.journal.clone(),
        history,
    };
    let token = supervisor.token(Stage::Collect);
    supervisor.restarting(Stage::Collect, "probes".to_owned(), move || {
        on_own_thread(prober.clone(), token.0.clone())
    });
}

/// What it takes to run the probes, once or again.
#[derive(Clone)]
struct Prober {
    context: Context,
    network: NetworkSettings,
    watches: Vec<Watch>,
    journal: Journal,
    history: mpsc::Sender<Vec<ProbeResult>>,
}

impl Prober {
    async fn run(self, stop: CancellationToken) {
        let (results, found) = Results::new(self.journal.clone(), self.history);
        let sink: Arc<dyn ProbeSink> = Arc::new(Sink {
            journal: self.journal.clone(),
            results: found,
        });
        let journal = self.journal;
        let status: StatusOf = Arc::new(move |name: &Name| {
            let views = journal.views().now_or_never()?;
            views.probes.get(name.as_str()).map(|row| row.status)
        });
        let own = OwnNetwork::new(Anchors::new(&self.context, &self.network), Arc::clone(&sink));
        let runner = Runner::new(&self.context, own, self.watches, status, sink);
        tokio::join!(runner.run(stop), results.run());
    }
}

/// Probes have a thread and a runtime to themselves: what is taken in beside them does not disturb their timing, and most
/// looks wake no second thread.
async fn on_own_thread(prober: Prober, stop: CancellationToken) {
    let running = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(prober.run(stop));
        Ok::<(), std::io::Error>(())
    });
    match running.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "start the thread of the probes"),
        Err(error) => {
            if let Ok(panic) = error.try_into_panic() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn expected(watch: &Watch) -> Expected {
    let limit = watch.every.saturating_mul(3) + watch.look_max;
    Expected {
        probe: watch.name.clone(),
        service: watch.service.clone(),
        limit: SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX),
    }
}
