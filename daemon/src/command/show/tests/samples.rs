//! Answers as the API gives them.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(super) const NOW: &str = "2026-11-21T03:27:00Z";
pub(super) const INCIDENT: &str = "5f3a9c1e-0000-5000-8000-000000000001";
pub(super) const RUN: &str = "77aa9c1e-0000-5000-8000-000000000002";
pub(super) const MESSAGE: &str = "0d0d9c1e-0000-5000-8000-000000000003";
pub(super) const SNAPSHOT: &str = "1f0c9a7eaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

pub(super) fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A stamp at a time of that night.
pub(super) fn stamp(seq: u64, time: &str) -> Value {
    json!({ "seq": seq, "wall": format!("2026-11-21T{time}Z"), "at": 0, "watched": 0 })
}

pub(super) fn now() -> Value {
    json!({
        "moment": { "wall": NOW, "boot": 0, "boot_id": "b", "at": 0, "watched": 200_000_000_000_i64 },
        "watching": true, "wall": NOW, "boot": 0, "identity": { "store": "6f0f0f0f-0000-4000-8000-000000000000", "epoch": 0 },
        "version": "0.1.0", "started": { "seq": 1, "wall": "2026-11-18T00:00:00Z", "at": 0, "watched": 0 }
    })
}

fn described() -> Value {
    let probe = |name: &str| json!({ "name": name, "service": name, "kind": "http", "target": "https://shop.example", "every": "15s" });
    json!({
        "environment": "production", "file": "watchkeep.toml", "probes": [probe("shop"), probe("pay"), probe("cdn")],
        "rules": ["shop-errors", "up/shop", "up/pay"], "destinations": ["me"], "backups": ["nightly", "files"],
        "actions": [{ "name": "shop-rollback", "mode": "automatic", "command": "/usr/local/bin/rollback shop" }],
        "listen": "127.0.0.1:4318"
    })
}

pub(super) fn probe(status: &str, reason: &str, detail: &str, since: &str) -> Value {
    json!({
        "service": "shop", "status": status, "since": stamp(10, since), "looked": stamp(10, since),
        "look": { "status": status, "reason": reason, "detail": detail, "timings": { "total_us": 1000 } }
    })
}

pub(super) fn incident() -> Value {
    json!({
        "id": INCIDENT, "rule": "shop-errors", "service": "shop",
        "terms": { "severity": "page", "notify": ["me"], "summary": "Customers see errors at checkout",
                   "runbook": "https://wiki.example/runbooks/shop", "when": "error_rate(shop, 5m) > 1%" },
        "breach_began": "2026-11-21T03:12:45Z", "fired": stamp(40, "03:15:45"), "resolved": null, "rule_removed": false,
        "readings": [
            { "what": "error_rate(shop, 5m)", "value": "2.3 % (23 of 1,000)", "limit": "> 1%", "holds": true },
            { "what": "requests(shop, 5m)", "value": "1,000", "limit": ">= 100", "holds": true }
        ],
        "last_readings": [], "changes": [
            { "wall": "2026-11-21T03:11:58Z", "text": "shop 1.4.2 deployed (was 1.4.1)", "service": "shop" },
            { "wall": "2026-11-21T03:12:30Z", "text": "cart 7 deployed", "service": "cart" }
        ],
        "ack": null, "told": true, "told_to": ["me"], "reminders": 0, "last_told": stamp(41, "03:15:45"), "messages_open": 0, "actions": []
    })
}

pub(super) fn backup(proved: Option<&str>, failure: Option<Value>) -> Value {
    json!({
        "known": stamp(2, "00:00:00"), "schedule": "0 3 * * *", "next": "2026-11-22T03:00:00Z", "last_intended": "2026-11-21T03:00:00Z",
        "last_job": null, "captured": stamp(20, "03:01:00"), "verified": null, "proved": proved.map(|time| stamp(22, time)),
        "proved_snapshot": null, "failure": failure, "missed": 0
    })
}

/// A status where all is well.
pub(super) fn status_sample() -> Value {
    json!({
        "asked_at": NOW, "version": "0.1.0", "described": described(), "ready": { "ready": true, "problems": [] }, "now": now(),
        "probes": { "shop": probe("pass", "ok", "", "00:00:10"), "pay": probe("pass", "ok", "", "00:00:10"), "cdn": probe("pass", "ok", "", "00:00:10") },
        "phases": {}, "incidents": {}, "silences": {},
        "releases": { "shop": { "current": { "version": "1.4.2", "verified": false }, "recorded": stamp(30, "03:11:58") } },
        "backups": { "nightly": backup(Some("03:04:00"), None), "files": backup(Some("03:05:00"), None) },
        "actions": {}, "runs": {}, "jobs": [], "seq": 12345, "commit": 999, "link": "ab", "telemetry": {}
    })
}

/// The same on a bad night.
pub(super) fn bad_status() -> Value {
    let mut status = status_sample();
    let message = json!({
        "job": { "id": MESSAGE, "queue": "notify/me", "due": { "at": NOW }, "on_crash": "resend",
                 "work": { "work": "message", "destination": "me", "about": "firing", "incident": INCIDENT } },
        "attempts": 4, "running": false, "failure": "connect to mail.example:587: Connection refused (os error 111)", "wait": "PT40S", "age": "PT11M15S"
    });
    let failure = json!({ "at": stamp(50, "03:02:10"), "stage": "verify", "reason": "corrupt", "detail": "pack 3c44 has another digest than its name" });
    let changes = [
        (
            "/probes/shop",
            probe("fail", "http_status", "503 Service Unavailable", "03:12:40"),
        ),
        ("/probes/cdn", probe("unknown", "watcher_offline", "", "03:20:00")),
        ("/incidents", json!({ INCIDENT: incident() })),
        (
            "/phases",
            json!({ "shop-errors": { "phase": "firing", "began": stamp(40, "03:15:45"), "base": 0, "since": 0, "incident": INCIDENT, "rule_digest": "d" } }),
        ),
        ("/jobs", json!([message])),
        ("/runs", json!({ RUN: acting() })),
        ("/backups/nightly", backup(None, Some(failure))),
        (
            "/actions",
            json!({ "shop-rollback": { "last_act": null, "last_run": null, "last_result": null, "held": "the command failed with exit 1" } }),
        ),
        (
            "/ready",
            json!({ "ready": false, "problems": ["the disk is nearly full (80 MiB free): facts and telemetry are refused, pages still go out"] }),
        ),
    ];
    for (place, value) in changes {
        *status.pointer_mut(place).unwrap() = value;
    }
    status
}

/// A run of the rollback that acts.
pub(super) fn acting() -> Value {
    json!({
        "action": "shop-rollback", "incident": INCIDENT, "service": "shop", "release": "1.4.2", "mode": "automatic", "state": "starting",
        "proposed": stamp(42, "03:15:45"), "starting": stamp(44, "03:15:46"), "finished": null, "evidence": [], "gates": [],
        "command": "/usr/local/bin/rollback shop", "end": null, "output": "", "verify": null, "holds_since": null, "verified": [], "result": null
    })
}

/// A fact of that night.
pub(super) fn fact(seq: u64, time: &str, stream: &str, body: Value) -> Value {
    let mut envelope = json!({ "stream": stream, "source": "daemon" });
    let (Some(into), Value::Object(from)) = (envelope.as_object_mut(), body) else {
        panic!()
    };
    into.extend(from);
    json!({ "seq": seq, "commit": seq, "wall": format!("2026-11-21T{time}Z"), "fact": envelope })
}

pub(super) fn deployed(seq: u64, time: &str) -> Value {
    fact(
        seq,
        time,
        "service/shop",
        json!({ "kind": "deployment_recorded", "service": "shop", "version": "1.4.2", "by": "ci", "migrations": "additive", "verified": false, "note": "faster checkout" }),
    )
}

pub(super) fn fired(seq: u64, time: &str) -> Value {
    let incident = incident();
    fact(
        seq,
        time,
        "alert/shop-errors",
        json!({
            "kind": "alert_phase", "rule": "shop-errors", "from": "pending", "to": "firing", "incident": INCIDENT, "readings": incident["readings"]
        }),
    )
}

/// From the first message to the verified rollback.
pub(super) fn acted() -> Vec<Value> {
    let gates = json!([{ "gate": "kill_switch", "open": true, "why": "acting is allowed" }, { "gate": "cool_down", "open": true, "why": "it never acted before" }]);
    let reading = json!({ "what": "up(shop)", "value": "pass", "holds": true });
    vec![
        fired(40, "03:15:45"),
        fact(
            41,
            "03:15:45",
            "notify/me",
            json!({ "kind": "notified", "job": MESSAGE, "destination": "me", "about": "firing", "incident": INCIDENT }),
        ),
        fact(
            42,
            "03:15:45",
            "action/shop-rollback",
            json!({
                "kind": "action_proposed", "run": RUN, "action": "shop-rollback", "incident": INCIDENT, "mode": "automatic", "evidence": [], "gates": gates,
                "passed": true, "command": "/usr/local/bin/rollback shop"
            }),
        ),
        fact(
            43,
            "03:15:46",
            "job/notify/me",
            json!({ "kind": "job_failed", "job": MESSAGE, "queue": "notify/me", "attempt": 1, "why": "connect: Connection refused (os error 111)" }),
        ),
        fact(
            44,
            "03:15:46",
            "action/shop-rollback",
            json!({ "kind": "act_starting", "run": RUN, "action": "shop-rollback", "gates": gates }),
        ),
        fact(
            45,
            "03:15:49",
            "action/shop-rollback",
            json!({
                "kind": "act_finished", "run": RUN, "ended": "exit", "end": { "ended": "exit", "code": 0 }, "pid": 4711, "took": "PT3.2S",
                "output": "stopping shop\nswitching to 1.4.1\nstarting shop\nwaiting\nshop 1.4.1 is up \u{1b}[32mOK\u{1b}[0m\n"
            }),
        ),
        fact(
            46,
            "03:15:52",
            "job/notify/me",
            json!({ "kind": "job_done", "job": MESSAGE, "queue": "notify/me", "attempts": 2, "answer": "250 2.0.0 Ok: queued" }),
        ),
        fact(
            47,
            "03:18:00",
            "action/shop-rollback",
            json!({
                "kind": "action_concluded", "run": RUN, "action": "shop-rollback", "incident": INCIDENT, "result": "verified",
                "summary": "shop-rollback ran and shop has been up for 2 min", "evidence": [], "gates": gates, "command": "/usr/local/bin/rollback shop",
                "end": { "ended": "exit", "code": 0 }, "verified": [reading]
            }),
        ),
    ]
}
