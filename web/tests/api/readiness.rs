//! Ready, degraded, and what stops readiness; as `/readyz`, `status` and the metrics say it.

use std::sync::Arc;

use events::{ServiceId, name_of};
use jiff::SignedDuration;
use store::Expected;
use web::{App, Described, DescribedProbe, PulseChange};

use crate::house::{Rig, request, said};

/// The rig's app, with two probes.
fn with_probes(rig: &Rig) -> App {
    let probe = |name: &str| DescribedProbe {
        name: name_of(name),
        service: ServiceId::new(name).unwrap(),
        kind: "tcp".to_owned(),
        target: "127.0.0.1:9".to_owned(),
        every: "1s".to_owned(),
    };
    let described = Described {
        probes: ["shop", "pay", "cdn"].map(probe).into(),
        ..(*rig.app.described).clone()
    };
    App {
        described: Arc::new(described),
        ..rig.app.clone()
    }
}

/// From now on no result of these is soon enough: the clock of the rig stands.
async fn silence(rig: &Rig, probes: &[&str]) {
    let expected = probes.iter().map(|probe| Expected {
        probe: name_of(probe),
        service: ServiceId::new(*probe).unwrap(),
        limit: SignedDuration::from_nanos(-1),
    });
    rig.app.journal.expect(expected.collect());
    rig.store.tick().await.unwrap();
}

async fn metrics(app: &App) -> String {
    let request = request(axum::http::Method::GET, "/metrics", axum::body::Body::empty());
    let answer = said(web::tcp_router(app.clone(), web::Host::default(), Vec::new()), request).await;
    String::from_utf8(answer.body).unwrap()
}

#[tokio::test]
async fn a_prober_that_gives_no_results_stops_readiness() {
    let rig = Rig::new().await;
    let app = with_probes(&rig);
    silence(&rig, &["shop"]).await;
    let ready = web::readiness(&app).await;
    assert!(ready.ready && ready.problems.is_empty(), "one of three: {ready:?}");
    assert!(ready.degraded[0].contains("1 of 3 probes gave no result"), "{ready:?}");
    assert!(
        metrics(&app)
            .await
            .contains("watchkeep_part_state{part=\"probes\"} 1\n")
    );
    silence(&rig, &["shop", "pay"]).await;
    let ready = web::readiness(&app).await;
    assert!(!ready.ready, "two of three: {ready:?}");
    let text = metrics(&app).await;
    for line in [
        "watchkeep_ready 0",
        "watchkeep_part_state{part=\"probes\"} 2",
        "watchkeep_part_state{part=\"ticks\"} 0",
        "watchkeep_probes_silent 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn a_heartbeat_that_does_not_arrive_degrades() {
    let rig = Rig::new().await;
    let name = name_of("outward");
    let fail = || {
        rig.app
            .pulses
            .note(&name, rig.app.now(), Err("answered 503".to_owned()))
    };
    assert_eq!((fail(), fail()), (None, None));
    assert_eq!(rig.get("/readyz").await.json()["degraded"], serde_json::json!([]));
    assert!(matches!(fail(), Some(PulseChange::Fails { .. })));
    let answer = rig.get("/readyz").await;
    assert_eq!(answer.status, 200, "it does not stop itself");
    let text = answer.json()["degraded"][0].as_str().unwrap().to_owned();
    assert_eq!(text, "the outward heartbeat outward does not arrive: answered 503");
    let status = rig.get("/api/v1/status").await.json();
    assert_eq!(status["ready"]["degraded"][0], text);
    let metrics = metrics(&rig.app).await;
    assert!(
        metrics.contains("watchkeep_heartbeat_failures{heartbeat=\"outward\"} 3\n"),
        "{metrics}"
    );
}
