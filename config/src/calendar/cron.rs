//! The five fields of cron.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::CalendarError;
use crate::mistake::{explained, quoted, suggest};

const EXPECTED: &str = "five fields, minute hour day month weekday, such as \"0 3 * * *\", or \"@daily\"";
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const SHORTCUTS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// When something is due, as cron writes it: `minute hour day month weekday`.
///
/// A field is `*`, a number, a name (`mon`, `jan`), a range `1-5`, a step `*/15` or `10-30/5`, or a list of those; 0
/// and 7 are Sunday. Where day and weekday are both restricted, one of the two is enough, as in Vixie cron: "restricted"
/// means that the field does not begin with `*`.
#[derive(Clone, Debug)]
pub struct Cron {
    text: String,
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
    either_day: bool,
}

/// The numbers that a field names, one bit each.
type Set = u64;

struct Field {
    name: &'static str,
    min: u8,
    max: u8,
    names: &'static [&'static str],
}

const MINUTE: Field = Field {
    name: "minute",
    min: 0,
    max: 59,
    names: &[],
};
const HOUR: Field = Field {
    name: "hour",
    min: 0,
    max: 23,
    names: &[],
};
const DAY: Field = Field {
    name: "day of the month",
    min: 1,
    max: 31,
    names: &[],
};
const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    names: &MONTHS,
};
const WEEKDAY: Field = Field {
    name: "weekday",
    min: 0,
    max: 7,
    names: &WEEKDAYS,
};

impl Cron {
    /// Whether something is due on a date, whatever the time.
    pub(super) fn is_on(&self, date: Date) -> bool {
        if !has(self.months, date.month()) {
            return false;
        }
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if self.either_day {
            day || weekday
        } else {
            day && weekday
        }
    }

    pub(super) fn hours(&self) -> impl Iterator<Item = i8> + use<> {
        numbers(self.hours, 24)
    }

    pub(super) fn minutes(&self) -> impl Iterator<Item = i8> + use<> {
        numbers(self.minutes, 60)
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn has(set: Set, number: i8) -> bool {
    u32::try_from(number).is_ok_and(|number| set.checked_shr(number).unwrap_or_default() & 1 == 1)
}

fn numbers(set: Set, end: i8) -> impl Iterator<Item = i8> {
    (0..end).filter(move |number| has(set, *number))
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

impl FromStr for Cron {
    type Err = CalendarError;

    fn from_str(text: &str) -> Result<Self, CalendarError> {
        let fields = if text.trim_start().starts_with('@') {
            shortcut(text.trim())?
        } else {
            text
        };
        let fields: Vec<_> = fields.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            let message = format!("{} has {} of the five fields of a schedule", quoted(text), fields.len());
            return Err(CalendarError::new(message, format!("expected {EXPECTED}")));
        };
        let mut weekdays = WEEKDAY.read(weekday)?;
        if has(weekdays, 7) {
            weekdays |= 1;
        }
        Ok(Self {
            text: text.to_owned(),
            minutes: MINUTE.read(minute)?,
            hours: HOUR.read(hour)?,
            days: DAY.read(day)?,
            months: MONTH.read(month)?,
            weekdays,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        })
    }
}

fn shortcut(text: &str) -> Result<&'static str, CalendarError> {
    if let Some((_, fields)) = SHORTCUTS.iter().find(|(name, _)| *name == text) {
        return Ok(fields);
    }
    let names = || SHORTCUTS.iter().map(|(name, _)| *name);
    let help = match suggest(text, names()) {
        Some(name) => format!("did you mean \"{name}\"? expected {EXPECTED}"),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    Err(CalendarError::new(
        format!("there is no schedule {}", quoted(text)),
        help,
    ))
}

impl Field {
    fn read(&self, text: &str) -> Result<Set, CalendarError> {
        text.split(',')
            .try_fold(0, |set, part| Ok(set | self.read_part(text, part)?))
    }

    fn read_part(&self, text: &str, part: &str) -> Result<Set, CalendarError> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let step = step.parse::<u8>().ok().filter(|step| (1..=self.max).contains(step));
                (
                    range,
                    Some(step.ok_or_else(|| self.refuse(text, &format!("a step is 1 to {}", self.max)))?),
                )
            }
            None => (part, None),
        };
        let (first, last) = if range == "*" {
            (self.min, self.max)
        } else if let Some((first, last)) = range.split_once('-') {
            (self.number(text, first)?, self.number(text, last)?)
        } else {
            let number = self.number(text, range)?;
            // "5/15" is "5-59/15", as Vixie cron has it.
            (number, if step.is_some() { self.max } else { number })
        };
        if first > last {
            return Err(self.refuse(text, &format!("the range {} ends before it begins", quoted(range))));
        }
        let numbers = (first..=last).step_by(usize::from(step.unwrap_or(1)));
        Ok(numbers.fold(0, |set, number| set | 1_u64 << number))
    }

    fn number(&self, text: &str, word: &str) -> Result<u8, CalendarError> {
        let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        if is_number {
            let number = word
                .parse()
                .ok()
                .filter(|number| (self.min..=self.max).contains(number));
            return number.ok_or_else(|| self.refuse(text, &format!("{} is out of range", quoted(word))));
        }
        let names = self.names.iter().position(|name| name.eq_ignore_ascii_case(word));
        match names.and_then(|index| u8::try_from(index).ok()) {
            Some(index) => Ok(self.min + index),
            None => Err(self.refuse(text, &format!("{} is no number", quoted(word)))),
        }
    }

    fn refuse(&self, text: &str, why: &str) -> CalendarError {
        let names = match (self.names.first(), self.names.last()) {
            (Some(first), Some(last)) => format!(", a name {first} to {last}"),
            _ => String::new(),
        };
        let help = format!(
            "the {} is {} to {}{names}, a range 1-5, a step */5, a list of those, or *",
            self.name, self.min, self.max
        );
        CalendarError::new(
            format!("the field {} of the schedule, {}: {why}", self.name, quoted(text)),
            help,
        )
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Cron;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Cron, E> {
                text.parse()
                    .map_err(|error: CalendarError| E::custom(explained(&error, error.help())))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl Serialize for Cron {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl JsonSchema for Cron {
    fn schema_name() -> Cow<'static, str> {
        "Schedule".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "When, as cron writes it: minute hour day month weekday; or @hourly, @daily, @weekly, @monthly, @yearly.",
            "examples": ["0 3 * * *", "*/15 8-18 * * mon-fri", "@daily"]
        })
    }
}
