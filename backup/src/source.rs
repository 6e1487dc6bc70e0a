//! What is backed up.

pub(crate) mod entries;
pub(crate) mod folder;
pub(crate) mod sqlite;
pub(crate) mod tally;

use std::path::PathBuf;

/// A source of a backup.
#[derive(Clone, Debug)]
pub enum Source {
    /// A SQLite database, copied by `VACUUM INTO` while its writers go on.
    Sqlite {
        /// The database file; its copy stands under the same path in the snapshot.
        path: PathBuf,
        /// Statements run on the copy before it is stored (the daemon marks the copies of its own journal so).
        mark: Vec<String>,
    },
    /// Folders and files as they stand.
    Folder {
        /// Absolute paths.
        paths: Vec<PathBuf>,
        /// Patterns of what is left out, as in `.gitignore`: `*.log`, `cache/`, `/srv/shop/tmp`.
        exclude: Vec<String>,
    },
}
