//! What somebody is told who wrote a wrong configuration: every mistake at once, with line, caret and remedy.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "helpers of tests may panic")]

use std::collections::BTreeMap;

use config::{Mistake, Mistakes, Name, Source, Span, load, load_partial, suggest};
use serde::Deserialize;
use settings::{Check, Mode, Settings};

mod settings;

fn source(text: &str) -> Source {
    Source::new("watchkeep.toml", text)
}

/// Reads, and checks as the daemon does that every notifier named is there.
fn read(text: &str) -> Result<Settings, Mistakes> {
    let source = source(text);
    let (settings, mut mistakes) = load_partial::<Settings>(&source);
    for wanted in settings
        .iter()
        .flat_map(|settings| settings.probe.values())
        .flat_map(|probe| &probe.notify)
    {
        let known = &settings.as_ref().unwrap().notify;
        if !known.contains_key(wanted.as_str()) {
            let names = known.keys().map(Name::as_str);
            let mistake = Mistake::at(wanted.span(), format!("there is no notifier `{}`", **wanted));
            mistakes.push(match suggest(wanted.as_str(), names) {
                Some(meant) => mistake.help(format!("did you mean `{meant}`?")),
                None => mistake,
            });
        }
    }
    match settings {
        Some(settings) if mistakes.is_empty() => Ok(settings),
        _ => Err(Mistakes::new(&source, mistakes)),
    }
}

fn told(text: &str) -> String {
    read(text).unwrap_err().render(false)
}

const TEN: &str = r#"[probe.shop]
every = "30 seconds"
check.http = { url = "htp://shop.example/health", status = "three" }
notfy = ["email"]

[probe.mail]
check.tpc = { address = "mail.example", port = 25 }
notify = ["emial"]

[notify.email]
to = "me@shop.example"
smtp = "smtps://me:hunter2@mail.example"
mode = "dryrun"

[backup.nightly]
at = "0 25 * * *"
timezone = "Europe/Londn"

[store]
disk = 20
"#;

#[test]
fn ten_mistakes_and_more_are_told_at_once() {
    let expected = r#"watchkeep.toml:2:9: `every`: "30 seconds" is not a duration
  2 | every = "30 seconds"
    |         ^^^^^^^^^^^^
    = did you mean "30s"? expected a duration such as "500ms", "15s", "1m", "1h30m" or "30d"

watchkeep.toml:3:22: `url`: "htp:" is no scheme of a web address
  3 | check.http = { url = "htp://shop.example/health", status = "three" }
    |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^
    = did you mean `http://`? expected a web address such as "https://shop.example/health"

watchkeep.toml:3:60: `status`: expected a whole number from 0 to 65535, found the text "three"
  3 | check.http = { url = "htp://shop.example/health", status = "three" }
    |                                                            ^^^^^^^

watchkeep.toml:4:1: unknown key `notfy` in [probe.shop]
  4 | notfy = ["email"]
    | ^^^^^
    = did you mean `notify`? allowed here: every, check, notify

watchkeep.toml:7:7: unknown kind `tpc` in [probe.mail.check]
  7 | check.tpc = { address = "mail.example", port = 25 }
    |       ^^^
    = did you mean `tcp`? there are: http, tcp

watchkeep.toml:8:11: there is no notifier `emial`
  8 | notify = ["emial"]
    |           ^^^^^^^
    = did you mean `email`?

watchkeep.toml:10:1: `from` is missing in [notify.email]
  10 | [notify.email]
     | ^^^^^^^^^^^^^^
     = add `from = …`

watchkeep.toml:11:6: `to`: expected a list, `[…]`, found the text "me@shop.example"
  11 | to = "me@shop.example"
     |      ^^^^^^^^^^^^^^^^^

watchkeep.toml:12:8: `smtp`: a secret is a place, never a value
  12 | smtp = <redacted>
     |        ^^^^^^^^^^
     = write where it is found: { env = "NAME" }, { file = "/run/secrets/name" } or { credential = "name" } (systemd)

watchkeep.toml:13:8: `mode`: "dryrun" is not one of its values
  13 | mode = "dryrun"
     |        ^^^^^^^^
     = did you mean `dry-run`? possible are: dry-run, automatic

watchkeep.toml:16:6: `at`: the field hour of the schedule, "25": "25" is out of range
  16 | at = "0 25 * * *"
     |      ^^^^^^^^^^^^
     = the hour is 0 to 23, a range 1-5, a step */5, a list of those, or *

watchkeep.toml:17:12: `timezone`: there is no time zone "Europe/Londn"
  17 | timezone = "Europe/Londn"
     |            ^^^^^^^^^^^^^^
     = did you mean "Europe/London"? expected the name of a time zone such as "Europe/London" or "UTC"

watchkeep.toml:20:8: `disk`: the number 20 is not a size
  20 | disk = 20
     |        ^^
     = did you mean "20B"? expected a size such as "64KiB", "512MiB", "20GiB" or "1GB"

13 mistakes in watchkeep.toml
"#;
    assert_eq!(told(TEN), expected);
}

#[test]
fn the_same_text_made_right_is_read() {
    let text = r#"
[probe.shop]
every = "30s"
check.http = { url = "https://shop.example/health", status = 200 }
notify = ["email"]

[probe.mail.check.tcp]
address = "mail.example"
port = 25

[notify.email]
to = ["me@shop.example"]
from = "me@shop.example"
smtp = { env = "SMTP_URL" }
mode = "dry-run"

[backup.nightly]
at = "0 3 * * *"
timezone = "Europe/London"

[store]
disk = "20GiB"
"#;
    let settings = read(text).unwrap();
    let targets: Vec<_> = settings
        .probe
        .values()
        .map(|probe| probe.check.as_dyn().target())
        .collect();
    assert_eq!(targets, ["mail.example:25", "https://shop.example/health Some(200) 0"]);
    assert_eq!(
        settings
            .probe
            .values()
            .map(|probe| probe.check.kind())
            .collect::<Vec<_>>(),
        ["tcp", "http"]
    );
    assert_eq!(Check::KINDS, ["http", "tcp"]);
    let shop = &settings.probe["shop"];
    assert_eq!(shop.every, Some(Span::seconds(30)));
    assert_eq!(&text[shop.notify[0].span()], "\"email\"");
    let notify = &settings.notify["email"];
    assert_eq!(
        format!("{:?} {} {}", notify.smtp, notify.to[0], notify.from),
        "{ env = \"SMTP_URL\" } me@shop.example me@shop.example"
    );
    assert!(matches!(notify.mode, Some(Mode::DryRun)));
    assert!(!matches!(notify.mode, Some(Mode::Automatic)));
    assert_eq!(settings.store.unwrap().disk.get(), 20 << 30);
    let backup = &settings.backup["nightly"];
    assert_eq!(
        (backup.at.as_str(), backup.timezone.as_str()),
        ("0 3 * * *", "Europe/London")
    );
}

/// Each line of `expected` begins a line of what is told, leaving out source lines, carets and help.
fn assert_told(text: &str, expected: &[&str]) {
    let told = told(text);
    let heads: Vec<_> = told
        .lines()
        .filter_map(|line| line.strip_prefix("watchkeep.toml"))
        .collect();
    assert_eq!(heads, expected, "{told}");
}

#[test]
fn all_that_is_missing_in_a_table_is_one_mistake() {
    assert_told(
        "[notify.me]\n",
        &[":1:1: `to`, `from` and `smtp` are missing in [notify.me]"],
    );
    assert_told(
        "[probe.shop]\ncheck.tcp = {}\n",
        &[":2:13: `address` and `port` are missing in [probe.shop.check.tcp]"],
    );
    assert_told("store = {}", &[":1:9: `disk` is missing in [store]"]);
}

#[test]
fn what_follows_from_a_mistake_is_not_told() {
    // A misspelt key is not missing as well; nor what was wrong.
    assert_told(
        "[probe.shop]\nchek.tcp = { address = \"a\", port = 1 }\n",
        &[":2:1: unknown key `chek` in [probe.shop]"],
    );
    assert_told(
        "[store]\ndisk = \"20 gigs\"\n",
        &[":2:8: `disk`: \"20 gigs\" is not a size"],
    );
    assert_told(
        "[probe.shop]\ncheck = 3\n",
        &[":2:9: `check`: expected one of `http`, `tcp`, found the number 3"],
    );
    // Somebody whose section is wrong is there all the same.
    let text = "[probe.shop]\ncheck.tcp = { address = \"a\", port = 1 }\nnotify = [\"me\"]\n[notify]\nme = 3\n";
    assert_told(text, &[":5:6: `me`: expected a table, found the number 3"]);
    let text = "[probe.shop]\ncheck.tcp = { address = \"a\", port = 1 }\nnotify = [\"me\"]\n[notify.me]\nto = []\n";
    assert_told(text, &[":4:1: `from` and `smtp` are missing in [notify.me]"]);
    // Nor what is said about a value that was made up.
    assert_told(
        "[probe.shop]\ncheck.tcp = { address = \"a\", port = 1 }\nnotify = \"me\"\n",
        &[":3:10: `notify`: expected a list, `[…]`, found the text \"me\""],
    );
}

#[test]
fn one_kind_only_and_with_its_settings() {
    assert_told(
        "[probe.a]\ncheck.tcp = { address = \"a\", port = 1 }\ncheck.http = { url = \"https://a\" }\n",
        &[":3:7: `http` beside `tcp` in [probe.a.check]: one kind only"],
    );
    assert_told(
        "[probe.a]\ncheck = \"http\"\n",
        &[":2:9: `check`: `http` needs its settings"],
    );
    assert_told("[probe.a]\ncheck = {}\n", &[":2:9: `check` says no kind"]);
    assert_told(
        "[probe.a]\ncheck = \"htp\"\n",
        &[":2:9: `check`: \"htp\" is not one of its values"],
    );
}

#[test]
fn names_items_and_sections_are_checked() {
    assert_told(
        "[probe.\"My Shop\"]\ncheck.http.url = \"https://a\"\n",
        &[":1:8: \"My Shop\" is not a name"],
    );
    assert_told("[prob.a]\n", &[":1:2: unknown section or key `prob`"]);
    assert_told(
        "[probe.a]\ncheck.http.url = \"https://a\"\nnotify = [\"me\", 3, \"You\"]\n[notify.me]\nto = []\nfrom = \"\"\nsmtp.env = \"A\"\n",
        &[
            ":3:17: item 2 of `notify`: expected a name such as \"shop\", found the number 3",
            ":3:20: item 3 of `notify`: \"You\" is not a name",
        ],
    );
    assert_told(
        "[probe.a]\ncheck.http.url = \"https://a\"\ncheck.http.status = 70000\n",
        &[":3:21: `status`: expected a whole number from 0 to 65535, found the number 70000"],
    );
}

#[test]
fn a_secret_is_never_shown() {
    for text in [
        "[notify.me]\nto = []\nfrom = \"\"\nsmtp = \"hunter2\"\n",
        "[notify.me]\nto = []\nfrom = \"\"\nsmtp = hunter2\n",
        "[notify.me]\nto = []\nfrom = \"\"\nsmtp = \"\"\"\nhunter2\n\"\"\"\n",
        "[notify.me]\nto = []\nfrom = \"\"\nsmtp = { value = \"hunter2\" }\n",
        "[notify.me]\nto = []\nfrom = \"\"\nsmtp = { value = \"hunter2\", oops = 1 }\n",
        "[notify.me]\npassword = \"hunter2\"\n",
        "[notify.me]\npassword = hunter2\n",
        "[notify.me]\npassword hunter2\npassword = \"hunter2",
        "[notify.me]\nto = { password = \"hunter2\" }\n",
        "[probe.a]\ncheck.http = { url = \"https://me:hunter2@shop.example\" }\n",
        "[probe.a]\ncheck.http = { url = https://me:hunter2@shop.example }\n",
        "[probe.a]\ncheck.http = { url = \"htp://me:hunter2@shop.example\", x = 1 }\n",
        "[probe.a] # token = hunter2\n",
    ] {
        let mistakes = read(text).unwrap_err();
        let mut graphical = String::new();
        miette::GraphicalReportHandler::new()
            .render_report(&mut graphical, &mistakes)
            .unwrap();
        let printed = format!(
            "{}{mistakes}{mistakes:?}{graphical}{:?}",
            mistakes.render(true),
            source(text)
        );
        assert!(!printed.contains("hunter2"), "{text}\n{printed}");
    }
}

#[test]
fn no_more_than_a_hundred_are_told() {
    let text: String = (0..500)
        .flat_map(|number| ["unknown".to_owned(), number.to_string(), " = 1\n".to_owned()])
        .collect();
    let told = told(&text);
    assert_eq!(told.matches("unknown section or key").count(), 100);
    assert!(told.contains("watchkeep.toml: there may be more mistakes"));
}

#[test]
fn a_diagnostic_says_the_same() {
    let mistakes = load::<Settings>(&source("[stor]\ndisk = 1\n")).unwrap_err();
    let expected = "1 mistake in watchkeep.toml\nwatchkeep.toml:1:2: unknown section or key `stor` \
                    (did you mean `store`? allowed here: probe, notify, backup, store)";
    assert_eq!(mistakes.to_string(), expected);
    let labels: Vec<_> = miette::Diagnostic::labels(&mistakes).unwrap().collect();
    assert_eq!((labels[0].offset(), labels[0].len()), (1, 4));
    assert!(mistakes.render(true).contains("\u{1b}[1;31m"));
}

#[test]
fn hostile_text_does_not_drive_the_terminal() {
    let line = format!(
        "{} = \"\u{1b}[2J\u{7}\u{202e}{}\"\n",
        "\"\\u001b[31m\"",
        "ü".repeat(5000)
    );
    let told = told(&line);
    assert!(!told.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{told}");
    assert!(told.len() < 1500, "{}", told.len());
}

#[test]
fn a_file_that_is_no_text_or_too_large_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watchkeep.toml");
    assert!(matches!(
        Source::read(&path),
        Err(config::SourceError::Unreadable { .. })
    ));
    std::fs::write(&path, b"a = 1\nb = \"\xff\"\n").unwrap();
    assert!(
        Source::read(&path)
            .unwrap_err()
            .to_string()
            .ends_with("line 2 is not UTF-8")
    );
    std::fs::write(&path, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    assert!(matches!(Source::read(&path), Err(config::SourceError::TooLarge { .. })));
    std::fs::write(&path, "[store]\ndisk = \"1GiB\"\n").unwrap();
    assert!(load::<Settings>(&Source::read(&path).unwrap()).is_ok());
}

#[test]
fn the_schema_is_stable_and_refuses_what_the_reader_refuses() {
    let text = config::schema_text::<Settings>();
    assert_eq!(text, config::schema_text::<Settings>());
    assert!(text.ends_with("}\n"));
    let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["$defs"]["Probe"]["additionalProperties"], false);
    let kinds = schema["$defs"]["Check"]["oneOf"].as_array().unwrap();
    assert_eq!((kinds.len(), &kinds[0]["required"][0]), (2, &serde_json::json!("http")));
    assert_eq!(schema["$defs"]["Check"]["description"], "What a probe does.");
    assert_eq!(schema["$defs"]["Duration"]["examples"][1], "15s");
}

#[derive(Debug, Deserialize)]
struct Renamed {
    #[serde(alias = "old_name")]
    new_name: u8,
    #[serde(flatten)]
    more: BTreeMap<String, u8>,
}

#[derive(Debug, Deserialize)]
struct Aliased {
    #[serde(alias = "old_name")]
    new_name: u8,
    renamed: Option<Renamed>,
}

#[test]
fn aliases_and_flattened_tables_keep_working() {
    let read = |text: &str| load::<Aliased>(&source(text));
    let read_well = read("old_name = 1\nrenamed = { old_name = 2, other = 3 }\n").unwrap();
    let renamed = read_well.renamed.unwrap();
    assert_eq!((read_well.new_name, renamed.new_name, renamed.more["other"]), (1, 2, 3));
    assert!(read("old_name = 1\nrenamd = {}\n").is_err());
}

#[test]
fn a_large_file_with_many_mistakes_is_told_once_each() {
    let mut text = String::new();
    for number in 0..1000 {
        let every = if number % 10 == 0 { "1 minute" } else { "1m" };
        let url = "check.http.url = \"https://a.example\"\n";
        text += &["[probe.p", &number.to_string(), "]\nevery = \"", every, "\"\n", url].concat();
    }
    let told = told(&text);
    assert_eq!(told.matches("did you mean \"1m\"?").count(), 100);
    assert!(told.contains("watchkeep.toml:2972:9: "), "the last, too");
}

/// A destination as the alerts have it: a list that may not be empty stands deep in what is missing.
#[derive(Deserialize)]
struct Book {
    notify: BTreeMap<Name, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[expect(dead_code, reason = "only read")]
    via: Way,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    #[expect(dead_code, reason = "only read")]
    Email {
        #[serde(deserialize_with = "some")]
        to: Vec<Span>,
    },
}

fn some<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Span>, D::Error> {
    let all = Vec::<Span>::deserialize(deserializer)?;
    if all.is_empty() {
        return Err(serde::de::Error::custom("nothing is given"));
    }
    Ok(all)
}

#[test]
fn a_section_with_mistakes_is_there_all_the_same() {
    let text = "[notify.a]\nvia.emial = { to = [\"1s\"] }\n[notify.b]\n[notify.c]\nvia = \"email\"\n\
                [notify.d]\nvia.email = { to = [] }\n[notify.e]\nvia.email = { to = [3] }\n";
    let (book, mistakes) = load_partial::<Book>(&source(text));
    let names: Vec<_> = book.unwrap().notify.into_keys().collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"].map(|name| Name::new(name).unwrap()));
    assert_eq!(mistakes.len(), 5, "{mistakes:?}");
}
