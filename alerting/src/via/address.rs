//! E-mail addresses, checked when they are read.

use std::{borrow::Cow, fmt};

use config::explained;
use lettre::message::Mailbox;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};

/// An e-mail address with or without a name: `me@shop.example`, `On call <oncall@shop.example>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Mailbox);

impl Address {
    /// The parsed mailbox.
    pub(super) fn mailbox(&self) -> Mailbox {
        self.0.clone()
    }

    /// What stands behind the `@`.
    pub(super) fn domain(&self) -> &str {
        self.0.email.domain()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let refuse = || {
            let shown: String = text.chars().take(80).collect();
            let help = "write it as \"me@shop.example\" or \"On call <oncall@shop.example>\"";
            D::Error::custom(explained(format!("{shown:?} is no e-mail address"), help))
        };
        // A line end in an address would begin a header of its own.
        if text.chars().any(char::is_control) {
            return Err(refuse());
        }
        text.parse().map(Self).map_err(|_| refuse())
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An e-mail address, with or without a name.",
            "examples": ["me@shop.example", "On call <oncall@shop.example>"]
        })
    }
}
