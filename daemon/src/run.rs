//! The daemon: starts everything in order, waits for a signal, and stops everything in order.

pub(crate) mod banner;
mod collect;
mod record;
mod results;
pub(crate) mod serve;
#[cfg(test)]
mod tests;
mod ticks;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use config::Source;
use events::{Clocks, Fact, Stopped, TaskFailed, name_of};
use miette::{IntoDiagnostic, WrapErr};
use outbound::{Context, ContextOptions};
use store::{Folder, Options};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use web::App;

pub use self::record::Record;
use crate::{
    clock::MachineClocks, heartbeat, housekeeping, keeping, observing, settings, settings::Settings,
    supervisor::Supervisor, workers,
};

/// Version of the binary.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How long the record of the end may take: a journal that hangs must not hold up the end.
const LAST_WORD: Duration = Duration::from_secs(3);
/// Failures of tasks that wait to be recorded.
const FAILURES_MAX: usize = 64;

/// What a daemon is started with.
pub struct Setup {
    /// The configuration file.
    pub source: Source,
    /// The machine's clocks, or a test's.
    pub clocks: Arc<dyn Clocks>,
    /// How the record is opened; anything but the default is for tests.
    pub options: Options,
}

impl Setup {
    /// The usual: a file, the machine's clocks, a safe record.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self {
            source,
            clocks: Arc::new(MachineClocks::new()),
            options: Options::default(),
        }
    }
}

/// A daemon that runs.
pub struct Running {
    /// What its API reads from and records to.
    pub app: App,
    /// Its record.
    pub record: Record,
    /// Its data folder.
    pub data: PathBuf,
    /// The socket of its API.
    pub socket: PathBuf,
    supervisor: Supervisor,
    // The lock on the data folder: given back last.
    _folder: Arc<Folder>,
}

/// Starts everything.
///
/// # Errors
/// When the configuration has mistakes, the data folder is taken or cannot be used, or an address is taken. What was
/// started by then is stopped again.
pub async fn start(setup: Setup) -> miette::Result<Running> {
    let settings = settings::read(&setup.source).map_err(|mistakes| miette::miette!("{}", mistakes.render(false)))?;
    let data = settings.data();
    let folder = Arc::new(own(&data, setup.clocks.as_ref())?);
    let (failed, failures) = mpsc::channel(FAILURES_MAX);
    let mut supervisor = Supervisor::new(failed);
    match assemble(&setup, &settings, &folder, failures, &mut supervisor).await {
        Ok((app, record, socket)) => Ok(Running {
            app,
            record,
            data,
            socket,
            supervisor,
            _folder: folder,
        }),
        Err(report) => {
            supervisor.stop().await;
            Err(report)
        }
    }
}

/// Puts the parts together, each after those that it needs.
async fn assemble(
    setup: &Setup,
    settings: &Settings,
    folder: &Arc<Folder>,
    failures: mpsc::Receiver<TaskFailed>,
    supervisor: &mut Supervisor,
) -> miette::Result<(App, Record, PathBuf)> {
    let data = folder.path();
    keeping::first_password(settings)?;
    let context = context(settings, data, &setup.clocks)?;
    observing::export(settings, context.client().clone());
    // Before anything begins: a daemon that cannot be reached, or cannot look, must not act.
    let doors = serve::bind(settings, data).await?;
    let watches = collect::watches(settings, &context)?;
    let record = record::open(setup, folder, supervisor).await?;
    let app = App {
        folder: Arc::clone(folder),
        journal: record.journal.clone(),
        telemetry: record.telemetry.clone(),
        clocks: Arc::clone(&setup.clocks),
        described: Arc::new(banner::describe(&setup.source, settings)),
        pulses: Arc::default(),
        version: VERSION,
    };
    // Before probes look: what they are compared with is there.
    record::begin(&setup.source, &record, supervisor, failures).await?;
    ticks::tick_on(&record, supervisor);
    let queues = keeping::queues(settings, &record, &context, data).await?;
    let served = queues.iter().map(|(queue, _)| queue.clone()).collect();
    workers::end_orphans(&record.journal, &served).await;
    workers::start(supervisor, &record.journal, queues);
    collect::start(settings, watches, &record, &context, supervisor);
    heartbeat::start(settings, &app, &context, supervisor);
    housekeeping::start(settings, &record, supervisor);
    let socket = serve::start(doors, settings, &app, &record.telemetry, supervisor);
    Ok((app, record, socket))
}

fn own(data: &Path, clocks: &dyn Clocks) -> miette::Result<Folder> {
    let command: Vec<String> = std::env::args().collect();
    Folder::own(data, clocks.now().wall, &command.join(" "))
        .into_diagnostic()
        .wrap_err_with(|| format!("take the data folder {}", data.display()))
}

fn context(settings: &Settings, data: &Path, clocks: &Arc<dyn Clocks>) -> miette::Result<Context> {
    let options = ContextOptions {
        clocks: Arc::clone(clocks),
        data_dir: data.to_owned(),
        environment: settings.environment().to_owned(),
        extra_ca: None,
    };
    Context::new(options).into_diagnostic().wrap_err("prepare to reach out")
}

impl Running {
    /// Stops everything in order; nothing that was acknowledged is lost.
    pub async fn stop(self, reason: &str) {
        let stopped = Fact::Stopped(Stopped {
            reason: reason.to_owned(),
        });
        let envelope = events::Envelope::new(name_of("daemon"), name_of("daemon"), stopped);
        let recorded = tokio::time::timeout(LAST_WORD, self.record.journal.submit_reserved(envelope.into())).await;
        if !matches!(recorded, Ok(Ok(_))) {
            tracing::warn!("the end could not be recorded");
        }
        self.supervisor.stop().await;
        if let Err(error) = std::fs::remove_file(&self.socket) {
            tracing::debug!(%error, "remove the socket");
        }
    }
}

/// Why the daemon ends.
enum End {
    /// A signal asks for it.
    Signal(&'static str),
    /// A new configuration is in place: it starts itself anew.
    Reload,
    /// An essential part ended by itself.
    Fatal,
}

/// `watchkeep run`: everything from reading the file to the exit code.
pub(crate) fn run(named: Option<&Path>) -> ExitCode {
    observing::subscribe();
    // What the daemon writes is for its own user; the socket says for itself who else may use it.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&miette::miette!("start the runtime: {error}")),
    };
    let ended = runtime.block_on(watch(named));
    observing::flush();
    // Whatever has to end has ended; what is left may hang for ever in a call of the system, such as a lookup.
    runtime.shutdown_background();
    match ended {
        Ok(End::Signal(_)) => ExitCode::SUCCESS,
        Ok(End::Fatal) => ExitCode::FAILURE,
        Ok(End::Reload) => fail(&start_anew()),
        Err(report) => fail(&report),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the reason of an end has to reach whoever started the daemon"
)]
fn fail(report: &miette::Report) -> ExitCode {
    eprintln!("{}", crate::command::failure::Failure::from_report(1, report).text());
    ExitCode::FAILURE
}

async fn watch(named: Option<&Path>) -> miette::Result<End> {
    let source = settings::source(named)?;
    let settings = settings::read(&source).map_err(|mistakes| miette::miette!("{}", mistakes.render(false)))?;
    // Before anything runs: a signal that comes during the start is not lost.
    let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
    let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
    let mut hangup = signal(SignalKind::hangup()).into_diagnostic()?;
    let running = start(Setup::new(source)).await?;
    banner::print(&running, &settings);
    let fatal = running.supervisor.fatal();
    let end = loop {
        tokio::select! {
            _ = terminate.recv() => break End::Signal("SIGTERM"),
            _ = interrupt.recv() => break End::Signal("SIGINT"),
            () = fatal.cancelled() => break End::Fatal,
            _ = hangup.recv() => if may_reload(named, &running).await { break End::Reload },
        }
    };
    let reason = match &end {
        End::Signal(name) => name,
        End::Reload => "reload",
        End::Fatal => "an essential part ended",
    };
    tracing::info!(reason, "stopping");
    running.stop(reason).await;
    Ok(end)
}

/// Whether the new configuration is good; a bad one keeps the old one in force, and that is said and recorded.
async fn may_reload(named: Option<&Path>, running: &Running) -> bool {
    let wrong = match settings::source(named) {
        Err(report) => in_a_line(&report),
        Ok(source) => match settings::read(&source) {
            Ok(settings) => match could_start(&settings, running).await {
                Ok(()) => return true,
                Err(report) => in_a_line(&report),
            },
            // A line for each: carets mean nothing in a message.
            Err(mistakes) => mistakes.to_string(),
        },
    };
    tracing::error!("the new configuration is not used, the old one stays in force: {wrong}");
    let error = wrong.chars().take(2000).collect();
    let failed = Fact::TaskFailed(TaskFailed {
        task: name_of("reload"),
        error,
        failures: 1,
    });
    let envelope = events::Envelope::new(name_of("daemon"), name_of("daemon"), failed);
    if let Err(error) = running.record.journal.submit_reserved(envelope.into()).await {
        tracing::warn!(%error, "record the refused reload");
    }
    false
}

/// An error and its causes: for a log and a fact.
fn in_a_line(report: &miette::Report) -> String {
    let causes: Vec<String> = report.chain().map(ToString::to_string).collect();
    causes.join(": ")
}

/// Whether a daemon of these settings would come up: what can be tried beside the one that runs is tried.
async fn could_start(settings: &Settings, running: &Running) -> miette::Result<()> {
    if settings.data() != running.data {
        let (now, new) = (running.data.display(), settings.data().display().to_string());
        return Err(miette::miette!(
            "[store] path changed from {now} to {new}: stop the daemon and start it anew for that"
        ));
    }
    serve::try_out(settings, running.app.described.listen.as_deref()).await?;
    let context = context(settings, &running.data, &running.record.clocks)?;
    collect::watches(settings, &context).map(drop)
}

/// Replaces this process by a new one of the same command; returns only when that fails.
fn start_anew() -> miette::Report {
    use std::os::unix::process::CommandExt;
    // The file of that name, which may be a newer version; else the binary that runs.
    let arguments = || std::env::args_os().skip(1);
    let error = match std::env::current_exe().ok().filter(|binary| binary.exists()) {
        Some(binary) => std::process::Command::new(binary).args(arguments()).exec(),
        None => std::process::Command::new(crate::OWN_BINARY).args(arguments()).exec(),
    };
    miette::miette!("start anew after a reload: {error}")
}
