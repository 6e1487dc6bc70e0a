//! Two services with the stock OpenTelemetry SDKs of Python and Node call each other and export to the default address,
//! unconfigured; one trace is one tree. A proxy cuts the reply of every fifth export: every span is there once.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::daemon::Setup;
use harness::proxy::{Fault, Proxy};
use harness::{Daemon, ports, services::Service, wait};
use serde_json::Value;

/// SDKs export every few seconds.
const EXPORTED: Duration = Duration::from_secs(60);
const REQUESTS: usize = 120;
/// Bytes of four replies and a bit.
const REPLIES: usize = 700;
/// Exports ten times a second, so that a story has many of them; the address stays the default.
const OFTEN: [(&str, &str); 1] = [("OTEL_BSP_SCHEDULE_DELAY", "100")];

fn spans_of(daemon: &Daemon, trace: &str) -> Vec<Value> {
    let answer = daemon.api("GET", &format!("/api/v1/traces/{trace}"), b"").unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()["spans"].as_array().cloned().unwrap_or_default()
}

/// Requests of a service as the ticks counted them.
fn counted(daemon: &Daemon, service: &str) -> u64 {
    let answer = daemon
        .api("GET", &format!("/api/v1/latency/{service}?since=10m"), b"")
        .unwrap();
    let series = answer.json()["series"].as_array().cloned().unwrap_or_default();
    series
        .iter()
        .filter(|series| series["source"] == "span")
        .map(|series| series["requests"].as_u64().unwrap_or(0))
        .sum()
}

/// The default port of OTLP over HTTP is the point of the story, so it runs alone.
#[test]
fn stock_sdks_find_it_and_a_trace_is_one_tree_alone() {
    let folder = tempfile::tempdir().unwrap();
    let own = ports::free();
    let proxy = Proxy::start_on(4318, ports::local(own));
    // SDKs keep their connections: about the fifth reply of each is cut.
    proxy.set_plan(|_| Fault::CutReply(REPLIES));
    let configuration = format!("[web]\nlisten = \"127.0.0.1:{own}\"\n[service.front]\n[service.back]\n");
    let daemon = Setup::new(&folder.path().join("watchkeep"), &configuration).start();
    let back = Service::node(folder.path(), "back", None, &OFTEN);
    let front = Service::python(folder.path(), "front", Some(&back.url()), &OFTEN);

    let traces: Vec<String> = (0..REQUESTS)
        .map(|_| front.work("?slow=20").text().trim().to_owned())
        .collect();
    let distinct: BTreeSet<&String> = traces.iter().collect();
    assert_eq!(distinct.len(), REQUESTS, "each request is a trace of its own");
    for trace in &traces {
        let spans = wait::until("a whole trace", EXPORTED, || {
            let spans = spans_of(&daemon, trace);
            let services: BTreeSet<&str> = spans.iter().filter_map(|span| span["service"].as_str()).collect();
            (services.len() == 2 && spans.len() >= 3).then_some(spans.clone())
        });
        let ids: BTreeSet<&str> = spans.iter().filter_map(|span| span["span"].as_str()).collect();
        assert_eq!(ids.len(), spans.len(), "every span once: {spans:#?}");
        let roots = spans
            .iter()
            .filter(|span| span["parent"].as_str().is_none_or(|parent| !ids.contains(parent)))
            .count();
        assert_eq!(roots, 1, "one tree: {spans:#?}");
    }
    let shown = daemon.cli(&["trace", &traces[0]]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(
        shown.out.contains("front") && shown.out.contains("back"),
        "{}",
        shown.out
    );

    let wanted = u64::try_from(REQUESTS).unwrap();
    wait::until("every request to be counted", EXPORTED, || {
        (counted(&daemon, "back") >= wanted).then_some(())
    });
    wait::never("a request to be counted twice", Duration::from_secs(12), || {
        counted(&daemon, "front") > wanted || counted(&daemon, "back") > wanted
    });
    assert!(
        proxy.connections() >= 5,
        "the proxy cut too little: {} connections",
        proxy.connections()
    );
}

/// The daemon's own spans go to the endpoint that it is given, another Watchkeep here, and by default nowhere.
#[test]
fn the_daemons_own_traces_go_where_they_are_wanted_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Daemon::start(&folder.path().join("collector"), "[network]\nanchors = []\n");
    let silent = Daemon::start(&folder.path().join("silent"), "[network]\nanchors = []\n");
    let asks = |daemon: &Daemon| daemon.api("GET", "/api/v1/status", b"").unwrap().status();
    assert_eq!((asks(&collector), asks(&silent)), (200, 200));
    let configuration = format!(
        "[network]\nanchors = []\n[traces]\nendpoint = \"http://{}/v1/traces\"\n",
        collector.address()
    );
    let mut traced = Daemon::start(&folder.path().join("traced"), &configuration);
    assert_eq!(asks(&traced), 200);
    wait::until("the daemon's own requests to be counted elsewhere", EXPORTED, || {
        (counted(&collector, "watchkeep") > 0).then_some(())
    });
    assert_eq!((counted(&traced, "watchkeep"), counted(&silent, "watchkeep")), (0, 0));
    // What waits at the end is sent before it.
    let before = counted(&collector, "watchkeep");
    assert_eq!(asks(&traced), 200);
    assert!(traced.stop().success());
    wait::until("the last spans to arrive", EXPORTED, || {
        (counted(&collector, "watchkeep") > before).then_some(())
    });
}
