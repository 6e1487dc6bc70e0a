//! The formats that outlive a version: every fact ever written still reads, and is written as it was.
//!
//! `events/golden/<kind>.json` holds a fact of that kind with every optional field; `<kind>-2.json` and so on hold what
//! differs. A file that was released is never edited, as journals like it exist. For a new kind, variant or optional
//! field add a file: write it by hand, run the test, and take over the text that it prints.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{collections::BTreeMap, fs, path::PathBuf};

use events::{Envelope, Fact, Job, Seq, encode};
use serde_json::{Value, json};

fn golden(folder: &str) -> BTreeMap<String, String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn kind_of(name: &str) -> &str {
    name.split('-').next().unwrap()
}

fn read(text: &str) -> Envelope {
    encode::envelope(Seq(1), text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

#[test]
fn every_golden_fact_reads_as_its_kind_and_is_written_as_it_was() {
    let mut differing = String::new();
    for (name, text) in golden("golden") {
        let envelope = read(&text);
        assert_eq!(envelope.fact.kind(), kind_of(&name), "{name} reads as another kind");
        if pretty(&envelope) != text {
            differing += &format!("{name} is not written as it was, but as:\n{}", pretty(&envelope));
        }
    }
    assert!(differing.is_empty(), "{differing}");
}

#[test]
fn every_kind_has_a_golden_fact_with_a_complete_envelope() {
    let files = golden("golden");
    for kind in Fact::KINDS {
        let text = files
            .get(*kind)
            .unwrap_or_else(|| panic!("kind {kind} needs a file events/golden/{kind}.json"));
        let read = read(text);
        let complete = read.key.is_some() && read.service.is_some() && read.release.is_some() && read.trace.is_some();
        assert!(complete, "{kind}.json must fill every field of the envelope");
    }
    let stray: Vec<_> = files
        .keys()
        .filter(|name| !Fact::KINDS.contains(&kind_of(name)))
        .collect();
    assert!(stray.is_empty(), "no kind of a fact: {stray:?}");
}

#[test]
fn a_kind_of_a_newer_version_reads_as_unknown_and_keeps_its_envelope() {
    for (name, text) in golden("golden") {
        let mut value: Value = serde_json::from_str(&text).unwrap();
        value["kind"] = json!("kind_of_next_year");
        value["added_next_year"] = json!({ "deep": [1, null, "x"] });
        let known = Envelope {
            fact: Fact::Unknown,
            ..read(&text)
        };
        assert_eq!(read(&value.to_string()), known, "{name}");
    }
}

#[test]
fn a_field_of_a_newer_version_is_passed_over() {
    for (name, text) in golden("golden") {
        let mut value: Value = serde_json::from_str(&text).unwrap();
        add_a_field_everywhere(&mut value);
        assert_eq!(read(&value.to_string()), read(&text), "{name}");
    }
}

fn add_a_field_everywhere(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(add_a_field_everywhere);
            fields.insert("added_next_year".to_owned(), json!([{ "x": 1 }]));
        }
        Value::Array(items) => items.iter_mut().for_each(add_a_field_everywhere),
        _ => {}
    }
}

/// Where a word of a closed list stands, and what an unknown one there reads as.
const WORDS: &[(&str, &str, &str)] = &[
    ("reactor_failed", "/stage", "other"),
    ("probe_changed", "/from", "unknown"),
    ("probe_changed", "/look/status", "unknown"),
    ("probe_changed", "/look/reason", "other"),
    ("probe_changed", "/first/status", "unknown"),
    ("probe_changed", "/first/reason", "other"),
    ("network_changed", "/to", "other"),
    ("deployment_recorded", "/migrations", "other"),
    ("alert_phase", "/from", "other"),
    ("alert_phase", "/to", "other"),
    ("alert_phase", "/why", "other"),
    ("alert_phase", "/terms/severity", "other"),
    ("notified", "/severity", "other"),
    ("notified", "/about", "other"),
    ("job_ended", "/ending", "other"),
    ("backup_due", "/task", "other"),
    ("backup_requested", "/task", "other"),
    ("backup_failed", "/stage", "other"),
    ("action_proposed", "/mode", "other"),
    ("act_finished", "/end/ended", "other"),
    ("action_concluded", "/result", "other"),
    ("action_concluded", "/end/ended", "other"),
];

#[test]
fn a_word_of_a_newer_version_reads_as_other() {
    let files = golden("golden");
    for (name, pointer, expected) in WORDS {
        let mut value: Value = serde_json::from_str(&files[*name]).unwrap();
        *value.pointer_mut(pointer).unwrap() = json!("word_of_next_year");
        let written = serde_json::to_value(read(&value.to_string())).unwrap();
        assert_eq!(written.pointer(pointer), Some(&json!(expected)), "{name} at {pointer}");
    }
}

/// Fields that hold names, texts or digests: any word may stand there.
const FREE: &[&str] = &[
    "kind",
    "stream",
    "source",
    "by",
    "note",
    "reason",
    "action",
    "backup",
    "destination",
    "heartbeat",
    "reactor",
    "rule",
    "service",
    "limit",
    "task",
    "probe",
    "repository",
    "output",
    "digest",
    "snapshot",
    "rule_digest",
];

#[test]
fn every_word_of_a_closed_list_is_in_that_table() {
    let known = |kind: &str, pointer: &str| WORDS.iter().any(|(name, at, _)| *name == kind && *at == pointer);
    for (name, text) in golden("golden") {
        let mut found = Vec::new();
        words(&serde_json::from_str(&text).unwrap(), String::new(), &mut found);
        for pointer in found {
            let free = FREE.contains(&pointer.rsplit('/').next().unwrap());
            assert!(
                free || known(kind_of(&name), &pointer),
                "{name} at {pointer} is not in WORDS"
            );
        }
    }
}

/// Texts of one lower-case word: all that a closed list can hold.
fn words(value: &Value, pointer: String, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                words(value, format!("{pointer}/{key}"), into);
            }
        }
        Value::String(text) if text.chars().all(|c| c.is_ascii_lowercase() || "_-".contains(c)) => into.push(pointer),
        _ => {}
    }
}

#[test]
fn what_is_no_envelope_is_refused() {
    let no_kind = r#"{"stream":"a","source":"b"}"#;
    let bad_name = r#"{"stream":"a b","source":"b","kind":"tick"}"#;
    for text in ["", "{}", "[]", "7", no_kind, bad_name] {
        assert!(encode::envelope(Seq(1), text).is_err(), "{text:?} was read");
    }
}

#[test]
fn every_golden_job_reads_and_is_written_as_it_was() {
    let files = golden("golden/jobs");
    assert_eq!(files.keys().collect::<Vec<_>>(), ["act", "backup", "message"]);
    for (name, text) in files {
        let job: Job = serde_json::from_str(&text).unwrap();
        let work = serde_json::to_value(&job.work).unwrap();
        assert_eq!(work["work"], kind_of(&name), "{name} reads as other work");
        assert!(
            pretty(&job) == text,
            "{name} is not written as it was, but as:\n{}",
            pretty(&job)
        );
    }
}
