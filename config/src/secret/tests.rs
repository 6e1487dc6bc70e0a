use std::os::unix::fs::PermissionsExt;

use super::*;

#[derive(Debug, Deserialize)]
struct Holder {
    secret: Secret,
}

fn parse(text: &str) -> Result<Secret, String> {
    toml::from_str::<Holder>(text)
        .map(|holder| holder.secret)
        .map_err(|error| error.message().to_owned())
}

fn file_with(content: &[u8], mode: u32) -> (tempfile::TempDir, Secret) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (folder, Secret::file(path))
}

#[test]
fn is_read_as_a_place_and_shown_as_one() {
    let secret = parse("secret = { env = \"SMTP_URL\" }").unwrap();
    assert_eq!(
        format!("{secret:?} {secret}"),
        "{ env = \"SMTP_URL\" } { env = \"SMTP_URL\" }"
    );
    assert_eq!(serde_json::to_string(&secret).unwrap(), "{\"env\":\"SMTP_URL\"}");
    assert_eq!(parse("secret.file = \"/run/x\"").unwrap(), Secret::file("/run/x"));
    assert!(parse("secret = { credential = \"smtp\" }").is_ok());
}

#[test]
fn a_value_or_anything_else_is_refused_without_repeating_it() {
    for text in ["secret = \"hunter2\"", "secret = 12345", "secret = 1.5"] {
        let message = parse(text).unwrap_err();
        assert!(message.starts_with(NOT_A_PLACE), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    for (text, told) in [
        ("secret = {}", "no place of a secret is given"),
        (
            "secret = { env = \"A\", file = \"/b\" }",
            "a secret has one place, not two",
        ),
        ("secret = { envv = \"A\" }", "unknown"),
        ("secret = { env = \"\" }", "no name of an environment variable"),
        ("secret = { env = \"$A\" }", "no name of an environment variable"),
        ("secret = { credential = \"../x\" }", "no name of a systemd credential"),
        ("secret = { file = \"\" }", "is empty"),
        ("secret = true", "expected a place of a secret"),
    ] {
        let message = parse(text).unwrap_err();
        assert!(message.contains(told), "{text}: {message}");
    }
}

#[test]
fn a_file_is_read_without_its_last_newline() {
    for (content, value) in [
        ("hunter2\n", "hunter2"),
        ("hunter2\r\n", "hunter2"),
        ("a\n\n", "a\n"),
        (" x ", " x "),
    ] {
        let (_folder, secret) = file_with(content.as_bytes(), 0o600);
        assert_eq!(secret.read().unwrap().expose(), value);
    }
}

#[test]
fn the_value_is_never_printed() {
    let (_folder, secret) = file_with(b"hunter2", 0o600);
    assert_eq!(format!("{:?}", secret.read().unwrap()), "<secret>");
}

#[test]
fn a_file_that_others_can_read_is_refused_with_the_remedy() {
    for mode in [0o604, 0o602, 0o644, 0o666, 0o660] {
        let (_folder, secret) = file_with(b"hunter2", mode);
        let message = secret.read().unwrap_err().to_string();
        assert!(message.contains(&format!("permissions {mode:04o}")), "{message}");
        assert!(message.contains("run: chmod 600 /"), "{message}");
        assert!(!message.contains("hunter2"));
    }
    let (folder, secret) = file_with(b"hunter2", 0o440);
    let is_root = fs::metadata(folder.path()).unwrap().uid() == 0;
    assert_eq!(secret.read().is_ok(), is_root, "a group may read what root owns");
}

#[test]
fn what_cannot_be_a_secret_says_why() {
    for (content, why) in [
        (Vec::new(), "it is empty"),
        (b"\n".to_vec(), "it is empty"),
        (vec![b'a'; 64 * 1024 + 1], "larger than 64 KiB"),
        (vec![0xff, 0xfe], "not UTF-8"),
    ] {
        let (_folder, secret) = file_with(&content, 0o600);
        let message = secret.read().unwrap_err().to_string();
        assert!(message.contains(why), "{message}");
    }
    let (_folder, secret) = file_with(&vec![b'a'; 64 * 1024], 0o600);
    assert_eq!(secret.read().unwrap().expose().len(), 64 * 1024);
    let folder = tempfile::tempdir().unwrap();
    assert!(
        Secret::file(folder.path())
            .read()
            .unwrap_err()
            .to_string()
            .contains("not a regular file")
    );
}

#[test]
fn a_place_says_how_to_fill_it() {
    let remedy = Secret::env("SMTP_URL").remedy();
    for part in ["export SMTP_URL='…'", "EnvironmentFile=", "{ file = \"/path\" }"] {
        assert!(remedy.contains(part), "{remedy}");
    }
    assert_eq!(
        Secret::file("/run/x").remedy(),
        "write it into /run/x, then `chmod 600 /run/x`"
    );
    assert!(Secret::credential("smtp").remedy().contains("LoadCredential=smtp:"));
}

#[test]
fn a_missing_place_is_named() {
    let missing = |secret: Secret| secret.read().unwrap_err().to_string();
    assert_eq!(
        missing(Secret::env("WATCHKEEP_NO_SUCH_VARIABLE")),
        "read the secret { env = \"WATCHKEEP_NO_SUCH_VARIABLE\" }: \
         the environment variable WATCHKEEP_NO_SUCH_VARIABLE is not set"
    );
    assert!(missing(Secret::file("/no/such/file")).ends_with("there is no file /no/such/file"));
    assert!(missing(Secret(Place::Credential("smtp".into()))).contains("LoadCredential=smtp:"));
    // The one variable that every test run has.
    assert!(!Secret::env("PATH").read().unwrap().expose().is_empty());
}
