//! The file: how it is opened, its tables, one transaction.

use std::{path::Path, time::Duration};

use events::Timestamp;
use sqlx::{
    ConnectOptions as _, Connection as _, Row as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use uuid::Uuid;

use super::block::Packed;
use crate::{FaultPoint, Options, StoreError, Synchronous};

/// Name of the file in the data folder.
pub(super) const FILE: &str = "telemetry.db";
/// How long SQLite waits for a lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a checkpoint that readers hold up is tried again.
const CHECKPOINT_TRIES: u32 = 5;
/// Versions below this lose commits in WAL mode under a race of checkpoint and write.
const SQLITE_MIN: (u32, u32, u32) = (3, 51, 3);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta(
  one INTEGER PRIMARY KEY CHECK(one = 1),
  form INTEGER NOT NULL,
  generation BLOB NOT NULL CHECK(length(generation) = 16),
  created INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS hot(
  row INTEGER PRIMARY KEY AUTOINCREMENT,
  tbl INTEGER NOT NULL,
  n INTEGER NOT NULL,
  tmin INTEGER NOT NULL,
  tmax INTEGER NOT NULL,
  arrived INTEGER NOT NULL,
  severity INTEGER NOT NULL,
  unpacked INTEGER NOT NULL,
  size INTEGER NOT NULL,
  sum BLOB NOT NULL,
  services BLOB NOT NULL,
  traces BLOB NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS hot_time ON hot(tbl, tmax, tmin);
CREATE TABLE IF NOT EXISTS body(row INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS seen(
  id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  key BLOB NOT NULL,
  at INTEGER NOT NULL,
  reply BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS seen_key ON seen(source, key);
";

/// The form of the tables above.
const SCHEMA_FORM: u32 = 1;

/// The name SQLite is given. A path is percent-encoded, so that no character in it can be taken for a parameter.
fn uri(path: &Path, powersafe_overwrite_off: bool) -> Result<String, StoreError> {
    let text = path.to_str().ok_or_else(|| StoreError::Io {
        doing: "open, its path is not UTF-8,",
        path: path.to_owned(),
        source: std::io::ErrorKind::InvalidInput.into(),
    })?;
    let mut uri = String::from("file:");
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri.push_str(if powersafe_overwrite_off { "?psow=0" } else { "?psow=1" });
    Ok(uri)
}

fn connecting(path: &Path, options: &Options) -> Result<SqliteConnectOptions, StoreError> {
    Ok(SqliteConnectOptions::new()
        .filename(uri(path, options.powersafe_overwrite_off)?)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging())
}

/// Opens the one connection that writes, and makes durable what an earlier process left in the write-ahead log.
pub(super) async fn open(folder: &Path, options: &Options) -> Result<SqliteConnection, StoreError> {
    let path = folder.join(FILE);
    let synchronous = match options.synchronous {
        Synchronous::Full => SqliteSynchronous::Full,
        Synchronous::Normal => SqliteSynchronous::Normal,
    };
    let mut connecting = connecting(&path, options)?
        .create_if_missing(true)
        .page_size(8192)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous);
    if let Some(pages) = options.pages_max {
        connecting = connecting.pragma("max_page_count", pages.to_string());
    }
    let mut connection = connecting
        .connect()
        .await
        .map_err(StoreError::database("open telemetry.db"))?;
    version(&mut connection).await?;
    if options.checkpoint_at_open {
        checkpoint(&mut connection, &path).await?;
    }
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) async fn open_for_reading(folder: &Path) -> Result<SqliteConnection, StoreError> {
    connecting(&folder.join(FILE), &Options::default())?
        .read_only(true)
        .pragma("query_only", "ON")
        .connect()
        .await
        .map_err(StoreError::database("open telemetry.db for reading"))
}

async fn version(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT sqlite_version()")
        .fetch_one(connection)
        .await
        .map_err(StoreError::database("ask SQLite for its version"))?;
    let found: String = row
        .try_get(0)
        .map_err(StoreError::database("ask SQLite for its version"))?;
    let mut numbers = found.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let version = (next(), next(), next());
    if version < SQLITE_MIN {
        return Err(StoreError::OldSqlite { found });
    }
    Ok(())
}

/// Moves the write-ahead log into the file and empties it. A log that a reader holds is not moved: that is no success.
pub(super) async fn checkpoint(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    for _ in 0..CHECKPOINT_TRIES {
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut *connection)
            .await
            .map_err(StoreError::database("checkpoint telemetry.db"))?;
        let busy: i64 = row
            .try_get(0)
            .map_err(StoreError::database("checkpoint telemetry.db"))?;
        if busy == 0 {
            return Ok(());
        }
    }
    Err(StoreError::Busy { path: path.to_owned() })
}

/// Which database this is, and its highest row number ever.
pub(super) struct Identity {
    pub(super) generation: Uuid,
    pub(super) row_last: u64,
}

/// Makes the tables where there are none, and says which database this is.
pub(super) async fn prepare(connection: &mut SqliteConnection, now: Timestamp) -> Result<Identity, StoreError> {
    let doing = "prepare the tables of telemetry.db";
    sqlx::raw_sql(SCHEMA)
        .execute(&mut *connection)
        .await
        .map_err(StoreError::database(doing))?;
    sqlx::query("INSERT OR IGNORE INTO meta(one, form, generation, created) VALUES(1, ?, ?, ?)")
        .bind(SCHEMA_FORM)
        .bind(Uuid::new_v4().as_bytes().to_vec())
        .bind(now.0)
        .execute(&mut *connection)
        .await
        .map_err(StoreError::database(doing))?;
    identity(connection).await
}

async fn identity(connection: &mut SqliteConnection) -> Result<Identity, StoreError> {
    let doing = "read which database telemetry.db is";
    let row = sqlx::query(
        "SELECT form, generation, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'hot'), 0) FROM meta",
    )
    .fetch_one(connection)
    .await
    .map_err(StoreError::database(doing))?;
    let form: i64 = row.try_get(0).map_err(StoreError::database(doing))?;
    if form != i64::from(SCHEMA_FORM) {
        return Err(StoreError::NewerFormat {
            path: FILE.into(),
            found: u32::try_from(form).unwrap_or(u32::MAX),
            known: SCHEMA_FORM,
        });
    }
    let generation: Vec<u8> = row.try_get(1).map_err(StoreError::database(doing))?;
    let last: i64 = row.try_get(2).map_err(StoreError::database(doing))?;
    Ok(Identity {
        generation: Uuid::from_slice(&generation).unwrap_or_default(),
        row_last: u64::try_from(last).unwrap_or(0),
    })
}

/// Gives the database another generation: it is not the one whose rows were counted.
pub(super) async fn renew(connection: &mut SqliteConnection) -> Result<Identity, StoreError> {
    sqlx::query("UPDATE meta SET generation = ?")
        .bind(Uuid::new_v4().as_bytes().to_vec())
        .execute(&mut *connection)
        .await
        .map_err(StoreError::database("name a new generation of telemetry.db"))?;
    identity(connection).await
}

/// An idempotency key to keep, with its answer.
pub(super) struct Kept<'a> {
    pub(super) source: &'a str,
    pub(super) key: [u8; 16],
    pub(super) reply: &'a [u8],
}

/// What a transaction knows besides what it stores.
pub(super) struct Context<'a> {
    pub(super) arrived: Timestamp,
    /// Whether a test wants it to fail here.
    pub(super) fails: &'a (dyn Fn(FaultPoint) -> bool + Send + Sync),
}

/// Commits blocks and keys in one transaction; gives the row numbers of the blocks. After an error nothing is known:
/// the connection must be opened anew.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    blocks: &[&Packed],
    kept: &[Kept<'_>],
    context: Context<'_>,
) -> Result<Vec<u64>, sqlx::Error> {
    let Context { arrived, fails } = context;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let mut rows = Vec::with_capacity(blocks.len());
    for block in blocks {
        let row = insert(connection, block, arrived).await?;
        sqlx::query("INSERT INTO body(row, data) VALUES(?, ?)")
            .bind(row)
            .bind(block.data.as_slice())
            .execute(&mut *connection)
            .await?;
        rows.push(u64::try_from(row).unwrap_or(0));
    }
    for Kept { source, key, reply } in kept {
        sqlx::query("INSERT INTO seen(source, key, at, reply) VALUES(?, ?, ?, ?)")
            .bind(*source)
            .bind(key.as_slice())
            .bind(arrived.0)
            .bind(*reply)
            .execute(&mut *connection)
            .await?;
    }
    if fails(FaultPoint::BeforeCommit) {
        return Err(sqlx::Error::WorkerCrashed);
    }
    sqlx::query("COMMIT").execute(&mut *connection).await?;
    if fails(FaultPoint::AfterCommit) {
        return Err(sqlx::Error::WorkerCrashed);
    }
    Ok(rows)
}

async fn insert(connection: &mut SqliteConnection, block: &Packed, arrived: Timestamp) -> Result<i64, sqlx::Error> {
    let number = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    let done = sqlx::query(
        "INSERT INTO hot(tbl, n, tmin, tmax, arrived, severity, unpacked, size, sum, services, traces)
         VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(block.table.number())
    .bind(i64::try_from(block.rows).unwrap_or(i64::MAX))
    .bind(block.time_min.0)
    .bind(block.time_max.0)
    .bind(arrived.0)
    .bind(i64::from(block.severity_max))
    .bind(number(block.unpacked))
    .bind(number(block.data.len()))
    .bind(block.digest.as_slice())
    .bind(block.services.as_slice())
    .bind(block.traces.as_slice())
    .execute(connection)
    .await?;
    Ok(done.last_insert_rowid())
}

/// The reply that is kept for a key.
pub(super) async fn seen(
    connection: &mut SqliteConnection,
    source: &str,
    key: [u8; 16],
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query("SELECT reply FROM seen WHERE source = ? AND key = ?")
        .bind(source)
        .bind(key.as_slice())
        .fetch_optional(connection)
        .await?
        .map(|row| row.try_get(0))
        .transpose()
}

/// Bytes of the file that hold something.
pub(super) async fn used_bytes(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let row = sqlx::query(
        "SELECT (page_count - freelist_count) * page_size
         FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()",
    )
    .fetch_one(connection)
    .await?;
    row.try_get::<i64, _>(0).map(|bytes| u64::try_from(bytes).unwrap_or(0))
}

/// Closes a connection that may be in a bad state.
pub(super) async fn close(connection: SqliteConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "telemetry.db did not close cleanly");
    }
}

/// Makes the names of new files durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    std::fs::File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(StoreError::io("sync the data folder", folder))
}
