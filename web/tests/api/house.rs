//! A journal and telemetry in a folder of their own, with their writers running, and requests against the routers.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use events::{
    About, BootId, Boottime, Clock, Clocks, Composer, Composition, Configured, Effects, Envelope, Fact, Factory, House,
    Job, Moment, Name, Notified, Reactor, Recorded, Started, Stop, Timestamp, Views, name_of,
};
use http_body_util::BodyExt;
use jiff::SignedDuration;
use serde_json::Value;
use store::{
    Folder, Journal, Options, Store,
    telemetry::{Telemetry, TelemetryContext, TelemetryOptions},
};
use tokio::{sync::watch, task::JoinSet};
use tower::ServiceExt;
use web::{
    App, Caller, Described, DescribedAction, Host, Scope,
    ingest::{Ingest, IngestReply, IngestRequest},
    socket_router, tcp_router,
};

/// 2026-11-21T03:00:00Z.
pub(crate) const WALL: i64 = 1_795_230_000_000_000_000;

/// A clock that stands.
pub(crate) struct Still;

impl Clocks for Still {
    fn now(&self) -> Clock {
        Clock {
            wall: Timestamp(WALL),
            boot: Boottime(1),
            boot_id: BootId("boot".to_owned()),
        }
    }
}

/// Answers a test request with a message, as the real reactor does.
struct Teller;

impl Reactor for Teller {
    fn name(&self) -> &'static str {
        "teller"
    }

    fn window(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    fn absorb(&mut self, _: &Recorded) {}

    fn react(&self, views: &Views, fact: &Recorded, out: &mut Effects) {
        let Fact::TestRequested(asked) = fact.fact() else {
            return;
        };
        let job = events::JobId::derive(&views.now.identity, &["test", &fact.seq.to_string()]);
        let notified = Notified {
            job,
            destination: asked.destination.clone(),
            about: About::Test { by: asked.by.clone() },
        };
        out.record(Envelope::new(
            name_of("teller"),
            name_of("teller"),
            Fact::Notified(notified),
        ));
    }
}

struct Toys;

impl Factory for Toys {
    fn build(&self, _: &str) -> House {
        House {
            reactors: vec![Box::new(Teller)],
            paging: Box::new(Teller),
        }
    }
}

struct Mute;

impl Composer for Mute {
    fn compose(&self, _: &Views, _: &Job, _: &Moment) -> Option<Composition> {
        None
    }
}

/// Says when to stop.
#[derive(Clone)]
pub(crate) struct Sign(pub(crate) watch::Sender<bool>);

#[async_trait]
impl Stop for Sign {
    fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    async fn stopped(&self) {
        let mut sign = self.0.subscribe();
        let _ = sign.wait_for(|stopped| *stopped).await;
    }
}

/// An ingest kind that remembers what it was given.
#[derive(Default)]
pub(crate) struct Ears(pub(crate) Mutex<Vec<usize>>);

/// Most bytes that it takes.
pub(crate) const EARS_MAX: usize = 100_000;

#[async_trait]
impl Ingest for Ears {
    fn path(&self) -> &'static str {
        "/v1/logs"
    }

    fn body_max(&self) -> usize {
        EARS_MAX
    }

    async fn take(&self, request: IngestRequest) -> IngestReply {
        self.0.lock().unwrap().push(request.body.len());
        IngestReply {
            status: 429,
            content_type: "application/json",
            body: b"{}".to_vec(),
            retry_after_s: Some(7),
        }
    }
}

/// A record that runs.
pub(crate) struct Rig {
    pub(crate) app: App,
    pub(crate) ears: Arc<Ears>,
    pub(crate) store: Store<Telemetry>,
    _writers: JoinSet<()>,
    _place: tempfile::TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    pub(crate) kind: String,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Checks that it is a problem of that status, and gives its title and detail.
    pub(crate) fn problem(&self, status: u16) -> String {
        let json = self.json();
        assert_eq!(
            (self.status.as_u16(), self.kind.as_str()),
            (status, "application/problem+json"),
            "{json}"
        );
        assert_eq!(json["status"], status);
        format!(
            "{} | {}",
            json["title"].as_str().unwrap(),
            json["detail"].as_str().unwrap_or_default()
        )
    }
}

pub(crate) const ADMIN: Caller = Caller {
    uid: Some(0),
    scope: Scope::Admin,
};

pub(crate) fn names(names: &[&str]) -> Vec<Name> {
    names.iter().map(|name| Name::new(*name).unwrap()).collect()
}

fn described() -> Described {
    let action = DescribedAction {
        name: name_of("rollback"),
        mode: "dry-run".to_owned(),
        command: "/bin/true".to_owned(),
    };
    Described {
        environment: "production".to_owned(),
        rules: vec!["shop-errors".to_owned()],
        destinations: names(&["me"]),
        backups: names(&["nightly"]),
        actions: vec![action],
        ..Described::default()
    }
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let clocks: Arc<dyn Clocks> = Arc::new(Still);
        let folder = Arc::new(Folder::own(place.path(), Timestamp(WALL), "test").unwrap());
        let (journal, writer) = Journal::open(
            &folder,
            Options::default(),
            Arc::new(Toys),
            Arc::new(Mute),
            Arc::clone(&clocks),
        )
        .await
        .unwrap();
        let context = TelemetryContext {
            counted: None,
            releases: journal.releases(),
            clocks: Arc::clone(&clocks),
        };
        let (telemetry, mut telemetry_writer) = Telemetry::open(folder.path(), TelemetryOptions::default(), context)
            .await
            .unwrap();
        let mut writers = JoinSet::new();
        let sign = Sign(watch::Sender::new(false));
        let stop = sign.clone();
        writers.spawn(async move { writer.run(&stop).await });
        writers.spawn(async move { telemetry_writer.run(sign.stopped()).await.unwrap() });
        let started = Fact::Started(Started {
            version: "test".to_owned(),
            identity: journal.identity(),
        });
        journal
            .submit_reserved(Envelope::new(name_of("daemon"), name_of("daemon"), started).into())
            .await
            .unwrap();
        let configured = Fact::Configured(Configured {
            digest: "d".to_owned(),
            text: Some(String::new()),
            same_as: None,
        });
        journal
            .submit_reserved(Envelope::new(name_of("daemon"), name_of("daemon"), configured).into())
            .await
            .unwrap();
        let store = Store::new(journal.clone(), Arc::new(telemetry.clone()));
        store.tick().await.unwrap();
        let app = App {
            folder,
            journal,
            telemetry,
            clocks,
            described: Arc::new(described()),
            pulses: Arc::default(),
            version: "test",
        };
        Self {
            app,
            ears: Arc::default(),
            store,
            _writers: writers,
            _place: place,
        }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.app.folder.path().to_owned()
    }

    pub(crate) fn socket(&self) -> Router {
        socket_router(self.app.clone())
    }

    pub(crate) fn tcp(&self) -> Router {
        tcp_router(
            self.app.clone(),
            Host::default(),
            vec![Arc::clone(&self.ears) as Arc<dyn Ingest>],
        )
    }

    /// Asks on the socket, as the owner of the machine.
    pub(crate) async fn get(&self, target: &str) -> Said {
        self.ask(ADMIN, request(Method::GET, target, Body::empty())).await
    }

    pub(crate) async fn post(&self, target: &str, body: &str) -> Said {
        self.ask(ADMIN, request(Method::POST, target, Body::from(body.to_owned())))
            .await
    }

    pub(crate) async fn ask(&self, caller: Caller, mut request: Request<Body>) -> Said {
        request.extensions_mut().insert(caller);
        said(self.socket(), request).await
    }
}

pub(crate) fn request(method: Method, target: &str, body: Body) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, "localhost:4318")
        .body(body)
        .unwrap()
}

pub(crate) async fn said(router: Router, request: Request<Body>) -> Said {
    let response = router.oneshot(request).await.unwrap();
    let headers = response.headers().clone();
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
    Said {
        status,
        kind,
        headers,
        body,
    }
}
