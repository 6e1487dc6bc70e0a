//! The record: opened, told that it was started and by which rules, and ticked.

use std::sync::Arc;

use config::Source;
use events::{Answer, Clocks, Configured, Envelope, Fact, Started, Stop, TaskFailed, name_of};
use miette::{IntoDiagnostic, WrapErr};
use store::{
    Folder, Journal,
    telemetry::{Telemetry, TelemetryContext, TelemetryOptions},
};
use tokio::sync::mpsc;

use super::Setup;
use crate::{
    plan,
    supervisor::{Stage, Supervisor, Token},
};

/// Journal and telemetry, both with their writers running, and the clocks they go by.
#[derive(Clone)]
pub struct Record {
    /// Facts, views and jobs.
    pub journal: Journal,
    /// Logs, spans and results.
    pub telemetry: Telemetry,
    /// The clocks.
    pub clocks: Arc<dyn Clocks>,
}

/// Opens both; their writers stop last.
pub(super) async fn open(setup: &Setup, folder: &Arc<Folder>, supervisor: &mut Supervisor) -> miette::Result<Record> {
    let composer = Arc::new(alerting::MessageComposer);
    let opened = Journal::open(
        folder,
        setup.options.clone(),
        plan::factory(),
        composer,
        Arc::clone(&setup.clocks),
    )
    .await;
    let (journal, writer) = opened.into_diagnostic().wrap_err("open the journal")?;
    let context = TelemetryContext {
        counted: journal.views().await.now.telemetry,
        releases: journal.releases(),
        clocks: Arc::clone(&setup.clocks),
    };
    let options = TelemetryOptions {
        database: setup.options.clone(),
        ..TelemetryOptions::default()
    };
    let opened = Telemetry::open(folder.path(), options, context).await;
    let (telemetry, mut telemetry_writer) = opened.into_diagnostic().wrap_err("open telemetry")?;
    let token = supervisor.token(Stage::Write);
    let stop = token.clone();
    supervisor.essential(Stage::Write, "journal", async move { writer.run(&stop).await });
    supervisor.essential(Stage::Write, "telemetry", async move {
        if let Err(error) = telemetry_writer.run(token.stopped()).await {
            tracing::error!(error = &error as &dyn std::error::Error, "close telemetry");
        }
    });
    Ok(Record {
        journal,
        telemetry,
        clocks: Arc::clone(&setup.clocks),
    })
}

/// Records the start and the rules that hold from here on, and from then on failures of tasks.
pub(super) async fn begin(
    source: &Source,
    held: &Record,
    supervisor: &mut Supervisor,
    failures: mpsc::Receiver<TaskFailed>,
) -> miette::Result<()> {
    let started = Fact::Started(Started {
        version: super::VERSION.to_owned(),
        identity: held.journal.identity(),
    });
    record(&held.journal, started).await.wrap_err("record the start")?;
    let text = config::redacted(&source.text);
    let digest = blake3::hash(text.as_bytes()).to_hex().to_string();
    let before = held.journal.views().await.now.configured.clone();
    let same = before
        .filter(|before| before.digest == digest)
        .map(|before| before.text);
    let configured = Fact::Configured(Configured {
        digest,
        text: same.is_none().then_some(text),
        same_as: same,
    });
    record(&held.journal, configured)
        .await
        .wrap_err("record the configuration")?;
    let (journal, token) = (held.journal.clone(), supervisor.token(Stage::Write));
    supervisor.essential(Stage::Write, "failures", record_failures(journal, failures, token));
    Ok(())
}

async fn record(journal: &Journal, fact: Fact) -> miette::Result<Answer> {
    let envelope = Envelope::new(name_of("daemon"), name_of("daemon"), fact);
    journal.submit_reserved(envelope.into()).await.into_diagnostic()
}

async fn record_failures(journal: Journal, mut failures: mpsc::Receiver<TaskFailed>, stop: Token) {
    loop {
        let failed = tokio::select! { failed = failures.recv() => failed, () = stop.stopped() => return };
        let Some(failed) = failed else {
            stop.stopped().await;
            return;
        };
        if let Err(error) = record(&journal, Fact::TaskFailed(failed)).await {
            tracing::warn!(%error, "record the failure of a task");
        }
    }
}
