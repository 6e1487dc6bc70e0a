//! A configuration with ten mistakes: each is named with its line, a caret and the right word.

use std::path::Path;

use harness::daemon;

/// The five of `research/peers.md` §1 first, then rules and references to what does not exist.
const TEN: &str = r#"
[notify.email]
via.email = { to = ["me@shop.example"], from = "watchkeep@shop.example", smtp = { env = "SMTP_URL" } }

[probe.shop]
evry = "30s"
check.http = { url = "htp://shop.example/health" }
notify = ["emial"]

[probe.cart]
every = "30 seconds"
second_look = "three"
check.http = { url = "https://cart.example/health" }

[alert.shop-down]
when = "not up(shp)"
notify = ["email"]

[alert.slow]
when = "p95(shop, 5m) > 300ms and eror_rate(shop, 5m) > 1%"
action = "restrat"

[alert.old]
when = "age(proved(nightli)) > 26h"

[action.restart]
act.command = { argv = ["/bin/true"] }

[backup.nightly]
at = "0 3 * * *"
source.journal = {}
to = "locl"

[repository.local]
folder = { path = "repository" }
password = { file = "key" }
"#;

/// What is found at which line: the text that is underlined, and a part of what is said about it.
const FOUND: &[(&str, &str, &str)] = &[
    ("evry = ", "evry", "every"),
    ("htp://", "\"htp://shop.example/health\"", "http://"),
    ("\"emial\"", "\"emial\"", "email"),
    ("30 seconds", "\"30 seconds\"", "30s"),
    ("\"three\"", "\"three\"", "true or false"),
    ("not up(shp)", "shp", "shop"),
    ("eror_rate", "eror_rate", "error_rate"),
    ("nightli)", "nightli", "nightly"),
    ("restrat", "\"restrat\"", "restart"),
    ("locl", "\"locl\"", "local"),
];

fn check(folder: &Path, text: &str) -> (i32, String) {
    let file = folder.join("wrong.toml");
    std::fs::write(&file, text).unwrap();
    let said = daemon::cli(folder, &["check", "--offline", "--config", file.to_str().unwrap()]);
    (said.code, format!("{}{}", said.out, said.err))
}

/// Whether `said` names this mistake: its line, the caret under the very text, and the right word after it.
fn is_named(said: &str, line_text: &str, underlined: &str, word: &str) -> Result<(), String> {
    let number = TEN.lines().position(|line| line.contains(line_text)).unwrap() + 1;
    let lines: Vec<&str> = said.lines().collect();
    let shown = format!("{number} | ");
    for (index, line) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.trim_start().starts_with(&shown))
    {
        let (Some(caret), Some(at)) = (lines.get(index + 1), line.find(underlined)) else {
            continue;
        };
        let (Some(from), Some(to)) = (caret.find('^'), caret.rfind('^')) else {
            continue;
        };
        let around = [
            index.checked_sub(1).and_then(|before| lines.get(before)),
            lines.get(index + 2),
        ];
        let says = around.into_iter().flatten().any(|line| line.contains(word));
        let place = lines[index.saturating_sub(1)].contains(&format!(":{number}:"));
        // The caret may leave out the quotes.
        if from.abs_diff(at) <= 1 && (to + 1).abs_diff(at + underlined.len()) <= 1 && says && place {
            return Ok(());
        }
    }
    Err(format!("line {number}, {underlined} is not named with {word:?}"))
}

#[test]
fn ten_mistakes_are_named_with_line_caret_and_the_right_word() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = check(folder.path(), TEN);
    assert_ne!(code, 0, "{said}");
    let missing: Vec<String> = FOUND
        .iter()
        .filter_map(|(line, underlined, word)| is_named(&said, line, underlined, word).err())
        .collect();
    assert!(missing.is_empty(), "{}\n{said}", missing.join("\n"));
    assert!(
        said.contains("10 mistakes in "),
        "nothing but what is wrong is named:\n{said}"
    );
}
