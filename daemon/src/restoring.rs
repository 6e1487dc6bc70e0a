//! `watchkeep restore`: needs nothing but the repository and its password; no daemon, no data folder, and a
//! configuration only to look a name up.

use std::path::{Path, PathBuf};

use backup::{Access, Clock, Digest, Location, Order, Repository, Run};
use config::Secret;
use events::Clocks;
use miette::{IntoDiagnostic, WrapErr};

use crate::{cli::RestoreArgs, clock::MachineClocks, keeping::host, settings};

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
    let (location, password) = place(named, arguments)?;
    let clocks = MachineClocks::new();
    let run = Run::new(host(), Clock::new(move || clocks.now().wall.to_jiff()));
    let password = password.read().into_diagnostic()?;
    let repository = Repository::open(&location, password.expose(), Access::Read, run)
        .into_diagnostic()
        .wrap_err("open the repository")?;
    let snapshot = choose(&repository, &arguments.snapshot)?;
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
        "restored {} files, {} bytes of copy {} to {}; every byte was checked before the first was written ({} ms), then written in {} ms",
        restored.files,
        restored.bytes,
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

/// Where the repository is and where its password: by its name in the configuration, or a folder and a password file.
fn place(named: Option<&Path>, arguments: &RestoreArgs) -> miette::Result<(Location, Secret)> {
    let given = arguments.password_file.clone().map(Secret::file);
    let folder = PathBuf::from(&arguments.repository);
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
    let found = known.iter().find(|(name, _)| name.as_str() == arguments.repository);
    let Some((_, repository)) = found else {
        let near = config::suggest(&arguments.repository, known.keys().map(config::Name::as_str));
        let help = near.map_or_else(
            || "name a folder that is there, or a [repository.…] of the configuration".to_owned(),
            |near| format!("did you mean {near}?"),
        );
        return Err(miette::miette!(
            help = help,
            "no repository {:?}, and no such folder",
            arguments.repository
        ));
    };
    let location = repository.location().into_diagnostic()?;
    Ok((location, given.unwrap_or_else(|| (*repository.password).clone())))
}

fn choose(repository: &Repository, wanted: &str) -> miette::Result<Digest> {
    if wanted != "latest" {
        return Ok(repository.find(wanted).into_diagnostic()?.id);
    }
    let snapshots = repository
        .snapshots()
        .into_diagnostic()
        .wrap_err("look for the copies")?;
    let jobs: std::collections::BTreeSet<_> = snapshots
        .iter()
        .filter_map(|snapshot| snapshot.job.as_deref())
        .collect();
    if jobs.len() > 1 {
        let newest = |job: &&str| {
            let last = snapshots.iter().rfind(|snapshot| snapshot.job.as_deref() == Some(*job));
            last.map_or_else(String::new, |last| {
                format!("{job}: --snapshot {} of {}", last.id.short(), last.time)
            })
        };
        let help = jobs.iter().map(newest).collect::<Vec<_>>().join("; ");
        return Err(miette::miette!(
            help = help,
            "the repository holds copies of several backups: say which"
        ));
    }
    snapshots
        .last()
        .map(|snapshot| snapshot.id)
        .ok_or_else(|| miette::miette!("the repository holds no copy"))
}
