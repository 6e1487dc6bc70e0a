//! The rules of the house that no lint can check: who may know whom, what is pure, how long a file may be, what must be current.
#![expect(
    clippy::panic,
    clippy::string_slice,
    reason = "a tidy test fails by panicking, and its helpers stand outside of test functions"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::tools;

/// Which crates each crate may use (ARCHITECTURE.md draws it). A new edge is a decision: write it down, then add it here.
const EDGES: &[(&str, &[&str])] = &[
    ("events", &[]),
    ("config", &[]),
    ("outbound", &["config", "events"]),
    ("collectors", &["config", "events", "outbound"]),
    ("alerting", &["config", "events", "outbound"]),
    ("recovery", &["config", "events", "outbound"]),
    ("backup", &["config", "events", "outbound"]),
    ("store", &["config", "events"]),
    ("web", &["config", "events", "store"]),
    (
        "daemon",
        &[
            "alerting",
            "backup",
            "collectors",
            "config",
            "events",
            "outbound",
            "recovery",
            "store",
            "web",
        ],
    ),
    (
        "tests",
        &[
            "alerting",
            "backup",
            "collectors",
            "config",
            "daemon",
            "events",
            "outbound",
            "recovery",
            "store",
            "web",
        ],
    ),
];

/// Files and folders that decide: no IO, no clock, no randomness, one order.
const PURE: &[&str] = &[
    "events/src",
    "alerting/src/language",
    "alerting/src/phase",
    "alerting/src/rules",
    "alerting/src/windows",
    "alerting/src/reactor",
    "alerting/src/notifier",
    "alerting/src/message",
    "alerting/src/paging",
    "recovery/src/guard",
    "backup/src/retention",
];

/// What pure code must not name.
const IMPURE: &[&str] = &[
    "tokio",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "SystemTime",
    "Instant",
    "HashMap",
    "HashSet",
    "rand",
    "fastrand",
    "getrandom",
    "new_v4",
    "now_v7",
    "Timestamp::now",
    "Zoned::now",
    "TimeZone::get",
    "TimeZone::system",
    "RandomState",
    "sqlx",
    "reqwest",
    "tracing",
];

/// Where what is stored is spelled out: whole numbers only, so that every machine writes the same bytes.
const NO_FLOATS: &[&str] = &[
    "events/src/fact",
    "events/src/fact.rs",
    "events/src/views",
    "events/src/views.rs",
    "events/src/moment.rs",
];

/// Lines of code in a file, comments and blank lines left out; tests in the file's own test module do not count.
const LINES_MAX: usize = 400;
/// The same for a file of tests.
const TEST_LINES_MAX: usize = 800;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// Every file that belongs to the tree: known to git or new, and not ignored.
fn tree() -> Vec<PathBuf> {
    let root = tools::root();
    let mut git = Command::new("git");
    git.current_dir(&root)
        .args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let listed = tools::run(&mut git);
    listed
        .lines()
        .map(PathBuf::from)
        .filter(|path| root.join(path).is_file())
        .collect()
}

fn sources() -> Vec<PathBuf> {
    tree()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect()
}

fn is_test_file(path: &Path) -> bool {
    path.starts_with("tests")
        || path
            .components()
            .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "benches")
        || path
            .file_name()
            .is_some_and(|name| name == "tests.rs" || name == "selftest.rs")
}

/// The text with comments and the insides of strings taken out; the lines stay where they were.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, mark) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), "")
        } else if rest.starts_with("/*") {
            (rest.find("*/").map_or(rest.len(), |end| end + 2), "")
        } else if let Some(length) = raw_string(rest)
            .or_else(|| plain_string(rest))
            .or_else(|| character(rest))
        {
            (length, "\"")
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        // A string leaves a mark on each of its lines, so that they count as code; a comment leaves none.
        out.push_str(mark);
        for _ in rest[..length].matches('\n') {
            out.push('\n');
            out.push_str(mark);
        }
        rest = &rest[length..];
    }
    out
}

fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let closing = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&closing)?;
    Some(text.len() - body.len() + end + closing.len())
}

fn plain_string(text: &str) -> Option<usize> {
    let body = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = body.find(|char: char| {
        let closes = char == '"' && !escaped;
        escaped = char == '\\' && !escaped;
        closes
    })?;
    Some(end + 2)
}

/// A character in quotes, not a lifetime.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    if body.starts_with('\\') {
        return body[2..].find('\'').map(|end| end + 4);
    }
    let first = body.chars().next()?;
    body[first.len_utf8()..]
        .starts_with('\'')
        .then_some(first.len_utf8() + 2)
}

/// The code without the test modules written inside of it.
fn without_test_modules(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let after = &rest[at..];
        let (brace, semicolon) = (after.find('{'), after.find(';'));
        let end = match (brace, semicolon) {
            (Some(brace), semicolon) if semicolon.is_none_or(|semicolon| brace < semicolon) => block_end(after, brace),
            (_, Some(semicolon)) => semicolon + 1,
            _ => after.len(),
        };
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

fn block_end(text: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, char) in text[open..].char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 1 => return open + at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether `word` stands in `line` as a whole word.
fn names(line: &str, word: &str) -> bool {
    let part = |char: char| char.is_alphanumeric() || char == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(part) && !line[at + word.len()..].chars().next().is_some_and(part)
    })
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn crates_know_only_whom_they_may_know() {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(tools::root()).args([
        "metadata",
        "--offline",
        "--locked",
        "--no-deps",
        "--format-version",
        "1",
    ]);
    let metadata: serde_json::Value = serde_json::from_str(&tools::run(&mut cargo)).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .collect();
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    assert_eq!(
        ours,
        allowed.keys().copied().collect(),
        "a new crate needs its line in EDGES"
    );
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let other = dependency["name"].as_str().unwrap();
            if ours.contains(other) && !allowed[name].contains(&other) {
                wrong.push(format!("{name} -> {other}"));
            }
        }
    }
    none("crates that may not know each other", &wrong);
}

#[test]
fn what_decides_is_pure() {
    let root = tools::root();
    let mut wrong = Vec::new();
    for place in PURE {
        let is_there = root.join(place).is_dir() || root.join(format!("{place}.rs")).is_file();
        assert!(
            is_there,
            "{place} is listed as pure and does not exist: say where it went"
        );
    }
    let pure = |path: &Path| {
        PURE.iter()
            .any(|place| path.starts_with(place) || path.with_extension("") == Path::new(place))
    };
    for path in sources().iter().filter(|path| pure(path) && !is_test_file(path)) {
        let text = without_test_modules(&code(&read(&root.join(path))));
        for (number, line) in text.lines().enumerate() {
            wrong.extend(
                IMPURE
                    .iter()
                    .filter(|word| names(line, word))
                    .map(|word| format!("{}:{} {word}", path.display(), number + 1)),
            );
        }
    }
    none("pure code names what is not pure", &wrong);
}

#[test]
fn nothing_stored_is_a_float() {
    let root = tools::root();
    let mut wrong = Vec::new();
    for path in sources()
        .iter()
        .filter(|path| NO_FLOATS.iter().any(|place| path.starts_with(place)) && !is_test_file(path))
    {
        let text = without_test_modules(&code(&read(&root.join(path))));
        let floats = text
            .lines()
            .enumerate()
            .filter(|(_, line)| names(line, "f64") || names(line, "f32"));
        wrong.extend(floats.map(|(number, _)| format!("{}:{}", path.display(), number + 1)));
    }
    none("floats in facts or views", &wrong);
}

#[test]
fn files_are_short() {
    let root = tools::root();
    let mut wrong = Vec::new();
    for path in sources() {
        let (text, limit) = match (code(&read(&root.join(&path))), is_test_file(&path)) {
            (text, true) => (text, TEST_LINES_MAX),
            (text, false) => (without_test_modules(&text), LINES_MAX),
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        if lines > limit {
            wrong.push(format!("{}: {lines} lines of code, at most {limit}", path.display()));
        }
    }
    none("files with more than one job", &wrong);
}

#[test]
fn the_tree_names_no_machine_and_no_registry_host() {
    // Put together here, so that this file does not find itself.
    let hosts = [
        "index.crates",
        "static.crates",
        "registry.npmjs",
        "registry.yarnpkg",
        "files.pythonhosted",
        "deb.debian",
    ];
    let mut banned: Vec<String> = hosts.iter().map(|host| format!("{host}.")).collect();
    banned.extend(
        ["ro", "wo"]
            .iter()
            .zip(["ot", "rk"])
            .map(|(one, two)| format!("/{one}{two}/")),
    );
    banned.push(["..", "/shared"].concat());
    banned.push(["/home", "/"].concat());
    let root = tools::root();
    let mut wrong = Vec::new();
    for path in tree() {
        let Ok(text) = String::from_utf8(std::fs::read(root.join(&path)).unwrap()) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            let found = banned.iter().filter(|word| starts_a_path(line, word));
            wrong.extend(found.map(|word| format!("{}:{} {word}", path.display(), number + 1)));
        }
    }
    none("places that exist only where this was written", &wrong);
}

/// Whether `word` occurs where a path or a host begins, not as the middle of a longer one such as `docs/work/`.
fn starts_a_path(line: &str, word: &str) -> bool {
    let inner = |char: char| char.is_alphanumeric() || matches!(char, '_' | '-' | '}' | '.');
    line.match_indices(word)
        .any(|(at, _)| !(word.starts_with('/') && line[..at].chars().next_back().is_some_and(inner)))
}

#[test]
fn every_kind_has_an_example() {
    let root = tools::root();
    let examples: Vec<PathBuf> = tree()
        .into_iter()
        .filter(|path| path.starts_with("config/examples"))
        .collect();
    assert!(!examples.is_empty(), "config/examples is empty");
    let lines: Vec<String> = examples
        .iter()
        .flat_map(|path| {
            read(&root.join(path))
                .lines()
                .map(ToOwned::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    let mut kinds = Vec::new();
    for path in sources().iter().filter(|path| !is_test_file(path)) {
        let text = read(&root.join(path));
        let shape = without_comments(&text);
        kinds.extend(
            kinds_in(&shape)
                .into_iter()
                .map(|kind| (path.display().to_string(), kind)),
        );
    }
    assert!(!kinds.is_empty(), "no `kinds!` list was found");
    let shown = |kind: &str| lines.iter().any(|line| names(line, kind) && line.contains('='));
    let missing: Vec<String> = kinds
        .iter()
        .filter(|(_, kind)| !shown(kind))
        .map(|(path, kind)| format!("{kind} ({path})"))
        .collect();
    none("kinds without an example in config/examples", &missing);
}

fn without_comments(text: &str) -> String {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The keys in the `kinds!` lists of a source file: `Variant = "key": Type`.
fn kinds_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("kinds! {") {
        let list = &text[at..at + block_end(&text[at..], "kinds! ".len())];
        let keys = list
            .lines()
            .filter_map(|line| line.split_once("= \"")?.1.split_once("\":"))
            .map(|(key, _)| key.to_owned());
        found.extend(keys);
    }
    found
}

#[test]
fn every_kind_of_fact_has_a_golden_file() {
    let folder = tools::root().join("events/golden");
    let files: Vec<String> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("read {}: {error}", folder.display()))
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    let has = |kind: &str| files.iter().any(|file| file.split(['.', '-']).next() == Some(kind));
    let missing: Vec<String> = events::Fact::KINDS
        .iter()
        .filter(|kind| !has(kind))
        .map(ToString::to_string)
        .collect();
    none("kinds of fact without a file in events/golden", &missing);
}

#[test]
fn the_map_is_short() {
    let lines = read(&tools::root().join("ARCHITECTURE.md")).lines().count();
    assert!(lines <= 200, "ARCHITECTURE.md has {lines} lines; a map has at most 200");
}

#[test]
fn the_tidy_tests_see_what_they_look_for() {
    let text = "fn f() { // HashMap\n let s = \"HashMap\"; let c = '\\''; let h: HashMap<'a, u8>;\n}\n#[cfg(test)]\nmod tests { use x; fn g() {} }\n";
    let clean = without_test_modules(&code(text));
    let hits: Vec<usize> = clean
        .lines()
        .enumerate()
        .filter(|(_, line)| names(line, "HashMap"))
        .map(|(at, _)| at)
        .collect();
    assert_eq!(hits, [1]);
    assert!(!clean.contains("mod tests"));
    assert!(names("std::fs::read", "std::fs") && !names("my_rand::x", "rand"));
    assert_eq!(code("a /* b\n c */ d r#\"x\ny\"# e").lines().count(), 3);
    assert_eq!(
        kinds_in("config::kinds! {\n enum A: dyn B {\n  Http = \"http\": http::Http,\n  Tcp = \"tcp\": Tcp,\n }\n}"),
        ["http", "tcp"]
    );
    let path = ["/ro", "ot/x"].concat();
    assert!(starts_a_path(&format!("at {path}"), &path[..6]) && !starts_a_path(&format!("docs{path}"), &path[..6]));
}

#[test]
fn the_schema_is_current() {
    let committed = read(&tools::root().join("config/schema.json"));
    assert_eq!(
        committed,
        daemon::schema(),
        "write config/schema.json again, from `daemon::schema()`"
    );
}
