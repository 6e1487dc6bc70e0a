//! Times and durations as a person reads them: UTC, and said so.

use events::Timestamp;
use jiff::{SignedDuration, tz::TimeZone};

/// `2026-11-21 03:12:04 UTC`.
pub(crate) fn moment(at: Timestamp) -> String {
    let zoned = at.to_jiff().to_zoned(TimeZone::UTC);
    format!("{} UTC", zoned.strftime("%Y-%m-%d %H:%M:%S"))
}

/// `03:12:04`.
fn time(at: Timestamp) -> String {
    at.to_jiff().to_zoned(TimeZone::UTC).strftime("%H:%M:%S").to_string()
}

/// `03:12:04–03:15:10 UTC`, with the days when they differ.
pub(crate) fn stretch(from: Timestamp, to: Timestamp) -> String {
    let day = |at: Timestamp| at.to_jiff().to_zoned(TimeZone::UTC).date();
    if day(from) == day(to) {
        format!("{}–{} UTC", time(from), time(to))
    } else {
        format!("{} – {}", moment(from), moment(to))
    }
}

/// The two largest units: `3m 12s`, `1h 5m`, `2d 3h`. Less than a second is `0s`; the sign is left out.
pub(crate) fn duration(length: SignedDuration) -> String {
    let seconds = length.as_secs().unsigned_abs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, unit) in units {
        if rest >= size || !parts.is_empty() {
            parts.push((rest / size, unit));
            rest %= size;
        }
    }
    let shown: Vec<String> = parts
        .iter()
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if shown.is_empty() {
        "0s".to_owned()
    } else {
        shown.join(" ")
    }
}

/// A text on one line and no longer than so many characters; what is cut is marked.
pub(crate) fn clip(text: &str, characters: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= characters {
        return line;
    }
    let mut kept: String = line.chars().take(characters.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// `1 message`, `3 messages`.
pub(crate) fn count(number: usize, one: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {one}s")
    }
}
