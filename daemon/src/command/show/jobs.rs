//! `jobs`: messages, backups and acts that wait, and why.

use events::Work;
use web::answer::WaitingJob;

use crate::command::{
    page::{Look, Page, Tone},
    text::{cause, counted, lasting, number, short},
};

/// Most lines.
const LINES_MAX: usize = 200;

/// The page, and whether none of them failed before.
pub(crate) fn page(answer: &[WaitingJob], look: Look) -> (String, bool) {
    let mut page = Page::new(look);
    if answer.is_empty() {
        page.marked(Tone::Good, "no job waits", "");
        return (page.finish(), true);
    }
    let failed = answer.iter().filter(|waiting| waiting.failure.is_some()).count();
    let (tone, besides) = match failed {
        0 => (Tone::Good, String::new()),
        _ if answer.len() == 1 => (Tone::Bad, ", it failed before".to_owned()),
        failed => (Tone::Bad, format!(", {} of them failed before", number(failed as u64))),
    };
    let count = counted(answer.len() as u64, "job waits", "jobs wait");
    page.marked(tone, &count, &besides);
    page.gap();
    let mut sorted: Vec<&WaitingJob> = answer.iter().collect();
    sorted.sort_by_key(|waiting| (waiting.failure.is_none(), std::cmp::Reverse(waiting.age)));
    for waiting in sorted.iter().take(LINES_MAX) {
        let (tone, word) = match (&waiting.failure, waiting.running) {
            (_, true) => (Tone::Plain, "runs    "),
            (Some(_), false) => (Tone::Doubt, "WAITS   "),
            (None, false) => (Tone::Plain, "waits   "),
        };
        page.hanging(tone, word, &line(waiting));
    }
    if sorted.len() > LINES_MAX {
        let left = number((sorted.len() - LINES_MAX) as u64);
        page.line(&format!("… {left} more: watchkeep jobs --json"));
    }
    (page.finish(), failed == 0)
}

/// One job in a line: what it is, how long it has waited, when it is tried next, and why it failed.
pub(crate) fn line(waiting: &WaitingJob) -> String {
    let job = &waiting.job;
    let what = match &job.work {
        Work::Message { destination, .. } => format!("message to {destination}"),
        Work::Backup { backup, .. } => format!("backup {backup}"),
        Work::Act { action, .. } => format!("action {action}"),
        Work::Unknown => job.queue.to_string(),
    };
    let attempts = match waiting.attempts {
        0 => "not tried yet".to_owned(),
        attempts => counted(u64::from(attempts), "attempt", "attempts"),
    };
    let next = if waiting.running {
        "under way".to_owned()
    } else if waiting.wait.as_secs() < 1 {
        "next as soon as it is its turn".to_owned()
    } else {
        format!("next in {}", lasting(waiting.wait))
    };
    let why = waiting
        .failure
        .as_ref()
        .map_or_else(String::new, |why| format!(": {}", cause(why)));
    format!(
        "{what} for {}, {attempts}, {next}{why} ({})",
        lasting(waiting.age),
        short(&job.id.to_string())
    )
}
