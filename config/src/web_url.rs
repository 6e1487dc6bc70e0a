//! The address of an HTTP target.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::{Host, Url};

use crate::mistake::{explained, quoted, suggest};

const EXPECTED: &str = "a web address such as \"https://shop.example/health\"";

/// An `http` or `https` address with a host and without user or password.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebUrl(Url);

/// Why a text is no [`WebUrl`]. The text itself is never part of the message: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WebUrlError {
    message: String,
    help: String,
}

impl WebUrlError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }

    /// What to write instead.
    pub fn help(&self) -> &str {
        &self.help
    }
}

impl WebUrl {
    /// The address as text, as the URL standard writes it.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The parsed address.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// Whether the connection is to be encrypted.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The port, said or implied.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    /// Whether the text alone says that the target is this machine or a private network: `localhost`, or a literal
    /// loopback, private, link-local or unique local address. Never resolves a name.
    pub fn is_private(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => is_private_v4(address),
            Some(Host::Ipv6(address)) => is_private_v6(address),
            None => false,
        }
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_private() || address.is_link_local()
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

impl FromStr for WebUrl {
    type Err = WebUrlError;

    fn from_str(text: &str) -> Result<Self, WebUrlError> {
        let wanted = format!("expected {EXPECTED}");
        let parsed = Url::parse(text);
        let scheme = text
            .split_once(':')
            .map(|(scheme, _)| scheme.to_ascii_lowercase())
            .unwrap_or_default();
        let has_scheme = !scheme.is_empty()
            && scheme
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '+');
        if !has_scheme || (parsed.is_ok() && !text.contains("://") && scheme != "http" && scheme != "https") {
            return Err(without_slashes(text, &scheme, has_scheme));
        }
        if scheme != "http" && scheme != "https" {
            return Err(other_scheme(&scheme));
        }
        let after = text.get(scheme.len()..).unwrap_or_default();
        if !after.starts_with("://") || after.starts_with(":///") {
            return Err(WebUrlError::new("the web address has no host", wanted));
        }
        let url = parsed.map_err(|error| match error {
            url::ParseError::EmptyHost => WebUrlError::new("the web address has no host", wanted.clone()),
            other => WebUrlError::new(format!("not a web address: {other}"), wanted.clone()),
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            let help = "leave out the part before `@`, and give the login as a secret: { env = \"X\" } or { file = \"/run/secrets/x\" }";
            return Err(WebUrlError::new("a web address must not hold a user or password", help));
        }
        if text.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
            return Err(WebUrlError::new("a web address has no spaces in it", wanted));
        }
        Ok(Self(url))
    }
}

fn other_scheme(scheme: &str) -> WebUrlError {
    let message = format!("{} is no scheme of a web address", quoted(&format!("{scheme}:")));
    match suggest(scheme, ["https", "http"]) {
        Some(known) => WebUrlError::new(message, format!("did you mean `{known}://`? expected {EXPECTED}")),
        None => WebUrlError::new(message, format!("use `https://` or `http://`: {EXPECTED}")),
    }
}

/// `shop.example/health`, `htp:/x`, `localhost:8080`: the reply depends on what stands before the colon.
fn without_slashes(text: &str, scheme: &str, has_scheme: bool) -> WebUrlError {
    if has_scheme && suggest(scheme, ["https", "http"]).is_some() {
        return other_scheme(scheme);
    }
    let host: String = text.chars().take(60).collect();
    let looks_like_host = host.starts_with(|first: char| first.is_ascii_alphanumeric())
        && host
            .chars()
            .all(|letter| letter.is_ascii_graphic() && !"@?\\\"".contains(letter));
    let help = if looks_like_host {
        format!("did you mean \"https://{host}\"? expected {EXPECTED}")
    } else {
        format!("expected {EXPECTED}")
    };
    WebUrlError::new("a web address starts with `https://` or `http://`", help)
}

impl fmt::Display for WebUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for WebUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = WebUrl;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<WebUrl, E> {
                text.parse()
                    .map_err(|error: WebUrlError| E::custom(explained(&error, error.help())))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl Serialize for WebUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl JsonSchema for WebUrl {
    fn schema_name() -> Cow<'static, str> {
        "WebUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "uri",
            "pattern": "^https?://[^/@]+(/.*)?$",
            "description": "A web address, http or https, without user or password.",
            "examples": ["https://shop.example/health"]
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> WebUrlError {
        text.parse::<WebUrl>().unwrap_err()
    }

    #[test]
    fn takes_web_addresses() {
        for (text, host, port, private) in [
            ("https://shop.example/health?a=b", "shop.example", 443, false),
            ("http://localhost:8080", "localhost", 8080, true),
            ("http://127.0.0.1/", "127.0.0.1", 80, true),
            ("http://[::1]:81/", "[::1]", 81, true),
            ("http://[::ffff:10.0.0.1]/", "[::ffff:a00:1]", 80, true),
            ("https://192.168.1.4", "192.168.1.4", 443, true),
            ("https://1.1.1.1", "1.1.1.1", 443, false),
        ] {
            let url: WebUrl = text.parse().unwrap();
            assert_eq!(
                (url.host(), url.port(), url.is_private()),
                (host, port, private),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_the_rest_with_what_was_meant() {
        assert_eq!(
            error("htp://shop.example").to_string(),
            "\"htp:\" is no scheme of a web address"
        );
        assert!(
            error("htp://shop.example")
                .help()
                .starts_with("did you mean `http://`?")
        );
        assert!(error("htp:/x").help().starts_with("did you mean `http://`?"));
        assert!(
            error("htps://shop.example")
                .help()
                .starts_with("did you mean `https://`?")
        );
        assert!(error("ftp://shop.example").help().contains("`http"));
        assert!(
            error("shop.example/health")
                .help()
                .starts_with("did you mean \"https://shop.example/health\"?")
        );
        assert!(
            error("localhost:8080")
                .help()
                .starts_with("did you mean \"https://localhost:8080\"?")
        );
        for no_host in ["https://", "https:///x", "http:/x", "http:x"] {
            assert_eq!(error(no_host).to_string(), "the web address has no host", "{no_host}");
        }
        for bad in [
            "",
            " ",
            "://",
            "https://a b/",
            "https://exa mple",
            "https://[::1",
            "mailto:me@x",
            "https://x\n/",
        ] {
            assert!(bad.parse::<WebUrl>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn never_repeats_a_password() {
        for text in [
            "https://me:hunter2@shop.example",
            "htp://me:hunter2@x",
            "me:hunter2@shop.example",
            "postgres://me:hunter2@x",
        ] {
            let error = error(text);
            assert!(
                !format!("{error} {} {error:?}", error.help()).contains("hunter2"),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*", scheme in "(https?:/?/?)?") {
            let _ = format!("{scheme}{text}").parse::<WebUrl>();
        }
    }
}
