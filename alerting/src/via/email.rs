//! E-mail by SMTP: always encrypted, with threading, the same bytes at every attempt.

mod server;

use std::{path::PathBuf, time::SystemTime};

use async_trait::async_trait;
use config::{Secret, explained};
use events::{JobId, Outcome, Timestamp};
use jiff::SignedDuration;
use lettre::{
    AsyncTransport, Message,
    message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    transport::smtp::response::Response,
};
use outbound::{Context, Finding, within};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error as _};

use self::server::Server;
use super::{Address, NotifierKind, Notify, later, remedy, told};
use crate::{
    message::{Body, Kind},
    words::clip,
};

/// All of one delivery, from name resolution to the server's last word.
const SEND_MAX: SignedDuration = SignedDuration::from_secs(60);
/// All of one try by `watchkeep check`.
const CHECK_MAX: SignedDuration = SignedDuration::from_secs(20);
/// Most recipients of one destination.
const TO_MAX: usize = 20;

/// `via.email = { to = ["me@shop.example"], from = "watchkeep@shop.example", smtp = { env = "SMTP_URL" } }`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailSettings {
    /// To whom; 1 to 20 addresses.
    #[serde(deserialize_with = "recipients")]
    pub to: Vec<Address>,
    /// From whom.
    pub from: Address,
    /// The server: `smtps://user:password@host` (TLS, port 465) or `smtp://user:password@host` (STARTTLS, port 587).
    /// The connection is always encrypted.
    pub smtp: Secret,
    /// A file with an authority (PEM) that is trusted for this server besides the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

fn recipients<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Address>, D::Error> {
    let to = Vec::<Address>::deserialize(deserializer)?;
    if (1..=TO_MAX).contains(&to.len()) {
        return Ok(to);
    }
    let message = format!("{} addresses are given", to.len());
    Err(D::Error::custom(explained(message, format!("write 1 to {TO_MAX}"))))
}

#[async_trait]
impl NotifierKind for EmailSettings {
    fn build(&self, _: &Context) -> Box<dyn Notify> {
        Box::new(Email { settings: self.clone() })
    }

    async fn preflight(&self, _: &Context) -> Vec<Finding> {
        let server = match self.server().await {
            Ok(server) => server,
            Err(why) => {
                let otherwise = "correct the URL in the secret `smtp`, and the file `ca` if one is named";
                return vec![Finding::problem("e-mail", why, remedy([&self.smtp], otherwise).await)];
            }
        };
        let remedy = "check the server and the port in the secret `smtp`, the network and the password";
        let what = format!("e-mail by {}", server.place());
        let tried = within(CHECK_MAX, "greet the SMTP server", async {
            let transport = server.transport()?;
            transport.test_connection().await.map_err(|error| told(&error))
        });
        vec![match tried.await {
            Ok(Ok(true)) => Finding::ok(what, server.login()),
            Ok(Ok(false)) => Finding::problem(what, "the server hung up", remedy),
            Ok(Err(why)) => Finding::problem(what, why, remedy),
            Err(late) => Finding::problem(what, late.to_string(), remedy),
        }]
    }
}

impl EmailSettings {
    /// Reads secret and authority, each time anew.
    async fn server(&self) -> Result<Server, String> {
        let (smtp, ca) = (self.smtp.clone(), self.ca.clone());
        let read = tokio::task::spawn_blocking(move || Server::read(&smtp, ca.as_deref()));
        match within(SignedDuration::from_secs(5), "read the secret", read).await {
            Ok(Ok(server)) => server,
            Ok(Err(panicked)) => Err(panicked.to_string()),
            Err(late) => Err(late.to_string()),
        }
    }

    /// The message: its bytes depend on what was composed and on the settings only.
    fn message(&self, id: JobId, body: &Body) -> Result<Message, String> {
        let domain = self.from.domain();
        let mut builder = Message::builder()
            .from(self.from.mailbox())
            .date(date(body.at))
            .message_id(Some(format!("<{id}@{domain}>")))
            .subject(clip(&body.title, crate::TITLE_MAX));
        for to in &self.to {
            builder = builder.to(to.mailbox());
        }
        if let Some(incident) = &body.incident {
            // One made-up root for the whole incident: every client shows its messages as one thread.
            let thread = format!("<incident-{}@{domain}>", incident.id);
            builder = builder.references(thread.clone()).in_reply_to(thread);
        }
        builder = builder
            .raw_header(header("Auto-Submitted", "auto-generated")?)
            .raw_header(header("X-Watchkeep-Kind", kind(body.kind))?)
            .header(ContentType::TEXT_PLAIN)
            .header(ContentTransferEncoding::QuotedPrintable);
        builder.body(body.text.clone()).map_err(|error| told(&error))
    }
}

fn header(name: &'static str, value: &str) -> Result<HeaderValue, String> {
    let name = HeaderName::new_from_ascii(name.to_owned()).map_err(|error| told(&error))?;
    Ok(HeaderValue::new(name, value.to_owned()))
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Firing => "firing",
        Kind::Reminder => "reminder",
        Kind::Resolved => "resolved",
        Kind::Notice => "notice",
        Kind::Digest => "digest",
        Kind::Test => "test",
    }
}

/// When the message was composed; a moment before 1970 counts as 1970.
fn date(at: Timestamp) -> SystemTime {
    let nanos = u64::try_from(at.as_nanos()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(nanos)
}

struct Email {
    settings: EmailSettings,
}

#[async_trait]
impl Notify for Email {
    async fn send(&self, id: JobId, composed: &str) -> Outcome {
        let message = serde_json::from_str::<Body>(composed)
            .map_err(|error| format!("read what was composed: {error}"))
            .and_then(|body| self.settings.message(id, &body));
        let message = match message {
            Ok(message) => message,
            Err(why) => return Outcome::Failed { why },
        };
        let server = match self.settings.server().await {
            Ok(server) => server,
            Err(why) => return later(why),
        };
        let transport = match server.transport() {
            Ok(transport) => transport,
            Err(why) => return later(why),
        };
        // lettre's own time limit is for each step; this one is for all of them.
        match within(SEND_MAX, "deliver the e-mail", transport.send(message)).await {
            Ok(Ok(response)) => Outcome::Done {
                answer: answer(&response),
            },
            Ok(Err(error)) => refused(&error),
            Err(late) => later(late.to_string()),
        }
    }
}

fn answer(response: &Response) -> String {
    let text: Vec<&str> = response.message().collect();
    clip(&format!("{} {}", response.code(), text.join(" ")), 200)
}

/// Codes with which a server refuses the login (RFC 4954): the message is good, the password is not.
const LOGIN_CODES: [u16; 5] = [530, 534, 535, 538, 454];

fn refused(error: &lettre::transport::smtp::Error) -> Outcome {
    let why = told(error);
    let code = error.status().map(u16::from);
    if error.is_permanent() && !code.is_some_and(|code| LOGIN_CODES.contains(&code)) {
        return Outcome::Failed { why };
    }
    later(why)
}
