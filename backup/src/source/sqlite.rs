//! SQLite databases: a copy by `VACUUM INTO` (one snapshot of the database, its writers go on, a broken table fails
//! loudly), and the facts by which a restored copy is compared with it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    digest::Hasher,
    failure::{Failure, Reason},
    manifest::Database,
    run::Cancel,
    space,
};

/// How long we wait for a writer that holds the database alone.
const BUSY: Duration = Duration::from_secs(60);
/// A copy may take this long, and a second more for each MiB.
const PATIENCE: Duration = Duration::from_secs(300);

/// A folder for copies; ours alone, empty at the start.
#[derive(Debug)]
pub(crate) struct Staging {
    path: PathBuf,
}

impl Staging {
    /// Makes the folder if need be, and removes what an interrupted run left in it.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::writing(Reason::StagingFull, format!("preparing {}", path.display()), error);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let staging = Self { path: path.to_owned() };
        staging.clear()?;
        Ok(staging)
    }

    /// Empties the folder. Only copies are removed: a folder that holds anything else was named by mistake.
    pub(crate) fn clear(&self) -> Result<(), Failure> {
        let failed = |error| Failure::writing(Reason::StagingFull, format!("emptying {}", self.path.display()), error);
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !entry.file_name().as_bytes().starts_with(b"copy-") {
                let text = format!(
                    "the staging folder {} holds {}, which is not ours",
                    self.path.display(),
                    entry.path().display()
                );
                return Err(Failure::new(Reason::Invalid, text));
            }
            fs::remove_file(entry.path()).map_err(failed)?;
        }
        Ok(())
    }

    fn next(&self) -> Result<PathBuf, Failure> {
        let nonce = crate::random::nonce()
            .map_err(|error| Failure::caused(Reason::Server, "asking the kernel for a name", error))?;
        Ok(self.path.join(format!("copy-{}.db", nonce.short())))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays is removed at the next start; the error was told where it matters.
        drop(self.clear());
    }
}

/// Copies a database into the staging folder, runs `mark` on the copy, and takes the copy's facts.
pub(crate) fn copy(
    path: &Path,
    mark: &[String],
    staging: &Staging,
    cancel: &Cancel,
) -> Result<(PathBuf, Database), Failure> {
    if !path.is_absolute() {
        return Err(Failure::new(
            Reason::Invalid,
            format!("the path {} of a database is not absolute", path.display()),
        ));
    }
    let size = size_of(path)?;
    space::require(&staging.path, size + size / 20, Reason::StagingFull)?;
    let target = staging.next()?;
    let patience = PATIENCE + Duration::from_secs(size >> 20);
    let database = within(patience, cancel, path, async {
        vacuum(path, &target).await?;
        if !mark.is_empty() {
            run_on(&target, mark).await?;
        }
        let mut facts = facts(&target).await?;
        path.clone_into(&mut facts.path);
        Ok(facts)
    })?;
    Ok((target, database))
}

/// Takes the facts of a restored database and compares them with those of its capture.
///
/// # Errors
/// [`Reason::Mismatch`] naming the first difference; [`Reason::Corrupt`] when it cannot be read.
pub(crate) fn prove(file: &Path, expected: &Database, cancel: &Cancel) -> Result<(), Failure> {
    let size = size_of(file)?;
    let patience = PATIENCE + Duration::from_secs(size >> 20);
    let found = within(patience, cancel, file, facts(file)).map_err(|failure| {
        let reason = if failure.reason() == Reason::SourceCorrupt {
            Reason::Corrupt
        } else {
            failure.reason()
        };
        Failure::caused(
            reason,
            format!("reading the restored {}", expected.path.display()),
            failure,
        )
    })?;
    let differs = |what: String| {
        Failure::new(
            Reason::Mismatch,
            format!("the restored {}: {what}", expected.path.display()),
        )
    };
    for (table, rows) in &expected.rows {
        let restored = found.rows.get(table);
        if restored != Some(rows) {
            return Err(differs(format!(
                "table {table} has {restored:?} rows, captured were {rows}"
            )));
        }
    }
    let found = Database {
        path: expected.path.clone(),
        ..found
    };
    if found == *expected {
        Ok(())
    } else {
        Err(differs(format!("{found:?} is not {expected:?}")))
    }
}

/// Bytes of a database with what waits in its write-ahead log.
fn size_of(path: &Path) -> Result<u64, Failure> {
    let metadata = fs::metadata(path).map_err(|error| {
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => Reason::SourceMissing,
            _ => Reason::SourceUnreadable,
        };
        Failure::caused(reason, format!("looking for the database {}", path.display()), error)
    })?;
    if !metadata.is_file() {
        return Err(Failure::new(
            Reason::Invalid,
            format!("{} is not a file", path.display()),
        ));
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Ok(metadata.len() + fs::metadata(log).map_or(0, |log| log.len()))
}

/// Runs a task on a small runtime of its own, until it ends, is cancelled or takes too long.
fn within<T>(
    patience: Duration,
    cancel: &Cancel,
    path: &Path,
    task: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| Failure::caused(Reason::Server, "starting a runtime", error))?;
    let doing = || format!("copying the database {}", path.display());
    let cancelled = async {
        while !cancel.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            done = tokio::time::timeout(patience, task) => match done {
                Ok(done) => done.map_err(|error| failure(doing(), error)),
                Err(_) => Err(Failure::new(Reason::Timeout, format!("{}: not done within {patience:?}", doing()))),
            },
            () = cancelled => Err(Failure::new(Reason::Cancelled, doing())),
        }
    })
}

async fn vacuum(path: &Path, target: &Path) -> Result<(), sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY);
    let mut source = options.connect().await?;
    // A mere header without tables would pass otherwise; and a file that is no database is told at once.
    sqlx::query("SELECT count(*) FROM sqlite_schema")
        .execute(&mut source)
        .await?;
    let target = target
        .to_str()
        .ok_or_else(|| sqlx::Error::Configuration("the staging path is not UTF-8".into()))?;
    sqlx::query("VACUUM INTO ?").bind(target).execute(&mut source).await?;
    source.close().await
}

async fn run_on(copy: &Path, statements: &[String]) -> Result<(), sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(copy)
        .pragma("journal_mode", "DELETE");
    let mut connection = options.connect().await?;
    let mut transaction = connection.begin().await?;
    for statement in statements {
        // The statements come from our own code, never from outside.
        sqlx::query(AssertSqlSafe(statement.clone()))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    connection.close().await
}

/// The facts of a database that nobody writes to.
async fn facts(path: &Path) -> Result<Database, sqlx::Error> {
    // Immutable: no lock, no log beside it, the file stays as it is.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(true);
    let mut database = options.connect().await?;
    let answer: String = sqlx::query_scalar("PRAGMA integrity_check(10)")
        .fetch_one(&mut database)
        .await?;
    if answer != "ok" {
        return Err(sqlx::Error::Protocol(format!("{INTEGRITY}{answer}")));
    }
    let user_version = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut database)
        .await?;
    let application_id = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut database)
        .await?;
    let orphans: Option<i64> = sqlx::query_scalar("SELECT count(*) FROM pragma_foreign_key_check")
        .fetch_one(&mut database)
        .await
        .ok();
    let schema = schema(&mut database).await?;
    let rows = rows(&mut database).await?;
    database.close().await?;
    let orphans = orphans.and_then(|count| u64::try_from(count).ok());
    Ok(Database {
        path: path.to_owned(),
        user_version,
        application_id,
        schema,
        rows,
        orphans,
    })
}

/// Marks our own finding among the errors of the driver.
const INTEGRITY: &str = "integrity_check: ";

async fn schema(database: &mut SqliteConnection) -> Result<crate::digest::Digest, sqlx::Error> {
    const PARTS: &str = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY 1, 2, 3";
    let parts: Vec<(String, String, String, String)> = sqlx::query_as(PARTS).fetch_all(database).await?;
    let mut hasher = Hasher::default();
    for (kind, name, table, sql) in parts {
        for field in [kind, name, table, sql] {
            hasher.field(field.as_bytes());
        }
    }
    Ok(hasher.finish())
}

async fn rows(database: &mut SqliteConnection) -> Result<BTreeMap<String, u64>, sqlx::Error> {
    // Virtual tables may need a module that is not here; their shadow tables are in the file's digest.
    const TABLES: &str = "SELECT name FROM pragma_table_list \
        WHERE schema = 'main' AND type = 'table' AND substr(name, 1, 7) <> 'sqlite_'";
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut *database).await?;
    let mut rows = BTreeMap::new();
    for table in tables {
        let count = format!("SELECT count(*) FROM \"{}\"", table.replace('"', "\"\""));
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(count))
            .fetch_one(&mut *database)
            .await?;
        rows.insert(table, u64::try_from(count).unwrap_or_default());
    }
    Ok(rows)
}

/// SQLite's primary result codes (sqlite.org/rescode.html).
fn failure(doing: String, error: sqlx::Error) -> Failure {
    let reason = match &error {
        sqlx::Error::Database(database) => {
            let code: Option<i32> = database.code().and_then(|code| code.parse().ok());
            match code.map(|code| code & 0xff) {
                Some(5 | 6) => Reason::SourceBusy,
                Some(11 | 26) => Reason::SourceCorrupt,
                Some(13) => Reason::StagingFull,
                Some(3 | 10 | 14 | 23) => Reason::SourceUnreadable,
                _ => Reason::SourceCorrupt,
            }
        }
        sqlx::Error::Protocol(text) if text.starts_with(INTEGRITY) => Reason::SourceCorrupt,
        sqlx::Error::Io(_) => Reason::SourceUnreadable,
        _ => Reason::Server,
    };
    Failure::caused(reason, doing, error)
}
