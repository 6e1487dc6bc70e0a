//! What the tests of this module have in common: a folder, a clock that is moved by hand, records.

use std::sync::atomic::{AtomicI64, Ordering};

use events::{
    Attributes, Clock, LogRecord, Look, Name, ProbeResult, Reason, SpanId, SpanKind, SpanRecord, Status, TraceId,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::super::*;

/// A wall clock that stands still until it is moved; nanoseconds.
pub(super) struct ByHand(pub(super) AtomicI64);

impl Clocks for ByHand {
    fn now(&self) -> Clock {
        Clock {
            wall: Timestamp(self.0.load(Ordering::Relaxed)),
            ..Clock::default()
        }
    }
}

/// Some moment in 2026.
pub(super) const NOW: i64 = 1_790_000_000_000_000_000;
pub(super) const SECOND: i64 = 1_000_000_000;

/// One data folder, and the telemetry in it once it is opened.
pub(super) struct World {
    path: PathBuf,
    /// Removed when the test is over.
    temporary: Option<TempDir>,
    pub(super) clock: Arc<ByHand>,
    pub(super) options: TelemetryOptions,
    pub(super) releases: watch::Sender<Releases>,
    running: Option<Running>,
}

struct Running {
    telemetry: Telemetry,
    stop: oneshot::Sender<()>,
    writer: JoinHandle<()>,
}

impl World {
    pub(super) fn new() -> Self {
        let temporary = TempDir::new().unwrap();
        let mut world = Self::at(temporary.path());
        world.temporary = Some(temporary);
        world
    }

    /// In a folder that somebody else removes.
    pub(super) fn at(path: &Path) -> Self {
        let mut options = TelemetryOptions::default();
        options.database.free_min_bytes = Some(0);
        Self {
            path: path.to_owned(),
            temporary: None,
            clock: Arc::new(ByHand(AtomicI64::new(NOW))),
            options,
            releases: watch::Sender::new(Releases::default()),
            running: None,
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.path
    }

    /// Opens without a task that writes.
    pub(super) async fn open_only(&self, counted: Option<TelemetryHead>) -> (Telemetry, TelemetryWriter) {
        let context = self.context(counted);
        Telemetry::open(self.folder(), self.options.clone(), context)
            .await
            .unwrap()
    }

    fn context(&self, counted: Option<TelemetryHead>) -> TelemetryContext {
        TelemetryContext {
            counted,
            releases: self.releases.subscribe(),
            clocks: Arc::clone(&self.clock) as Arc<dyn Clocks>,
        }
    }

    pub(super) async fn open(&mut self, counted: Option<TelemetryHead>) -> Telemetry {
        let (telemetry, writer) = self.open_only(counted).await;
        self.run(telemetry, writer)
    }

    /// The task that writes.
    pub(super) fn run(&mut self, telemetry: Telemetry, mut writer: TelemetryWriter) -> Telemetry {
        let (stop, stopped) = oneshot::channel();
        let run = async move {
            let stopped = async move { drop(stopped.await) };
            writer.run(stopped).await.unwrap();
        };
        #[expect(clippy::disallowed_methods, reason = "the test owns the task and joins it")]
        let writer = tokio::spawn(run);
        self.running = Some(Running {
            telemetry: telemetry.clone(),
            stop,
            writer,
        });
        telemetry
    }

    /// A negative control: opens without counting the rows behind the last tick.
    pub(super) async fn open_uncounted(&mut self, counted: Option<TelemetryHead>) -> Telemetry {
        let context = self.context(counted);
        let opened = Shared::open(self.folder(), self.options.clone(), context).await;
        let (shared, connection) = opened.unwrap();
        let writer = TelemetryWriter::new(Arc::clone(&shared), connection);
        self.run(Telemetry { shared }, writer)
    }

    /// What [`World::open_uncounted`] left out.
    pub(super) async fn count_late(&self, telemetry: &Telemetry) {
        let mut connection = database::open_for_reading(self.folder()).await.unwrap();
        writer::catch_up(&telemetry.shared, &mut connection).await.unwrap();
        database::close(connection).await;
    }

    /// Stops as a daemon stops.
    pub(super) async fn close(&mut self) {
        let Some(running) = self.running.take() else { return };
        drop(running.telemetry);
        running.stop.send(()).unwrap();
        running.writer.await.unwrap();
    }

    /// Ends the writing task wherever it is, as a crash would.
    pub(super) async fn crash(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.writer.abort();
        let _aborted = running.writer.await;
    }
}

pub(super) fn service(name: &str) -> ServiceId {
    ServiceId::new(name).unwrap()
}

pub(super) fn trace_id(number: u64) -> TraceId {
    let bytes = [number.to_be_bytes(), (number + 1).to_be_bytes()].concat();
    TraceId::from_bytes(&bytes).unwrap()
}

pub(super) fn span_id(number: u64) -> SpanId {
    SpanId::from_bytes(&(number + 1).to_be_bytes()).unwrap()
}

pub(super) fn log(of: &str, time: i64, body: &str) -> LogRecord {
    LogRecord {
        time: Timestamp(time),
        service: service(of),
        release: None,
        severity: 9,
        body: body.to_owned(),
        trace: None,
        span: None,
        attributes: Attributes::new(),
    }
}

pub(super) fn span(of: &str, trace: u64, number: u64, start: i64) -> SpanRecord {
    SpanRecord {
        start: Timestamp(start),
        end: Timestamp(start + SECOND / 10),
        service: service(of),
        release: None,
        trace: trace_id(trace),
        span: span_id(number),
        parent: (number > 0).then(|| span_id(number - 1)),
        name: "GET /cart".to_owned(),
        kind: SpanKind::Server,
        error: number.is_multiple_of(3),
        status_message: String::new(),
        attributes: [("http.response.status_code".to_owned(), "200".to_owned())].into(),
        events: vec![(
            Timestamp(start + 1),
            "cache miss".to_owned(),
            [("key".to_owned(), "cart".to_owned())].into(),
        )],
    }
}

pub(super) fn probe(name: &str, ended: i64) -> ProbeResult {
    ProbeResult {
        probe: Name::new(name).unwrap(),
        service: service(name),
        planned: Timestamp(ended - SECOND),
        ended: Timestamp(ended),
        look: Look::new(Status::Fail, Reason::ConnectRefused, "connection refused"),
        first: Some(Look::new(Status::Fail, Reason::Timeout, "no answer")),
    }
}

pub(super) fn batch(key: Option<u8>, records: Vec<Record>) -> Batch {
    Batch {
        source: "loopback".to_owned(),
        key: key.map(|byte| [byte; 16]),
        records,
        reply: format!("reply of {key:?}").into_bytes(),
    }
}

/// Counts in bins, all series together: records, requests, late.
pub(super) fn sums(bins: &Bins) -> (u64, u64, u64) {
    bins.iter().fold((0, 0, 0), |(records, n, late), (_, bin)| {
        (records + bin.records, n + bin.n, late + bin.late)
    })
}
