//! Answers in, pages out, to the letter: `golden/NAME.txt`. A page that changed on purpose: remove its file and run the
//! test twice.

#![expect(clippy::needless_pass_by_value, reason = "samples are made to be handed over")]

mod alerting;
mod samples;
mod telemetry;
mod untold;

use std::path::Path;

use super::*;
use crate::command::{page::Look, text::width};

/// Compares a page with its golden file, and checks what holds for every page.
fn check(name: &str, page: &str) {
    for line in page.lines() {
        assert!(width(line) <= 80, "{name}: {} columns: {line}", width(line));
        assert_eq!(line.trim_end(), line, "{name}: blanks at the end");
    }
    let harmless = |c: char| c == '\n' || !c.is_control();
    assert!(page.chars().all(harmless), "{name}: {page:?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/command/show/golden")
        .join(format!("{name}.txt"));
    let Ok(expected) = std::fs::read_to_string(&path) else {
        std::fs::write(&path, page).unwrap();
        panic!("{name}: there was no golden file; look at the one that was written, then run this again:\n{page}");
    };
    assert_eq!(page, expected, "{name}\n--- now\n{page}\n--- golden\n{expected}");
}

/// The same page in colour has the same words.
fn same_in_colour(plain: &str, colour: &str) {
    let mut without = String::new();
    let mut rest = colour;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        without.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    without.push_str(rest);
    assert_ne!(plain, colour);
    assert_eq!(plain, without);
}

const PLAIN: Look = Look {
    width: 80,
    colour: false,
};
const COLOUR: Look = Look {
    width: 80,
    colour: true,
};
