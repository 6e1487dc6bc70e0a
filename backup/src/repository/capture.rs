//! A backup: stage, read, store, and only then, if nothing was wrong, write the snapshot.

use std::path::PathBuf;

use rustic_core::{BackupOptions, ParentOptions, RepairIndexOptions, StringList, repofile::SnapshotFile};
use serde::{Deserialize, Serialize};

use super::{
    Location, Repository,
    engine::{self, call},
    guard::Mode,
    lock::Lock,
    storage::Kind,
};
use crate::{
    digest::Digest,
    failure::{Failure, Reason},
    manifest::{Database, Manifest, Note},
    run::Moved,
    source::{
        Source,
        entries::{Entries, Part, Staged},
        folder::Root,
        sqlite::{self, Staging},
        tally::{Shared, Tally},
    },
};

/// Databases noted in a snapshot's description have at most this many bytes of JSON.
const NOTE_LIMIT: usize = 1024 * 1024;

/// The library with the ids of all blobs in memory.
type Indexed = rustic_core::Repository<rustic_core::IndexedIdsStatus>;

/// What a capture must fulfil, or no snapshot is written.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Paths at or below which reading may fail.
    pub allow_unreadable: Vec<PathBuf>,
    /// Fewer bytes than this are suspicious.
    pub at_least_bytes: u64,
}

/// A backup to be made.
#[derive(Clone, Debug)]
pub struct Request {
    /// The job's name; the snapshot's label and tag.
    pub job: String,
    /// The run's id; stands in the snapshot, so that a repeated run finds what an earlier attempt left.
    pub run: String,
    /// What to back up.
    pub sources: Vec<Source>,
    /// A folder of our own for copies of databases; emptied at the start and at the end.
    pub staging: PathBuf,
    /// What the capture must fulfil.
    pub rules: Rules,
}

/// A capture that is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Captured {
    /// The snapshot.
    pub snapshot: Digest,
    /// When it was taken.
    pub time: jiff::Timestamp,
    /// What the snapshot says about itself: files, bytes, digest, databases.
    pub note: Note,
    /// Every path with its digest. Large; for the evidence file, not for a fact.
    pub manifest: Manifest,
    /// Files that changed while they were read: stored as read, perhaps half old and half new.
    pub torn: Vec<PathBuf>,
    /// Databases that were copied as plain files; `source.sqlite` copies them safely.
    pub bare_databases: Vec<PathBuf>,
    /// What could not be read and was allowed to be.
    pub unreadable: Vec<(PathBuf, String)>,
    /// Packs that the index named and the store had lost. Their data was stored again as far as the sources still
    /// have it; older snapshots may be damaged.
    pub lost_packs: Vec<Digest>,
    /// New packs.
    pub new_packs: u64,
    /// What was moved.
    pub moved: Moved,
}

impl Repository {
    /// Makes a backup.
    ///
    /// # Errors
    /// Whatever went wrong, by reason; then there is no snapshot, and nothing is left but packs that no index names.
    pub fn backup(&self, request: &Request) -> Result<Captured, Failure> {
        self.refuse_itself(request)?;
        let lock = Lock::take(&self.guard, &self.key, false)?;
        self.guard.enter(Mode::Maintaining);
        let captured = self
            .guard
            .sweep()
            .and_then(|()| self.heal())
            .and_then(|lost| self.capture(request, lost));
        self.guard.enter(Mode::Reading);
        drop(lock);
        captured
    }

    /// A repository inside its own source would grow for ever.
    fn refuse_itself(&self, request: &Request) -> Result<(), Failure> {
        let Location::Folder(own) = &self.location else {
            return Ok(());
        };
        let own = std::path::absolute(own).unwrap_or_else(|_| own.clone());
        let inside = |path: &PathBuf| own.starts_with(path);
        let around = request.sources.iter().any(|source| match source {
            Source::Folder { paths, exclude } => {
                paths.iter().any(inside) && !exclude.iter().any(|e| own.ends_with(e.trim_matches('/')))
            }
            Source::Sqlite { .. } => false,
        });
        if around {
            let text = format!("the repository {} lies inside the source; exclude it", own.display());
            return Err(Failure::new(Reason::Invalid, text));
        }
        Ok(())
    }

    /// Compares index and store; a lost pack would otherwise be taken for stored for ever.
    fn heal(&self) -> Result<Vec<Digest>, Failure> {
        let catalog = self.catalog()?;
        let report = catalog.compare(&self.guard.list(Kind::Pack)?);
        drop(catalog);
        if report.is_whole() {
            return Ok(Vec::new());
        }
        let open = engine::open(&self.guard, &self.key)?;
        call(&self.guard, "repairing the index", || {
            open.repair_index(&RepairIndexOptions::default(), false)
        })?;
        Ok(report.missing.into_iter().chain(report.wrong_size).collect())
    }

    fn capture(&self, request: &Request, lost_packs: Vec<Digest>) -> Result<Captured, Failure> {
        let staging = Staging::open(&request.staging)?;
        let (parts, databases) = self.stage(request, &staging)?;
        let tally = Shared::default();
        let entries = Entries::new(parts, tally.clone(), self.run().clone()).map_err(|(first, second)| {
            let text = format!(
                "the source {} lies inside the source {}",
                second.display(),
                first.display()
            );
            Failure::new(Reason::Invalid, text)
        })?;
        // A failure of the lock so far stays in force.
        self.guard.shift(Mode::Capturing);
        let (indexed, held) = self.archive(request, &entries)?;
        drop(entries);
        staging.clear()?;
        let tally = std::mem::take(&mut *tally.lock());
        self.judge(&tally, &request.rules)?;
        let new_packs = self.guard.written(Kind::Pack).len() as u64;
        let note = note(request, &tally.manifest, databases)?;
        let (snapshot, time) = self.commit(&indexed, held, &note)?;
        Ok(Captured {
            snapshot,
            time,
            note,
            manifest: tally.manifest,
            torn: tally.torn,
            bare_databases: tally.bare_databases,
            unreadable: tally.errors.into_iter().collect(),
            lost_packs,
            new_packs,
            moved: self.run().traffic.moved(),
        })
    }

    fn stage(&self, request: &Request, staging: &Staging) -> Result<(Vec<Part>, Vec<Database>), Failure> {
        let (mut parts, mut databases) = (Vec::new(), Vec::new());
        for source in &request.sources {
            self.run().cancel.check()?;
            match source {
                Source::Folder { paths, exclude } => {
                    for path in paths {
                        parts.push(Part::Folder(Box::new(Root::new(path, exclude)?)));
                    }
                }
                Source::Sqlite { path, mark } => {
                    let (file, database) = sqlite::copy(path, mark, staging, &self.run().cancel)?;
                    parts.push(Part::Staged(Staged {
                        file,
                        path: path.clone(),
                    }));
                    databases.push(database);
                }
            }
        }
        if parts.is_empty() {
            return Err(Failure::new(Reason::Invalid, "a backup without a source"));
        }
        Ok((parts, databases))
    }

    /// Lets the library read, cut and store. The snapshot it makes is held back by the guard.
    fn archive(&self, request: &Request, entries: &Entries) -> Result<(Indexed, SnapshotFile), Failure> {
        let open = engine::open(&self.guard, &self.key)?;
        let indexed = call(&self.guard, "reading the index", || open.to_indexed_ids())?;
        // Every file is read every night: a digest of a file that was not read would be hearsay.
        let options = BackupOptions::default()
            .no_scan(true)
            .parent_opts(ParentOptions::default().force(true));
        let tags = format!("watchkeep,job:{}", request.job.replace(',', "_"));
        let snapshot = SnapshotFile {
            time: self.run().clock.now().to_zoned(jiff::tz::TimeZone::UTC),
            program_version: format!("watchkeep {}", env!("CARGO_PKG_VERSION")),
            label: request.job.clone(),
            hostname: self.run().host.clone(),
            tags: tags
                .parse::<StringList>()
                .map_err(|_| Failure::new(Reason::Invalid, "the job's name is no tag"))?,
            ..SnapshotFile::default()
        };
        let stored = call(&self.guard, "storing the source", || {
            indexed.archive(&options, entries, snapshot, &entries.paths())
        });
        // A cancelled reader looks like a broken one to the library.
        self.run().cancel.check()?;
        Ok((indexed, stored?))
    }

    /// The gate: the library returns success over missing files, dead sources and failed writes.
    fn judge(&self, tally: &Tally, rules: &Rules) -> Result<(), Failure> {
        self.run().cancel.check()?;
        if let Some(failed) = self.guard.failed() {
            return Err(failed);
        }
        let allowed = |path: &PathBuf| rules.allow_unreadable.iter().any(|allowed| path.starts_with(allowed));
        let refused: Vec<_> = tally.errors.iter().filter(|(path, _)| !allowed(path)).collect();
        let unlisted = tally.error_count.saturating_sub(tally.errors.len() as u64);
        if let Some((path, what)) = refused.first() {
            let more = (refused.len() - 1) as u64 + unlisted;
            let place = if path.as_os_str().is_empty() {
                String::new()
            } else {
                format!("{}: ", path.display())
            };
            let text = format!("the source could not be read whole: {place}{what} (and {more} more)");
            return Err(Failure::new(Reason::SourceUnreadable, text));
        }
        let failed = tally.errors.len() as u64 + unlisted;
        if tally.files_offered > tally.files_read + failed || tally.files_read != tally.manifest.files() {
            let text = format!(
                "{} files were listed, {} read to their end",
                tally.files_offered, tally.files_read
            );
            return Err(Failure::new(Reason::SourceUnreadable, text));
        }
        let bytes = tally.manifest.bytes();
        if bytes < rules.at_least_bytes {
            let text = format!("captured {bytes} bytes, expected at least {}", rules.at_least_bytes);
            return Err(Failure::new(Reason::SuspiciouslySmall, text));
        }
        Ok(())
    }

    /// Writes the snapshot, the only moment at which one appears.
    fn commit(
        &self,
        indexed: &Indexed,
        mut held: SnapshotFile,
        note: &Note,
    ) -> Result<(Digest, jiff::Timestamp), Failure> {
        let text =
            serde_json::to_string(note).map_err(|error| Failure::caused(Reason::Invalid, "writing the note", error))?;
        held.description = Some(text);
        let time = held.time.timestamp();
        self.guard.shift(Mode::Committing);
        call(&self.guard, "writing the snapshot", || {
            indexed.save_snapshots(vec![held])
        })?;
        let written = self.guard.written(Kind::Snapshot);
        match written.as_slice() {
            [only] => Ok((only.name, time)),
            other => Err(Failure::new(
                Reason::Server,
                format!("{} snapshots were written instead of one", other.len()),
            )),
        }
    }
}

fn note(request: &Request, manifest: &Manifest, databases: Vec<Database>) -> Result<Note, Failure> {
    let note = Note {
        watchkeep: 1,
        run: request.run.clone(),
        files: manifest.files(),
        bytes: manifest.bytes(),
        digest: manifest.digest(),
        databases,
    };
    let length = serde_json::to_vec(&note).map_or(usize::MAX, |json| json.len());
    if length > NOTE_LIMIT {
        let text = format!("the databases have too many tables to be noted ({length} of {NOTE_LIMIT} bytes)");
        return Err(Failure::new(Reason::Invalid, text));
    }
    Ok(note)
}

#[cfg(test)]
mod tests;
