//! Every route and every scope, from the table.

use axum::{
    body::Body,
    http::{Method, StatusCode, header},
};
use web::{Caller, ROUTES, Route, Scope, Verb, Who};

use crate::house::{Rig, request, said};

fn method(route: &Route) -> Method {
    match route.method {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
    }
}

fn target(route: &Route) -> String {
    route
        .path
        .replace("{id}", "4bf92f3577b34da6a3ce929d0e0e4736")
        .replace("{destination}", "me")
        .replace("{service}", "shop")
        .replace("{backup}", "nightly")
        .replace("{task}", "run")
}

/// What a scope may do, said once more and otherwise than in the code.
fn may(who: Who, scope: Scope) -> bool {
    let allowed: &[Who] = match scope {
        Scope::Admin => &[Who::Anyone, Who::Read, Who::Operate, Who::Act],
        Scope::Operate => &[Who::Anyone, Who::Read, Who::Operate],
        Scope::None => &[Who::Anyone],
    };
    allowed.contains(&who)
}

#[tokio::test]
async fn each_route_admits_whom_it_should_and_nobody_else() {
    let rig = Rig::new().await;
    for route in ROUTES {
        for scope in [Scope::Admin, Scope::Operate, Scope::None] {
            let caller = Caller { uid: Some(1000), scope };
            let before = rig.app.journal.head().await.unwrap().seq;
            let said = rig
                .ask(caller, request(method(route), &target(route), Body::from("{}")))
                .await;
            let place = format!("{} {} as {scope:?}", route.method.name(), route.path);
            if may(route.who, scope) {
                assert_ne!(said.status, StatusCode::FORBIDDEN, "{place}");
            } else {
                said.problem(403);
                assert_eq!(
                    rig.app.journal.head().await.unwrap().seq,
                    before,
                    "{place} recorded something"
                );
            }
        }
    }
}

#[tokio::test]
async fn without_a_caller_only_the_open_routes_answer() {
    let rig = Rig::new().await;
    for route in ROUTES {
        let said = said(rig.socket(), request(method(route), &target(route), Body::from("{}"))).await;
        assert_eq!(
            said.status == StatusCode::FORBIDDEN,
            route.who != Who::Anyone,
            "{}",
            route.path
        );
    }
}

#[tokio::test]
async fn on_tcp_there_is_nothing_but_the_open_routes_and_ingest() {
    let rig = Rig::new().await;
    for route in ROUTES {
        let said = said(rig.tcp(), request(method(route), &target(route), Body::from("{}"))).await;
        match route.who {
            Who::Anyone => assert!(said.status.is_success(), "{}: {}", route.path, said.status),
            _ => assert!(said.problem(404).starts_with("no such path"), "{}", route.path),
        }
    }
    let open: Vec<&str> = ROUTES
        .iter()
        .filter(|route| route.who == Who::Anyone)
        .map(|route| route.path)
        .collect();
    assert_eq!(open, ["/livez", "/readyz", "/metrics"]);
    assert_eq!(
        said(rig.tcp(), request(Method::POST, "/v1/logs", Body::from("x")))
            .await
            .status,
        429
    );
}

#[tokio::test]
async fn a_web_page_gets_nothing() {
    let rig = Rig::new().await;
    for target in ["/livez", "/metrics", "/v1/logs", "/api/v1/status", "/nothing"] {
        let method = if target == "/v1/logs" {
            Method::POST
        } else {
            Method::GET
        };
        let mut foreign = request(method.clone(), target, Body::empty());
        foreign
            .headers_mut()
            .insert(header::HOST, "rebound.example:4318".parse().unwrap());
        assert!(said(rig.tcp(), foreign).await.problem(421).contains("rebound.example"));
        let mut paged = request(method.clone(), target, Body::empty());
        paged
            .headers_mut()
            .insert(header::ORIGIN, "http://localhost:3000".parse().unwrap());
        let answer = said(rig.tcp(), paged).await;
        answer.problem(403);
        assert!(
            answer
                .headers
                .keys()
                .all(|name| !name.as_str().starts_with("access-control-")),
            "no CORS answer, ever"
        );
        let mut nameless = request(method, target, Body::empty());
        nameless.headers_mut().remove(header::HOST);
        said(rig.tcp(), nameless).await.problem(421);
    }
    assert!(rig.ears.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_wrong_method_is_named_with_the_right_one() {
    let rig = Rig::new().await;
    for route in ROUTES {
        let others: Vec<&Route> = ROUTES.iter().filter(|other| other.path == route.path).collect();
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            let said = rig
                .ask(crate::house::ADMIN, request(method, &target(route), Body::empty()))
                .await;
            said.problem(405);
            let allow = said.headers[header::ALLOW].to_str().unwrap();
            assert!(
                others.iter().all(|other| allow.contains(other.method.name())),
                "{allow}"
            );
        }
    }
    let said = said(rig.tcp(), request(Method::GET, "/v1/logs", Body::empty())).await;
    assert!(said.problem(405).ends_with("it takes POST"));
    let head = rig
        .ask(crate::house::ADMIN, request(Method::HEAD, "/livez", Body::empty()))
        .await;
    assert_eq!(head.status, StatusCode::OK);
}
