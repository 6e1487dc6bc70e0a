//! What a message says of acts that are not concluded, and of changes of others.

use events::Views;
use serde_json::{Value, json};

use super::*;

const INCIDENT: &str = "5f3a9c1e-0000-5000-8000-000000000001";
const RUN: &str = "77aa9c1e-0000-5000-8000-000000000002";

fn stamp(seq: u64, time: &str) -> Value {
    json!({ "seq": seq, "wall": format!("2026-11-21T{time}Z"), "at": 0, "watched": 0 })
}

fn incident() -> Value {
    json!({
        "id": INCIDENT, "rule": "shop-down", "service": "shop",
        "terms": { "severity": "page", "notify": ["me"], "when": "not up(shop)" },
        "breach_began": "2026-11-21T03:10:00Z", "fired": stamp(40, "03:10:15"), "resolved": stamp(60, "03:20:00"), "rule_removed": false,
        "readings": [{ "what": "up(shop)", "value": "fail", "holds": false }],
        "last_readings": [{ "what": "up(shop)", "value": "pass", "holds": true }], "last_read": stamp(60, "03:20:00"),
        "changes": [
            { "wall": "2026-11-21T03:05:00Z", "text": "shop 2 deployed", "service": "shop" },
            { "wall": "2026-11-21T03:08:00Z", "text": "the clock of this machine jumped" },
            { "wall": "2026-11-21T03:09:00Z", "text": "cart 7 deployed", "service": "cart" }
        ],
        "ack": null, "told": true, "told_to": ["me"], "reminders": 0, "last_told": stamp(41, "03:10:15"), "messages_open": 1, "actions": []
    })
}

fn run(state: &str) -> Value {
    json!({
        "action": "shop-restart", "incident": INCIDENT, "service": "shop", "release": null, "mode": "automatic", "state": state,
        "proposed": stamp(42, "03:10:15"), "starting": stamp(44, "03:10:16"), "finished": stamp(45, "03:10:20"), "evidence": [],
        "gates": [], "command": "/bin/restart shop", "end": null, "output": "", "verify": null, "holds_since": null, "verified": [], "result": null
    })
}

fn views(run: Option<Value>) -> Views {
    let shape = |view: &str| Views::SHAPES.iter().find(|(name, _)| *name == view).unwrap().1;
    let mut views = Views::default();
    let rows = [("incidents", INCIDENT, Some(incident())), ("runs", RUN, run)];
    for (view, key, row) in rows {
        if let Some(row) = row {
            views.load(view, key.to_owned(), shape(view), &row.to_string()).unwrap();
        }
    }
    views
}

fn said(run: Option<Value>) -> (String, IncidentBody) {
    let id = serde_json::from_value(json!(INCIDENT)).unwrap();
    let now = Moment {
        wall: Timestamp::from_jiff("2026-11-21T03:20:01Z".parse().unwrap()),
        ..Moment::default()
    };
    let draft = draft(&views(run), id, What::Resolved { first_told: false }, &now, Vec::new());
    (draft.text, draft.incident.unwrap())
}

#[test]
fn an_act_under_way_is_not_nothing() {
    let (text, body) = said(Some(run("starting")));
    let sentence = "shop-restart acts since 2026-11-21 03:10:16 UTC, not ended yet: /bin/restart shop";
    assert!(text.contains(&format!("Done: {sentence}\n")), "{text}");
    assert_eq!(body.actions, [sentence]);
    let (text, _) = said(Some(run("verifying")));
    assert!(text.contains("Done: shop-restart has acted, waits since"), "{text}");
    // A run that its gates refused did nothing and is about to be concluded.
    let (text, body) = said(Some(run("refused")));
    assert!(
        text.contains("Done: nothing by an action, and nobody had taken it\n"),
        "{text}"
    );
    assert!(body.actions.is_empty());
    assert_eq!(text, said(None).0);
}

#[test]
fn changes_of_the_own_service_stand_first_and_foreign_ones_say_so() {
    let (text, body) = said(None);
    let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
    assert!(place("shop 2 deployed, ") < place("the clock of this machine jumped, "));
    assert!(place("the clock of this machine jumped, ") < place("cart 7 deployed (another service), "));
    assert_eq!(body.changes.len(), 3);
}
