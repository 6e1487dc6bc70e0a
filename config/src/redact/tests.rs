use super::*;

/// Without the check at its end.
fn shown(text: &str) -> String {
    let mut hidden = redacted(text);
    let end = hidden.rfind("\n# hidden: ").unwrap_or(hidden.len());
    hidden.truncate(end);
    hidden
}

fn is_hidden(text: &str, expected: &str) {
    assert_eq!(shown(text), expected);
    let hidden = redacted(text);
    assert!(toml::from_str::<toml::Table>(&hidden).is_ok(), "{hidden}");
    assert_eq!(redacted(&hidden), hidden, "twice is once");
}

#[test]
fn hides_what_looks_like_a_secret() {
    for (text, expected) in [
        ("password = \"hunter2\"", "password = \"<redacted>\""),
        ("Smtp-Password = 'hunter2'", "Smtp-Password = \"<redacted>\""),
        (
            "a.api_token = \"\"\"\nhunter2\n\"\"\"\nb = 1",
            "a.api_token = \"<redacted>\"\nb = 1",
        ),
        (
            "x = { secret = \"hunter2\", y = 1 }",
            "x = { secret = \"<redacted>\", y = 1 }",
        ),
        (
            "tokens = [\"hunter2\", 'hunter2']",
            "tokens = [\"<redacted>\", \"<redacted>\"]",
        ),
        ("pwd = 12345", "pwd = \"<redacted>\""),
        ("access_key = \"hunter2\"", "access_key = \"<redacted>\""),
        (
            "headers = { Authorization = \"Bearer hunter2\" }",
            "headers = { Authorization = \"<redacted>\" }",
        ),
        (
            "url = \"https://me:hunter2@shop.example/a@b\"",
            "url = \"https://<redacted>@shop.example/a@b\"",
        ),
        (
            "url = \"postgres://hunter2@db\" # c",
            "url = \"postgres://<redacted>@db\" # c",
        ),
        (
            "list = [\"https://a\", \"https://x:hunter2@b and ftp://y:hunter2@c\"]",
            "list = [\"https://a\", \"https://<redacted>@b and ftp://<redacted>@c\"]",
        ),
        ("a = 1 # password = hunter2\nb = 2", "a = 1 # <redacted>\nb = 2"),
        ("# see https://me:hunter2@shop.example", "# <redacted>"),
        // In a basic string, escapes are read before anything is looked for.
        (
            "url = \"https://me:hunter2\\u0040shop.example\"",
            "url = \"https://<redacted>@shop.example\"",
        ),
    ] {
        is_hidden(text, expected);
    }
}

#[test]
fn hides_what_looks_like_a_credential_in_a_text() {
    for (text, expected) in [
        (
            "argv = [\"/bin/x\", \"--password=hunter2\", \"--host=db\", \"--api-key\", \"hunter2\", \"-v\"]",
            "argv = [\"/bin/x\", \"--password=<redacted>\", \"--host=db\", \"--api-key\", \"<redacted>\", \"-v\"]",
        ),
        (
            "argv = [\"/bin/x\", \"--token\", # why\n  'hunter2', \"--secret-id=hunter2 hunter2\", \"PGPASSWORD=hunter2\"]",
            "argv = [\"/bin/x\", \"--token\", # why\n  \"<redacted>\", \"--secret-id=<redacted>\", \"PGPASSWORD=<redacted>\"]",
        ),
        (
            "argv = [\"/bin/sh\", \"-c\", \"dump --db shop --password 'hunter2' | gzip\"]",
            "argv = [\"/bin/sh\", \"-c\", \"dump --db shop --password '<redacted>\"]",
        ),
        (
            "argv = [\"/usr/bin/curl\", \"-H\", \"Authorization: Bearer hunter2\", \"https://a/b?key=hunter2&x=1\"]",
            "argv = [\"/usr/bin/curl\", \"-H\", \"Authorization: <redacted>\", \"https://a/b?key=<redacted>&x=<redacted>\"]",
        ),
        (
            "environment = { OPTS = \"-Ddb.password=hunter2\" }",
            "environment = { OPTS = \"-Ddb.password=<redacted>\" }",
        ),
        (
            "url = \"https://shop.example/a@b?c=d;e=#f\"",
            "url = \"https://shop.example/a@b?c=<redacted>;<redacted>#f\"",
        ),
        (
            "url = \"https://me:hunter2@a/?hunter2&x=hunter2 'hunter2#token=hunter2\"",
            "url = \"https://<redacted>@a/?<redacted>&x=<redacted>#token=<redacted>\"",
        ),
        (
            "# see https://a/?b=hunter2 there",
            "# see https://a/?b=<redacted> there",
        ),
        ("# argv = [\"x\", \"--token hunter2\"]", "# <redacted>"),
    ] {
        is_hidden(text, expected);
    }
}

#[test]
fn leaves_the_rest_alone() {
    for text in [
        "password = { file = \"/run/secrets/x\" }",
        "secret.credential = \"smtp\"",
        "secret_key = { env = \"R2_SECRET\" }",
        "password_file = \"/run/x\"\ntoken_ttl = \"1h\"\npublic_key = \"abc\"",
        "url = \"https://shop.example/a@b#e\" # a comment",
        "runbook = \"https://wiki.example/page?id=12\"\nsummary = \"token=1: see https://a/?b=c\"",
        "when = 'count(logs(shop, \"--token x https://a/?b=c\"), 5m) > 1'",
        "url = \"http://auth-token:8080/health\"\nanchors = [\"token:443\"]",
        "argv = [\"/bin/x\", \"--password-file\", \"/run/p\", \"--verbose\", \"keyword=a\", \"-t\", \"5\"]",
        "argv = [\"/bin/x\", \"--no-password\", \"--quiet\"]",
        "to = [\"me@shop.example\"]\nx = \"# password = y\"",
        "keyword = \"a\"\nmonkey = \"b\"\ntokenizer = \"c\"\nhas_password = true",
    ] {
        assert_eq!(redacted(text), text);
    }
}

#[test]
fn the_length_of_a_secret_does_not_show() {
    assert_eq!(shown("token = \"a\""), shown("token = \"aaaaaaaaaaaaaaaaaaaaaaaaaa\""));
}

#[test]
fn places_are_found_again_in_the_shown_text() {
    let text = "token = \"a\"\npassword = \"hunter2hunter2\" # x\nb = 1\n";
    let shown = Shown::new(text, std::iter::once(0..5));
    assert_eq!(
        shown.text(),
        "<redacted> = \"<redacted>\"\npassword = \"<redacted>\" # x\nb = 1\n"
    );
    let at = text.find("b = 1").unwrap();
    assert_eq!(shown.text().get(shown.span(&(at..at + 5))), Some("b = 1"));
    let secret = text.find("\"hunter2").unwrap();
    assert_eq!(
        shown.text().get(shown.span(&(secret + 3..secret + 5))),
        Some("\"<redacted>\"")
    );
    assert_eq!(shown.line_and_column(at), (3, 1));
    assert_eq!(shown.line_and_column(text.len()), (4, 1));
}

#[test]
fn that_a_hidden_value_changed_is_noticed_and_what_it_is_is_not() {
    let text = |token: u32| format!("url = \"https://a/?token={token}\"\nargv = [\"/x\", \"--password={token}\"]\n");
    let one = redacted(&text(0));
    assert_eq!(one, redacted(&text(0)));
    let same = (1..=2560).filter(|token| redacted(&text(*token)) == one).count();
    assert!((1..=30).contains(&same), "one in 256 is the same: {same}");
    let (line, check) = one.trim_end().rsplit_once('\n').unwrap();
    assert!(!line.contains("# hidden"));
    assert_eq!(check.len(), "# hidden: 3f".len());
}

#[test]
fn a_text_that_is_no_toml_is_hidden_line_by_line() {
    for line in [
        "argv = [\"/x\", \"--token\", \"hunter2\"] ]",
        "argv = [/x --password hunter2",
        "url = https://a/?b=hunter2",
    ] {
        assert!(!redacted(line).contains("hunter2"), "{}", redacted(line));
    }
}
