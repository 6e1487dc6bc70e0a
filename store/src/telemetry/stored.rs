//! A stored block: its head as the catalogue has it, and the way to its rows, with every byte checked.

use events::{Record, ReleaseId, Timestamp};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    Gap,
    block::{self, Block},
};

/// Columns of [`Head::read`], in its order.
pub(super) const HEAD: &str = "row, n, tmin, tmax, arrived, unpacked, sum";

/// What the catalogue says of a block.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) row: u64,
    pub(super) rows: u64,
    pub(super) time_min: Timestamp,
    pub(super) time_max: Timestamp,
    pub(super) arrived: Timestamp,
    unpacked: usize,
    pub(super) digest: Vec<u8>,
}

impl Head {
    pub(super) fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let unsigned = |at: usize| row.try_get::<i64, _>(at).map(|value| u64::try_from(value).unwrap_or(0));
        Ok(Self {
            row: unsigned(0)?,
            rows: unsigned(1)?,
            time_min: Timestamp(row.try_get(2)?),
            time_max: Timestamp(row.try_get(3)?),
            arrived: Timestamp(row.try_get(4)?),
            unpacked: usize::try_from(unsigned(5)?).unwrap_or(usize::MAX),
            digest: row.try_get(6)?,
        })
    }

    /// What is missing when this block cannot be read.
    pub(super) fn gap(&self) -> Gap {
        Gap {
            row: self.row,
            records: self.rows,
            from: self.time_min,
            until: self.time_max,
        }
    }

    /// Checks and unpacks the stored bytes; `None` when they are not what was written.
    pub(super) fn unpack(&self, data: &[u8]) -> Option<Vec<u8>> {
        if blake3::hash(data).as_bytes().as_slice() != self.digest.as_slice() {
            return None;
        }
        block::unpack(data, self.unpacked)
    }
}

/// The stored bytes of a block; `None` when it is gone.
pub(super) async fn data(connection: &mut SqliteConnection, row: u64) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query("SELECT data FROM body WHERE row = ?")
        .bind(i64::try_from(row).unwrap_or(i64::MAX))
        .fetch_optional(connection)
        .await?
        .map(|row| row.try_get(0))
        .transpose()
}

/// Every record of an unpacked block with the release it counts under; `None` when it is malformed.
pub(super) fn records(unpacked: &[u8]) -> Option<Vec<(Record, Option<ReleaseId>)>> {
    let block = Block::parse(unpacked)?;
    let mut records = Vec::new();
    block.each(|row| {
        records.push((row.record()?, row.release()));
        Some(true)
    })?;
    Some(records)
}
