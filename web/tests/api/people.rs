//! Who asked, as a person reads it, and names that nobody ever heard of.

use axum::{body::Body, http::Method};
use events::{Deployment, Envelope, Fact, Input, ReleaseId, ServiceId, name_of};
use serde_json::{Value, json};
use web::{
    Desk,
    answer::{SilenceAnswer, TimelineAnswer},
    socket_router,
};

use crate::house::{ADMIN, Rig, request, said};

async fn post(rig: &Rig, target: &str, body: &Value) -> Value {
    rig.post(target, &body.to_string()).await.json()
}

async fn silence(rig: &Rig, service: &str) -> SilenceAnswer {
    let body = json!({ "service": service, "for": "1h" });
    serde_json::from_value(post(rig, "/api/v1/silences", &body).await).unwrap()
}

#[tokio::test]
async fn a_silence_over_a_service_that_nobody_heard_of_says_so() {
    let rig = Rig::new().await;
    let warning = silence(&rig, "shp").await.warning.unwrap();
    assert!(warning.starts_with("no service \"shp\" was ever seen"), "{warning}");
    assert!(!warning.contains("did you mean"), "{warning}");
    let deployment = Deployment {
        version: ReleaseId::new("1").unwrap(),
        began: None,
        migrations: None,
        verified: false,
        by: None,
        note: None,
    };
    let envelope = Envelope::new(
        name_of("service/shop"),
        name_of("test"),
        Fact::DeploymentRecorded(deployment),
    );
    let envelope = envelope.about(Some(ServiceId::new("shop").unwrap()));
    rig.app.journal.submit(Input::from(envelope)).await.unwrap();
    assert_eq!(silence(&rig, "shop").await.warning, None);
    let warning = silence(&rig, "shp").await.warning.unwrap();
    assert!(warning.ends_with("did you mean \"shop\"?"), "{warning}");
    // Ahead of time it is allowed all the same.
    let set = rig.get("/api/v1/silences").await.json();
    assert!(!set["silences"].as_object().unwrap().is_empty(), "{set}");
}

#[tokio::test]
async fn the_same_person_has_the_same_name_everywhere() {
    let rig = Rig::new().await;
    let id = silence(&rig, "shop").await.silence;
    post(&rig, &format!("/api/v1/silences/{id}/lift"), &json!({})).await;
    post(&rig, "/api/v1/notify/me/test", &json!({ "by": "alice" })).await;
    post(&rig, "/api/v1/backups/nightly/run", &json!({})).await;
    post(&rig, "/api/v1/actions/stop", &json!({})).await;
    let kinds = "silence_set,silence_lifted,test_requested,backup_requested,acting_switched";
    let timeline: TimelineAnswer =
        serde_json::from_value(rig.get(&format!("/api/v1/timeline?kind={kinds}")).await.json()).unwrap();
    let by: Vec<String> = timeline
        .facts
        .iter()
        .rev()
        .map(|fact| {
            serde_json::to_value(&fact.fact.fact).unwrap()["by"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(by, ["root", "root", "alice", "root", "root"]);
}

#[tokio::test]
async fn without_a_daemon_nobody_says_that_no_job_waits() {
    let rig = Rig::new().await;
    assert_eq!(rig.get("/api/v1/jobs").await.json(), json!([]));
    let folder = store::Folder::look(&rig.folder()).unwrap();
    let desk = Desk::still(folder, rig.app.clocks.clone(), rig.app.described.clone(), "test");
    let mut asked = request(Method::GET, "/api/v1/jobs", Body::empty());
    asked.extensions_mut().insert(ADMIN);
    let problem = said(socket_router(desk.await.unwrap()), asked).await.problem(503);
    assert!(problem.contains("only a running daemon knows"), "{problem}");
}
