//! Random histories: whatever happens, a replay decides the same, and unknown opens nothing.

use proptest::prelude::*;

use crate::play::{Play, TestFactory};

const SETTINGS: &str = r#"
    notify = ["me", "you"]
    services = ["shop"]
    backups = ["nightly"]
    [probe.shop]
    near = true
    notify = ["me"]
    [probe.cart]
    notify = ["you", "me"]
    [alert.errors]
    when = "error_rate(shop, 1m) > 1% and requests(shop, 1m) >= 20"
    for = "20s"
    clear = "error_rate(shop, 1m) < 0.5%"
    clear_for = "20s"
    remind = "1m"
    notify = ["me"]
    [alert.slow]
    when = "p95(shop, 2m) > 300ms or missing(shop, 3m)"
    for = "10s"
    no_data = "fire"
    notify = ["you"]
    [alert.old]
    when = "age(proved(nightly)) > 2m or not up(cart)"
    notify = ["me"]
"#;

fn step() -> impl Strategy<Value = String> {
    let probes = prop::sample::select(vec!["shop", "cart"]);
    let answers = prop::sample::select(vec![
        "pass",
        "fail connect_refused",
        "fail timeout",
        "unknown probe_broken",
    ]);
    let probe = (probes, answers).prop_map(|(probe, answer)| format!("probe {probe} {answer}"));
    let requests = (1_u64..40, 0_u64..4, 0_u64..4)
        .prop_map(|(n, bad, slow)| format!("requests shop {n} {} {}", bad.min(n), slow.min(n)));
    let rare = prop::sample::select(vec![
        "deploy shop 1.4.2",
        "ack ada",
        "silence up/shop 0:30 3:00",
        "silence errors 0:00 2:00",
        "lift",
        "network offline",
        "network online",
        "receiver me down",
        "receiver me up",
        "receiver you down",
        "receiver you up",
        "test me",
        "scheduled nightly",
        "proved nightly",
        "crash",
        "down 0:40",
        "down 20:00",
    ]);
    prop_oneof![3 => probe, 4 => requests, 3 => rare.prop_map(str::to_owned)]
}

/// Steps with the seconds that go by before each.
fn history() -> impl Strategy<Value = Vec<(i64, String)>> {
    prop::collection::vec((0_i64..25, step()), 1..60)
}

fn script(history: &[(i64, String)]) -> String {
    let mut at = 0;
    let mut lines = String::new();
    for (pause, step) in history {
        at += pause;
        lines.push_str(&format!("{}:{:02} {step}\n", at / 60, at % 60));
        if let Some(gap) = step.strip_prefix("down ") {
            let (minutes, seconds) = gap.split_once(':').unwrap();
            at += minutes.parse::<i64>().unwrap() * 60 + seconds.parse::<i64>().unwrap();
        }
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_replay_decides_the_same(history in history()) {
        let mut play = Play::new(SETTINGS);
        play.play(&script(&history));
        play.check_replay();
    }

    /// What is told to have ended was told to have begun, or in the same message; nobody is told twice that the same began.
    #[test]
    fn every_end_has_a_beginning(history in history()) {
        let mut play = Play::new(SETTINGS);
        play.play(&script(&history));
        let mut begun = std::collections::BTreeMap::new();
        for message in &play.delivered {
            let Some(incident) = &message.body.incident else { continue };
            let key = (message.destination.clone(), incident.id);
            match message.body.kind {
                alerting::Kind::Firing => prop_assert_eq!(begun.insert(key, false), None, "told twice"),
                alerting::Kind::Resolved => prop_assert_ne!(begun.insert(key, true), Some(true), "ended twice"),
                _ => {}
            }
        }
    }
}

/// Negative control: reactors that are not given their window decide otherwise after a crash.
#[test]
fn a_reactor_that_forgets_is_found_out() {
    let mut lines: Vec<String> = (0..40)
        .map(|n| format!("{}:{:02} requests shop 30 3", n * 5 / 60, n * 5 % 60))
        .collect();
    lines.insert(3, "0:12 crash".to_owned());
    let script = lines.join("\n");
    let differences = |forgetful| {
        let mut play = Play::made_by(TestFactory { forgetful }, SETTINGS);
        play.play(&script).replayed().differences.len()
    };
    assert_eq!(differences(false), 0);
    assert!(differences(true) > 0, "the property would not notice a lost window");
}
