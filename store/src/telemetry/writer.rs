//! The one task that commits telemetry.

mod catch_up;
mod group;

use std::sync::Arc;

use events::{Batch, CommitId, Record, ReleaseId, Timestamp};
use sqlx::SqliteConnection;
use tokio::time::Instant;

pub(super) use self::catch_up::catch_up;
use self::group::{Sorted, answer, kept, prepare, sort_out};
use super::{
    Appended, Removed, Shared, TelemetryError,
    block::Packed,
    database::{self, Context, Kept},
    ledger::Committed,
    lock,
    queue::{Next, Request, Task},
    reading, retention,
};
use crate::{Room, StoreError, chain_of, folder};

/// How often the free space is looked at.
const SPACE_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// The one who writes. Run it in a supervised task; dropping it refuses everything from then on.
pub struct TelemetryWriter {
    shared: Arc<Shared>,
    connection: Option<SqliteConnection>,
    /// True while it is not known what is committed: the database is opened anew before anything else.
    doubt: bool,
    space_checked: Option<Instant>,
    groups: u64,
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
        shared.queue.begin();
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
        if self.doubt {
            self.ready().await?;
        }
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
                let room = space.room(self.shared.options.database.free_min_bytes);
                self.shared.queue.set_full(room != Room::Enough);
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
                shared.queue.task_done(None);
                shared.pruned(&task.removed);
                task.answer(Ok(()));
            }
            Ok(false) => shared.queue.task_done(Some(task)),
            Err(error) => {
                self.doubt = true;
                shared.queue.task_done(None);
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
                self.doubt = true;
                shared.failed_once_more(&error);
                for request in group {
                    request.answer(Err(error.clone()));
                }
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
            let error = TelemetryError::from(error);
            shared.failed_once_more(&error);
            error
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
        shared.stats().failed_in_a_row = 0;
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
    /// Counts a failure to write; a full disk is known by itself.
    fn failed_once_more(&self, error: &TelemetryError) {
        if !matches!(error, TelemetryError::DiskFull { .. }) {
            let mut stats = self.stats();
            stats.failed_in_a_row = stats.failed_in_a_row.saturating_add(1);
        }
    }

    /// Takes what was pruned out of the figures.
    fn pruned(&self, removed: &Removed) {
        let mut stats = self.stats();
        stats.logs = stats.logs.saturating_sub(removed.logs);
        stats.spans = stats.spans.saturating_sub(removed.spans);
        stats.probes = stats.probes.saturating_sub(removed.probes);
        stats.bytes = removed.bytes_left;
    }

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
