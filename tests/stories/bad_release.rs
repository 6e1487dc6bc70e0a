//! A deployment brings errors: alert, gates, command, verification and report follow without a human, and `why` explains
//! it on one screen.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use harness::nginx::Nginx;
use harness::webhook::Webhook;
use harness::{Daemon, daemon::Setup, wait};
use serde_json::{Value, json};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw5qiPmHtqq0k=";
/// Windows, holds and verification of this story end well within it.
const SOON: Duration = Duration::from_secs(90);

/// A service whose version lies in a file; the rollback writes it.
struct Shop {
    live: PathBuf,
    script: PathBuf,
    runs: PathBuf,
}

impl Shop {
    fn new(folder: &Path) -> Self {
        let shop = Self {
            live: folder.join("live"),
            script: folder.join("rollback.sh"),
            runs: folder.join("runs.log"),
        };
        let text = format!(
            "#!/bin/sh\necho ran >> {}\nprintf 1.0 > {}\necho rolled back\n",
            shop.runs.display(),
            shop.live.display()
        );
        fs::write(&shop.script, text).unwrap();
        fs::write(&shop.live, "1.0").unwrap();
        shop
    }

    /// A second of traffic as the service's SDK would report it; version 2.0 fails in one of twenty.
    fn report(&self, daemon: &Daemon, round: usize) {
        let broken = fs::read_to_string(&self.live).unwrap() == "2.0";
        let spans: Vec<Value> = (0..40)
            .map(|index| span(round * 40 + index, broken && index % 20 == 0))
            .collect();
        let body = json!({ "resourceSpans": [{
            "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "shop" } }] },
            "scopeSpans": [{ "spans": spans }],
        }] });
        let answer = daemon.otlp("traces", &body).unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }

    fn times_rolled_back(&self) -> usize {
        fs::read_to_string(&self.runs).map_or(0, |text| text.lines().count())
    }
}

fn span(number: usize, failed: bool) -> Value {
    #[expect(clippy::disallowed_methods, reason = "the sender's clock, not the daemon's")]
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    json!({
        "traceId": format!("{:032x}", number + 1),
        "spanId": format!("{:016x}", number + 1),
        "name": "GET /checkout",
        "kind": 2,
        "startTimeUnixNano": (now - 20_000_000).to_string(),
        "endTimeUnixNano": now.to_string(),
        "status": if failed { json!({ "code": 2, "message": "card declined" }) } else { json!({}) },
    })
}

fn watcher(folder: &Path, nginx: &Nginx, hook: &Webhook, shop: &Shop, mode: &str) -> Setup {
    let configuration = format!(
        r#"
        [web]
        trust_loopback = true
        [notify.hook]
        via.webhook = {{ url = {{ env = "HOOK_URL" }}, secret = {{ env = "HOOK_KEY" }} }}
        [probe.shop]
        every = "1s"
        check.http = {{ url = "{}/health" }}
        [alert.shop-errors]
        when = "error_rate(shop, 10s) > 1% and requests(shop, 10s) >= 50"
        for = "3s"
        clear_for = "3s"
        notify = ["hook"]
        action = "shop-rollback"
        [action.shop-rollback]
        act.command = {{ argv = ["/bin/sh", "{}"], timeout = "20s" }}
        guard = {{ cooldown = "1h", within = "30m" }}
        verify = {{ up = ["shop"], for = "5s" }}
        mode = "{mode}"
        "#,
        nginx.url(),
        shop.script.display()
    );
    Setup::new(folder, &configuration)
        .env("HOOK_URL", &hook.url())
        .env("HOOK_KEY", KEY)
}

/// Good traffic first, then a deployment that breaks one request of twenty, until `done`.
fn deploy_the_bad_one(daemon: &Daemon, shop: &Shop, mut done: impl FnMut() -> bool) {
    let mut round = 0;
    let mut report = |until: &mut dyn FnMut() -> bool| {
        wait::until("the story to go on", SOON, || {
            shop.report(daemon, round);
            round += 1;
            until().then_some(())
        });
    };
    let first = daemon.cli(&["deploy", "record", "shop", "1.0", "--verified"]);
    assert_eq!(first.code, 0, "{}", first.err);
    report(&mut || daemon.facts("tick").len() >= 4);
    fs::write(&shop.live, "2.0").unwrap();
    let second = daemon.cli(&[
        "deploy",
        "record",
        "shop",
        "2.0",
        "--migrations",
        "none",
        "--by",
        "alice",
    ]);
    assert_eq!(second.code, 0, "{}", second.err);
    report(&mut done);
}

#[test]
fn a_bad_release_is_rolled_back_on_evidence_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let (nginx, hook, shop) = (
        Nginx::start(&folder.path().join("nginx")),
        Webhook::start(),
        Shop::new(folder.path()),
    );
    let daemon = watcher(folder.path(), &nginx, &hook, &shop, "automatic").start();
    deploy_the_bad_one(&daemon, &shop, || {
        !daemon.facts("action_concluded").is_empty() && resolved(&daemon)
    });

    assert_eq!(shop.times_rolled_back(), 1, "the act was done once");
    assert_eq!(fs::read_to_string(&shop.live).unwrap(), "1.0");
    let concluded = daemon.facts("action_concluded").pop().unwrap();
    assert_eq!(concluded["fact"]["result"], "verified", "{concluded:#}");
    let order: Vec<String> = daemon
        .facts("action_proposed,act_ready,act_starting,act_finished,action_concluded")
        .iter()
        .map(|fact| fact["fact"]["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        order,
        [
            "action_proposed",
            "act_ready",
            "act_starting",
            "act_finished",
            "action_concluded"
        ]
    );

    let incident = concluded["fact"]["incident"].as_str().unwrap();
    let why = daemon.cli(&["why", incident]);
    assert_eq!(why.code, 0, "{}", why.err);
    for part in [
        "shop-errors",
        "error_rate(shop, 10s)",
        "2.0",
        "alice",
        "shop-rollback",
        "rollback.sh",
        "verified",
    ] {
        assert!(why.out.contains(part), "{part:?} is missing in\n{}", why.out);
    }
    assert!(why.out.lines().count() <= 60, "it does not fit a screen:\n{}", why.out);
    let told = hook.wait_for(3, SOON);
    let said: String = told.iter().map(|delivery| delivery.request.text()).collect();
    assert!(
        said.contains("2.0 deployed") && said.contains("shop-rollback"),
        "{said}"
    );
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (nginx, hook, shop) = (
        Nginx::start(&folder.path().join("nginx")),
        Webhook::start(),
        Shop::new(folder.path()),
    );
    let daemon = watcher(folder.path(), &nginx, &hook, &shop, "dry-run").start();
    deploy_the_bad_one(&daemon, &shop, || !daemon.facts("action_concluded").is_empty());
    assert_eq!(daemon.facts("action_concluded")[0]["fact"]["result"], "dry_run");
    assert_eq!(shop.times_rolled_back(), 0);
    assert!(daemon.facts("act_starting").is_empty());
}

#[test]
fn the_kill_switch_refuses_and_pages() {
    let folder = tempfile::tempdir().unwrap();
    let (nginx, hook, shop) = (
        Nginx::start(&folder.path().join("nginx")),
        Webhook::start(),
        Shop::new(folder.path()),
    );
    let daemon = watcher(folder.path(), &nginx, &hook, &shop, "automatic").start();
    assert_eq!(daemon.cli(&["actions", "stop"]).code, 0);
    deploy_the_bad_one(&daemon, &shop, || !daemon.facts("action_concluded").is_empty());
    let concluded = daemon.facts("action_concluded").remove(0);
    assert_eq!(concluded["fact"]["result"], "refused", "{concluded:#}");
    assert_eq!(shop.times_rolled_back(), 0);
}

fn resolved(daemon: &Daemon) -> bool {
    daemon
        .facts("alert_phase")
        .iter()
        .any(|fact| fact["fact"]["from"] == "clearing" && fact["fact"]["to"] == "inactive")
}
