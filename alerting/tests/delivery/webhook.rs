//! Webhooks to a real HTTP server.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use events::Outcome;
use hmac::{Hmac, KeyInit, Mac};
use jiff::SignedDuration;
use sha2::Sha256;
use tokio::{net::TcpListener, task::JoinSet};

use super::{composed, context, job, secret, settings};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

type Received = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;
type Answer = fn() -> Response;

struct Receiver {
    received: Received,
    port: u16,
    folder: tempfile::TempDir,
    _serving: JoinSet<()>,
}

impl Receiver {
    async fn start(answer: Answer) -> Self {
        let received = Received::default();
        let keep = Arc::clone(&received);
        let router = Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
            keep.lock().unwrap().push((headers, body));
            async move { answer() }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            received,
            port,
            folder: tempfile::tempdir().unwrap(),
            _serving: serving,
        }
    }

    fn settings(&self) -> alerting::NotifySettings {
        let url = format!("http://127.0.0.1:{}/hook?token=t0ps3cret", self.port);
        let url = secret(self.folder.path(), "url", &url);
        let key = secret(self.folder.path(), "key", KEY);
        settings(&format!(
            "via.webhook = {{ url = {{ file = {url:?} }}, secret = {{ file = {key:?} }} }}"
        ))
    }

    async fn send(&self) -> Outcome {
        let notifier = self.settings().via.as_dyn().build(&context(self.folder.path()));
        let id = job("one");
        notifier.send(id, &composed(id)).await
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).unwrap().to_str().unwrap()
}

#[tokio::test]
async fn is_signed_and_the_same_at_every_attempt() {
    let receiver = Receiver::start(|| (StatusCode::OK, "thanks").into_response()).await;
    for _ in 0..2 {
        let outcome = receiver.send().await;
        assert_eq!(
            outcome,
            Outcome::Done {
                answer: "200 OK: thanks".to_owned()
            }
        );
    }
    let received = receiver.received.lock().unwrap().clone();
    assert_eq!(received[0].1, received[1].1, "the bytes never change");
    for (headers, body) in &received {
        let (id, stamp) = (header(headers, "webhook-id"), header(headers, "webhook-timestamp"));
        assert_eq!(id, job("one").to_string());
        assert_eq!(header(headers, "content-type"), "application/json");
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&STANDARD.decode(KEY.trim_start_matches("whsec_")).unwrap()).unwrap();
        for part in [id.as_bytes(), b".", stamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        let expected = STANDARD.encode(mac.finalize().into_bytes());
        assert_eq!(header(headers, "webhook-signature"), format!("v1,{expected}"));
        assert!(body.len() < 20_000);
    }
}

#[tokio::test]
async fn the_answer_decides() {
    let later = |why: &str, seconds: Option<i64>| Outcome::Later {
        why: why.to_owned(),
        not_before: seconds.map(SignedDuration::from_secs),
    };
    let cases: [(Answer, Outcome); 6] = [
        (
            || StatusCode::NO_CONTENT.into_response(),
            Outcome::Done {
                answer: "204 No Content".to_owned(),
            },
        ),
        (
            || StatusCode::GONE.into_response(),
            Outcome::Failed {
                why: "410 Gone".to_owned(),
            },
        ),
        (|| StatusCode::NOT_FOUND.into_response(), later("404 Not Found", None)),
        (
            || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "120")]).into_response(),
            later("429 Too Many Requests", Some(120)),
        ),
        (
            || (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "99999")]).into_response(),
            later("503 Service Unavailable", Some(3600)),
        ),
        (
            || (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
            later("302 Found: redirects are not followed; configure the new URL", None),
        ),
    ];
    for (answer, expected) in cases {
        let receiver = Receiver::start(answer).await;
        assert_eq!(receiver.send().await, expected);
        assert_eq!(receiver.received.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_endless_answer_is_read_no_further_than_needed() {
    let receiver = Receiver::start(|| (StatusCode::OK, "x".repeat(5_000_000)).into_response()).await;
    let Outcome::Done { answer } = receiver.send().await else {
        panic!("not delivered");
    };
    assert!(answer.len() < 200, "{}", answer.len());
}

#[tokio::test]
async fn a_dead_receiver_is_tried_later_and_its_token_is_not_told() {
    let mut receiver = Receiver::start(|| StatusCode::OK.into_response()).await;
    receiver.port = 1;
    let Outcome::Later { why, .. } = receiver.send().await else {
        panic!("a dead receiver took it");
    };
    assert!(!why.contains("t0ps3cret") && !why.contains("hook"), "{why}");
    let findings = receiver
        .settings()
        .via
        .as_dyn()
        .preflight(&context(receiver.folder.path()))
        .await;
    assert!(findings[0].is_problem(), "{findings:?}");
    assert!(!format!("{findings:?}").contains("t0ps3cret"), "{findings:?}");
}
