//! Questions to telemetry: on connections of their own that can only read, in short transactions, with a deadline, a
//! limit of rows and of bytes. What was not looked at is said.

pub(super) mod scan;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use events::{Filter, LogRecord, Name, ProbeResult, ReleaseId, ServiceId, SpanRecord, Timestamp, TraceId};
use jiff::SignedDuration;
use sqlx::{Row as _, SqliteConnection};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use self::scan::{Hits, Scan, Want};
use super::{
    Gap, RETRY_BUSY, TelemetryError, TelemetryStats,
    block::{Row, Table, mark},
    damage::Damage,
    database, lock,
    queue::Footprint,
};
use crate::StoreError;

/// How long a query may take.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Most rows of one answer.
pub const ROWS_MAX: usize = 10_000;
/// Most bytes of one answer.
const BYTES_MAX: usize = 32 << 20;
/// Queries that run at once; look-ups of traces have places of their own.
const AT_ONCE: usize = 4;
/// Queries that may wait for a place.
const WAITING_MAX: usize = 16;

/// Place of a record: its time, then the row of its block, then its place in there. Newer is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// When it happened.
    pub time: Timestamp,
    /// The row of its block.
    pub row: u64,
    /// Its place in the block.
    pub index: u32,
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}_{}_{}", self.time.0, self.row, self.index)
    }
}

/// A text that is no cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a cursor: give back what the last answer gave as `next`")]
pub struct CursorError(String);

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let parse = || {
            let mut parts = text.split('_');
            let cursor = Self {
                time: Timestamp(parts.next()?.parse().ok()?),
                row: parts.next()?.parse().ok()?,
                index: parts.next()?.parse().ok()?,
            };
            parts.next().is_none().then_some(cursor)
        };
        parse().ok_or_else(|| CursorError(text.chars().take(80).collect()))
    }
}

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// Its place.
    pub at: Cursor,
    /// When it arrived.
    pub arrived: Timestamp,
    /// The release it is counted under: its own, else that of the last deployment when it arrived.
    pub release: Option<ReleaseId>,
    /// True when it came too late to be counted in any rate.
    pub late: bool,
    /// The record.
    pub record: T,
}

/// An answer, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// The records.
    pub rows: Vec<Stored<T>>,
    /// True when everything that had to be looked at was.
    pub complete: bool,
    /// When not complete: everything at or after this moment was looked at.
    pub scanned_until: Option<Timestamp>,
    /// Where to go on, if there may be more.
    pub next: Option<Cursor>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

/// Everything known of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its spans, each once, by their start.
    pub spans: Vec<Stored<SpanRecord>>,
    /// Its log records, by time.
    pub logs: Vec<Stored<LogRecord>>,
    /// True when everything was looked at and fits.
    pub complete: bool,
    /// What could not be read; it may or may not be of this trace.
    pub gaps: Vec<Gap>,
}

/// Reads `telemetry.db`, also without a daemon.
#[derive(Clone)]
pub struct TelemetryReader {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    idle: Mutex<Vec<SqliteConnection>>,
    places: Semaphore,
    places_of_traces: Semaphore,
    waiting: AtomicUsize,
    damage: Damage,
}

/// A connection that goes back to the others when the query came to its end.
struct Lease<'a> {
    reader: &'a Inner,
    connection: SqliteConnection,
    _place: SemaphorePermit<'a>,
}

impl Lease<'_> {
    fn give_back(self) {
        lock(&self.reader.idle).push(self.connection);
    }
}

/// A span of time and a number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Most rows; more than [`ROWS_MAX`] is that.
    pub limit: usize,
    /// Older than this: the `next` of the answer before.
    pub before: Option<Cursor>,
}

impl TelemetryReader {
    /// Reads the database in this data folder; it is opened with the first question.
    #[must_use]
    pub fn open(folder: &Path) -> Self {
        Self {
            inner: Arc::new(Inner {
                folder: folder.to_owned(),
                idle: Mutex::default(),
                places: Semaphore::new(AT_ONCE),
                places_of_traces: Semaphore::new(AT_ONCE),
                waiting: AtomicUsize::new(0),
                damage: Damage::default(),
            }),
        }
    }

    /// What was found damaged by whoever read.
    pub(super) fn damage(&self) -> &Damage {
        &self.inner.damage
    }

    async fn lease<'a>(&'a self, places: &'a Semaphore) -> Result<Lease<'a>, TelemetryError> {
        let waiting = &self.inner.waiting;
        if waiting.fetch_add(1, Ordering::AcqRel) >= AT_ONCE + WAITING_MAX {
            waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(TelemetryError::Busy {
                retry_after: RETRY_BUSY,
            });
        }
        let place = tokio::time::timeout(DEADLINE, places.acquire()).await;
        waiting.fetch_sub(1, Ordering::AcqRel);
        let Ok(Ok(place)) = place else {
            return Err(TelemetryError::Busy {
                retry_after: RETRY_BUSY,
            });
        };
        let idle = lock(&self.inner.idle).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => database::open_for_reading(&self.inner.folder).await?,
        };
        Ok(Lease {
            reader: &self.inner,
            connection,
            _place: place,
        })
    }

    /// Log records, newest first.
    ///
    /// # Errors
    /// When too many queries run, or the database says no.
    pub async fn logs(
        &self,
        filter: &Filter,
        limit: usize,
        before: Option<Cursor>,
    ) -> Result<Found<LogRecord>, TelemetryError> {
        let window = Window {
            from: filter.from,
            until: filter.until,
            limit,
            before,
        };
        let mut want = Want::new(Table::Logs, window);
        want.service = filter.service.as_ref().map(|service| mark(service.as_str().as_bytes()));
        want.trace = filter.trace.map(|trace| mark(trace.as_bytes()));
        want.severity = filter.severity.unwrap_or(0);
        self.scan(&want, &scan::log_matching(filter)).await
    }

    /// Log records committed after a row, oldest first within the limit: what a follower shows next. `next` is where the
    /// follower stands then; when more came than fits, the oldest are left out and `complete` is false.
    ///
    /// # Errors
    /// When too many queries run, or the database says no.
    pub async fn logs_after(
        &self,
        row: u64,
        filter: &Filter,
        limit: usize,
    ) -> Result<(Found<LogRecord>, u64), TelemetryError> {
        let mut lease = self.lease(&self.inner.places).await?;
        let scan = Scan::new(&mut lease.connection, Instant::now() + DEADLINE);
        let answer = scan
            .after(row, limit.clamp(1, ROWS_MAX), &scan::log_matching(filter))
            .await?;
        lease.give_back();
        self.damage().note(&answer.0.gaps);
        Ok(answer)
    }

    /// Spans of a service, newest end first.
    ///
    /// # Errors
    /// When too many queries run, or the database says no.
    pub async fn spans(
        &self,
        service: Option<&ServiceId>,
        window: Window,
    ) -> Result<Found<SpanRecord>, TelemetryError> {
        let mut want = Want::new(Table::Spans, window);
        want.service = service.map(|service| mark(service.as_str().as_bytes()));
        let wanted = service.map(ServiceId::as_str);
        let pick = move |row: &Row<'_, '_>| {
            if wanted.is_some_and(|wanted| wanted != row.service) {
                return Some(None);
            }
            row.span().map(Some)
        };
        self.scan(&want, &pick).await
    }

    /// Results of a probe, newest first; of all probes when none is named.
    ///
    /// # Errors
    /// When too many queries run, or the database says no.
    pub async fn probe_results(
        &self,
        probe: Option<&Name>,
        window: Window,
    ) -> Result<Found<ProbeResult>, TelemetryError> {
        let want = Want::new(Table::Probes, window);
        let pick = |row: &Row<'_, '_>| {
            let result = row.probe()?;
            Some(probe.is_none_or(|probe| *probe == result.probe).then_some(result))
        };
        self.scan(&want, &pick).await
    }

    async fn scan<T: Footprint>(&self, want: &Want, pick: scan::Pick<'_, T>) -> Result<Found<T>, TelemetryError> {
        let mut lease = self.lease(&self.inner.places).await?;
        let found = Scan::new(&mut lease.connection, Instant::now() + DEADLINE)
            .newest(want, pick)
            .await?;
        lease.give_back();
        self.damage().note(&found.gaps);
        Ok(found)
    }

    /// Everything known of a trace: up to [`ROWS_MAX`] spans and as many log records.
    ///
    /// # Errors
    /// When too many queries run, or the database says no.
    pub async fn trace(&self, trace: TraceId) -> Result<Trace, TelemetryError> {
        let mut lease = self.lease(&self.inner.places_of_traces).await?;
        let deadline = Instant::now() + DEADLINE;
        let span = |row: &Row<'_, '_>| {
            if row.span_trace()? == trace {
                row.span().map(Some)
            } else {
                Some(None)
            }
        };
        let spans: Hits<SpanRecord> = Scan::new(&mut lease.connection, deadline)
            .trace(Table::Spans, trace, &span)
            .await?;
        let log = scan::log_matching(&Filter {
            trace: Some(trace),
            ..Filter::default()
        });
        let logs: Hits<LogRecord> = Scan::new(&mut lease.connection, deadline)
            .trace(Table::Logs, trace, &log)
            .await?;
        lease.give_back();
        let trace = join(spans, logs);
        self.damage().note(&trace.gaps);
        Ok(trace)
    }

    /// How much is stored.
    ///
    /// # Errors
    /// When too many queries run, or the database says no.
    pub async fn stats(&self) -> Result<TelemetryStats, TelemetryError> {
        let mut lease = self.lease(&self.inner.places).await?;
        let stats = totals(&mut lease.connection).await?;
        lease.give_back();
        Ok(stats)
    }
}

/// A trace from its parts; of a span that was sent twice the first is kept.
fn join(mut spans: Hits<SpanRecord>, mut logs: Hits<LogRecord>) -> Trace {
    let mut gaps = std::mem::take(&mut spans.gaps);
    gaps.append(&mut logs.gaps);
    let complete = spans.complete && logs.complete;
    let mut distinct = BTreeMap::new();
    for span in spans.into_rows() {
        match distinct.entry(span.record.span) {
            Entry::Vacant(entry) => {
                entry.insert(span);
            }
            Entry::Occupied(mut entry) => {
                let kept: &Stored<SpanRecord> = entry.get();
                if (span.at.row, span.at.index) < (kept.at.row, kept.at.index) {
                    entry.insert(span);
                }
            }
        }
    }
    let mut spans: Vec<_> = distinct.into_values().collect();
    spans.sort_by_key(|span| (span.record.start, span.at));
    Trace {
        spans,
        logs: logs.into_rows().collect(),
        complete,
        gaps,
    }
}

impl TelemetryStats {
    pub(super) fn of(&mut self, table: Table) -> &mut u64 {
        match table {
            Table::Logs => &mut self.logs,
            Table::Spans => &mut self.spans,
            Table::Probes => &mut self.probes,
        }
    }
}

/// What is stored, by table.
pub(super) async fn totals(connection: &mut SqliteConnection) -> Result<TelemetryStats, StoreError> {
    let doing = "count what telemetry.db holds";
    let mut stats = TelemetryStats {
        bytes: database::used_bytes(connection)
            .await
            .map_err(StoreError::database(doing))?,
        ..TelemetryStats::default()
    };
    let rows = sqlx::query("SELECT tbl, sum(n), max(row) FROM hot GROUP BY tbl")
        .fetch_all(connection)
        .await
        .map_err(StoreError::database(doing))?;
    for row in rows {
        let number = |at: usize| row.try_get::<i64, _>(at).map_err(StoreError::database(doing));
        let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
        if let Some(table) = Table::from_number(number(0)?) {
            *stats.of(table) = unsigned(number(1)?);
        }
        stats.row = stats.row.max(unsigned(number(2)?));
    }
    Ok(stats)
}

/// How long a deadline is, for the error that says it passed.
fn deadline_error() -> TelemetryError {
    TelemetryError::Deadline {
        after: SignedDuration::try_from(DEADLINE).unwrap_or_default(),
    }
}
