//! `logs`: records, the newest last.

use events::{Attributes, LogRecord, filter::severity_word};
use web::answer::LogsAnswer;

use super::timeline;
use crate::command::{
    page::{Look, Page, Tone},
    text::{counted, day, padded, plain, plain_lines, time_ms, wrapped},
};

/// Most lines of one record.
const LINES_MAX: usize = 12;

/// The page.
pub(crate) fn page(answer: &LogsAnswer, look: Look) -> String {
    let mut page = Page::new(look);
    for missing in &answer.missing {
        page.hanging(Tone::Bad, "missing  ", missing);
    }
    let Some(oldest) = answer.records.last() else {
        page.line("no log record matches");
        return page.finish();
    };
    if answer.before.is_some() {
        page.line(&format!("… older ones: add --until {}", timeline::up_to(oldest.time)));
    }
    let mut today = String::new();
    let newer = answer.records.iter().rev().skip(1).map(Some).chain([None]);
    for (record, next) in answer.records.iter().rev().zip(newer) {
        let of_day = day(record.time);
        if of_day != today {
            page.marked(Tone::Quiet, &format!("{of_day} UTC"), "");
            today = of_day;
        }
        let service = plain(record.service.as_str());
        let lead = format!(
            "{} {} {} ",
            time_ms(record.time),
            padded(severity_word(record.severity), 5),
            padded(&service, 12.min(service.chars().count()))
        );
        body(&mut page, tone(record.severity), &lead, record);
        // Once for all records in a row that are of it.
        if let Some(trace) = record
            .trace
            .filter(|trace| next.and_then(|next| next.trace) != Some(*trace))
        {
            let indent = " ".repeat(crate::command::text::width(&lead));
            page.whole(Tone::Quiet, &indent, &format!("watchkeep trace {trace}"));
        }
    }
    page.finish()
}

/// How loud a record is.
pub(crate) fn tone(severity: u8) -> Tone {
    match severity {
        17.. => Tone::Bad,
        13..17 => Tone::Doubt,
        1..9 => Tone::Quiet,
        _ => Tone::Plain,
    }
}

/// The lines of a record behind a lead; further lines are indented.
pub(crate) fn body(page: &mut Page, tone: Tone, lead: &str, record: &LogRecord) {
    let first = page.width().saturating_sub(crate::command::text::width(lead)).max(20);
    let mut lines = Vec::new();
    for text in plain_lines(&record.body, LINES_MAX) {
        lines.extend(wrapped(&text, first));
    }
    let left = lines.len().saturating_sub(LINES_MAX);
    let exception = exception(&record.attributes).filter(|text| !record.body.contains(text.as_str()));
    for (place, line) in lines.iter().take(LINES_MAX).enumerate() {
        match place {
            0 => page.whole(tone, lead, line),
            _ => page.whole(Tone::Plain, &" ".repeat(crate::command::text::width(lead)), line),
        }
    }
    if left > 0 {
        page.wrapped(
            crate::command::text::width(lead),
            &format!("… {} more: --json has it whole", counted(left as u64, "line", "lines")),
        );
    }
    if let Some(text) = exception {
        page.hanging(Tone::Plain, &" ".repeat(crate::command::text::width(lead)), &text);
    }
}

/// What was thrown, as OpenTelemetry names it: `exception.type: exception.message`.
pub(crate) fn exception(attributes: &Attributes) -> Option<String> {
    let of = |name: &str| attributes.get(name).map(String::as_str).filter(|text| !text.is_empty());
    match (of("exception.type"), of("exception.message")) {
        (Some(kind), Some(message)) => Some(format!("{kind}: {message}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}
