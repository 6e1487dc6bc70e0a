//! Walking over blocks: which ones, in which order, until when.

use std::collections::BTreeMap;

use events::{Filter, LogRecord, Timestamp, TraceId};
use sqlx::{AssertSqlSafe, SqliteConnection};
use tokio::time::{Instant, timeout_at};

use super::{
    super::{
        Gap, TelemetryError,
        block::{Block, Row, Table, mark},
        queue::Footprint,
        stored::{self, HEAD, Head},
    },
    BYTES_MAX, Cursor, Found, ROWS_MAX, Stored, Window, deadline_error,
};
use crate::StoreError;

/// Heads read at once.
const HEADS: i64 = 256;

/// Looks at a row: `None` when it is malformed, `Some(None)` when it is not wanted.
pub(in crate::telemetry) type Pick<'a, T> = &'a (dyn for<'r, 'b> Fn(&Row<'r, 'b>) -> Option<Option<T>> + Send + Sync);

/// What is looked for.
pub(in crate::telemetry) struct Want {
    table: Table,
    window: Window,
    pub(super) service: Option<[u8; 4]>,
    pub(super) trace: Option<[u8; 4]>,
    pub(super) severity: u8,
}

impl Want {
    pub(in crate::telemetry) fn new(table: Table, window: Window) -> Self {
        Self {
            table,
            window,
            service: None,
            trace: None,
            severity: 0,
        }
    }

    /// Latest time that can be in the answer.
    fn time_max(&self) -> Timestamp {
        let until = self.window.until.map_or(i64::MAX, |until| until.0.saturating_sub(1));
        Timestamp(self.window.before.map_or(until, |before| until.min(before.time.0)))
    }

    fn time_min(&self) -> Timestamp {
        self.window.from.unwrap_or(Timestamp(i64::MIN))
    }

    fn includes(&self, at: Cursor) -> bool {
        self.time_min() <= at.time
            && self.window.until.is_none_or(|until| at.time < until)
            && self.window.before.is_none_or(|before| at < before)
    }
}

/// What was found so far, oldest first.
pub(in crate::telemetry) struct Hits<T> {
    rows: BTreeMap<Cursor, (Stored<T>, usize)>,
    pub(super) gaps: Vec<Gap>,
    pub(super) complete: bool,
    limit: usize,
    bytes: usize,
}

impl<T: Footprint> Hits<T> {
    fn new(limit: usize) -> Self {
        Self {
            rows: BTreeMap::new(),
            gaps: Vec::new(),
            complete: true,
            limit,
            bytes: 0,
        }
    }

    /// The oldest hit that stays, once there are as many as may be.
    fn oldest(&self) -> Option<Cursor> {
        if self.rows.len() < self.limit {
            return None;
        }
        self.rows.first_key_value().map(|(at, _)| *at)
    }

    /// Takes a hit in, and drops the oldest when there are too many of them or they are too large.
    fn put(&mut self, hit: Stored<T>) {
        let bytes = hit.record.footprint();
        self.bytes += bytes;
        self.rows.insert(hit.at, (hit, bytes));
        while self.rows.len() > self.limit || (self.bytes > BYTES_MAX && self.rows.len() > 1) {
            let Some((_, (_, bytes))) = self.rows.pop_first() else {
                break;
            };
            self.bytes -= bytes;
            self.limit = self.limit.min(self.rows.len());
            self.complete = false;
        }
    }

    /// The hits, oldest first.
    pub(super) fn into_rows(self) -> impl DoubleEndedIterator<Item = Stored<T>> {
        self.rows.into_values().map(|(hit, _)| hit)
    }
}

/// One query on one connection.
pub(in crate::telemetry) struct Scan<'c> {
    connection: &'c mut SqliteConnection,
    deadline: Instant,
}

impl<'c> Scan<'c> {
    pub(in crate::telemetry) fn new(connection: &'c mut SqliteConnection, deadline: Instant) -> Self {
        Self { connection, deadline }
    }

    /// The newest records, by their own time. Blocks come by their last time, so that the search ends as soon as no
    /// block can hold anything newer than the oldest hit.
    pub(in crate::telemetry) async fn newest<T: Footprint>(
        mut self,
        want: &Want,
        pick: Pick<'_, T>,
    ) -> Result<Found<T>, TelemetryError> {
        let mut hits = Hits::new(want.window.limit.clamp(1, ROWS_MAX));
        let mut place = (i64::MAX, i64::MAX);
        let mut stopped = None;
        'search: loop {
            let heads = match self.heads(want, place).await {
                Err(TelemetryError::Deadline { .. }) => {
                    stopped = Some(Timestamp(place.0));
                    break;
                }
                heads => heads?,
            };
            let Some(last) = heads.last() else { break };
            place = (last.time_max.0, i64::try_from(last.row).unwrap_or(i64::MAX));
            for head in heads {
                if hits.oldest().is_some_and(|oldest| head.time_max < oldest.time) {
                    break 'search;
                }
                if Instant::now() >= self.deadline {
                    stopped = Some(head.time_max);
                    break 'search;
                }
                self.block(&head, &mut hits, &|at| want.includes(at), pick).await?;
            }
        }
        Ok(finish(hits, want, stopped))
    }

    /// Heads of the blocks that may hold hits, by their last time, newest first, from a place on.
    async fn heads(&mut self, want: &Want, place: (i64, i64)) -> Result<Vec<Head>, TelemetryError> {
        let sql = format!(
            "SELECT {HEAD} FROM hot WHERE tbl = ?1 AND (tmax, row) < (?2, ?3) AND tmax >= ?4 AND tmin <= ?5
               AND severity >= ?6
               AND (?7 IS NULL OR instr(services, ?7) > 0) AND (?8 IS NULL OR instr(traces, ?8) > 0)
             ORDER BY tmax DESC, row DESC LIMIT {HEADS}"
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(want.table.number())
            .bind(place.0)
            .bind(place.1)
            .bind(want.time_min().0)
            .bind(want.time_max().0)
            .bind(i64::from(want.severity))
            .bind(want.service.map(Vec::from))
            .bind(want.trace.map(Vec::from));
        let rows = timeout_at(self.deadline, query.fetch_all(&mut *self.connection)).await;
        read_heads(rows.map_err(|_| deadline_error())?)
    }

    /// Looks at every row of a block. A block that was pruned meanwhile holds nothing; a damaged one is a gap.
    async fn block<T: Footprint>(
        &mut self,
        head: &Head,
        hits: &mut Hits<T>,
        wanted: &(dyn Fn(Cursor) -> bool + Send + Sync),
        pick: Pick<'_, T>,
    ) -> Result<(), TelemetryError> {
        let data = stored::data(self.connection, head.row)
            .await
            .map_err(StoreError::database("read a block of telemetry"))?;
        let Some(data) = data else { return Ok(()) };
        let unpacked = head.unpack(&data);
        let walked = unpacked.as_deref().and_then(Block::parse).and_then(|block| {
            block.each(|row| {
                let at = Cursor {
                    time: row.time,
                    row: head.row,
                    index: row.index,
                };
                let beaten = hits.oldest().is_some_and(|oldest| at < oldest);
                if beaten || !wanted(at) {
                    return Some(true);
                }
                if let Some(record) = pick(row)? {
                    let hit = Stored {
                        at,
                        arrived: head.arrived,
                        release: row.release(),
                        late: row.late(),
                        record,
                    };
                    hits.put(hit);
                }
                Some(true)
            })
        });
        if walked.is_none() {
            hits.gaps.push(head.gap());
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Everything of a trace in one table.
    pub(super) async fn trace<T: Footprint>(
        mut self,
        table: Table,
        trace: TraceId,
        pick: Pick<'_, T>,
    ) -> Result<Hits<T>, TelemetryError> {
        let mut hits = Hits::new(ROWS_MAX);
        let sql = format!(
            "SELECT {HEAD} FROM hot WHERE row < ? AND tbl = ? AND instr(traces, ?) > 0 ORDER BY row DESC LIMIT {HEADS}"
        );
        let mut place = i64::MAX;
        loop {
            let query = sqlx::query(AssertSqlSafe(sql.clone()))
                .bind(place)
                .bind(table.number())
                .bind(mark(trace.as_bytes()).to_vec());
            let Ok(rows) = timeout_at(self.deadline, query.fetch_all(&mut *self.connection)).await else {
                hits.complete = false;
                return Ok(hits);
            };
            let heads = read_heads(rows)?;
            let Some(last) = heads.last() else { return Ok(hits) };
            place = i64::try_from(last.row).unwrap_or(i64::MAX);
            for head in heads {
                if Instant::now() >= self.deadline {
                    hits.complete = false;
                    return Ok(hits);
                }
                self.block(&head, &mut hits, &|_| true, pick).await?;
            }
        }
    }

    /// What was committed after a row, and the row up to which was looked.
    pub(super) async fn after(
        mut self,
        row: u64,
        limit: usize,
        pick: Pick<'_, LogRecord>,
    ) -> Result<(Found<LogRecord>, u64), TelemetryError> {
        let sql = format!("SELECT {HEAD} FROM hot WHERE row > ? AND tbl = ? ORDER BY row DESC LIMIT {HEADS}");
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(i64::try_from(row).unwrap_or(i64::MAX))
            .bind(Table::Logs.number());
        let rows = timeout_at(self.deadline, query.fetch_all(&mut *self.connection)).await;
        let heads = read_heads(rows.map_err(|_| deadline_error())?)?;
        let mut hits = Hits::new(limit);
        hits.complete = heads.len() < usize::try_from(HEADS).unwrap_or(usize::MAX);
        let newest = heads.first().map_or(row, |head| head.row);
        for head in &heads {
            if Instant::now() >= self.deadline {
                hits.complete = false;
                break;
            }
            self.block(head, &mut hits, &|_| true, pick).await?;
        }
        let found = Found {
            complete: hits.complete,
            scanned_until: None,
            next: None,
            gaps: std::mem::take(&mut hits.gaps),
            rows: hits.into_rows().collect(),
        };
        Ok((found, newest))
    }
}

fn read_heads(rows: Result<Vec<sqlx::sqlite::SqliteRow>, sqlx::Error>) -> Result<Vec<Head>, TelemetryError> {
    let heads = rows.and_then(|rows| rows.iter().map(Head::read).collect::<Result<Vec<_>, _>>());
    heads.map_err(|error| StoreError::database("look for blocks of telemetry")(error).into())
}

/// Puts the answer together. When the search was stopped at some time, only what is certainly newest stays.
fn finish<T: Footprint>(mut hits: Hits<T>, want: &Want, stopped: Option<Timestamp>) -> Found<T> {
    let full = hits.oldest();
    let gaps = std::mem::take(&mut hits.gaps);
    let rows: Vec<Stored<T>> = hits
        .into_rows()
        .rev()
        .filter(|hit| stopped.is_none_or(|stopped| hit.at.time > stopped))
        .collect();
    // Blocks that begin before the cursor may end after it: never go back behind where this search began.
    let resume = stopped.map(|stopped| {
        let after = Cursor {
            time: Timestamp(stopped.0.saturating_add(1)),
            row: 0,
            index: 0,
        };
        want.window.before.map_or(after, |before| before.min(after))
    });
    Found {
        complete: stopped.is_none(),
        scanned_until: stopped.map(|stopped| stopped.min(want.time_max())),
        next: resume.or(full),
        rows,
        gaps,
    }
}

/// Picks the log records of a filter.
pub(in crate::telemetry) fn log_matching(
    filter: &Filter,
) -> impl Fn(&Row<'_, '_>) -> Option<Option<LogRecord>> + Send + Sync + use<> {
    let service = filter.service.as_ref().map(|service| service.as_str().to_owned());
    let wanted = filter.contains.as_ref().map(|text| text.as_bytes().to_vec());
    let Filter {
        severity,
        trace,
        from,
        until,
        ..
    } = *filter;
    move |row| {
        let timely = from.is_none_or(|from| row.time >= from) && until.is_none_or(|until| row.time < until);
        if !timely || service.as_ref().is_some_and(|service| service != row.service) {
            return Some(None);
        }
        let head = row.log_head()?;
        let fits = severity.is_none_or(|severity| head.severity >= severity)
            && trace.is_none_or(|trace| head.trace == Some(trace))
            && wanted.as_ref().is_none_or(|wanted| contains(head.body, wanted));
        if fits { row.log(&head).map(Some) } else { Some(None) }
    }
}

/// As [`Filter::matches`] finds a text: letter case is ignored for ASCII.
fn contains(body: &[u8], wanted: &[u8]) -> bool {
    let Some((first, rest)) = wanted.split_first() else {
        return true;
    };
    let mut body = body;
    while let Some(at) = body.iter().position(|byte| byte.eq_ignore_ascii_case(first)) {
        let Some((_, after)) = body.split_at_checked(at + 1) else {
            return false;
        };
        if after
            .get(..rest.len())
            .is_some_and(|text| text.eq_ignore_ascii_case(rest))
        {
            return true;
        }
        body = after;
    }
    false
}
