//! The texts of messages, word for word.

use crate::play::Play;

const SETTINGS: &str = r#"
    notify = ["me"]
    [probe.shop]
    near = true
    [alert.shop-down]
    when = "not up(shop)"
    for = "15s"
    notify = ["me"]
    runbook = "https://wiki.example/shop"
"#;

fn text(play: &Play, index: usize) -> String {
    let body = &play.delivered.get(index).unwrap().body;
    match &body.incident {
        Some(incident) => body.text.replace(&incident.id.to_string(), "ID"),
        None => body.text.clone(),
    }
}

#[test]
fn a_firing_message_answers_the_five_questions() {
    let mut play = Play::new(SETTINGS);
    play.play(
        "0:00 probe shop pass
         2:00 deploy shop 1.4.1
         9:00 deploy shop 1.4.2
         9:00 deploy cart 7
         10:00 probe shop fail connect_refused
         11:00",
    );
    assert_eq!(
        text(&play, 0),
        "Since: 2026-11-21 03:10:00 UTC (15s ago)\n\
         Why:\n  up(shop): fail\n  probe shop: connection refused (10.0.0.1:443)\n\
         Changed just before:\n  \
         shop 1.4.2 deployed by ada (was 1.4.1), 1m before, 2026-11-21 03:09:00 UTC\n  \
         cart 7 deployed by ada (another service), 1m before, 2026-11-21 03:09:00 UTC\n\
         Done: nothing yet\n\
         To do:\n  https://wiki.example/shop\n  watchkeep why ID\n  watchkeep ack ID\n  watchkeep silence shop-down --for 1h"
    );
    let body = &play.delivered[0].body;
    assert_eq!(body.title, "FIRING shop is down: connection refused (10.0.0.1:443)");
    assert_eq!(body.id, play.jobs[0].id);
}

#[test]
fn nothing_changed_is_said() {
    let mut play = Play::new(SETTINGS);
    play.play("0:00 probe shop fail timeout\n0:20 ack ada\n3:00 probe shop pass\n5:00");
    assert_eq!(
        text(&play, 1),
        "From 2026-11-21 03:00:00 UTC to 2026-11-21 03:03:00 UTC (3m)\n\
         Why it began:\n  up(shop): fail\n  probe shop: no answer before the deadline\n\
         Why it is over: up(shop): pass\n\
         Changed just before: nothing recorded in the last hour\n\
         Done: ada has taken it\n\
         To do:\n  watchkeep why ID"
    );
}

#[test]
fn a_cut_off_says_what_to_do() {
    let mut play = Play::new(SETTINGS);
    play.play("1:00 network offline\n1:10");
    assert_eq!(
        text(&play, 0),
        "Since 2026-11-21 03:01:00 UTC none of the anchors answers:\n  \
         1.1.1.1:443: connection timed out\n\
         Probes of other machines say unknown until it is back; their alerts neither open nor end.\n\
         To do: look at the network of the machine that Watchkeep runs on."
    );
}

#[test]
fn hostile_texts_stay_within_bounds() {
    let wild = "\\u0000\\u001b[31m\\\"🦀\\n".repeat(400);
    let mut settings = format!(
        "notify = [\"me\"]\n[alert.x]\nfor = \"5s\"\nnotify = [\"me\"]\nrunbook = \"{wild}\"\nsummary = \"{wild}\"\n"
    );
    let leaves: Vec<String> = (0..60).map(|n| format!("not up(p{n})")).collect();
    settings.push_str(&format!("when = \"{}\"\n", leaves.join(" or ")));
    (0..60).for_each(|n| settings.push_str(&format!("[probe.p{n}]\nnear = true\n")));
    let mut play = Play::new(&settings);
    play.play("0:00 probe p1 fail timeout\n1:00");
    let body = &play.delivered.first().unwrap().body;
    assert!(body.title.chars().count() <= alerting::TITLE_MAX);
    assert!(!body.title.chars().any(char::is_control), "{:?}", body.title);
    assert!(!body.text.chars().any(|c| c.is_control() && c != '\n'));
    assert!(serde_json::to_string(body).unwrap().len() <= alerting::BODY_BYTES_MAX);
}
