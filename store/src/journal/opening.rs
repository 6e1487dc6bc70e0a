//! Opening the journal: at a start, and after every failed or doubtful commit.

use std::{path::PathBuf, sync::Arc};

use events::{
    Composer, Dictionary, Elapsed, Fact, Factory, Failures, Fold, Identity, Opening, Recorded, Seq, Series, Views,
};
use sqlx::{Row as _, SqliteConnection, query, query_scalar};

use super::{
    connection, ledger,
    ledger::Ledger,
    schema,
    stored::{COLUMNS, Stored, number, stored_number},
};
use crate::{
    Options, StoreError,
    jobs::{Entry, load_jobs},
};

/// Facts read at a time.
const CHUNK: i64 = 2000;

/// Rebuilds that each find another panicking pair before opening is given up.
const PANICS_MAX: usize = 1000;

/// What opening needs, each time.
pub(crate) struct Environment {
    pub(crate) path: PathBuf,
    pub(crate) options: Options,
    pub(crate) factory: Arc<dyn Factory>,
    pub(crate) composer: Arc<dyn Composer>,
}

/// An open journal.
pub(crate) struct Engine {
    pub(crate) ledger: Ledger,
    pub(crate) fold: Fold,
    pub(crate) identity: Identity,
    pub(crate) jobs: Vec<Entry>,
}

/// Opens the journal. `met` are panics that were just met; `new_process` is true at a start: what is begun was left by
/// an older process.
pub(crate) async fn open(environment: &Environment, met: &Failures, new_process: bool) -> Result<Engine, StoreError> {
    let mut connection = connection::writer(&environment.path, &environment.options).await?;
    let identity = schema::prepare(&mut connection, &environment.path).await?;
    let (commit, link) = ledger::last_link(&mut connection).await?;
    let boots = ledger::boots(&mut connection)
        .await
        .map_err(StoreError::database("read the boots"))?;
    let dictionary = dictionary(&mut connection).await?;
    let views = match load_views(&mut connection).await? {
        Some(views) => views,
        None => refold(&mut connection).await?,
    };
    let mut source = Source {
        connection: &mut connection,
        dictionary: &dictionary,
    };
    let seq = source.last_seq().await?;
    let mut failures = source.failures().await?;
    failures.extend(met.iter().map(|(pair, recorded)| (pair.clone(), *recorded)));
    let text = source.text(&views).await?;
    let opening = Opening {
        views,
        seq,
        commit,
        text,
        failures,
    };
    let fold = rebuilt(&mut source, opening, environment).await?;
    let jobs = load_jobs(&mut connection, new_process).await?;
    Ok(Engine {
        ledger: Ledger {
            connection,
            boots,
            dictionary,
            link,
        },
        fold,
        identity,
        jobs,
    })
}

/// Feeds the facts of the window to the reactors; a pair that panics is left out, and known from then on.
async fn rebuilt(source: &mut Source<'_>, mut opening: Opening, environment: &Environment) -> Result<Fold, StoreError> {
    for _ in 0..PANICS_MAX {
        let again = Opening {
            views: opening.views.clone(),
            text: opening.text.clone(),
            failures: opening.failures.clone(),
            ..opening
        };
        let (factory, composer) = (Arc::clone(&environment.factory), Arc::clone(&environment.composer));
        let mut fold = Fold::open(again, factory, composer);
        match source.rebuild(&mut fold).await? {
            None => return Ok(fold),
            Some(panicked) => {
                tracing::error!(reactor = %panicked.reactor, seq = %panicked.seq, "a reactor panicked while it was rebuilt");
                let pair = (panicked.reactor, panicked.seq, events::Stage::Absorb);
                opening.failures.insert(pair, false);
            }
        }
    }
    Err(StoreError::damaged("reactors panic at too many facts"))
}

/// Reads facts through the writing connection.
pub(crate) struct Source<'a> {
    pub(crate) connection: &'a mut SqliteConnection,
    pub(crate) dictionary: &'a Dictionary,
}

impl Source<'_> {
    async fn last_seq(&mut self) -> Result<Seq, StoreError> {
        let last: Option<i64> = query_scalar("SELECT max(seq) FROM fact")
            .fetch_one(&mut *self.connection)
            .await
            .map_err(StoreError::database("read the last fact"))?;
        Ok(Seq(number(last.unwrap_or(0))))
    }

    /// Facts from a place on, at most [`CHUNK`].
    async fn chunk(&mut self, from: Seq) -> Result<Vec<Recorded>, StoreError> {
        let sql = format!("{COLUMNS} WHERE f.seq >= ? ORDER BY f.seq LIMIT ?");
        let rows = query(sqlx::AssertSqlSafe(sql))
            .bind(stored_number(from.0))
            .bind(CHUNK)
            .fetch_all(&mut *self.connection)
            .await
            .map_err(StoreError::database("read facts"))?;
        rows.iter().map(|row| self.fact(row)).collect()
    }

    fn fact(&self, row: &sqlx::sqlite::SqliteRow) -> Result<Recorded, StoreError> {
        Stored::read(row)?.unpacked(self.dictionary)?.map_err(|stored| {
            StoreError::damaged(format!("the bins of fact {} name an unknown series", stored.fact.seq))
        })
    }

    /// Every failure that is recorded.
    async fn failures(&mut self) -> Result<Failures, StoreError> {
        let sql = format!("{COLUMNS} WHERE f.kind = 'reactor_failed' ORDER BY f.seq");
        let rows = query(sqlx::AssertSqlSafe(sql))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(StoreError::database("read the failures of reactors"))?;
        let mut failures = Failures::new();
        for row in &rows {
            if let Fact::ReactorFailed(failed) = self.fact(row)?.envelope.fact {
                failures.insert((failed.reactor, failed.seq, failed.stage), true);
            }
        }
        Ok(failures)
    }

    /// Text of the configuration in force.
    async fn text(&mut self, views: &Views) -> Result<Option<String>, StoreError> {
        let Some(configured) = &views.now.configured else {
            return Ok(None);
        };
        let sql = format!("{COLUMNS} WHERE f.seq = ?");
        let mut seq = configured.text;
        loop {
            let row = query(sqlx::AssertSqlSafe(sql.clone()))
                .bind(stored_number(seq.0))
                .fetch_optional(&mut *self.connection)
                .await
                .map_err(StoreError::database("read the configuration in force"))?;
            let fact = row.as_ref().map(|row| self.fact(row)).transpose()?;
            match fact.map(|fact| fact.envelope.fact) {
                Some(Fact::Configured(found)) if found.text.is_some() => return Ok(found.text),
                Some(Fact::Configured(found)) if found.same_as.is_some_and(|before| before < seq) => {
                    seq = found.same_as.unwrap_or_default();
                }
                _ => return Err(StoreError::damaged(format!("fact {seq} holds no configuration"))),
            }
        }
    }

    /// Place of the last tick at or before a moment; the first fact when there is none. Ticks are in order of `at`, so
    /// their places are bisected, and no index on `at` is needed.
    pub(crate) async fn window_start(&mut self, from: Elapsed) -> Result<Seq, StoreError> {
        let (mut low, mut high) = (0_i64, stored_number(self.last_seq().await?.0));
        let mut found = 0;
        while low <= high {
            let middle = low + (high - low) / 2;
            match self.tick_before(middle).await? {
                Some((seq, at)) if at <= from.0 => {
                    found = seq;
                    low = middle + 1;
                }
                Some((seq, _)) => high = seq - 1,
                None => low = middle + 1,
            }
        }
        Ok(Seq(number(found)))
    }

    async fn tick_before(&mut self, seq: i64) -> Result<Option<(i64, i64)>, StoreError> {
        sqlx::query_as("SELECT seq, at FROM fact WHERE kind = 'tick' AND seq <= ? ORDER BY seq DESC LIMIT 1")
            .bind(seq)
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(StoreError::database("find a tick"))
    }

    async fn rebuild(&mut self, fold: &mut Fold) -> Result<Option<events::AbsorbPanicked>, StoreError> {
        let mut from = self.window_start(fold.window_start()).await?;
        loop {
            let facts = self.chunk(from).await?;
            let Some(last) = facts.last() else { return Ok(None) };
            from = last.seq.next();
            if let Err(panicked) = fold.rebuild(&facts) {
                return Ok(Some(panicked));
            }
        }
    }

    /// All facts from the last tick at or before a moment on.
    pub(crate) async fn since(&mut self, from: Elapsed) -> Result<Vec<Recorded>, StoreError> {
        let mut from = self.window_start(from).await?;
        let mut all = Vec::new();
        loop {
            let facts = self.chunk(from).await?;
            let Some(last) = facts.last() else { return Ok(all) };
            from = last.seq.next();
            all.extend(facts);
        }
    }
}

/// The numbers of the series, as the ticks gave them out.
pub(crate) async fn dictionary(connection: &mut SqliteConnection) -> Result<Dictionary, StoreError> {
    let mut dictionary = Dictionary::default();
    extend_dictionary(connection, &mut dictionary).await?;
    Ok(dictionary)
}

/// Adds what was named since.
pub(crate) async fn extend_dictionary(
    connection: &mut SqliteConnection,
    dictionary: &mut Dictionary,
) -> Result<(), StoreError> {
    let rows: Vec<String> = query_scalar("SELECT series FROM series WHERE id >= ? ORDER BY id")
        .bind(i64::try_from(dictionary.len()).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await
        .map_err(StoreError::database("read the names of series"))?;
    for json in rows {
        let series: Series =
            serde_json::from_str(&json).map_err(|_| StoreError::damaged(format!("series {json:?} cannot be read")))?;
        dictionary.push(Arc::new(series));
    }
    Ok(())
}

/// The open rows as they were stored; `None` when another version wrote them.
pub(crate) async fn load_views(connection: &mut SqliteConnection) -> Result<Option<Views>, StoreError> {
    let doing = "read the views";
    let shapes = schema::meta(connection, "shapes")
        .await
        .map_err(StoreError::database(doing))?;
    if shapes.as_deref() != Some(schema::shapes().as_str()) {
        return Ok(None);
    }
    let rows = query("SELECT view, key, shape, row FROM view WHERE closed = 0")
        .fetch_all(connection)
        .await
        .map_err(StoreError::database(doing))?;
    let mut views = Views::default();
    for row in &rows {
        let (view, key, shape, json) = row_of_view(row).map_err(StoreError::database(doing))?;
        let shape = u32::try_from(shape).unwrap_or(u32::MAX);
        if let Err(error) = views.load(&view, key, shape, &json) {
            tracing::warn!(error = %crate::chain_of(&error), "the views are folded anew");
            return Ok(None);
        }
    }
    Ok(Some(views))
}

fn row_of_view(row: &sqlx::sqlite::SqliteRow) -> Result<(String, String, i64, String), sqlx::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
}

/// Folds all rows anew from all facts, in one transaction.
async fn refold(connection: &mut SqliteConnection) -> Result<Views, StoreError> {
    let doing = "fold the views anew";
    let dictionary = dictionary(connection).await?;
    connection::execute(connection, "BEGIN IMMEDIATE; DELETE FROM view")
        .await
        .map_err(StoreError::database(doing))?;
    let mut views = Views::default();
    let mut from = Seq(1);
    loop {
        let mut source = Source {
            connection: &mut *connection,
            dictionary: &dictionary,
        };
        let facts = source.chunk(from).await?;
        let Some(last) = facts.last() else { break };
        from = last.seq.next();
        for fact in &facts {
            views.apply(fact);
        }
        for row in views.take_changed() {
            ledger::write_row(connection, &row, from.0.saturating_sub(1))
                .await
                .map_err(StoreError::database(doing))?;
        }
    }
    schema::set_meta(connection, "shapes", &schema::shapes())
        .await
        .map_err(StoreError::database(doing))?;
    connection::execute(connection, "COMMIT")
        .await
        .map_err(StoreError::database(doing))?;
    Ok(views)
}
