//! The store as a process has it: journal and telemetry of one folder, through the store's own doors.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use events::{
    BootId, Boottime, Clock, Clocks, Composer, Composition, Effects, Factory, House, Job, Moment, Reactor, Recorded,
    Stop, Timestamp, Views,
};
use jiff::SignedDuration;
use store::telemetry::{Telemetry, TelemetryContext, TelemetryOptions, TelemetryWriter};
use store::{Folder, Journal, Options, Store, StoreError, Writer};
use tokio::sync::watch;

/// Some moment in 2026, in nanoseconds.
const BEGAN: i64 = 1_790_000_000_000_000_000;
const MILLISECOND: i64 = 1_000_000;

/// A clock that goes on by a millisecond each time it is read.
pub(super) struct Counting(AtomicI64);

impl Counting {
    pub(super) fn from(first: u64) -> Arc<Self> {
        let seconds = i64::try_from(first).unwrap();
        Arc::new(Self(AtomicI64::new(seconds * 1000 * MILLISECOND)))
    }
}

impl Clocks for Counting {
    fn now(&self) -> Clock {
        let read = self.0.fetch_add(MILLISECOND, Ordering::Relaxed);
        Clock {
            wall: Timestamp(BEGAN + read),
            boot: Boottime(read),
            boot_id: BootId("one".to_owned()),
        }
    }
}

/// No rule, no message: what is stored is the story.
struct Quiet;

impl Reactor for Quiet {
    fn name(&self) -> &'static str {
        "quiet"
    }

    fn window(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    fn absorb(&mut self, _: &Recorded) {}

    fn react(&self, _: &Views, _: &Recorded, _: &mut Effects) {}
}

impl Factory for Quiet {
    fn build(&self, _: &str) -> House {
        House {
            reactors: Vec::new(),
            paging: Box::new(Self),
        }
    }
}

impl Composer for Quiet {
    fn compose(&self, _: &Views, _: &Job, _: &Moment) -> Option<Composition> {
        None
    }
}

/// Never to be stopped: the process ends by dying.
pub(super) struct Never;

#[async_trait]
impl Stop for Never {
    fn is_stopped(&self) -> bool {
        false
    }

    async fn stopped(&self) {
        std::future::pending::<()>().await;
    }
}

/// Both databases, open.
pub(super) struct Record {
    pub(super) store: Store<Telemetry>,
    pub(super) writer: Writer,
    pub(super) telemetry_writer: TelemetryWriter,
    pub(super) _folder: Folder,
    _releases: watch::Sender<store::telemetry::Releases>,
}

impl Record {
    /// Opens both as a start of the daemon does.
    pub(super) async fn open(path: &Path, options: Options, clocks: Arc<dyn Clocks>) -> Result<Self, StoreError> {
        let options = Options {
            free_min_bytes: Some(0),
            ..options
        };
        let folder = Folder::own(path, Timestamp(0), "power cut")?;
        let (journal, writer) = Journal::open(
            &folder,
            options.clone(),
            Arc::new(Quiet),
            Arc::new(Quiet),
            Arc::clone(&clocks),
        )
        .await?;
        let counted = journal.views().await.now.telemetry;
        let releases = watch::Sender::default();
        let context = TelemetryContext {
            counted,
            releases: releases.subscribe(),
            clocks,
        };
        let telemetry_options = TelemetryOptions {
            database: options,
            ..TelemetryOptions::default()
        };
        let (telemetry, telemetry_writer) = Telemetry::open(path, telemetry_options, context).await?;
        let store = Store::new(journal, Arc::new(telemetry));
        Ok(Self {
            store,
            writer,
            telemetry_writer,
            _folder: folder,
            _releases: releases,
        })
    }
}
