use super::*;

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
        let hidden = redacted(text);
        assert_eq!(hidden, expected);
        assert!(toml::from_str::<toml::Table>(&hidden).is_ok(), "{hidden}");
        assert_eq!(redacted(&hidden), hidden, "twice is once");
    }
}

#[test]
fn leaves_the_rest_alone() {
    for text in [
        "password = { file = \"/run/secrets/x\" }",
        "secret.credential = \"smtp\"",
        "secret_key = { env = \"R2_SECRET\" }",
        "password_file = \"/run/x\"\ntoken_ttl = \"1h\"\npublic_key = \"abc\"",
        "url = \"https://shop.example/a@b?c=d#e\" # a comment",
        "to = [\"me@shop.example\"]\nx = \"# password = y\"",
        "keyword = \"a\"\nmonkey = \"b\"\ntokenizer = \"c\"\nhas_password = true",
    ] {
        assert_eq!(redacted(text), text);
    }
}

#[test]
fn the_length_of_a_secret_does_not_show() {
    assert_eq!(
        redacted("token = \"a\""),
        redacted("token = \"aaaaaaaaaaaaaaaaaaaaaaaaaa\"")
    );
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
