//! Delivery to real servers: SMTP with TLS and login, and an HTTP receiver.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of a test crate")]

mod email;
#[path = "../../../tests/harness/installed.rs"]
mod installed;
mod webhook;

use std::{path::Path, sync::Arc};

use alerting::{Body, IncidentBody, Kind, NotifySettings};
use config::Source;
use events::{BootId, Boottime, Clock, Clocks, Identity, IncidentId, JobId, Severity, Timestamp, name_of};
use outbound::{Context, ContextOptions};

/// The real time: a server's certificate is judged by it.
struct RealTime;

impl Clocks for RealTime {
    #[expect(clippy::disallowed_methods, reason = "the shell's clock, for the test of a shell")]
    fn now(&self) -> Clock {
        Clock {
            wall: Timestamp::from_jiff(jiff::Timestamp::now()),
            boot: Boottime(0),
            boot_id: BootId("test".to_owned()),
        }
    }
}

fn context(folder: &Path) -> Context {
    Context::new(ContextOptions {
        clocks: Arc::new(RealTime),
        data_dir: folder.to_owned(),
        environment: "test".to_owned(),
        extra_ca: None,
    })
    .unwrap()
}

fn settings(text: &str) -> NotifySettings {
    config::load(&Source::new("watchkeep.toml", text)).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// A file that only its owner reads, as secrets have to be.
fn secret(folder: &Path, name: &str, value: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    std::fs::write(&path, value).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

fn job(name: &str) -> JobId {
    JobId::derive(&Identity::default(), &[name])
}

/// A composed message of an incident, as the journal keeps it.
fn composed(id: JobId) -> String {
    let at = Timestamp::from_jiff("2026-11-21T03:12:04Z".parse().unwrap());
    let incident = IncidentBody {
        id: IncidentId::derive(&Identity::default(), &["shop"]),
        rule: name_of("up/shop"),
        service: None,
        since: at,
        fired: at,
        resolved: None,
        readings: Vec::new(),
        changes: Vec::new(),
        actions: Vec::new(),
        acked: None,
        runbook: None,
        commands: Vec::new(),
    };
    let body = Body {
        version: 1,
        id,
        kind: Kind::Firing,
        title: "FIRING café is down: connection refused".to_owned(),
        text: "Since: 2026-11-21 03:12:04 UTC\nWhy: connection refused – 10.0.0.1\n.\nTo do:\n  watchkeep why"
            .to_owned(),
        severity: Severity::Page,
        incident: Some(incident),
        at,
    };
    serde_json::to_string(&body).unwrap()
}
