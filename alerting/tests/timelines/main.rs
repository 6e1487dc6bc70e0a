//! Timelines: what happens in, what is told out; each is replayed at its end.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of a test crate")]

mod given_up;
mod histories;
mod play;
mod texts;

use events::Work;
use play::Play;

const NEAR: &str = r#"
    notify = ["me"]
    [probe.shop]
    near = true
    notify = ["me"]
"#;
const FAR: &str = r#"
    notify = ["me"]
    [probe.shop]
    notify = ["me"]
"#;

const DEAD_ENDS: &str = r#"
    notify = ["me", "you"]
    [probe.shop]
    near = true
    notify = ["me"]
"#;

#[track_caller]
fn says(settings: &str, script: &str, expected: &str) {
    let mut play = Play::new(settings);
    let said = play.play(script).said();
    assert_eq!(said, trimmed(expected), "phases:\n{}", play.phases());
}

fn trimmed(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .flat_map(|line| {
            [
                line, "
",
            ]
        })
        .collect()
}

#[test]
fn fires_once_when_it_lasts_and_ends_once() {
    says(
        NEAR,
        "0:00 probe shop pass
         1:00 probe shop fail connect_refused
         5:00 probe shop pass
         9:00",
        "1:15 me <- FIRING shop is down: connection refused (10.0.0.1:443)
         6:00 me <- RESOLVED shop is up again, was down 4m",
    );
}

#[test]
fn a_far_probe_has_a_minute() {
    says(
        FAR,
        "0:00 probe shop pass
         1:00 probe shop fail connect_refused
         4:00",
        "2:00 me <- FIRING shop is down: connection refused (10.0.0.1:443)",
    );
}

#[test]
fn a_short_breach_is_not_told() {
    says(
        NEAR,
        "0:00 probe shop pass
         1:00 probe shop fail connect_refused
         1:12 probe shop pass
         5:00",
        "",
    );
}

#[test]
fn unknown_holds_and_its_time_does_not_count() {
    let mut play = Play::new(NEAR);
    play.play(
        "0:00 probe shop pass
         1:00 probe shop fail connect_refused
         1:10 probe shop unknown probe_broken
         3:00 probe shop fail connect_refused
         4:00",
    );
    assert_eq!(
        play.phases(),
        trimmed(
            "1:00 up/shop Inactive -> Pending
             1:10 up/shop Pending -> Pending (time stands still)
             3:00 up/shop Pending -> Pending
             3:05 up/shop Pending -> Firing"
        )
    );
}

#[test]
fn downtime_neither_adds_to_held_time_nor_takes_from_it() {
    says(
        FAR,
        "0:00 probe shop pass
         1:00 probe shop fail connect_refused
         1:40 down 60:00
         63:00",
        "62:00 me <- FIRING shop is down: connection refused (10.0.0.1:443)",
    );
}

#[test]
fn an_end_that_waits_behind_its_beginning_is_told_with_it() {
    says(
        NEAR,
        "0:00 test me
         0:00 receiver me down
         0:01 test me
         0:02 probe shop pass
         1:00 probe shop fail connect_refused
         3:00 probe shop pass
         5:00 receiver me up
         5:05",
        "0:00 me <- TEST message from Watchkeep
         5:00 me <- TEST message from Watchkeep
         5:00 me <- RESOLVED shop is up again, was down 03:01:00–03:03:00 UTC (2m)",
    );
}

#[test]
fn a_beginning_that_was_composed_is_followed_by_its_end() {
    says(
        NEAR,
        "0:00 receiver me down
         0:02 probe shop pass
         1:00 probe shop fail connect_refused
         3:00 probe shop pass
         3:30 crash
         5:00 receiver me up
         5:05",
        "5:00 me <- FIRING shop is down: connection refused (10.0.0.1:443)
         5:00 me <- RESOLVED shop is up again, was down 2m",
    );
}

#[test]
fn many_waiting_messages_become_one_digest() {
    let settings = r#"
        notify = ["me"]
        probe.a = { near = true, notify = ["me"] }
        probe.b = { near = true, notify = ["me"] }
        probe.c = { near = true, notify = ["me"] }
        probe.d = { near = true, notify = ["me"] }
        probe.e = { near = true, notify = ["me"] }
        probe.f = { near = true, notify = ["me"] }
    "#;
    let mut play = Play::new(settings);
    play.play(
        "0:00 receiver me down
         0:01 test me
         0:10 probe a fail timeout
         0:10 probe b fail timeout
         0:10 probe c fail timeout
         0:10 probe d fail timeout
         0:10 probe e fail timeout
         0:10 probe f fail timeout
         1:00 probe f pass
         3:00 receiver me up
         3:05",
    );
    assert_eq!(
        play.said(),
        trimmed(
            "3:00 me <- TEST message from Watchkeep
             3:00 me <- 5 firing, 1 resolved in one message"
        )
    );
    let digest = &play.delivered[1].body;
    let without_id = |line: &str| match line.split_once('[') {
        Some((title, rest)) => format!("{title}[ID{}\n", rest.chars().skip(8).collect::<String>()),
        None => format!("{line}\n"),
    };
    let text: String = digest.text.lines().map(without_id).collect();
    assert_eq!(
        text,
        "FIRING a is down: no answer before the deadline [ID, since 2026-11-21 03:00:10 UTC]\n\
         FIRING b is down: no answer before the deadline [ID, since 2026-11-21 03:00:10 UTC]\n\
         FIRING c is down: no answer before the deadline [ID, since 2026-11-21 03:00:10 UTC]\n\
         FIRING d is down: no answer before the deadline [ID, since 2026-11-21 03:00:10 UTC]\n\
         FIRING e is down: no answer before the deadline [ID, since 2026-11-21 03:00:10 UTC]\n\
         RESOLVED f is up again, was down 03:00:10–03:01:00 UTC (50s) [ID]\n\
         To do:\n  watchkeep alerts\n  watchkeep why ID    (in brackets)\n  watchkeep timeline --since 1d\n"
    );
}

const ERRORS: &str = r#"
    notify = ["me"]
    services = ["shop"]
    [alert.shop-errors]
    when = "error_rate(shop, 1m) > 1% and requests(shop, 1m) >= 100"
    for = "30s"
    clear = "error_rate(shop, 1m) < 0.5%"
    clear_for = "30s"
    remind = "10m"
    notify = ["me"]
"#;

fn traffic(from: i64, until: i64, counts: &str) -> String {
    let line = |second: i64| format!("{}:{:02} requests shop {counts}", second / 60, second % 60);
    let lines: Vec<String> = (from..until).step_by(5).map(line).collect();
    lines.join(
        "
",
    ) + "
"
}

#[test]
fn error_rates_fire_with_hysteresis() {
    let script =
        traffic(0, 120, "50 0") + &traffic(120, 300, "50 5") + &traffic(300, 420, "500 4") + &traffic(420, 600, "50 0");
    let mut play = Play::new(ERRORS);
    play.play(&script).play("10:00");
    assert_eq!(
        play.said(),
        trimmed(
            "2:40 me <- FIRING shop-errors: error_rate(shop, 1m): 6.67 % (40 of 600), limit > 1%
             8:25 me <- RESOLVED shop-errors: lasted 5m 45s"
        ),
        "{}",
        play.phases()
    );
}

#[test]
fn a_window_that_was_hardly_watched_says_nothing() {
    let script = traffic(0, 120, "50 0") + "2:00 down 60:00\n" + "62:00 requests shop 5000 5000\n62:10";
    let mut play = Play::new(ERRORS);
    play.play(&script);
    assert_eq!(play.phases(), "", "half a window has to be watched first");
}

#[test]
fn a_crash_forgets_nothing_of_a_window() {
    let script = traffic(0, 200, "50 5") + "3:20 crash\n" + &traffic(205, 300, "50 0");
    let with_crash = {
        let mut play = Play::new(ERRORS);
        play.play(&script).said()
    };
    let without = {
        let mut play = Play::new(ERRORS);
        play.play(&script.replace("3:20 crash\n", "")).said()
    };
    assert_eq!(with_crash, without);
    assert!(with_crash.contains("FIRING"), "{with_crash}");
}

#[test]
fn latency_limits_are_counted_and_compared() {
    says(
        r#"
        notify = ["me"]
        services = ["shop"]
        [alert.shop-slow]
        when = "p95(shop, 1m) > 300ms"
        for = "10s"
        summary = "the shop is slow"
        notify = ["me"]
        "#,
        &(traffic(0, 60, "100 0 4") + &traffic(60, 120, "100 0 20")),
        "1:15 me <- FIRING shop-slow: the shop is slow",
    );
}

#[test]
fn silence_holds_back_and_tells_when_it_ends() {
    says(
        NEAR,
        "0:00 probe shop pass
         0:30 silence up/shop 1:00 10:00
         2:00 probe shop fail connect_refused
         12:00",
        "10:00 me <- FIRING shop is down: connection refused (10.0.0.1:443)",
    );
    says(
        NEAR,
        "0:00 probe shop pass
         0:30 silence up/shop 1:00 10:00
         2:00 probe shop fail connect_refused
         4:02 lift
         12:00",
        "4:02 me <- FIRING shop is down: connection refused (10.0.0.1:443)",
    );
    says(
        NEAR,
        "0:00 probe shop pass
         0:30 silence up/shop 1:00 10:00
         2:00 probe shop fail connect_refused
         4:00 probe shop pass
         12:00",
        "",
    );
}

const REMINDED: &str = r#"
    notify = ["me"]
    [probe.shop]
    near = true
    [alert.shop-down]
    when = "not up(shop)"
    for = "15s"
    remind = "10m"
    notify = ["me"]
"#;

#[test]
fn reminds_until_somebody_takes_it() {
    says(
        REMINDED,
        "0:00 probe shop fail connect_refused
         25:00 ack ada
         50:00",
        "0:15 me <- FIRING shop is down: connection refused (10.0.0.1:443)
         10:15 me <- STILL FIRING for 10m 15s: shop is down: connection refused (10.0.0.1:443)
         20:15 me <- STILL FIRING for 20m 15s: shop is down: connection refused (10.0.0.1:443)",
    );
}

#[test]
fn reminders_do_not_pile_up_behind_a_dead_receiver() {
    says(
        REMINDED,
        "0:00 receiver me down
         0:01 probe shop fail connect_refused
         45:00 receiver me up
         45:05",
        "45:00 me <- FIRING shop is down: connection refused (10.0.0.1:443)",
    );
}

#[test]
fn a_cut_off_watcher_blames_nobody() {
    says(
        FAR,
        "0:00 probe shop pass
         1:00 probe shop fail connect_timeout
         1:10 network offline
         4:10 network online
         4:10 probe shop pass
         6:00",
        "1:10 me <- Watchkeep is cut off: its own network is down, nobody is blamed
         4:10 me <- Watchkeep is reachable again, was cut off 03:01:10–03:04:10 UTC (3m)",
    );
}

#[test]
fn a_cut_off_that_nobody_heard_of_is_told_in_one() {
    says(
        FAR,
        "0:00 receiver me down
         0:01 test me
         1:10 network offline
         4:10 network online
         6:00 receiver me up
         6:05",
        "6:00 me <- TEST message from Watchkeep
         6:00 me <- Watchkeep is reachable again, was cut off 03:01:10–03:04:10 UTC (3m)",
    );
}

#[test]
fn far_rules_go_on_once_the_network_is_back() {
    says(
        FAR,
        "0:00 probe shop pass
         1:00 network offline
         1:01 probe shop fail connect_timeout
         3:00 network online
         5:00",
        "1:00 me <- Watchkeep is cut off: its own network is down, nobody is blamed
         3:00 me <- Watchkeep is reachable again, was cut off 03:01:00–03:03:00 UTC (2m)
         4:00 me <- FIRING shop is down: connection timed out",
    );
}

#[test]
fn a_removed_rule_ends_its_incident() {
    let mut play = Play::new(NEAR);
    play.play("0:00 probe shop fail connect_refused\n1:00");
    play.configure("notify = [\"me\"]\n[probe.shop]\nnear = true\n");
    play.play("2:00");
    assert_eq!(
        play.said(),
        trimmed(
            "0:15 me <- FIRING shop is down: connection refused (10.0.0.1:443)
             1:00 me <- ENDED up/shop: its rule was removed, nobody knows whether it is over"
        )
    );
}

#[test]
fn a_changed_rule_starts_pending_anew_and_keeps_firing() {
    let rule = |hold: &str| {
        format!(
            "notify = [\"me\"]\nprobe.shop.near = true\n[alert.x]\nwhen = \"not up(shop)\"\nfor = \"{hold}\"\nnotify = [\"me\"]\n"
        )
    };
    let mut play = Play::new(&rule("60s"));
    play.play("0:00 probe shop fail timeout\n0:30");
    play.configure(&rule("100s"));
    play.play("3:00");
    play.configure(&rule("9000s"));
    play.play("3:30 probe shop pass\n5:00");
    assert_eq!(
        play.phases(),
        trimmed(
            "0:00 x Inactive -> Pending
             0:30 x Pending -> Inactive
             0:30 x Inactive -> Pending
             2:10 x Pending -> Firing
             3:00 x Firing -> Firing
             3:30 x Firing -> Clearing
             4:30 x Clearing -> Inactive"
        )
    );
    play.check_replay();
}

#[test]
fn a_given_up_message_is_told_elsewhere_and_not_for_ever() {
    says(
        DEAD_ENDS,
        "0:00 receiver me down
         0:01 probe shop fail timeout
         1:00 gives-up me
         1:05",
        "1:00 you <- Messages do not reach me: it was not told that up/shop fires",
    );
    let mut play = Play::new(DEAD_ENDS);
    play.play(
        "0:00 receiver me down
         0:00 receiver you down
         0:01 probe shop fail timeout
         1:00 gives-up me
         1:01 gives-up you
         1:10",
    );
    assert_eq!(play.jobs.len(), 2, "two dead ends do not tell each other for ever");
}

#[test]
fn what_was_not_told_is_said_with_its_rule_and_incident() {
    let mut play = Play::new(DEAD_ENDS);
    play.play(
        "0:00 receiver me down
         0:01 probe shop fail timeout
         1:00 gives-up me
         1:05",
    );
    let body = &play.delivered[0].body;
    let Work::Message { about, .. } = &play.jobs[0].work else {
        panic!("the first job tells of the incident")
    };
    let incident = about.incident().unwrap();
    assert!(body.text.contains("Why: connection refused"), "{}", body.text);
    assert!(
        body.text.contains(&format!("More: watchkeep why {incident}")),
        "{}",
        body.text
    );
    let Work::Message { about, .. } = &play.jobs[1].work else {
        panic!("the second job tells of the first")
    };
    assert_eq!(about.incident(), Some(incident), "it is in the incident's thread");
}

#[test]
fn the_end_of_an_incident_is_told_though_its_destination_was_renamed() {
    let mut play = Play::new(NEAR);
    play.play("0:00 probe shop fail timeout\n1:00");
    play.configure(&NEAR.replace("\"me\"", "\"you\""));
    play.play("2:00 probe shop pass\n4:00");
    assert_eq!(
        play.said(),
        trimmed(
            "0:15 me <- FIRING shop is down: no answer before the deadline
             3:00 you <- RESOLVED shop is up again, was down 2m"
        )
    );
    play.check_replay();
}

#[test]
fn a_test_is_in_a_queue_of_its_own_and_soon_given_up_and_nobody_else_is_told() {
    let mut play = Play::new(DEAD_ENDS);
    play.play(
        "0:00 receiver me down
         0:01 test me
         0:02 test me
         0:03 gives-up me
         0:10",
    );
    let [first, second] = play.jobs.as_slice() else {
        panic!("two tests and nothing else: {:?}", play.jobs)
    };
    let prefix = alerting::test_queues_of(&events::name_of("me"));
    for job in [first, second] {
        assert!(job.queue.as_str().starts_with(prefix.as_str()), "{}", job.queue);
        assert_eq!(job.expires, Some(alerting::TEST_EXPIRES));
    }
    assert_ne!(first.queue, second.queue, "the second does not wait for the first");
}

#[test]
fn a_test_says_nothing_else_and_nothing_else_says_it() {
    let settings = r#"
        notify = ["me"]
        probe.a = { near = true, notify = ["me"] }
        probe.b = { near = true, notify = ["me"] }
        probe.c = { near = true, notify = ["me"] }
        probe.d = { near = true, notify = ["me"] }
        probe.e = { near = true, notify = ["me"] }
        probe.f = { near = true, notify = ["me"] }
        probe.g = { near = true, notify = ["me"] }
    "#;
    let fails = "abcdefg".chars().fold(String::new(), |script, probe| {
        script + &format!("0:10 probe {probe} fail timeout\n")
    });
    says(
        settings,
        &format!("0:00 receiver me down\n0:01 test me\n{fails}1:00 test me\n3:00 receiver me up\n3:05"),
        "3:00 me <- TEST message from Watchkeep
         3:00 me <- 7 firing in one message
         3:00 me <- TEST message from Watchkeep",
    );
}

#[test]
fn a_blind_probe_is_told_once() {
    says(
        NEAR,
        "0:00 probe shop pass
         1:00 probe shop unknown probe_broken
         4:00 crash
         30:00",
        "6:15 me <- Probe shop is blind: the probe itself failed",
    );
}

#[test]
fn the_age_of_the_last_proof_is_watched() {
    says(
        r#"
        notify = ["me"]
        backups = ["nightly"]
        [alert.backup-old]
        when = "age(proved(nightly)) > 10m"
        for = "5s"
        notify = ["me"]
        "#,
        "0:00 scheduled nightly
         5:00 proved nightly
         16:00 proved nightly
         18:00",
        "15:10 me <- FIRING backup-old: age(proved(nightly)): 10m 10s, limit > 10m
         17:00 me <- RESOLVED backup-old: lasted 55s",
    );
}

#[test]
fn a_corrupt_copy_is_told_at_once() {
    says(
        NEAR,
        "0:00 corrupt nightly\n0:10",
        "0:00 me <- Backup nightly: copy 0a1b2c3d4e5f could not be read back: corrupt",
    );
}

#[test]
fn a_backup_that_failed_for_good_is_told() {
    says(
        NEAR,
        "0:00 backup-fails nightly\n0:10",
        "0:00 me <- Backup nightly failed",
    );
}

/// A failure that says nothing about the copy is no news by itself, and does not stand for that of the job's end.
#[test]
fn a_copy_that_could_not_be_looked_at_is_told_when_the_job_is_given_up() {
    says(NEAR, "0:00 unread nightly\n0:10", "");
    says(
        NEAR,
        "0:00 unread nightly\n0:01 backup-fails nightly\n0:10",
        "0:01 me <- Backup nightly failed",
    );
    says(
        NEAR,
        "0:00 corrupt nightly\n0:01 backup-fails nightly\n0:10",
        "0:00 me <- Backup nightly: copy 0a1b2c3d4e5f could not be read back: corrupt",
    );
}

#[test]
fn what_the_store_lost_and_what_was_missed_is_told() {
    says(
        NEAR,
        "0:00 lost-packs nightly 2\n0:10",
        "0:00 me <- Backup nightly: the store lost parts of the repository r2",
    );
    says(NEAR, "0:00 lost-packs nightly 0\n0:10", "");
    says(
        NEAR,
        "0:00 missed nightly 1\n0:01 missed nightly 3\n0:10",
        "0:00 me <- Backup nightly: a due time was missed
         0:01 me <- Backup nightly: 3 due times were missed",
    );
}

#[test]
fn a_limit_is_told_once_a_day() {
    says(
        NEAR,
        "0:00 limit series\n1:00 limit series\n2:00 limit disk_budget\n1430:00 limit series\n1441:00 limit series\n1442:00 limit series\n1443:00",
        "0:00 me <- Watchkeep is at a limit: series
         2:00 me <- Watchkeep is at a limit: disk_budget
         1441:00 me <- Watchkeep is at a limit: series",
    );
}

#[test]
fn missing_telemetry_is_noticed_and_its_own_downtime_is_not() {
    let settings = r#"
        notify = ["me"]
        services = ["shop"]
        [alert.shop-silent]
        when = "missing(shop, 5m)"
        for = "5s"
        notify = ["me"]
    "#;
    says(
        settings,
        &(traffic(0, 60, "5 0") + "10:00"),
        "6:05 me <- FIRING shop-silent: missing(shop, 5m): last heard 5m ago",
    );
    says(
        settings,
        &(traffic(0, 60, "5 0") + "1:00 down 60:00\n" + &traffic(3660, 3700, "5 0")),
        "",
    );
}
