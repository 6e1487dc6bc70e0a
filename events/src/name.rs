//! Names and identifiers, valid by construction: parsed at the edge and never again.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is not the name or identifier it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct NameError {
    /// What was given, cut to 80 characters.
    pub value: String,
    /// What was expected.
    pub expected: &'static str,
}

fn refuse(value: &str, expected: &'static str) -> NameError {
    NameError {
        value: value.chars().take(80).collect(),
        expected,
    }
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $valid:expr, $expected:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks a text.
            ///
            /// # Errors
            /// When the text is not of the form the type stands for.
            pub fn new(value: impl Into<String>) -> Result<Self, NameError> {
                let value = value.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&value) { Ok(Self(value)) } else { Err(refuse(&value, $expected)) }
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(value: &str) -> Result<Self, NameError> {
                Self::new(value)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

fn is_name(value: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '@' | ':');
    (1..=128).contains(&value.len()) && value.chars().all(plain)
}

fn is_printable(value: &str) -> bool {
    (1..=256).contains(&value.len()) && !value.chars().any(char::is_control)
}

text!(
    /// A name of the house: a stream (`probe/shop`), a queue (`notify/me`), a rule, a job, a destination.
    Name,
    is_name,
    "a name of 1 to 128 letters, digits, '-', '_', '.', '/', '@' or ':'"
);
text!(
    /// A service, with its environment when that is not the daemon's own: `shop` or `shop@staging`.
    ServiceId,
    is_printable,
    "a service name of 1 to 256 printable characters"
);
text!(
    /// The version of a release, as its maker writes it: `1.4.2`, a commit id, a date.
    ReleaseId,
    is_printable,
    "a version of 1 to 256 printable characters"
);
text!(
    /// Idempotency key of an observed fact: the same source and key is the same fact.
    Key,
    is_printable,
    "an idempotency key of 1 to 256 printable characters"
);

/// Makes a name from a text, replacing what a name cannot hold and cutting what is too long.
#[must_use]
pub fn name_of(text: &str) -> Name {
    let kept: String = text
        .chars()
        .map(|c| if is_name(c.encode_utf8(&mut [0; 4])) { c } else { '_' })
        .take(128)
        .collect();
    if kept.is_empty() {
        Name("_".to_owned())
    } else {
        Name(kept)
    }
}

/// A W3C trace id: 16 bytes, 32 hexadecimal digits in text, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId([u8; 16]);

/// A W3C span id: 8 bytes, 16 hexadecimal digits in text, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId([u8; 8]);

macro_rules! hex_id {
    ($name:ident, $bytes:literal, $expected:expr) => {
        impl $name {
            /// From its bytes; `None` when the length is wrong or all are zero.
            #[must_use]
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                let array: [u8; $bytes] = bytes.try_into().ok()?;
                array.iter().any(|byte| *byte != 0).then_some(Self(array))
            }

            /// The bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(value: &str) -> Result<Self, NameError> {
                unhex(value)
                    .and_then(|bytes| Self::from_bytes(&bytes))
                    .ok_or_else(|| refuse(value, $expected))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_id!(TraceId, 16, "a trace id of 32 hexadecimal digits, not all zero");
hex_id!(SpanId, 8, "a span id of 16 hexadecimal digits, not all zero");

/// Bytes of a hexadecimal text; `None` for anything else.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect();
    Some(
        digits?
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | digit))
            .collect(),
    )
}

/// Hexadecimal text of bytes.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(u32::from(digit), 16));
            }
            text
        })
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

number!(
    /// Place of a fact in the journal: the order of the world, without gaps, from 1.
    Seq
);
number!(
    /// Number of a commit of the journal, from 1.
    CommitId
);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Derives the id from what it stands for, so that a replay finds the same one.
            #[must_use]
            pub fn derive(identity: &Identity, parts: &[&str]) -> Self {
                Self(identity.derive(stringify!($name), parts))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

uuid_id!(
    /// A job; for a message also its Message-ID and webhook-id.
    JobId
);
uuid_id!(
    /// One stretch of a rule being in breach, from firing to resolved.
    IncidentId
);
uuid_id!(
    /// A silence set by a person.
    SilenceId
);

/// Which journal this is: ids of messages are derived from it. A restored copy starts a new epoch, so that it
/// never repeats an id of the original.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Drawn when the journal was created.
    pub store: Uuid,
    /// Raised when a restored copy is opened.
    pub epoch: u32,
}

impl Identity {
    /// UUIDv5 (RFC 9562) over the kind and its length-prefixed parts, in the store's own name space.
    #[must_use]
    pub fn derive(&self, kind: &str, parts: &[&str]) -> Uuid {
        let mut text = format!("{}\u{0}{kind}", self.epoch);
        for part in parts {
            text.push_str(&format!("\u{0}{}:{part}", part.len()));
        }
        Uuid::new_v5(&self.store, text.as_bytes())
    }
}
