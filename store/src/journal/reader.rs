//! Reading the journal: short read-only transactions on connections of their own.

use std::{path::Path, sync::RwLock};

use events::{ChainHead, Dictionary, Identity, Name, Recorded, Seq, ServiceId, Timestamp, TraceId, Views, hex};
use jiff::SignedDuration;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, SqlitePool, query, query_scalar};

use super::{
    connection, ledger,
    opening::{extend_dictionary, load_views},
    schema,
    stored::{COLUMNS, Stored, number, stored_number},
};
use crate::{Folder, StoreError};

/// Most facts, or rows, of one answer.
pub const PAGE_MAX: u32 = 1000;

/// Which facts; every given part must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactQuery {
    /// About this service.
    pub service: Option<ServiceId>,
    /// Of this stream.
    pub stream: Option<Name>,
    /// Of one of these kinds; empty = of any.
    pub kinds: Vec<String>,
    /// Of this trace.
    pub trace: Option<TraceId>,
    /// Not recorded before, by the wall clock.
    pub from_wall: Option<Timestamp>,
    /// Recorded before, by the wall clock.
    pub until_wall: Option<Timestamp>,
    /// Before this place.
    pub before_seq: Option<Seq>,
    /// After this place.
    pub after_seq: Option<Seq>,
    /// At most so many; 0 and more than [`PAGE_MAX`] count as [`PAGE_MAX`].
    pub limit: u32,
    /// The newest first.
    pub newest_first: bool,
}

/// Part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What was found.
    pub items: Vec<T>,
    /// True when there is more: ask again beyond the last item.
    pub more: bool,
}

/// A row of a view as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewRow {
    /// Its key.
    pub key: String,
    /// True when it left memory.
    pub closed: bool,
    /// The last fact of the commit that wrote it.
    pub seq: Seq,
    /// The row as JSON.
    pub json: String,
}

/// Reads the journal. A daemon's [`crate::Journal`] has one; the command line opens one when no daemon runs.
pub struct Reader {
    pub(crate) pool: SqlitePool,
    pub(crate) dictionary: RwLock<Dictionary>,
}

impl Reader {
    /// Opens the journal of a folder that nobody owns, for reading only.
    ///
    /// # Errors
    /// When there is no journal, or a newer version wrote it.
    pub async fn open(folder: &Folder) -> Result<Self, StoreError> {
        let path = folder.journal();
        std::fs::metadata(&path).map_err(StoreError::io("read the journal", &path))?;
        let reader = Self::lazy(&path);
        let mut connection = reader.acquire().await?;
        let found = schema::format(&mut connection).await?;
        let known = schema::newest();
        if found > known {
            return Err(StoreError::NewerFormat { path, found, known });
        }
        drop(connection);
        Ok(reader)
    }

    pub(crate) fn lazy(path: &Path) -> Self {
        Self {
            pool: connection::readers(path),
            dictionary: RwLock::default(),
        }
    }

    /// Takes over names of series, when there are more than before.
    pub(crate) fn know(&self, dictionary: &Dictionary) {
        let mut known = self
            .dictionary
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.len() < dictionary.len() {
            *known = dictionary.clone();
        }
    }

    async fn acquire(&self) -> Result<sqlx::pool::PoolConnection<Sqlite>, StoreError> {
        self.pool
            .acquire()
            .await
            .map_err(StoreError::database("open the journal for reading"))
    }

    /// Which journal it is, and in which epoch.
    pub async fn identity(&self) -> Result<Identity, StoreError> {
        schema::identity(&mut *self.acquire().await?).await
    }

    /// The views as they are stored.
    ///
    /// # Errors
    /// When another version wrote them: only an owner of the folder can fold them anew.
    pub async fn stored_views(&self) -> Result<Views, StoreError> {
        load_views(&mut *self.acquire().await?)
            .await?
            .ok_or_else(|| StoreError::damaged("another version wrote the views; start the daemon once"))
    }

    /// Where the chain stands.
    pub async fn head(&self) -> Result<ChainHead, StoreError> {
        let mut connection = self.acquire().await?;
        let row: Option<(i64, i64, i64, Vec<u8>)> =
            sqlx::query_as("SELECT id, first_seq, n, link FROM commit_link ORDER BY id DESC LIMIT 1")
                .fetch_optional(&mut *connection)
                .await
                .map_err(StoreError::database("read the head of the chain"))?;
        let (id, first, n, link) = row.unwrap_or((0, 1, 0, vec![0; 32]));
        Ok(ChainHead {
            commit: events::CommitId(number(id)),
            seq: Seq(number(first + n - 1)),
            link: hex(&link),
        })
    }

    /// Facts, in order of the journal or the newest first.
    pub async fn facts(&self, wanted: &FactQuery) -> Result<Page<Recorded>, StoreError> {
        let limit = match wanted.limit {
            0 => PAGE_MAX,
            limit => limit.min(PAGE_MAX),
        };
        let mut connection = self.acquire().await?;
        let wanted = &within_wall(&mut connection, wanted)
            .await
            .map_err(StoreError::database("find the facts of a time"))?;
        let mut sql = select(wanted);
        sql.push(if wanted.newest_first {
            " ORDER BY f.seq DESC LIMIT "
        } else {
            " ORDER BY f.seq LIMIT "
        });
        sql.push_bind(i64::from(limit) + 1);
        let rows = sql
            .build()
            .fetch_all(&mut *connection)
            .await
            .map_err(StoreError::database("read facts"))?;
        let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        let mut items = Vec::with_capacity(rows.len());
        for row in rows.iter().take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            items.push(self.fact_of(&mut connection, row).await?);
        }
        Ok(Page { items, more })
    }

    /// One fact.
    pub async fn fact(&self, seq: Seq) -> Result<Option<Recorded>, StoreError> {
        let wanted = FactQuery {
            after_seq: Some(Seq(seq.0.saturating_sub(1))),
            before_seq: Some(seq.next()),
            limit: 1,
            ..FactQuery::default()
        };
        Ok(self.facts(&wanted).await?.items.into_iter().next())
    }

    /// Facts from a place on, in order: for replays. At most `limit` and [`PAGE_MAX`]; fewer are the last.
    pub async fn all_facts(&self, from: Seq, limit: u32) -> Result<Vec<Recorded>, StoreError> {
        let wanted = FactQuery {
            after_seq: Some(Seq(from.0.saturating_sub(1))),
            limit,
            ..FactQuery::default()
        };
        Ok(self.facts(&wanted).await?.items)
    }

    /// One row of a view: whether it is closed, and the row as JSON.
    pub async fn row(&self, view: &str, key: &str) -> Result<Option<(bool, String)>, StoreError> {
        let row: Option<(i64, String)> = sqlx::query_as("SELECT closed, row FROM view WHERE view = ? AND key = ?")
            .bind(view)
            .bind(key)
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreError::database("read a row"))?;
        Ok(row.map(|(closed, json)| (closed != 0, json)))
    }

    /// Rows of a view: the open ones by key and, if wanted, the closed ones after them, the newest first.
    pub async fn rows(&self, view: &str, include_closed: bool, limit: u32) -> Result<Vec<ViewRow>, StoreError> {
        let limit = limit.min(PAGE_MAX);
        let open = "SELECT key, closed, seq, row FROM view WHERE view = ? AND closed = 0 ORDER BY key LIMIT ?";
        let closed = "SELECT key, closed, seq, row FROM view WHERE view = ? AND closed = 1 ORDER BY seq DESC LIMIT ?";
        let mut found = Vec::new();
        for sql in [Some(open), include_closed.then_some(closed)].into_iter().flatten() {
            let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
            let rows = query(sql)
                .bind(view)
                .bind(i64::from(left))
                .fetch_all(&self.pool)
                .await
                .map_err(StoreError::database("read rows"))?;
            for row in &rows {
                found.push(view_row(row).map_err(StoreError::database("read a row"))?);
            }
        }
        Ok(found)
    }

    /// Reads a fact's row, and first the names of series that it needs and that were named since.
    async fn fact_of(
        &self,
        connection: &mut SqliteConnection,
        row: &sqlx::sqlite::SqliteRow,
    ) -> Result<Recorded, StoreError> {
        let stored = Stored::read(row)?;
        let unpacked = stored.unpacked(
            &self
                .dictionary
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )?;
        let stored = match unpacked {
            Ok(fact) => return Ok(fact),
            Err(stored) => stored,
        };
        let mut dictionary = self
            .dictionary
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        extend_dictionary(connection, &mut dictionary).await?;
        let seq = stored.fact.seq;
        let unpacked = stored.unpacked(&dictionary)?;
        self.know(&dictionary);
        unpacked.map_err(|_| StoreError::damaged(format!("the bins of fact {seq} name an unknown series")))
    }

    /// Rows for the scrub: facts from a place on with their digests, and the chain's links.
    pub(crate) async fn connection(&self) -> Result<sqlx::pool::PoolConnection<Sqlite>, StoreError> {
        self.acquire().await
    }

    /// Number and link of the last commit.
    pub(crate) async fn last_link(&self) -> Result<(events::CommitId, events::encode::Digest), StoreError> {
        ledger::last_link(&mut *self.acquire().await?).await
    }
}

/// What the wall clock may drift by without a jump being recorded.
const DRIFT: SignedDuration = SignedDuration::from_hours(1);

/// Narrows a query by the wall clock to places, so that it need not look at all facts. The wall clock runs with the
/// places but for where it was set back, so that bounds moved by the sum of all those steps leave nothing out.
async fn within_wall(connection: &mut SqliteConnection, wanted: &FactQuery) -> Result<FactQuery, sqlx::Error> {
    let mut narrowed = wanted.clone();
    if wanted.from_wall.is_none() && wanted.until_wall.is_none() {
        return Ok(narrowed);
    }
    let back: i64 = query_scalar(
        "SELECT coalesce(sum(max(0, p.wall - f.wall)), 0) FROM fact f JOIN fact p ON p.seq = f.seq - 1 WHERE f.kind IN \
         ('clock_jumped', 'started')",
    )
    .fetch_one(&mut *connection)
    .await?;
    let margin = SignedDuration::from_nanos(back) + DRIFT;
    if let Some(from) = wanted.from_wall {
        // All facts before this place are older than wanted.
        let place = first_at_or_after(connection, from.plus(-margin)).await?;
        let after = Seq(number(place).saturating_sub(1));
        narrowed.after_seq = Some(wanted.after_seq.map_or(after, |wanted| wanted.max(after)));
    }
    if let Some(until) = wanted.until_wall {
        // All facts from this place on are younger than wanted.
        let before = Seq(number(first_at_or_after(connection, until.plus(margin)).await?));
        narrowed.before_seq = Some(wanted.before_seq.map_or(before, |wanted| wanted.min(before)));
    }
    Ok(narrowed)
}

/// A place at or after a moment of the wall clock, just before which stands one before that moment. Where the wall clock was
/// set back there may be several such places.
async fn first_at_or_after(connection: &mut SqliteConnection, wall: Timestamp) -> Result<i64, sqlx::Error> {
    let last: Option<i64> = query_scalar("SELECT max(seq) FROM fact")
        .fetch_one(&mut *connection)
        .await?;
    let (mut low, mut high) = (1, last.unwrap_or(0) + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let there: Option<i64> = query_scalar("SELECT wall FROM fact WHERE seq = ?")
            .bind(middle)
            .fetch_optional(&mut *connection)
            .await?;
        if there.is_some_and(|there| there < wall.0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

pub(super) fn view_row(row: &sqlx::sqlite::SqliteRow) -> Result<ViewRow, sqlx::Error> {
    let closed: i64 = row.try_get(1)?;
    let seq: i64 = row.try_get(2)?;
    Ok(ViewRow {
        key: row.try_get(0)?,
        closed: closed != 0,
        seq: Seq(number(seq)),
        json: row.try_get(3)?,
    })
}

fn select(wanted: &FactQuery) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(COLUMNS);
    sql.push(" WHERE 1");
    if let Some(service) = &wanted.service {
        sql.push(" AND f.service = ").push_bind(service.as_str().to_owned());
    }
    if let Some(stream) = &wanted.stream {
        sql.push(" AND f.stream = ").push_bind(stream.as_str().to_owned());
    }
    if !wanted.kinds.is_empty() {
        sql.push(" AND f.kind IN (");
        let mut kinds = sql.separated(", ");
        for kind in &wanted.kinds {
            kinds.push_bind(kind.clone());
        }
        kinds.push_unseparated(")");
    }
    if let Some(trace) = &wanted.trace {
        sql.push(" AND f.trace = ").push_bind(trace.as_bytes().to_vec());
    }
    if let Some(from) = wanted.from_wall {
        sql.push(" AND f.wall >= ").push_bind(from.0);
    }
    if let Some(until) = wanted.until_wall {
        sql.push(" AND f.wall < ").push_bind(until.0);
    }
    if let Some(before) = wanted.before_seq {
        sql.push(" AND f.seq < ").push_bind(stored_number(before.0));
    }
    if let Some(after) = wanted.after_seq {
        sql.push(" AND f.seq > ").push_bind(stored_number(after.0));
    }
    sql
}
