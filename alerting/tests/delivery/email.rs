//! E-mail to a real server (aiosmtpd) that wants TLS and a login.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use events::Outcome;
use outbound::FindingState;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::installed::installed;
use super::{composed, context, job, secret, settings};

struct Server {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
    scheme: &'static str,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The interpreter with the packages that `./test --prepare` installs.
fn python() -> Command {
    Command::new(installed("python/bin/python3"))
}

/// An authority and a certificate of `localhost` that it signed.
fn certificates(folder: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let server = server.signed_by(&key, &authority).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(folder.join("server.pem"), server.pem()).unwrap();
    std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
}

/// A port below those that the kernel gives to outgoing connections: one of those could connect to itself.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() * 37 % 18_000).unwrap();
    let mut ports = (0..18_000).map(|_| 12_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % 18_000);
    ports
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

impl Server {
    async fn start(implicit: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let port = free_port();
        let mut command = python();
        command.arg(root().join("tests/harness/scripts/smtp_server.py"));
        let path = |name: &str| folder.path().join(name);
        command
            .args(["--port", &port.to_string()])
            .arg("--folder")
            .arg(folder.path());
        command
            .arg("--certificate")
            .arg(path("server.pem"))
            .arg("--key")
            .arg(path("server.key"));
        command.args(["--user", "watch@keep", "--password", "p/ss"]);
        if implicit {
            command.arg("--implicit");
        }
        let scheme = if implicit { "smtps" } else { "smtp" };
        Self::run(command, port, folder, scheme).await
    }

    /// A server that knows no TLS at all.
    async fn plain() -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let port = free_port();
        let mut command = python();
        command
            .args(["-m", "aiosmtpd", "-n", "-l"])
            .arg(format!("127.0.0.1:{port}"));
        Self::run(command, port, folder, "smtp").await
    }

    async fn run(mut command: Command, port: u16, folder: tempfile::TempDir, scheme: &'static str) -> Self {
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self {
            process,
            port,
            folder,
            scheme,
        };
        for _ in 0..400 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the SMTP server does not listen");
    }

    fn settings(&self, password: &str, ca: bool) -> alerting::NotifySettings {
        let url = format!("{}://watch%40keep:{password}@localhost:{}", self.scheme, self.port);
        let smtp = secret(self.folder.path(), "smtp", &url);
        let ca = if ca {
            format!(", ca = \"{}\"", self.folder.path().join("ca.pem").display())
        } else {
            String::new()
        };
        settings(&format!(
            "via.email = {{ to = [\"On call <me@shop.example>\", \"you@shop.example\"], \
             from = \"Watchkeep <watchkeep@shop.example>\", smtp = {{ file = {smtp:?} }}{ca} }}"
        ))
    }

    /// Who got each mail.
    fn receivers(&self) -> Vec<String> {
        let mut files: Vec<_> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .collect();
        files.sort();
        let to = |path: &PathBuf| {
            let about: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            let to = about.get("to").unwrap().as_array().unwrap().iter();
            to.map(|one| one.as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        files.iter().map(to).collect()
    }

    /// From here on this is what is answered: to everybody, to one address, or to the content.
    fn refuse(&self, what: &str, answer: &str) {
        std::fs::write(self.folder.path().join(what), answer).unwrap();
    }

    fn accept(&self, what: &str) {
        std::fs::remove_file(self.folder.path().join(what)).unwrap();
    }

    async fn send(&self, settings: &alerting::NotifySettings) -> Outcome {
        let notifier = settings.via.as_dyn().build(&context(self.folder.path()));
        let id = job("one");
        notifier.send(id, &composed(id)).await
    }

    fn mails(&self) -> Vec<String> {
        let mut files: Vec<_> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let mails = files
            .iter()
            .filter(|path| path.extension().is_some_and(|end| end == "eml"));
        mails.map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    /// A header as Python's own parser reads it.
    fn header(&self, name: &str) -> String {
        let script = root().join("tests/harness/scripts/read_mail.py");
        let mail = self.folder.path().join("0001.eml");
        let done = python().arg(script).arg(mail).args(["header", name]).output().unwrap();
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    }
}

fn why(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Later { why, .. } | Outcome::Failed { why } | Outcome::Held { why } => why,
        Outcome::Done { answer } => panic!("delivered: {answer}"),
    }
}

#[tokio::test]
async fn arrives_by_both_kinds_of_tls_with_the_same_bytes_at_every_attempt() {
    for implicit in [false, true] {
        let server = Server::start(implicit).await;
        let settings = server.settings("p%2Fss", true);
        for _ in 0..2 {
            let outcome = server.send(&settings).await;
            assert_eq!(
                outcome,
                Outcome::Done {
                    answer: "250 stored".to_owned()
                }
            );
        }
        let mails = server.mails();
        assert_eq!(mails.len(), 2);
        assert_eq!(mails[0], mails[1]);
    }
}

#[tokio::test]
async fn a_mail_has_what_threads_and_filters_need() {
    let server = Server::start(false).await;
    server.send(&server.settings("p%2Fss", true)).await;
    assert_eq!(server.header("Subject"), "FIRING café is down: connection refused");
    assert_eq!(server.header("Message-ID"), format!("<{}@shop.example>", job("one")));
    assert_eq!(server.header("Auto-Submitted"), "auto-generated");
    assert_eq!(server.header("Date"), "Sat, 21 Nov 2026 03:12:04 +0000");
    let thread = server.header("References");
    assert!(
        thread.starts_with("<incident-") && thread == server.header("In-Reply-To"),
        "{thread}"
    );
}

#[tokio::test]
async fn an_unknown_certificate_is_refused() {
    let server = Server::start(true).await;
    let outcome = server.send(&server.settings("p%2Fss", false)).await;
    assert!(matches!(outcome, Outcome::Later { .. }), "{outcome:?}");
    assert!(why(&outcome).to_lowercase().contains("certificate"), "{outcome:?}");
    assert_eq!(why(&outcome).matches("onnection error").count(), 1, "{outcome:?}");
    assert!(server.mails().is_empty());
    let settings = server.settings("p%2Fss", false);
    let findings = settings.via.as_dyn().preflight(&context(server.folder.path())).await;
    assert!(findings[0].remedy.contains("with `ca = "), "{findings:?}");
}

#[tokio::test]
async fn a_wrong_password_can_be_mended_and_is_not_told() {
    let server = Server::start(false).await;
    let outcome = server.send(&server.settings("hunter2", true)).await;
    assert!(matches!(outcome, Outcome::Later { .. }), "{outcome:?}");
    assert!(!why(&outcome).contains("hunter2"), "{outcome:?}");
    let outcome = server.send(&server.settings("p%2Fss", true)).await;
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_refusal_never_costs_the_message() {
    let server = Server::start(false).await;
    let settings = server.settings("p%2Fss", true);
    let answers = ["451 try later", "550 no such user", "554 relay is in trouble"];
    for (what, answer) in answers
        .iter()
        .flat_map(|answer| [("refuse", answer), ("refuse-content", answer)])
    {
        server.refuse(what, answer);
        let outcome = server.send(&settings).await;
        assert!(matches!(outcome, Outcome::Later { .. }), "{what} {outcome:?}");
        let words = answer.split_once(' ').unwrap().1;
        assert!(why(&outcome).contains(words), "{outcome:?}");
        assert_eq!(
            why(&outcome).contains("me@shop.example"),
            what == "refuse",
            "{outcome:?}"
        );
        server.accept(what);
    }
    assert!(server.mails().is_empty());
    let outcome = server.send(&settings).await;
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_refused_recipient_costs_the_others_nothing() {
    let server = Server::start(false).await;
    let settings = server.settings("p%2Fss", true);
    let notifier = settings.via.as_dyn().build(&context(server.folder.path()));
    let (id, gone) = (job("one"), "refuse-you@shop.example");
    for answer in ["550 no such user", "452 mailbox is full"] {
        server.refuse(gone, answer);
        let outcome = notifier.send(id, &composed(id)).await;
        assert!(
            matches!(
                outcome,
                Outcome::Later {
                    not_before: Some(_),
                    ..
                }
            ),
            "{outcome:?}"
        );
        assert!(why(&outcome).contains("you@shop.example is refused"), "{outcome:?}");
        assert!(!why(&outcome).contains("me@shop.example"), "{outcome:?}");
        assert_eq!(server.receivers(), ["me@shop.example"], "at once, and only once");
    }
    server.accept(gone);
    for _ in 0..2 {
        let outcome = notifier.send(id, &composed(id)).await;
        let answer = "250 stored".to_owned();
        assert_eq!(outcome, Outcome::Done { answer });
    }
    assert_eq!(server.receivers(), ["me@shop.example", "you@shop.example"]);
    let mails = server.mails();
    assert_eq!(mails[0], mails[1], "the bytes never change");
}

#[tokio::test]
async fn nothing_is_handed_to_a_server_without_tls() {
    let server = Server::plain().await;
    let outcome = server.send(&server.settings("p%2Fss", true)).await;
    assert!(matches!(outcome, Outcome::Later { .. }), "{outcome:?}");
    assert!(why(&outcome).to_uppercase().contains("STARTTLS"), "{outcome:?}");
}

#[tokio::test]
async fn a_check_greets_and_logs_in() {
    let server = Server::start(false).await;
    let context = context(server.folder.path());
    let states = async |settings: alerting::NotifySettings| {
        let findings = settings.via.as_dyn().preflight(&context).await;
        findings
            .into_iter()
            .map(|finding| (finding.state, finding.detail))
            .collect::<Vec<_>>()
    };
    let good = states(server.settings("p%2Fss", true)).await;
    assert_eq!(good, [(FindingState::Ok, "encrypted, logged in".to_owned())]);
    let bad = states(server.settings("hunter2", true)).await;
    assert_eq!(bad[0].0, FindingState::Problem, "{bad:?}");
    server.refuse("refuse-you@shop.example", "550 no such user");
    let gone = states(server.settings("p%2Fss", true)).await;
    let [(FindingState::Problem, detail)] = gone.as_slice() else {
        panic!("{gone:?}")
    };
    assert!(detail.contains("you@shop.example is refused"), "{detail}");
    assert!(server.mails().is_empty(), "a check tells nobody anything");
}

#[tokio::test]
async fn an_unset_variable_is_told_with_where_to_set_it() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        r#"via.email = { to = ["me@shop.example"], from = "a@b.example", smtp = { env = "WATCHKEEP_NO_SUCH_URL" } }"#;
    let source = config::Source::new("watchkeep.toml", text.to_owned());
    let settings = config::load::<alerting::NotifySettings>(&source).unwrap();
    let findings = settings.via.as_dyn().preflight(&context(folder.path())).await;
    let [finding] = findings.as_slice() else {
        panic!("{findings:?}");
    };
    assert!(
        finding.is_problem() && finding.detail.contains("WATCHKEEP_NO_SUCH_URL is not set"),
        "{finding:?}"
    );
    for part in ["export WATCHKEEP_NO_SUCH_URL=", "EnvironmentFile="] {
        assert!(finding.remedy.contains(part), "{finding:?}");
    }
}

#[test]
fn wrong_addresses_are_refused_when_they_are_read() {
    for to in ["[]", "[\"me\"]", "[\"me@shop.example\\r\\nBcc: all@shop.example\"]"] {
        let text = format!("via.email = {{ to = {to}, from = \"a@b.example\", smtp = {{ env = \"X\" }} }}");
        let source = config::Source::new("watchkeep.toml", text);
        let refused = config::load::<alerting::NotifySettings>(&source);
        assert!(refused.is_err(), "{to}");
    }
}
