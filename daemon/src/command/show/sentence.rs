//! A fact as a sentence: what a person reads on the line of time.

pub(crate) mod acting;
pub(crate) mod keeping;
pub(crate) mod names;
pub(crate) mod telling;
pub(crate) mod watching;

use events::{Envelope, Fact, Reading, Timestamp};

use crate::command::{
    page::Tone,
    text::{cause, clock_utc, day, plain},
};

/// What a fact is about, what it says, and how that is to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sentence {
    /// What it is about: a probe, a rule, a destination, a backup.
    pub(crate) about: String,
    /// What happened to it.
    pub(crate) text: String,
    /// Well or not.
    pub(crate) tone: Tone,
}

fn sentence(about: impl std::fmt::Display, tone: Tone, text: impl Into<String>) -> Sentence {
    Sentence {
        about: plain(&format!("{about}")),
        text: text.into(),
        tone,
    }
}

/// The sentence of a fact.
pub(crate) fn of(envelope: &Envelope) -> Sentence {
    let fact = &envelope.fact;
    watching::of(envelope)
        .or_else(|| telling::of(fact))
        .or_else(|| keeping::of(fact))
        .or_else(|| acting::of(fact))
        .unwrap_or_else(|| unknown(envelope))
}

fn unknown(envelope: &Envelope) -> Sentence {
    let text = match envelope.fact {
        Fact::Unknown => "something that only a newer version understands".to_owned(),
        _ => envelope.fact.kind().replace('_', " "),
    };
    sentence(&envelope.stream, Tone::Quiet, text)
}

/// One leaf of a condition: `error_rate(shop, 5m) is 2.3 % (limit > 1%)`.
pub(crate) fn reading(reading: &Reading) -> String {
    let limit = if reading.limit.is_empty() {
        String::new()
    } else {
        format!(" (limit {})", reading.limit)
    };
    if reading.value.is_empty() {
        format!("{}{limit}", reading.what)
    } else {
        format!("{}: {}{limit}", reading.what, clocked(&cause(&reading.value)))
    }
}

/// The same beside moments of today, which are said without their date.
pub(crate) fn reading_on(leaf: &Reading, now: Timestamp) -> String {
    reading(leaf).replace(&format!("{} ", day(now)), "")
}

/// A text whose moments are said as everywhere on a page: `2026-11-21 03:12:45 UTC`.
fn clocked(text: &str) -> String {
    let one = |word: &str| {
        let bare = word.trim_end_matches([',', ';', ')']);
        let rest = word.strip_prefix(bare).unwrap_or_default();
        match bare.parse::<jiff::Timestamp>() {
            Ok(at) if bare.ends_with('Z') => format!("{}{rest}", clock_utc(Timestamp::from_jiff(at), Timestamp(0))),
            _ => word.to_owned(),
        }
    };
    text.split(' ').map(one).collect::<Vec<_>>().join(" ")
}

/// All leaves that hold, or all there are.
pub(crate) fn readings(all: &[Reading]) -> String {
    let holding: Vec<&Reading> = all.iter().filter(|reading| reading.holds == Some(true)).collect();
    let shown: Vec<String> = if holding.is_empty() {
        all.iter().map(reading).collect()
    } else {
        holding.into_iter().map(reading).collect()
    };
    shown.join("; ")
}

#[cfg(test)]
mod tests;
