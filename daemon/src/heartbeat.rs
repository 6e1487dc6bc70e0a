//! The outward heartbeat: a dead-man's switch that somebody else watches. It says that the watcher lives and watches, and
//! stops by itself when any essential part is stuck, as it is sent only after everything was looked at. That it does not
//! arrive is a fact, and so is that it arrives again.

use std::time::Duration;

use config::{Secret, SecretError, SecretValue, Span};
use events::{Envelope, Fact, HeartbeatChanged, Name, Stop, name_of};
use jiff::SignedDuration;
use outbound::{Context, chain, within};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinHandle;
use web::{App, PulseChange, Readiness, readiness};

use crate::{
    plan::journal_name,
    settings::Settings,
    supervisor::{Stage, Supervisor, Token},
};

/// How often when nothing is said.
const EVERY: Duration = Duration::from_secs(60);
/// How long its secret may take to be read.
const SECRET_MAX: SignedDuration = SignedDuration::from_secs(5);
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
    let mut address = Address::new(settings.url.clone());
    loop {
        tokio::select! { () = tokio::time::sleep(settings.every()) => {}, () = stop.stopped() => return }
        let ready = readiness(&app).await;
        if !ready.ready {
            tracing::warn!(heartbeat = %name, problems = ?ready.problems, "the outward heartbeat is withheld");
            continue;
        }
        let sent = tokio::select! {
            sent = send(&mut address, &app, &context, &ready) => sent,
            () = stop.stopped() => return,
        };
        if let Some(change) = app.pulses.note(&name, app.now(), sent) {
            record(&app, &name, change).await;
        }
    }
}

/// The address, read anew for each heartbeat, and away from the runtime: a file system may hang.
struct Address {
    secret: Secret,
    /// A reading that did not end in time; a second one beside it would hang as well.
    reading: Option<JoinHandle<Result<SecretValue, SecretError>>>,
}

impl Address {
    fn new(secret: Secret) -> Self {
        Self { secret, reading: None }
    }

    async fn read(&mut self, limit: SignedDuration) -> Result<SecretValue, String> {
        let reading = self.reading.get_or_insert_with(|| {
            let secret = self.secret.clone();
            tokio::task::spawn_blocking(move || secret.read())
        });
        let read = within(limit, format!("read the secret {}", self.secret), reading).await;
        let read = read.map_err(|late| late.to_string())?;
        self.reading = None;
        match read {
            Ok(Ok(url)) => Ok(url),
            Ok(Err(error)) => Err(chain(&error)),
            Err(panicked) => Err(chain(&panicked)),
        }
    }
}

async fn send(address: &mut Address, app: &App, context: &Context, ready: &Readiness) -> Result<(), String> {
    let url = address.read(SECRET_MAX).await?;
    let head = app.journal.head().await.map_err(|error| error.to_string())?;
    let degraded = ready.degraded.len();
    let body =
        json!({ "seq": head.seq, "commit": head.commit, "chain": head.link, "at": app.now(), "degraded": degraded });
    let request = context.client().post(url.expose()).json(&body).send();
    let answer = tokio::time::timeout(TIMEOUT, request)
        .await
        .map_err(|_| "no answer before the deadline".to_owned())?;
    // The address stays out of the message.
    let answer = answer.map_err(|error| chain(&error.without_url()))?;
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

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::PermissionsExt,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use config::Source;
    use events::{Input, Look, ProbeResult, Reason, ServiceId, Status};
    use store::Expected;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task::JoinSet,
        time::Instant,
    };

    use super::*;
    use crate::{Running, Setup};

    /// Counts the POSTs that it hears, and answers each with 200.
    async fn receiver(tasks: &mut JoinSet<()>) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let heard = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&heard);
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 64 * 1024];
                if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                    let _ = stream.write_all(answer).await;
                }
            }
        });
        (url, heard)
    }

    async fn until(what: &str, holds: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !holds().await {
            assert!(Instant::now() < deadline, "waited too long: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// From now on no result of the probe is soon enough; with `silent` false every one is.
    fn silence(running: &Running, silent: bool) {
        running.record.journal.expect(vec![Expected {
            probe: name_of("load"),
            service: ServiceId::new("load").unwrap(),
            limit: SignedDuration::from_nanos(if silent { -1 } else { i64::MAX }),
        }]);
    }

    async fn passes(running: &Running) {
        let result = ProbeResult {
            probe: name_of("load"),
            service: ServiceId::new("load").unwrap(),
            planned: running.app.now(),
            ended: running.app.now(),
            look: Look::new(Status::Pass, Reason::Ok, String::new()),
            first: None,
        };
        let input = Input::Probe(Box::new(result));
        running.record.journal.submit_reserved(input).await.unwrap();
    }

    #[tokio::test]
    async fn a_watcher_that_does_not_look_gives_no_sign_of_life() {
        let folder = tempfile::tempdir().unwrap();
        let mut tasks = JoinSet::new();
        let (url, heard) = receiver(&mut tasks).await;
        let place = folder.path().join("url");
        std::fs::write(&place, url).unwrap();
        std::fs::set_permissions(&place, PermissionsExt::from_mode(0o600)).unwrap();
        let text = format!(
            "[store]\npath = \"{0}/data\"\n[web]\nlisten = \"127.0.0.1:0\"\n[network]\nanchors = []\n[probe.load]\nevery = \
             \"1d\"\ncheck.load = {{ per_core_over = 1000 }}\n[heartbeat.outward]\nurl = {{ file = \"{0}/url\" }}\nevery = \"1s\"\n",
            folder.path().display()
        );
        let running = crate::start(Setup::new(Source::new("test", text))).await.unwrap();
        until("signs of life", async || heard.load(Ordering::SeqCst) >= 2).await;
        silence(&running, true);
        until("it says that it is not ready", async || {
            !readiness(&running.app).await.ready
        })
        .await;
        let before = heard.load(Ordering::SeqCst);
        let watched = Instant::now();
        until("three intervals", async || watched.elapsed() > Duration::from_secs(3)).await;
        let after = heard.load(Ordering::SeqCst);
        assert!(after <= before + 1, "one may have been on its way: {before}, {after}");
        silence(&running, false);
        passes(&running).await;
        until("signs of life again", async || heard.load(Ordering::SeqCst) > after).await;
        running.stop("the test ends").await;
    }

    #[tokio::test]
    async fn a_secret_on_a_file_system_that_hangs_is_told_and_not_read_twice_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("url");
        std::fs::write(&place, "http://switch.example/").unwrap();
        std::fs::set_permissions(&place, PermissionsExt::from_mode(0o600)).unwrap();
        let secret = Secret::file(place);
        let mut address = Address::new(secret.clone());
        let (held, hangs) = std::sync::mpsc::sync_channel::<()>(0);
        address.reading = Some(tokio::task::spawn_blocking(move || {
            let _ = hangs.recv();
            secret.read()
        }));
        for _ in 0..2 {
            let why = address.read(SignedDuration::from_millis(20)).await.unwrap_err();
            assert!(why.contains("no answer within 20 ms"), "{why}");
            assert!(address.reading.is_some(), "it is waited for, not begun again");
        }
        drop(held);
        let url = address.read(SignedDuration::from_secs(10)).await.unwrap();
        assert_eq!(url.expose(), "http://switch.example/");
        assert!(address.reading.is_none(), "the next one is read anew");
    }
}
