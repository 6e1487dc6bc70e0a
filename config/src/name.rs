//! Names of configured things: probes, rules, services, backups.

use std::borrow::{Borrow, Cow};
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::mistake::{explained, quoted};

const LENGTH_MAX: usize = 63;

/// The name of a configured thing: `[a-z0-9]`, then up to 62 of `[a-z0-9-_.]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// Why a text is no [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a name", quoted(.text))]
pub struct NameError {
    text: String,
}

impl NameError {
    /// What a name looks like, and the nearest name where there is one.
    pub fn help(&self) -> String {
        let rule = "a name is 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`, and starts with a letter or digit";
        match nearest(&self.text) {
            Some(name) => format!("did you mean `{name}`? {rule}"),
            None => rule.to_owned(),
        }
    }
}

fn nearest(text: &str) -> Option<Name> {
    let mut name = String::new();
    for letter in text.trim().chars() {
        match letter.to_ascii_lowercase() {
            letter if is_allowed(letter) => name.push(letter),
            ' ' | '/' | ':' => name.push('-'),
            _ => {}
        }
    }
    Name::new(name.trim_start_matches(['-', '_', '.'])).ok()
}

fn is_allowed(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '_' | '.')
}

impl Name {
    /// Checks a text and makes it a name.
    ///
    /// # Errors
    /// When it is empty, too long, or has other characters than a name may have.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let starts_well = text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
        if starts_well && text.len() <= LENGTH_MAX && text.chars().all(is_allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError { text: text.to_owned() })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Name;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name such as \"shop\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Name, E> {
                Name::new(text).map_err(|error| E::custom(explained(&error, error.help())))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl JsonSchema for Name {
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[a-z0-9][a-z0-9_.-]{0,62}$",
            "description": "A name: 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`, starting with a letter or digit.",
            "examples": ["shop"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_a_name_may_be() {
        for good in ["a", "0", "shop-log", "a.b_c-d", &"a".repeat(63)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn refuses_the_rest_and_says_what_would_do() {
        for bad in ["", "-a", ".a", "Shop", "a b", "a/b", "ü", &"a".repeat(64)] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
        let error = Name::new("My Shop").unwrap_err();
        assert_eq!(error.to_string(), "\"My Shop\" is not a name");
        assert!(error.help().starts_with("did you mean `my-shop`?"), "{}", error.help());
        assert!(Name::new("--").unwrap_err().help().starts_with("a name is 1 to 63"));
    }
}
