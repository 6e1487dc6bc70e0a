//! When backups run: a pure reactor over ticks and requests. Due times are rows of a view, unique by backup and time.

use std::collections::BTreeMap;

use config::Calendar;
use events::{
    Backup, BackupDue, BackupMissed, BackupScheduled, BackupTask, Due, Effects, Envelope, Fact, Job, JobId, Name,
    OnCrash, Reactor, Recorded, Timestamp, Views, Work, name_of,
};
use jiff::SignedDuration;

/// The queue of a backup: one each, so that one that cannot be done holds up no other.
#[must_use]
pub fn queue_of(backup: &Name) -> Name {
    name_of(&format!("backup/{backup}"))
}

/// A backup that ran for a time this far ahead ran by a clock that was wrong: it does not hold up the right ones. Less
/// is a clock set back, which must not repeat a night.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(36);
/// Most missed times that are counted one by one.
const MISSED_MAX: usize = 1000;

/// The schedule of one backup.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The schedule as written, with its time zone.
    pub schedule: String,
    /// The schedule.
    pub calendar: Calendar,
}

/// Decides what is due. Remembers nothing: all of it is in the views.
pub struct ScheduleReactor {
    backups: BTreeMap<Name, Planned>,
}

impl ScheduleReactor {
    /// A reactor for the configured backups.
    #[must_use]
    pub fn new(backups: BTreeMap<Name, Planned>) -> Self {
        Self { backups }
    }

    /// Sets the next due time of backups that have none, whose schedule changed, or whose clock jumped.
    fn schedule(&self, views: &Views, fact: &Recorded, jumped: bool, out: &mut Effects) {
        for (backup, planned) in &self.backups {
            let row = views.backups.get(backup.as_str());
            if !jumped && row.is_some_and(|row| row.schedule == planned.schedule) {
                continue;
            }
            let next = planned.next(row, fact.recorded_at.wall);
            if row.is_some_and(|row| row.next == next && row.schedule == planned.schedule) {
                continue;
            }
            let scheduled = BackupScheduled {
                backup: backup.clone(),
                schedule: planned.schedule.clone(),
                next,
            };
            out.record(about(backup, Fact::BackupScheduled(scheduled)));
        }
    }

    fn begin_due(&self, views: &Views, fact: &Recorded, out: &mut Effects) {
        let now = fact.recorded_at.wall;
        for (backup, planned) in &self.backups {
            let Some(row) = views.backups.get(backup.as_str()) else {
                continue;
            };
            let times = planned.passed(row, now);
            let Some((intended, missed)) = times.split_last() else {
                continue;
            };
            if let (Some(first), Some(last)) = (missed.first(), missed.last()) {
                let missed = BackupMissed {
                    backup: backup.clone(),
                    times: u32::try_from(missed.len()).unwrap_or(u32::MAX),
                    first: *first,
                    last: *last,
                };
                out.record(about(backup, Fact::BackupMissed(missed)));
            }
            let parts = ["backup", backup.as_str(), &intended.0.to_string()];
            let due = BackupDue {
                backup: backup.clone(),
                task: BackupTask::Run,
                intended: *intended,
                job: JobId::derive(&views.now.identity, &parts),
                next: planned.calendar.next_after(now.to_jiff()).map(Timestamp::from_jiff),
                asked_by: None,
            };
            begin(backup, due, fact, out);
        }
    }
}

impl Planned {
    /// When it is due next. A due time that has passed stays due and is made up for at the next tick.
    fn next(&self, row: Option<&Backup>, now: Timestamp) -> Option<Timestamp> {
        let passed = row.and_then(|row| row.next).filter(|next| *next <= now);
        passed.or_else(|| {
            let done = row
                .and_then(|row| row.last_intended)
                .filter(|done| done.since(now) <= AHEAD_MAX);
            let after = done.unwrap_or(now).max(now);
            self.calendar.next_after(after.to_jiff()).map(Timestamp::from_jiff)
        })
    }

    /// Due times that have passed, oldest first: the newest runs, the others were missed. None when it ran already.
    fn passed(&self, row: &Backup, now: Timestamp) -> Vec<Timestamp> {
        let Some(first) = row.next.filter(|next| *next <= now) else {
            return Vec::new();
        };
        let later = self.calendar.occurrences(first.to_jiff(), now.to_jiff(), MISSED_MAX);
        let times = std::iter::once(first).chain(later.into_iter().map(Timestamp::from_jiff));
        let times: Vec<Timestamp> = times.filter(|time| *time <= now).collect();
        match (times.last(), row.last_intended) {
            (Some(newest), Some(done)) if *newest <= done && done.since(now) <= AHEAD_MAX => Vec::new(),
            _ => times,
        }
    }
}

fn begin(backup: &Name, due: BackupDue, fact: &Recorded, out: &mut Effects) {
    let (job, task, intended) = (due.job, due.task, due.intended);
    out.record(about(backup, Fact::BackupDue(due)));
    out.enqueue(Job {
        id: job,
        queue: queue_of(backup),
        due: Due::After(fact.recorded_at.clone(), SignedDuration::ZERO),
        expires: Some(SignedDuration::from_hours(24)),
        on_crash: OnCrash::Restart,
        work: Work::Backup {
            backup: backup.clone(),
            task,
            intended,
        },
    });
}

fn about(backup: &Name, fact: Fact) -> Envelope {
    Envelope::new(name_of(&format!("backup/{backup}")), name_of("schedule"), fact)
}

impl Reactor for ScheduleReactor {
    fn name(&self) -> &'static str {
        "schedule"
    }

    fn window(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    fn absorb(&mut self, _: &Recorded) {}

    fn react(&self, views: &Views, fact: &Recorded, out: &mut Effects) {
        match fact.fact() {
            Fact::Configured(_) => self.schedule(views, fact, false, out),
            Fact::ClockJumped(_) => self.schedule(views, fact, true, out),
            Fact::Tick(_) => self.begin_due(views, fact, out),
            Fact::BackupRequested(asked) if self.backups.contains_key(&asked.backup) => {
                let job = JobId::derive(
                    &views.now.identity,
                    &["backup", asked.backup.as_str(), "asked", &fact.seq.to_string()],
                );
                let due = BackupDue {
                    backup: asked.backup.clone(),
                    task: asked.task,
                    intended: fact.recorded_at.wall,
                    job,
                    next: None,
                    asked_by: Some(asked.by.clone()),
                };
                begin(&asked.backup, due, fact, out);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
