//! A small configuration with one of everything.

use std::collections::BTreeMap;

use config::{Bytes, Cron, Located, Name, Secret, Span, WebUrl, Zone};
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) trait ProbeKind {
    fn target(&self) -> String;
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct HttpCheck {
    pub(crate) url: WebUrl,
    pub(crate) status: Option<u16>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct TcpCheck {
    pub(crate) address: String,
    pub(crate) port: u16,
}

impl ProbeKind for HttpCheck {
    fn target(&self) -> String {
        format!("{} {:?} {}", self.url, self.status, self.headers.len())
    }
}

impl ProbeKind for TcpCheck {
    fn target(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }
}

config::kinds! {
    /// What a probe does.
    pub(crate) enum Check: dyn ProbeKind {
        /// An HTTP(S) request.
        Http = "http": HttpCheck,
        /// A TCP connection.
        Tcp = "tcp": TcpCheck,
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Settings {
    #[serde(default)]
    pub(crate) probe: BTreeMap<Name, Probe>,
    #[serde(default)]
    pub(crate) notify: BTreeMap<Name, Notify>,
    #[serde(default)]
    pub(crate) backup: BTreeMap<Name, Backup>,
    pub(crate) store: Option<Store>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Probe {
    pub(crate) every: Option<Span>,
    pub(crate) check: Check,
    #[serde(default)]
    pub(crate) notify: Vec<Located<Name>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Notify {
    pub(crate) to: Vec<String>,
    pub(crate) from: String,
    pub(crate) smtp: Secret,
    pub(crate) mode: Option<Mode>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    DryRun,
    Automatic,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Backup {
    pub(crate) at: Cron,
    pub(crate) timezone: Zone,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Store {
    pub(crate) disk: Bytes,
}
