//! Hiding what looks like a secret in a configuration text.
//!
//! Secrets are places, so there should be nothing to hide; this is for the file that has one all the same: values of
//! keys that sound secret, the user part and the query of addresses, and what a command is given as a credential.

use std::borrow::Cow;
use std::ops::Range;

use crate::tree::{Node, Value};

mod text;

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

/// The configuration text as it is kept in the record: values of keys that look like secrets, the user part of
/// addresses and the values in their queries, and values of a command's words that look like credentials
/// (`--password=…`, `--token …`, `Authorization: …`) become `<redacted>`, whatever their length was. Valid TOML stays
/// valid TOML.
///
/// Keys that look like secrets: those with a word such as `password`, `token` or `secret` in them, or ending in `_key`.
/// `{ env = "X" }` and the like under such a key is a place and stays. In what rules are made of and say (`when`,
/// `clear`, `summary`, `runbook`) only the user part of addresses is hidden: it is used as it was recorded.
///
/// Where something was hidden, a last line `# hidden: 3f` tells one of 256 apart: enough to notice that a hidden value
/// changed, too little to find it out by trying.
pub fn redacted(source_text: &str) -> String {
    let changes = replacements(source_text);
    let mut text = replace(source_text, &changes);
    let mut hash = blake3::Hasher::new();
    let mut hides = false;
    for (range, with) in changes {
        let before = source_text.get(range).unwrap_or_default();
        if before != with {
            hash.update(before.as_bytes()).update(&[0]);
            hides = true;
        }
    }
    if hides {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let check = hash.finalize().to_hex();
        text.push_str(&format!("# hidden: {}\n", check.get(..2).unwrap_or_default()));
    }
    text
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
    sounds_secret(key) || matches!(text::hidden(Some(key), value), Cow::Owned(_))
}

/// Whether there is something to hide in a line that may not be TOML.
pub(crate) fn hides_something(line: &str) -> bool {
    secret_value(line).is_some() || matches!(text::hidden(None, line), Cow::Owned(_))
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
            Value::Array(items) => {
                let mut before = None;
                for item in items {
                    match &item.value {
                        Value::Text(word) if !key.is_some_and(sounds_secret) => {
                            self.taken.push(item.span.clone());
                            self.hide(item, text::hidden_word(key, before, word));
                            before = Some(word.as_str());
                        }
                        _ => {
                            self.walk(item, key);
                            before = None;
                        }
                    }
                }
            }
            Value::Boolean(_) | Value::Guess(_) | Value::Gone => {}
            plain => {
                self.taken.push(node.span.clone());
                if key.is_some_and(sounds_secret) {
                    self.changes.push((node.span.clone(), toml_text(REDACTED)));
                } else if let Value::Text(value) = plain {
                    self.hide(node, text::hidden(key, value));
                }
            }
        }
    }

    fn hide(&mut self, node: &Node, hidden: Cow<'_, str>) {
        if let Cow::Owned(hidden) = hidden {
            self.changes.push((node.span.clone(), toml_text(&hidden)));
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
            let is_credential = matches!(text::without_user(comment), Cow::Owned(_))
                || secret_value(comment).is_some()
                || text::value_at(comment).is_some();
            if is_credential {
                self.changes.push((at..end, format!("# {REDACTED}")));
            } else if let Cow::Owned(hidden) = text::without_query(comment) {
                self.changes.push((at..end, hidden));
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
            } else if let Cow::Owned(hidden) = text::hidden(None, content) {
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

/// A basic string on one line. JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
fn toml_text(value: &str) -> String {
    serde_json::Value::from(value).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests;
