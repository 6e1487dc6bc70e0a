//! Each kind of probe against the real thing.

#[expect(dead_code, reason = "each test file uses its part")]
mod support;

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use collectors::probe::ProbeSettings;
use events::{EVIDENCE_MAX, Look, Reason, Status};
use outbound::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use self::support::{Moved, Nginx, certify, context, context_at, free_port, look_by, look_within, settings};

const SHOP: &str = r#"
    listen 127.0.0.1:{port};
    location / { default_type text/plain; return 200 "all is well\n"; }
    location = /json { default_type application/json; return 200 '{"status":"ok","queue":{"length":3}}'; }
    location = /broken { return 500 "sorry"; }
    location = /moved { return 301 http://169.254.169.254/; }
    location = /large { root {folder}; }
    location /slow/ { alias {folder}/; limit_rate 1k; }
    location = /closed { auth_basic "shop"; auth_basic_user_file {folder}/users; try_files /none @in; }
    location @in { return 200 "in"; }
    location = /key { if ($http_x_key = "s3cret") { return 204; } return 403; }
    location = /echo { return 500 "you sent $http_authorization"; }
    location = /posted { if ($request_method = POST) { return 201; } return 405; }
"#;

fn passes(look: &Look) {
    assert_eq!((look.status, look.reason), (Status::Pass, Reason::Ok), "{look:?}");
    assert!(look.evidence.is_empty(), "only a failure needs evidence");
}

fn fails(look: &Look, reason: Reason) {
    assert_eq!((look.status, look.reason), (Status::Fail, reason), "{look:?}");
}

#[tokio::test]
async fn http_against_nginx() {
    let nginx = Nginx::start(SHOP).await;
    let context = context();
    let look = async |path: &str, more: &str| {
        look_by(
            &context,
            &format!("http = {{ url = \"{}\"{more} }}", nginx.url("http", path)),
        )
        .await
    };
    let well = look("/", "").await;
    passes(&well);
    assert_eq!(well.detail, "HTTP/1.1 200 OK");
    let timings = well.timings;
    assert!(timings.connect_us.is_some() && timings.first_byte_us.is_some() && timings.tls_us.is_none());
    assert!(timings.total_us >= timings.connect_us.unwrap());

    let broken = look("/broken", "").await;
    fails(&broken, Reason::HttpStatus);
    assert_eq!(broken.detail, "HTTP/1.1 500 Internal Server Error, expected 200-399");
    assert_eq!(broken.evidence, "HTTP/1.1 500 Internal Server Error\n\nsorry");
    passes(&look("/broken", ", status = [200, \"5xx\"]").await);
    // A redirect is an answer; where it leads is never looked at.
    passes(&look("/moved", "").await);
    fails(&look("/moved", ", status = 200").await, Reason::HttpStatus);

    passes(&look("/", ", contains = \"is well\", not_contains = \"error\"").await);
    fails(&look("/", ", contains = \"is fine\"").await, Reason::BodyMismatch);
    fails(&look("/", ", not_contains = \"well\"").await, Reason::BodyMismatch);
    passes(&look("/json", ", json = { \"/status\" = \"ok\", \"/queue/length\" = 3 }").await);
    let other = look("/json", ", json = { \"/queue/length\" = 4 }").await;
    fails(&other, Reason::BodyMismatch);
    assert_eq!(
        other.detail,
        "HTTP/1.1 200 OK, but /queue/length is \"3\", expected \"4\""
    );
    fails(
        &look("/json", ", json = { \"/none\" = true }").await,
        Reason::BodyMismatch,
    );
    fails(
        &look("/", ", json = { \"/status\" = \"ok\" }").await,
        Reason::BodyMismatch,
    );

    passes(&look("/posted", ", method = \"POST\", body = \"x\", status = 201").await);
    passes(&look("/", ", method = \"HEAD\"").await);
}

#[tokio::test]
async fn http_bodies_are_read_within_limits() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{}needle{}", "x".repeat(200_000), "y".repeat(20_000_000));
    fs::write(folder.path().join("large"), text).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let nginx = Nginx::start_in(folder, SHOP).await;
    let context = context();
    let look = async |more: &str| {
        look_by(
            &context,
            &format!("http = {{ url = \"{}\"{more} }}", nginx.url("http", "/large")),
        )
        .await
    };
    passes(&look(", contains = \"needle\"").await);
    let slowly = nginx.url("http", "/slow/large");
    let slow = look_by(
        &context,
        &format!("http = {{ url = \"{slowly}\", slow_over = \"100ms\" }}"),
    )
    .await;
    fails(&slow, Reason::TooSlow);
    assert!(slow.detail.ends_with("ms, allowed 100 ms"), "{}", slow.detail);
    let lacking = look(", contains = \"nail\"").await;
    fails(&lacking, Reason::BodyMismatch);
    assert!(lacking.detail.ends_with("in its first 256 KiB"), "{}", lacking.detail);
    assert!(lacking.evidence.len() <= EVIDENCE_MAX);
}

#[tokio::test]
async fn http_shows_who_asks_without_showing_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let secret = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    fs::write(folder.path().join("users"), "ada:{PLAIN}lovelace\n").unwrap();
    let (right, wrong, key) = (
        secret("right", "lovelace\n"),
        secret("wrong", "byron"),
        secret("key", "s3cret"),
    );
    let nginx = Nginx::start_in(folder, SHOP).await;
    let context = context();
    let closed = nginx.url("http", "/closed");
    let login = |file: &str| {
        format!(
            "http = {{ url = \"{closed}\", auth.basic = {{ user = \"ada\", password = {{ file = \"{file}\" }} }} }}"
        )
    };
    passes(&look_by(&context, &login(&right)).await);
    let refused = look_by(&context, &login(&wrong)).await;
    fails(&refused, Reason::HttpStatus);
    assert!(!format!("{refused:?}").contains("byron"));
    let echo = login(&right).replace("/closed", "/echo");
    let echoed = look_by(&context, &echo).await;
    fails(&echoed, Reason::HttpStatus);
    assert!(echoed.evidence.ends_with("you sent <secret>"), "{}", echoed.evidence);
    let url = nginx.url("http", "/key");
    let keyed = format!("http = {{ url = \"{url}\", secret_headers = {{ X-Key = {{ file = \"{key}\" }} }} }}");
    passes(&look_by(&context, &keyed).await);
    fails(
        &look_by(&context, &format!("http = {{ url = \"{url}\" }}")).await,
        Reason::HttpStatus,
    );
    assert!(!format!("{:?}", settings(&format!("check.{keyed}"))).contains("s3cret"));
}

#[tokio::test]
async fn http_that_does_not_answer() {
    let context = context();
    let refused = look_by(
        &context,
        &format!("http = {{ url = \"http://127.0.0.1:{}\" }}", free_port()),
    )
    .await;
    fails(&refused, Reason::ConnectRefused);
    // Takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let check = format!("http = {{ url = \"http://127.0.0.1:{port}\" }}");
    let look = look_within(&context, &check, Duration::from_millis(200)).await;
    fails(&look, Reason::Timeout);
    assert!((200_000..2_000_000).contains(&look.timings.total_us), "{look:?}");
    let nowhere = look_by(&context, "http = { url = \"http://no-such-host.invalid\" }").await;
    assert_eq!(nowhere.status, Status::Fail);
    assert!(
        matches!(
            nowhere.reason,
            Reason::DnsNxdomain | Reason::DnsFailed | Reason::DnsTimeout
        ),
        "{nowhere:?}"
    );
}

const SECURE: &str = r#"
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
    location / { return 200 "secure"; }
"#;

#[tokio::test]
async fn tls_says_what_is_wrong_with_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "localhost");
    let nginx = Nginx::start_in(folder, SECURE).await;
    let clocks = Arc::new(Moved::default());
    let context = context_at(Arc::clone(&clocks));
    let ca = nginx.file("ca.pem").display().to_string();
    let trusting = format!("http = {{ url = \"{}\", ca = \"{ca}\" }}", nginx.url("https", "/"));

    let well = look_by(&context, &trusting).await;
    passes(&well);
    assert!(well.timings.tls_us.is_some());
    let expires = well.certificate_expires.unwrap();
    let left = expires.since(context.now().wall).as_hours();
    assert!((22..=24).contains(&left), "{left} h");

    let untrusted = look_by(&context, &format!("http = {{ url = \"{}\" }}", nginx.url("https", "/"))).await;
    fails(&untrusted, Reason::TlsUntrusted);
    assert!(!untrusted.detail.contains("invalid peer certificate"), "{untrusted:?}");
    let advice = async |ca: &str| {
        let check = format!("check.http = {{ url = \"{}\"{ca} }}", nginx.url("https", "/"));
        let findings = settings(&check).check.as_dyn().preflight(&context).await;
        findings[0].remedy.clone()
    };
    assert!(
        advice("")
            .await
            .starts_with("give the authority's certificate with `ca")
    );
    let own = format!(", ca = \"{}\"", nginx.file("server.pem").display());
    let own = advice(&own).await;
    assert!(own.ends_with("give the authority's, not the server's own"), "{own}");
    let other_name = format!(
        "http = {{ url = \"https://127.0.0.1:{}/\", ca = \"{ca}\" }}",
        nginx.port
    );
    fails(&look_by(&context, &other_name).await, Reason::TlsName);

    clocks.by_days(3);
    let expired = look_by(&context, &trusting).await;
    fails(&expired, Reason::TlsExpired);
    assert_eq!(expired.certificate_expires, Some(expires), "also of an expired one");
    clocks.by_days(0);
    passes(&look_by(&context, &trusting).await);

    let tcp = format!(
        "tcp = {{ address = \"localhost:{}\", tls = true, ca = \"{ca}\" }}",
        nginx.port
    );
    let tls = look_by(&context, &tcp).await;
    passes(&tls);
    assert_eq!(tls.certificate_expires, Some(expires));
}

#[tokio::test]
async fn tls_where_there_is_none() {
    let nginx = Nginx::start(SHOP).await;
    let look = look_by(
        &context(),
        &format!("http = {{ url = \"{}\" }}", nginx.url("https", "/")),
    )
    .await;
    fails(&look, Reason::TlsFailed);
    let plain = look_by(
        &context(),
        &format!("tcp = {{ address = \"127.0.0.1:{}\" }}", nginx.port),
    )
    .await;
    passes(&plain);
}

#[tokio::test]
async fn tcp_talks() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let serve = async {
        loop {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut heard = [0; 4];
            stream.read_exact(&mut heard).await.unwrap();
            for part in [b"+PO".as_slice(), b"NG\r\n"] {
                let _ = stream.write_all(part).await;
                tokio::task::yield_now().await;
            }
        }
    };
    let context = context();
    let looks = async {
        let look = async |expect: &str| {
            let check = format!("tcp = {{ address = \"127.0.0.1:{port}\", send = \"PING\", expect = \"{expect}\" }}");
            look_by(&context, &check).await
        };
        passes(&look("PONG").await);
        let other = look("LOADING").await;
        fails(&other, Reason::BodyMismatch);
        assert_eq!(other.evidence, "+PONG\n");
    };
    tokio::select! {
        () = looks => {}
        () = serve => {}
    }
    let refused = look_by(
        &context,
        &format!("tcp = {{ address = \"127.0.0.1:{}\" }}", free_port()),
    )
    .await;
    fails(&refused, Reason::ConnectRefused);
}

#[tokio::test]
async fn commands() {
    let context = context();
    let look = async |argv: &str, more: &str| {
        look_within(
            &context,
            &format!("command = {{ argv = {argv}{more} }}"),
            Duration::from_secs(2),
        )
        .await
    };
    passes(&look("[\"/bin/true\"]", "").await);
    let three = "[\"/bin/sh\", \"-c\", \"echo said; echo why >&2; exit 3\"]";
    let failed = look(three, "").await;
    fails(&failed, Reason::ExitCode);
    assert_eq!(
        (failed.detail.as_str(), failed.evidence.as_str()),
        ("exit code 3", "why\nsaid\n")
    );
    passes(&look(three, ", exit = [0, 3]").await);
    passes(&look("[\"/bin/echo\", \"queue: 0\"]", ", contains = \"queue: 0\"").await);
    fails(
        &look("[\"/bin/echo\", \"queue: 9\"]", ", contains = \"queue: 0\"").await,
        Reason::BodyMismatch,
    );
    fails(&look("[\"/bin/sh\", \"-c\", \"kill -9 $$\"]", "").await, Reason::Signal);
    for not_run in ["[\"/no/such/program\"]", "[\"/etc/passwd\"]", "[\"/etc\"]"] {
        let look = look(not_run, "").await;
        assert_eq!(
            (look.status, look.reason),
            (Status::Unknown, Reason::NotStarted),
            "{look:?}"
        );
    }
    let environment = look("[\"/usr/bin/env\"]", ", env = { A = \"1\" }, exit = [9]").await;
    assert!(
        environment.evidence.contains("A=1") && !environment.evidence.contains("CARGO"),
        "{environment:?}"
    );
    let loud = look("[\"/bin/sh\", \"-c\", \"head -c 10000000 /dev/zero; exit 1\"]", "").await;
    fails(&loud, Reason::ExitCode);
}

#[tokio::test]
async fn a_command_ends_at_its_deadline_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let script = format!("sleep 300 & echo $! > {0}; echo $$ >> {0}; wait", file.display());
    let check = format!("command = {{ argv = [\"/bin/sh\", \"-c\", \"{script}\"] }}");
    let look = look_within(&context(), &check, Duration::from_millis(500)).await;
    fails(&look, Reason::Timeout);
    let pids = fs::read_to_string(&file).unwrap();
    assert_eq!(pids.lines().count(), 2);
    for pid in pids.lines() {
        support::wait_until("the process is gone", || {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        })
        .await;
    }
}

#[tokio::test]
async fn a_command_that_leaves_a_child_behind_does_not_hold_up() {
    let check = "command = { argv = [\"/bin/sh\", \"-c\", \"sleep 300 & exit 0\"] }";
    let look = look_within(&context(), check, Duration::from_secs(20)).await;
    passes(&look);
    assert!(look.timings.total_us < 5_000_000, "{look:?}");
}

#[tokio::test]
async fn disks() {
    let context = context();
    let look = async |table: &str| look_by(&context, &format!("disk = {table}")).await;
    passes(&look("{ path = \"/\", free_below = \"1B\", inodes_below = \"0%\" }").await);
    let full = look("{ path = \"/\", free_below = \"16000TiB\" }").await;
    fails(&full, Reason::DiskFull);
    assert!(full.detail.ends_with("less than 16000TiB"), "{}", full.detail);
    fails(
        &look("{ path = \"/\", free_below = \"1B\", inodes_below = \"100%\" }").await,
        Reason::DiskFull,
    );
    fails(&look("{ path = \"/no/such/path\" }").await, Reason::DiskMissing);
    passes(&look("{ path = \"/proc\", free_below = \"0%\", mounted = true }").await);
    fails(
        &look("{ path = \"/usr/share\", free_below = \"1B\", inodes_below = \"0%\", mounted = true }").await,
        Reason::DiskMissing,
    );
}

fn build(settings: &ProbeSettings, context: &Context) -> Result<(), config::Mistake> {
    match settings.mistakes().into_iter().next() {
        Some(mistake) => Err(mistake),
        None => settings.check.as_dyn().build(context).map(|_| ()),
    }
}

#[test]
fn configuration_says_what_is_wrong() {
    let context = context();
    let mistake = |check: &str| {
        let settings: Result<ProbeSettings, _> =
            config::load(&config::Source::new("probe.toml", format!("check.{check}")));
        match settings {
            Err(mistakes) => mistakes.to_string(),
            Ok(settings) => match build(&settings, &context) {
                Err(mistake) => format!("{} {}", mistake.message, mistake.help.unwrap_or_default()),
                Ok(()) => "nothing is wrong".to_owned(),
            },
        }
    };
    for (check, said) in [
        ("http = { url = \"shop.example\" }", "did you mean"),
        ("http = { url = \"https://a\", status = 99 }", "99 is no HTTP status"),
        (
            "http = { url = \"https://a\", json = { status = \"ok\" } }",
            "did you mean \"/status\"?",
        ),
        (
            "http = { url = \"https://a\", headers = { \"a b\" = \"c\" } }",
            "no name of a header",
        ),
        (
            "http = { url = \"https://a\", headers = { a = \"b\\nc\" } }",
            "control character",
        ),
        (
            "http = { url = \"https://a\", ca = \"/none.pem\" }",
            "read the certificate file /none.pem",
        ),
        (
            "http = { url = \"https://a\", auth.bearer = { env = \"WATCHKEEP_NO_SUCH\" } }",
            "WATCHKEEP_NO_SUCH",
        ),
        (
            "http = { url = \"https://a\", metod = \"GET\" }",
            "did you mean `method`",
        ),
        ("htp = { url = \"https://a\" }", "http"),
        ("tcp = { address = \"shop\" }", "the port is missing"),
        ("command = { argv = [\"true\"] }", "write the whole path"),
        ("command = { argv = [] }", "the command is empty"),
        ("disk = { path = \"var\" }", "no absolute path"),
        ("disk = { path = \"/\", free_below = \"lots\" }", "lots"),
        ("load = { per_core_over = -1.0 }", "no limit"),
    ] {
        let found = mistake(check);
        assert!(found.contains(said), "{check}: {found}");
    }
}

#[test]
fn near_or_far_is_decided_from_the_text() {
    let near = |check: &str| settings(&format!("check.{check}")).check.as_dyn().is_near();
    assert!(near("http = { url = \"http://127.0.0.1:8080/\" }"));
    assert!(near("http = { url = \"http://[fd00::1]/\" }"));
    assert!(near("tcp = { address = \"[::1]:80\" }"));
    assert!(near("disk = { path = \"/\" }"));
    assert!(near("load = { per_core_over = 4, memory_below = \"3%\" }"));
    assert!(!near("http = { url = \"https://shop.example/\" }"));
    assert!(!near("tcp = { address = \"db.internal:5432\" }"));
}

#[tokio::test]
async fn preflight_tries_and_says_what_to_do() {
    let context = context();
    let find = async |check: &str| {
        let findings = settings(&format!("check.{check}"))
            .check
            .as_dyn()
            .preflight(&context)
            .await;
        findings.into_iter().next().unwrap()
    };
    let refused = find(&format!("tcp = {{ address = \"127.0.0.1:{}\" }}", free_port())).await;
    assert!(refused.is_problem());
    assert_eq!(refused.remedy, "start the service, or correct the port");
    assert!(!find("load = {}").await.is_problem() || find("load = {}").await.detail.contains("load"));
    assert!(find("command = { argv = [\"/no/such\"] }").await.is_problem());
    assert!(!find("command = { argv = [\"/bin/true\"] }").await.is_problem());
    let target = settings("check.http = { url = \"https://shop.example/a?token=x#y\" }")
        .check
        .as_dyn()
        .target();
    assert_eq!(target, "https://shop.example/a");
}
