use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::from_jiff(text.parse().unwrap())
}

/// Every night at three.
fn nightly() -> Planned {
    Planned {
        schedule: "0 3 * * * UTC".to_owned(),
        calendar: Calendar::parse("0 3 * * *", "UTC").unwrap(),
    }
}

fn row(next: &str, last_intended: Option<&str>) -> Backup {
    Backup {
        next: Some(at(next)),
        last_intended: last_intended.map(at),
        ..Backup::default()
    }
}

#[test]
fn what_has_passed_is_due_once() {
    let now = at("2026-03-05T09:00:00Z");
    let due = |next, last| nightly().passed(&row(next, last), now);
    let nights = [
        at("2026-03-03T03:00:00Z"),
        at("2026-03-04T03:00:00Z"),
        at("2026-03-05T03:00:00Z"),
    ];
    assert_eq!(due("2026-03-03T03:00:00Z", Some("2026-03-02T03:00:00Z")), nights);
    assert!(due("2026-03-06T03:00:00Z", Some("2026-03-05T03:00:00Z")).is_empty());
    // The clock was set back behind a night that ran: it does not run again.
    assert!(due("2026-03-05T03:00:00Z", Some("2026-03-05T03:00:00Z")).is_empty());
    assert!(due("2026-03-05T03:00:00Z", Some("2026-03-06T03:00:00Z")).is_empty());
}

/// A clock that was once years ahead, and ran a backup there, must not stop the right nights from coming.
#[test]
fn a_run_by_a_clock_far_ahead_holds_up_no_night() {
    let far = Some("2031-01-01T03:00:00Z");
    let now = at("2026-03-05T09:00:00Z");
    let night = at("2026-03-05T03:00:00Z");
    assert_eq!(nightly().passed(&row("2026-03-05T03:00:00Z", far), now), [night]);
    let next = nightly().next(Some(&row("2031-01-02T03:00:00Z", far)), now);
    assert_eq!(next, Some(at("2026-03-06T03:00:00Z")));

    // The control: a night or one and a half ahead is a clock set back, and those nights are not repeated.
    let near = row("2026-03-07T03:00:00Z", Some("2026-03-06T03:00:00Z"));
    assert_eq!(nightly().next(Some(&near), now), Some(at("2026-03-07T03:00:00Z")));
    let (just, beyond) = ("2026-03-06T21:00:00Z", "2026-03-06T21:00:01Z");
    let next_after = |last| nightly().next(Some(&row("2026-03-09T03:00:00Z", Some(last))), now);
    assert_eq!(next_after(just), Some(at("2026-03-07T03:00:00Z")));
    assert_eq!(next_after(beyond), Some(at("2026-03-06T03:00:00Z")));
}
