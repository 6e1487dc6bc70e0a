//! Credentials within a text: in addresses, and in the words of a command.

use std::borrow::Cow;

use super::{HARMLESS_ENDS, REDACTED, sounds_secret};

/// Texts that people read in messages or that rules are made of: they are used as they were recorded, so that only the
/// user part of an address is hidden in them.
const SPOKEN: [&str; 4] = ["when", "clear", "summary", "runbook"];
/// `PGPASSWORD`, `--accessToken`.
const SECRET_ENDS: [&str; 6] = ["password", "passwd", "passphrase", "secret", "token", "apikey"];

/// The value of a key with what looks like a credential hidden; borrowed when there is nothing.
pub(super) fn hidden<'a>(key: Option<&str>, text: &'a str) -> Cow<'a, str> {
    if key.is_some_and(|key| SPOKEN.contains(&key)) {
        return without_user(text);
    }
    let mut out = text.to_owned();
    for hide in [without_query, without_user, without_values] {
        if let Cow::Owned(hidden) = hide(&out) {
            out = hidden;
        }
    }
    if out == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(out)
    }
}

/// The same for the words of a list, of which one may announce the next: `"--token", "abc"`.
pub(super) fn hidden_word<'a>(key: Option<&str>, before: Option<&str>, word: &'a str) -> Cow<'a, str> {
    if before.is_some_and(announces) && is_value(word) {
        return Cow::Owned(REDACTED.to_owned());
    }
    hidden(key, word)
}

/// A text in which the user part of every address is hidden.
pub(super) fn without_user(text: &str) -> Cow<'_, str> {
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

/// A text in which the values in the query of every address are hidden: any of them may be a token. An address that
/// is the whole text may have blanks.
pub(super) fn without_query(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let is_all = out.is_empty() && before.chars().all(|letter| letter.is_alphanumeric() || letter == '+');
        let end = if is_all { None } else { after.find(char::is_whitespace) };
        let (address, behind) = after
            .split_at_checked(end.unwrap_or(after.len()))
            .unwrap_or((after, ""));
        out.push_str(before);
        out.push_str("://");
        let start = address.find(['?', '#']).unwrap_or(address.len());
        let (place, query) = address.split_at_checked(start).unwrap_or((address, ""));
        out.push_str(place);
        let mut is_fragment = false;
        for piece in query.split_inclusive(['?', '&', ';', '#']) {
            let pair = piece.trim_end_matches(['?', '&', ';', '#']);
            match pair.split_once('=') {
                Some((name, value)) if !value.trim_matches('=').is_empty() => {
                    out.extend([name, "=", REDACTED]);
                }
                None if pair.is_empty() || is_fragment => out.push_str(pair),
                _ => out.push_str(REDACTED),
            }
            out.push_str(piece.get(pair.len()..).unwrap_or_default());
            is_fragment |= piece.ends_with('#');
        }
        rest = behind;
    }
    out.push_str(rest);
    if out == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(out)
    }
}

/// A text cut off where the value of something that sounds secret begins.
fn without_values(text: &str) -> Cow<'_, str> {
    match value_at(text).and_then(|at| text.get(..at)) {
        Some(before) => Cow::Owned(format!("{before}{REDACTED}")),
        None => Cow::Borrowed(text),
    }
}

/// Where a secret value begins: `--password=…`, `PGPASSWORD=…`, `--token …`, `Authorization: …`.
pub(super) fn value_at(text: &str) -> Option<usize> {
    let is_mark = |letter: char| matches!(letter, '=' | ':') || letter.is_whitespace();
    text.match_indices(is_mark).find_map(|(at, mark)| {
        let (before, after) = text.split_at_checked(at)?;
        let after = after.strip_prefix(mark)?;
        let begins_secret = match mark {
            "=" => named(before),
            ":" => (before.ends_with(['"', '\'']) || after.starts_with([' ', '\t'])) && named(before),
            _ => before.rsplit(char::is_whitespace).next().is_some_and(announces),
        };
        let value = after.trim_start_matches([' ', '\t', '"', '\'']);
        (begins_secret && is_value(value)).then_some(text.len() - value.len())
    })
}

/// Whether what stands before a `=` or `:` ends in a name that sounds secret.
fn named(before: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let before = before.trim_end_matches(['"', '\'']);
    let name = before.rsplit(|letter| !is_letter(letter)).next();
    name.is_some_and(names_secret)
}

/// Whether the word after this one is a secret.
fn announces(word: &str) -> bool {
    let last = word.rsplit(char::is_whitespace).next().unwrap_or_default();
    let last = last.trim_matches(['"', '\'']);
    last == "Bearer" || (last.starts_with('-') && !last.contains('=') && names_secret(last))
}

/// Another option is none, and neither is what is hidden already.
fn is_value(word: &str) -> bool {
    !word.is_empty() && !word.starts_with("--") && !word.starts_with(REDACTED)
}

fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '.'], "_");
    if HARMLESS_ENDS.iter().any(|end| name.ends_with(end)) {
        return false;
    }
    let mut words = name.split('_');
    sounds_secret(&name)
        || name.rsplit('_').next() == Some("pass")
        || words.any(|word| SECRET_ENDS.iter().any(|end| word.ends_with(end)))
}
