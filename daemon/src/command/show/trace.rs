//! `trace`: one request through all services, as a tree.

use std::collections::BTreeSet;

use events::{LogRecord, SpanKind, SpanRecord, Timestamp, filter::severity_word};
use web::answer::TraceAnswer;

use super::{
    logs,
    tree::{Row, Top, Tree, logs_by_span},
};
use crate::command::{
    page::{Look, Page, Tone},
    text::{counted, day, number, plain, right, time_ms, took},
};

/// Columns of start and duration.
const FIGURE: usize = 9;
/// Deeper than this the depth is written as a number.
const DEPTH_MAX: usize = 12;
/// Logs shown under one span.
const LOGS_MAX: usize = 10;

/// The page, at most so many lines.
pub(crate) fn page(answer: &TraceAnswer, most: usize, look: Look) -> String {
    let mut page = Page::new(look);
    head(&mut page, answer);
    let Some(began) = answer.spans.iter().map(|span| span.start).min() else {
        loose_logs(&mut page, &answer.logs.iter().collect::<Vec<_>>(), most);
        return page.finish();
    };
    page.gap();
    page.marked(
        Tone::Quiet,
        &format!("{}  {}", right("start", FIGURE), right("took", FIGURE)),
        "  what",
    );
    let tree = Tree::new(&answer.spans);
    let by_span = logs_by_span(&answer.spans, &answer.logs);
    let mut lines_left = most;
    let rows = tree.rows(most);
    let mut cut = rows.iter().any(|row| matches!(row, Row::More { .. }));
    for (place, row) in rows.iter().enumerate() {
        match row {
            Row::Span { .. } if lines_left == 0 => {
                more(&mut page, rows.iter().skip(place).map(Row::spans).sum(), &[]);
                cut = true;
                break;
            }
            Row::More { spans, last } => more(&mut page, *spans, last),
            Row::Span { span, last, top } => {
                let Some(span) = answer.spans.get(*span) else { continue };
                span_line(&mut page, span, began, last, *top);
                let logs = by_span.get(&Some(span.span)).map_or(&[][..], Vec::as_slice);
                lines_left -= 1;
                lines_left -= logs_beneath(&mut page, logs, last, lines_left);
            }
        }
    }
    notes(&mut page, answer, &rows, cut);
    loose_logs(
        &mut page,
        by_span.get(&None).map_or(&[], Vec::as_slice),
        lines_left.max(LOGS_MAX),
    );
    page.finish()
}

fn more(page: &mut Page, spans: usize, last: &[bool]) {
    let lead = " ".repeat(2 * FIGURE + 4) + &branch(last);
    page.marked(
        Tone::Quiet,
        &lead,
        &format!("… {} more", counted(spans as u64, "span", "spans")),
    );
}

fn head(page: &mut Page, answer: &TraceAnswer) {
    let spans = &answer.spans;
    let services: BTreeSet<&str> = spans.iter().map(|span| span.service.as_str()).collect();
    page.line(&format!("trace {}", answer.trace));
    for missing in &answer.missing {
        page.hanging(Tone::Bad, "missing: ", missing);
    }
    let (Some(began), Some(ended)) = (
        spans.iter().map(|span| span.start).min(),
        spans.iter().map(|span| span.end).max(),
    ) else {
        let text = if answer.logs.is_empty() {
            "nothing is known of it: it was never sent, or is past retention"
        } else {
            "no span is known of it, only logs"
        };
        page.wrapped(0, text);
        return;
    };
    let failed = spans.iter().filter(|span| span.is_bad()).count();
    let words = format!(
        "{}, {}, {}",
        counted(spans.len() as u64, "span", "spans"),
        counted(services.len() as u64, "service", "services"),
        took(microseconds(began, ended))
    );
    page.line(&format!("{} {} UTC, {words}", day(began), time_ms(began)));
    if failed > 0 {
        page.marked(Tone::Bad, &counted(failed as u64, "span failed", "spans failed"), "");
    }
    if answer.more {
        page.marked(Tone::Doubt, "there are more", " than an answer holds: this is a part");
    }
}

fn microseconds(from: Timestamp, until: Timestamp) -> u64 {
    u64::try_from(until.0.saturating_sub(from.0) / 1000).unwrap_or(0)
}

/// The lines that lead from a span to what is above it.
fn branch(last: &[bool]) -> String {
    let Some((own, above)) = last.split_last() else {
        return String::new();
    };
    let corner = if *own { "└─ " } else { "├─ " };
    if above.len() >= DEPTH_MAX {
        return format!("{}[{}] {corner}", "   ".repeat(DEPTH_MAX - 2), above.len() + 1);
    }
    let lines: String = above
        .iter()
        .map(|is_last| if *is_last { "   " } else { "│  " })
        .collect();
    lines + corner
}

fn span_line(page: &mut Page, span: &SpanRecord, began: Timestamp, last: &[bool], top: Option<Top>) {
    let start = format!("+{}", took(microseconds(began, span.start)));
    let lead = format!(
        "{}  {}  {}",
        right(&start, FIGURE),
        right(&took(span.duration_us()), FIGURE),
        branch(last)
    );
    let failed = span.is_bad();
    let mark = if failed { "ERROR " } else { "" };
    let kind = kind(span.kind);
    let note = match top {
        Some(Top::Orphan) => " (its parent is not known)",
        Some(Top::Loop) => " (its parents lead back to it)",
        Some(Top::Root) | None => "",
    };
    let status = status(span);
    let text = format!(
        "{mark}{}{kind} {}{note}{status}",
        plain(span.service.as_str()),
        span.name
    );
    page.marked(if failed { Tone::Bad } else { Tone::Plain }, &lead, &text);
}

fn kind(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Server => " server",
        SpanKind::Client => " client",
        SpanKind::Producer => " producer",
        SpanKind::Consumer => " consumer",
        SpanKind::Internal | SpanKind::Unspecified => "",
    }
}

/// How a request was answered, and what a failed span says of itself.
fn status(span: &SpanRecord) -> String {
    let code = ["http.response.status_code", "http.status_code"]
        .iter()
        .find_map(|name| span.attributes.get(*name))
        .map(|code| format!("HTTP {code}"));
    let message = Some(span.status_message.clone()).filter(|text| span.is_bad() && !text.is_empty());
    let thrown = exception(span).filter(|text| {
        let said = message.as_ref().is_some_and(|message| message.contains(text.as_str()));
        span.is_bad() && !said
    });
    let parts: Vec<String> = [code, message, thrown].into_iter().flatten().collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(": {}", parts.join(", "))
    }
}

fn exception(span: &SpanRecord) -> Option<String> {
    span.events
        .iter()
        .filter(|(_, name, _)| name == "exception")
        .find_map(|(_, _, attributes)| logs::exception(attributes))
}

/// The logs of a span beneath it; how many lines that took.
fn logs_beneath(page: &mut Page, logs: &[&LogRecord], last: &[bool], most: usize) -> usize {
    let above: String = last
        .iter()
        .map(|is_last| if *is_last { "   " } else { "│  " })
        .collect();
    let lead = " ".repeat(2 * FIGURE + 4) + if last.len() > DEPTH_MAX { "" } else { above.as_str() } + "  ";
    let shown = logs.len().min(LOGS_MAX).min(most);
    for log in logs.iter().take(shown) {
        let first = log.body.lines().next().unwrap_or_default();
        let thrown = logs::exception(&log.attributes)
            .filter(|text| !first.contains(text.as_str()))
            .map_or_else(String::new, |text| format!(" ({text})"));
        page.marked(
            logs::tone(log.severity),
            &lead,
            &format!("{} {first}{thrown}", severity_word(log.severity)),
        );
    }
    if logs.len() > shown {
        page.marked(
            Tone::Quiet,
            &lead,
            &format!("… {} more", counted((logs.len() - shown) as u64, "log", "logs")),
        );
    }
    shown
}

fn loose_logs(page: &mut Page, logs: &[&LogRecord], most: usize) {
    if logs.is_empty() {
        return;
    }
    page.gap();
    page.line("logs of no span that is known");
    for log in logs.iter().take(most) {
        let lead = format!(
            "{} {} {} ",
            time_ms(log.time),
            severity_word(log.severity),
            plain(log.service.as_str())
        );
        logs::body(page, logs::tone(log.severity), &lead, log);
    }
    if logs.len() > most {
        page.line(&format!("… {} more", number((logs.len() - most) as u64)));
    }
}

fn notes(page: &mut Page, answer: &TraceAnswer, rows: &[Row], cut: bool) {
    let orphans = rows
        .iter()
        .filter(|row| {
            matches!(
                row,
                Row::Span {
                    top: Some(Top::Orphan),
                    ..
                }
            )
        })
        .count();
    if orphans > 0 {
        page.gap();
        page.wrapped(0, "Spans whose parent is not known stand at the top: the parent was not sent, was sampled out, or is still under way.");
    }
    if cut {
        let spans = counted(answer.spans.len() as u64, "span", "spans");
        page.wrapped(
            0,
            &format!("Not all of {spans} are shown: --lines N shows more, --json all."),
        );
    }
}
