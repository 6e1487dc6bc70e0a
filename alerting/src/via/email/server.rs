//! Where mail is handed in: read from one URL, which is a secret.

use std::{fs, path::Path, time::Duration};

use config::Secret;
use lettre::transport::smtp::{
    Error,
    authentication::{Credentials, DEFAULT_MECHANISMS},
    client::{AsyncSmtpConnection, Certificate, TlsParameters},
    extension::ClientId,
};
use reqwest::Url;

use super::told;

/// To each address of the server.
const CONNECT_MAX: Duration = Duration::from_secs(20);
const CA_BYTES_MAX: u64 = 1 << 20;
const EXPECTED: &str = "expected smtps://user:password@host or smtp://user:password@host";
const ENCODE: &str = "user and password are percent-encoded in a URL: write `%2F` for `/`, `%3A` for `:`, `%40` for `@`, `%3F` for \
                      `?`, `%23` for `#`, `%25` for `%`";

/// An SMTP server with everything needed to hand in mail. Never printed.
pub(super) struct Server {
    host: String,
    port: u16,
    /// TLS from the first byte; else STARTTLS, which is required.
    wrapped: bool,
    credentials: Option<Credentials>,
    ca: Option<Certificate>,
}

impl Server {
    /// Reads the URL and the authority. Blocks. No error names the URL: it holds a password.
    pub(super) fn read(smtp: &Secret, ca: Option<&Path>) -> Result<Self, String> {
        let value = smtp.read().map_err(|error| told(&error))?;
        let mut server = Self::parse(value.expose()).map_err(|why| format!("the URL in {smtp}: {why}"))?;
        server.ca = ca.map(authority).transpose()?;
        Ok(server)
    }

    fn parse(text: &str) -> Result<Self, String> {
        if is_cut(text) {
            return Err(format!("{ENCODE}; {EXPECTED}"));
        }
        let url = Url::parse(text.trim()).map_err(|error| format!("{error}; {EXPECTED}"))?;
        let (wrapped, port) = match url.scheme() {
            "smtps" => (true, 465),
            "smtp" => (false, 587),
            _ => return Err(format!("another scheme than smtp and smtps; {EXPECTED}")),
        };
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| format!("no host; {EXPECTED}"))?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("something behind the host; {EXPECTED}"));
        }
        let credentials = match (decoded(url.username())?, url.password()) {
            (user, _) if user.is_empty() => None,
            (user, password) => Some(Credentials::new(user, decoded(password.unwrap_or_default())?)),
        };
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(port),
            wrapped,
            credentials,
            ca: None,
        })
    }

    /// `mail.example:465`.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// What was shown by a successful try.
    pub(super) fn login(&self) -> &'static str {
        if self.credentials.is_some() {
            "encrypted, logged in"
        } else {
            "encrypted, without login"
        }
    }

    /// An encrypted connection, logged in. The caller has the deadline.
    pub(super) async fn connect(&self) -> Result<AsyncSmtpConnection, String> {
        self.connected().await.map_err(|error| told(&error))
    }

    async fn connected(&self) -> Result<AsyncSmtpConnection, Error> {
        let mut tls = TlsParameters::builder(self.host.clone());
        if let Some(ca) = &self.ca {
            tls = tls.add_root_certificate(ca.clone());
        }
        let tls = tls.build_rustls()?;
        let address = (self.host.as_str(), self.port);
        let own = ClientId::default();
        let wrapped = self.wrapped.then(|| tls.clone());
        let connected = AsyncSmtpConnection::connect_tokio1(address, Some(CONNECT_MAX), &own, wrapped, None);
        let mut connection = connected.await?;
        if !self.wrapped {
            connection.starttls(tls, &own).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }
}

fn authority(path: &Path) -> Result<Certificate, String> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| format!("read the certificate file {shown}: {error}");
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > CA_BYTES_MAX {
        return Err(format!(
            "read the certificate file {shown}: it is no regular file of at most 1 MiB"
        ));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    Certificate::from_pem(&bytes).map_err(|error| format!("read the certificate file {shown}: {}", told(&error)))
}

/// Whether the login is not whole for a URL: one of its characters ends the part in front of the path.
fn is_cut(text: &str) -> bool {
    let login = text.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    login.is_some_and(|(login, _)| login.contains(['/', '?', '#', '\\']))
}

/// Percent-decoding (RFC 3986) of user and password.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || format!("a wrong percent-encoding: {ENCODE}; {EXPECTED}");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| {
            byte.and_then(|byte| char::from(byte).to_digit(16))
                .and_then(|d| u8::try_from(d).ok())
        };
        let (high, low) = (digit(rest.next()), digit(rest.next()));
        bytes.push(high.ok_or_else(wrong)? << 4 | low.ok_or_else(wrong)?);
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        match Server::parse(url) {
            Ok(server) => panic!("{url} is taken for {}", server.place()),
            Err(why) => why,
        }
    }

    #[test]
    fn reads_both_schemes_with_their_ports() {
        for (url, place, wrapped) in [
            ("smtps://a:b@mail.example", "mail.example:465", true),
            ("smtp://a:b@mail.example", "mail.example:587", false),
            (
                "smtp://a%40x.example:p%2F%C3%BC@mail.example:2525/",
                "mail.example:2525",
                false,
            ),
            ("smtps://[::1]:4650", "::1:4650", true),
        ] {
            let server = Server::parse(url).unwrap();
            assert_eq!((server.place().as_str(), server.wrapped), (place, wrapped));
        }
    }

    #[test]
    fn takes_credentials_apart() {
        let server = Server::parse("smtp://a%40x.example:p%2F%C3%BC@mail.example").unwrap();
        let expected = Credentials::new("a@x.example".to_owned(), "p/ü".to_owned());
        assert_eq!(server.credentials, Some(expected));
        assert_eq!(Server::parse("smtp://mail.example").unwrap().credentials, None);
    }

    #[test]
    fn a_password_that_is_not_encoded_is_told_as_such() {
        for url in [
            "smtps://me:hun:ter/2@mail.example",
            "smtps://me:hunter2/x@mail.example:465",
            "smtps://me:hunter2#x@mail.example",
            "smtps://me:hunter2?x@mail.example",
            "smtps://me:hunter2%x@mail.example",
        ] {
            let why = refusal(url);
            assert!(why.contains("write `%2F` for `/`, `%3A` for `:`"), "{why}");
            assert!(!why.contains("hunter2") && !why.contains("port"), "{why}");
        }
        // A colon alone harms nobody: the first one ends the user.
        let server = Server::parse("smtps://me:hun:ter2@mail.example").unwrap();
        let expected = Credentials::new("me".to_owned(), "hun:ter2".to_owned());
        assert_eq!(server.credentials, Some(expected));
    }

    #[test]
    fn refuses_the_rest_without_telling_the_password() {
        for url in [
            "http://a:hunter2@mail.example",
            "smtp://",
            "mail.example:587",
            "smtp://a:hunter2@mail.example/x",
            "smtp://a:hunter2%ZZ@mail.example",
            "smtp://a:hunter2@mail.example?tls=opportunistic",
        ] {
            let why = refusal(url);
            assert!(why.contains("expected smtps://"), "{why}");
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
