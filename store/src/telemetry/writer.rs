//! The one task that commits telemetry.

use std::{collections::BTreeMap, sync::Arc};

use events::{Batch, CommitId, Record, ReleaseId, ServiceId, Timestamp};
use jiff::SignedDuration;
use sqlx::SqliteConnection;
use tokio::time::Instant;

use super::{
    Appended, Shared, TelemetryError,
    block::{Builder, Packed, Stamp, Table},
    database::{self, Context, Kept},
    ledger::Committed,
    lock,
    queue::{Next, Request, Task},
    reading, release_of, retention,
    stored::{self, HEAD, Head},
};
use crate::{StoreError, chain_of, folder};

/// How often the free space is looked at.
const SPACE_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
/// Telemetry stops this much before ordinary facts do.
const BEFORE_FACTS_BYTES: u64 = 64 << 20;
/// Blocks read at once while catching up.
const CATCH_UP_BLOCKS: i64 = 64;

/// The one who writes. Run it in a supervised task; dropping it refuses everything from then on.
pub struct TelemetryWriter {
    shared: Arc<Shared>,
    connection: Option<SqliteConnection>,
    /// True while it is not known what is committed: the database is opened anew before anything else.
    doubt: bool,
    space_checked: Option<Instant>,
    groups: u64,
}

/// A block about to be committed, with its records for counting.
struct Prepared<'a> {
    packed: Packed,
    records: Vec<(&'a Record, Option<&'a ReleaseId>)>,
}

impl TelemetryWriter {
    pub(super) fn new(shared: Arc<Shared>, connection: SqliteConnection) -> Self {
        Self {
            shared,
            connection: Some(connection),
            doubt: false,
            space_checked: None,
            groups: 0,
        }
    }

    /// Commits what comes until `stop`, then what is still waiting, and closes the database. May be run again after a
    /// panic: it opens the database anew and counts what was committed meanwhile.
    ///
    /// # Errors
    /// When the database could not be brought to rest at the end; nothing acknowledged is lost.
    pub async fn run(&mut self, stop: impl Future<Output = ()> + Send) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let mut stop = std::pin::pin!(stop);
        let mut stopping = false;
        loop {
            let next = tokio::select! {
                () = &mut stop, if !stopping => {
                    stopping = true;
                    shared.queue.close();
                    continue;
                }
                next = shared.queue.next() => next,
            };
            match next {
                Next::Group(group) => self.group(group).await,
                Next::Task(task) => self.task(task).await,
                Next::Idle => self.idle().await,
                Next::End => return self.end().await,
            }
        }
    }

    async fn end(&mut self) -> Result<(), StoreError> {
        let Some(mut connection) = self.connection.take() else {
            return Ok(());
        };
        let done = database::checkpoint(&mut connection, &self.shared.folder.join(database::FILE)).await;
        database::close(connection).await;
        done
    }

    async fn idle(&mut self) {
        self.look_at_space();
        if let Err(error) = self.ready().await {
            tracing::error!(error = chain_of(&error), "telemetry.db cannot be opened again");
        }
    }

    /// The connection, opened anew if it is not known what it did last.
    async fn ready(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        if self.doubt
            && let Some(connection) = self.connection.take()
        {
            database::close(connection).await;
        }
        if self.connection.is_none() {
            let mut connection = database::open(&self.shared.folder, &self.shared.options.database).await?;
            catch_up(&self.shared, &mut connection).await?;
            let totals = reading::totals(&mut connection).await?;
            let mut stats = self.shared.stats();
            (stats.logs, stats.spans, stats.probes) = (totals.logs, totals.spans, totals.probes);
            stats.bytes = totals.bytes;
            drop(stats);
            self.connection = Some(connection);
            self.doubt = false;
        }
        self.connection.as_mut().ok_or(StoreError::Unsettled)
    }

    fn look_at_space(&mut self) {
        if self.space_checked.is_some_and(|at| at.elapsed() < SPACE_EVERY) {
            return;
        }
        self.space_checked = Some(Instant::now());
        match folder::space(&self.shared.folder) {
            Ok(space) => {
                let database = &self.shared.options.database;
                let wanted = database
                    .free_min_bytes
                    .unwrap_or_else(|| (space.total_bytes / 20).min(1 << 30));
                let full = space.free_bytes < wanted.saturating_add(BEFORE_FACTS_BYTES) && wanted > 0;
                self.shared.queue.set_full(full);
            }
            Err(error) => tracing::warn!(error = chain_of(&error), "the free space is not known"),
        }
    }

    async fn task(&mut self, mut task: Task) {
        let shared = Arc::clone(&self.shared);
        let limit = lock(&shared.ledger).carried_row();
        let slice = match self.ready().await {
            Ok(connection) => retention::slice(connection, &mut task, limit).await,
            Err(error) => Err(error),
        };
        match slice {
            Ok(true) => {
                let mut stats = shared.stats();
                stats.logs = stats.logs.saturating_sub(task.removed.logs);
                stats.spans = stats.spans.saturating_sub(task.removed.spans);
                stats.probes = stats.probes.saturating_sub(task.removed.probes);
                stats.bytes = task.removed.bytes_left;
                drop(stats);
                task.answer(Ok(()));
            }
            Ok(false) => shared.queue.put_back(task),
            Err(error) => {
                self.doubt = true;
                task.answer(Err(error.into()));
            }
        }
    }

    /// Commits one group and answers everybody in it.
    async fn group(&mut self, group: Vec<Request>) {
        self.look_at_space();
        let shared = Arc::clone(&self.shared);
        let sorted = match self.ready().await {
            Ok(connection) => sort_out(connection, group).await,
            Err(error) => Err((error.into(), group)),
        };
        let (fresh, repeats) = match sorted {
            Ok(Sorted { fresh, known, repeats }) => {
                shared.stats().repeated += known.len() as u64;
                for (request, reply) in known {
                    request.answer(Ok(Appended { reply, repeated: true }));
                }
                (fresh, repeats)
            }
            Err((error, group)) => {
                group.into_iter().for_each(|request| request.answer(Err(error.clone())));
                return;
            }
        };
        let result = if fresh.is_empty() {
            Ok(())
        } else {
            self.commit(&fresh).await
        };
        let error = result.err().map(|error| {
            tracing::error!(error = chain_of(&error), "a commit of telemetry failed");
            TelemetryError::from(error)
        });
        answer(fresh, repeats, error.as_ref(), &shared);
    }

    async fn commit(&mut self, fresh: &[Request]) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let arrived = shared.clocks.now().wall;
        let releases = Arc::clone(&shared.releases.borrow());
        let batches: Vec<&Batch> = fresh.iter().map(|request| &request.batch).collect();
        let prepared = prepare(&batches, &releases, arrived).await?;
        let kept: Vec<Kept<'_>> = batches.iter().filter_map(|batch| kept(batch)).collect();
        let blocks: Vec<&Packed> = prepared.iter().map(|block| &block.packed).collect();
        self.groups += 1;
        let group = CommitId(self.groups);
        self.doubt = true;
        let connection = self.connection.as_mut().ok_or(StoreError::Unsettled)?;
        let fails = |point| shared.options.database.fails(point, group);
        let written = database::write(connection, &blocks, &kept, Context { arrived, fails: &fails });
        let rows = match written.await {
            Ok(rows) => rows,
            Err(source) => {
                shared.stats().failed += 1;
                return Err(StoreError::Database {
                    doing: "commit telemetry",
                    source,
                });
            }
        };
        for (row, block) in rows.into_iter().zip(&prepared) {
            shared.count(row, &block.packed, arrived, block.records.iter().copied());
        }
        self.doubt = false;
        Ok(())
    }
}

impl Drop for TelemetryWriter {
    fn drop(&mut self) {
        self.shared.queue.abandon();
    }
}

impl Shared {
    /// Counts a block that is committed.
    fn count<'r>(
        &self,
        row: u64,
        packed: &Packed,
        arrived: Timestamp,
        records: impl Iterator<Item = (&'r Record, Option<&'r ReleaseId>)>,
    ) {
        let committed = Committed {
            row,
            rows: packed.rows,
            digest: &packed.digest,
            arrived,
        };
        lock(&self.ledger).count(&committed, records);
        let mut stats = self.stats();
        stats.committed += packed.rows;
        stats.bytes += packed.data.len() as u64;
        *stats.of(packed.table) += packed.rows;
        drop(stats);
        self.newest.send_replace(row);
    }
}

fn kept(batch: &Batch) -> Option<Kept<'_>> {
    batch.key.map(|key| Kept {
        source: &batch.source,
        key,
        reply: &batch.reply,
    })
}

/// A group, looked up.
struct Sorted {
    /// To be stored.
    fresh: Vec<Request>,
    /// Stored before, with their answers.
    known: Vec<(Request, Vec<u8>)>,
    /// The same as one in `fresh`: its answer is theirs.
    repeats: Vec<Request>,
}

/// Tells what is new from what was stored before, or stands twice in this group.
async fn sort_out(
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

fn answer(fresh: Vec<Request>, repeats: Vec<Request>, error: Option<&TelemetryError>, shared: &Shared) {
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
async fn prepare<'a>(
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

/// Counts every committed row that is not counted yet: at a start those behind the last tick, after a failed or
/// doubtful COMMIT those of the group that was committed all the same.
pub(super) async fn catch_up(shared: &Shared, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let began = Instant::now();
    loop {
        let counted = lock(&shared.ledger).row();
        let heads = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {HEAD} FROM hot WHERE row > ? ORDER BY row LIMIT {CATCH_UP_BLOCKS}"
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
        shared.stats().damaged += 1;
        tracing::error!(gap = %head.gap(), "telemetry is damaged and not counted");
        Vec::new()
    });
    let committed = Committed {
        row: head.row,
        rows: head.rows,
        digest: &head.digest,
        arrived: head.arrived,
    };
    lock(&shared.ledger).count(
        &committed,
        records.iter().map(|(record, release)| (record, release.as_ref())),
    );
    shared.newest.send_replace(head.row);
    tokio::task::yield_now().await;
    Ok(())
}
