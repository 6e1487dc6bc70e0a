//! What became of backups.

use events::{BackupFailed, BackupStage, BackupTask, Fact};
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
                .map_or_else(|| "never".to_owned(), |next| next.to_string());
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
        Fact::BackupCaptured(captured) => {
            let torn = match captured.torn.len() {
                0 => String::new(),
                torn => format!(
                    "; {} changed while they were read",
                    counted(torn as u64, "file", "files")
                ),
            };
            let text = format!(
                "copied {}, {} ({} new) as {} in {}{torn}",
                counted(captured.files, "file", "files"),
                size(captured.bytes),
                size(captured.added_bytes),
                short(&captured.snapshot),
                spent(captured.took),
            );
            sentence(
                &captured.backup,
                if captured.torn.is_empty() {
                    Tone::Plain
                } else {
                    Tone::Doubt
                },
                text,
            )
        }
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
        Fact::SnapshotsPruned(pruned) => {
            let held = pruned
                .held_back
                .as_ref()
                .map_or_else(String::new, |why| format!("; held back: {why}"));
            let copies = match pruned.snapshots.len() {
                0 => "no old copy had to go".to_owned(),
                1 => "removed 1 old copy".to_owned(),
                many => format!("removed {} old copies", number(many as u64)),
            };
            let tone = if pruned.snapshots.is_empty() {
                Tone::Quiet
            } else {
                Tone::Plain
            };
            sentence(&pruned.backup, tone, format!("{copies}{held}"))
        }
        _ => return None,
    })
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
