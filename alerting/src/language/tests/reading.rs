//! What is read, what is needed, and what people are shown.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::{Table, names, parse, read};
use crate::language::{Names, Needs, ParameterKind, Truth, functions};

#[test]
fn one_text_stands_for_all_spellings() {
    for (text, canonical) in [
        ("up(shop)", "up(shop)"),
        ("up('shop')", "up(shop)"),
        ("  not\n(up( \"shop\" ))", "not up(shop)"),
        ("up(\"404-page\")", "up(\"404-page\")"),
        ("1%<error_rate(shop,5m)", "error_rate(shop, 5m) > 1%"),
        ("error_rate(shop, 300s) >= 0.50%", "error_rate(shop, 5m) >= 0.5%"),
        (
            "error_rate(shop@staging, window = 90m) > 1%",
            "error_rate(shop@staging, 90m) > 1%",
        ),
        (
            "error_rate(window = 1h30m, service = shop) > 1%",
            "error_rate(shop, 90m) > 1%",
        ),
        (
            "share(shop, 10m, over = 0.3s) > 5%",
            "share(shop, over = 300ms, 10m) > 5%",
        ),
        ("p99.90(shop, 10m) <= 1500ms", "p99.9(shop, 10m) <= 1s500ms"),
        ("p50(shop, 10m) > 250µs", "p50(shop, 10m) > 250us"),
        ("requests(shop, 1d) >= 10_000", "requests(shop, 1d) >= 10000"),
        ("age(proved(nightly)) > 1.5d", "age(proved(nightly)) > 36h"),
        ("age( deployed( api ) ) < 3601s", "age(deployed(api)) < 1h1s"),
        (
            "(up(shop) or up(api)) or not (up(shop) and up(api))",
            "up(shop) or up(api) or not (up(shop) and up(api))",
        ),
        ("up(shop) and up(api) or up(shop)", "(up(shop) and up(api)) or up(shop)"),
        (
            "missing(shop, 10m) and expires(shop) < 14d",
            "missing(shop, 10m) and expires(shop) < 14d",
        ),
    ] {
        let expression = read(text);
        assert_eq!(expression.to_string(), canonical);
        assert_eq!(read(canonical), expression);
    }
}

#[test]
fn names_that_need_quotes_get_them() {
    let odd = ["and", "two words", "3scale", "say \"hi\"", "it's", "naïve", "a/b:c"];
    let names = Names {
        probes: BTreeSet::from(odd),
        ..Names::default()
    };
    for name in odd {
        let quoted = if name.contains('"') {
            format!("up('{name}')")
        } else {
            format!("up(\"{name}\")")
        };
        let expression = parse(&quoted, &names).unwrap();
        assert_eq!(
            parse(&expression.to_string(), &names).as_ref(),
            Ok(&expression),
            "{expression}"
        );
    }
}

#[test]
fn a_probe_comes_before_a_service_of_its_name() {
    let set = |name: &str| BTreeSet::from([name.to_owned()]);
    assert_eq!(
        read("up(shop)").needs(),
        Needs {
            probes: set("shop"),
            ..Needs::default()
        }
    );
    assert_eq!(
        read("up(api)").needs(),
        Needs {
            probed_services: set("api"),
            ..Needs::default()
        }
    );
    // The telemetry of a known service may come from any environment, its probes are configured.
    assert!(parse("missing(api@staging, 10m)", &names()).is_ok());
    assert!(parse("up(api@staging)", &names()).is_err());
}

#[test]
fn needs_name_what_is_counted() {
    let seconds = SignedDuration::from_secs;
    let text = "error_rate(shop, 5m) > 1% and requests(shop, 5m) >= 100 and requests(api, 1h) > 5 \
                or p95(shop, 10m) > 300ms or share(shop, over = 300ms, 10m) > 1% or not up(shop) or up(api) \
                or missing(api, 2h) or expires(mail.example) < 14d or age(proved(nightly)) > 26h or age(deployed(api)) < 1h";
    let set = |name: &str| BTreeSet::from([name.to_owned()]);
    let needs = Needs {
        windows: BTreeSet::from([("shop".to_owned(), seconds(300)), ("api".to_owned(), seconds(3600))]),
        over: BTreeSet::from([("shop".to_owned(), SignedDuration::from_millis(300), seconds(600))]),
        probes: BTreeSet::from(["shop".to_owned(), "mail.example".to_owned()]),
        probed_services: set("api"),
        heard_services: set("api"),
        deployed_services: set("api"),
        jobs: set("nightly"),
        max_window: seconds(7200),
    };
    assert_eq!(read(text).needs(), needs);

    let mut merged = read("up(shop)").needs();
    merged.merge(needs.clone());
    assert_eq!(merged, needs);
}

#[test]
fn every_leaf_is_explained() {
    let evidence = Table {
        up: BTreeMap::from([("shop", false), ("api", true)]),
        errors: BTreeMap::from([("shop", (23, 1000))]),
        requests: BTreeMap::from([("shop", 12_345)]),
        latencies: (1..=40).map(|number| number * 10_000_000).collect(),
        durations: BTreeMap::from([
            ("shop", SignedDuration::from_secs(605)),
            ("nightly", SignedDuration::from_hours(31)),
            ("mail.example", SignedDuration::from_hours(-50)),
        ]),
        ..Table::default()
    };
    let text = "not up(shop) or up(api) or error_rate(shop, 5m) > 1% or requests(shop, 5m) >= 100000 or p95(shop, 5m) > 370ms \
                or share(shop, over = 1s, 5m) > 5% or missing(shop, 10m) or age(proved(nightly)) > 26h \
                or age(deployed(api)) < 1h or expires(mail.example) < 14d or expires(shop) < 14d";
    let lines: Vec<String> = read(text)
        .explain(&evidence)
        .iter()
        .map(|leaf| {
            let why = leaf.reason_if_unknown.as_deref().unwrap_or("-");
            format!(
                "{} | {} | {} | {} | {why}",
                leaf.text, leaf.reading, leaf.limit, leaf.truth
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "up(shop) | fail |  | false | -",
            "up(api) | pass |  | true | -",
            "error_rate(shop, 5m) | 2.3 % (23 of 1,000) | > 1% | true | -",
            "requests(shop, 5m) | 12,345 | >= 100000 | false | -",
            "p95(shop, 5m) | 7.5 % (3 of 40) over 370ms, 5 % allowed | > 370ms | true | -",
            "share(shop, over = 1s, 5m) | 0 % (0 of 40) | > 5% | false | -",
            "missing(shop, 10m) | last heard 10m 5s ago |  | true | -",
            "age(proved(nightly)) | 1d 7h | > 26h | true | -",
            "age(deployed(api)) | unknown | < 1h | unknown | not in the table",
            "expires(mail.example) | 2d 2h ago | < 14d | true | -",
            "expires(shop) | 10m 5s | < 14d | true | -",
        ]
    );
}

#[test]
fn small_and_odd_shares_are_shown_with_three_digits() {
    for (part, whole, shown) in [
        (0, 7, "0 % (0 of 7)"),
        (7, 7, "100 % (7 of 7)"),
        (1, 3, "33.3 % (1 of 3)"),
        (2, 3, "66.7 % (2 of 3)"),
        (1, 8, "12.5 % (1 of 8)"),
        (1, 1_000_000, "0.0001 % (1 of 1,000,000)"),
        (12_346, 1_000_000, "1.23 % (12,346 of 1,000,000)"),
        (999_999, 1_000_000, "99.9 % (999,999 of 1,000,000)"),
    ] {
        let evidence = Table {
            errors: BTreeMap::from([("shop", (part, whole))]),
            ..Table::default()
        };
        assert_eq!(read("error_rate(shop, 5m) > 1%").explain(&evidence)[0].reading, shown);
    }
}

#[test]
fn durations_are_shown_in_two_units() {
    for (millis, shown) in [
        (0, "0s"),
        (250, "250ms"),
        (59_900, "59s"),
        (60_000, "1m"),
        (3_599_000, "59m 59s"),
        (3_600_000, "1h"),
        (90_000_000, "1d 1h"),
        (86_399_000, "23h 59m"),
    ] {
        let evidence = Table {
            durations: BTreeMap::from([("nightly", SignedDuration::from_millis(millis))]),
            ..Table::default()
        };
        assert_eq!(read("age(proved(nightly)) > 26h").explain(&evidence)[0].reading, shown);
    }
}

/// Documentation that does not parse would teach mistakes.
#[test]
fn every_function_has_an_example_that_uses_it() {
    for function in functions() {
        let name = function.name.replace("NN", "95");
        let expression = read(function.example);
        assert!(
            expression.to_string().contains(&format!("{name}(")),
            "{name}: {expression}"
        );
        assert!(function.signature().starts_with(function.name));
        assert!(
            !function.summary.is_empty() && !function.summary.ends_with('.'),
            "{name}"
        );
    }
    let named: Vec<&str> = functions().iter().map(|function| function.name).collect();
    assert_eq!(
        named.iter().collect::<BTreeSet<_>>().len(),
        named.len(),
        "a name twice in {named:?}"
    );
    let share = functions().iter().find(|function| function.name == "share").unwrap();
    assert_eq!(share.signature(), "share(service, over = latency, window)");
    assert_eq!(share.parameters[1].kind, ParameterKind::Latency);
}

#[test]
fn the_first_alert_of_the_design_reads() {
    for text in [
        "error_rate(shop, 5m) > 1% and requests(shop, 5m) >= 100",
        "error_rate(shop, 5m) < 0.5%",
        "not up(shop)",
        "age(proved(nightly)) > 26h",
    ] {
        assert_eq!(read(text).evaluate(&Table::default()), Truth::Unknown, "{text}");
    }
}
