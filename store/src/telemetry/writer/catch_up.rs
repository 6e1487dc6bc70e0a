//! Counting what is committed and not counted yet.

use jiff::SignedDuration;
use sqlx::SqliteConnection;
use tokio::time::Instant;

use super::super::{
    Shared,
    ledger::Committed,
    lock,
    stored::{self, HEAD, Head},
};
use crate::StoreError;

/// What arrived longer ago than this before it is counted enters no rate: after a restored journal days of telemetry
/// would otherwise look like one second of it.
const STALE: SignedDuration = SignedDuration::from_mins(10);

/// Blocks read at once.
const BLOCKS: i64 = 64;

/// Counts every committed row that is not counted yet: at a start those behind the last tick, after a failed or
/// doubtful COMMIT those of the group that was committed all the same.
pub(in crate::telemetry) async fn catch_up(
    shared: &Shared,
    connection: &mut SqliteConnection,
) -> Result<(), StoreError> {
    let began = Instant::now();
    loop {
        let counted = lock(&shared.ledger).row();
        let heads = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {HEAD} FROM hot WHERE row > ? ORDER BY row LIMIT {BLOCKS}"
        )))
        .bind(i64::try_from(counted).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await
        .and_then(|rows| rows.iter().map(Head::read).collect::<Result<Vec<_>, _>>())
        .map_err(StoreError::database("read the rows that are not counted yet"))?;
        if heads.is_empty() {
            break;
        }
        for head in heads {
            recount(shared, connection, &head).await?;
        }
    }
    let took = SignedDuration::try_from(began.elapsed()).unwrap_or_default();
    tracing::debug!(row = lock(&shared.ledger).row(), %took, "telemetry is counted up to its last row");
    Ok(())
}

async fn recount(shared: &Shared, connection: &mut SqliteConnection, head: &Head) -> Result<(), StoreError> {
    let data = stored::data(connection, head.row)
        .await
        .map_err(StoreError::database("read a row that is not counted yet"))?;
    let records = data
        .and_then(|data| head.unpack(&data))
        .and_then(|bytes| stored::records(&bytes));
    let records = records.unwrap_or_else(|| {
        shared.reader.damage().note(&[head.gap()]);
        Vec::new()
    });
    let now = shared.clocks.now().wall;
    let stale = now.since(head.arrived) > STALE;
    let committed = Committed {
        row: head.row,
        rows: head.rows,
        digest: &head.digest,
        arrived: if stale { now } else { head.arrived },
    };
    lock(&shared.ledger).count(
        &committed,
        records.iter().map(|(record, release)| (record, release.as_ref())),
    );
    shared.newest.send_replace(head.row);
    tokio::task::yield_now().await;
    Ok(())
}
