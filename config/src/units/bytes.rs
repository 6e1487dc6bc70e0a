//! A size such as `"20GiB"`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{UnitError, number_and_word};
use crate::mistake::{explained, quoted};

const EXPECTED: &str = "a size such as \"64KiB\", \"512MiB\", \"20GiB\" or \"1GB\"";
/// As written, largest first, binary before decimal.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// A size in bytes, above zero: `"20GiB"`, `"512MiB"`, `"1GB"` (1 GB = 1,000,000,000 bytes, 1 GiB = 1,073,741,824).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

impl Bytes {
    /// So many bytes; zero counts as one.
    pub const fn new(count: u64) -> Self {
        if count == 0 { Self(1) } else { Self(count) }
    }

    /// So many KiB; zero counts as one byte.
    pub const fn kib(count: u32) -> Self {
        Self::new((count as u64) << 10)
    }

    /// So many MiB; zero counts as one byte.
    pub const fn mib(count: u32) -> Self {
        Self::new((count as u64) << 20)
    }

    /// So many GiB; zero counts as one byte.
    pub const fn gib(count: u32) -> Self {
        Self::new((count as u64) << 30)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory, capped where memory is smaller.
    pub fn as_len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let refuse = || UnitError::new(format!("{} is not a size", quoted(text)), help(text));
        let end = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(refuse)?;
        let (digits, unit) = text.split_at_checked(end).ok_or_else(refuse)?;
        let unit = if unit == "KB" { "kB" } else { unit };
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?;
        if digits.is_empty() {
            return Err(refuse());
        }
        let bytes = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(*factor));
        match bytes {
            None => Err(UnitError::new(
                format!("{} is too large a size", quoted(text)),
                "16777215TiB is the largest",
            )),
            Some(0) => Err(UnitError::new(
                format!("{} is nothing", quoted(text)),
                "a size is above zero",
            )),
            Some(bytes) => Ok(Self(bytes)),
        }
    }
}

fn help(text: &str) -> String {
    let Some((count, word)) = number_and_word(text) else {
        if !text.is_empty() && text.chars().all(|letter| letter.is_ascii_digit()) {
            return format!("a size needs its unit: did you mean \"{text}B\"? expected {EXPECTED}");
        }
        return format!("expected {EXPECTED}");
    };
    let unit = match word.as_str() {
        "b" | "byte" | "bytes" => "B",
        "k" | "kb" | "ki" | "kib" => "KiB",
        "m" | "mb" | "mi" | "mib" => "MiB",
        "g" | "gb" | "gi" | "gib" => "GiB",
        "t" | "tb" | "ti" | "tib" => "TiB",
        _ => return format!("expected {EXPECTED}"),
    };
    format!("did you mean \"{count}{unit}\"? expected {EXPECTED}")
}

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The unit that leaves the smallest whole number; of two alike, the larger unit.
        let mut best = ("B", self.0);
        for (unit, factor) in UNITS.iter().rev() {
            if self.0.is_multiple_of(*factor) && self.0 / factor <= best.1 {
                best = (unit, self.0 / factor);
            }
        }
        write!(formatter, "{}{}", best.1, best.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                text.parse()
                    .map_err(|error: UnitError| E::custom(explained(&error, error.help())))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Bytes, E> {
                let help = format!("did you mean \"{number}B\"? expected {EXPECTED}");
                Err(E::custom(explained(
                    format_args!("the number {number} is not a size"),
                    help,
                )))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+(B|kB|KB|KiB|MB|MiB|GB|GiB|TB|TiB)$",
            "description": "A size with its unit; 1 GB is 1,000,000,000 bytes, 1 GiB is 1,073,741,824.",
            "examples": ["64KiB", "512MiB", "20GiB", "1GB"]
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_writes_every_unit() {
        for (text, bytes, canonical) in [
            ("1B", 1, "1B"),
            ("64KiB", 65_536, "64KiB"),
            ("1kB", 1_000, "1kB"),
            ("1KB", 1_000, "1kB"),
            ("512MiB", 536_870_912, "512MiB"),
            ("20GiB", 21_474_836_480, "20GiB"),
            ("1GB", 1_000_000_000, "1GB"),
            ("1024MiB", 1_073_741_824, "1GiB"),
            ("3TiB", 3 << 40, "3TiB"),
        ] {
            let size: Bytes = text.parse().unwrap();
            assert_eq!((size.get(), size.to_string().as_str()), (bytes, canonical));
        }
        assert_eq!(Bytes::gib(20), "20GiB".parse().unwrap());
    }

    #[test]
    fn refuses_the_rest_with_what_was_meant() {
        for bad in [
            "",
            "20",
            "GiB",
            "20 GiB",
            "-1B",
            "1.5GiB",
            "0B",
            "20gib",
            "99999999TiB",
            "1EiB",
        ] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad:?}");
        }
        let help = |text: &str| text.parse::<Bytes>().unwrap_err().help().to_owned();
        assert!(help("20 gigs").starts_with("expected a size such as"));
        assert!(help("20G").starts_with("did you mean \"20GiB\"?"));
        assert!(help("512 mb").starts_with("did you mean \"512MiB\"?"));
        assert!(help("2048").starts_with("a size needs its unit: did you mean \"2048B\"?"));
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(bytes in 1..=u64::MAX) {
            let size = Bytes(bytes);
            prop_assert_eq!(size.to_string().parse::<Bytes>(), Ok(size));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = text.parse::<Bytes>();
        }
    }
}
