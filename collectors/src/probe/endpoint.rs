//! `host:port`, as configured.

use std::{borrow::Cow, fmt, net::Ipv6Addr, str::FromStr};

use config::explained;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A host and a port: `db.internal:5432`, `10.0.0.7:22`, `[::1]:6379`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// Why a text is no [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a host and a port{why}")]
pub struct EndpointError {
    text: String,
    why: &'static str,
}

const EXPECTED: &str = "expected a host and a port such as \"db.internal:5432\", \"10.0.0.7:22\" or \"[::1]:6379\"";
/// RFC 1035, in presentation form.
const HOST_MAX: usize = 253;

impl Endpoint {
    /// A host and a port that are known to be good.
    pub(crate) fn known(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
        }
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let refuse = |why| EndpointError {
            text: text.chars().take(80).collect(),
            why,
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(|| refuse(": the port is missing"))?;
        let port = port.parse::<u16>().ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| refuse(": the port has to be 1 to 65535"))?;
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = match bracketed {
            Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(refuse(": only an IPv6 address stands in brackets")),
            None if host.contains(':') => return Err(refuse(": put an IPv6 address in brackets")),
            None => host,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if host.is_empty() || host.len() > HOST_MAX || !host.chars().all(plain) {
            return Err(refuse(": the host is no name and no address"));
        }
        Ok(Self::known(host, port))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|error: EndpointError| de::Error::custom(explained(&error, EXPECTED)))
    }
}

impl JsonSchema for Endpoint {
    fn schema_name() -> Cow<'static, str> {
        "Endpoint".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^.+:[0-9]{1,5}$",
            "description": "A host and a port.",
            "examples": ["db.internal:5432", "[::1]:6379"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["db.internal:5432", "10.0.0.7:22", "[::1]:6379", "localhost:65535"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, why) in [
            ("shop", "the port is missing"),
            ("shop:", "1 to 65535"),
            ("shop:0", "1 to 65535"),
            ("shop:65536", "1 to 65535"),
            ("shop:http", "1 to 65535"),
            ("::1:80", "in brackets"),
            ("[shop]:80", "only an IPv6 address"),
            (":80", "no name and no address"),
            ("a b:80", "no name and no address"),
            ("https://shop:80", "in brackets"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
