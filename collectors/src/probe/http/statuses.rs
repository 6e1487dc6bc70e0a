//! Which HTTP statuses are expected: `200`, `"2xx"`, `"200-399"`, or a list of those.

use std::{borrow::Cow, fmt, ops::RangeInclusive};

use config::explained;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// The expected statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

const EXPECTED: &str = "expected a status from 100 to 599, a range such as \"200-399\" or \"2xx\", or a list of those";

impl Default for Statuses {
    fn default() -> Self {
        Self(vec![200..=399])
    }
}

impl Statuses {
    /// Whether a status is expected.
    pub fn holds(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let (first, last) = (range.start(), range.end());
            if first == last {
                write!(formatter, "{separator}{first}")?;
            } else {
                write!(formatter, "{separator}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

fn refuse<E: de::Error>(given: &dyn fmt::Display) -> E {
    E::custom(explained(format_args!("{given} is no HTTP status"), EXPECTED))
}

fn code(text: &str) -> Option<u16> {
    let code = text.trim().parse().ok()?;
    (100..=599).contains(&code).then_some(code)
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    if let Some(hundreds) = text.strip_suffix("xx") {
        let first = code(&format!("{hundreds}00"))?;
        return Some(first..=first + 99);
    }
    match text.split_once('-') {
        None => code(text).map(|code| code..=code),
        Some((first, last)) => {
            let (first, last) = (code(first)?, code(last)?);
            (first <= last).then_some(first..=last)
        }
    }
}

struct One(RangeInclusive<u16>);

impl<'de> Deserialize<'de> for One {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor { lists: false }).map(|found| {
            // Without lists there is exactly one.
            Self(found.0.into_iter().next().unwrap_or(200..=399))
        })
    }
}

struct Visitor {
    lists: bool,
}

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Statuses;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(EXPECTED.strip_prefix("expected ").unwrap_or(EXPECTED))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Statuses, E> {
        let found = code(&number.to_string()).ok_or_else(|| refuse(&number))?;
        Ok(Statuses(vec![found..=found]))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Statuses, E> {
        self.visit_i64(i64::try_from(number).unwrap_or(-1))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Statuses, E> {
        let given: String = text.chars().take(40).collect();
        let found = range(text).ok_or_else(|| refuse(&format_args!("{given:?}")))?;
        Ok(Statuses(vec![found]))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Statuses, A::Error> {
        if !self.lists {
            return Err(refuse(&"a list in a list"));
        }
        let mut found = Vec::new();
        while let Some(One(range)) = items.next_element()? {
            found.push(range);
        }
        if found.is_empty() {
            return Err(refuse(&"an empty list"));
        }
        Ok(Statuses(found))
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor { lists: true })
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> Cow<'static, str> {
        "HttpStatuses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = serde_json::json!([
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^([1-5][0-9]{2}(-[1-5][0-9]{2})?|[1-5]xx)$" }
        ]);
        let mut all = one.as_array().cloned().unwrap_or_default();
        all.push(serde_json::json!({ "type": "array", "minItems": 1, "items": { "anyOf": one } }));
        json_schema!({
            "description": "Expected HTTP statuses.",
            "anyOf": all,
            "default": "200-399",
            "examples": [204, "2xx", ["200-299", 401]]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Statuses, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_statuses_ranges_and_lists() {
        let mixed = read(r#"[204, "300-399", "5xx"]"#).unwrap();
        assert_eq!(mixed.to_string(), "204, 300-399, 500-599");
        assert!(mixed.holds(599) && mixed.holds(204) && !mixed.holds(200));
        assert!(Statuses::default().holds(399) && !Statuses::default().holds(400));
    }

    #[test]
    fn refuses_the_rest() {
        for bad in [
            "99",
            "600",
            "-1",
            r#""abc""#,
            r#""399-200""#,
            "[]",
            "[[200]]",
            r#""9xx""#,
            "2.5",
            "true",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
