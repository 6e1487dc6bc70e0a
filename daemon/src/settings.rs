//! The one configuration file: lists the sections, each of which is its owner's, and checks what refers to what.

mod check;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use alerting::{AlertSettings, NotifySettings};
use backup::{BackupSettings, RepositorySettings};
use collectors::probe::{NetworkSettings, ProbeSettings};
use config::{Bytes, Located, Mistakes, Name, Source, Span, WebUrl};
use miette::IntoDiagnostic;
use recovery::ActionSettings;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::heartbeat::HeartbeatSettings;

pub(crate) use self::check::check;

/// What runs when there is no file: this machine is watched, and the journal is backed up and proved every night.
pub(crate) const EMBEDDED: &str = include_str!("settings/embedded.toml");
/// Where the file is looked for when none is named.
const PLACES: [&str; 2] = ["watchkeep.toml", "/etc/watchkeep/watchkeep.toml"];
/// Data folder when nothing is said.
pub(crate) const DATA: &str = "watchkeep-data";
/// Where page, API and OTLP listen when nothing is said: stock SDKs find it unconfigured.
const LISTEN: &str = "127.0.0.1:4318";
/// Environment when nothing is said.
const ENVIRONMENT: &str = "production";

/// The configuration of Watchkeep.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The environment this daemon watches; telemetry of another one is named `service@environment`.
    #[serde(default)]
    pub environment: Option<Located<String>>,
    /// Where everything is kept, and for how long.
    #[serde(default)]
    pub store: StoreSettings,
    /// Page, API and OTLP.
    #[serde(default)]
    pub web: WebSettings,
    /// How the watcher knows that it is not cut off itself.
    #[serde(default)]
    pub network: NetworkSettings,
    /// Services that are known by telemetry alone, and what is asked of them.
    #[serde(default)]
    pub service: BTreeMap<Name, ServiceSettings>,
    /// Whom to tell.
    #[serde(default)]
    pub notify: BTreeMap<Name, NotifySettings>,
    /// What to look at.
    #[serde(default)]
    pub probe: BTreeMap<Name, ProbeSettings>,
    /// When to speak.
    #[serde(default)]
    pub alert: BTreeMap<Name, AlertSettings>,
    /// What to do.
    #[serde(default)]
    pub action: BTreeMap<Name, ActionSettings>,
    /// The dead-man's switches: calls outward that stop when anything essential is stuck.
    #[serde(default)]
    pub heartbeat: BTreeMap<Name, HeartbeatSettings>,
    /// What to keep.
    #[serde(default)]
    pub backup: BTreeMap<Name, BackupSettings>,
    /// Where to keep it.
    #[serde(default)]
    pub repository: BTreeMap<Name, RepositorySettings>,
    /// The daemon's own traces.
    #[serde(default)]
    pub traces: Option<TracesSettings>,
}

/// `[store]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// The data folder, on a local disk; `watchkeep-data` beside the working folder when unsaid.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// How long telemetry is kept; 30d when unsaid. Facts are kept for ever.
    #[serde(default)]
    pub telemetry: Option<Span>,
    /// Most disk that telemetry may take; 20GiB when unsaid.
    #[serde(default)]
    pub disk: Option<Bytes>,
}

/// `[web]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebSettings {
    /// Address on loopback for OTLP, `/livez`, `/readyz` and `/metrics`; `127.0.0.1:4318` when unsaid.
    #[serde(default)]
    pub listen: Option<Located<String>>,
    /// Names under which it may be called, beside localhost.
    #[serde(default)]
    pub names: Vec<String>,
    /// Telemetry from this machine, which needs no token, may set off an automatic action by itself.
    #[serde(default)]
    pub trust_loopback: bool,
    /// Group whose members may operate on the socket: acknowledge, silence, record deployments, start backups.
    #[serde(default)]
    pub group: Option<Located<String>>,
}

/// `[service.X]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSettings {
    /// Requests slower than this are shown as over the objective.
    #[serde(default)]
    pub latency_objective: Option<Span>,
}

/// `[traces]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TracesSettings {
    /// OTLP/HTTP endpoint that the daemon's own traces go to, such as `http://127.0.0.1:4319/v1/traces`. Not its own store,
    /// unless you name it.
    pub endpoint: WebUrl,
}

impl Settings {
    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        let named = self.store.path.clone().unwrap_or_else(|| PathBuf::from(DATA));
        // Children run elsewhere. Fails only for an empty path, which then fails where it is used.
        std::path::absolute(&named).unwrap_or(named)
    }

    /// The daemon's own environment.
    pub(crate) fn environment(&self) -> &str {
        self.environment
            .as_ref()
            .map_or(ENVIRONMENT, |environment| environment.as_str())
    }

    /// Where it listens.
    pub(crate) fn listen(&self) -> &str {
        self.web.listen.as_ref().map_or(LISTEN, |listen| listen.as_str())
    }
}

/// Finds the file: the one named, else the first of [`PLACES`], else the embedded settings.
///
/// # Errors
/// When a file that was named, or found, cannot be read.
pub(crate) fn source(named: Option<&Path>) -> miette::Result<Source> {
    let found = named
        .map(Path::to_owned)
        .or_else(|| PLACES.iter().map(PathBuf::from).find(|path| path.exists()));
    match found {
        Some(path) => Source::read(&path).into_diagnostic(),
        None => Ok(Source::new("embedded defaults", EMBEDDED)),
    }
}

/// Reads settings and checks them whole.
///
/// # Errors
/// Every mistake at once.
pub(crate) fn read(source: &Source) -> Result<Settings, Mistakes> {
    let (settings, mut mistakes) = config::load_partial::<Settings>(source);
    if let Some(settings) = &settings {
        mistakes.extend(check(settings));
    }
    match settings {
        Some(settings) if mistakes.is_empty() => Ok(settings),
        _ => Err(Mistakes::new(source, mistakes)),
    }
}

/// The data folder that a configuration names, without checking the rest: for the command line.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn store_path(named: Option<&Path>) -> miette::Result<PathBuf> {
    let source = source(named)?;
    let (settings, _) = config::load_partial::<Settings>(&source);
    Ok(settings.map_or_else(|| PathBuf::from(DATA), |settings| settings.data()))
}

/// The socket of the API: in the runtime folder that systemd makes, else in the data folder.
#[expect(
    clippy::disallowed_methods,
    reason = "systemd says in the environment where the runtime folder is"
)]
pub(crate) fn socket_of(data: &Path) -> PathBuf {
    std::env::var_os("RUNTIME_DIRECTORY")
        .map_or_else(|| data.to_owned(), PathBuf::from)
        .join("watchkeep.sock")
}

/// The JSON schema of the configuration, as committed in `config/schema.json`.
#[must_use]
pub fn schema() -> String {
    config::schema_text::<Settings>()
}
