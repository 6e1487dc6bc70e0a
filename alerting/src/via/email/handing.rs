//! One SMTP conversation: every recipient that the server takes gets the message, whatever becomes of the others.

use lettre::{
    Address,
    transport::smtp::{
        Error,
        client::AsyncSmtpConnection,
        commands::{Data, Mail, Rcpt},
        extension::{Extension, MailParameter},
        response::Response,
    },
};

use super::told;
use crate::words::clip;

/// A recipient that the server did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) to: Address,
    /// The server's words.
    pub(super) why: String,
    /// The server says that it will always be so.
    pub(super) for_good: bool,
}

/// What became of a message that was handed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Handed {
    /// Who gets it: the server took it upon itself.
    pub(super) taken: Vec<Address>,
    /// What the server said to that; empty when nobody gets it.
    pub(super) answer: String,
    /// Who does not get it.
    pub(super) refused: Vec<Refusal>,
}

/// Why nobody got the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server took recipients, and refused what is written to them, for good.
    Content(String),
    /// Anything else: it goes away by itself or when somebody mends it.
    Other(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(told(&error))
    }
}

/// Hands in a message for these recipients. Nobody got anything when it fails.
pub(super) async fn hand_in(
    connection: &mut AsyncSmtpConnection,
    from: &Address,
    to: &[Address],
    bytes: &[u8],
) -> Result<Handed, Failure> {
    let (taken, refused) = recipients(connection, from, to).await?;
    if taken.is_empty() {
        return Ok(Handed {
            refused,
            ..Handed::default()
        });
    }
    let content = |error: Error| {
        if error.is_permanent() && !is_about_login(&error) {
            Failure::Content(told(&error))
        } else {
            Failure::from(error)
        }
    };
    connection.command(Data).await.map_err(content)?;
    let response = connection.message(bytes).await.map_err(content)?;
    Ok(Handed {
        taken,
        answer: answer(&response),
        refused,
    })
}

/// Names sender and recipients: who is taken, and who is not.
pub(super) async fn recipients(
    connection: &mut AsyncSmtpConnection,
    from: &Address,
    to: &[Address],
) -> Result<(Vec<Address>, Vec<Refusal>), Failure> {
    let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
    let mut parameters = Vec::new();
    if !is_ascii(from) || !to.iter().all(is_ascii) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            let why = "an address has other letters than ASCII, and the server does not take those (SMTPUTF8)";
            return Err(Failure::Other(why.to_owned()));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    connection.command(Mail::new(Some(from.clone()), parameters)).await?;
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for one in to {
        match connection.command(Rcpt::new(one.clone(), Vec::new())).await {
            Ok(_) => taken.push(one.clone()),
            Err(error) if is_about_recipient(&error) => refused.push(Refusal {
                to: one.clone(),
                why: clip(&told(&error), 120),
                for_good: error.is_permanent(),
            }),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((taken, refused))
}

/// Codes with which a server refuses the login (RFC 4954): the message is good, the password is not.
const LOGIN_CODES: [u16; 5] = [530, 534, 535, 538, 454];
/// The server hangs up (RFC 5321).
const CLOSING_CODE: u16 = 421;

fn is_about_login(error: &Error) -> bool {
    error
        .status()
        .is_some_and(|code| LOGIN_CODES.contains(&u16::from(code)))
}

/// An answer to this recipient, not an end of the whole conversation.
fn is_about_recipient(error: &Error) -> bool {
    let code = error.status().map(u16::from);
    code.is_some_and(|code| code != CLOSING_CODE) && !is_about_login(error)
}

fn answer(response: &Response) -> String {
    let text: Vec<&str> = response.message().collect();
    clip(&format!("{} {}", response.code(), text.join(" ")), 200)
}
