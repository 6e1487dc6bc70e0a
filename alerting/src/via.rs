//! How a destination is told: one file for each kind, one line here.

mod address;
mod email;
mod webhook;

use async_trait::async_trait;
use config::Secret;
use events::{JobId, Outcome};
use outbound::{Context, Finding};
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::{address::Address, email::EmailSettings, webhook::WebhookSettings};

/// One destination: `[notify.NAME]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotifySettings {
    /// The way there: `via.email = { … }` or `via.webhook = { … }`.
    pub via: Via,
}

config::kinds! {
    /// How a destination is told.
    pub enum Via: dyn NotifierKind {
        /// By e-mail.
        Email = "email": EmailSettings,
        /// By a signed HTTP request.
        Webhook = "webhook": WebhookSettings,
    }
}

/// A kind of notifier, as configured.
#[async_trait]
pub trait NotifierKind: Send + Sync {
    /// Makes it ready to send. Secrets are read at each message, so that rotated ones are seen.
    fn build(&self, context: &Context) -> Box<dyn Notify>;

    /// Tries the way there without telling anybody anything.
    async fn preflight(&self, context: &Context) -> Vec<Finding>;
}

/// Sends composed messages.
#[async_trait]
pub trait Notify: Send + Sync {
    /// Makes one attempt; `composed` is a [`Body`](crate::Body) as JSON, the same bytes at every attempt. Has its own
    /// deadline.
    async fn send(&self, id: JobId, composed: &str) -> Outcome;
}

/// What to do when settings cannot be used: fill the first place that cannot be read, else what is said.
async fn remedy<'a>(secrets: impl IntoIterator<Item = &'a Secret>, otherwise: &str) -> String {
    let secrets: Vec<Secret> = secrets.into_iter().cloned().collect();
    let unreadable = move || secrets.into_iter().find(|secret| secret.read().is_err());
    let looked = tokio::task::spawn_blocking(unreadable);
    let found = outbound::within(jiff::SignedDuration::from_secs(5), "read the secret", looked).await;
    match found {
        Ok(Ok(Some(secret))) => secret.remedy(),
        _ => otherwise.to_owned(),
    }
}

/// A failure that goes away by itself or when somebody mends it.
fn later(why: impl Into<String>) -> Outcome {
    Outcome::Later {
        why: why.into(),
        not_before: None,
    }
}

/// An error with everything that caused it, on one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        // Some libraries repeat the cause in their own text.
        if !text.contains(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    crate::words::clip(&outbound::in_words(&text), 300)
}
