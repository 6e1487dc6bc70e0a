//! A job in its place, in memory and in its table.

use events::{BootId, Boottime, Clock, Due, Elapsed, Job, JobId, Moment, Name, OnCrash, nanos};
use jiff::SignedDuration;
use sqlx::{Row as _, SqliteConnection, query, query_scalar, sqlite::SqliteRow};

use crate::{StoreError, journal::connection::execute};

/// Attempts that ended with their process before a person must look.
pub(crate) const CRASHES_MAX: u32 = 3;

/// Who has a job just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nobody.
    #[default]
    Free,
    /// A worker took it and may begin an attempt.
    Taken,
    /// An attempt runs.
    Running,
}

/// A job that did not come to its end yet.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a thing of its own that holds or does not"
)]
pub(crate) struct Entry {
    pub(crate) place: i64,
    pub(crate) job: Job,
    pub(crate) queued_at: Elapsed,
    pub(crate) attempts: u32,
    /// Attempts that failed: only they lengthen the wait, not those that ended with their process.
    pub(crate) failures: u32,
    /// Attempts in a row that ended with their process and were followed by another one.
    pub(crate) crashed: u32,
    pub(crate) composed: Option<String>,
    pub(crate) failure: Option<String>,
    /// Until when it waits after a failed attempt; in another boot it waits no longer.
    pub(crate) not_before: Option<(BootId, Boottime)>,
    /// The other side asked for that wait: nothing shortens it.
    pub(crate) asked: bool,
    /// Something new was queued behind it while an attempt ran.
    pub(crate) hurried: bool,
    /// An attempt was begun of which nobody knows the outcome.
    pub(crate) left: bool,
    /// That attempt was cut short by an orderly stop, which is no crash.
    pub(crate) stopped: bool,
    /// An attempt was made since this process started.
    pub(crate) tried: bool,
    /// When the last of them began.
    pub(crate) begun_at: Option<Boottime>,
    pub(crate) hold: Hold,
}

impl Entry {
    pub(crate) fn new(place: i64, job: Job, queued_at: Elapsed) -> Self {
        Self {
            place,
            job,
            queued_at,
            attempts: 0,
            failures: 0,
            crashed: 0,
            composed: None,
            failure: None,
            not_before: None,
            asked: false,
            hurried: false,
            left: false,
            stopped: false,
            tried: false,
            begun_at: None,
            hold: Hold::Free,
        }
    }

    /// How long it is until the job may begin; zero or less when it may.
    pub(crate) fn wait(&self, clock: &Clock) -> SignedDuration {
        let by_boot = |boot_id: &BootId, boot: Boottime| {
            if *boot_id == clock.boot_id {
                boot.since(clock.boot)
            } else {
                SignedDuration::ZERO
            }
        };
        let due = match &self.job.due {
            Due::After(Moment { boot, boot_id, .. }, after) => by_boot(boot_id, boot.plus(*after)),
            Due::At(wall) => wall.since(clock.wall),
        };
        let back_off = self
            .not_before
            .as_ref()
            .map_or(SignedDuration::MIN, |(boot_id, boot)| by_boot(boot_id, *boot));
        let again = |begun: Boottime| begun.plus(BACK_OFF_MIN).since(clock.boot);
        let spacing = self
            .begun_at
            .filter(|_| self.failures > 0)
            .map_or(SignedDuration::MIN, again);
        due.max(back_off).max(spacing)
    }

    /// Something new waits behind it: the other side may be well again, and a page must not wait for the back-off of an
    /// older one.
    pub(crate) fn hurry(&mut self) {
        if self.job.on_crash == OnCrash::Resend && !self.asked {
            self.not_before = None;
            self.hurried = self.hold != Hold::Free;
        }
    }

    /// True when its time ran out, and an attempt was made since the start.
    pub(crate) fn is_expired(&self, now: Elapsed) -> bool {
        self.tried
            && self
                .left_until_expiry(now)
                .is_some_and(|left| left <= SignedDuration::ZERO)
    }

    pub(crate) fn left_until_expiry(&self, now: Elapsed) -> Option<SignedDuration> {
        let expires = self.job.expires?;
        Some(self.queued_at.plus(expires).since(now))
    }

    /// Attempts in a row that ended with their process. What is adopted, or found ended, after a crash does not count
    /// before another attempt is wanted.
    pub(crate) fn crashes(&self) -> u32 {
        self.crashed.saturating_add(u32::from(self.left && !self.stopped))
    }
}

/// A change of a job's row.
#[derive(Clone, Debug)]
pub(crate) enum JobChange {
    /// It was queued.
    Queued { job: Box<Job>, at: Elapsed },
    /// Its first attempt was recorded.
    Started { job: JobId, composed: Option<String> },
    /// A later attempt begins.
    Begun { job: JobId, attempts: u32, crashed: u32 },
    /// An attempt failed; the next one waits.
    Later {
        job: JobId,
        why: String,
        failures: u32,
        boot_id: BootId,
        not_before: Boottime,
        asked: bool,
    },
    /// An attempt was cut short by an orderly stop.
    Stopped { job: JobId },
    /// It came to its end.
    Ended { job: JobId },
}

/// Writes a change; of a queued job it gives the place, or none when that job exists.
pub(crate) async fn write_change(
    connection: &mut SqliteConnection,
    change: &JobChange,
) -> Result<Option<i64>, sqlx::Error> {
    let update = match change {
        JobChange::Queued { job, at } => return insert(connection, job, *at).await,
        JobChange::Started { job, composed } => {
            query("UPDATE job SET state = 'begun', attempts = 1, composed = ? WHERE id = ? AND state <> 'ended'")
                .bind(composed.clone())
                .bind(job.to_string())
        }
        JobChange::Begun { job, attempts, crashed } => {
            query("UPDATE job SET state = 'begun', attempts = ?, crashed = ? WHERE id = ? AND state <> 'ended'")
                .bind(i64::from(*attempts))
                .bind(i64::from(*crashed))
                .bind(job.to_string())
        }
        JobChange::Later {
            job,
            why,
            failures,
            boot_id,
            not_before,
            asked,
        } => query(
            "UPDATE job SET state = 'waiting', crashed = 0, failure = ?, failures = ?, asked = ?, not_before = ?, not_before_boot \
             = ? WHERE id = ? AND state <> 'ended'",
        )
        .bind(why.clone())
        .bind(i64::from(*failures))
        .bind(*asked)
        .bind(not_before.0)
        .bind(boot_id.0.clone())
        .bind(job.to_string()),
        JobChange::Stopped { job } => {
            query("UPDATE job SET state = 'stopped' WHERE id = ? AND state = 'begun'").bind(job.to_string())
        }
        JobChange::Ended { job } => {
            query("UPDATE job SET state = 'ended', composed = NULL WHERE id = ?").bind(job.to_string())
        }
    };
    update.execute(connection).await.map(|_| None)
}

async fn insert(connection: &mut SqliteConnection, job: &Job, at: Elapsed) -> Result<Option<i64>, sqlx::Error> {
    if job.on_crash == OnCrash::Resend {
        query("UPDATE job SET not_before = NULL WHERE queue = ? AND state = 'waiting' AND NOT asked")
            .bind(job.queue.as_str())
            .execute(&mut *connection)
            .await?;
    }
    query_scalar(
        "INSERT INTO job (id, queue, job, queued_at, state, attempts, crashed) VALUES (?, ?, ?, ?, 'waiting', 0, 0) ON \
         CONFLICT (id) DO NOTHING RETURNING place",
    )
    .bind(job.id.to_string())
    .bind(job.queue.as_str())
    .bind(serde_json::to_string(job).unwrap_or_default())
    .bind(at.0)
    .fetch_optional(connection)
    .await
}

/// Every job that did not come to its end. In a new process what was begun was left by an older one.
pub(crate) async fn load_jobs(connection: &mut SqliteConnection, new_process: bool) -> Result<Vec<Entry>, StoreError> {
    let doing = "read the jobs";
    if new_process {
        let left = "UPDATE job SET state = 'left' WHERE state = 'begun'";
        execute(connection, left).await.map_err(StoreError::database(doing))?;
    }
    let rows = query(
        "SELECT place, id, job, queued_at, state, attempts, failures, crashed, composed, failure, asked, not_before, not_before_boot \
         FROM job WHERE state <> 'ended' ORDER BY place",
    )
    .fetch_all(connection)
    .await
    .map_err(StoreError::database(doing))?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        let (json, mut entry) = columns(row).map_err(StoreError::database(doing))?;
        match serde_json::from_str::<Job>(&json) {
            Ok(job) => entry.job = job,
            Err(error) => {
                return Err(StoreError::damaged(format!(
                    "job {} cannot be read: {error}",
                    entry.place
                )));
            }
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn columns(row: &SqliteRow) -> Result<(String, Entry), sqlx::Error> {
    let small = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    let state: String = row.try_get("state")?;
    let not_before: Option<i64> = row.try_get("not_before")?;
    let boot: Option<String> = row.try_get("not_before_boot")?;
    let nothing = Job {
        id: JobId(uuid::Uuid::nil()),
        queue: Name::clone(&events::name_of("-")),
        due: Due::At(events::Timestamp(0)),
        expires: None,
        on_crash: OnCrash::Observe,
        work: events::Work::Unknown,
    };
    let entry = Entry {
        attempts: small(row.try_get("attempts")?),
        failures: small(row.try_get("failures")?),
        crashed: small(row.try_get("crashed")?),
        composed: row.try_get("composed")?,
        failure: row.try_get("failure")?,
        asked: row.try_get("asked")?,
        not_before: boot.zip(not_before).map(|(boot, at)| (BootId(boot), Boottime(at))),
        left: state == "left" || state == "stopped",
        stopped: state == "stopped",
        ..Entry::new(row.try_get("place")?, nothing, Elapsed(row.try_get("queued_at")?))
    };
    Ok((row.try_get("job")?, entry))
}

/// Shortest wait after a failed attempt.
const BACK_OFF_MIN: SignedDuration = SignedDuration::from_secs(5);
/// Longest wait after a failed attempt, and the longest that another side may ask for.
const BACK_OFF_MAX: SignedDuration = SignedDuration::from_hours(1);

/// How long to wait after a failed attempt: what the other side asked for, up to an hour; else 5 s, doubling to 1 h, 20 %
/// more or less, by job and failure, so that many jobs do not come back at once.
pub(crate) fn back_off(job: JobId, failures: u32, asked: Option<SignedDuration>) -> SignedDuration {
    if let Some(asked) = asked {
        return asked.clamp(BACK_OFF_MIN, BACK_OFF_MAX);
    }
    let doublings = failures.saturating_sub(1).min(20);
    let plain = nanos(BACK_OFF_MIN).saturating_mul(1_i64 << doublings);
    let plain = plain.min(nanos(BACK_OFF_MAX));
    let hash = blake3::hash(format!("{job}/{failures}").as_bytes());
    let [low, high, ..] = *hash.as_bytes();
    let spread = i64::from(u16::from_le_bytes([low, high])); // 0 to 65,535: 80 % to 120 %
    let jittered = plain / 10 * 8 + plain / 10 * 4 / 65_536 * spread;
    SignedDuration::from_nanos(jittered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_to_an_hour_within_a_fifth() {
        let job = JobId(uuid::Uuid::from_u128(7));
        for (attempt, seconds) in [(1, 5.0), (2, 10.0), (5, 80.0), (11, 3600.0), (300, 3600.0)] {
            let wait = back_off(job, attempt, None).as_secs_f64();
            assert!(wait >= seconds * 0.799 && wait <= seconds * 1.201, "{attempt}: {wait}");
            assert_eq!(back_off(job, attempt, None), back_off(job, attempt, None));
        }
    }

    #[test]
    fn what_the_other_side_asks_for_is_honoured_up_to_an_hour() {
        let job = JobId(uuid::Uuid::from_u128(7));
        let asked = |seconds| back_off(job, 1, Some(SignedDuration::from_secs(seconds)));
        assert_eq!(asked(90), SignedDuration::from_secs(90));
        assert_eq!(asked(0), SignedDuration::from_secs(5));
        assert_eq!(asked(86_400), SignedDuration::from_hours(1));
    }

    #[test]
    fn waits_differ_from_job_to_job() {
        let waits: std::collections::BTreeSet<_> = (0..50)
            .map(|id| back_off(JobId(uuid::Uuid::from_u128(id)), 3, None))
            .collect();
        assert!(waits.len() > 40, "{}", waits.len());
    }
}
