//! When backups run: a pure reactor over ticks and requests. Due times are rows of a view, unique by backup and time.

use std::collections::BTreeMap;

use config::Calendar;
use events::{
    Backup, BackupDue, BackupMissed, BackupScheduled, BackupTask, Due, Effects, Envelope, Fact, Job, JobId, Name, OnCrash, Reactor,
    Recorded, Timestamp, Views, Work, name_of,
};
use jiff::SignedDuration;

/// Queue of all backups: one at a time, as each may take much memory and disk.
pub const QUEUE: &str = "backup";
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
            let after = row.and_then(|row| row.last_intended).unwrap_or(Timestamp(i64::MIN)).max(fact.recorded_at.wall);
            let next = planned.calendar.next_after(after.to_jiff()).map(Timestamp::from_jiff);
            // A forward jump passed a due time: it stays due and is made up for at the next tick.
            let passed = row.and_then(|row| row.next).filter(|next| jumped && *next <= fact.recorded_at.wall);
            let next = passed.or(next);
            if row.is_some_and(|row| row.next == next && row.schedule == planned.schedule) {
                continue;
            }
            let scheduled = BackupScheduled { backup: backup.clone(), schedule: planned.schedule.clone(), next };
            out.record(about(backup, Fact::BackupScheduled(scheduled)));
        }
    }

    fn begin_due(&self, views: &Views, fact: &Recorded, out: &mut Effects) {
        for (backup, planned) in &self.backups {
            let Some(row) = views.backups.get(backup.as_str()) else { continue };
            let Some(first) = row.next.filter(|next| *next <= fact.recorded_at.wall) else { continue };
            due(backup, planned, row, first, views, fact, out);
        }
    }
}

/// Of all due times that have passed the newest runs; the others are recorded as missed.
fn due(backup: &Name, planned: &Planned, row: &Backup, first: Timestamp, views: &Views, fact: &Recorded, out: &mut Effects) {
    let now = fact.recorded_at.wall;
    let later = planned.calendar.occurrences(first.to_jiff(), now.to_jiff(), MISSED_MAX);
    let times: Vec<Timestamp> = std::iter::once(first).chain(later.into_iter().map(Timestamp::from_jiff)).filter(|time| *time <= now).collect();
    let (Some(intended), passed) = (times.last().copied(), times.len().saturating_sub(1)) else { return };
    if row.last_intended.is_some_and(|last| intended <= last) {
        return;
    }
    if let (Some(last), 1..) = (times.iter().rev().nth(1).copied(), passed) {
        let missed = BackupMissed { backup: backup.clone(), times: u32::try_from(passed).unwrap_or(u32::MAX), first, last };
        out.record(about(backup, Fact::BackupMissed(missed)));
    }
    let job = JobId::derive(&views.now.identity, &["backup", backup.as_str(), &intended.0.to_string()]);
    let next = planned.calendar.next_after(now.to_jiff()).map(Timestamp::from_jiff);
    begin(backup, BackupDue { backup: backup.clone(), task: BackupTask::Run, intended, job, next, asked_by: None }, fact, out);
}

fn begin(backup: &Name, due: BackupDue, fact: &Recorded, out: &mut Effects) {
    let (job, task, intended) = (due.job, due.task, due.intended);
    out.record(about(backup, Fact::BackupDue(due)));
    out.enqueue(Job {
        id: job,
        queue: name_of(QUEUE),
        due: Due::After(fact.recorded_at.clone(), SignedDuration::ZERO),
        expires: Some(SignedDuration::from_hours(24)),
        on_crash: OnCrash::Restart,
        work: Work::Backup { backup: backup.clone(), task, intended },
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
                let job = JobId::derive(&views.now.identity, &["backup", asked.backup.as_str(), "asked", &fact.seq.to_string()]);
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
