//! What became of backups.

use events::{BackupCaptured, BackupFailed, BackupStage, BackupTask, Fact, SnapshotsPruned};
use jiff::SignedDuration;

use super::{Sentence, sentence};
use crate::command::{
    page::Tone,
    text::{clock_utc, counted, lasting, number, short, size},
};

pub(super) fn of(fact: &Fact) -> Option<Sentence> {
    planned(fact).or_else(|| done(fact))
}

fn planned(fact: &Fact) -> Option<Sentence> {
    Some(match fact {
        Fact::BackupScheduled(scheduled) => {
            let next = scheduled
                .next
                .map_or_else(|| "never".to_owned(), |next| next.whole_seconds().to_string());
            sentence(
                &scheduled.backup,
                Tone::Quiet,
                format!("scheduled {}, next {next}", scheduled.schedule),
            )
        }
        Fact::BackupDue(due) => {
            let by = due
                .asked_by
                .as_ref()
                .map_or_else(|| "by its schedule".to_owned(), |by| format!("asked for by {by}"));
            sentence(&due.backup, Tone::Plain, format!("{} begins, {by}", task(due.task)))
        }
        Fact::BackupMissed(missed) => {
            let times = counted(u64::from(missed.times), "time", "times");
            sentence(
                &missed.backup,
                Tone::Doubt,
                format!(
                    "missed {times}, first {}; nobody was there",
                    clock_utc(missed.first, missed.last)
                ),
            )
        }
        Fact::BackupRequested(request) => sentence(
            &request.backup,
            Tone::Quiet,
            format!("{} asked for by {}", task(request.task), request.by),
        ),
        _ => return None,
    })
}

fn done(fact: &Fact) -> Option<Sentence> {
    Some(match fact {
        Fact::BackupCaptured(captured) => copied(captured),
        Fact::BackupVerified(verified) => {
            let text = format!(
                "read back: every byte of {} is right ({}) in {}",
                short(&verified.snapshot),
                size(verified.bytes),
                spent(verified.took)
            );
            sentence(&verified.backup, Tone::Plain, text)
        }
        Fact::BackupProved(proved) => {
            let checks = if proved.checks.is_empty() {
                String::new()
            } else {
                format!(", {}", proved.checks.join(", "))
            };
            let text = format!(
                "PROVED {}: restored and compared {}{checks} in {}",
                short(&proved.snapshot),
                counted(proved.files, "file", "files"),
                spent(proved.took)
            );
            sentence(&proved.backup, Tone::Good, text)
        }
        Fact::BackupFailed(failed) => sentence(&failed.backup, Tone::Bad, failure(failed)),
        Fact::SnapshotsPruned(pruned) => removed(pruned),
        _ => return None,
    })
}

fn copied(captured: &BackupCaptured) -> Sentence {
    let remarks = remarks(&Remarks {
        torn: captured.torn.len() as u64,
        unreadable: captured.unreadable.len() as u64,
        bare_databases: captured.bare_databases.len() as u64,
        lost_packs: captured.lost_packs.len() as u64,
    });
    let noted = remarks.iter().fold(String::new(), |text, remark| text + "; " + remark);
    let text = format!(
        "copied {}, {} ({} new) as {} in {}{noted}",
        counted(captured.files, "file", "files"),
        size(captured.bytes),
        size(captured.added_bytes),
        short(&captured.snapshot),
        spent(captured.took),
    );
    let tone = if remarks.is_empty() { Tone::Plain } else { Tone::Doubt };
    sentence(&captured.backup, tone, text)
}

/// What was not as it should be when a copy was made.
pub(crate) struct Remarks {
    /// Files that changed while they were read.
    pub(crate) torn: u64,
    /// Files that could not be read.
    pub(crate) unreadable: u64,
    /// Databases copied as plain files.
    pub(crate) bare_databases: u64,
    /// Packs that the store had lost.
    pub(crate) lost_packs: u64,
}

/// In words, the worst first; none when all was as it should be.
pub(crate) fn remarks(of: &Remarks) -> Vec<String> {
    // Lists in facts are cut after a hundred.
    let many = |count: u64, one: &str, more: &str| match count {
        0 => None,
        1 => Some(one.to_owned()),
        101.. => Some(format!("more than 100 {more}")),
        _ => Some(format!("{} {more}", number(count))),
    };
    [
        many(
            of.lost_packs,
            "1 pack was lost in the store",
            "packs were lost in the store",
        ),
        many(of.unreadable, "1 file could not be read", "files could not be read"),
        many(
            of.bare_databases,
            "1 database was copied as a plain file",
            "databases were copied as plain files",
        ),
        many(
            of.torn,
            "1 file changed while it was read",
            "files changed while they were read",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn removed(pruned: &SnapshotsPruned) -> Sentence {
    let held = pruned
        .held_back
        .as_ref()
        .map_or_else(String::new, |why| format!("; held back: {why}"));
    let (tone, copies) = match pruned.snapshots.len() {
        0 => (Tone::Quiet, "no old copy had to go".to_owned()),
        many => (
            Tone::Plain,
            format!("removed {}", counted(many as u64, "old copy", "old copies")),
        ),
    };
    sentence(&pruned.backup, tone, format!("{copies}{held}"))
}

fn failure(failed: &BackupFailed) -> String {
    let copy = failed
        .snapshot
        .as_ref()
        .map_or_else(String::new, |snapshot| format!(" of copy {}", short(snapshot)));
    format!(
        "FAILED at {}{copy}: {} ({})",
        stage(failed.stage),
        failed.detail,
        failed.reason
    )
}

/// The step in words.
pub(crate) fn stage(stage: BackupStage) -> &'static str {
    match stage {
        BackupStage::Open => "opening the repository",
        BackupStage::Capture => "copying",
        BackupStage::Verify => "reading back",
        BackupStage::Prove => "proving",
        BackupStage::Prune => "removing old copies",
        BackupStage::Other => "a step that only a newer version knows",
    }
}

fn task(task: BackupTask) -> &'static str {
    match task {
        BackupTask::Run => "backup",
        BackupTask::Prove => "proof",
        BackupTask::Other => "a task that only a newer version knows",
    }
}

fn spent(duration: SignedDuration) -> String {
    match duration.as_millis() {
        0..10_000 => crate::command::text::took(u64::try_from(duration.as_micros()).unwrap_or(0)),
        _ => lasting(duration),
    }
}
