//! The queues of jobs and who works them; and what a child does for a backup.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use alerting::{MessageWorker, queue_of, test_queues_of};
use async_trait::async_trait;
use backup::{BackupWorker, Kept, ReadViews};
use config::Secret;
use events::{Clocks, Name, Views, Worker, name_of};
use miette::{IntoDiagnostic, WrapErr};
use outbound::{Context, child::Children};
use recovery::ActWorker;
use store::Journal;

use crate::{children::RunDirectories, clock::MachineClocks, plan::journal_name, run::Record, settings::Settings};

/// The file that stops all acting, in the data folder.
pub(crate) const KILL_SWITCH: &str = "stop-acting";

/// Every queue of a configuration and its worker.
///
/// # Errors
/// When the folder of children cannot be made.
pub(crate) async fn queues(
    settings: &Settings,
    record: &Record,
    context: &Context,
    data: &Path,
) -> miette::Result<Vec<(Name, Arc<dyn Worker>)>> {
    let runs = data.join("runs");
    std::fs::create_dir_all(&runs)
        .into_diagnostic()
        .wrap_err("make the folder of children")?;
    let children = RunDirectories::new(runs, Path::new(crate::OWN_BINARY));
    let waiting = record.journal.jobs().waiting().await;
    let waiting = waiting.iter().map(|status| status.job.id.to_string()).collect();
    children.sweep(&waiting).await;
    let children: Arc<dyn Children> = Arc::new(children);
    let mut queues: Vec<(Name, Arc<dyn Worker>)> = Vec::new();
    let notifiers = settings
        .notify
        .iter()
        .map(|(name, notify)| (journal_name(name), notify.via.as_dyn().build(context)));
    let messages = Arc::new(MessageWorker::new(notifiers.collect()));
    for name in settings.notify.keys() {
        for queue in [queue_of(&journal_name(name)), test_queues_of(&journal_name(name))] {
            queues.push((queue, Arc::clone(&messages) as Arc<dyn Worker>));
        }
    }
    let kill_switch = data.join(KILL_SWITCH);
    let acts = settings
        .action
        .iter()
        .map(|(name, action)| (journal_name(name), action.act.clone()))
        .collect();
    let act_worker = Arc::new(ActWorker::new(
        acts,
        Arc::clone(&children),
        Arc::new(move || kill_switch.exists()),
    ));
    for name in settings.action.keys() {
        queues.push((
            name_of(&format!("act/{}", name.as_str())),
            Arc::clone(&act_worker) as Arc<dyn Worker>,
        ));
    }
    if !settings.backup.is_empty() {
        let worker: Arc<dyn Worker> = Arc::new(backup_worker(settings, record, children, data));
        for name in settings.backup.keys() {
            queues.push((backup::queue_of(&journal_name(name)), Arc::clone(&worker)));
        }
    }
    Ok(queues)
}

fn backup_worker(settings: &Settings, record: &Record, children: Arc<dyn Children>, data: &Path) -> BackupWorker {
    let kept = |(name, backup): (&config::Name, &backup::BackupSettings)| {
        let repository = settings.repository.get(backup.to.as_str())?.clone();
        Some((
            journal_name(name),
            Kept {
                settings: backup.clone(),
                repository_name: journal_name(&backup.to),
                repository,
            },
        ))
    };
    BackupWorker {
        backups: settings.backup.iter().filter_map(kept).collect::<BTreeMap<_, _>>(),
        children,
        views: Arc::new(JournalViews(record.journal.clone())),
        clocks: Arc::clone(&record.clocks),
        journal: data.join("journal.db"),
        scratch: data.join("scratch"),
        host: host(),
        turn: tokio::sync::Mutex::default(),
    }
}

/// This host's name, as it stands in locks and snapshots.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

struct JournalViews(Journal);

#[async_trait]
impl ReadViews for JournalViews {
    async fn read(&self, with: &mut (dyn for<'a> FnMut(&'a Views) + Send)) {
        with(&*self.0.views().await);
    }
}

/// Makes the password of a local repository that is new, where the settings say that it lies: in a file that is not
/// there, of a repository that is not there either.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn first_password(settings: &Settings) -> miette::Result<()> {
    for repository in settings.repository.values() {
        if let (Some(file), true) = (file_of(&repository.password), is_new(repository)) {
            write_password(&file)
                .into_diagnostic()
                .wrap_err_with(|| format!("write the password of a new repository to {}", file.display()))?;
        }
    }
    Ok(())
}

/// Whether a local repository and the file of its password are both not there yet.
pub(crate) fn is_new(repository: &backup::RepositorySettings) -> bool {
    let folder = repository.folder.as_ref().is_some_and(|folder| !folder.path.exists());
    folder && file_of(&repository.password).is_some_and(|file| !file.exists())
}

fn file_of(secret: &Secret) -> Option<PathBuf> {
    secret.file_path().map(Path::to_owned)
}

/// Writes a new password, readable for its owner only, and makes it durable.
pub(crate) fn write_password(file: &Path) -> io::Result<()> {
    let password = backup::password()?;
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    written.write_all(format!("{password}\n").as_bytes())?;
    written.sync_all()?;
    store::sync_directory(
        file.parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new(".")),
    )
}

/// Inside a child: does a backup task, each step reported as a line.
///
/// # Errors
/// When the request cannot be read or a line cannot be written.
pub(crate) fn run_task(request: &str, line: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<String> {
    let request: backup::task::TaskRequest = serde_json::from_str(request)?;
    std::fs::create_dir_all(&request.scratch)?;
    let clocks = MachineClocks::new();
    let clock = backup::Clock::new(move || clocks.now().wall.to_jiff());
    let mut broken = None;
    let done = backup::task::perform(&request, clock, &mut |step| {
        let text = serde_json::to_string(step).unwrap_or_default();
        if let Err(error) = line(&text) {
            broken.get_or_insert(error);
        }
    });
    match broken {
        Some(error) => Err(error),
        None => Ok(if done { "done" } else { "failed" }.to_owned()),
    }
}
