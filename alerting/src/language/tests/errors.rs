//! Every mistake gets its place and the right word.

use super::{names, parse};
use crate::language::{ERRORS_MAX, NESTING_MAX, Names, TEXT_BYTES_MAX};

/// The text with its mistakes underlined, each with its message.
fn told(text: &str) -> String {
    told_of(text, &names())
}

fn told_of(text: &str, names: &Names<'_>) -> String {
    let Err(errors) = parse(text, names) else {
        return format!("{text}\nfine");
    };
    let lines = errors.iter().map(|error| {
        let indent = text.get(..error.at.start).unwrap().chars().count();
        let width = text.get(error.at.clone()).unwrap().chars().count().max(1);
        format!("{}{} {error}", " ".repeat(indent), "^".repeat(width))
    });
    std::iter::once(text.to_owned())
        .chain(lines)
        .collect::<Vec<_>>()
        .join("\n")
}

/// `errors.txt` holds mistakes, each with what is said about it.
#[test]
fn every_mistake_is_underlined_and_named() {
    let mistakes: Vec<&str> = include_str!("errors.txt").trim_end().split("\n\n").collect();
    assert!(mistakes.len() > 80, "the list was not read whole");
    let different: Vec<String> = mistakes
        .into_iter()
        .map(|expected| (expected, told(expected.lines().next().unwrap())))
        .filter(|(expected, told)| expected != told)
        .map(|(expected, told)| format!("expected\n{expected}\nfound\n{told}\n"))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn a_text_without_a_condition_is_refused() {
    for text in ["", "  ", "\n\t"] {
        let errors = parse(text, &names()).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].message, "the condition is empty");
        assert_eq!(errors[0].help.as_deref(), Some("write one such as `not up(shop)`"));
    }
}

#[test]
fn places_are_bytes_of_the_text_over_several_lines() {
    let text = "up(shop)\n  and \"é\" and up(shp)";
    let places: Vec<&str> = parse(text, &names())
        .unwrap_err()
        .iter()
        .map(|error| text.get(error.at.clone()).unwrap())
        .collect();
    assert_eq!(places, ["\"é\"", "shp"]);
}

#[test]
fn nothing_exists_in_an_empty_house() {
    let told = told_of("up(shop) or age(proved(nightly)) > 26h", &Names::default());
    assert!(
        told.contains("no probe or service `shop`; there is no probe yet; there is no service yet"),
        "{told}"
    );
    assert!(told.contains("no backup `nightly`; there is no backup yet"), "{told}");
}

#[test]
fn a_long_list_of_names_is_cut() {
    let many: Vec<String> = (10..40).map(|number| format!("service-{number}")).collect();
    let names = Names {
        services: many.iter().map(String::as_str).collect(),
        ..Names::default()
    };
    let told = told_of("requests(zebra, 5m) > 1", &names);
    assert!(told.contains("the services are `service-10`, `service-11`"), "{told}");
    assert!(told.contains("`service-15` and 24 more"), "{told}");
}

#[test]
fn a_text_that_is_too_long_is_refused_and_one_at_the_limit_is_read() {
    let padded = |bytes: usize| format!("up(shop){}", " ".repeat(bytes - "up(shop)".len()));
    assert!(parse(&padded(TEXT_BYTES_MAX), &names()).is_ok());
    let errors = parse(&padded(TEXT_BYTES_MAX + 1), &names()).unwrap_err();
    assert_eq!(errors[0].message, "the condition has 4097 bytes, at most 4096 are read");
}

#[test]
fn nesting_is_limited_and_told_once() {
    let nested = |depth: usize| format!("{}up(shop){}", "(".repeat(depth), ")".repeat(depth));
    // The call's argument is one level more.
    assert!(parse(&nested(NESTING_MAX - 1), &names()).is_ok());
    for text in [
        nested(NESTING_MAX),
        nested(2000),
        "(".repeat(4096),
        "not ".repeat(1000),
        "up(".repeat(1000),
    ] {
        let errors = parse(&text, &names()).unwrap_err();
        let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
        assert_eq!(messages, ["nested deeper than 64"]);
    }
}

#[test]
fn the_number_of_errors_is_limited() {
    assert_eq!(
        parse(&"up(shp) or ".repeat(300), &names()).unwrap_err().len(),
        ERRORS_MAX
    );
    assert_eq!(parse(&")".repeat(4096), &names()).unwrap_err().len(), ERRORS_MAX);
}
