//! Webhooks by Standard Webhooks 1.0 (<https://www.standardwebhooks.com>): `webhook-id` stays over all attempts,
//! timestamp and signature are made for each.

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use config::Secret;
use events::{JobId, Outcome, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use jiff::SignedDuration;
use outbound::{Context, Finding, within};
use reqwest::{Response, StatusCode, Url, header};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::Sha256;

use super::{NotifierKind, Notify, later, remedy, told};
use crate::words::clip;

/// All of one delivery.
const SEND_MAX: SignedDuration = SignedDuration::from_secs(20);
const CHECK_MAX: SignedDuration = SignedDuration::from_secs(10);
/// Of what the receiver answers only so much is read.
const ANSWER_BYTES_MAX: usize = 2048;
/// Shortest key that is taken: 128 bits.
const KEY_BYTES_MIN: usize = 16;
/// A receiver that asks for more patience than this is asked again all the same.
const RETRY_AFTER_MAX: SignedDuration = SignedDuration::from_hours(1);

/// `via.webhook = { url = { env = "HOOK_URL" }, secret = { env = "HOOK_SECRET" } }`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Where to: an http or https URL; a secret, as many have a token in them.
    pub url: Secret,
    /// The key to sign with: `whsec_` and base64 of 16 bytes or more. Unsigned when left out.
    #[serde(default)]
    pub secret: Option<Secret>,
}

#[async_trait]
impl NotifierKind for WebhookSettings {
    fn build(&self, context: &Context) -> Box<dyn Notify> {
        Box::new(Webhook {
            settings: self.clone(),
            context: context.clone(),
        })
    }

    async fn preflight(&self, context: &Context) -> Vec<Finding> {
        let place = match self.place().await {
            Ok(place) => place,
            Err(why) => {
                let secrets = std::iter::once(&self.url).chain(&self.secret);
                let remedy = remedy(secrets, "correct what is in the secret that is named").await;
                return vec![Finding::problem("webhook", why, remedy)];
            }
        };
        let host = place.host();
        let what = format!("webhook to {host}");
        // HEAD tells nobody anything; any answer shows that the way there is open.
        let request = context.client().head(place.url.clone()).send();
        let mut findings = match within(CHECK_MAX, "reach the webhook", request).await {
            Ok(Ok(response)) => answered(what, response.status()),
            Ok(Err(error)) => vec![Finding::problem(
                what,
                failure(error),
                "check the URL, the network and the certificate",
            )],
            Err(late) => vec![Finding::problem(
                what,
                late.to_string(),
                "check the URL and the network",
            )],
        };
        if place.key.is_none() {
            let why = "no `secret` is given: the receiver cannot tell our messages from forged ones";
            findings.push(Finding::skipped(format!("signature for {host}"), why));
        }
        findings
    }
}

/// What an answer to HEAD shows. Many receivers take POST only and say so in one way or another: then the way there is
/// open, and nothing else is known.
fn answered(what: String, status: StatusCode) -> Vec<Finding> {
    if status.is_success() {
        return vec![Finding::ok(what, format!("answers ({status})"))];
    }
    let why = format!("HEAD was answered with {status}, and nothing was posted");
    if status == StatusCode::GONE || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED) {
        return vec![Finding::problem(
            what,
            why,
            "look at the receiver; `watchkeep notify test NAME` posts for real",
        )];
    }
    vec![
        Finding::ok(what.clone(), "can be reached"),
        Finding::skipped(
            format!("{what}, whether it takes messages"),
            format!("{why}; `watchkeep notify test NAME` posts for real"),
        ),
    ]
}

/// Where to, and the key: read anew for each message.
struct Place {
    url: Url,
    key: Option<Vec<u8>>,
}

impl Place {
    fn host(&self) -> String {
        self.url.host_str().unwrap_or_default().to_owned()
    }
}

impl WebhookSettings {
    async fn place(&self) -> Result<Place, String> {
        let settings = self.clone();
        let read = tokio::task::spawn_blocking(move || settings.read());
        match within(SignedDuration::from_secs(5), "read the secret", read).await {
            Ok(Ok(place)) => place,
            Ok(Err(panicked)) => Err(panicked.to_string()),
            Err(late) => Err(late.to_string()),
        }
    }

    fn read(&self) -> Result<Place, String> {
        let value = self.url.read().map_err(|error| told(&error))?;
        let url = Url::parse(value.expose().trim());
        let url = url.map_err(|error| format!("the URL in {}: {error}", self.url))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("the URL in {}: expected http:// or https://", self.url));
        }
        let key = match &self.secret {
            Some(secret) => {
                let value = secret.read().map_err(|error| told(&error))?;
                Some(key(value.expose()).map_err(|why| format!("the key in {secret}: {why}"))?)
            }
            None => None,
        };
        Ok(Place { url, key })
    }
}

/// The bytes of a key `whsec_…`.
fn key(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim();
    let encoded = text.strip_prefix("whsec_").unwrap_or(text);
    let made = "make one by: echo whsec_$(openssl rand -base64 32)";
    let key = STANDARD
        .decode(encoded)
        .map_err(|_| format!("it is not whsec_ and base64; {made}"))?;
    if key.len() < KEY_BYTES_MIN {
        return Err(format!(
            "it has {} bytes, at least {KEY_BYTES_MIN} are needed; {made}",
            key.len()
        ));
    }
    Ok(key)
}

/// `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`.
fn signature(key: &[u8], id: &str, seconds: i64, body: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

struct Webhook {
    settings: WebhookSettings,
    context: Context,
}

#[async_trait]
impl Notify for Webhook {
    async fn send(&self, id: JobId, composed: &str) -> Outcome {
        let place = match self.settings.place().await {
            Ok(place) => place,
            Err(why) => return later(why),
        };
        match within(SEND_MAX, "deliver the webhook", self.post(&place, id, composed)).await {
            Ok(outcome) => outcome,
            Err(late) => later(late.to_string()),
        }
    }
}

impl Webhook {
    async fn post(&self, place: &Place, id: JobId, composed: &str) -> Outcome {
        let id = id.to_string();
        let now = self.context.now().wall;
        let seconds = now.as_nanos().div_euclid(1_000_000_000);
        let mut request = self
            .context
            .client()
            .post(place.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", seconds.to_string())
            .body(composed.to_owned());
        if let Some(signature) = place
            .key
            .as_ref()
            .and_then(|key| signature(key, &id, seconds, composed))
        {
            request = request.header("webhook-signature", signature);
        }
        match request.send().await {
            Ok(response) => judged(response, now).await,
            Err(error) => later(failure(error)),
        }
    }
}

/// What an answer means: 2xx is delivered, 410 is never, everything else is later.
async fn judged(mut response: Response, now: Timestamp) -> Outcome {
    let status = response.status();
    let not_before = retry_after(&response, now);
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.extend(chunk.iter().take(ANSWER_BYTES_MAX.saturating_sub(text.len())));
        if text.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    let said = clip(String::from_utf8_lossy(&text).trim(), 160);
    let answer = if said.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {said}")
    };
    if status.is_success() {
        return Outcome::Done { answer };
    }
    if status == StatusCode::GONE {
        return Outcome::Failed { why: answer };
    }
    let why = if status.is_redirection() {
        format!("{status}: redirects are not followed; configure the new URL")
    } else {
        answer
    };
    Outcome::Later { why, not_before }
}

/// `Retry-After` in seconds or as a date (RFC 9110), at most an hour.
fn retry_after(response: &Response, now: Timestamp) -> Option<SignedDuration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    patience(value, now)
}

fn patience(value: &str, now: Timestamp) -> Option<SignedDuration> {
    let asked = match value.trim().parse::<u32>() {
        Ok(seconds) => SignedDuration::from_secs(i64::from(seconds)),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
            Timestamp::from_jiff(date.timestamp()).since(now)
        }
    };
    Some(asked.clamp(SignedDuration::ZERO, RETRY_AFTER_MAX))
}

/// An error of the client, without the URL: it may hold a token.
fn failure(error: reqwest::Error) -> String {
    told(&error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by PyPI's `standardwebhooks`.
    #[test]
    fn signs_as_the_reference_implementation_does() {
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signed.as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    /// Findings of an answer to HEAD: problem, ok, skipped.
    fn found(status: u16) -> Vec<outbound::FindingState> {
        let findings = answered("webhook to x".to_owned(), StatusCode::from_u16(status).unwrap());
        findings.into_iter().map(|finding| finding.state).collect()
    }

    #[test]
    fn an_answer_to_head_is_no_proof_that_messages_are_taken() {
        use outbound::FindingState::{Ok, Problem, Skipped};
        assert_eq!(found(204), [Ok]);
        for status in [301, 401, 403, 404, 405, 501] {
            assert_eq!(found(status), [Ok, Skipped], "{status}");
        }
        for status in [410, 500, 502, 503] {
            assert_eq!(found(status), [Problem], "{status}");
        }
    }

    #[test]
    fn refuses_keys_that_are_none() {
        for text in [
            "whsec_",
            "whsec_c2hvcnQ=",
            "not base64!",
            "whsec_MfKQ9r8GKYqr TwjUPD8ILPZIo2LaLaSw",
        ] {
            let why = key(text).unwrap_err();
            assert!(why.contains("openssl rand"), "{why}");
        }
    }

    #[test]
    fn reads_both_forms_of_retry_after() {
        let now = Timestamp::from_jiff("2026-11-21T03:00:00Z".parse().unwrap());
        let asked = |value: &str| patience(value, now);
        assert_eq!(asked("120"), Some(SignedDuration::from_secs(120)));
        assert_eq!(
            asked("Sat, 21 Nov 2026 03:00:30 GMT"),
            Some(SignedDuration::from_secs(30))
        );
        assert_eq!(asked("Sat, 21 Nov 2026 02:00:30 GMT"), Some(SignedDuration::ZERO));
        assert_eq!(
            asked("999999"),
            Some(SignedDuration::from_hours(1)),
            "no longer than an hour"
        );
        assert_eq!(asked("soon"), None);
    }
}
