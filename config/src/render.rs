//! Mistakes as text for a terminal or a log.

use std::fmt::Write;

use crate::mistake::Mistake;
use crate::redact::Shown;

/// How much of a long line is shown, and how much of it before the place.
const LINE_MAX: usize = 120;
const BEFORE_MAX: usize = 60;

struct Paint {
    color: bool,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.color {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn place(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn wrong(&self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn gutter(&self, text: &str) -> String {
        self.with("34", text)
    }

    fn help(&self, text: &str) -> String {
        self.with("36", text)
    }
}

/// Every mistake with its line and caret, then how many there are.
pub(crate) fn render(path: &str, shown: &Shown, mistakes: &[Mistake], color: bool) -> String {
    let paint = Paint { color };
    let mut out = String::new();
    for mistake in mistakes {
        let message = printable(&mistake.message);
        let _ = writeln!(
            out,
            "{}: {}",
            paint.place(&place(path, shown, mistake)),
            paint.wrong(&message)
        );
        let mut gutter = 3;
        if let Some(span) = &mistake.span {
            let line = Line::around(shown, span);
            let number = line.number.to_string();
            gutter = number.len() + 2;
            let _ = writeln!(out, "{} {}", paint.gutter(&format!("  {number} |")), line.text);
            let caret = format!("{}{}", " ".repeat(line.caret), "^".repeat(line.width));
            let _ = writeln!(
                out,
                "{} {}",
                paint.gutter(&format!("{:gutter$} |", "")),
                paint.wrong(&caret)
            );
        }
        if let Some(help) = &mistake.help {
            let _ = writeln!(
                out,
                "{} {}",
                paint.gutter(&format!("{:gutter$} =", "")),
                paint.help(&printable(help))
            );
        }
        out.push('\n');
    }
    out.push_str(&headline(path, mistakes.len()));
    out.push('\n');
    out
}

/// "3 mistakes in watchkeep.toml".
pub(crate) fn headline(path: &str, count: usize) -> String {
    match count {
        1 => format!("1 mistake in {path}"),
        _ => format!("{count} mistakes in {path}"),
    }
}

/// "watchkeep.toml:3:1", as editors and terminals understand it.
pub(crate) fn place(path: &str, shown: &Shown, mistake: &Mistake) -> String {
    match &mistake.span {
        Some(span) => {
            let (line, column) = shown.line_and_column(span.start);
            format!("{path}:{line}:{column}")
        }
        None => path.to_owned(),
    }
}

/// Nothing that drives a terminal: control and text-direction characters become a visible mark.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(printable_char).collect()
}

fn printable_char(letter: char) -> char {
    match letter {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => '\u{fffd}',
        letter if letter.is_control() => '\u{fffd}',
        letter => letter,
    }
}

/// The line of a mistake, cut to fit, and where its caret stands.
struct Line {
    number: usize,
    text: String,
    caret: usize,
    width: usize,
}

impl Line {
    fn around(shown: &Shown, span: &std::ops::Range<usize>) -> Self {
        let (number, _) = shown.line_and_column(span.start);
        let span = shown.span(span);
        let text = shown.text();
        let before = text.get(..span.start).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        let caret = before.get(start..).unwrap_or_default().chars().count();
        let marked = text
            .get(span.clone())
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default();
        let left_out = caret.saturating_sub(BEFORE_MAX);
        let mut shown_line: String = line.chars().skip(left_out).take(LINE_MAX).map(printable_char).collect();
        let mut caret = caret - left_out;
        let length = shown_line.chars().count();
        if line.chars().count() > left_out + LINE_MAX {
            shown_line.push('…');
        }
        if left_out > 0 {
            shown_line.insert(0, '…');
            caret += 1;
        }
        let width = marked.chars().count().min((length + 1).saturating_sub(caret)).max(1);
        Self {
            number,
            text: shown_line,
            caret,
            width,
        }
    }
}
