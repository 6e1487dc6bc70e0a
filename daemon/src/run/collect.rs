//! Probes: built from the settings, run on their grid, their results handed to the journal and to telemetry.

use std::sync::Arc;

use async_trait::async_trait;
use collectors::probe::{Anchors, NetworkSettings, OwnNetwork, ProbeSettings, ProbeSink, Runner, StatusOf, Watch};
use events::{Input, Name, NetworkChanged, ProbeResult};
use futures_util::FutureExt;
use jiff::SignedDuration;
use outbound::Context;
use store::{Expected, Journal};
use tokio::{runtime::Runtime, sync::mpsc};
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

    /// Compared with what the record says: nothing is appended when that is the same.
    async fn network(&self, changed: NetworkChanged) -> bool {
        let recorded = self.journal.submit_reserved(Input::Network(changed)).await;
        if let Err(error) = &recorded {
            tracing::warn!(%error, "record the state of our own network; it is told again");
        }
        recorded.is_ok()
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
        let (prober, stop) = (prober.clone(), token.0.clone());
        on_own_thread(move || prober.run(stop))
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
        let recorded = self.journal.views().await.now.network;
        let journal = self.journal;
        let status: StatusOf = Arc::new(move |name: &Name| {
            let views = journal.views().now_or_never()?;
            views.probes.get(name.as_str()).map(|row| row.status)
        });
        let anchors = Anchors::new(&self.context, &self.network);
        let own = OwnNetwork::new(anchors, recorded, Arc::clone(&sink));
        let runner = Runner::new(&self.context, own, self.watches, status, sink);
        tokio::join!(runner.run(stop), results.run());
    }
}

/// Probes have a thread and a runtime to themselves: what is taken in beside them does not disturb their timing, and most
/// looks wake no second thread.
async fn on_own_thread<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) {
    let running = tokio::task::spawn_blocking(move || OwnRuntime::new().map(|runtime| runtime.run(work())));
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

/// A runtime whose end, by a panic too, waits for nobody: a look at a dead file system, or at a name server that is silent,
/// may hang for ever in a call of the system.
struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    fn run(&self, work: impl Future<Output = ()>) {
        if let Some(runtime) = &self.0 {
            runtime.block_on(work);
        }
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
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

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::Receiver, time::Duration};

    use super::*;

    /// A call of the system that hangs until its sender is dropped, on the runtime that asks for it.
    async fn hang(until: Receiver<()>) {
        let (begun, begins) = tokio::sync::oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let _ = begun.send(());
            until.recv()
        });
        begins.await.unwrap();
    }

    async fn soon<F: Future>(what: F) -> F::Output {
        let ended = tokio::time::timeout(Duration::from_secs(10), what).await;
        ended.expect("it waits for the call that hangs")
    }

    #[tokio::test]
    async fn a_call_that_hangs_does_not_hold_up_the_end_of_the_probes() {
        let (held, until) = std::sync::mpsc::sync_channel(0);
        soon(on_own_thread(move || hang(until))).await;
        drop(held);
    }

    #[tokio::test]
    async fn a_call_that_hangs_does_not_hold_up_a_new_start_of_the_probes() {
        let (held, until) = std::sync::mpsc::sync_channel(0);
        let running = on_own_thread(move || async {
            hang(until).await;
            panic!("put in by a test");
        });
        let mut once = tokio::task::JoinSet::new();
        once.spawn(running);
        let ended = soon(once.join_next()).await;
        assert!(ended.is_some_and(|ended| ended.is_err_and(|error| error.is_panic())));
        drop(held);
    }
}
