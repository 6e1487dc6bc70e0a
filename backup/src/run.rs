//! What every long call is given: the means to stop it, to see it move, and the time.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::failure::{Failure, Reason};

/// A request to stop, shared by the one who asks and everything that runs.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Nothing is cancelled yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everything that holds this to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Fails when somebody asked to stop.
    ///
    /// # Errors
    /// [`Reason::Cancelled`].
    pub fn check(&self) -> Result<(), Failure> {
        if self.is_cancelled() {
            Err(Failure::new(Reason::Cancelled, "the run was cancelled"))
        } else {
            Ok(())
        }
    }
}

/// What went to and came from the store and the source so far. Everything counts upwards only, so that a watcher
/// who sees no change for a while knows that nothing moves.
#[derive(Clone, Debug, Default)]
pub struct Traffic(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    fetched_bytes: AtomicU64,
    stored_bytes: AtomicU64,
    source_bytes: AtomicU64,
}

/// One reading of [`Traffic`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Moved {
    /// Calls to the store.
    pub requests: u64,
    /// Bytes that came from the store.
    pub fetched_bytes: u64,
    /// Bytes that went to the store.
    pub stored_bytes: u64,
    /// Bytes read from the source.
    pub source_bytes: u64,
}

impl Traffic {
    /// Nothing has moved yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What has moved so far.
    #[must_use]
    pub fn moved(&self) -> Moved {
        Moved {
            requests: self.0.requests.load(Ordering::Relaxed),
            fetched_bytes: self.0.fetched_bytes.load(Ordering::Relaxed),
            stored_bytes: self.0.stored_bytes.load(Ordering::Relaxed),
            source_bytes: self.0.source_bytes.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn request(&self) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fetched(&self, bytes: usize) {
        self.0.fetched_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn stored(&self, bytes: usize) {
        self.0.stored_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, bytes: usize) {
        self.0.source_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// The wall clock, handed in by the daemon.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>);

impl Clock {
    /// A clock that asks `now`.
    pub fn new(now: impl Fn() -> jiff::Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clock")
    }
}

/// Who runs, and how to stop it.
#[derive(Clone, Debug)]
pub struct Run {
    /// Asks the run to stop.
    pub cancel: Cancel,
    /// What has moved.
    pub traffic: Traffic,
    /// The wall clock.
    pub clock: Clock,
    /// This host's name, as it stands in locks and snapshots.
    pub host: String,
}

impl Run {
    /// A run on `host` that goes by `clock`.
    #[must_use]
    pub fn new(host: impl Into<String>, clock: Clock) -> Self {
        Self {
            cancel: Cancel::new(),
            traffic: Traffic::new(),
            clock,
            host: host.into(),
        }
    }
}
