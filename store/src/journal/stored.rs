//! A fact as it lies in its table, and back.

use std::sync::Arc;

use events::{
    BootId, Boottime, CommitId, Dictionary, Elapsed, Envelope, Fact, Moment, Recorded, Seq, Series, Timestamp, Watched,
    encode::{self, Digest},
    name_of,
};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::StoreError;

/// Columns of a stored fact, in the order in which [`Stored::read`] takes them.
pub(crate) const COLUMNS: &str = "SELECT f.seq, f.commit_id, f.cause_seq, f.cause_reactor, f.wall, f.boot, b.boot_id, \
                                  f.at, f.watched, f.body, f.blob FROM fact f JOIN boot b ON b.id = f.boot_ref";

/// Compression of bins: more costs time and gains little.
const ZSTD_LEVEL: i32 = 3;
/// Most bytes of unpacked bins: 2,000 series with full histograms are below it.
const BINS_MAX: usize = 64 * 1024 * 1024;

/// A number as SQLite stores it.
pub(crate) fn stored_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number as SQLite stored it; numbers of ours are never negative.
pub(crate) fn number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// What is written of a fact beside its envelope.
pub(crate) struct Encoded {
    pub(crate) body: String,
    pub(crate) blob: Option<Vec<u8>>,
    pub(crate) digest: Digest,
    /// Series that its bins name for the first time.
    pub(crate) named: Vec<Arc<Series>>,
}

/// Encodes a fact; a tick's bins name new series in the dictionary.
pub(crate) fn encode(fact: &Recorded, dictionary: &mut Dictionary) -> Result<Encoded, StoreError> {
    let body = encode::body(&fact.envelope);
    let mut named = Vec::new();
    let blob = match encode::bins(fact) {
        None => None,
        Some(bins) => {
            let (packed, new) = dictionary.pack(bins);
            named = new;
            Some(pack(&packed, &named)?)
        }
    };
    let digest = encode::digest(fact, body.as_bytes(), blob.as_deref().unwrap_or_default());
    Ok(Encoded {
        body,
        blob,
        digest,
        named,
    })
}

/// A blob: zstd over the length of the list of new series (4 bytes, little endian), that list as JSON, the packed bins.
/// The list makes the journal explain itself; the table of series is an index over these lists.
fn pack(packed: &[u8], named: &[Arc<Series>]) -> Result<Vec<u8>, StoreError> {
    let names: Vec<&Series> = named.iter().map(AsRef::as_ref).collect();
    let list = serde_json::to_vec(&names).unwrap_or_default();
    let mut plain = u32::try_from(list.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    plain.extend_from_slice(&list);
    plain.extend_from_slice(packed);
    zstd::bulk::compress(&plain, ZSTD_LEVEL).map_err(StoreError::io("compress", std::path::Path::new("bins")))
}

/// The new series that a blob names, and its packed bins.
pub(crate) fn unpack(seq: Seq, blob: &[u8]) -> Result<(Vec<Series>, Vec<u8>), StoreError> {
    let damaged = || StoreError::damaged(format!("the bins of fact {seq} cannot be read"));
    let plain = zstd::bulk::decompress(blob, BINS_MAX).map_err(|_| damaged())?;
    let (length, rest) = plain.split_at_checked(4).ok_or_else(damaged)?;
    let length = u32::from_le_bytes(length.try_into().map_err(|_| damaged())?);
    let (list, packed) = rest
        .split_at_checked(usize::try_from(length).unwrap_or(usize::MAX))
        .ok_or_else(damaged)?;
    let named = serde_json::from_slice(list).map_err(|_| damaged())?;
    Ok((named, packed.to_vec()))
}

/// A fact as it was stored.
pub(crate) struct Stored {
    pub(crate) fact: Recorded,
    pub(crate) body: String,
    pub(crate) blob: Option<Vec<u8>>,
}

impl Stored {
    /// Reads a row of [`COLUMNS`]; bins are still packed.
    pub(crate) fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        Self::read_from(row, 0)
    }

    /// The same for a row in which other columns stand before those.
    pub(crate) fn read_from(row: &SqliteRow, first: usize) -> Result<Self, StoreError> {
        let stored = Self::columns(row, first).map_err(StoreError::database("read a fact"))?;
        let (mut fact, body, blob) = stored;
        fact.envelope = encode::envelope(fact.seq, &body)?;
        Ok(Self { fact, body, blob })
    }

    fn columns(row: &SqliteRow, first: usize) -> Result<(Recorded, String, Option<Vec<u8>>), sqlx::Error> {
        let cause: Option<i64> = row.try_get(first + 2)?;
        let reactor: Option<String> = row.try_get(first + 3)?;
        let moment = Moment {
            wall: Timestamp(row.try_get(first + 4)?),
            boot: Boottime(row.try_get(first + 5)?),
            boot_id: BootId(row.try_get(first + 6)?),
            at: Elapsed(row.try_get(first + 7)?),
            watched: Watched(row.try_get(first + 8)?),
        };
        let fact = Recorded {
            seq: Seq(number(row.try_get(first)?)),
            commit: CommitId(number(row.try_get(first + 1)?)),
            cause: cause
                .zip(reactor)
                .map(|(seq, reactor)| (Seq(number(seq)), name_of(&reactor))),
            recorded_at: moment,
            envelope: Envelope::new(name_of("-"), name_of("-"), Fact::Unknown),
        };
        Ok((fact, row.try_get(first + 9)?, row.try_get(first + 10)?))
    }

    /// The fact with its bins; `None` when they name a series that the dictionary does not know yet.
    pub(crate) fn unpacked(mut self, dictionary: &Dictionary) -> Result<Result<Recorded, Self>, StoreError> {
        let (Fact::Tick(tick), Some(blob)) = (&mut self.fact.envelope.fact, &self.blob) else {
            return Ok(Ok(self.fact));
        };
        let (_, packed) = unpack(self.fact.seq, blob)?;
        match dictionary.unpack(&packed) {
            Some(bins) => {
                tick.bins = bins;
                Ok(Ok(self.fact))
            }
            None => Ok(Err(self)),
        }
    }
}
