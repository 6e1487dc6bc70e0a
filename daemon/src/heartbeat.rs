//! The outward heartbeat: a dead-man's switch that somebody else watches. It stops by itself when any essential part
//! is stuck, as it is sent only after everything was looked at.

use std::time::Duration;

use config::{Secret, Span};
use events::Stop;
use outbound::Context;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use web::{App, readiness};

use crate::supervisor::Token;

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

/// Sends heartbeats until `stop`. A heartbeat is sent now or skipped, never queued.
pub(crate) async fn beat(name: String, settings: HeartbeatSettings, app: App, context: Context, stop: Token) {
    let mut failing = false;
    loop {
        tokio::select! { () = tokio::time::sleep(settings.every()) => {}, () = stop.stopped() => return }
        let ready = readiness(&app).await;
        if !ready.ready {
            tracing::warn!(heartbeat = name, problems = ?ready.problems, "the outward heartbeat is withheld");
            continue;
        }
        match send(&settings, &app, &context).await {
            Ok(()) => failing = false,
            // Once: the other side tells when it misses us.
            Err(why) if !failing => {
                tracing::warn!(heartbeat = name, why, "the outward heartbeat could not be sent");
                failing = true;
            }
            Err(_) => {}
        }
    }
}

async fn send(settings: &HeartbeatSettings, app: &App, context: &Context) -> Result<(), String> {
    let url = settings.url.read().map_err(|error| error.to_string())?;
    let head = app.journal.head().await.map_err(|error| error.to_string())?;
    let body = json!({ "seq": head.seq, "commit": head.commit, "chain": head.link, "at": app.now() });
    let request = context.client().post(url.expose()).json(&body).send();
    let answer = tokio::time::timeout(TIMEOUT, request)
        .await
        .map_err(|_| "no answer before the deadline".to_owned())?;
    // The address stays out of the message.
    let status = answer.map_err(|error| error.without_url().to_string())?.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("answered {status}"))
    }
}
