//! Telemetry: logs, spans and probe results, in a database of their own (`telemetry.db`), so that a flood of logs never
//! delays a page. One task writes; everybody else holds a [`Telemetry`].
//!
//! A batch is acknowledged after COMMIT. What is committed is counted, and a tick carries the counts into the journal
//! (see [`ledger`]). Records lie in compressed blocks ([`block`]); a block's head says which times, services and traces
//! are in it, so that a query unpacks only what it must. Sealing old blocks into Parquet comes later: it will take
//! blocks up to [`Telemetry::carried_row`], as pruning does.

mod block;
mod damage;
mod database;
mod ledger;
mod queue;
mod reading;
mod retention;
mod stored;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use events::{Batch, Bins, Clocks, Record, ReleaseId, ServiceId, TelemetryHead, Timestamp};
use jiff::SignedDuration;
use sqlx::SqliteConnection;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use self::{
    ledger::Ledger,
    queue::{Footprint as _, Queue, Request, Task},
};
pub use self::{
    reading::{Cursor, CursorError, DEADLINE, Found, ROWS_MAX, Stored, TelemetryReader, Trace, Window},
    retention::{Removed, Retention},
    writer::TelemetryWriter,
};
use crate::{
    Options, StoreError,
    tick::{TickPart, TickSource},
};

/// How telemetry is opened.
#[derive(Clone, Debug)]
pub struct TelemetryOptions {
    /// How the database is opened, as for the journal.
    pub database: Options,
    /// Most bytes that wait to be committed. What a source may use of it is half; an eighth is kept for probe results.
    pub queue_bytes: usize,
    /// Most bytes of one batch, in memory; a batch of 8,192 spans, as the OpenTelemetry collector sends them, fits.
    pub batch_bytes_max: usize,
    /// Longest that the oldest waiting batch may have waited before new ones are refused.
    pub wait_max: SignedDuration,
    /// How long a batch waits for company before it is committed.
    pub linger: SignedDuration,
}

impl Default for TelemetryOptions {
    fn default() -> Self {
        Self {
            database: Options::default(),
            queue_bytes: 32 << 20,
            batch_bytes_max: 28 << 20,
            wait_max: SignedDuration::from_secs(1),
            linger: SignedDuration::from_millis(5),
        }
    }
}

/// The answer to a batch that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The reply that was given when it was stored.
    pub reply: Vec<u8>,
    /// True when it had been stored before: nothing was stored or counted now.
    pub repeated: bool,
}

/// Why a batch was not stored. After `Failed` it may be: send it again with the same key.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Too much is waiting.
    #[error("telemetry is busy: try again in {retry_after}")]
    Busy {
        /// When to try again.
        retry_after: SignedDuration,
    },
    /// The disk is nearly full.
    #[error("the disk is nearly full: try again in {retry_after}")]
    DiskFull {
        /// When to try again.
        retry_after: SignedDuration,
    },
    /// The batch is larger than any that is taken.
    #[error("a batch of {bytes} bytes is too large: at most {limit} are taken")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The daemon is stopping.
    #[error("telemetry is stopping")]
    Stopping,
    /// The query did not come to its end in time.
    #[error("the query took longer than {after}")]
    Deadline {
        /// The limit.
        after: SignedDuration,
    },
    /// The database said no.
    #[error("use telemetry.db")]
    Failed(#[source] Arc<StoreError>),
}

impl From<StoreError> for TelemetryError {
    fn from(error: StoreError) -> Self {
        if error.is_full() {
            return Self::DiskFull {
                retry_after: RETRY_FULL,
            };
        }
        Self::Failed(Arc::new(error))
    }
}

/// When to come back after [`TelemetryError::Busy`].
const RETRY_BUSY: SignedDuration = SignedDuration::from_secs(1);
/// When to come back after [`TelemetryError::DiskFull`].
const RETRY_FULL: SignedDuration = SignedDuration::from_secs(30);

/// Records that cannot be read any more: the stored bytes are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The row of the block.
    pub row: u64,
    /// How many records were in it.
    pub records: u64,
    /// The first of them.
    pub from: Timestamp,
    /// The last of them.
    pub until: Timestamp,
}

impl std::fmt::Display for Gap {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            row,
            records,
            from,
            until,
        } = self;
        let (from, until) = (from.whole_seconds(), until.whole_seconds());
        let (many, are) = if *records == 1 {
            ("record", "is")
        } else {
            ("records", "are")
        };
        write!(
            formatter,
            "{records} {many} from {from} to {until} {are} damaged (block {row})"
        )
    }
}

/// How telemetry is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TelemetryStats {
    /// Log records stored.
    pub logs: u64,
    /// Spans stored.
    pub spans: u64,
    /// Probe results stored.
    pub probes: u64,
    /// Bytes of the database that hold something.
    pub bytes: u64,
    /// Newest row.
    pub row: u64,
    /// Last row that a tick carried.
    pub carried_row: u64,
    /// Batches that wait.
    pub queued: usize,
    /// Bytes that wait.
    pub queued_bytes: usize,
    /// Records committed since the start.
    pub committed: u64,
    /// Batches answered from memory of earlier ones, since the start.
    pub repeated: u64,
    /// Batches refused because too much was waiting, since the start.
    pub refused_busy: u64,
    /// Batches refused because the disk was nearly full, since the start.
    pub refused_full: u64,
    /// Batches refused because they were too large, since the start.
    pub refused_large: u64,
    /// Transactions that failed, since the start.
    pub failed: u64,
    /// Those of them that failed one after the other up to now, a full disk left out.
    pub failed_in_a_row: u64,
    /// Blocks found damaged, since the start.
    pub damaged: u64,
    /// How long what waits longest has been waiting, or what is being committed takes; in milliseconds.
    pub stalled_ms: u64,
    /// True while batches are refused because the disk is nearly full.
    pub disk_full: bool,
}

/// Which release each service runs, by the last recorded deployment.
pub type Releases = Arc<BTreeMap<ServiceId, ReleaseId>>;

/// What the handles and the writer share.
struct Shared {
    options: TelemetryOptions,
    folder: PathBuf,
    clocks: Arc<dyn Clocks>,
    releases: watch::Receiver<Releases>,
    queue: Queue,
    ledger: Mutex<Ledger>,
    stats: Mutex<TelemetryStats>,
    newest: watch::Sender<u64>,
    reader: TelemetryReader,
}

/// Locks; what a panicked holder left is consistent, as every change is made at once.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Opens the database; the rows behind the last tick are not counted yet.
    async fn open(
        folder: &Path,
        options: TelemetryOptions,
        context: TelemetryContext,
    ) -> Result<(Arc<Self>, SqliteConnection), StoreError> {
        let mut connection = database::open(folder, &options.database).await?;
        let identity = database::prepare(&mut connection, context.clocks.now().wall).await?;
        database::sync_folder(folder)?;
        let (generation, carried) = whence(&mut connection, &identity, context.counted).await?;
        let shared = Self {
            queue: Queue::new(&options),
            reader: TelemetryReader::open(folder),
            folder: folder.to_owned(),
            options,
            clocks: context.clocks,
            releases: context.releases,
            ledger: Mutex::new(Ledger::new(generation, carried)),
            stats: Mutex::new(reading::totals(&mut connection).await?),
            newest: watch::Sender::new(identity.row_last),
        };
        Ok((Arc::new(shared), connection))
    }

    fn stats(&self) -> MutexGuard<'_, TelemetryStats> {
        lock(&self.stats)
    }
}

/// A handle on telemetry.
#[derive(Clone)]
pub struct Telemetry {
    shared: Arc<Shared>,
}

/// What telemetry needs from outside.
pub struct TelemetryContext {
    /// The head that the journal's last tick carried.
    pub counted: Option<TelemetryHead>,
    /// Which release each service runs.
    pub releases: watch::Receiver<Releases>,
    /// The clocks.
    pub clocks: Arc<dyn Clocks>,
}

impl Telemetry {
    /// Opens `telemetry.db` in a data folder, makes durable what an earlier process left, and counts the rows behind the
    /// last tick. Only then the writer can begin.
    ///
    /// # Errors
    /// When the file cannot be opened, or was written by a newer version.
    pub async fn open(
        folder: &Path,
        options: TelemetryOptions,
        context: TelemetryContext,
    ) -> Result<(Self, TelemetryWriter), StoreError> {
        let (shared, mut connection) = Shared::open(folder, options, context).await?;
        writer::catch_up(&shared, &mut connection).await?;
        let writer = TelemetryWriter::new(Arc::clone(&shared), connection);
        Ok((Self { shared }, writer))
    }

    /// Stores a batch. The answer comes after COMMIT. A batch that was stored before gets the same answer again.
    ///
    /// # Errors
    /// See [`TelemetryError`].
    pub async fn append(&self, batch: Batch) -> Result<Appended, TelemetryError> {
        let bytes = batch.footprint();
        let limit = self.shared.options.batch_bytes_max;
        let (answer, answered) = oneshot::channel();
        let request = Request::new(batch, bytes, answer);
        let pushed = if bytes > limit {
            Err(TelemetryError::TooLarge { bytes, limit })
        } else {
            self.shared.queue.push(request)
        };
        if let Err(refusal) = pushed {
            let mut stats = self.shared.stats();
            match refusal {
                TelemetryError::TooLarge { .. } => stats.refused_large += 1,
                TelemetryError::DiskFull { .. } => stats.refused_full += 1,
                _ => stats.refused_busy += 1,
            }
            return Err(refusal);
        }
        answered.await.unwrap_or(Err(TelemetryError::Stopping))
    }

    /// Removes what is too old or too much, never past the last tick's row, in short slices while nothing waits.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn retain(&self, retention: Retention) -> Result<Removed, TelemetryError> {
        let (answer, answered) = oneshot::channel();
        self.shared.queue.push_task(Task::new(retention, answer))?;
        answered.await.unwrap_or(Err(TelemetryError::Stopping))
    }

    /// The database that is read, from any number of tasks.
    #[must_use]
    pub fn reader(&self) -> &TelemetryReader {
        &self.shared.reader
    }

    /// Follows the number of the newest row.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.shared.newest.subscribe()
    }

    /// Records that were counted as `other` since the last call, because there were too many series.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        lock(&self.shared.ledger).take_overflowed()
    }

    /// Blocks that were found damaged since this was last asked, at the start or by a query.
    #[must_use]
    pub fn take_damage(&self) -> Vec<Gap> {
        self.shared.reader.damage().take_untold()
    }

    /// Which database this is.
    #[must_use]
    pub fn generation(&self) -> Uuid {
        lock(&self.shared.ledger).generation()
    }

    /// Last row that a committed tick carried: nothing behind it may be removed.
    #[must_use]
    pub fn carried_row(&self) -> u64 {
        lock(&self.shared.ledger).carried_row()
    }

    /// For a journal that was opened again within this process: tells which tick is its last, so that a part it had
    /// copied is taken away if, and only if, that tick is there.
    pub fn settle(&self, last_tick: Option<TelemetryHead>) {
        lock(&self.shared.ledger).settle(last_tick);
    }

    /// What is counted and not yet carried.
    #[must_use]
    pub fn uncarried(&self) -> Bins {
        lock(&self.shared.ledger).bins().clone()
    }

    /// How telemetry is doing.
    #[must_use]
    pub fn stats(&self) -> TelemetryStats {
        let (queued, queued_bytes) = self.shared.queue.depth();
        let carried_row = self.carried_row();
        let (stalled, disk_full) = self.shared.queue.standing();
        TelemetryStats {
            stalled_ms: u64::try_from(stalled.as_millis()).unwrap_or(u64::MAX),
            disk_full,
            damaged: self.shared.reader.damage().count(),
            queued,
            queued_bytes,
            carried_row,
            row: *self.shared.newest.borrow(),
            ..self.shared.stats().clone()
        }
    }
}

#[async_trait::async_trait]
impl TickSource for Telemetry {
    async fn copy(&self) -> TickPart {
        lock(&self.shared.ledger).copy()
    }

    async fn carried(&self, part: &TickPart) {
        if !lock(&self.shared.ledger).carried(part) {
            tracing::error!(head = ?part.head, "a tick carried what was not copied last: nothing was taken away");
        }
    }
}

/// From which row on counting begins, and under which generation.
async fn whence(
    connection: &mut SqliteConnection,
    identity: &database::Identity,
    counted: Option<TelemetryHead>,
) -> Result<(Uuid, u64), StoreError> {
    match counted {
        Some(head) if head.generation == identity.generation && head.row <= identity.row_last => {
            Ok((identity.generation, head.row))
        }
        // An older copy of the same database: the journal has counted rows that are not here. Their numbers will be used
        // again, so this is another generation; what is here was counted before.
        Some(head) if head.generation == identity.generation => {
            let renewed = database::renew(connection).await?;
            Ok((renewed.generation, renewed.row_last))
        }
        _ => Ok((identity.generation, 0)),
    }
}

/// The release a record counts under: its own, else that of the last deployment.
fn release_of<'a>(record: &'a Record, releases: &'a BTreeMap<ServiceId, ReleaseId>) -> Option<&'a ReleaseId> {
    record.release().or_else(|| releases.get(record.service()))
}
