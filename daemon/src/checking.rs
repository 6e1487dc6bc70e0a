//! `watchkeep check` and `watchkeep init`.

mod doors;
mod init;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use config::Source;
use events::Clocks;
use miette::IntoDiagnostic;
use outbound::{Context, ContextOptions, Finding};

pub(crate) use self::init::init;
use crate::{clock::MachineClocks, command::text::counted, keeping, settings, settings::Settings};

/// Most names in a line.
const SHOWN_MAX: usize = 10;

/// Checks a configuration: first that it can be read, then, unless `offline`, what it reaches for.
///
/// # Errors
/// When it has mistakes: all of them, with their places.
pub(crate) async fn check(source: &Source, offline: bool) -> miette::Result<Vec<Finding>> {
    let settings = settings::read(source).map_err(|mistakes| miette::miette!("{}", mistakes.render(false)))?;
    let mut findings = vec![Finding::ok("configuration", source.path.display().to_string())];
    if settings.web.trust_loopback {
        let detail = "[web] trust_loopback: telemetry from any process on this machine may set off an automatic action";
        findings.push(Finding::ok("trust", detail));
    }
    findings.extend(silent_alerts(&settings));
    if offline {
        findings.push(Finding::skipped("everything outside", "--offline"));
        return Ok(findings);
    }
    let clocks: Arc<dyn Clocks> = Arc::new(MachineClocks::new());
    let data = settings.data();
    let environment = settings.environment().to_owned();
    let options = ContextOptions {
        clocks,
        data_dir: data.clone(),
        environment,
        extra_ca: None,
    };
    let context = Context::new(options).into_diagnostic()?;
    findings.extend(context.preflight());
    findings.push(writable(&data));
    findings.extend(doors::doors(&settings, &data).await);
    findings.extend(reach(&settings, &context).await);
    Ok(findings)
}

/// Alerts that name nobody: they may be meant so, for the page or for an action, and are more often an oversight.
fn silent_alerts(settings: &Settings) -> Option<Finding> {
    let silent = settings.alert.iter().filter(|(_, alert)| alert.notify.is_empty());
    let names: Vec<&str> = silent.map(|(name, _)| name.as_str()).collect();
    let shown = names.iter().take(SHOWN_MAX).copied().collect::<Vec<_>>().join(", ");
    let more = match names.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let detail = format!("without `notify`, nobody is told when they fire: {shown}{more}");
    (!names.is_empty()).then(|| Finding {
        remedy: "add notify = [\"NAME\"] to them, unless it is meant so".to_owned(),
        ..Finding::ok("alerts", detail)
    })
}

/// Asks every kind.
async fn reach(settings: &Settings, context: &Context) -> Vec<Finding> {
    let mut findings = collectors::probe::Anchors::new(context, &settings.network)
        .preflight()
        .await;
    let named = |kind: &str, name: &str, mut found: Vec<Finding>| {
        for finding in &mut found {
            finding.what = format!("{kind} {name}: {}", finding.what);
        }
        found
    };
    for (name, probe) in &settings.probe {
        findings.extend(named(
            "probe",
            name.as_str(),
            probe.check.as_dyn().preflight(context).await,
        ));
    }
    for (name, notify) in &settings.notify {
        findings.extend(named(
            "notify",
            name.as_str(),
            notify.via.as_dyn().preflight(context).await,
        ));
    }
    for (name, action) in &settings.action {
        findings.extend(named("action", name.as_str(), action.act.as_dyn().preflight(context)));
    }
    for (name, repository) in &settings.repository {
        findings.push(reach_repository(name.as_str(), repository.clone()).await);
    }
    for (name, backup) in &settings.backup {
        let missing = |path: &PathBuf| (!path.exists()).then(|| path.display().to_string());
        let paths = backup.source_paths();
        let what = format!("backup {}: source", name.as_str());
        findings.push(match paths.iter().find_map(missing) {
            Some(path) => Finding::problem(what, format!("{path} is not there"), "correct the path of the source"),
            None => Finding::ok(what, "is there"),
        });
    }
    for (name, heartbeat) in &settings.heartbeat {
        findings.push(doors::heartbeat(name.as_str(), heartbeat, context).await);
    }
    findings
}

/// Opens a repository for writing, as a backup would.
async fn reach_repository(name: &str, repository: backup::RepositorySettings) -> Finding {
    let what = format!("repository {name}: {}", repository.describe());
    if keeping::is_new(&repository) {
        let detail = "nothing is there yet: the first start makes its password, the first backup the repository";
        return Finding::ok(what, detail);
    }
    let tried = tokio::task::spawn_blocking(move || {
        let clocks = MachineClocks::new();
        let run = backup::Run::new(keeping::host(), backup::Clock::new(move || clocks.now().wall.to_jiff()));
        let password = repository.password()?;
        backup::Repository::open(&repository.location()?, password.expose(), backup::Access::Write, run)?.snapshots()
    });
    match outbound::within(jiff::SignedDuration::from_secs(60), "open the repository", tried).await {
        Ok(Ok(Ok(snapshots))) => Finding::ok(what, opens(snapshots.len())),
        Ok(Ok(Err(failure))) if failure.reason() == backup::Reason::NotFound => {
            Finding::ok(what, "nothing is there yet: the first backup makes it")
        }
        Ok(Ok(Err(failure))) => Finding::problem(what, failure.chain(), "correct its place, keys or password"),
        Ok(Err(error)) => Finding::problem(what, error.to_string(), "please report this"),
        Err(error) => Finding::problem(what, error.to_string(), "check the address and the network"),
    }
}

fn opens(copies: usize) -> String {
    let copies = counted(copies as u64, "copy", "copies");
    format!("opens with its password, {copies}")
}

fn writable(data: &Path) -> Finding {
    let what = format!("data folder {}", data.display());
    let existing = data
        .ancestors()
        .find(|path| path.exists())
        .map_or_else(|| PathBuf::from("."), Path::to_owned);
    let existing = if existing.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        existing
    };
    match rustix::fs::access(&existing, rustix::fs::Access::WRITE_OK) {
        Ok(()) => Finding::ok(what, "can be written to"),
        Err(errno) => Finding::problem(
            what,
            format!("{}: {errno}", existing.display()),
            "give this user the right to write there, or set [store] path",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_alert_that_tells_nobody_is_a_hint_and_no_problem() {
        let text = "[service.shop]\n[alert.quiet]\nwhen = \"error_rate(shop, 5m) > 1%\"\n[alert.loud]\nwhen = \"error_rate(shop, 5m) > 2%\"\n\
                    notify = [\"me\"]\n[notify.me]\nvia.email = { to = [\"a@b.example\"], from = \"w@b.example\", \
                    smtp = { env = \"SMTP_URL\" } }\n";
        let source = Source::new("watchkeep.toml", text);
        let findings = check(&source, true).await.unwrap();
        let hint = findings.iter().find(|finding| finding.what == "alerts").unwrap();
        assert!(
            hint.detail.ends_with("nobody is told when they fire: quiet"),
            "{hint:?}"
        );
        assert!(!hint.remedy.is_empty() && !hint.is_problem(), "{hint:?}");
        let source = Source::new(
            "watchkeep.toml",
            text.replace("[alert.quiet]", "[alert.quiet]\nnotify = [\"me\"]"),
        );
        let findings = check(&source, true).await.unwrap();
        assert!(findings.iter().all(|finding| finding.what != "alerts"), "{findings:?}");
    }
}
