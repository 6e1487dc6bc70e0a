//! Syntax: what TOML itself cannot read, in words, and a tree of all the rest.
//!
//! The parser recovers from a bad value by itself. Where it would lose the rest of the file, the bad lines are blanked
//! (places stay the same) and the text is parsed again.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::mistake::{MISTAKES_MAX, Mistake};
use crate::redact;
use crate::tree::{Node, Value};

/// How many complaints of the parser are looked at; several may be one mistake.
const ERRORS_MAX: usize = 1000;

/// What could be read, and what could not.
pub(crate) struct Parsed {
    pub(crate) root: Node,
    pub(crate) mistakes: Vec<Mistake>,
    /// Whole sections had to be left out: what refers to them must not be told off for it.
    pub(crate) lost_sections: bool,
}

/// Parses a text with whatever can be saved of it.
pub(crate) fn parse(text: &str) -> Parsed {
    let mut work = Work {
        original: text,
        text: text.to_owned(),
        ..Work::default()
    };
    let mut root = loop {
        let (root, mut errors) = Node::parse(&work.text);
        errors.sort_by_key(|error| span_of(error).start);
        let is_blanked = errors.iter().any(|error| work.is_new(error) && work.take(&root, error));
        if !is_blanked || work.mistakes.len() >= MISTAKES_MAX {
            break root;
        }
    };
    work.mark(&mut root);
    Parsed {
        root,
        mistakes: work.mistakes,
        lost_sections: work.lost_sections,
    }
}

fn span_of(error: &toml::de::Error) -> Range<usize> {
    error.span().unwrap_or(0..0)
}

#[derive(Default)]
struct Work<'t> {
    original: &'t str,
    text: String,
    mistakes: Vec<Mistake>,
    /// Places that were looked at already.
    seen: BTreeSet<usize>,
    /// Starts of the lines that were told off already: one mistake a line.
    lines: BTreeSet<usize>,
    blanked: Vec<usize>,
    /// Places of mistakes within a value that could be read after all.
    broken: Vec<Range<usize>>,
    lost_sections: bool,
}

impl Work<'_> {
    /// Whether an error is to be looked at: once each, and not without end.
    fn is_new(&mut self, error: &toml::de::Error) -> bool {
        self.seen.len() < ERRORS_MAX && self.mistakes.len() < MISTAKES_MAX && self.seen.insert(span_of(error).start)
    }

    /// Notes an error. True when lines had to be blanked, so that the text is to be parsed again.
    fn take(&mut self, root: &Node, error: &toml::de::Error) -> bool {
        let span = span_of(error);
        let line = self.line(span.start);
        if error.message().starts_with("duplicate key") {
            self.note(line.start, twice(self.original, root, &span));
            return false;
        }
        if let Some(open) = self.open_bracket(root, &span) {
            return self.take_open_bracket(&open, &span, error.message());
        }
        let is_header = self
            .text
            .get(line.clone())
            .is_some_and(|line| line.trim_start().starts_with('['));
        if is_header {
            self.note(line.start, worded(self.original, error.message(), span));
            let rest = self.text.get(line.end..).unwrap_or_default();
            let next = rest.find("\n[").map_or(self.text.len(), |at| line.end + at);
            self.lost_sections = true;
            return self.blank(line.start..next);
        }
        if let Some(value) = plain_value(root, &span) {
            if value.value.is_long_text() && self.text.get(value.span.clone()).is_some_and(|raw| raw.contains('\n')) {
                return self.take_open_text(value.span.clone());
            }
            self.note(
                line.start,
                in_value(self.original, error.message(), span.clone(), value),
            );
            self.broken.push(span);
            return false;
        }
        self.note(line.start, worded(self.original, error.message(), span));
        self.blank(line)
    }

    fn take_open_text(&mut self, span: Range<usize>) -> bool {
        let line = self.line(span.start);
        let mistake = Mistake::at(span.start..span.start + 3, "this text has no closing quotes")
            .help("a text over several lines ends with three quotes, as it began");
        self.note(line.start, mistake);
        self.lost_sections = true;
        let end = self.text.len();
        self.blank(line.start..end)
    }

    /// A list or table that began on an earlier line: either it lacks its bracket, or it has a mistake inside.
    fn take_open_bracket(&mut self, open: &Range<usize>, span: &Range<usize>, message: &str) -> bool {
        let raw = self.text.get(open.clone()).unwrap_or_default();
        let is_list = raw.starts_with('[');
        let (name, closing) = if is_list { ("list", ']') } else { ("table", '}') };
        let first_line = self.line(open.start);
        let is_closed = raw.len() > 1 && raw.ends_with(closing);
        if is_closed {
            let line = self.line(span.start);
            self.note(line.start, worded(self.original, message, span.clone()));
            let last_line = self.line(open.end);
            return self.blank(first_line.start..last_line.end);
        }
        let mistake = Mistake::at(
            open.start..open.start + 1,
            format!("this {name} has no closing `{closing}`"),
        )
        .help(format!("put `{closing}` after its last entry, and `,` between entries"));
        self.note(first_line.start, mistake);
        let end = self.line(span.start.saturating_sub(1).max(open.start)).end;
        self.blank(first_line.start..end)
    }

    /// The innermost list or inline table around a place that began on an earlier line.
    fn open_bracket(&self, root: &Node, span: &Range<usize>) -> Option<Range<usize>> {
        let line = self.line(span.start);
        let mut found = None;
        root.visit(&mut |node| {
            let begins = self
                .text
                .get(node.span.clone())
                .is_some_and(|raw| raw.starts_with(['[', '{']));
            let is_bracket = begins && !self.is_header_at(node.span.start);
            if is_bracket && node.span.start < line.start && span.start <= node.span.end {
                found = Some(node.span.clone());
            }
        });
        // An outer one without its bracket swallows what follows: then the outer one is to blame.
        found.map(|inner| self.outermost_open(root, inner))
    }

    fn outermost_open(&self, root: &Node, inner: Range<usize>) -> Range<usize> {
        let mut outer = inner.clone();
        root.visit(&mut |node| {
            let raw = self.text.get(node.span.clone()).unwrap_or_default();
            let closing = if raw.starts_with('[') { ']' } else { '}' };
            let is_open = raw.starts_with(['[', '{']) && (raw.len() < 2 || !raw.ends_with(closing));
            let is_around = node.span.start < outer.start && inner.end <= node.span.end;
            if is_open && is_around && !self.is_header_at(node.span.start) {
                outer = node.span.clone();
            }
        });
        outer
    }

    fn is_header_at(&self, offset: usize) -> bool {
        let line = self.line(offset);
        self.text
            .get(line.start..offset)
            .is_some_and(|before| before.trim().is_empty())
    }

    /// The line around an offset, without its newline.
    fn line(&self, offset: usize) -> Range<usize> {
        let offset = self.text.floor_char_boundary(offset);
        let (before, after) = self.text.split_at_checked(offset).unwrap_or((&self.text, ""));
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let end = after.find('\n').map_or(self.text.len(), |newline| offset + newline);
        start..end
    }

    fn note(&mut self, line: usize, mistake: Mistake) {
        if self.mistakes.len() < MISTAKES_MAX && self.lines.insert(line) {
            self.mistakes.push(Mistake {
                by_reader: true,
                ..mistake
            });
        }
    }

    /// Replaces lines by spaces; false when there was nothing left to replace.
    fn blank(&mut self, range: Range<usize>) -> bool {
        let Some(lines) = self.text.get(range.clone()) else {
            return false;
        };
        if lines.trim().is_empty() {
            return false;
        }
        let spaces: String = lines
            .bytes()
            .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
            .collect();
        self.text.replace_range(range.clone(), &spaces);
        self.blanked.push(range.start);
        true
    }

    /// Marks in the tree what must not be told off for what was lost.
    fn mark(&self, root: &mut Node) {
        let mut headers = Vec::new();
        root.visit(&mut |node| {
            if matches!(node.value, Value::Table(_)) && self.text.get(node.span.clone()).is_some_and(is_header) {
                headers.push(node.span.start);
            }
        });
        headers.sort_unstable();
        let section = |offset: usize| {
            let after = headers.partition_point(|start| *start <= offset);
            after.checked_sub(1).and_then(|last| headers.get(last)).copied()
        };
        let incomplete: BTreeSet<_> = self.blanked.iter().map(|offset| section(*offset)).collect();
        let is_root_broken = self.lost_sections || incomplete.contains(&None);
        root.visit_mut(&mut |node| {
            let touches = |span: &Range<usize>| span.start <= node.span.end && node.span.start <= span.end;
            match node.value {
                Value::Table(_) => {
                    let is_section = self.text.get(node.span.clone()).is_some_and(is_header);
                    node.is_broken |= is_section && incomplete.contains(&Some(node.span.start));
                }
                Value::Array(_) => {}
                _ => node.is_broken |= self.broken.iter().any(touches),
            }
        });
        root.is_broken |= is_root_broken;
    }
}

fn is_header(raw: &str) -> bool {
    raw.starts_with('[')
}

impl Value {
    fn is_long_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }
}

/// The plain value that a place is in or right behind.
fn plain_value<'t>(root: &'t Node, span: &Range<usize>) -> Option<&'t Node> {
    let mut found = None;
    root.visit(&mut |node| {
        let is_plain = !matches!(node.value, Value::Table(_) | Value::Array(_));
        if is_plain && node.span.start <= span.start && span.start <= node.span.end {
            found = Some(node);
        }
    });
    found
}

fn twice(text: &str, root: &Node, span: &Range<usize>) -> Mistake {
    let key = text.get(span.clone()).unwrap_or_default();
    let mut first = header_before(text, span);
    root.visit(&mut |node| {
        // An inline table elsewhere may have a key of the same name.
        let is_elsewhere = text.get(node.span.clone()).is_some_and(|raw| raw.starts_with('{'))
            && !(node.span.start <= span.start && span.start <= node.span.end);
        for entry in node
            .entries()
            .iter()
            .filter(|entry| !is_elsewhere && entry.key_span.start < span.start)
        {
            if text.get(entry.key_span.clone()) == Some(key) {
                first = first.max(Some(entry.key_span.start));
            }
        }
    });
    let mistake = Mistake::at(span.clone(), format!("`{key}` is given twice"));
    match first {
        Some(offset) => {
            let line = text.get(..offset).unwrap_or_default().matches('\n').count() + 1;
            mistake.help(format!("it is there already, on line {line}: leave out one of the two"))
        }
        None => mistake.help("leave out one of the two"),
    }
}

/// The first section header that reads the same as the one around a place.
fn header_before(text: &str, span: &Range<usize>) -> Option<usize> {
    let start = text.get(..span.start)?.rfind('\n').map_or(0, |newline| newline + 1);
    let header = |line: &str| {
        let name = line.trim_start().strip_prefix('[')?.split(']').next()?;
        Some(name.trim_start_matches('[').trim().to_owned())
    };
    let wanted = header(text.get(start..)?.lines().next()?)?;
    let mut offset = 0;
    for line in text.get(..start)?.split_inclusive('\n') {
        if header(line).as_ref() == Some(&wanted) {
            return Some(offset);
        }
        offset += line.len();
    }
    None
}

/// A mistake within a value that has an end all the same.
fn in_value(text: &str, message: &str, span: Range<usize>, value: &Node) -> Mistake {
    let raw = text.get(value.span.clone()).unwrap_or_default();
    if message.starts_with("string values must be quoted") {
        if raw.is_empty() {
            return Mistake::at(span, "there is no value behind the `=`").help("add one, or leave out the line");
        }
        let line_start = text
            .get(..span.start)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |newline| newline + 1);
        let line = text.get(line_start..span.end).unwrap_or_default();
        let is_shown = raw.len() <= 60 && !raw.contains(['"', '\\']) && !redact::hides_something(line);
        let help = if is_shown {
            format!("write \"{raw}\"")
        } else {
            "write it as \"…\"".to_owned()
        };
        return Mistake::at(value.span.clone(), "text must be in quotes").help(help);
    }
    if message.starts_with("invalid boolean") {
        return Mistake::at(
            value.span.clone(),
            "expected `true`, `false`, a number or text in quotes",
        );
    }
    worded(text, message, span)
}

fn worded(text: &str, message: &str, span: Range<usize>) -> Mistake {
    let mistake = |message: &str| Mistake::at(span.clone(), message);
    let starts = |start: &str| message.starts_with(start);
    if starts("key with no value") {
        let line_start = text
            .get(..span.start)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |newline| newline + 1);
        let before = text.get(line_start..span.start).unwrap_or_default();
        let help = if before.contains(':') {
            "TOML writes `key = value`, not `key: value`"
        } else {
            "write `key = value`"
        };
        return mistake("expected `=` behind the key").help(help);
    }
    if starts("invalid unquoted key") && text.get(span.clone()) == Some(":") {
        return mistake("expected `=` behind the key").help("TOML writes `key = value`, not `key: value`");
    }
    if starts("invalid unquoted key") {
        return mistake("a key without quotes has only letters, digits, `-` and `_`").help("put the key in quotes");
    }
    if starts("unquoted keys cannot be empty") {
        return mistake("there is no key here").help("write `key = value`");
    }
    if starts("invalid basic string, expected `\"`") || starts("invalid literal string, expected `'`") {
        return mistake("this text has no closing quote");
    }
    if starts("unclosed table") || starts("unclosed array of tables") {
        return mistake("this section header has no closing bracket").help("write `[name]`, or `[[name]]` for a list");
    }
    if starts("unexpected key or value") {
        return mistake("something follows the value").help("one `key = value` on a line");
    }
    if starts("missing comma") {
        return mistake("a comma is missing here");
    }
    mistake(message)
}

#[cfg(test)]
mod tests;
