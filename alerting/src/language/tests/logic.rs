//! Three values, and what conditions ask.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::SignedDuration;

use super::{Table, read, unknown};
use crate::language::{
    Truth::{self, False, True, Unknown as Open},
    Unknown,
};

#[test]
fn the_tables_of_kleene() {
    let rows = [
        (True, True, True, True),
        (True, False, False, True),
        (True, Open, Open, True),
        (False, True, False, True),
        (False, False, False, False),
        (False, Open, False, Open),
        (Open, True, Open, True),
        (Open, False, False, Open),
        (Open, Open, Open, Open),
    ];
    for (left, right, both, either) in rows {
        assert_eq!(left.and(right), both, "{left} and {right}");
        assert_eq!(left.or(right), either, "{left} or {right}");
    }
    assert_eq!([!True, !False, !Open], [False, True, Open]);
}

fn says(text: &str, evidence: &Table) -> Truth {
    read(text).evaluate(evidence)
}

#[test]
fn words_bind_as_expected() {
    let evidence = Table {
        up: BTreeMap::from([("shop", true), ("api", false)]),
        ..Table::default()
    };
    for (text, expected) in [
        ("up(shop)", True),
        ("not up(shop)", False),
        ("not not up(shop)", True),
        ("up(mail.example)", Open),
        ("not up(mail.example)", Open),
        ("up(shop) or up(api) and up(api)", True),
        ("(up(shop) or up(api)) and up(api)", False),
        ("not up(api) and up(shop)", True),
        ("not (up(api) and up(shop))", True),
        ("up(mail.example) and up(api)", False),
        ("up(mail.example) or up(shop)", True),
        ("up(mail.example) or up(api)", Open),
        ("not requests(shop, 5m) > 1 or up(shop)", True),
    ] {
        assert_eq!(says(text, &evidence), expected, "{text}");
    }
}

#[test]
fn what_is_decided_asks_no_further() {
    let evidence = Table {
        up: BTreeMap::from([("shop", true), ("api", false)]),
        ..Table::default()
    };
    says("up(shop) or up(api)", &evidence);
    says("up(api) and up(shop)", &evidence);
    assert_eq!(*evidence.asked.borrow(), ["up shop", "up api"]);
}

#[test]
fn a_share_is_compared_exactly() {
    // 1 of 100 is 1 %; one more or less in 10^18 is not.
    let whole = 1_000_000_000_000_000_000;
    for (part, above, at_least, equal) in [
        (whole / 100, False, True, True),
        (whole / 100 + 1, True, True, False),
        (whole / 100 - 1, False, False, False),
    ] {
        let evidence = Table {
            errors: BTreeMap::from([("shop", (part, whole))]),
            ..Table::default()
        };
        assert_eq!(says("error_rate(shop, 5m) > 1%", &evidence), above);
        assert_eq!(says("error_rate(shop, 5m) >= 1%", &evidence), at_least);
        assert_eq!(says("error_rate(shop, 5m) == 1%", &evidence), equal);
        assert_eq!(says("error_rate(shop, 5m) <= 1%", &evidence), !above);
        assert_eq!(says("error_rate(shop, 5m) < 1%", &evidence), !at_least);
        assert_eq!(says("error_rate(shop, 5m) != 1%", &evidence), !equal);
        assert_eq!(says("1% < error_rate(shop, 5m)", &evidence), above);
        assert_eq!(says("1% <= error_rate(shop, 5m)", &evidence), at_least);
        assert_eq!(says("1% == error_rate(shop, 5m)", &evidence), equal);
        assert_eq!(says("1% >= error_rate(shop, 5m)", &evidence), !above);
        assert_eq!(says("1% > error_rate(shop, 5m)", &evidence), !at_least);
        assert_eq!(says("1% != error_rate(shop, 5m)", &evidence), !equal);
    }
}

#[test]
fn extreme_counts_do_not_overflow() {
    let evidence = Table {
        errors: BTreeMap::from([("shop", (u64::MAX, u64::MAX))]),
        ..Table::default()
    };
    assert_eq!(says("error_rate(shop, 5m) == 100%", &evidence), True);
    assert_eq!(says("error_rate(shop, 5m) > 99.9999999%", &evidence), True);
    assert_eq!(
        read("error_rate(shop, 5m) > 1%").explain(&evidence)[0]
            .reading
            .split(' ')
            .next(),
        Some("100")
    );
}

#[test]
fn a_share_of_nothing_is_unknown_and_a_count_of_nothing_is_not() {
    let evidence = Table {
        errors: BTreeMap::from([("shop", (0, 0))]),
        requests: BTreeMap::from([("shop", 0)]),
        ..Table::default()
    };
    for text in [
        "error_rate(shop, 5m) > 1%",
        "error_rate(shop, 5m) < 1%",
        "share(shop, over = 1s, 5m) < 1%",
        "p95(shop, 5m) < 1s",
    ] {
        assert_eq!(says(text, &evidence), Open, "{text}");
        assert_eq!(
            read(text).explain(&evidence)[0].reason_if_unknown.as_deref(),
            Some("no requests"),
            "{text}"
        );
    }
    assert_eq!(says("requests(shop, 5m) == 0", &evidence), True);
    assert_eq!(says("requests(shop, 5m) >= 1", &evidence), False);
}

#[test]
fn silence_ages_and_certificates() {
    let hours = SignedDuration::from_hours;
    let durations = [
        ("shop", SignedDuration::from_mins(10)),
        ("nightly", hours(26)),
        ("api", hours(1)),
        ("mail.example", hours(-1)),
    ];
    let evidence = Table {
        durations: BTreeMap::from(durations),
        ..Table::default()
    };
    for (text, expected) in [
        ("missing(shop, 10m)", True),
        ("missing(shop, 601s)", False),
        ("missing(pay@staging, 10m)", Open),
        ("age(proved(nightly)) > 26h", False),
        ("age(proved(nightly)) >= 26h", True),
        ("age(proved(weekly)) > 26h", Open),
        ("age(deployed(api)) < 2h", True),
        ("expires(mail.example) < 0s", True),
        ("14d > expires(mail.example)", True),
        ("expires(mail.example) >= 0s", False),
        ("expires(\"404-page\") < 14d", Open),
    ] {
        assert_eq!(says(text, &evidence), expected, "{text}");
    }
}

#[test]
fn a_fixed_reason_costs_no_allocation() {
    let Err(Unknown(reason)) = unknown::<u64>("watched less than half of the window") else {
        panic!("known")
    };
    assert!(matches!(reason, Cow::Borrowed(_)));
}
