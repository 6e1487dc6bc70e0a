//! Status, alerts, why, timeline, backups, actions.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use web::answer::{
    ActionsAnswer, AlertsAnswer, BackupsAnswer, SilencesAnswer, StatusAnswer, TimelineAnswer, WhyAnswer,
};

use super::{samples::*, *};

#[test]
fn all_is_well_in_a_few_lines() {
    let (page, well) = status::page(&read::<StatusAnswer>(status_well()), PLAIN);
    assert!(well);
    check("status_well", &page);
    let mut bare = status_well();
    bare["described"]["backups"] = json!([]);
    bare["backups"] = json!({});
    let page = status::page(&read::<StatusAnswer>(bare), PLAIN).0;
    assert!(
        page.contains("note    nothing is backed up: add [backup.journal]"),
        "{page}"
    );
}

fn status_well() -> Value {
    status_sample()
}

#[test]
fn what_is_wrong_stands_first() {
    let answer: StatusAnswer = read(bad_status());
    let (page, well) = status::page(&answer, PLAIN);
    assert!(!well);
    check("status_bad", &page);
    let mut over = bad_status();
    over["incidents"] = json!({});
    let over = status::page(&read::<StatusAnswer>(over), PLAIN).0;
    assert!(
        over.contains("ACTS    action shop-rollback acts since 03:15:46 UTC; watchkeep why 77aa9c1e"),
        "{over}"
    );
    same_in_colour(&page, &status::page(&answer, COLOUR).0);
}

#[test]
fn ten_thousand_failing_probes_stay_one_page() {
    let mut answer = status_well();
    let failing: serde_json::Map<String, Value> = (0..10_000)
        .map(|n| {
            (
                format!("probe-{n:05}"),
                probe("fail", "timeout", "no answer within 10 s", "03:12:40"),
            )
        })
        .collect();
    answer["probes"] = Value::Object(failing);
    answer["described"]["probes"] = json!([]);
    let (page, well) = status::page(&read(answer), PLAIN);
    assert!(!well);
    assert!(page.lines().count() < 60, "{page}");
    assert!(
        page.contains("10,000 probes fail") && page.contains("… 9,980 more probes"),
        "{page}"
    );
}

#[test]
fn hostile_text_stays_text() {
    let mut answer = bad_status();
    let hostile = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\nFAKE \u{202e}txt";
    answer["probes"]["shop"]["look"]["detail"] = json!(hostile);
    answer["jobs"][0]["failure"] = json!(hostile);
    answer["releases"]["sh\u{9b}op"] = answer["releases"]["shop"].take();
    answer["releases"].as_object_mut().unwrap().remove("shop");
    answer["ready"]["problems"] = json!([hostile]);
    let refused: Result<StatusAnswer, _> = serde_json::from_value(answer.clone());
    let page = match refused {
        Ok(answer) => status::page(&answer, PLAIN).0,
        Err(error) => panic!("{error}"),
    };
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
    assert!(!page.contains('\u{202e}'));
    assert!(page.lines().all(|line| !line.starts_with("FAKE")), "{page}");
}

fn alerts_answer() -> Value {
    json!({
        "asked_at": NOW, "now": now(), "rules": ["shop-errors", "up/shop", "up/pay", "slow"],
        "phases": {
            "shop-errors": { "phase": "clearing", "began": stamp(40, "03:15:45"), "base": 0, "since": 0, "incident": INCIDENT, "rule_digest": "d" },
            "slow": { "phase": "pending", "began": stamp(60, "03:26:00"), "base": 0, "since": 140_000_000_000_i64, "incident": null, "rule_digest": "d", "stopped": null }
        },
        "incidents": { INCIDENT: incident() },
        "silences": { "8c1d22aa-0000-5000-8000-000000000000": {
            "id": "8c1d22aa-0000-5000-8000-000000000000", "scope": { "service": "shop" }, "from": "2026-11-21T03:20:00Z", "until": "2026-11-21T04:20:00Z", "by": "alice", "reason": "database upgrade"
        } },
        "ended": []
    })
}

#[test]
fn an_alert_says_why_and_what_changed() {
    let mut answer = alerts_answer();
    let row = &mut answer["incidents"][INCIDENT];
    row["last_readings"] = json!([
        { "what": "error_rate(shop, 5m)", "value": "0.1 % (1 of 1,000)", "limit": "> 1%", "holds": false },
        { "what": "requests(shop, 5m)", "value": "1,000", "limit": ">= 100", "holds": true }
    ]);
    row["last_read"] = stamp(65, "03:25:10");
    let (page, well) = alerts::page(&read::<AlertsAnswer>(answer.clone()), false, PLAIN);
    assert!(!well);
    check("alerts", &page);
    let mut again = answer.clone();
    again["phases"]["shop-errors"]["phase"] = json!("firing");
    again["runs"] = json!({ RUN: acting() });
    let page = alerts::page(&read::<AlertsAnswer>(again), false, PLAIN).0;
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        page.contains("in breach since 03:25:10 UTC: ") && page.contains("at firing: error_rate(shop, 5m): 2.3 %"),
        "{page}"
    );
    assert!(page.contains("shop-rollback acts since 03:15:46 UTC"), "{page}");
    let mut over = alerts_answer();
    over["incidents"] = json!({});
    over["runs"] = json!({ RUN: acting() });
    let over = alerts::page(&read::<AlertsAnswer>(over), false, PLAIN).0;
    assert!(
        over.contains("no alert fires") && over.contains("ACTS    action shop-rollback acts since 03:15:46"),
        "{over}"
    );
    let mut ended = incident();
    ended["resolved"] = stamp(70, "03:25:00");
    answer["ended"] = json!([ended]);
    check("alerts_all", &alerts::page(&read(answer), true, PLAIN).0);
}

#[test]
fn no_alert() {
    let mut answer = alerts_answer();
    answer["incidents"] = json!({});
    answer["phases"] = json!({});
    let (page, well) = alerts::page(&read::<AlertsAnswer>(answer), false, PLAIN);
    assert!(well);
    assert_eq!(page, "no alert fires at 03:27:00 UTC\n");
}

#[test]
fn silences_say_how_to_end_them() {
    let answer: SilencesAnswer = read(json!({ "asked_at": NOW, "silences": alerts_answer()["silences"] }));
    check("silences", &alerts::silences(&answer, PLAIN));
}

fn why_answer(view: &str, id: &str, row: Value, facts: Vec<Value>) -> WhyAnswer {
    read(json!({ "asked_at": NOW, "view": view, "id": id, "row": row, "facts": facts }))
}

#[test]
fn why_answers_the_five_questions_on_one_screen() {
    let mut facts = vec![deployed(30, "03:11:58")];
    facts.extend(acted());
    let page = why::page(&why_answer("incidents", INCIDENT, incident(), facts), PLAIN);
    assert!(page.lines().count() <= 40, "{page}");
    check("why_incident", &page);
}

#[test]
fn why_says_when_nothing_is_known() {
    let mut row = incident();
    row["changes"] = json!([]);
    row["terms"] = json!({ "severity": "ticket", "notify": [], "when": "not up(shop)" });
    row["readings"] = json!([{ "what": "up(shop)", "value": "the watcher itself is offline" }]);
    check(
        "why_bare",
        &why::page(
            &why_answer("incidents", INCIDENT, row, vec![deployed(80, "03:20:00")]),
            PLAIN,
        ),
    );
}

#[test]
fn why_of_a_resolved_incident_says_what_ended_it() {
    let mut row = incident();
    row["resolved"] = stamp(90, "03:24:45");
    row["last_readings"] =
        json!([{ "what": "error_rate(shop, 5m)", "value": "0.1 % (1 of 1,000)", "limit": "< 0.5%", "holds": true }]);
    row["ack"] = json!({ "by": "alice", "at": stamp(50, "03:17:00"), "note": null });
    let acked = fact(
        50,
        "03:17:00",
        "incident/x",
        json!({ "kind": "incident_acked", "incident": INCIDENT, "by": "alice", "note": "on it" }),
    );
    check(
        "why_resolved",
        &why::page(
            &why_answer("incidents", INCIDENT, row, vec![fired(40, "03:15:45"), acked]),
            PLAIN,
        ),
    );
}

#[test]
fn why_of_a_run_shows_its_gates() {
    let row = json!({
        "action": "shop-rollback", "incident": INCIDENT, "service": "shop", "release": "1.4.2", "mode": "automatic", "state": "refused",
        "proposed": stamp(42, "03:15:45"), "starting": null, "finished": null, "evidence": incident()["readings"],
        "gates": [{ "gate": "kill_switch", "open": false, "why": "all acting was stopped by alice" }, { "gate": "cool_down", "open": true, "why": "it never acted before" }],
        "command": "/usr/local/bin/rollback shop", "end": null, "output": "", "verify": null, "holds_since": null, "verified": [], "result": "refused"
    });
    check("why_run", &why::page(&why_answer("runs", RUN, row, Vec::new()), PLAIN));
}

#[test]
fn why_of_a_copy_and_of_a_message() {
    let row = json!({
        "backup": "nightly", "repository": "r2", "intended": "2026-11-21T03:00:00Z", "captured": stamp(20, "03:01:00"), "bytes": 1_288_490_188_u64,
        "added_bytes": 20_000_000, "files": 1234, "digest": "d", "verified": stamp(21, "03:02:00"), "proved": null, "damaged": "pack 3c44 has another digest than its name"
    });
    let failed = fact(
        50,
        "03:02:10",
        "backup/nightly",
        json!({
            "kind": "backup_failed", "backup": "nightly", "job": RUN, "stage": "verify", "reason": "corrupt", "detail": "pack 3c44 has another digest than its name", "snapshot": SNAPSHOT
        }),
    );
    check(
        "why_copy",
        &why::page(&why_answer("snapshots", SNAPSHOT, row, vec![failed]), PLAIN),
    );
    let row = json!({ "destination": "me", "about": { "about": "firing", "incident": INCIDENT }, "queued": stamp(41, "03:15:45"),
                      "state": { "state": "given_up", "ending": "expired" }, "failure": "connect: Connection refused (os error 111)" });
    check(
        "why_message",
        &why::page(
            &why_answer(
                "deliveries",
                MESSAGE,
                row,
                acted().into_iter().skip(1).take(1).collect(),
            ),
            PLAIN,
        ),
    );
}

#[test]
fn the_timeline_reads_like_a_log() {
    let mut facts = acted();
    facts.insert(0, deployed(30, "03:11:58"));
    facts.insert(0, json!({ "seq": 2, "commit": 1, "wall": "2026-11-20T23:59:59Z", "fact": { "stream": "daemon", "source": "daemon", "kind": "from_the_future", "x": 1 } }));
    facts.reverse();
    let answer: TimelineAnswer = read(json!({ "asked_at": NOW, "facts": facts, "more": true }));
    check("timeline", &timeline::page(&answer, BTreeMap::new(), PLAIN));
}

#[test]
fn an_end_without_a_stop_is_said_at_the_next_start() {
    let started = |seq: u64, time: &str| {
        let identity = json!({ "store": "6f0f0f0f-0000-4000-8000-000000000000", "epoch": 0 });
        fact(
            seq,
            time,
            "daemon",
            json!({ "kind": "started", "version": "0.1.0", "identity": identity }),
        )
    };
    let configured = |seq: u64, time: &str| {
        let body = json!({ "kind": "configured", "digest": "d", "text": "[web]" });
        fact(seq, time, "daemon", body)
    };
    let facts = vec![
        configured(21, "03:20:00"),
        started(20, "03:20:00"),
        configured(2, "03:00:00"),
        started(1, "03:00:00"),
    ];
    let answer: TimelineAnswer = read(json!({ "asked_at": NOW, "facts": facts, "more": false }));
    let wide = Look {
        width: usize::MAX,
        colour: false,
    };
    let last = answer
        .facts
        .last()
        .unwrap()
        .wall
        .plus(jiff::SignedDuration::from_mins(5));
    let page = timeline::page(&answer, BTreeMap::from([(events::Seq(20), last)]), wide);
    let said: Vec<&str> = page
        .lines()
        .skip(1)
        .map(|line| line.split_once("watchkeep  ").unwrap().1)
        .collect();
    assert_eq!(
        said,
        [
            "started, version 0.1.0",
            "its first configuration is in force",
            "started, version 0.1.0; the run before ended without a stop: nothing was watched from 03:05:00 UTC to 03:20:00 UTC (15 min)",
            "another configuration is in force",
        ]
    );
}

#[test]
fn why_of_a_run_that_acted_counts_every_gate_once() {
    let mut row = acting();
    row["gates"] = json!([{ "gate": "kill_switch", "open": true, "why": "asked again" }]);
    let mut facts = acted();
    facts[4]["fact"]["gates"] = row["gates"].clone();
    let page = why::page(&why_answer("runs", RUN, row, facts), PLAIN);
    let gates: Vec<&str> = page
        .lines()
        .filter(|line| line.contains(" open "))
        .map(str::trim)
        .collect();
    assert_eq!(
        gates,
        [
            "gates     open kill_switch: asked again (right before the act)",
            "open cool_down: it never acted before",
        ],
        "{page}"
    );
    assert!(page.contains("all 2 gates open"), "{page}");
}

#[test]
fn moments_in_a_reading_are_said_as_everywhere() {
    let mut row = incident();
    row["readings"] =
        json!([{ "what": "up(shop)", "value": "ok since 2026-11-21T03:12:40Z, before since 2026-11-20T01:00:00Z" }]);
    row["changes"] = json!([{ "wall": "2026-11-21T03:12:45Z", "text": "shop 1.4.2 deployed", "service": "shop" }]);
    let page = why::page(&why_answer("incidents", INCIDENT, row, Vec::new()), PLAIN);
    assert!(
        page.contains("up(shop): ok since 03:12:40 UTC, before since 2026-11-20 01:00:00 UTC"),
        "{page}"
    );
    assert!(page.contains("shop 1.4.2 deployed, just before the breach"), "{page}");
}

#[test]
fn backups_say_what_is_proved() {
    let copy = |time: &str, proved: bool, damaged: Option<&str>| {
        json!({
            "backup": "nightly", "repository": "r2", "intended": format!("2026-11-{time}Z"), "captured": stamp(20, "03:01:00"), "bytes": 1_288_490_188_u64,
            "added_bytes": 20_000_000, "files": 1234, "digest": "d", "verified": null, "proved": proved.then(|| stamp(22, "03:04:00")), "damaged": damaged
        })
    };
    let failure = json!({ "at": stamp(50, "03:02:10"), "stage": "verify", "reason": "corrupt", "detail": "pack 3c44 has another digest than its name" });
    let answer: BackupsAnswer = read(json!({
        "asked_at": NOW, "configured": ["nightly", "files", "new"],
        "backups": { "nightly": backup(Some("03:04:00"), Some(failure)), "files": backup(Some("03:05:00"), None), "old": backup(None, None) },
        "snapshots": { SNAPSHOT: copy("21T03:00:00", false, Some("pack 3c44 has another digest than its name")), "2a": copy("20T03:00:00", true, None), "3b": copy("19T03:00:00", false, None) }
    }));
    let (page, well) = backups::page(&answer, PLAIN);
    assert!(!well);
    check("backups", &page);
}

#[test]
fn actions_say_what_holds_them() {
    let answer: ActionsAnswer = read(json!({
        "asked_at": NOW,
        "configured": [
            { "name": "shop-rollback", "mode": "automatic", "command": "/usr/local/bin/rollback shop" },
            { "name": "pay-restart", "mode": "dry-run", "command": "/usr/bin/systemctl restart pay" }
        ],
        "stopped_by": "alice",
        "actions": { "shop-rollback": { "last_act": stamp(44, "03:15:46"), "last_run": RUN, "last_result": "it failed with exit 1",
                     "last_result_run": RUN, "last_result_at": stamp(48, "03:16:00"), "held": "it failed with exit 1" } },
        "runs": {}
    }));
    let (page, well) = actions::page(&answer, PLAIN);
    assert!(!well);
    check("actions", &page);
}

#[test]
fn a_run_under_way_is_not_taken_for_the_one_before() {
    const BEFORE: &str = "11aa9c1e-0000-5000-8000-000000000009";
    let mut orphan = acting();
    orphan["action"] = json!("gone");
    orphan["state"] = json!("verifying");
    orphan["finished"] = stamp(46, "03:15:50");
    let answer: ActionsAnswer = read(json!({
        "asked_at": NOW,
        "configured": [{ "name": "shop-rollback", "mode": "automatic", "command": "/usr/local/bin/rollback shop" }],
        "stopped_by": null,
        "actions": { "shop-rollback": { "last_act": stamp(44, "03:15:46"), "last_run": RUN, "last_result": "done and verified: up for 2m",
                     "last_result_run": BEFORE, "last_result_at": stamp(20, "02:16:00"), "held": null } },
        "runs": { RUN: acting(), "99aa9c1e-0000-5000-8000-000000000009": orphan }
    }));
    let (page, well) = actions::page(&answer, PLAIN);
    assert!(well);
    check("actions_running", &page);
}

#[test]
fn jobs_that_wait_and_why() {
    let waits = bad_status()["jobs"][0].clone();
    let mut runs = waits.clone();
    runs["job"]["id"] = json!(RUN);
    runs["running"] = json!(true);
    runs["failure"] = json!(null);
    runs["attempts"] = json!(1);
    let mut turn = runs.clone();
    turn["running"] = json!(false);
    turn["attempts"] = json!(0);
    turn["wait"] = json!("PT0S");
    let (page, well) = jobs::page(&read::<Vec<_>>(json!([runs, turn, waits])), PLAIN);
    assert!(!well);
    check("jobs", &page);
    let only = jobs::page(&read::<Vec<_>>(json!([bad_status()["jobs"][0]])), PLAIN).0;
    assert!(only.starts_with("1 job waits, it failed before\n"), "{only}");
    assert_eq!(jobs::page(&[], PLAIN), ("no job waits\n".to_owned(), true));
}

#[test]
fn the_chain_holds_or_is_broken() {
    let link = "ab".repeat(32);
    let mut answer = json!({ "commits": 1, "facts": 12_345, "link": link, "damage": null });
    let (page, well) = chain::page(&read(answer.clone()), PLAIN);
    assert!(well);
    check("chain", &page);
    answer["damage"] = json!("commit 7, fact 12: its digest is another one");
    let (page, well) = chain::page(&read(answer), PLAIN);
    assert!(
        !well && page.starts_with("BROKEN  commit 7, fact 12: its digest"),
        "{page}"
    );
    assert!(page.contains("docs/runbooks/journal-damaged.md"), "{page}");
}

#[test]
fn what_does_not_fit_is_said() {
    let mut answer = why_answer("incidents", INCIDENT, incident(), acted());
    answer.more = true;
    let page = why::page(&answer, PLAIN);
    assert!(
        page.contains("… this rests on the first 8 facts only, up to 03:18:00 UTC"),
        "{page}"
    );
    assert!(page.contains("watchkeep timeline --since 10m --limit 1000"), "{page}");
    answer.more = false;
    assert!(!why::page(&answer, PLAIN).contains("this rests on"));
}

#[test]
fn why_says_what_still_acts() {
    let mut facts = acted();
    facts.truncate(5);
    let page = why::page(&why_answer("incidents", INCIDENT, incident(), facts.clone()), PLAIN);
    assert!(page.contains("shop-rollback acts, it has not ended yet"), "{page}");
    facts.extend(acted().into_iter().skip(5).take(1));
    let page = why::page(&why_answer("incidents", INCIDENT, incident(), facts), PLAIN);
    assert!(
        page.contains("what it should bring about is awaited") && !page.contains("has not ended yet"),
        "{page}"
    );
}
