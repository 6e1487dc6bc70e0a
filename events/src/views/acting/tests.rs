//! What an action remembers of its runs.

use serde_json::{Value, json};

use super::*;
use crate::{CommitId, Envelope, Moment, Seq};

const FIRST: &str = "77aa9c1e-0000-5000-8000-000000000001";
const SECOND: &str = "77aa9c1e-0000-5000-8000-000000000002";
const INCIDENT: &str = "5f3a9c1e-0000-5000-8000-000000000001";

fn job(id: &str) -> JobId {
    serde_json::from_value(json!(id)).unwrap()
}

fn apply(views: &mut Views, seq: u64, body: &Value) {
    let mut whole = json!({ "stream": "action/restart", "source": "guard" });
    whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    let envelope: Envelope = serde_json::from_value(whole).unwrap();
    views.apply(&Recorded {
        seq: Seq(seq),
        commit: CommitId(seq),
        cause: None,
        recorded_at: Moment::default(),
        envelope,
    });
}

fn proposed(run: &str, mode: &str, open: bool) -> Value {
    let gates = json!([{ "gate": "kill_switch", "open": open, "why": "so it is" }]);
    json!({ "kind": "action_proposed", "run": run, "action": "restart", "incident": INCIDENT, "mode": mode, "evidence": [], "gates": gates,
            "passed": open, "command": "/bin/restart" })
}

fn concluded(run: &str, result: &str, summary: &str) -> Value {
    json!({ "kind": "action_concluded", "run": run, "action": "restart", "incident": INCIDENT, "result": result, "summary": summary,
            "evidence": [], "gates": [], "command": "/bin/restart" })
}

#[test]
fn the_last_result_names_its_run_while_another_one_acts() {
    let mut views = Views::default();
    apply(&mut views, 1, &proposed(FIRST, "automatic", true));
    apply(
        &mut views,
        2,
        &concluded(FIRST, "verified", "restart: done and verified: up for 2m"),
    );
    apply(&mut views, 3, &proposed(SECOND, "automatic", true));
    apply(
        &mut views,
        4,
        &json!({ "kind": "act_starting", "run": SECOND, "action": "restart", "gates": [] }),
    );
    let row = views.actions.get("restart").unwrap();
    assert_eq!(
        (row.last_run, row.last_result_run),
        (Some(job(SECOND)), Some(job(FIRST)))
    );
    assert_eq!(row.last_result.as_deref(), Some("done and verified: up for 2m"));
    assert_eq!(row.last_result_at.map(|stamp| stamp.seq), Some(Seq(2)));
    assert!(views.runs.get(FIRST).is_none() && views.runs.get(SECOND).is_some_and(ActionRun::acts));
    apply(
        &mut views,
        5,
        &concluded(SECOND, "held", "restart: the act failed: exit code 1"),
    );
    let row = views.actions.get("restart").unwrap();
    assert_eq!(row.last_result_run, Some(job(SECOND)));
    assert_eq!(row.held.as_deref(), Some("the act failed: exit code 1"));
}

#[test]
fn what_may_not_act_does_not_act() {
    for (mode, open, acts) in [
        ("automatic", true, true),
        ("automatic", false, false),
        ("dry-run", true, false),
    ] {
        let mut views = Views::default();
        apply(&mut views, 1, &proposed(FIRST, mode, open));
        assert_eq!(views.runs.get(FIRST).unwrap().acts(), acts, "{mode} {open}");
    }
}

#[test]
fn only_the_name_in_front_is_left_out() {
    let said = |summary: &str| {
        let concluded: crate::ActionConcluded = serde_json::from_value(concluded(FIRST, "held", summary)).unwrap();
        concluded.summary_alone().to_owned()
    };
    assert_eq!(said("restart: it failed"), "it failed");
    assert_eq!(said("restarted: it failed"), "restarted: it failed");
    assert_eq!(said("restart"), "restart");
}
