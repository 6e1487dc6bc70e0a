//! Bytes that nobody would send by mistake: every answer is a problem, or right; nothing panics.

use axum::{body::Body, http::Method};
use serde_json::json;
use web::{ROUTES, Verb};

use crate::house::{ADMIN, Rig, request};

const TEXTS: &[&str] = &[
    "%00",
    "%1b%5b2J",
    "%e2%80%ae",
    "%ff%fe",
    "..%2f..%2fetc%2fpasswd",
    "'%20OR%201=1%20--",
    "%25%25%25",
    "%F0%9F%92%A9",
    "-1",
    "18446744073709551616",
    "9223372036854775807",
    "NaN",
    "4bf92f3577b34da6a3ce929d0e0e473Z",
];

#[tokio::test]
async fn every_path_and_parameter_takes_any_text() {
    let rig = Rig::new().await;
    let parameters = [
        "service", "stream", "kind", "trace", "since", "until", "before", "after", "limit", "severity", "contains",
        "all",
    ];
    for route in ROUTES.iter().filter(|route| route.method == Verb::Get) {
        for text in TEXTS.iter().copied().chain([&*"a".repeat(5000)]) {
            let path = route.path.replace("{id}", text).replace("{service}", text);
            for parameter in parameters {
                let said = rig.get(&format!("{path}?{parameter}={text}")).await;
                let status = said.status.as_u16();
                assert!(
                    matches!(status, 200 | 400 | 404),
                    "{path}?{parameter}={text}: {status} {}",
                    String::from_utf8_lossy(&said.body)
                );
                if status != 200 {
                    said.problem(status);
                }
            }
        }
    }
}

#[tokio::test]
async fn every_body_is_refused_with_its_reason() {
    let rig = Rig::new().await;
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let deep_object = "{\"a\":".repeat(10_000);
    let long = json!({ "service": "s".repeat(300), "version": "1" }).to_string();
    let bodies = [
        "\0",
        "[]",
        "null",
        "\"x\"",
        "{",
        "{\"unknown_field\":1}",
        "{\"service\":{}}",
        &deep,
        &deep_object,
        "\u{feff}{}",
        &long,
        "{\"service\":1e999}",
    ];
    for route in ROUTES
        .iter()
        .filter(|route| route.method == Verb::Post && !route.takes.is_empty())
    {
        let before = rig.app.journal.head().await.unwrap().seq;
        for body in bodies {
            let said = rig.post(route.path, body).await;
            let title = said.problem(400);
            assert!(title.len() < 3000, "{}: {title}", route.path);
        }
        assert_eq!(rig.app.journal.head().await.unwrap().seq, before, "{}", route.path);
    }
    let bytes = rig
        .ask(
            ADMIN,
            request(Method::POST, "/api/v1/deployments", Body::from(vec![0xff, 0xfe, b'{'])),
        )
        .await;
    bytes.problem(400);
}

#[tokio::test]
async fn hostile_names_are_recorded_as_what_they_are_or_refused() {
    let rig = Rig::new().await;
    let post = |service: &str| json!({ "service": service, "version": "1" }).to_string();
    rig.post("/api/v1/deployments", &post("sh\u{1b}op")).await.problem(400);
    rig.post("/api/v1/deployments", &post("")).await.problem(400);
    let said = rig
        .post("/api/v1/deployments", &post("shop'; DROP TABLE fact; --"))
        .await;
    assert_eq!(said.json()["service"], "shop'; DROP TABLE fact; --");
    let chain = rig.get("/api/v1/chain").await.json();
    assert_eq!(chain["damage"], serde_json::Value::Null, "{chain}");
    for (field, value) in [("by", "x\u{7}"), ("note", "a\u{1b}[31mb")] {
        let body = json!({ "service": "shop", "version": "1", field: value }).to_string();
        assert!(
            rig.post("/api/v1/deployments", &body)
                .await
                .problem(400)
                .starts_with(field)
        );
    }
    let mut keyed = request(Method::POST, "/api/v1/deployments", Body::from(post("shop")));
    keyed.headers_mut().insert(
        "idempotency-key",
        axum::http::HeaderValue::from_bytes(b"\xff\xfe").unwrap(),
    );
    assert!(rig.ask(ADMIN, keyed).await.problem(400).starts_with("Idempotency-Key"));
}
