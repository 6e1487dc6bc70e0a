//! Hiding what looks like a secret in a configuration text.
//!
//! Secrets are places, so there should be nothing to hide; this is for the file that has one all the same: values of
//! keys that sound secret, and the user part of addresses.

use std::borrow::Cow;
use std::ops::Range;

use crate::tree::{Node, Value};

const REDACTED: &str = "<redacted>";
const SECRET_WORDS: [&str; 12] = [
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "secrets",
    "token",
    "tokens",
    "authorization",
    "apikey",
    "cookie",
];
/// A key that ends so names where or how long, not what.
const HARMLESS_ENDS: [&str; 8] = ["file", "path", "env", "dir", "ttl", "public_key", "age", "every"];

/// The configuration text as it is kept in the record: values of keys that look like secrets and the user part of
/// addresses become `<redacted>`, whatever their length was. Valid TOML stays valid TOML.
///
/// Keys that look like secrets: those with a word such as `password`, `token` or `secret` in them, or ending in `_key`.
/// `{ env = "X" }` and the like under such a key is a place and stays.
pub fn redacted(source_text: &str) -> String {
    replace(source_text, &replacements(source_text))
}

/// A text with its secrets replaced, and how places in it correspond to places in the original.
#[derive(Clone)]
pub(crate) struct Shown {
    original_lines: Vec<usize>,
    original: String,
    text: String,
    replaced: Vec<(Range<usize>, usize)>,
}

impl Shown {
    /// Hides what looks like a secret, and what is known to be one.
    pub(crate) fn new(original: &str, hidden: impl Iterator<Item = Range<usize>>) -> Self {
        let mut changes = replacements(original);
        for range in hidden {
            changes.retain(|(other, _)| other.end <= range.start || range.end <= other.start);
            changes.push((range, REDACTED.to_owned()));
        }
        changes.sort_by_key(|(range, _)| range.start);
        for (range, with) in &mut changes {
            // Lines keep their numbers.
            let newlines = original.get(range.clone()).unwrap_or_default().matches('\n').count();
            with.push_str(&"\n".repeat(newlines));
        }
        let original_lines = std::iter::once(0)
            .chain(original.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        let replaced = changes
            .iter()
            .map(|(range, with)| (range.clone(), with.len()))
            .collect();
        Self {
            original_lines,
            original: original.to_owned(),
            text: replace(original, &changes),
            replaced,
        }
    }

    /// The text that may be shown.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Where a range of the original stands in the shown text.
    pub(crate) fn span(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.offset(span.start, false);
        start..self.offset(span.end, true).max(start)
    }

    fn offset(&self, original: usize, is_end: bool) -> usize {
        let (mut grown, mut shrunk) = (0, 0);
        for (range, length) in &self.replaced {
            if range.end <= original {
                grown += length;
                shrunk += range.len();
            } else if range.start < original {
                let start = range.start + grown - shrunk;
                return self.on_boundary(if is_end { start + length } else { start });
            }
        }
        self.on_boundary((original + grown).saturating_sub(shrunk))
    }

    fn on_boundary(&self, offset: usize) -> usize {
        self.text.floor_char_boundary(offset)
    }

    /// The line and the column of an offset in the original, both counted from one.
    pub(crate) fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let line = self.original_lines.partition_point(|start| *start <= offset).max(1);
        let start = self.original_lines.get(line - 1).copied().unwrap_or_default();
        let end = self.original.floor_char_boundary(offset);
        let column = self.original.get(start..end).unwrap_or_default().chars().count();
        (line, column + 1)
    }
}

/// Whether a value under a key must not be quoted.
pub(crate) fn is_secret(key: &str, value: &str) -> bool {
    sounds_secret(key) || matches!(without_user(value), Cow::Owned(_))
}

/// Whether there is something to hide in a line that may not be TOML.
pub(crate) fn hides_something(line: &str) -> bool {
    secret_value(line).is_some() || matches!(without_user(line), Cow::Owned(_))
}

fn replace(text: &str, changes: &[(Range<usize>, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (range, with) in changes {
        out.push_str(text.get(at..range.start).unwrap_or_default());
        out.push_str(with);
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// What to replace by what, in order, without overlaps.
fn replacements(text: &str) -> Vec<(Range<usize>, String)> {
    let (root, errors) = Node::parse(text);
    let mut found = Found::default();
    found.walk(&root, None);
    found.taken.sort_by_key(|range| range.start);
    found.comments(text);
    if !errors.is_empty() {
        found.lines(text);
    }
    found.changes.sort_by_key(|(range, _)| (range.start, range.end));
    let mut end = 0;
    found.changes.retain(|(range, _)| {
        let is_free = range.start >= end && text.get(range.clone()).is_some();
        if is_free {
            end = range.end;
        }
        is_free
    });
    found.changes
}

#[derive(Default)]
struct Found {
    changes: Vec<(Range<usize>, String)>,
    /// Where keys and plain values stand, so that a `#` in them is no comment.
    taken: Vec<Range<usize>>,
}

impl Found {
    fn walk(&mut self, node: &Node, key: Option<&str>) {
        match &node.value {
            Value::Table(entries) => {
                for entry in entries {
                    self.taken.push(entry.key_span.clone());
                    self.walk(&entry.node, Some(&entry.key));
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.walk(item, key)),
            Value::Boolean(_) | Value::Guess(_) | Value::Gone => {}
            plain => {
                self.taken.push(node.span.clone());
                if key.is_some_and(sounds_secret) {
                    self.changes.push((node.span.clone(), toml_text(REDACTED)));
                } else if let Value::Text(value) = plain
                    && let Cow::Owned(hidden) = without_user(value)
                {
                    self.changes.push((node.span.clone(), toml_text(&hidden)));
                }
            }
        }
    }

    fn comments(&mut self, text: &str) {
        let mut end = 0;
        for (at, _) in text.match_indices('#') {
            let next = self.taken.partition_point(|range| range.start <= at);
            let is_taken = next
                .checked_sub(1)
                .and_then(|last| self.taken.get(last))
                .is_some_and(|range| at < range.end);
            if at < end || is_taken {
                continue;
            }
            let comment = text.get(at..).unwrap_or_default().lines().next().unwrap_or_default();
            end = at + comment.len();
            if matches!(without_user(comment), Cow::Owned(_)) || secret_value(comment).is_some() {
                self.changes.push((at..end, format!("# {REDACTED}")));
            }
        }
    }

    /// Where the text cannot be parsed: line by line, and rather too much than too little.
    fn lines(&mut self, text: &str) {
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let content = line.trim_end_matches(['\n', '\r']);
            if let Some(at) = secret_value(content).or_else(|| value_without_equals(content)) {
                self.changes
                    .push((start + at..start + content.len(), REDACTED.to_owned()));
            } else if let Cow::Owned(hidden) = without_user(content) {
                self.changes.push((start..start + content.len(), hidden));
            }
            start += line.len();
        }
    }
}

/// Where in a line the value of a key begins that sounds secret, unless it is a place or a list.
fn secret_value(line: &str) -> Option<usize> {
    line.match_indices('=').find_map(|(at, _)| {
        let (before, after) = line.split_at_checked(at)?;
        let is_key_letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_');
        let before = before.trim_end().trim_end_matches(['"', '\'']);
        let key = before.rsplit(|letter| !is_key_letter(letter)).next()?;
        let value = after.trim_start_matches(['=', ' ', '\t']);
        let is_plain = !value.is_empty() && !value.starts_with(['{', '[']);
        (sounds_secret(key) && is_plain).then_some(line.len() - value.len())
    })
}

/// `password hunter2`, `password: hunter2`.
fn value_without_equals(line: &str) -> Option<usize> {
    let (key, value) = line.trim_start().split_once([' ', '\t', ':'])?;
    let value = value.trim_start_matches([' ', '\t', ':']);
    (sounds_secret(key) && !value.is_empty() && !value.starts_with('=')).then_some(line.len() - value.len())
}

fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    if HARMLESS_ENDS.iter().any(|end| key.ends_with(end)) {
        return false;
    }
    key.ends_with("_key") || key.split('_').any(|word| SECRET_WORDS.contains(&word))
}

/// A text in which the user part of every address is hidden; borrowed when there is none.
fn without_user(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after
            .find(|letter: char| letter.is_whitespace() || "/?#\"'<>".contains(letter))
            .unwrap_or(after.len());
        let authority = after.get(..end).unwrap_or_default();
        rest = match authority.rfind('@') {
            Some(at) if authority.get(..at) != Some(REDACTED) => {
                out.push_str(REDACTED);
                after.get(at..).unwrap_or_default()
            }
            _ => after,
        };
    }
    if out.is_empty() || !out.contains(REDACTED) {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    if out == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(out)
    }
}

/// A basic string on one line. JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
fn toml_text(value: &str) -> String {
    serde_json::Value::from(value).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests;
