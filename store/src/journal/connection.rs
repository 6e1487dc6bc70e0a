//! Connections to the journal's database: one that writes, a few that read.

use std::{fmt::Write as _, path::Path, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, SqliteConnection, SqlitePool, query_scalar,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{Options, StoreError, Synchronous};

/// The oldest SQLite without the defect that corrupts a write-ahead log when it is reset.
/// Source: <https://sqlite.org/changes.html>, 3.51.3.
const SQLITE_MIN: (u32, u32, u32) = (3, 51, 3);

/// How long a connection waits for another one's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that read at the same time.
const READERS_MAX: u32 = 4;

/// Bytes of a page: facts with bins fit better than on 4 KiB.
const PAGE_BYTES: u32 = 8192;

/// The URI of a database; SQLite reads its parameters from there. Source: <https://sqlite.org/uri.html>.
fn uri(path: &Path, powersafe_overwrite_off: bool) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~') {
            uri.push(char::from(*byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    if powersafe_overwrite_off {
        uri.push_str("?psow=0");
    }
    uri
}

/// Opens the one connection that writes, and empties the write-ahead log, so that nothing is acknowledged that only the
/// page cache knows.
pub(crate) async fn writer(path: &Path, options: &Options) -> Result<SqliteConnection, StoreError> {
    let mut connect = SqliteConnectOptions::new()
        .filename(uri(path, options.powersafe_overwrite_off))
        .create_if_missing(true)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match options.synchronous {
            Synchronous::Full => SqliteSynchronous::Full,
            Synchronous::Normal => SqliteSynchronous::Normal,
        })
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    if let Some(pages) = options.pages_max {
        connect = connect.pragma("max_page_count", pages.to_string());
    }
    let mut connection = SqliteConnection::connect_with(&connect)
        .await
        .map_err(StoreError::database("open the journal"))?;
    check_version(&mut connection).await?;
    if options.checkpoint_at_open {
        checkpoint(&mut connection, path).await?;
    }
    Ok(connection)
}

/// Moves the write-ahead log into the database and empties it. Busy is not success.
pub(crate) async fn checkpoint(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let busy: i64 = query_scalar("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(connection)
        .await
        .map_err(StoreError::database("empty the write-ahead log"))?;
    if busy == 0 {
        Ok(())
    } else {
        Err(StoreError::Busy { path: path.to_owned() })
    }
}

/// Connections for reading only. Each read is one short transaction.
pub(crate) fn readers(path: &Path) -> SqlitePool {
    let connect = SqliteConnectOptions::new()
        .filename(uri(path, true))
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .acquire_timeout(Duration::from_secs(10))
        .connect_lazy_with(connect)
}

async fn check_version(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let found: String = query_scalar("SELECT sqlite_version()")
        .fetch_one(connection)
        .await
        .map_err(StoreError::database("ask for SQLite's version"))?;
    let mut numbers = found.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (
        numbers.next().unwrap_or(0),
        numbers.next().unwrap_or(0),
        numbers.next().unwrap_or(0),
    );
    if version < SQLITE_MIN {
        return Err(StoreError::OldSqlite { found });
    }
    Ok(())
}

/// Runs a statement without parameters and without an answer.
pub(crate) async fn execute(connection: &mut SqliteConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_signs_of_a_uri_is_escaped() {
        assert_eq!(uri(Path::new("/a b/c?d#e%f"), true), "file:/a%20b/c%3Fd%23e%25f?psow=0");
        assert_eq!(uri(Path::new("/a/b.db"), false), "file:/a/b.db");
    }
}
