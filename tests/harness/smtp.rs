//! A real SMTP server with TLS and login, which keeps each mail as a file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::certificate::Certificate;
use crate::{Process, ports, tools, wait};

/// How TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// From the first byte (port 465 of the world).
    Implicit,
    /// By STARTTLS, which the server requires before anything else.
    StartTls,
}

/// One mail as it arrived.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Envelope sender.
    pub from: String,
    /// Envelope recipients.
    pub to: Vec<String>,
    /// The name the sender logged in with.
    pub user: Option<String>,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Headers and body, byte for byte.
    pub text: String,
}

impl Mail {
    /// The value of a header, unfolded and decoded (RFC 2047).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let found = self.part("header", name);
        (!found.is_empty()).then_some(found)
    }

    /// The plain text of the mail, with its transfer encoding undone.
    #[must_use]
    pub fn body(&self) -> String {
        self.part("body", "")
    }

    /// Python's own parser reads the mail, so that ours is not judged by ours.
    fn part(&self, what: &str, name: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mail.eml");
        std::fs::write(&file, &self.text).unwrap();
        tools::run(
            Command::new(tools::python())
                .arg(tools::script("read_mail.py"))
                .arg(file)
                .arg(what)
                .arg(name),
        )
    }
}

/// The server.
#[derive(Debug)]
pub struct Smtp {
    /// Port it listens on, also over stops and starts.
    pub port: u16,
    /// Name to log in with.
    pub user: &'static str,
    /// Password to log in with.
    pub password: &'static str,
    tls: Tls,
    folder: PathBuf,
    certificate: Certificate,
    process: Option<Process>,
}

impl Smtp {
    /// Starts it on a free port.
    #[must_use]
    pub fn start(folder: &Path, tls: Tls, certificate: &Certificate) -> Self {
        let port = ports::free();
        let folder = folder.join(format!("smtp-{port}"));
        std::fs::create_dir_all(&folder).unwrap();
        let certificate = certificate.clone();
        let mut server = Self {
            port,
            user: "watchkeep",
            password: "s3cret-pass",
            tls,
            folder,
            certificate,
            process: None,
        };
        server.start_again();
        server
    }

    /// The URL for the configuration: `smtps://` for implicit TLS, `smtp://` for STARTTLS, which Watchkeep then requires.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_by(self.port)
    }

    /// The same by another port, such as that of a proxy in front of it.
    #[must_use]
    pub fn url_by(&self, port: u16) -> String {
        let scheme = match self.tls {
            Tls::Implicit => "smtps",
            Tls::StartTls => "smtp",
        };
        format!("{scheme}://{}:{}@localhost:{port}", self.user, self.password)
    }

    /// Starts it on the same port after a stop; the mails stay.
    pub fn start_again(&mut self) {
        let mut command = Command::new(tools::python());
        command
            .arg(tools::script("smtp_server.py"))
            .arg("--port")
            .arg(self.port.to_string())
            .arg("--folder")
            .arg(&self.folder);
        command
            .arg("--certificate")
            .arg(&self.certificate.chain)
            .arg("--key")
            .arg(&self.certificate.key);
        command.args(["--user", self.user, "--password", self.password]);
        if self.tls == Tls::Implicit {
            command.arg("--implicit");
        }
        let mut process = Process::start(&mut command, &self.folder.join("server.log"));
        process.wait_for_port(self.port, Duration::from_secs(20));
        self.process = Some(process);
    }

    /// Stops it: connections are refused from here on.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// From here on every recipient gets this answer, such as `451 try later`.
    pub fn refuse(&self, answer: &str) {
        std::fs::write(self.folder.join("refuse"), answer).unwrap();
    }

    /// Takes mail again.
    pub fn accept(&self) {
        let _was_accepting = std::fs::remove_file(self.folder.join("refuse"));
    }

    /// Every mail so far, in order of arrival.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        let entries = std::fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = entries
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .collect();
        files.sort();
        files.iter().map(|path| read(path)).collect()
    }

    /// Waits for `count` mails and gives all there are by then.
    #[expect(clippy::must_use_candidate, reason = "to wait is often all that is wanted")]
    pub fn wait_for(&self, count: usize, limit: Duration) -> Vec<Mail> {
        wait::until(&format!("{count} mails"), limit, || {
            Some(self.mails()).filter(|mails| mails.len() >= count)
        })
    }
}

fn read(path: &Path) -> Mail {
    let about: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let to = about["to"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_str().unwrap().to_owned())
        .collect();
    Mail {
        from: about["from"].as_str().unwrap().to_owned(),
        to,
        user: about["user"].as_str().map(ToOwned::to_owned),
        tls: about["tls"].as_bool().unwrap(),
        text: String::from_utf8_lossy(&std::fs::read(path.with_extension("eml")).unwrap()).into_owned(),
    }
}
