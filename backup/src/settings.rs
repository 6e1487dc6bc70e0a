//! `[backup.X]` and `[repository.X]` as they are written. Serializable too: a job's settings travel to its child, with
//! secrets as places.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use config::{Calendar, Cron, Located, Mistake, Name, Secret, Span, Zone};
use events::name_of;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Failure, Limits, Location, Reason, S3, Source, retention, schedule::Planned};

/// How long a run may take when nothing is said.
const TIMEOUT: Duration = Duration::from_hours(12);

/// What to back up: the key is the kind.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceSettings {
    /// The daemon's own journal: facts, views and jobs. Telemetry is not in it.
    Journal(JournalSource),
    /// A SQLite database, copied by `VACUUM INTO` while its writers go on.
    Sqlite(SqliteSource),
    /// Folders and files as they stand.
    Folder(FolderSource),
}

/// `source.journal`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JournalSource {}

/// `source.sqlite`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteSource {
    /// The database file.
    pub path: PathBuf,
}

/// `source.folder`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FolderSource {
    /// Absolute paths of folders and files.
    pub paths: Vec<Located<PathBuf>>,
    /// Patterns of what is left out, as in `.gitignore`.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Paths at or below which reading may fail. Elsewhere one unreadable file refuses the copy.
    #[serde(default)]
    pub allow_unreadable: Vec<PathBuf>,
}

/// How many copies stay; only proved ones fill slots.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeepSettings {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of the so many latest hours that have one.
    pub hourly: u32,
    /// Likewise for days.
    pub daily: u32,
    /// Likewise for ISO weeks.
    pub weekly: u32,
    /// Likewise for months.
    pub monthly: u32,
    /// Likewise for years.
    pub yearly: u32,
    /// All that are at most so much older than the newest proved one.
    pub within: Option<Span>,
}

impl KeepSettings {
    /// The rule in the terms of retention.
    #[must_use]
    pub fn rule(&self) -> retention::Rule {
        retention::Rule {
            last: self.last,
            hourly: self.hourly,
            daily: self.daily,
            weekly: self.weekly,
            monthly: self.monthly,
            yearly: self.yearly,
            within: self.within.map(Span::get),
        }
    }
}

/// One backup.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupSettings {
    /// When: five fields as in cron.
    pub at: Located<String>,
    /// Time zone of `at`; UTC when unsaid.
    #[serde(default)]
    pub timezone: Option<Located<String>>,
    /// What.
    pub source: SourceSettings,
    /// Where to: the name of a `[repository.X]`.
    pub to: Located<Name>,
    /// What stays.
    #[serde(default = "keep")]
    pub keep: KeepSettings,
    /// When a copy is proved; every run when unsaid.
    #[serde(default)]
    pub prove: Option<ProveSettings>,
    /// Whom to tell when a copy turns out to be no good; everybody when unsaid.
    #[serde(default)]
    pub notify: Vec<Located<Name>>,
    /// Fewer bytes than this are suspicious and refuse the copy.
    #[serde(default)]
    pub at_least: Option<config::Bytes>,
    /// How long a run may take, from opening the repository to pruning; then it is ended. 12 hours when unsaid.
    #[serde(default)]
    pub timeout: Option<Span>,
}

/// What stays when nothing is said.
fn keep() -> KeepSettings {
    KeepSettings {
        last: 7,
        daily: 30,
        weekly: 8,
        monthly: 12,
        ..KeepSettings::default()
    }
}

impl BackupSettings {
    fn calendar(&self) -> Result<Calendar, config::CalendarError> {
        Calendar::parse(&self.at, self.zone())
    }

    /// Time zone of the schedule.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.timezone.as_ref().map_or("UTC", |zone| zone.as_str())
    }

    /// The schedule, for the reactor; `None` when it cannot be read.
    #[must_use]
    pub fn planned(&self) -> Option<Planned> {
        let calendar = self.calendar().ok()?;
        Some(Planned {
            schedule: format!("{} {}", self.at.as_str(), self.zone()),
            calendar,
        })
    }

    /// How long a run may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout.as_ref().map_or(TIMEOUT, |timeout| timeout.as_std())
    }

    /// Whom to tell about failures; empty for everybody.
    #[must_use]
    pub fn told(&self) -> Vec<events::Name> {
        self.notify.iter().map(|name| name_of(name.as_str())).collect()
    }

    /// What is wrong beyond the single values.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        // Each by itself: one that is wrong does not hide the other.
        if let Err(error) = self.at.parse::<Cron>() {
            mistakes.push(Mistake::at(self.at.span(), error.to_string()).help(error.help()));
        }
        if let Err(error) = self.zone().parse::<Zone>() {
            let place = self.timezone.as_ref().map_or(self.at.span(), Located::span);
            mistakes.push(Mistake::at(place, error.to_string()).help(error.help()));
        }
        if let SourceSettings::Folder(folder) = &self.source {
            if folder.paths.is_empty() {
                mistakes.push(
                    Mistake::at(self.at.span(), "this backup names no folder").help("write paths = [\"/srv/shop\"]"),
                );
            }
            for path in folder.paths.iter().filter(|path| !path.is_absolute()) {
                let message = format!("`{}` is not an absolute path", path.display());
                mistakes.push(Mistake::at(path.span(), message).help("write it from the root on: /srv/shop"));
            }
        }
        mistakes
    }

    /// The source, given where the journal is.
    #[must_use]
    pub fn sources(&self, journal: &Path) -> Vec<Source> {
        match &self.source {
            SourceSettings::Journal(_) => vec![Source::Sqlite {
                path: journal.to_owned(),
                mark: vec!["INSERT OR REPLACE INTO meta(key, value) VALUES ('restored', '1')".to_owned()],
            }],
            SourceSettings::Sqlite(sqlite) => vec![Source::Sqlite {
                path: sqlite.path.clone(),
                mark: Vec::new(),
            }],
            SourceSettings::Folder(folder) => vec![Source::Folder {
                paths: folder.paths.iter().map(|path| path.to_path_buf()).collect(),
                exclude: folder.exclude.clone(),
            }],
        }
    }

    /// What must be there to be backed up.
    #[must_use]
    pub fn source_paths(&self) -> Vec<PathBuf> {
        match &self.source {
            SourceSettings::Journal(_) => Vec::new(),
            SourceSettings::Sqlite(sqlite) => vec![sqlite.path.clone()],
            SourceSettings::Folder(folder) => folder.paths.iter().map(|path| path.to_path_buf()).collect(),
        }
    }

    /// Paths at or below which reading may fail.
    #[must_use]
    pub fn allow_unreadable(&self) -> Vec<PathBuf> {
        match &self.source {
            SourceSettings::Folder(folder) => folder.allow_unreadable.clone(),
            _ => Vec::new(),
        }
    }
}

/// When a copy is proved.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProveSettings {
    /// A run proves its copy when the last proof is older than this. Every run does when unsaid.
    pub every: Span,
}

/// One repository, in restic's format: in a folder or in a bucket, and its password.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepositorySettings {
    /// In a local folder.
    #[serde(default)]
    pub folder: Option<Located<FolderPlace>>,
    /// In a bucket of an S3 or R2 store.
    #[serde(default)]
    pub s3: Option<Located<BucketPlace>>,
    /// The password, at its place. `watchkeep init` makes one.
    pub password: Located<Secret>,
}

/// A folder.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FolderPlace {
    /// Its path.
    pub path: PathBuf,
}

/// A bucket.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketPlace {
    /// Its name; it must exist.
    pub bucket: String,
    /// Where in it; its root when unsaid.
    #[serde(default)]
    pub prefix: String,
    /// The store's address, at its place: `https://ACCOUNT.r2.cloudflarestorage.com`.
    pub endpoint: Secret,
    /// `auto` when unsaid, as R2 wants it.
    #[serde(default)]
    pub region: Option<String>,
    /// Id of the access key, at its place.
    pub access_key: Secret,
    /// Secret of the access key, at its place.
    pub secret_key: Secret,
}

fn value(secret: &Secret) -> Result<config::SecretValue, Failure> {
    secret
        .read()
        .map_err(|error| Failure::new(Reason::Credentials, outbound::chain(&error)))
}

impl RepositorySettings {
    /// What is wrong beyond the single values.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        let place = match (&self.folder, &self.s3) {
            (None, None) => self.password.span(),
            (Some(_), Some(s3)) => s3.span(),
            _ => return Vec::new(),
        };
        let help = "write folder = { path = \"/var/backups/watchkeep\" } or s3 = { bucket = …, endpoint = …, access_key = …, secret_key = … }";
        vec![Mistake::at(place, "a repository is either in a folder or in a bucket").help(help)]
    }

    /// Where it is, with its secrets read.
    ///
    /// # Errors
    /// [`Reason::Credentials`] when a secret cannot be read, [`Reason::Invalid`] when no place is given.
    pub fn location(&self) -> Result<Location, Failure> {
        if let Some(folder) = &self.folder {
            return Ok(Location::Folder(folder.path.clone()));
        }
        let Some(s3) = &self.s3 else {
            return Err(Failure::new(Reason::Invalid, "the repository has no place"));
        };
        Ok(Location::S3(S3 {
            bucket: s3.bucket.clone(),
            prefix: s3.prefix.clone(),
            endpoint: value(&s3.endpoint)?.expose().to_owned(),
            region: s3.region.clone().unwrap_or_else(|| "auto".to_owned()),
            access_key: value(&s3.access_key)?.expose().to_owned(),
            secret_key: value(&s3.secret_key)?.expose().to_owned().into(),
            limits: Limits::default(),
        }))
    }

    /// The password.
    ///
    /// # Errors
    /// [`Reason::Credentials`] when it cannot be read.
    pub fn password(&self) -> Result<config::SecretValue, Failure> {
        value(&self.password)
    }

    /// Where it is, for people; no secrets.
    #[must_use]
    pub fn describe(&self) -> String {
        match (&self.folder, &self.s3) {
            (Some(folder), _) => format!("folder {}", folder.path.display()),
            (None, Some(s3)) => format!("bucket {}/{}", s3.bucket, s3.prefix),
            (None, None) => "nowhere".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
