//! The outward heartbeat: a dead-man's switch that somebody else watches. It says that the watcher lives and watches, and
//! stops by itself when any essential part is stuck, as it is sent only after everything was looked at. That it does not
//! arrive is a fact, and so is that it arrives again.

use std::time::Duration;

use config::{Secret, Span};
use events::{Envelope, Fact, HeartbeatChanged, Name, Stop, name_of};
use outbound::Context;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use web::{App, PulseChange, Readiness, readiness};

use crate::{
    plan::journal_name,
    settings::Settings,
    supervisor::{Stage, Supervisor, Token},
};

/// How often when nothing is said.
const EVERY: Duration = Duration::from_secs(60);
/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// `[heartbeat.X]`: where to call outward.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatSettings {
    /// Where to POST: the address is a secret, as whoever knows it can keep the switch quiet.
    pub url: Secret,
    /// How often; a minute when unsaid.
    #[serde(default)]
    pub every: Option<Span>,
}

impl HeartbeatSettings {
    fn every(&self) -> Duration {
        self.every
            .as_ref()
            .map_or(EVERY, |every| every.as_std().max(Duration::from_secs(1)))
    }
}

/// Starts all outward heartbeats.
pub(crate) fn start(settings: &Settings, app: &App, context: &Context, supervisor: &mut Supervisor) {
    for (name, heartbeat) in &settings.heartbeat {
        let (name, heartbeat, app, context) = (journal_name(name), heartbeat.clone(), app.clone(), context.clone());
        let token = supervisor.token(Stage::Collect);
        supervisor.restarting(Stage::Collect, format!("heartbeat/{name}"), move || {
            beat(
                name.clone(),
                heartbeat.clone(),
                app.clone(),
                context.clone(),
                token.clone(),
            )
        });
    }
}

/// Sends heartbeats until `stop`. A heartbeat is sent now or skipped, never queued.
async fn beat(name: Name, settings: HeartbeatSettings, app: App, context: Context, stop: Token) {
    loop {
        tokio::select! { () = tokio::time::sleep(settings.every()) => {}, () = stop.stopped() => return }
        let ready = readiness(&app).await;
        if !ready.ready {
            tracing::warn!(heartbeat = %name, problems = ?ready.problems, "the outward heartbeat is withheld");
            continue;
        }
        let sent = tokio::select! {
            sent = send(&settings, &app, &context, &ready) => sent,
            () = stop.stopped() => return,
        };
        if let Some(change) = app.pulses.note(&name, app.now(), sent) {
            record(&app, &name, change).await;
        }
    }
}

async fn send(settings: &HeartbeatSettings, app: &App, context: &Context, ready: &Readiness) -> Result<(), String> {
    let url = settings.url.read().map_err(|error| error.to_string())?;
    let head = app.journal.head().await.map_err(|error| error.to_string())?;
    let degraded = ready.degraded.len();
    let body =
        json!({ "seq": head.seq, "commit": head.commit, "chain": head.link, "at": app.now(), "degraded": degraded });
    let request = context.client().post(url.expose()).json(&body).send();
    let answer = tokio::time::timeout(TIMEOUT, request)
        .await
        .map_err(|_| "no answer before the deadline".to_owned())?;
    // The address stays out of the message.
    let answer = answer.map_err(|error| outbound::chain(&error.without_url()))?;
    let status = answer.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("answered {status}"))
    }
}

/// What changed, as a fact.
async fn record(app: &App, name: &Name, change: PulseChange) {
    let (arrives, why) = match change {
        PulseChange::Arrives => (true, None),
        PulseChange::Fails { why } => (false, Some(why)),
    };
    match &why {
        Some(why) => tracing::error!(heartbeat = %name, why, "the outward heartbeat does not arrive"),
        None => tracing::info!(heartbeat = %name, "the outward heartbeat arrives again"),
    }
    let changed = HeartbeatChanged {
        heartbeat: name.clone(),
        arrives,
        why,
    };
    let stream = name_of(&format!("heartbeat/{name}"));
    let envelope = Envelope::new(stream, name_of("daemon"), Fact::HeartbeatChanged(changed));
    if let Err(error) = app.journal.submit_reserved(envelope.into()).await {
        tracing::warn!(%error, "record how the outward heartbeat fares");
    }
}
