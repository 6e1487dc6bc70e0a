//! An outage is told once, and its end once: through refusing receivers, a killed daemon, and a network that is cut.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use harness::certificate::{self, Certificate};
use harness::daemon::Setup;
use harness::netns::{Link, Namespace};
use harness::nginx::Nginx;
use harness::smtp::{Mail, Smtp, Tls};
use harness::webhook::{Delivery, Webhook};
use harness::{Daemon, Process, ports, tools, wait};
use serde_json::Value;
use tokio::time::Instant;

/// The key of the webhooks.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw5qiPmHtqq0k=";
/// A hold of some seconds is over at a tick, so this is far more than it takes.
const SOON: Duration = Duration::from_secs(30);
/// A tick and more: whatever would be told twice is told within it.
const QUIET: Duration = Duration::from_secs(7);

/// A daemon that watches nginx and tells two destinations.
fn watcher(folder: &Path, nginx: &Nginx, smtp: &Smtp, hook: &Webhook, trusted: &Certificate) -> Setup {
    let configuration = format!(
        r#"
        [network]
        anchors = []

        [notify.me]
        via.email = {{ to = ["me@shop.example"], from = "watchkeep@shop.example", smtp = {{ env = "SMTP_URL" }} }}
        [notify.hook]
        via.webhook = {{ url = {{ env = "HOOK_URL" }}, secret = {{ env = "HOOK_KEY" }} }}

        [probe.shop]
        every = "1s"
        check.http = {{ url = "{}/health" }}

        [alert.shop-down]
        when = "not up(shop)"
        for = "3s"
        clear_for = "2s"
        notify = ["me", "hook"]
        runbook = "https://wiki.example/shop"
        "#,
        nginx.url()
    );
    Setup::new(folder, &configuration)
        .env("SMTP_URL", &smtp.url())
        .env("HOOK_URL", &hook.url())
        .env("HOOK_KEY", KEY)
        .trust(trusted)
}

fn body(delivery: &Delivery) -> Value {
    delivery.request.json()
}

/// The five questions of an incident's message: since when, why, what changed, what was done, what to do.
fn assert_answers_five_questions(text: &str) {
    for answer in [
        "Why",
        "connection refused",
        "Changed just before:",
        "shop 1.4.2 deployed",
        "Done:",
        "To do:",
        "watchkeep why ",
    ] {
        assert!(text.contains(answer), "{answer:?} is missing in\n{text}");
    }
    assert!(
        text.starts_with("Since: ") || text.starts_with("From "),
        "it does not begin with since when:\n{text}"
    );
}

/// Both destinations were told of the beginning and of the end, in that order, by messages of one incident.
fn assert_told_once(hooks: &[Delivery], mails: &[Mail]) {
    let bodies: Vec<Value> = hooks.iter().map(body).collect();
    let kinds: Vec<&str> = bodies.iter().map(|body| body["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["firing", "resolved"], "{bodies:#?}");
    let incident = |index: usize| bodies[index]["incident"]["id"].as_str().unwrap().to_owned();
    assert_eq!(incident(0), incident(1));
    assert_ne!(hooks[0].id, hooks[1].id, "two messages, two ids");
    for hook in hooks {
        assert!(
            hook.is_signed_with(KEY),
            "standardwebhooks refuses the signature of {}",
            hook.id
        );
        assert!(
            !hook.is_signed_with("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            "any key does"
        );
        assert_eq!(hook.id, body(hook)["id"], "the header says the id of the body");
    }
    assert_eq!(mails.len(), 2, "{mails:#?}");
    let subjects: Vec<String> = mails.iter().map(|mail| mail.header("Subject").unwrap()).collect();
    assert!(
        subjects[0].starts_with("FIRING shop is down: connection refused"),
        "{subjects:?}"
    );
    assert!(
        subjects[1].starts_with("RESOLVED shop is up again, was down "),
        "{subjects:?}"
    );
    for mail in mails {
        assert!(mail.tls, "it came in the clear");
        assert_eq!(mail.user.as_deref(), Some("watchkeep"), "it came without a login");
        assert_eq!(mail.to, ["me@shop.example"]);
        assert_answers_five_questions(&mail.body());
    }
    let thread = |index: usize| mails[index].header("In-Reply-To").unwrap();
    assert_eq!(thread(0), thread(1), "a mail program shows them as one thread");
    assert_ne!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
}

#[test]
fn an_outage_is_told_once_and_its_end_once() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certificate::make(folder.path(), 30);
    let smtp = Smtp::start(folder.path(), Tls::StartTls, &certificate);
    let hook = Webhook::start();
    let mut nginx = Nginx::start(folder.path());
    let daemon = watcher(folder.path(), &nginx, &smtp, &hook, &certificate).start();
    wait_until_up(&daemon);
    let recorded = daemon.cli(&["deploy", "record", "shop", "1.4.2", "--by", "ada"]);
    assert_eq!(recorded.code, 0, "{}{}", recorded.out, recorded.err);

    nginx.stop();
    let stopped = Instant::now();
    let firing = hook.wait_for(1, SOON);
    assert!(
        stopped.elapsed() >= Duration::from_secs(3),
        "the hold was not waited for"
    );
    smtp.wait_for(1, SOON);
    assert_answers_five_questions(body(&firing[0])["text"].as_str().unwrap());
    // While it lasts nothing is said again.
    wait::never("a second message while it lasts", QUIET, || {
        hook.attempts().len() > 1 || smtp.mails().len() > 1
    });
    let alerts = daemon.cli(&["alerts"]);
    assert!(alerts.out.contains("shop-down"), "{}{}", alerts.out, alerts.err);

    nginx.start_again();
    hook.wait_for(2, SOON);
    smtp.wait_for(2, SOON);
    wait::never("a third message", QUIET, || {
        hook.attempts().len() > 2 || smtp.mails().len() > 2
    });
    assert_told_once(&hook.taken(), &smtp.mails());
    assert_well(&daemon);
}

/// The loss that most of the field has: the receiver refuses for 75 s, and the daemon dies in between.
#[test]
fn refusing_receivers_and_a_killed_daemon_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certificate::make(folder.path(), 30);
    let mut smtp = Smtp::start(folder.path(), Tls::Implicit, &certificate);
    let hook = Webhook::start();
    let mut nginx = Nginx::start(folder.path());
    let mut daemon = watcher(folder.path(), &nginx, &smtp, &hook, &certificate).start();
    wait_until_up(&daemon);
    let recorded = daemon.cli(&["deploy", "record", "shop", "1.4.2", "--by", "ada"]);
    assert_eq!(recorded.code, 0, "{}{}", recorded.out, recorded.err);

    hook.answer(500);
    smtp.stop();
    nginx.stop();
    wait::until("a refused webhook", SOON, || {
        (!hook.attempts().is_empty()).then_some(())
    });
    let refused_since = Instant::now();
    daemon.kill();
    // It recovers before the daemon is back: whoever only looks again would never know of the outage.
    nginx.start_again();
    daemon.start_again();
    wait_until_up(&daemon);
    wait::until("the end to be decided while both refuse", SOON, || {
        let facts = daemon.facts("alert_phase");
        facts
            .iter()
            .any(|fact| fact["fact"]["to"] == "inactive" && fact["fact"]["from"] != "pending")
            .then_some(())
    });
    wait::until("75 s of refusal", Duration::from_secs(90), || {
        (refused_since.elapsed() >= Duration::from_secs(75)).then_some(())
    });
    assert_eq!((hook.taken().len(), smtp.mails().len()), (0, 0));
    hook.answer(204);
    smtp.start_again();

    // The back-off has grown to 40 s or 80 s by now, a fifth more or less.
    let told = Duration::from_secs(130);
    hook.wait_for(2, told);
    smtp.wait_for(2, told);
    wait::never("a third message", QUIET, || {
        hook.taken().len() > 2 || smtp.mails().len() > 2
    });
    assert_told_once(&hook.taken(), &smtp.mails());
    for attempt in hook.attempts() {
        let first = hook
            .attempts()
            .into_iter()
            .find(|other| other.id == attempt.id)
            .unwrap();
        assert_eq!(
            attempt.request.body, first.request.body,
            "the same id says the same at every attempt"
        );
    }
    assert_well(&daemon);
}

/// Twenty targets on the far side of a cable, and a receiver on this side of the cut.
struct Cut {
    daemon: Daemon,
    hook: Webhook,
    cable: Link,
    targets: Vec<Ipv4Addr>,
    far: Namespace,
    _server: Process,
    _near: Namespace,
    _home: Link,
}

impl Cut {
    const TARGETS: usize = 20;

    fn prepare(folder: &Path, net: u8, with_anchors: bool) -> Self {
        let (near, far) = (Namespace::create("near"), Namespace::create("far"));
        let cable = Link::join(&near, Some(&far), net);
        let home = Link::join(&near, None, net + 1);
        let targets = cable.add_addresses(&far, u8::try_from(Self::TARGETS).unwrap());
        let port = ports::free();
        let mut serve = far.command(tools::python().to_str().unwrap());
        serve
            .args([
                "-u",
                "-m",
                "http.server",
                &port.to_string(),
                "--bind",
                "0.0.0.0",
                "--directory",
            ])
            .arg(folder);
        let mut server = Process::start(&mut serve, &folder.join("far.log"));
        // An anchor that has not answered yet has no opinion.
        server.wait_for_line("Serving HTTP", SOON);
        let hook = Webhook::start_at((home.far_address, ports::free()).into());
        let anchors = if with_anchors {
            format!("\"{}:{port}\"", cable.far_address)
        } else {
            String::new()
        };
        let mut configuration = format!(
            "[network]\nanchors = [{anchors}]\n[notify.hook]\nvia.webhook = {{ url = {{ env = \"HOOK_URL\" }} }}\n"
        );
        for (number, target) in targets.iter().enumerate() {
            configuration.push_str(&format!(
                "[probe.t{number}]\nevery = \"2s\"\ntimeout = \"1s\"\ncheck.http = {{ url = \"http://{target}:{port}/\" }}\n\
                 [alert.t{number}]\nwhen = \"not up(t{number})\"\nfor = \"2s\"\nclear_for = \"1s\"\nnotify = [\"hook\"]\n"
            ));
        }
        let daemon = Setup::new(folder, &configuration)
            .env("HOOK_URL", &hook.url())
            .launcher(near.command("env"))
            .start();
        let cut = Self {
            daemon,
            hook,
            cable,
            targets,
            far,
            _server: server,
            _near: near,
            _home: home,
        };
        wait::until("all targets to be up", SOON, || {
            (cut.count("pass") == Self::TARGETS).then_some(())
        });
        cut
    }

    /// Takes a target off the network; the others, and the anchor, stay.
    fn lose_target(&self, number: usize) {
        let address = format!("{}/32", self.targets[number]);
        tools::run(self.far.command("ip").args(["addr", "del", &address, "dev", "lo"]));
    }

    /// How many targets have this status.
    fn count(&self, status: &str) -> usize {
        let answer = self.daemon.api("GET", "/api/v1/status", b"").unwrap().json();
        let probes = answer["probes"].as_object().unwrap();
        probes.values().filter(|probe| probe["status"] == status).count()
    }
}

#[test]
fn a_watcher_that_is_cut_off_says_so_and_blames_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let cut = Cut::prepare(folder.path(), 41, true);
    cut.cable.cut();
    let told = cut.hook.wait_for(1, SOON);
    let said = body(&told[0]);
    assert_eq!(said["kind"], "notice", "{said:#}");
    assert!(said["title"].as_str().unwrap().contains("cut off"), "{said:#}");
    wait::until("every target to be unknown", SOON, || {
        (cut.count("unknown") == Cut::TARGETS).then_some(())
    });
    // Long enough for every rule to fire, were its target blamed.
    wait::never("a second message while it is cut off", Duration::from_secs(15), || {
        cut.hook.attempts().len() > 1
    });
    assert_eq!(cut.count("fail"), 0);

    cut.cable.mend();
    let told = cut.hook.wait_for(2, SOON);
    assert!(
        body(&told[1])["title"].as_str().unwrap().contains("reachable again"),
        "{:#}",
        body(&told[1])
    );
    wait::until("all targets to be up again", SOON, || {
        (cut.count("pass") == Cut::TARGETS).then_some(())
    });
    wait::never("a third message", QUIET, || cut.hook.attempts().len() > 2);
    let phases = cut.daemon.facts("alert_phase");
    assert!(
        phases.iter().all(|fact| fact["fact"]["to"] != "firing"),
        "somebody was blamed: {phases:#?}"
    );
    assert_well(&cut.daemon);
}

/// What holds over a restart is that it is cut off, and that this ends.
#[test]
fn a_watcher_restarted_while_cut_off_blames_nobody_and_watches_on_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let mut cut = Cut::prepare(folder.path(), 45, true);
    cut.cable.cut();
    cut.hook.wait_for(1, SOON);
    wait::until("every target to be unknown", SOON, || {
        (cut.count("unknown") == Cut::TARGETS).then_some(())
    });
    cut.daemon.crash();
    wait::never("somebody to be blamed after a start", Duration::from_secs(12), || {
        cut.hook.taken().len() > 1 || cut.count("fail") > 0
    });

    // The cut ends while nobody looks.
    cut.daemon.kill();
    cut.cable.mend();
    cut.daemon.start_again();
    let told = cut.hook.wait_for(2, SOON);
    let said = body(&told[1]);
    assert!(said["title"].as_str().unwrap().contains("reachable again"), "{said:#}");
    wait::until("all targets to be up again", SOON, || {
        (cut.count("pass") == Cut::TARGETS).then_some(())
    });

    cut.lose_target(7);
    let told = cut.hook.wait_for(3, SOON);
    let said = body(&told[2]);
    assert_eq!(said["kind"], "firing", "{said:#}");
    assert!(said["title"].as_str().unwrap().contains("t7"), "{said:#}");
    let changes = cut.daemon.facts("network_changed");
    let to: Vec<&Value> = changes.iter().map(|fact| &fact["fact"]["to"]).collect();
    assert_eq!(to, ["offline", "online"], "each told once, over three lives");
    assert_well(&cut.daemon);
}

/// Negative control: who asks nobody about its own network blames all twenty.
#[test]
fn control_without_anchors_the_same_cut_blames_the_targets() {
    let folder = tempfile::tempdir().unwrap();
    let cut = Cut::prepare(folder.path(), 43, false);
    cut.cable.cut();
    wait::until("every rule to fire", SOON, || {
        let phases = cut.daemon.facts("alert_phase");
        let firing = phases.iter().filter(|fact| fact["fact"]["to"] == "firing");
        (firing.count() == Cut::TARGETS).then_some(())
    });
    let told = cut.hook.wait_for(1, SOON);
    assert_ne!(body(&told[0])["kind"], "notice");
}

/// Lookups hang in a call of the system that nobody can end; the daemon ends all the same.
#[test]
fn a_silent_name_server_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let near = Namespace::create("near");
    let home = Link::join(&near, None, 47);
    // Takes every question, answers none.
    let _silent = UdpSocket::bind((home.far_address, 53)).unwrap();
    let resolver = folder.path().join("resolv.conf");
    std::fs::write(&resolver, format!("nameserver {}\n", home.far_address)).unwrap();
    let mut launcher = near.command("sh");
    // A host of `ip netns` has its own mounts, so this changes nothing outside.
    let mount = format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", resolver.display());
    launcher.args(["-c", &mount, "sh"]);
    let configuration = r#"
        [network]
        anchors = []
        [probe.shop]
        every = "1s"
        timeout = "1s"
        check.http = { url = "http://shop.example/" }
        [heartbeat.outward]
        url = { env = "HEARTBEAT_URL" }
        every = "1s"
        "#;
    let mut daemon = Setup::new(folder.path(), configuration)
        .env("HEARTBEAT_URL", "http://heartbeat.example/")
        .launcher(launcher)
        .start();
    wait::until("the lookup to hang", SOON, || {
        let answer = daemon.api("GET", "/api/v1/status", b"").ok()?.json();
        let shop = &answer["probes"]["shop"];
        (shop["status"] == "fail").then(|| assert_eq!(shop["look"]["reason"], "dns_timeout", "{shop}"))
    });
    let asked = Instant::now();
    let ended = daemon.stop();
    let took = asked.elapsed();
    assert!(ended.success(), "{ended}: {}", daemon.log());
    let log = daemon.log();
    assert!(!log.contains("did not end in time"), "{log}");
    assert!(took < Duration::from_secs(4), "it took {took:?}: {log}");
}

fn wait_until_up(daemon: &Daemon) {
    wait::until("nginx to be seen up", SOON, || {
        let answer = daemon.api("GET", "/api/v1/status", b"").ok()?;
        (answer.json()["probes"]["shop"]["status"] == "pass").then_some(())
    });
}

/// Nothing panicked, and the chain holds.
fn assert_well(daemon: &Daemon) {
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
    let chain = daemon.api("GET", "/api/v1/chain", b"").unwrap();
    assert_eq!(chain.status(), 200, "{}", chain.text());
    assert_eq!(chain.json()["damage"], Value::Null, "{}", chain.text());
}
