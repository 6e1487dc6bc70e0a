//! `backup list`: what is proved, since when, and what is not.

use std::collections::BTreeMap;

use events::{Backup, Snapshot, Timestamp};
use jiff::SignedDuration;
use web::answer::BackupsAnswer;

use super::sentence::keeping::{Remarks, remarks, stage};
use crate::command::{
    page::{Column, Look, Page, Tone},
    text::{ago, clock_utc, counted, number, padded, short, size},
};

/// A proof older than this is worth a word, whatever the schedule.
const PROOF_OLD: SignedDuration = SignedDuration::from_hours(26);
/// A backup that is due for longer than this was missed.
const OVERDUE: SignedDuration = SignedDuration::from_mins(10);
/// Copies shown of each backup.
const COPIES_MAX: usize = 5;

/// What is wrong with a backup, if anything.
pub(crate) fn trouble(row: &Backup, now: Timestamp) -> Option<String> {
    let proof = match row.proved {
        Some(proved) => format!("last proved {}", ago(proved.wall, now)),
        None => "never proved".to_owned(),
    };
    if let Some(failure) = &row.failure {
        return Some(format!(
            "failed at {} {}: {} ({}); {proof}",
            stage(failure.stage),
            ago(failure.at.wall, now),
            failure.detail,
            failure.reason
        ));
    }
    if let Some(next) = row.next.filter(|next| now.since(*next) > OVERDUE) {
        return Some(format!(
            "was due at {} and has not begun; {proof}",
            clock_utc(next, now)
        ));
    }
    let ran = row
        .captured
        .is_some_and(|captured| row.proved.is_none_or(|proved| proved.wall < captured.wall));
    let since = row
        .captured
        .map_or(SignedDuration::ZERO, |captured| now.since(captured.wall));
    (ran && since > PROOF_OLD).then(|| format!("its newest copy is not proved; {proof}"))
}

/// The page, and whether all are well.
pub(crate) fn page(answer: &BackupsAnswer, look: Look) -> (String, bool) {
    let mut page = Page::new(look);
    let now = answer.asked_at;
    let mut well = true;
    if answer.configured.is_empty() && answer.backups.is_empty() {
        page.line("no backup is configured: see docs/guide/backups.md");
    }
    let unseen = Backup::default();
    for name in &answer.configured {
        let row = answer.backups.get(name.as_str()).unwrap_or(&unseen);
        page.gap();
        well &= backup(&mut page, name.as_str(), row, now);
        copies(&mut page, answer, name.as_str());
    }
    let gone = answer
        .backups
        .keys()
        .filter(|name| !answer.configured.iter().any(|known| known.as_str() == name.as_str()));
    for name in gone {
        let copies = answer
            .snapshots
            .values()
            .filter(|copy| copy.backup.as_str() == name)
            .count();
        page.gap();
        page.marked(
            Tone::Quiet,
            name,
            &format!(
                ": not configured any more; {} left",
                counted(copies as u64, "copy", "copies")
            ),
        );
    }
    (page.finish(), well)
}

fn backup(page: &mut Page, name: &str, row: &Backup, now: Timestamp) -> bool {
    let next = row.next.map_or_else(
        || "not scheduled".to_owned(),
        |next| format!("next {} ({})", clock_utc(next, now), ago(next, now)),
    );
    let (tone, word, text) = match (trouble(row, now), row.proved) {
        (Some(why), _) => (Tone::Bad, "NOT WELL", why),
        (None, Some(proved)) => (
            Tone::Good,
            "proved",
            format!("{}, {}", clock_utc(proved.wall, now), ago(proved.wall, now)),
        ),
        (None, None) => (Tone::Doubt, "not proved yet", "no copy was proved yet".to_owned()),
    };
    match tone {
        Tone::Good => page.hanging(tone, &format!("{name}: {word} "), &format!("{text}; {next}")),
        _ => {
            page.marked(tone, &format!("{name}: {word}"), "");
            page.wrapped(2, &format!("{text}; {next}"));
        }
    }
    if row.missed > 0 {
        page.wrapped(
            2,
            &format!(
                "{} missed while nobody was there",
                counted(u64::from(row.missed), "due time", "due times")
            ),
        );
    }
    tone != Tone::Bad
}

type Copies<'a> = Vec<(&'a String, &'a Snapshot)>;

/// The copies by repository, the one in use first: what a backup left in another place is listed as such.
fn copies(page: &mut Page, answer: &BackupsAnswer, name: &str) {
    let mut places: BTreeMap<&str, Copies<'_>> = BTreeMap::new();
    for (id, copy) in answer.snapshots.iter().filter(|(_, copy)| copy.backup.as_str() == name) {
        places.entry(copy.repository.as_str()).or_default().push((id, copy));
    }
    let mut places: Vec<(&str, Copies<'_>)> = places.into_iter().collect();
    let newest = |copies: &Copies<'_>| copies.iter().map(|(_, copy)| copy.captured.seq).max();
    places.sort_by_key(|(_, copies)| std::cmp::Reverse(newest(copies)));
    let several = places.len() > 1;
    for (number, (repository, copies)) in places.into_iter().enumerate() {
        match (several, number) {
            (false, _) => {}
            (true, 0) => page.wrapped(2, &format!("in {repository}:")),
            (true, _) => page.wrapped(2, &format!("left in {repository}:")),
        }
        place(page, answer, copies);
    }
}

/// The copies in one repository.
fn place(page: &mut Page, answer: &BackupsAnswer, mut copies: Copies<'_>) {
    copies.sort_by_key(|(id, copy)| (std::cmp::Reverse(copy.intended), *id));
    let rows: Vec<Vec<String>> = copies
        .iter()
        .take(COPIES_MAX)
        .map(|(id, copy)| {
            let state = match (&copy.damaged, copy.proved, copy.verified) {
                (Some(why), _, _) => format!("DAMAGED: {why}"),
                (None, Some(_), _) => "proved".to_owned(),
                (None, None, Some(_)) => "read back, not proved".to_owned(),
                (None, None, None) => "not proved".to_owned(),
            };
            let files = counted(copy.files, "file", "files");
            vec![
                short(id),
                clock_utc(copy.intended, answer.asked_at),
                size(copy.bytes),
                files,
                state,
            ]
        })
        .collect();
    page.table(
        2,
        &[
            Column::Left(8),
            Column::Left(23),
            Column::Right(9),
            Column::Right(14),
            Column::Rest,
        ],
        &rows,
    );
    for (id, copy) in copies.iter().take(COPIES_MAX) {
        let remarks = remarks(&Remarks {
            torn: copy.torn,
            unreadable: copy.unreadable,
            bare_databases: copy.bare_databases,
            lost_packs: copy.lost_packs,
        });
        if !remarks.is_empty() {
            page.wrapped(2, &format!("{}: {}", short(id), remarks.join("; ")));
        }
    }
    if copies.len() > COPIES_MAX {
        let proved = copies.iter().filter(|(_, copy)| copy.proved.is_some()).count();
        page.wrapped(
            2,
            &format!(
                "{} copies, {} proved",
                number(copies.len() as u64),
                padded(&number(proved as u64), 1)
            ),
        );
    }
}
