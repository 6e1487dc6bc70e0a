//! A length of time such as `"15s"`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{UnitError, number_and_word};
use crate::mistake::{explained, quoted};

const EXPECTED: &str = "a duration such as \"500ms\", \"15s\", \"1m\", \"1h30m\" or \"30d\"";
const UNITS: [(&str, i64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
/// A hundred years: far inside what 64 bits of nanoseconds hold, so sums of a few spans cannot overflow.
const MILLIS_MAX: i64 = 36_500 * 86_400_000;

/// A positive length of time: `"500ms"`, `"15s"`, `"1m"`, `"1h30m"`, `"30d"`, `"2w"`; at most 36,500 days.
///
/// A day is 24 hours and a week seven of those; there are no calendar months.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    millis: i64,
}

impl Span {
    /// So many milliseconds; zero counts as one.
    pub const fn millis(count: u32) -> Self {
        Self::of(count, 1)
    }

    /// So many seconds; zero counts as a millisecond.
    pub const fn seconds(count: u32) -> Self {
        Self::of(count, 1_000)
    }

    /// So many minutes; zero counts as a millisecond.
    pub const fn minutes(count: u32) -> Self {
        Self::of(count, 60_000)
    }

    /// So many hours; zero counts as a millisecond.
    pub const fn hours(count: u32) -> Self {
        Self::of(count, 3_600_000)
    }

    /// So many days of 24 hours, 36,500 at most; zero counts as a millisecond.
    pub const fn days(count: u32) -> Self {
        Self::of(count, 86_400_000)
    }

    const fn of(count: u32, unit_millis: i64) -> Self {
        // At most 2^32 × 86,400,000: no overflow.
        let millis = count as i64 * unit_millis;
        if millis < 1 {
            Self { millis: 1 }
        } else if millis > MILLIS_MAX {
            Self { millis: MILLIS_MAX }
        } else {
            Self { millis }
        }
    }

    /// The duration.
    pub const fn get(self) -> SignedDuration {
        SignedDuration::from_millis(self.millis)
    }

    /// The duration in nanoseconds, the unit of every stored time.
    pub const fn as_nanos(self) -> i64 {
        self.millis * 1_000_000
    }

    /// The duration for timeouts and timers.
    pub const fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.millis.unsigned_abs())
    }
}

impl From<Span> for SignedDuration {
    fn from(span: Span) -> Self {
        span.get()
    }
}

impl From<Span> for std::time::Duration {
    fn from(span: Span) -> Self {
        span.as_std()
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let refuse = || UnitError::new(format!("{} is not a duration", quoted(text)), help(text));
        let mut rest = text;
        let mut millis = 0_i64;
        let mut unit_before = i64::MAX;
        while !rest.is_empty() {
            let (count, unit_millis, after) = part(rest).ok_or_else(refuse)?;
            if unit_millis >= unit_before {
                return Err(refuse());
            }
            unit_before = unit_millis;
            let part_millis = count.checked_mul(unit_millis);
            let sum = part_millis
                .and_then(|part| millis.checked_add(part))
                .filter(|sum| *sum <= MILLIS_MAX);
            millis = sum.ok_or_else(|| {
                UnitError::new(
                    format!("{} is too long a duration", quoted(text)),
                    "36500d is the longest",
                )
            })?;
            rest = after;
        }
        if millis > 0 {
            Ok(Self { millis })
        } else if text.is_empty() {
            Err(refuse())
        } else {
            Err(UnitError::new(
                format!("{} is no time at all", quoted(text)),
                "a duration is longer than zero",
            ))
        }
    }
}

/// One number with its unit, and what follows.
fn part(text: &str) -> Option<(i64, i64, &str)> {
    let (digits, rest) = text.split_at_checked(text.find(|letter: char| !letter.is_ascii_digit())?)?;
    let end = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at_checked(end)?;
    let (_, unit_millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    // More digits than 18 are more than a hundred years in any unit.
    let count = if digits.len() > 18 {
        i64::MAX
    } else {
        digits.parse().ok()?
    };
    Some((count, *unit_millis, rest))
}

fn help(text: &str) -> String {
    let Some((count, word)) = number_and_word(text) else {
        if !text.is_empty() && text.len() < 10 && text.chars().all(|letter| letter.is_ascii_digit()) {
            return format!("a duration needs its unit: did you mean \"{text}s\"? expected {EXPECTED}");
        }
        return format!("expected {EXPECTED}");
    };
    let unit = match word.trim_end_matches('.') {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        "w" | "week" | "weeks" => "w",
        "mo" | "month" | "months" => {
            return format!(
                "months differ in length: did you mean \"{}d\"?",
                count.saturating_mul(30)
            );
        }
        "y" | "yr" | "year" | "years" => {
            return format!(
                "years differ in length: did you mean \"{}d\"?",
                count.saturating_mul(365)
            );
        }
        _ => return format!("expected {EXPECTED}"),
    };
    format!("did you mean \"{count}{unit}\"? expected {EXPECTED}")
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.millis;
        // Weeks are read, never written: "14d" needs no thought.
        for (unit, unit_millis) in UNITS.iter().skip(1) {
            if rest >= *unit_millis {
                write!(formatter, "{}{unit}", rest / unit_millis)?;
                rest %= unit_millis;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Span;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse()
                    .map_err(|error: UnitError| E::custom(explained(&error, error.help())))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Span, E> {
                let help = format!("did you mean \"{number}s\"? expected {EXPECTED}");
                Err(E::custom(explained(
                    format_args!("the number {number} is not a duration"),
                    help,
                )))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
            "minLength": 2,
            "description": "A length of time: numbers with the units w, d, h, m, s, ms, largest first.",
            "examples": ["500ms", "15s", "1m", "1h30m", "30d"]
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn help_of(text: &str) -> String {
        text.parse::<Span>().unwrap_err().help().to_owned()
    }

    #[test]
    fn reads_and_writes_every_unit() {
        for (text, millis, canonical) in [
            ("500ms", 500, "500ms"),
            ("15s", 15_000, "15s"),
            ("1m", 60_000, "1m"),
            ("90s", 90_000, "1m30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("30d", 2_592_000_000, "30d"),
            ("2w", 1_209_600_000, "14d"),
            ("1s500ms", 1_500, "1s500ms"),
            ("36500d", MILLIS_MAX, "36500d"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(
                (span.get(), span.to_string().as_str()),
                (SignedDuration::from_millis(millis), canonical)
            );
        }
        assert_eq!(Span::days(u32::MAX), Span::days(36_500));
        assert_eq!(Span::seconds(90), "1m30s".parse().unwrap());
    }

    #[test]
    fn refuses_the_rest_with_what_was_meant() {
        for bad in [
            "",
            "s",
            "15",
            "15 s",
            "-15s",
            "1.5h",
            "1m1h",
            "1s1s",
            "0s",
            "1M",
            "99999999999999999999d",
            "1h-2m",
        ] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?}");
        }
        assert!(help_of("30 seconds").starts_with("did you mean \"30s\"? expected a duration such as"));
        assert!(help_of("15").starts_with("a duration needs its unit: did you mean \"15s\"?"));
        assert_eq!(help_of("3 months"), "months differ in length: did you mean \"90d\"?");
        assert_eq!(help_of("0s"), "a duration is longer than zero");
        assert_eq!(help_of("40000d"), "36500d is the longest");
        assert_eq!(
            "30 seconds".parse::<Span>().unwrap_err().to_string(),
            "\"30 seconds\" is not a duration"
        );
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(millis in 1..=MILLIS_MAX) {
            let span = Span { millis };
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = text.parse::<Span>();
        }
    }
}
