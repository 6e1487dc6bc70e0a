//! What can go wrong with the record.

use std::path::PathBuf;

use events::encode::BodyError;

use crate::Holder;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder could not be used.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Another process owns the data folder.
    #[error("use the data folder {}: {holder}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who has it.
        holder: Holder,
    },
    /// The folder was only looked at, and this needs its owner.
    #[error("open the journal of {}: this process does not own the folder", path.display())]
    NotOwned {
        /// The folder.
        path: PathBuf,
    },
    /// The data folder lies on a network file system, whose locks and syncs cannot be relied upon.
    #[error("use the data folder {}: it lies on {kind}, and a journal needs a local file system", path.display())]
    NetworkFileSystem {
        /// The folder.
        path: PathBuf,
        /// Name of the file system.
        kind: &'static str,
    },
    /// The linked SQLite has a known defect.
    #[error("SQLite {found} is too old: 3.51.3 or later is needed")]
    OldSqlite {
        /// The version that is linked.
        found: String,
    },
    /// A newer version wrote the database.
    #[error("the database {} has format {found}, this version knows formats up to {known}: use the newer version again, or restore a backup made before it", path.display())]
    NewerFormat {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The write-ahead log could not be emptied: somebody else reads the database.
    #[error("empty the write-ahead log of {}: somebody else has the database open", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// The database said no.
    #[error("{doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: sqlx::Error,
    },
    /// A body cannot be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// What is stored contradicts itself.
    #[error("read the journal: {what}")]
    Damaged {
        /// What is wrong, and where.
        what: String,
    },
    /// The writer has no journal open just now: an earlier commit failed and opening it again did not succeed yet.
    #[error("the journal is being opened again after a failed commit")]
    Unsettled,
}

impl StoreError {
    pub(crate) fn database(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { doing, source }
    }

    pub(crate) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    /// True when the disk, or the share of it that SQLite may use, is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Database { source, .. } => is_full(source),
            Self::Io { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

/// `SQLITE_FULL`, or `SQLITE_IOERR_SHMSIZE` (the shared index could not grow).
/// Source: <https://sqlite.org/rescode.html>.
fn is_full(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else {
        return false;
    };
    matches!(error.code().as_deref(), Some("13" | "4874"))
}

/// The whole chain of causes in one line, for logs and answers.
#[must_use]
pub fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
