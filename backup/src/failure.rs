//! Why a backup, a verification, a proof or a restore did not succeed.

use std::{error::Error, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The reason of a failure: a closed list, so that alerts, facts and tests can rely on the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The store refused the access key, or its rights do not reach (S3 401 or 403, a folder without permission).
    Credentials,
    /// The store refuses to delete or to replace an object because a retention lock covers it.
    Locked,
    /// Another process holds the repository; the message names host, pid and time.
    LockedByOther,
    /// Our own lock could not be kept alive; nothing more was written.
    LockLost,
    /// No connection to the store.
    Unreachable,
    /// The store did not answer in time.
    Timeout,
    /// The store answered with an error of its own (5xx, throttling, input or output error of a folder).
    Server,
    /// The repository, a snapshot or an object does not exist.
    NotFound,
    /// The bucket does not exist; its owner makes it, a backup never does.
    BucketMissing,
    /// There is a repository already where one was to be made.
    AlreadyExists,
    /// The store took an object and gave something else back: a proxy or a captive portal, not a store.
    NotAStore,
    /// The store is full.
    StoreFull,
    /// No key file opens with this password.
    WrongPassword,
    /// Stored bytes are not what was stored: wrong digest, failed authentication, missing or truncated object.
    Corrupt,
    /// The source does not exist.
    SourceMissing,
    /// Parts of the source could not be read.
    SourceUnreadable,
    /// The source database is damaged.
    SourceCorrupt,
    /// The source could not be read within its time because others hold it.
    SourceBusy,
    /// Less was captured than the stated minimum.
    SuspiciouslySmall,
    /// Not enough room for a staging copy.
    StagingFull,
    /// Not enough room for the scratch restore.
    ScratchFull,
    /// Not enough room at the destination.
    DestinationFull,
    /// The destination exists and is not empty.
    DestinationNotEmpty,
    /// The destination, the staging or the scratch folder could not be written.
    DestinationUnwritable,
    /// What was restored differs from what was captured.
    Mismatch,
    /// The snapshot carries no record of what was captured, so nothing can be proved.
    NoRecord,
    /// The run was cancelled.
    Cancelled,
    /// The run did not come to its end in its time and was ended.
    Deadline,
    /// The process that did the run ended without a word: it was killed, or the machine died.
    Interrupted,
    /// The process for the run could not be started.
    NotStarted,
    /// What was asked for makes no sense; the message says what was expected.
    Invalid,
    /// A part of the program panicked; counted as failed, never as done.
    Panicked,
    /// Written by a newer version.
    #[serde(other)]
    Other,
}

impl Reason {
    /// The word of this reason, as in facts and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Locked => "locked",
            Self::LockedByOther => "locked_by_other",
            Self::LockLost => "lock_lost",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Server => "server",
            Self::NotFound => "not_found",
            Self::BucketMissing => "bucket_missing",
            Self::AlreadyExists => "already_exists",
            Self::NotAStore => "not_a_store",
            Self::StoreFull => "store_full",
            Self::WrongPassword => "wrong_password",
            Self::Corrupt => "corrupt",
            Self::SourceMissing => "source_missing",
            Self::SourceUnreadable => "source_unreadable",
            Self::SourceCorrupt => "source_corrupt",
            Self::SourceBusy => "source_busy",
            Self::SuspiciouslySmall => "suspiciously_small",
            Self::StagingFull => "staging_full",
            Self::ScratchFull => "scratch_full",
            Self::DestinationFull => "destination_full",
            Self::DestinationNotEmpty => "destination_not_empty",
            Self::DestinationUnwritable => "destination_unwritable",
            Self::Mismatch => "mismatch",
            Self::NoRecord => "no_record",
            Self::Cancelled => "cancelled",
            Self::Deadline => "deadline",
            Self::Interrupted => "interrupted",
            Self::NotStarted => "not_started",
            Self::Invalid => "invalid",
            Self::Panicked => "panicked",
            Self::Other => "other",
        }
    }

    /// Whether the same call may succeed later without anybody doing anything.
    #[must_use]
    pub fn is_passing(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::Timeout
                | Self::Server
                | Self::LockedByOther
                | Self::LockLost
                | Self::SourceBusy
                | Self::Deadline
                | Self::Interrupted
                | Self::NotStarted
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A failure: its reason, what was being done, and the cause.
#[derive(Clone, Debug)]
pub struct Failure {
    reason: Reason,
    doing: String,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure without a deeper cause; `doing` says what was being done and what was met.
    pub fn new(reason: Reason, doing: impl Into<String>) -> Self {
        Self {
            reason,
            doing: doing.into(),
            cause: None,
        }
    }

    /// A failure with its cause.
    pub fn caused(reason: Reason, doing: impl Into<String>, cause: impl Error + Send + Sync + 'static) -> Self {
        Self {
            reason,
            doing: doing.into(),
            cause: Some(Arc::new(cause)),
        }
    }

    /// An input or output error at a place we write to; a full disk gets `full` as its reason.
    pub(crate) fn writing(full: Reason, doing: impl Into<String>, cause: std::io::Error) -> Self {
        let reason = match cause.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => full,
            _ => Reason::DestinationUnwritable,
        };
        Self::caused(reason, doing, cause)
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The whole text: what was being done and every cause below it, on one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.doing.clone();
        let mut next = self.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.doing)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}
