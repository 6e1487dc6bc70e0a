use serde_json::{Value, json};

use super::of;
use crate::command::page::Tone;

fn told(body: &Value) -> (String, Tone) {
    let mut envelope = json!({ "stream": "daemon", "source": "daemon", "service": "shop" });
    envelope
        .as_object_mut()
        .unwrap()
        .extend(body.as_object().unwrap().clone());
    let sentence = of(&serde_json::from_value(envelope).unwrap());
    (format!("{} {}", sentence.about, sentence.text), sentence.tone)
}

#[test]
fn facts_are_sentences() {
    let look = |status: &str, reason: &str, detail: &str| json!({ "status": status, "reason": reason, "detail": detail, "timings": { "total_us": 1 } });
    let cases = [
        (
            json!({ "kind": "started", "version": "0.1.0", "identity": { "store": "6f0f0f0f-0000-4000-8000-000000000000", "epoch": 0 } }),
            "watchkeep started, version 0.1.0",
            Tone::Plain,
        ),
        (
            json!({ "kind": "clock_jumped", "by": "-PT1H" }),
            "watchkeep the clock jumped back by 1 h",
            Tone::Doubt,
        ),
        (
            json!({ "kind": "probe_changed", "probe": "shop", "from": "pass", "look": look("fail", "connect_refused", "127.0.0.1:80: Connection refused (os error 111)") }),
            "shop FAILS: 127.0.0.1:80: Connection refused",
            Tone::Bad,
        ),
        (
            json!({ "kind": "probe_changed", "probe": "shop", "from": "fail", "look": look("pass", "ok", "") }),
            "shop works again",
            Tone::Good,
        ),
        (
            json!({ "kind": "deployment_recorded", "version": "2", "migrations": "destructive", "verified": true }),
            "shop 2 deployed, DESTRUCTIVE migration, verified",
            Tone::Plain,
        ),
        (
            json!({ "kind": "job_done", "job": "5f3a9c1e-0000-5000-8000-000000000001", "queue": "notify/me", "attempts": 3, "answer": "250 Ok" }),
            "me delivered at attempt 3: 250 Ok",
            Tone::Good,
        ),
        (
            json!({ "kind": "job_ended", "job": "5f3a9c1e-0000-5000-8000-000000000001", "queue": "notify/me", "ending": "expired", "attempts": 30, "why": "72 h" }),
            "me NOT delivered, its time ran out: 72 h",
            Tone::Bad,
        ),
        (
            json!({ "kind": "job_done", "job": "5f3a9c1e-0000-5000-8000-000000000001", "queue": "test/me/12", "attempts": 1, "answer": "204" }),
            "me delivered: 204",
            Tone::Good,
        ),
        (
            json!({ "kind": "snapshots_pruned", "backup": "nightly", "snapshots": ["a"], "held_back": "the clock jumped" }),
            "nightly removed 1 old copy; held back: the clock jumped",
            Tone::Plain,
        ),
        (
            json!({ "kind": "acting_switched", "stopped": true, "by": "alice" }),
            "actions all acting stopped by alice",
            Tone::Plain,
        ),
        (
            json!({ "kind": "something_new", "field": 1 }),
            "daemon something that only a newer version understands",
            Tone::Quiet,
        ),
    ];
    for (body, text, tone) in cases {
        assert_eq!(told(&body), (text.to_owned(), tone));
    }
}

#[test]
fn a_heartbeat_that_does_not_arrive_is_a_sentence() {
    let fails = json!({ "kind": "heartbeat_changed", "heartbeat": "outward", "arrives": false, "why": "answered 503" });
    let text = "outward the outward heartbeat does not arrive: answered 503";
    assert_eq!(told(&fails), (text.to_owned(), Tone::Bad));
    let arrives = json!({ "kind": "heartbeat_changed", "heartbeat": "outward", "arrives": true });
    let text = "outward the outward heartbeat arrives again";
    assert_eq!(told(&arrives), (text.to_owned(), Tone::Good));
}

#[test]
fn refused_gates_say_why() {
    let gates = json!([{ "gate": "cool_down", "open": false, "why": "it acted 5 min ago" }, { "gate": "evidence", "open": true, "why": "a probe says so too" }]);
    let (text, tone) = told(
        &json!({ "kind": "act_refused", "run": "5f3a9c1e-0000-5000-8000-000000000001", "action": "rollback", "gates": gates }),
    );
    assert_eq!(
        (text.as_str(), tone),
        (
            "rollback may not act: refused by cool_down (it acted 5 min ago)",
            Tone::Doubt
        )
    );
}
