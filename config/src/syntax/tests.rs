use crate::mistake::Mistakes;
use crate::{Source, load_partial};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
struct Settings {
    #[serde(default)]
    probe: BTreeMap<String, Probe>,
}

#[derive(Debug, Deserialize)]
struct Probe {
    every: String,
    #[serde(default)]
    notify: Vec<String>,
    extra: Option<u8>,
}

/// What is told, and the probes that could be read.
fn read(text: &str) -> (Vec<String>, Option<Vec<String>>) {
    let source = Source::new("x", text);
    let (settings, mistakes) = load_partial::<Settings>(&source);
    let mistakes = Mistakes::new(&source, mistakes);
    let lines = mistakes
        .to_string()
        .lines()
        .skip(1)
        .map(|line| line.trim_start_matches("x:").to_owned())
        .collect();
    let probes = settings.map(|settings| {
        settings
            .probe
            .into_iter()
            .map(|(name, probe)| format!("{name} {} {:?} {:?}", probe.every, probe.notify, probe.extra))
            .collect()
    });
    (lines, probes)
}

fn told(text: &str) -> Vec<String> {
    read(text).0
}

#[test]
fn a_bad_value_costs_no_more_than_itself() {
    let (told, probes) = read("[probe.a]\nevery = 15s\nextra = 300\n[probe.b]\nevery = \"1\nextra = yes\n");
    assert_eq!(
        told,
        [
            "2:9: text must be in quotes (write \"15s\")",
            "3:9: `extra`: expected a whole number from 0 to 255, found the number 300",
            "5:11: this text has no closing quote",
            "6:9: text must be in quotes (write \"yes\")",
        ]
    );
    assert_eq!(probes.unwrap(), ["a 15s [] None", "b 1 [] None"]);
}

#[test]
fn a_bad_line_costs_no_more_than_itself() {
    let (told, probes) =
        read("[probe.a]\nevery \"15s\"\nextra = 300\n[probe.b]\nevery: 15\nüber = 1\n[probe.c]\nevery =\n");
    assert_eq!(
        told,
        [
            "2:7: expected `=` behind the key (write `key = value`)",
            "3:9: `extra`: expected a whole number from 0 to 255, found the number 300",
            "5:6: expected `=` behind the key (TOML writes `key = value`, not `key: value`)",
            "6:1: a key without quotes has only letters, digits, `-` and `_` (put the key in quotes)",
            "8:8: there is no value behind the `=` (add one, or leave out the line)",
        ]
    );
    assert_eq!(probes.unwrap().len(), 3);
}

#[test]
fn a_missing_bracket_is_told_where_it_opened() {
    let rest = "\nextra = 300\n[probe.b]\nevery = \"x\"\nextra = 301\n";
    let tail = [
        "3:9: `extra`: expected a whole number from 0 to 255, found the number 300",
        "6:9: `extra`: expected a whole number from 0 to 255, found the number 301",
    ];
    for (line, head) in [
        ("notify = [\"a\", \"b\"", "2:10: this list has no closing `]`"),
        ("notify = [", "2:10: this list has no closing `]`"),
        ("notify = {a = 1", "2:10: this table has no closing `}`"),
        ("notify = [{a = 1", "2:10: this list has no closing `]`"),
    ] {
        let told = told(&format!("[probe.a]\n{line}{rest}"));
        assert!(told[0].starts_with(head), "{line}: {told:#?}");
        assert_eq!(told[1..], tail, "{line}");
    }
}

#[test]
fn a_mistake_within_a_long_list_is_told_there() {
    let told = told("[probe.a]\nevery = \"1\"\nnotify = [\n  \"a\"\n  \"b\",\n]\nextra = 300\n");
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].ends_with("a comma is missing here"), "{told:#?}");
    assert!(told[1].starts_with("7:9: `extra`"));
}

#[test]
fn a_bad_header_costs_its_section() {
    let (told, probes) = read("[probe.a\nevery = 1\nunknown = 2\n[probe.b]\nevery = 3\n");
    assert_eq!(
        told,
        [
            "1:9: this section header has no closing bracket (write `[name]`, or `[[name]]` for a list)",
            "5:9: `every`: expected text in quotes, found the number 3",
        ]
    );
    assert!(
        probes.is_none(),
        "what refers to the lost section is not to be told off"
    );
    assert!(told_starts(
        "[]\n[probe.b]\nevery = 3\n",
        &["1:2: there is no key here", "3:9:"]
    ));
}

fn told_starts(text: &str, starts: &[&str]) -> bool {
    let told = told(text);
    told.len() == starts.len() && told.iter().zip(starts).all(|(line, start)| line.starts_with(start))
}

#[test]
fn what_is_there_twice_says_where_it_was_first() {
    let (told, probes) =
        read("[probe.a]\nevery = \"1\"\nevery = \"2\"\n\n[probe.b]\nevery = \"1\"\n[probe.a]\nextra = 300\n");
    assert_eq!(
        told,
        [
            "3:1: `every` is given twice (it is there already, on line 2: leave out one of the two)",
            "7:8: `a` is given twice (it is there already, on line 1: leave out one of the two)",
            "8:9: `extra`: expected a whole number from 0 to 255, found the number 300",
        ]
    );
    assert_eq!(probes.unwrap(), ["a 1 [] None", "b 1 [] None"]);
}

#[test]
fn a_text_without_end_is_told_where_it_began() {
    let (told, probes) = read("[probe.a]\nevery = \"\"\"\nfoo\n[probe.b]\nextra = 300\n");
    assert_eq!(
        told,
        ["2:9: this text has no closing quotes (a text over several lines ends with three quotes, as it began)"]
    );
    assert!(probes.is_none());
}
