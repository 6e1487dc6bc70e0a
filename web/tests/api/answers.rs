//! What is answered, and what is refused by name.

use axum::{body::Body, http::Method};
use events::{
    AlertPhase, Envelope, Fact, IncidentId, Input, Look, Phase, ProbeChanged, Reading, Reason, RuleTerms, ServiceId,
    Status, name_of,
};
use serde_json::{Value, json};
use web::{
    Desk, ROUTES, Verb,
    answer::{
        ActionsAnswer, AlertsAnswer, BackupsAnswer, ChainAnswer, LatencyAnswer, LogsAnswer, SilencesAnswer,
        StatusAnswer, TimelineAnswer, WhyAnswer,
    },
    socket_router,
};

use crate::house::{ADMIN, Rig, Said, request, said};

async fn record(rig: &Rig, stream: &str, fact: Fact) {
    let envelope = Envelope::new(name_of(stream), name_of("test"), fact).about(Some(ServiceId::new("shop").unwrap()));
    rig.app.journal.submit(Input::from(envelope)).await.unwrap();
}

/// An incident of `shop-errors`.
async fn fire(rig: &Rig) -> IncidentId {
    let incident = IncidentId::derive(&rig.app.journal.identity(), &["test"]);
    let phase = AlertPhase {
        rule: name_of("shop-errors"),
        from: Phase::Pending,
        to: Phase::Firing,
        why: events::PhaseCause::Evidence,
        base: 0,
        since: None,
        until: None,
        incident: Some(incident),
        readings: vec![Reading {
            what: "up(shop)".to_owned(),
            value: "fail".to_owned(),
            limit: String::new(),
            holds: Some(false),
        }],
        rule_digest: "d".to_owned(),
        terms: Some(RuleTerms {
            when: "not up(shop)".to_owned(),
            ..RuleTerms::default()
        }),
        breach_began: Some(rig.app.now()),
        changes: Vec::new(),
    };
    record(rig, "alert/shop-errors", Fact::AlertPhase(phase)).await;
    incident
}

fn read<T: serde::de::DeserializeOwned>(said: &Said) -> T {
    serde_json::from_value(said.json()).unwrap()
}

#[tokio::test]
async fn a_parameter_that_means_nothing_is_refused_by_name() {
    let rig = Rig::new().await;
    for route in ROUTES.iter().filter(|route| route.method == Verb::Get) {
        let path = route
            .path
            .replace("{id}", "4bf92f3577b34da6a3ce929d0e0e4736")
            .replace("{service}", "shop");
        let problem = rig.get(&format!("{path}?servise=shop")).await.problem(400);
        assert!(problem.contains("servise"), "{path}: {problem}");
    }
    let problem = rig.get("/api/v1/timeline?kind=tick&kind=started").await.problem(400);
    assert!(
        problem.contains("kind") && problem.contains("more than once"),
        "{problem}"
    );
    let problem = rig.get("/api/v1/timeline?servise=x").await.problem(400);
    assert!(problem.contains("known: service, stream, kind"), "{problem}");
}

#[tokio::test]
async fn answers_are_what_their_types_say() {
    let rig = Rig::new().await;
    let incident = fire(&rig).await;
    let look = Look::new(Status::Fail, Reason::ConnectRefused, "127.0.0.1:80");
    record(
        &rig,
        "probe/shop",
        Fact::ProbeChanged(ProbeChanged {
            probe: name_of("shop"),
            from: Status::Unknown,
            look,
            first: None,
        }),
    )
    .await;
    let status: StatusAnswer = read(&rig.get("/api/v1/status").await);
    assert!(
        status.running
            && status.incidents.contains_key(&incident.to_string())
            && status.probes["shop"].status == Status::Fail
    );
    let alerts: AlertsAnswer = read(&rig.get("/api/v1/alerts?all=true").await);
    assert_eq!(
        (alerts.incidents.len(), alerts.ended.len(), alerts.rules.len()),
        (1, 0, 1)
    );
    let timeline: TimelineAnswer = read(&rig.get("/api/v1/timeline?limit=2").await);
    assert!(timeline.more && timeline.facts[0].seq > timeline.facts[1].seq);
    let after: TimelineAnswer = read(&rig.get("/api/v1/timeline?after=1&limit=2").await);
    assert!(after.facts[0].seq < after.facts[1].seq);
    let _: SilencesAnswer = read(&rig.get("/api/v1/silences").await);
    let _: BackupsAnswer = read(&rig.get("/api/v1/backups").await);
    let _: ActionsAnswer = read(&rig.get("/api/v1/actions").await);
    let _: LogsAnswer = read(&rig.get("/api/v1/logs?severity=warn&since=1h").await);
    let _: LatencyAnswer = read(&rig.get("/api/v1/latency/shop").await);
    let chain: ChainAnswer = read(&rig.get("/api/v1/chain").await);
    assert!(chain.damage.is_none() && chain.facts > 2);
    let short: String = incident.to_string().chars().take(8).collect();
    for id in [short.as_str(), "shop-errors"] {
        let why: WhyAnswer = read(&rig.get(&format!("/api/v1/why/{id}")).await);
        assert_eq!((why.view.as_str(), why.id), ("incidents", incident.to_string()));
        let kinds: Vec<&str> = why.facts.iter().map(|fact| fact.fact.fact.kind()).collect();
        assert_eq!(kinds, ["configured", "alert_phase", "probe_changed"]);
    }
}

#[tokio::test]
async fn what_does_not_exist_is_suggested() {
    let rig = Rig::new().await;
    let cases = [
        ("/api/v1/notify/mee/test", "{}", "did you mean \"me\"?"),
        ("/api/v1/backups/nigthly/run", "{}", "did you mean \"nightly\"?"),
        ("/api/v1/backups/nightly/burn", "{}", "run or prove"),
        (
            "/api/v1/actions/stop",
            r#"{"action":"rolback"}"#,
            "did you mean \"rollback\"?",
        ),
        (
            "/api/v1/silences",
            r#"{"rule":"shop-error","for":"1h"}"#,
            "did you mean \"shop-errors\"?",
        ),
        ("/api/v1/ack", r#"{"incident":"5f3a"}"#, "`watchkeep alerts` lists them"),
        (
            "/api/v1/silences/abcd/lift",
            "{}",
            "`watchkeep silence --list` lists them",
        ),
    ];
    for (target, body, help) in cases {
        let problem = rig.post(target, body).await.problem(404);
        assert!(problem.ends_with(help), "{target}: {problem}");
    }
    let problem = rig.get("/api/v1/timeline?kind=deployment_record").await.problem(400);
    assert!(problem.contains("did you mean \"deployment_recorded\"?"), "{problem}");
    assert!(
        rig.get("/api/v1/why/abc")
            .await
            .problem(400)
            .contains("at least 4 characters")
    );
    rig.get("/api/v1/why/abcdef").await.problem(404);
}

#[tokio::test]
async fn a_key_is_recorded_once() {
    let rig = Rig::new().await;
    let ask = async |version: &str| {
        let body = json!({ "service": "shop", "version": version, "by": "ci" }).to_string();
        let mut keyed = request(Method::POST, "/api/v1/deployments", Body::from(body));
        keyed
            .headers_mut()
            .insert("idempotency-key", "build-4711".parse().unwrap());
        rig.ask(ADMIN, keyed).await
    };
    let first = ask("1.4.2").await.json();
    assert_eq!(ask("1.4.2").await.json(), first);
    assert!(ask("1.4.3").await.problem(409).contains("another content"));
    let all: TimelineAnswer = read(&rig.get("/api/v1/timeline?kind=deployment_recorded").await);
    assert_eq!(all.facts.len(), 1);
}

#[tokio::test]
async fn a_silence_is_meant_and_ends() {
    let rig = Rig::new().await;
    let cases = [
        (r#"{"for":"1h"}"#, "name a rule"),
        (r#"{"all":true}"#, "say how long"),
        (r#"{"all":true,"rule":"shop-errors","for":"1h"}"#, "name a rule"),
        (
            r#"{"all":true,"for":"1h","until":"2027-01-01T00:00:00Z"}"#,
            "say how long",
        ),
        (r#"{"all":true,"until":"2020-01-01T00:00:00Z"}"#, "until"),
        (r#"{"all":true,"for":"500d"}"#, "at most a year"),
        (r#"{"all":true,"for":"soon"}"#, "for"),
    ];
    for (body, title) in cases {
        let problem = rig.post("/api/v1/silences", body).await.problem(400);
        assert!(problem.contains(title), "{body}: {problem}");
    }
    let set = rig
        .post(
            "/api/v1/silences",
            r#"{"service":"shop","from":"2026-11-22T00:00:00Z","for":"2h"}"#,
        )
        .await
        .json();
    let id = set["silence"].as_str().unwrap().to_owned();
    let silences: SilencesAnswer = read(&rig.get("/api/v1/silences").await);
    assert_eq!(silences.silences[&id].until.to_string(), "2026-11-22T02:00:00Z");
    let lifted = rig
        .post(&format!("/api/v1/silences/{}/lift", id.get(..8).unwrap()), "")
        .await
        .json();
    assert_eq!(lifted["silence"], id.as_str());
}

#[tokio::test]
async fn what_is_asked_for_is_recorded_with_who_asked() {
    let rig = Rig::new().await;
    let incident = fire(&rig).await;
    assert_eq!(
        rig.post("/api/v1/ack", r#"{"incident":"shop-errors","by":"alice"}"#)
            .await
            .json()["incident"],
        incident.to_string()
    );
    let tested = rig.post("/api/v1/notify/me/test", "").await.json();
    assert!(tested["job"].is_string() && tested["after"].is_u64(), "{tested}");
    assert!(rig.post("/api/v1/backups/nightly/prove", "").await.json()["after"].is_u64());
    rig.post("/api/v1/actions/stop", r#"{"by":"alice"}"#).await.json();
    let status: StatusAnswer = read(&rig.get("/api/v1/status").await);
    assert_eq!(status.now.acting_stopped_by.as_deref(), Some("alice"));
    assert_eq!(
        status.incidents[&incident.to_string()]
            .ack
            .as_ref()
            .map(|ack| ack.by.as_str()),
        Some("alice")
    );
    let deployed = rig
        .post(
            "/api/v1/deployments",
            r#"{"service":"shop","version":"2","environment":"staging","began":"5m"}"#,
        )
        .await
        .json();
    assert_eq!(deployed["service"], "shop@staging");
    rig.post(
        "/api/v1/deployments",
        r#"{"service":"shop","version":"2","began":"2030-01-01T00:00:00Z"}"#,
    )
    .await
    .problem(400);
    let own: Value = rig
        .post(
            "/api/v1/deployments",
            r#"{"service":"shop","version":"2","environment":"production"}"#,
        )
        .await
        .json();
    assert_eq!(own["service"], "shop");
}

#[tokio::test]
async fn readiness_is_red_without_ticks_and_green_with_them() {
    let rig = Rig::new().await;
    assert_eq!(rig.get("/readyz").await.status, 200);
    rig.store.tick().await.unwrap();
    assert!(web::readiness(&rig.app).await.ready);
}

#[tokio::test]
async fn the_record_of_a_daemon_that_does_not_run_answers_the_same() {
    let rig = Rig::new().await;
    let incident = fire(&rig).await;
    rig.post("/api/v1/deployments", r#"{"service":"shop","version":"2"}"#)
        .await
        .json();
    let folder = store::Folder::look(&rig.folder()).unwrap();
    let desk = Desk::still(folder, rig.app.clocks.clone(), rig.app.described.clone(), "test")
        .await
        .unwrap();
    assert!(desk.last_recorded().await.unwrap().is_some());
    let router = socket_router(desk);
    let ask = async |method: Method, target: &str| {
        let mut asked = request(method, target, Body::from("{}"));
        asked.extensions_mut().insert(ADMIN);
        said(router.clone(), asked).await
    };
    for target in [
        "/api/v1/alerts",
        "/api/v1/timeline",
        "/api/v1/backups",
        "/api/v1/actions",
        "/api/v1/silences",
        &format!("/api/v1/why/{incident}"),
    ] {
        assert_eq!(
            ask(Method::GET, target).await.json(),
            rig.get(target).await.json(),
            "{target}"
        );
    }
    let status: StatusAnswer = read(&ask(Method::GET, "/api/v1/status").await);
    assert!(!status.running && !status.ready.ready && status.releases.contains_key("shop"));
    assert!(
        ask(Method::POST, "/api/v1/actions/stop")
            .await
            .problem(503)
            .contains("no daemon is running")
    );
    ask(Method::GET, "/readyz").await;
}
