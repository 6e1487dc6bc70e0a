use std::collections::BTreeMap;

use config::{Mistakes, Source};

use super::*;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    backup: BTreeMap<Name, BackupSettings>,
}

/// The settings of the backup `x`, and their text.
fn read(lines: &str) -> (BackupSettings, String) {
    let text = format!("[backup.x]\nsource.journal = {{}}\nto = \"local\"\n{lines}\n");
    let mut file: File = config::load(&Source::new("test.toml", text.clone())).unwrap();
    (file.backup.remove("x").unwrap(), text)
}

/// How many mistakes there are, and all of them as a person reads them.
fn wrong(lines: &str) -> (usize, String) {
    let (settings, text) = read(lines);
    let mistakes = Mistakes::new(&Source::new("test.toml", text), settings.mistakes());
    (mistakes.mistakes().len(), mistakes.render(false))
}

#[test]
fn a_wrong_time_zone_is_told_beside_a_wrong_time() {
    let (count, told) = wrong("at = \"0 25 * * *\"\ntimezone = \"Europe/Lodnon\"");
    assert_eq!(count, 2, "{told}");
    assert!(told.contains("Europe/Lodnon") && told.contains("0 25 * * *"), "{told}");
    // Each alone, and neither.
    for (lines, count) in [
        ("at = \"0 25 * * *\"\ntimezone = \"Europe/London\"", 1),
        ("at = \"0 3 * * *\"\ntimezone = \"Europe/Lodnon\"", 1),
        ("at = \"0 3 * * *\"\ntimezone = \"Europe/London\"", 0),
        ("at = \"0 3 * * *\"", 0),
    ] {
        assert_eq!(wrong(lines).0, count, "{lines}");
    }
}

#[test]
fn a_run_may_take_twelve_hours_unless_it_is_said() {
    assert_eq!(read("at = \"0 3 * * *\"").0.timeout(), Duration::from_hours(12));
    let (said, _) = read("at = \"0 3 * * *\"\ntimeout = \"90m\"");
    assert_eq!(said.timeout(), Duration::from_mins(90));
}

#[test]
fn a_secret_that_is_not_there_is_told_once() {
    let told = value(&Secret::env("WATCHKEEP_NO_SUCH")).err().unwrap().chain();
    assert!(told.starts_with("read the secret { env = "), "{told}");
    assert_eq!(told.matches("secret").count(), 1, "{told}");
}
