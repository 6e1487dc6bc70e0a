//! From a fault and its place to words for somebody who was just woken.

use crate::fault::What;
use crate::mistake::{Mistake, quoted, suggest, unexplained};
use crate::redact;
use crate::secret;
use crate::tree::{Node, Step, Value};

/// The mistake that a fault at a place is.
pub(crate) fn mistake(what: &What, path: &[Step], is_at_key: bool, root: &Node) -> Mistake {
    let span = if is_at_key {
        root.entry_at(path).map(|entry| entry.key_span.clone())
    } else {
        place(path, root)
    };
    let (message, help) = words(what, path, is_at_key, root);
    let mut mistake = Mistake {
        span,
        help,
        by_reader: true,
        ..Mistake::new(message)
    };
    let is_wrong_place = matches!(what, What::UnknownKey(known) if *known == secret::PLACES);
    if is_wrong_place || matches!(what, What::Said(text) if text.starts_with(secret::NOT_A_PLACE)) {
        mistake.hidden = root.at(path).map(|node| node.span.clone());
    }
    mistake
}

fn place(path: &[Step], root: &Node) -> Option<std::ops::Range<usize>> {
    if path.is_empty() {
        None
    } else {
        root.at(path).map(|node| node.span.clone())
    }
}

fn words(what: &What, path: &[Step], is_at_key: bool, root: &Node) -> (String, Option<String>) {
    let subject = subject(path);
    let parent = path.split_last().map_or(path, |(_, parent)| parent);
    match what {
        What::Said(text) => {
            let (message, help) = unexplained(text);
            let message = if is_at_key {
                message.to_owned()
            } else {
                format!("{subject}: {message}")
            };
            (message, help.map(str::to_owned))
        }
        What::Expected(expected, keys) => {
            let found = root
                .at(path)
                .map_or_else(|| "nothing".to_owned(), |node| found(node, last_key(path)));
            let help = (!keys.is_empty()).then(|| format!("its keys: {}", keys.join(", ")));
            (
                format!("{subject}: expected {}, found {found}", expectation(expected)),
                help,
            )
        }
        What::UnknownKey(known) => {
            let what = if parent.is_empty() { "section or key" } else { "key" };
            (
                format!("unknown {what} {subject}{}", inside(parent)),
                Some(choices(last_key(path), known, "allowed here")),
            )
        }
        What::UnknownChoice(word, known) if is_at_key => (
            format!("unknown kind {subject}{}", inside(parent)),
            Some(choices(word, known, "there are")),
        ),
        What::UnknownChoice(word, known) => (
            format!("{subject}: {} is not one of its values", quoted(word)),
            Some(choices(word, known, "possible are")),
        ),
        What::NoKind(known) => (
            format!("{subject} says no kind"),
            Some(format!("write one of {}", known.join(", "))),
        ),
        What::SecondKind(first) => (
            format!("{subject} beside `{first}`{}: one kind only", inside(parent)),
            Some("leave out one of the two".into()),
        ),
        What::BareKind(kind) => (
            format!("{subject}: `{kind}` needs its settings"),
            Some(format!("write {{ {kind} = {{ … }} }}")),
        ),
        What::NoSettings(choice) => (
            format!("`{choice}` takes no settings"),
            Some(format!("write {choice:?} alone")),
        ),
        What::Missing(field) => missing(&[field], path),
        What::Twice(field) => (format!("`{field}` is given twice{}", inside(path)), None),
    }
}

/// One sentence for all that is missing in a table.
pub(crate) fn missing(fields: &[&str], path: &[Step]) -> (String, Option<String>) {
    let quoted: Vec<_> = fields.iter().map(|field| format!("`{field}`")).collect();
    let message = match quoted.split_last() {
        Some((last, [])) => format!("{last} is missing{}", inside(path)),
        Some((last, others)) => format!("{} and {last} are missing{}", others.join(", "), inside(path)),
        None => format!("something is missing{}", inside(path)),
    };
    let wanted: Vec<_> = fields.iter().map(|field| format!("`{field} = …`")).collect();
    (message, Some(format!("add {}", wanted.join(", "))))
}

fn choices(word: &str, known: &[&str], lead: &str) -> String {
    let list = known.join(", ");
    let list = if known.is_empty() { "nothing".to_owned() } else { list };
    match suggest(word, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`? {lead}: {list}"),
        None => format!("{lead}: {list}"),
    }
}

fn last_key(path: &[Step]) -> &str {
    path.iter()
        .rev()
        .find_map(|step| match step {
            Step::Field(key) | Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
        .unwrap_or_default()
}

/// What is spoken of: "`every`", "item 2 of `notify`".
fn subject(path: &[Step]) -> String {
    match path.last() {
        Some(Step::Index(index)) => format!("item {} of `{}`", index + 1, shortened(last_key(path))),
        Some(_) => format!("`{}`", shortened(last_key(path))),
        None => "the file".to_owned(),
    }
}

fn shortened(key: &str) -> String {
    if key.chars().count() <= 60 {
        key.to_owned()
    } else {
        key.chars().take(59).chain(['…']).collect()
    }
}

/// " in [probe.shop]", or nothing at the top.
fn inside(path: &[Step]) -> String {
    let mut name = String::new();
    for step in path {
        match step {
            Step::Index(index) => name.push_str(&format!("[{}]", index + 1)),
            Step::Field(key) | Step::Key(key) => {
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&shortened(key));
            }
        }
    }
    if name.is_empty() { name } else { format!(" in [{name}]") }
}

fn found(node: &Node, key: &str) -> String {
    match &node.value {
        Value::Text(text) if redact::is_secret(key, text) => "text".to_owned(),
        Value::Text(text) => format!("the text {}", quoted(text)),
        _ if redact::is_secret(key, "") => "something else".to_owned(),
        Value::Integer(Some(number)) => format!("the number {number}"),
        Value::Integer(None) => "a number that is too large".to_owned(),
        Value::Float(number) => format!("the number {number}"),
        Value::Boolean(is_true) => format!("{is_true}"),
        Value::Date(date) => format!("the date {date}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        Value::Guess(_) | Value::Gone => "nothing".to_owned(),
    }
}

/// What serde expected, in the words of the file's reader.
fn expectation(expected: &str) -> String {
    let plain = match expected {
        "a string" | "a borrowed string" | "string" | "path string" | "str" => "text in quotes",
        "a boolean" => "true or false",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" | "u128" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a nonzero u8" => "a whole number from 1 to 255",
        "a nonzero u16" => "a whole number from 1 to 65535",
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "a nonzero u64" | "a nonzero usize" => "a whole number above 0",
        "a sequence" => "a list, `[…]`",
        "a map" => "a table",
        "a character" => "a single character",
        "unit" => "nothing",
        _ if expected.starts_with("struct ") || expected.starts_with("internally tagged ") => "a table",
        _ => expected,
    };
    plain.to_owned()
}
