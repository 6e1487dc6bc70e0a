use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn calendar(cron: &str, zone: &str) -> Calendar {
    Calendar::parse(cron, zone).unwrap()
}

fn next(cron: &str, zone: &str, after: &str) -> String {
    calendar(cron, zone).next_after(at(after)).unwrap().to_string()
}

#[test]
fn finds_the_next_time() {
    for (cron, after, due) in [
        ("0 3 * * *", "2026-01-01T02:59:59Z", "2026-01-01T03:00:00Z"),
        ("0 3 * * *", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"),
        ("*/15 * * * *", "2026-01-01T03:50:00.5Z", "2026-01-01T04:00:00Z"),
        ("5/20 * * * *", "2026-01-01T03:26:00Z", "2026-01-01T03:45:00Z"),
        ("0 0 1 jan *", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("0 9 * * MON-fri", "2026-01-02T10:00:00Z", "2026-01-05T09:00:00Z"),
        ("0 9 * * 7", "2026-01-02T10:00:00Z", "2026-01-04T09:00:00Z"),
        ("0 9 * * 0", "2026-01-02T10:00:00Z", "2026-01-04T09:00:00Z"),
        ("1,3-5 0 * * *", "2026-01-01T00:01:00Z", "2026-01-01T00:03:00Z"),
        ("0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"),
        ("@hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
        ("@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("@monthly", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
    ] {
        assert_eq!(next(cron, "UTC", after), due, "{cron} after {after}");
    }
}

#[test]
fn day_and_weekday_both_restricted_mean_either() {
    // The 13th, or any Friday.
    let both = calendar("0 0 13 * fri", "UTC");
    let days: Vec<_> = both.occurrences(at("2026-03-01T00:00:00Z"), at("2026-03-31T00:00:00Z"), 99);
    let days: Vec<_> = days.iter().map(|moment| moment.to_zoned(TimeZone::UTC).day()).collect();
    assert_eq!(days, [6, 13, 20, 27]);
    let days = calendar("0 0 12 * fri", "UTC").occurrences(at("2026-03-01T00:00:00Z"), at("2026-03-31T00:00:00Z"), 3);
    assert_eq!(days.len(), 3, "the limit holds");
    assert_eq!(days.get(1), Some(&at("2026-03-12T00:00:00Z")));
}

#[test]
fn what_never_comes_is_none() {
    for cron in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
        assert_eq!(
            calendar(cron, "Europe/London").next_after(at("2026-01-01T00:00:00Z")),
            None
        );
    }
    assert_eq!(calendar("0 0 * * *", "UTC").next_after(Timestamp::MAX), None);
    assert!(
        calendar("0 0 * * *", "Pacific/Auckland")
            .next_after(Timestamp::MIN)
            .is_some()
    );
}

#[test]
fn a_time_that_is_left_out_is_due_at_the_change() {
    // London: 01:00 to 02:00 does not exist on 2026-03-29; New York: 02:00 to 03:00 on 2026-03-08.
    assert_eq!(
        next("30 1 * * *", "Europe/London", "2026-03-28T12:00:00Z"),
        "2026-03-29T01:00:00Z"
    );
    assert_eq!(
        next("0 1 * * *", "Europe/London", "2026-03-28T12:00:00Z"),
        "2026-03-29T01:00:00Z"
    );
    assert_eq!(
        next("59 1 * * *", "Europe/London", "2026-03-29T01:00:00Z"),
        "2026-03-30T00:59:00Z"
    );
    assert_eq!(
        next("30 2 * * *", "America/New_York", "2026-03-08T00:00:00Z"),
        "2026-03-08T07:00:00Z"
    );
    // Several such times at once are one.
    let quarters = calendar("*/15 1 * * *", "Europe/London");
    let due = quarters.occurrences(at("2026-03-28T12:00:00Z"), at("2026-03-29T12:00:00Z"), 99);
    assert_eq!(due, [at("2026-03-29T01:00:00Z")]);
    // A whole day: Samoa had no 30 December 2011.
    assert_eq!(
        next("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z"),
        "2011-12-30T10:00:00Z"
    );
}

#[test]
fn a_time_that_comes_twice_is_due_once_the_first_time() {
    // London: 01:00 to 02:00 comes twice on 2026-10-25.
    let nightly = calendar("30 1 * * *", "Europe/London");
    let due = nightly.occurrences(at("2026-10-24T12:00:00Z"), at("2026-10-26T12:00:00Z"), 99);
    assert_eq!(due, [at("2026-10-25T00:30:00Z"), at("2026-10-26T01:30:00Z")]);
    assert_eq!(
        next("30 1 * * *", "America/New_York", "2026-11-01T04:00:00Z"),
        "2026-11-01T05:30:00Z"
    );
    assert_eq!(
        next("30 1 * * *", "America/New_York", "2026-11-01T05:30:00Z"),
        "2026-11-02T06:30:00Z"
    );
}

#[test]
fn says_which_field_is_wrong_and_what_was_expected() {
    for (cron, message, help) in [
        (
            "0 25 * * *",
            r#"the field hour of the schedule, "25": "25" is out of range"#,
            "the hour is 0 to 23",
        ),
        (
            "60 * * * *",
            r#"the field minute of the schedule, "60""#,
            "the minute is 0 to 59",
        ),
        ("0 0 0 * *", "the field day of the month", "1 to 31"),
        ("0 0 * foo *", r#""foo" is no number"#, "a name jan to dec"),
        ("0 0 * * mon-", r#""" is no number"#, "a name sun to sat"),
        ("0 0 * * fri-mon", "ends before it begins", "a range 1-5"),
        ("*/0 * * * *", "a step is 1 to 59", ""),
        (
            "* * * *",
            "has 4 of the five fields",
            "expected five fields, minute hour day month weekday",
        ),
        ("0 0 3 * * *", "has 6 of the five fields", "such as \"0 3 * * *\""),
        ("@dayly", "there is no schedule \"@dayly\"", "did you mean \"@daily\"?"),
        ("@reboot", "there is no schedule", "there are @yearly"),
        ("", "has 0 of the five fields", ""),
    ] {
        let error = Calendar::parse(cron, "UTC").unwrap_err();
        assert!(error.to_string().contains(message), "{cron}: {error}");
        assert!(error.help().contains(help), "{cron}: {}", error.help());
    }
}

#[test]
fn suggests_a_time_zone() {
    for (zone, meant) in [
        ("Europe/Londn", "Europe/London"),
        ("europe/london", "Europe/London"),
        ("london", "Europe/London"),
        ("utc", "UTC"),
    ] {
        let error = Calendar::parse("@daily", zone).unwrap_err();
        assert_eq!(error.to_string(), format!("there is no time zone \"{zone}\""));
        assert!(
            error.help().starts_with(&format!("did you mean \"{meant}\"?")),
            "{}",
            error.help()
        );
    }
    assert!(Calendar::parse("@daily", "Middle/Earth").is_err());
    assert!(Calendar::parse("@daily", "Etc/UTC").is_ok());
}

fn fields() -> impl Strategy<Value = String> {
    let minute = prop_oneof![
        "\\*",
        "\\*/[1-5]",
        "[0-9]",
        "[1-5][0-9]",
        "[0-9],[3-5][0-9]",
        "0-[1-5][0-9]/7"
    ];
    let hour = prop_oneof!["\\*", "\\*/[1-9]", "[0-3]", "1[0-9]", "[0-2],2[0-3]"];
    let day = prop_oneof!["\\*", "[1-9]", "[12][0-9]", "29-31"];
    let month = prop_oneof!["\\*", "[1-9]", "3,10,11"];
    let weekday = prop_oneof!["\\*", "[0-7]", "mon-fri"];
    (minute, hour, day, month, weekday).prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}"))
}

const ZONES: [&str; 5] = [
    "Europe/London",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "UTC",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn moments_only_ever_go_forward(fields in fields(), zone in prop::sample::select(&ZONES[..]), start in 0_i64..4_000_000_000) {
        let calendar = calendar(&fields, zone);
        let mut after = Timestamp::from_second(start).unwrap();
        for _ in 0..20 {
            let Some(due) = calendar.next_after(after) else { break };
            prop_assert!(due > after);
            prop_assert_eq!(calendar.next_after(due - CivilSpan::new().nanoseconds(1)), Some(due), "found again from just before");
            after = due;
        }
    }

    /// Over both changes of a year: the same reading of the clock is never due twice.
    #[test]
    fn no_reading_is_due_twice(fields in fields(), zone in prop::sample::select(&ZONES[..3]), year in 2020_i16..2036) {
        let calendar = calendar(&fields, zone);
        let start = jiff::civil::date(year, 1, 1).to_zoned(TimeZone::UTC).unwrap().timestamp();
        let day = jiff::SignedDuration::from_hours(26);
        for change in calendar.zone().get().following(start).take(2) {
            let due = calendar.occurrences(change.timestamp() - day, change.timestamp() + day, 4_000);
            let readings: Vec<_> = due.iter().map(|moment| calendar.zone().get().to_datetime(*moment)).collect();
            prop_assert!(readings.windows(2).all(|pair| pair[0] < pair[1]), "{} {}", fields, zone);
        }
    }

    #[test]
    fn no_text_makes_it_panic(cron in ".*", fields in "([0-9*/,a-z-]{0,6} ){4}[0-9*/,a-z-]{0,6}", zone in ".*") {
        let _ = Calendar::parse(&cron, "UTC");
        let _ = Calendar::parse("@daily", &zone);
        if let Ok(calendar) = Calendar::parse(&fields, "Europe/London") {
            let _ = calendar.next_after(Timestamp::UNIX_EPOCH);
        }
    }
}
