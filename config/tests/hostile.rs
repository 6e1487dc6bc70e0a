//! No text, however broken, makes the reader panic, hang, or say nothing.

#![expect(clippy::string_slice, reason = "helpers of tests may panic")]

use std::collections::BTreeMap;

use config::{Located, Mistakes, Name, Secret, Source, Span, WebUrl, load, load_partial, redacted};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only read")]
struct Settings {
    #[serde(default)]
    probe: BTreeMap<Located<Name>, Probe>,
    #[serde(default)]
    list: Vec<Item>,
    pair: Option<(u8, String)>,
    password: Option<Secret>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only read")]
struct Probe {
    every: Located<Span>,
    url: WebUrl,
    kind: Kind,
    at: Option<jiff::Timestamp>,
    share: Option<f32>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only read")]
struct Item {
    name: Name,
    nested: Option<Box<Item>>,
    wanted: Secret,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only read")]
enum Kind {
    Plain,
    Held { mode: String, secret: Secret },
    Pair(u8, Name),
    One(Span),
}

const GOOD: &str = r#"password = { env = "X" }
pair = [1, "two"]

[probe.shop] # a comment
every = "15s"
url = "https://shop.example/health"
kind.held = { mode = '''x''', secret.file = "/run/x" }
at = 2026-01-01T00:00:00Z
share = 0.5

[probe."b"]
every = "1h30m"
url = "http://[::1]:8080"
kind = "plain"

[[list]]
name = "a"
wanted = { credential = "c" }
nested = { name = "b", wanted = { env = "Y" } }

[[list]]
name = "c"
wanted.env = "Z"
"#;

fn read(text: &str) -> Result<(), String> {
    let source = Source::new("x.toml", text);
    let (value, mistakes) = load_partial::<Settings>(&source);
    let whole = load::<Settings>(&source);
    assert_eq!(whole.is_ok(), value.is_some() && mistakes.is_empty());
    assert!(mistakes.len() <= 102, "{}", mistakes.len());
    for span in mistakes.iter().filter_map(|mistake| mistake.span.clone()) {
        assert!(
            span.start <= span.end && span.start <= text.len(),
            "{span:?} of {}",
            text.len()
        );
    }
    let shown = Mistakes::new(&source, mistakes);
    let lines = shown.render(true).len();
    assert!(lines < 600 * 103, "{lines}");
    let _ = shown.to_string();
    let hidden = redacted(text);
    if toml::from_str::<toml::Table>(text).is_err() {
        assert!(whole.is_err(), "what is not TOML is refused");
    } else {
        assert!(toml::from_str::<toml::Table>(&hidden).is_ok(), "{hidden}");
    }
    whole.map(|_| ()).map_err(|mistakes| mistakes.to_string())
}

#[test]
fn the_good_text_is_good() {
    read(GOOD).unwrap();
}

#[test]
fn cut_off_anywhere_it_is_read_or_explained() {
    for end in (0..GOOD.len()).filter(|end| GOOD.is_char_boundary(*end)) {
        let _ = read(&GOOD[..end]);
    }
}

#[test]
fn depth_and_length_do_not_hurt() {
    for text in [
        "a.".repeat(50_000),
        format!("a = {}", "[".repeat(50_000)),
        format!("a = {}", "{a=".repeat(50_000)),
        format!("[{}]", "a.".repeat(50_000)),
        format!("[probe.{}]\n", "a".repeat(100_000)),
        "[[list]]\n".repeat(2_000),
        "x = [\n".repeat(500),
        format!("pair = [{}]", "1,".repeat(50_000)),
        "\"".repeat(10_000),
        "'''".repeat(10_001),
        "=\n".repeat(2_000),
        "[probe.a]\n".repeat(300),
        "\u{feff}password = { env = \"X\" }".to_owned(),
        "a = 1\r\nb = 2\r\n\0\u{1b}".to_owned(),
        "a = 999999999999999999999999999999999999999999999999\nb = 1e999\nc = nan\n".to_owned(),
    ] {
        let _ = read(&text);
    }
    let _ = load::<Settings>(&Source::new("x", "#".repeat(2 << 20))).unwrap_err();
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "[",
        "]",
        "{",
        "}",
        "=",
        ".",
        ",",
        "\"",
        "'",
        "\"\"\"",
        "'''",
        "#",
        "\n",
        "\r\n",
        " ",
        "\\",
        "probe",
        "list",
        "[probe.a]\n",
        "[[list]]\n",
        "every",
        "url",
        "kind",
        "\"15s\"",
        "= 1",
        "= true",
        "= \"\"",
        "= []",
        "= {}",
        "env",
        "held",
        "plain",
        "pair",
        "password",
        "@",
        "://",
        "ü",
        "\u{0}",
        "2026-01-01",
        "0x",
        "-",
        "_",
        "1e5",
        "a",
        "name",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_text(text in "(?s).{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn pieces_of_toml(text in pieces()) {
        let _ = read(&text);
    }

    #[test]
    fn a_changed_text(changes in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..30, pieces()), 1..4)) {
        let mut text = GOOD.to_owned();
        for (at, cut, with) in changes {
            let start = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.floor_char_boundary((start + cut).min(text.len())).max(start);
            text.replace_range(start..end, &with);
        }
        let _ = read(&text);
    }
}
