//! `watchkeep restore`: needs nothing but the repository and its password; no daemon, no data folder, and a
//! configuration only to look a name up.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use backup::{Access, Clock, Digest, Location, Order, Reason, Repository, Run, Snapshot};
use config::Secret;
use events::Clocks;
use miette::{IntoDiagnostic, WrapErr};

use crate::{
    cli::{RecoveryKeyArgs, RestoreArgs},
    clock::MachineClocks,
    command::text::{counted, size},
    keeping::host,
    settings,
};

/// What was restored, for the command line.
pub(crate) struct Done {
    /// Sentences for a person.
    pub(crate) lines: Vec<String>,
}

/// Restores a copy. Everything that is needed is read and checked before a byte is written.
///
/// # Errors
/// When the repository cannot be opened, the copy is damaged, or the destination cannot be used: then nothing was written.
pub(crate) fn restore(named: Option<&Path>, arguments: &RestoreArgs) -> miette::Result<Done> {
    let repository = open(
        named,
        &arguments.repository,
        arguments.password_file.as_deref(),
        Access::Read,
    )?;
    let snapshot = choose(&repository, &arguments.snapshot, arguments.backup.as_deref())?;
    let order = Order {
        snapshot,
        only: arguments.only.as_ref().map(PathBuf::from),
        destination: arguments.to.clone(),
        replace: false,
    };
    let restored = backup::restore(&repository, &order)
        .into_diagnostic()
        .wrap_err("restore; see the reason below")?;
    let mut lines = vec![format!(
        "restored {}, {} of copy {} to {}, under their full paths; every byte was checked before the first was written ({} ms), then written in {} ms",
        counted(restored.files, "file", "files"),
        size(restored.bytes),
        snapshot.short(),
        arguments.to.display(),
        restored.verify_took.as_millis(),
        restored.write_took.as_millis()
    )];
    lines.extend(
        restored
            .omitted
            .iter()
            .map(|omitted| format!("not as it was: {omitted}")),
    );
    Ok(Done { lines })
}

/// Makes a second password for a repository: for paper, where neither this machine nor the store can lose it. It is said here,
/// and nowhere else: not in the journal, not in a log, not in a file.
///
/// # Errors
/// When the repository cannot be opened or written to, such as before its first backup.
pub(crate) fn recovery_key(named: Option<&Path>, arguments: &RecoveryKeyArgs) -> miette::Result<Vec<String>> {
    let repository = open(
        named,
        &arguments.repository,
        arguments.password_file.as_deref(),
        Access::Write,
    )?;
    let key = backup::password()
        .into_diagnostic()
        .wrap_err("ask the kernel for a new password")?;
    repository
        .add_key(&key)
        .into_diagnostic()
        .wrap_err("add the password")?;
    Ok(vec![
        format!("a second password opens {} now; it is shown this once:", repository.location()),
        format!("  {key}"),
        "Write it down and keep it where neither this machine nor the store can lose it. To restore with it, put it into a file that only you may read:"
            .to_owned(),
        "  watchkeep restore --password-file FILE --repository … --to …".to_owned(),
    ])
}

fn open(
    named: Option<&Path>,
    repository: &str,
    password_file: Option<&Path>,
    access: Access,
) -> miette::Result<Repository> {
    let (location, password) = place(named, repository, password_file)?;
    let clocks = MachineClocks::new();
    let run = Run::new(host(), Clock::new(move || clocks.now().wall.to_jiff()));
    let password = password.read().into_diagnostic()?;
    let opened = Repository::open(&location, password.expose(), access, run);
    if opened
        .as_ref()
        .is_err_and(|failure| failure.reason() == Reason::NotFound && access == Access::Write)
    {
        return Err(miette::miette!(
            help = "the first backup makes it: watchkeep backup run NAME",
            "there is no repository yet"
        ));
    }
    opened.into_diagnostic().wrap_err("open the repository")
}

/// Where the repository is and where its password: by its name in the configuration, or a folder and a password file.
fn place(named: Option<&Path>, repository: &str, password_file: Option<&Path>) -> miette::Result<(Location, Secret)> {
    let given = password_file.map(Path::to_owned).map(Secret::file);
    let folder = PathBuf::from(repository);
    if folder.is_dir() {
        let password = given.ok_or_else(|| {
            miette::miette!(
                help = "the daemon reads it from where [repository.…] password says",
                "name the password: --password-file FILE"
            )
        })?;
        return Ok((Location::Folder(folder), password));
    }
    let source = settings::source(named)?;
    let (read, _) = config::load_partial::<settings::Settings>(&source);
    let known = read.map(|settings| settings.repository).unwrap_or_default();
    let found = known.iter().find(|(name, _)| name.as_str() == repository);
    let Some((_, settings)) = found else {
        let near = config::suggest(repository, known.keys().map(config::Name::as_str));
        let help = near.map_or_else(
            || "name a folder that is there, or a [repository.…] of the configuration".to_owned(),
            |near| format!("did you mean {near}?"),
        );
        return Err(miette::miette!(
            help = help,
            "no repository {repository:?}, and no such folder"
        ));
    };
    let location = settings.location().into_diagnostic()?;
    Ok((location, given.unwrap_or_else(|| (*settings.password).clone())))
}

fn choose(repository: &Repository, wanted: &str, backup: Option<&str>) -> miette::Result<Digest> {
    if wanted != "latest" {
        let found = repository.find(wanted).into_diagnostic()?;
        return match backup {
            Some(backup) if found.job.as_deref() != Some(backup) => Err(miette::miette!(
                help = "leave --backup out, or name another copy",
                "copy {} is of {}, not of backup {backup:?}",
                found.id.short(),
                found
                    .job
                    .map_or_else(|| "no backup".to_owned(), |job| format!("backup {job:?}"))
            )),
            _ => Ok(found.id),
        };
    }
    let snapshots = repository
        .snapshots()
        .into_diagnostic()
        .wrap_err("look for the copies")?;
    // By backup the newest, as they come oldest first.
    let newest: BTreeMap<&str, &Snapshot> = snapshots
        .iter()
        .filter_map(|snapshot| Some((snapshot.job.as_deref()?, snapshot)))
        .collect();
    if let Some(backup) = backup {
        return match newest.get(backup) {
            Some(snapshot) => Ok(snapshot.id),
            None => Err(unknown(backup, &newest)),
        };
    }
    if newest.len() > 1 {
        let each = newest.iter().map(|(job, snapshot)| {
            let (id, time) = (snapshot.id.short(), snapshot.time.round(jiff::Unit::Second));
            let time = time.unwrap_or(snapshot.time);
            format!("--backup {job} (newest {id} of {time})")
        });
        return Err(miette::miette!(
            help = format!("add {}", each.collect::<Vec<_>>().join(", or ")),
            "the repository holds copies of several backups: say which"
        ));
    }
    snapshots
        .last()
        .map(|snapshot| snapshot.id)
        .ok_or_else(|| miette::miette!("the repository holds no copy"))
}

fn unknown(backup: &str, newest: &BTreeMap<&str, &Snapshot>) -> miette::Report {
    let near = config::suggest(backup, newest.keys().copied());
    let help = match near {
        Some(near) => format!("did you mean {near}?"),
        None if newest.is_empty() => "it holds no copy that a backup of Watchkeep made".to_owned(),
        None => format!(
            "there are copies of {}",
            newest.keys().copied().collect::<Vec<_>>().join(", ")
        ),
    };
    miette::miette!(help = help, "the repository holds no copy of backup {backup:?}")
}
