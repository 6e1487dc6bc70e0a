//! Removing what is too old or too much: oldest first, in short slices, never past the last tick's row.

use std::time::Duration;

use events::Timestamp;
use jiff::SignedDuration;
use sqlx::{Row as _, SqliteConnection};
use tokio::time::Instant;

use super::{block::Table, database, queue::Task};
use crate::StoreError;

/// How long one slice may hold the database.
const SLICE: Duration = Duration::from_millis(5);
/// Blocks removed in one transaction at most.
const BLOCKS_MAX: usize = 16;
/// Idempotency keys removed in one transaction at most.
const KEYS_MAX: i64 = 256;
/// How long an idempotency key is kept.
pub(super) const KEY_AGE: SignedDuration = SignedDuration::from_hours(24);
/// Most idempotency keys kept.
pub(super) const KEYS_KEPT: i64 = 4_000_000;

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Now. Leave the pruning out on a day on which the clock jumped.
    pub now: Timestamp,
    /// How long telemetry is kept after it arrived.
    pub keep: SignedDuration,
    /// Most bytes of the database; `None` for no limit.
    pub bytes_max: Option<u64>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Log records.
    pub logs: u64,
    /// Spans.
    pub spans: u64,
    /// Probe results.
    pub probes: u64,
    /// Idempotency keys.
    pub keys: u64,
    /// Arrival of the first record removed, if any was.
    pub from: Option<Timestamp>,
    /// Arrival of the last one.
    pub until: Option<Timestamp>,
    /// Bytes that the database holds now.
    pub bytes_left: u64,
    /// True when the database still holds more than it may, as the rest is not carried by a tick yet.
    pub over_budget: bool,
}

impl Removed {
    /// True when no record was removed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.logs + self.spans + self.probes == 0
    }

    fn add(&mut self, block: &Oldest) {
        let of_table = match block.table {
            Some(Table::Logs) | None => &mut self.logs,
            Some(Table::Spans) => &mut self.spans,
            Some(Table::Probes) => &mut self.probes,
        };
        *of_table += block.records;
        self.from = Some(self.from.map_or(block.arrived, |from| from.min(block.arrived)));
        self.until = Some(self.until.map_or(block.arrived, |until| until.max(block.arrived)));
    }
}

/// The head of one of the oldest blocks.
struct Oldest {
    row: i64,
    table: Option<Table>,
    records: u64,
    arrived: Timestamp,
    size: u64,
}

/// Works for a few milliseconds. True when nothing is left to do. After an error the database must be opened anew.
pub(super) async fn slice(connection: &mut SqliteConnection, task: &mut Task, limit: u64) -> Result<bool, StoreError> {
    let began = Instant::now();
    while began.elapsed() < SLICE {
        let rows = blocks(connection, task, limit)
            .await
            .map_err(StoreError::database("prune telemetry"))?;
        if rows > 0 {
            continue;
        }
        let keys = keys(connection, task.retention.now)
            .await
            .map_err(StoreError::database("prune idempotency keys"))?;
        task.removed.keys += keys;
        if keys == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes the oldest blocks in one transaction; says how many.
async fn blocks(connection: &mut SqliteConnection, task: &mut Task, limit: u64) -> Result<usize, sqlx::Error> {
    let used = database::used_bytes(connection).await?;
    task.removed.bytes_left = used;
    let over = task.retention.bytes_max.map_or(0, |most| used.saturating_sub(most));
    task.removed.over_budget = over > 0;
    let cutoff = task.retention.now.plus(-task.retention.keep);
    let mut freed = 0;
    let going: Vec<Oldest> = oldest(connection, limit)
        .await?
        .into_iter()
        .take_while(|block| {
            let goes = block.arrived < cutoff || freed < over;
            freed = freed.saturating_add(block.size);
            goes
        })
        .collect();
    let Some(last) = going.last().map(|block| block.row) else {
        return Ok(0);
    };
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    sqlx::query("DELETE FROM body WHERE row <= ?")
        .bind(last)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM hot WHERE row <= ?")
        .bind(last)
        .execute(&mut *connection)
        .await?;
    sqlx::query("COMMIT").execute(&mut *connection).await?;
    for block in &going {
        task.removed.add(block);
    }
    Ok(going.len())
}

async fn oldest(connection: &mut SqliteConnection, limit: u64) -> Result<Vec<Oldest>, sqlx::Error> {
    let rows = sqlx::query("SELECT row, tbl, n, arrived, size FROM hot WHERE row <= ? ORDER BY row LIMIT ?")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(i64::try_from(BLOCKS_MAX).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
    rows.iter()
        .map(|row| {
            Ok(Oldest {
                row: row.try_get(0)?,
                table: Table::from_number(row.try_get(1)?),
                records: unsigned(row.try_get(2)?),
                arrived: Timestamp(row.try_get(3)?),
                size: unsigned(row.try_get(4)?),
            })
        })
        .collect()
}

/// Removes the oldest idempotency keys, if they are too old or too many; says how many.
async fn keys(connection: &mut SqliteConnection, now: Timestamp) -> Result<u64, sqlx::Error> {
    let cutoff = now.plus(-KEY_AGE);
    // Keys go from the front only, so their numbers tell how many there are.
    let done = sqlx::query(
        "DELETE FROM seen WHERE id IN (
           SELECT id FROM (SELECT id, at FROM seen ORDER BY id LIMIT ?)
           WHERE at < ? OR id <= (SELECT max(id) FROM seen) - ?)",
    )
    .bind(KEYS_MAX)
    .bind(cutoff.0)
    .bind(KEYS_KEPT)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
