//! E-mail by SMTP: always encrypted, with threading, the same bytes at every attempt.

mod handing;
mod memory;
mod server;

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use async_trait::async_trait;
use config::{Secret, explained};
use events::{JobId, Outcome, Timestamp};
use jiff::SignedDuration;
use lettre::{
    Message,
    message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    transport::smtp::client::AsyncSmtpConnection,
};
use outbound::{Context, Finding, within};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error as _};
use tokio::time::Instant;

use self::{
    handing::{Failure, Handed, hand_in, recipients},
    memory::Memory,
    server::Server,
};
use super::{Address, NotifierKind, Notify, later, remedy, told};
use crate::{
    message::{Body, Kind},
    words::clip,
};

/// All of one delivery, from name resolution to the server's last word.
const SEND_MAX: SignedDuration = SignedDuration::from_secs(60);
/// All of one try by `watchkeep check`.
const CHECK_MAX: SignedDuration = SignedDuration::from_secs(20);
/// A farewell that nobody needs: the server has taken the mail.
const QUIT_MAX: SignedDuration = SignedDuration::from_secs(2);
/// Most recipients of one destination.
const TO_MAX: usize = 20;

/// `via.email = { to = ["me@shop.example"], from = "watchkeep@shop.example", smtp = { env = "SMTP_URL" } }`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailSettings {
    /// To whom; 1 to 20 addresses.
    #[serde(deserialize_with = "some_recipients")]
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

fn some_recipients<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Address>, D::Error> {
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
        Box::new(Email {
            settings: self.clone(),
            memory: Mutex::default(),
        })
    }

    async fn preflight(&self, _: &Context) -> Vec<Finding> {
        let server = match self.server().await {
            Ok(server) => server,
            Err(why) => {
                let otherwise = "correct the URL in the secret `smtp`, and the file `ca` if one is named";
                return vec![Finding::problem("e-mail", why, remedy([&self.smtp], otherwise).await)];
            }
        };
        let what = format!("e-mail by {}", server.place());
        let tried = within(CHECK_MAX, "greet the SMTP server", async {
            let mut connection = server.connect().await?;
            let refused = self.refused(&mut connection).await;
            let _farewell = within(QUIT_MAX, "leave the SMTP server", connection.quit()).await;
            Ok::<_, String>(refused)
        });
        match tried.await {
            Ok(Ok(refused)) if refused.is_empty() => vec![Finding::ok(what, server.login())],
            Ok(Ok(refused)) => {
                let remedy = "correct the address, or ask whoever runs the SMTP server";
                let problem = |why| Finding::problem(what.clone(), why, remedy);
                refused.into_iter().map(problem).collect()
            }
            Ok(Err(why)) => {
                let remedy = self.remedy(&why);
                vec![Finding::problem(what, why, remedy)]
            }
            Err(late) => vec![Finding::problem(what, late.to_string(), self.remedy(""))],
        }
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

    /// What to do when the server cannot be talked to.
    fn remedy(&self, why: &str) -> &'static str {
        match &self.ca {
            _ if !why.contains("invalid peer certificate") => {
                "check the server and the port in the secret `smtp`, the network and the password"
            }
            None => "give the authority's certificate with `ca = \"/path/to/ca.pem\"`",
            Some(_) => {
                "see whether the certificate in `ca` is that of the authority that signed the server's, not the server's own"
            }
        }
    }

    /// Addresses that the server refuses for good before it is given any mail, each with its words.
    async fn refused(&self, connection: &mut AsyncSmtpConnection) -> Vec<String> {
        match recipients(
            connection,
            &self.from.mailbox().email,
            &self.addresses().collect::<Vec<_>>(),
        )
        .await
        {
            Ok((_, refused)) => refused
                .into_iter()
                .filter(|refusal| refusal.for_good)
                .map(|refusal| format!("{} is refused: {}", refusal.to, refusal.why))
                .collect(),
            Err(Failure::Content(why) | Failure::Other(why)) => vec![why],
        }
    }

    fn addresses(&self) -> impl Iterator<Item = lettre::Address> {
        self.to.iter().map(|to| to.mailbox().email)
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
    memory: Mutex<Memory>,
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
        let tried = self.hand_in(id, &message.formatted()).await;
        self.remembering(|memory| memory.note(id, tried, Instant::now()))
    }
}

impl Email {
    /// One attempt, for those who do not have it yet.
    async fn hand_in(&self, id: JobId, bytes: &[u8]) -> Result<Handed, Failure> {
        let to = self.remembering(|memory| memory.lacking(id, self.settings.addresses()));
        if to.is_empty() {
            return Ok(Handed::default());
        }
        let server = self.settings.server().await.map_err(Failure::Other)?;
        let from = self.settings.from.mailbox().email;
        let handing = async {
            let mut connection = server.connect().await.map_err(Failure::Other)?;
            let handed = hand_in(&mut connection, &from, &to, bytes).await;
            handed.map(|handed| (handed, connection))
        };
        let late = |late: outbound::TimedOut| Failure::Other(late.to_string());
        let (handed, mut connection) = within(SEND_MAX, "deliver the e-mail", handing).await.map_err(late)??;
        let _farewell = within(QUIT_MAX, "leave the SMTP server", connection.quit()).await;
        Ok(handed)
    }

    fn remembering<T>(&self, ask: impl FnOnce(&mut Memory) -> T) -> T {
        ask(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
