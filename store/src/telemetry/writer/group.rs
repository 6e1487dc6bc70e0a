//! One group: what is new in it, packed, and its answers.

use std::collections::BTreeMap;

use events::{Batch, Record, ReleaseId, ServiceId, Timestamp};
use sqlx::SqliteConnection;

use super::super::{
    Appended, Shared, TelemetryError,
    block::{Builder, Packed, Stamp, Table},
    database::{self, Kept},
    queue::Request,
    release_of,
};
use crate::StoreError;

/// A block about to be committed, with its records for counting.
pub(super) struct Prepared<'a> {
    pub(super) packed: Packed,
    pub(super) records: Vec<(&'a Record, Option<&'a ReleaseId>)>,
}

pub(super) fn kept(batch: &Batch) -> Option<Kept<'_>> {
    batch.key.map(|key| Kept {
        source: &batch.source,
        key,
        reply: &batch.reply,
    })
}

/// A group, looked up.
pub(super) struct Sorted {
    /// To be stored.
    pub(super) fresh: Vec<Request>,
    /// Stored before, with their answers.
    pub(super) known: Vec<(Request, Vec<u8>)>,
    /// The same as one in `fresh`: its answer is theirs.
    pub(super) repeats: Vec<Request>,
}

/// Tells what is new from what was stored before, or stands twice in this group.
pub(super) async fn sort_out(
    connection: &mut SqliteConnection,
    group: Vec<Request>,
) -> Result<Sorted, (TelemetryError, Vec<Request>)> {
    let mut answers = Vec::with_capacity(group.len());
    for request in &group {
        let found = match request.batch.key {
            Some(key) => database::seen(connection, &request.batch.source, key).await,
            None => Ok(None),
        };
        match found {
            Ok(found) => answers.push(found),
            Err(error) => return Err((StoreError::database("look up an idempotency key")(error).into(), group)),
        }
    }
    let mut sorted = Sorted {
        fresh: Vec::new(),
        known: Vec::new(),
        repeats: Vec::new(),
    };
    for (request, answer) in group.into_iter().zip(answers) {
        let same = |other: &Request| {
            request.batch.key.is_some()
                && other.batch.key == request.batch.key
                && other.batch.source == request.batch.source
        };
        if let Some(reply) = answer {
            sorted.known.push((request, reply));
        } else if sorted.fresh.iter().any(same) {
            sorted.repeats.push(request);
        } else {
            sorted.fresh.push(request);
        }
    }
    Ok(sorted)
}

pub(super) fn answer(fresh: Vec<Request>, repeats: Vec<Request>, error: Option<&TelemetryError>, shared: &Shared) {
    for request in repeats {
        let first = fresh
            .iter()
            .find(|first| first.batch.key == request.batch.key && first.batch.source == request.batch.source);
        let reply = first.map(|first| first.batch.reply.clone()).unwrap_or_default();
        shared.stats().repeated += u64::from(error.is_none());
        request.answer(error.map_or(Ok(Appended { reply, repeated: true }), |error| Err(error.clone())));
    }
    for mut request in fresh {
        let reply = std::mem::take(&mut request.batch.reply);
        request.answer(error.map_or(Ok(Appended { reply, repeated: false }), |error| Err(error.clone())));
    }
}

/// Stamps and packs the records of a group: outside the transaction.
pub(super) async fn prepare<'a>(
    batches: &[&'a Batch],
    releases: &'a BTreeMap<ServiceId, ReleaseId>,
    arrived: Timestamp,
) -> Result<Vec<Prepared<'a>>, StoreError> {
    let mut prepared = Vec::new();
    for table in Table::ALL {
        let mut builder = Builder::new(table);
        let mut records = Vec::new();
        let of_table = batches
            .iter()
            .flat_map(|batch| &batch.records)
            .filter(|record| Table::of(record) == table);
        for record in of_table {
            let release = release_of(record, releases);
            let late = arrived.since(record.time()) > events::aggregate::LATE_AFTER;
            builder.push(record, Stamp { release, late });
            records.push((record, release));
            if builder.is_full() {
                let full = std::mem::replace(&mut builder, Builder::new(table));
                prepared.push(Prepared {
                    packed: packed(full)?,
                    records: std::mem::take(&mut records),
                });
                tokio::task::yield_now().await;
            }
        }
        if !builder.is_empty() {
            prepared.push(Prepared {
                packed: packed(builder)?,
                records,
            });
        }
    }
    Ok(prepared)
}

fn packed(builder: Builder) -> Result<Packed, StoreError> {
    builder.finish().map_err(StoreError::io(
        "compress rows for",
        std::path::Path::new(database::FILE),
    ))
}
