//! What the daemon says when it runs: what it watches, how to ask it, where telemetry goes, and the first alert.

use config::{Name, Source};
use web::{Described, DescribedAction, DescribedProbe};

use super::Running;
use crate::{
    plan::{journal_name, rules, surroundings},
    settings::Settings,
};

/// Where stock SDKs send to by HTTP.
const OTLP_PORT: &str = ":4318";

/// The eight lines of a first alert.
const FIRST_ALERT: &str = r#"
[notify.me]
via.email = { to = ["me@shop.example"], from = "watchkeep@shop.example", smtp = { env = "SMTP_URL" } }

[probe.shop]
every = "15s"
check.http = { url = "https://shop.example/health" }
notify = ["me"]
"#;

/// The configuration in words.
pub(crate) fn describe(source: &Source, settings: &Settings) -> Described {
    let rules = rules(settings, &surroundings(settings)).unwrap_or_default();
    let probe = |(name, probe): (&Name, &collectors::probe::ProbeSettings)| {
        Some(DescribedProbe {
            name: journal_name(name),
            service: probe.service(name)?,
            kind: probe.check.kind().to_owned(),
            target: probe.check.as_dyn().target(),
            every: probe.every.to_string(),
        })
    };
    let action = |(name, action): (&Name, &recovery::ActionSettings)| {
        let planned = action.planned();
        let mode = if planned.mode == events::ActionMode::Automatic {
            "automatic"
        } else {
            "dry-run"
        };
        DescribedAction {
            name: journal_name(name),
            mode: mode.to_owned(),
            command: planned.command,
        }
    };
    Described {
        environment: settings.environment().to_owned(),
        file: source.path.display().to_string(),
        probes: settings.probe.iter().filter_map(probe).collect(),
        services: settings
            .service
            .keys()
            .map(|name| name.as_str().to_owned())
            .chain(
                rules
                    .all()
                    .iter()
                    .filter_map(|rule| Some(rule.service.as_ref()?.as_str().to_owned())),
            )
            .collect(),
        rules: rules.all().iter().map(|rule| rule.name.as_str().to_owned()).collect(),
        destinations: settings.notify.keys().map(journal_name).collect(),
        backups: settings.backup.keys().map(journal_name).collect(),
        actions: settings.action.iter().map(action).collect(),
        listen: Some(settings.listen().to_owned()),
    }
}

/// Prints it to standard output.
#[expect(clippy::print_stdout, reason = "this is what whoever starts the daemon wants to see")]
pub(super) fn print(running: &Running, settings: &Settings) {
    let described = &running.app.described;
    println!(
        "Watchkeep {} runs with {} in {}",
        running.app.version,
        described.file,
        running.data.display()
    );
    println!("\nWatches:");
    for probe in &described.probes {
        println!(
            "  {:<20} {} {} every {}",
            probe.name.as_str(),
            probe.kind,
            probe.target,
            probe.every
        );
    }
    println!("Rules:    {}", list(described.rules.iter().map(String::as_str)));
    println!(
        "Tells:    {}",
        list(described.destinations.iter().map(events::Name::as_str))
    );
    println!("Keeps:    {}", list(described.backups.iter().map(events::Name::as_str)));
    println!(
        "Acts:     {}",
        list(described.actions.iter().map(|action| action.name.as_str()))
    );
    println!(
        "\nAsk it:   watchkeep status      (socket {})",
        running.socket.display()
    );
    let listen = settings.listen();
    let found = if listen.ends_with(OTLP_PORT) {
        "stock OpenTelemetry SDKs find it unconfigured".to_owned()
    } else {
        format!("set OTEL_EXPORTER_OTLP_ENDPOINT=http://{listen}")
    };
    println!("OTLP:     http://{listen}/v1/traces and /v1/logs: {found}");
    if described.backups.is_empty() {
        println!("\nNothing is backed up yet: add [backup.journal], see docs/guide/backups.md");
    }
    if described.destinations.is_empty() {
        println!(
            "\nNobody is told yet. A first alert, in ./watchkeep.toml (`watchkeep init` writes one with everything explained):"
        );
        println!("{FIRST_ALERT}");
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        "nothing yet".to_owned()
    } else {
        names.join(", ")
    }
}
