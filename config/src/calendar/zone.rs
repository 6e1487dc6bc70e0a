//! Time zones by name, from the database that is compiled in.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::CalendarError;
use crate::mistake::{explained, quoted, suggest};

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
const EXPECTED: &str = "the name of a time zone such as \"Europe/London\" or \"UTC\"";

/// A time zone of the IANA database, by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self {
            name: "UTC".to_owned(),
            zone: TimeZone::UTC,
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The zone.
    pub fn get(&self) -> &TimeZone {
        &self.zone
    }
}

impl FromStr for Zone {
    type Err = CalendarError;

    fn from_str(text: &str) -> Result<Self, CalendarError> {
        if text == "UTC" {
            return Ok(Self::utc());
        }
        // The database ignores case; a name that is nearly right is told, as other tools do not.
        match DATABASE.get(text) {
            Ok(zone) if zone.iana_name() == Some(text) => Ok(Self {
                name: text.to_owned(),
                zone,
            }),
            _ => Err(CalendarError::new(
                format!("there is no time zone {}", quoted(text)),
                help(text),
            )),
        }
    }
}

fn help(text: &str) -> String {
    let names: Vec<_> = DATABASE.available().map(|name| name.to_string()).collect();
    let names = || std::iter::once("UTC").chain(names.iter().map(String::as_str));
    let city = |name: &str| {
        name.rsplit('/')
            .next()
            .is_some_and(|city| city.eq_ignore_ascii_case(text))
    };
    let same = names()
        .find(|name| name.eq_ignore_ascii_case(text))
        .or_else(|| names().find(|name| city(name)));
    match same.or_else(|| suggest(text, names())) {
        Some(name) => format!("did you mean \"{name}\"? expected {EXPECTED}"),
        None => format!("expected {EXPECTED}"),
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Zone({})", self.name)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Zone;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Zone, E> {
                text.parse()
                    .map_err(|error: CalendarError| E::custom(explained(&error, error.help())))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

impl JsonSchema for Zone {
    fn schema_name() -> Cow<'static, str> {
        "TimeZone".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A time zone of the IANA database.",
            "examples": ["Europe/London", "America/New_York", "UTC"]
        })
    }
}
