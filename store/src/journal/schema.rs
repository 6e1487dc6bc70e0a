//! The journal's tables and their versions.

use std::path::Path;

use events::{Identity, Views};
use sqlx::{SqliteConnection, query, query_scalar};
use uuid::Uuid;

use super::connection::execute;
use crate::StoreError;

/// Steps from each format to the next; the newest format is their number. Each runs in one transaction.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/1.sql")];

/// The newest format that this version knows.
pub(crate) fn newest() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Brings the tables to this version's format and says which journal it is. A copy made by a backup starts a new epoch.
pub(crate) async fn prepare(connection: &mut SqliteConnection, path: &Path) -> Result<Identity, StoreError> {
    let format = format(connection).await?;
    let known = newest();
    if format > known {
        return Err(StoreError::NewerFormat {
            path: path.to_owned(),
            found: format,
            known,
        });
    }
    let missing = MIGRATIONS.iter().enumerate().skip(usize::try_from(format).unwrap_or(0));
    for (before, step) in missing {
        migrate(connection, before + 1, step)
            .await
            .map_err(StoreError::database("bring the journal to this version's format"))?;
    }
    begin_epoch(connection)
        .await
        .map_err(StoreError::database("start a new epoch of a restored journal"))?;
    identity(connection).await
}

/// Format of a database; 0 when it has no tables yet.
pub(crate) async fn format(connection: &mut SqliteConnection) -> Result<u32, StoreError> {
    let doing = "read the journal's format";
    let tables: i64 = query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'")
        .fetch_one(&mut *connection)
        .await
        .map_err(StoreError::database(doing))?;
    if tables == 0 {
        return Ok(0);
    }
    let text = meta(connection, "format").await.map_err(StoreError::database(doing))?;
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| StoreError::damaged("its format is no number"))
}

async fn migrate(connection: &mut SqliteConnection, to: usize, step: &str) -> Result<(), sqlx::Error> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    execute(connection, step).await?;
    if to == 1 {
        set_meta(connection, "store", &Uuid::new_v4().to_string()).await?;
        set_meta(connection, "epoch", "1").await?;
        set_meta(connection, "shapes", &shapes()).await?;
    }
    set_meta(connection, "format", &to.to_string()).await?;
    execute(connection, "COMMIT").await
}

async fn begin_epoch(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    if meta(connection, "restored").await?.is_none() {
        return Ok(());
    }
    execute(connection, "BEGIN IMMEDIATE").await?;
    execute(
        connection,
        "UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'epoch'; DELETE FROM meta WHERE key = 'restored'",
    )
    .await?;
    execute(connection, "COMMIT").await
}

/// Which journal it is, and in which epoch.
pub(crate) async fn identity(connection: &mut SqliteConnection) -> Result<Identity, StoreError> {
    let doing = "read the journal's identity";
    let store = meta(connection, "store").await.map_err(StoreError::database(doing))?;
    let epoch = meta(connection, "epoch").await.map_err(StoreError::database(doing))?;
    let store = store.and_then(|text| Uuid::parse_str(&text).ok());
    let epoch = epoch.and_then(|text| text.parse().ok());
    match (store, epoch) {
        (Some(store), Some(epoch)) => Ok(Identity { store, epoch }),
        _ => Err(StoreError::damaged("its identity is missing")),
    }
}

/// Names and shapes of the views of this version.
pub(crate) fn shapes() -> String {
    serde_json::to_string(Views::SHAPES).unwrap_or_default()
}

pub(crate) async fn meta(connection: &mut SqliteConnection, key: &str) -> Result<Option<String>, sqlx::Error> {
    query_scalar("SELECT value FROM meta WHERE key = ?")
        .bind(key.to_owned())
        .fetch_optional(connection)
        .await
}

pub(crate) async fn set_meta(connection: &mut SqliteConnection, key: &str, value: &str) -> Result<(), sqlx::Error> {
    query("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
        .bind(key.to_owned())
        .bind(value.to_owned())
        .execute(connection)
        .await
        .map(drop)
}
