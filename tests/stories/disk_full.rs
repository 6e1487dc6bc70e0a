//! A full disk, and far more load than can be taken: refused with a time to come back, pages still go out, and all is well again by
//! itself.

mod load;

use std::path::Path;
use std::time::Duration;

use harness::daemon::Setup;
use harness::disk::Disk;
use harness::http::{self, Message};
use harness::nginx::Nginx;
use harness::webhook::Webhook;
use harness::{Daemon, wait};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::load::{Offered, SPANS};

/// Holds and ticks are over well within it.
const SOON: Duration = Duration::from_secs(30);
/// How long it may take after there is room again.
const RECOVERY: Duration = Duration::from_secs(5);
/// Size of the disk in MiB: telemetry leaves 64 MiB and a twentieth to the facts.
const DISK_MIB: u32 = 256;
/// What the daemon may hold in memory at its worst, in KiB.
const RESIDENT_MAX_KIB: u64 = 128 * 1024;
/// Exit code for what does not work now and may later.
const BROKEN: i32 = 5;

/// A daemon with its data in `folder/data` that watches nginx and tells one webhook.
fn watcher(folder: &Path, nginx: &Nginx, hook: &Webhook) -> Setup {
    let configuration = format!(
        r#"
        [network]
        anchors = []
        [notify.hook]
        via.webhook = {{ url = {{ env = "HOOK_URL" }} }}
        [probe.shop]
        every = "1s"
        check.http = {{ url = "{}/health" }}
        [alert.shop-down]
        when = "not up(shop)"
        for = "1s"
        clear_for = "1s"
        notify = ["hook"]
        "#,
        nginx.url()
    );
    Setup::new(folder, &configuration).env("HOOK_URL", &hook.url())
}

fn wait_until_up(daemon: &Daemon) {
    daemon.wait_for_json(&["status"], SOON, |status| {
        (status["probes"]["shop"]["status"] == "pass").then_some(())
    });
}

/// What was acknowledged.
#[derive(Default)]
struct Acknowledged {
    sent: u64,
    batches: Vec<String>,
    versions: Vec<String>,
}

/// Log records of one batch.
const LOGS: usize = 3;

impl Acknowledged {
    /// Sends a new batch of logs; it is either stored or refused for want of room.
    fn log(&mut self, daemon: &Daemon) -> Message {
        self.sent += 1;
        let trace = format!("{:032x}", self.sent);
        let record =
            |line| json!({ "traceId": trace, "severityNumber": 9, "body": { "stringValue": format!("line {line}") } });
        let records: Vec<Value> = (0..LOGS).map(record).collect();
        let resource = json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "shop" } }] });
        let body = json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "logRecords": records }] }] });
        let answer = daemon.otlp("logs", &body).unwrap();
        self.note(&answer, |own| own.batches.push(trace));
        answer
    }

    /// Records a deployment, with the same outcomes.
    fn deploy(&mut self, daemon: &Daemon) -> Message {
        self.sent += 1;
        let version = format!("1.{}", self.sent);
        let body = json!({ "service": "shop", "version": version }).to_string();
        let answer = daemon.api("POST", "/api/v1/deployments", body.as_bytes()).unwrap();
        self.note(&answer, |own| own.versions.push(version));
        answer
    }

    fn note(&mut self, answer: &Message, stored: impl FnOnce(&mut Self)) {
        match answer.status() {
            200 => stored(self),
            507 => assert_comes_back(answer),
            _ => panic!("{} {}", answer.first, answer.text()),
        }
    }

    /// Everything acknowledged is there, once, and nothing else.
    fn assert_kept(&self, daemon: &Daemon) {
        for trace in &self.batches {
            let answer = daemon.api("GET", &format!("/api/v1/traces/{trace}"), b"").unwrap();
            let count = answer.json()["logs"].as_array().map_or(0, Vec::len);
            assert_eq!(count, LOGS, "batch {trace} was acknowledged");
        }
        let facts = daemon.facts("deployment_recorded");
        let recorded: Vec<&str> = facts
            .iter()
            .filter_map(|fact| fact["fact"]["version"].as_str())
            .collect();
        assert_eq!(recorded, self.versions);
        let chain = daemon.api("GET", "/api/v1/chain", b"").unwrap().json();
        assert_eq!(chain["damage"], Value::Null, "{chain}");
    }
}

/// A refusal says when to come back.
fn assert_comes_back(answer: &Message) {
    let after = answer
        .header("retry-after")
        .and_then(|seconds| seconds.parse::<u64>().ok());
    assert!(
        after.is_some_and(|seconds| (1..=60).contains(&seconds)),
        "{}: Retry-After {after:?}",
        answer.first
    );
}

fn status(daemon: &Daemon, path: &str) -> u16 {
    http::get(daemon.address(), path).map_or(0, |answer| answer.status())
}

/// Everything is refused, in the words of a full disk; alive and not ready.
fn assert_refuses(daemon: &Daemon, acknowledged: &mut Acknowledged) {
    wait::until("telemetry and facts to be refused", SOON, || {
        let (log, deploy) = (acknowledged.log(daemon).status(), acknowledged.deploy(daemon).status());
        (log == 507 && deploy == 507).then_some(())
    });
    let said = daemon.cli(&["deploy", "record", "shop", "9.9.9"]);
    assert_eq!(said.code, BROKEN, "{}{}", said.out, said.err);
    assert!(
        said.err.contains("the disk is full") && said.err.contains("try again in"),
        "{}",
        said.err
    );
    assert_eq!(status(daemon, "/livez"), 200);
    let ready = http::get(daemon.address(), "/readyz").unwrap();
    assert_eq!(ready.status(), 503, "{}", ready.text());
    assert!(ready.text().contains("disk"), "{}", ready.text());
}

/// After there is room again everything is taken within five seconds.
#[expect(
    clippy::print_stderr,
    reason = "what was met, and how long it took, is worth knowing"
)]
fn assert_recovers(daemon: &Daemon, acknowledged: &mut Acknowledged) {
    let began = Instant::now();
    wait::until("everything to be taken again", RECOVERY, || {
        let taken = acknowledged.log(daemon).status() == 200 && acknowledged.deploy(daemon).status() == 200;
        (taken && status(daemon, "/readyz") == 200).then_some(())
    });
    eprintln!("everything is taken again after {:?}", began.elapsed());
}

#[test]
#[expect(
    clippy::print_stderr,
    reason = "what was met, and how long it took, is worth knowing"
)]
fn a_full_disk_refuses_and_pages_still_go_out() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(&folder.path().join("data"), DISK_MIB);
    let (mut nginx, hook) = (Nginx::start(folder.path()), Webhook::start());
    let mut daemon = watcher(folder.path(), &nginx, &hook).start();
    wait_until_up(&daemon);
    let mut acknowledged = Acknowledged::default();
    for _ in 0..20 {
        assert_eq!(acknowledged.log(&daemon).status(), 200);
        assert_eq!(acknowledged.deploy(&daemon).status(), 200);
    }
    let process = daemon.process().id();

    disk.fill();
    assert_refuses(&daemon, &mut acknowledged);
    nginx.stop();
    let stopped = Instant::now();
    hook.wait_for(1, SOON);
    eprintln!(
        "the page went out {:?} after the outage, on a full disk",
        stopped.elapsed()
    );
    assert_refuses(&daemon, &mut acknowledged);

    disk.empty();
    assert_recovers(&daemon, &mut acknowledged);
    nginx.start_again();
    // The outage, its end, and that facts were refused for want of room.
    let told = hook.wait_for(3, SOON);
    let mut told: Vec<String> = told.iter().map(|one| said(&one.request.json())).collect();
    told.sort();
    assert_eq!(
        told,
        ["firing", "notice: Watchkeep is at a limit: journal_disk", "resolved"]
    );
    acknowledged.assert_kept(&daemon);
    daemon.process().assert_running();
    assert_eq!(daemon.process().id(), process, "it was restarted");
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    // What is there is there for the next process too.
    daemon.crash();
    acknowledged.assert_kept(&daemon);
}

/// What a message is, and a notice's title.
fn said(message: &Value) -> String {
    let kind = message["kind"].as_str().unwrap();
    match kind {
        "notice" => format!("notice: {}", message["title"].as_str().unwrap()),
        _ => kind.to_owned(),
    }
}

/// A crash is no way out of a full disk, and must not become a second trouble.
#[test]
fn a_start_on_a_full_disk_watches_and_tells() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(&folder.path().join("data"), DISK_MIB);
    let (mut nginx, hook) = (Nginx::start(folder.path()), Webhook::start());
    let mut daemon = watcher(folder.path(), &nginx, &hook).start();
    wait_until_up(&daemon);
    let mut acknowledged = Acknowledged::default();
    acknowledged.log(&daemon);
    acknowledged.deploy(&daemon);
    disk.fill();
    assert_refuses(&daemon, &mut acknowledged);

    daemon.kill();
    daemon.launch();
    wait::until("it to live", SOON, || {
        daemon.process().assert_running();
        (status(&daemon, "/livez") == 200).then_some(())
    });
    wait_until_up(&daemon);
    assert_refuses(&daemon, &mut acknowledged);
    nginx.stop();
    hook.wait_for(1, SOON);

    disk.empty();
    assert_recovers(&daemon, &mut acknowledged);
    acknowledged.assert_kept(&daemon);
}

/// Ten times the load it can take. It measures, so it runs alone.
#[test]
#[expect(
    clippy::print_stderr,
    reason = "what was met, and how long it took, is worth knowing"
)]
fn ten_times_the_load_alone_is_refused_and_pages_still_go_out() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nginx, hook) = (Nginx::start(folder.path()), Webhook::start());
    let mut daemon = watcher(folder.path(), &nginx, &hook).start();
    wait_until_up(&daemon);
    let able = load::closed(daemon.address(), 4, Duration::from_secs(4));
    assert!(able.accepted.len() > 10, "{able:?}");
    let capacity = able.rate(able.accepted.len());

    let mut paged = None;
    let offered = load::open(daemon.address(), 10.0 * capacity, Duration::from_secs(12), || {
        nginx.stop();
        let stopped = Instant::now();
        hook.wait_for(1, SOON);
        paged = Some(stopped.elapsed());
    });
    let peak = daemon.process().resident_kib_peak();
    eprintln!(
        "capacity {capacity:.0} batches of {SPANS} spans a second; offered {:.0}, accepted {:.0}, refused {}, broken off {}; page \
         after {paged:?}; {peak} KiB",
        offered.rate(offered.attempts()),
        offered.rate(offered.accepted.len()),
        offered.refused,
        offered.broken,
    );
    assert!(offered.refused > offered.accepted.len(), "this was no overload");
    assert!(offered.accepted.len() > 10, "nothing came through");
    assert!(
        offered.broken * 100 <= offered.attempts(),
        "refusals are answers, not broken connections"
    );
    assert!(peak <= RESIDENT_MAX_KIB, "{peak} KiB were resident at the worst");
    assert_stored_once(&daemon, &[&able, &offered]);
    nginx.start_again();
    hook.wait_for(2, SOON);
    assert_eq!(status(&daemon, "/readyz"), 200);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

/// Every accepted batch is stored and counted once, and no refused one.
fn assert_stored_once(daemon: &Daemon, loads: &[&Offered]) {
    let accepted: Vec<&String> = loads.iter().flat_map(|load| &load.accepted).collect();
    let wanted = accepted.len() * SPANS;
    let mut last = 0;
    let counted = wait::try_until(SOON, || {
        let answer = daemon.api("GET", "/api/v1/latency/pay?since=1h", b"").unwrap().json();
        let series = answer["series"].as_array().unwrap();
        let of = |series: &Value| series["requests"].as_u64().unwrap() + series["late"].as_u64().unwrap();
        last = series.iter().filter(|series| series["source"] == "span").map(of).sum();
        (last == wanted as u64).then_some(())
    });
    assert!(counted.is_some(), "{last} spans are counted, {wanted} were accepted");
    let spans = |trace: &str| {
        let answer = daemon.api("GET", &format!("/api/v1/traces/{trace}"), b"").unwrap();
        answer.json()["spans"].as_array().map_or(0, Vec::len)
    };
    for trace in accepted.iter().step_by(accepted.len() / 100 + 1) {
        assert_eq!(spans(trace), SPANS, "trace {trace} was accepted");
    }
    for trace in loads.iter().flat_map(|load| &load.given_up).take(20) {
        assert_eq!(spans(trace), 0, "trace {trace} was refused");
    }
}
