//! Tries what the daemon itself opens, and where its heartbeat goes: the address, the group, the way out.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use outbound::{Context, Finding};
use reqwest::Url;
use store::{Folder, Holder};
use web::answer::StatusAnswer;

use crate::{
    client::{self, Question},
    heartbeat::HeartbeatSettings,
    run::serve,
    settings::{self, Settings},
};

/// How long the receiver of a heartbeat may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The address and the group of `[web]`.
pub(super) async fn doors(settings: &Settings, data: &Path) -> Vec<Finding> {
    let mut findings = vec![listen(settings.listen(), data).await];
    if let Some(group) = &settings.web.group {
        let what = format!("[web] group {}", group.as_str());
        findings.push(match serve::members(settings) {
            Ok(_) => Finding::ok(what, "exists, and this user may give the socket to it"),
            Err(report) => Finding::problem(
                what,
                report.to_string(),
                "run check as the user that runs the daemon; `groupadd --system` makes a group, `usermod -aG` adds to one",
            ),
        });
    }
    findings
}

/// Whether the address can be listened on. A daemon that runs on the same data has it already, as it should.
async fn listen(address: &str, data: &Path) -> Finding {
    let what = format!("[web] listen {address}");
    let Err(error) = tokio::net::TcpListener::bind(address).await else {
        return Finding::ok(what, "is free");
    };
    let remedy = "set another address: [web] listen = \"127.0.0.1:4319\"";
    if error.kind() != io::ErrorKind::AddrInUse {
        return Finding::problem(what, error.to_string(), remedy);
    }
    match Folder::holder(data) {
        Some(holder) => used_by(what, address, &holder, listens_on(data).await),
        None => {
            let remedy = format!("{remedy}; `ss -ltnp` names the program");
            Finding::problem(what, "another program has it", remedy)
        }
    }
}

/// What is to be said when a daemon runs on this data; `on` is where that one listens, if it could be asked.
fn used_by(what: String, address: &str, holder: &Holder, on: Option<String>) -> Finding {
    let pid = holder.pid;
    match on {
        Some(on) if on == address => Finding::ok(
            what,
            format!("in use by the running watchkeep (process {pid}), as it should be"),
        ),
        Some(on) => Finding::problem(
            what,
            format!("another program has it; the running watchkeep (process {pid}) listens on {on}"),
            "set another address: a reload with this one is refused; `ss -ltnp` names the program",
        ),
        None => Finding::skipped(
            what,
            format!("it is in use; a watchkeep runs on this data (process {pid}) and could not be asked whether by it"),
        ),
    }
}

async fn listens_on(data: &Path) -> Option<String> {
    let answer = client::ask(&socket(data), &Question::get("/api/v1/status", &[]))
        .await
        .ok()?;
    serde_json::from_slice::<StatusAnswer>(&answer.body)
        .ok()?
        .described
        .listen
}

/// The socket of the daemon that runs: in its data folder, or where systemd has it.
fn socket(data: &Path) -> PathBuf {
    let own = settings::socket_of(data);
    let system = PathBuf::from(client::SYSTEM_SOCKET);
    if !own.exists() && system.exists() { system } else { own }
}

/// Whether the receiver of a heartbeat can be reached. Only the root of its host is asked: the address itself counts what
/// it is asked as a sign of life.
pub(super) async fn heartbeat(name: &str, heartbeat: &HeartbeatSettings, context: &Context) -> Finding {
    let what = format!("heartbeat {name}");
    let url = match heartbeat.url.read() {
        Ok(url) => url,
        Err(error) => return Finding::problem(what, outbound::chain(&error), heartbeat.url.remedy()),
    };
    let root = match root_of(url.expose()) {
        Ok(root) => root,
        Err(why) => {
            let remedy = "write the address that the receiver gave you, such as https://hc-ping.com/…";
            return Finding::problem(what, format!("its address is no URL: {why}"), remedy);
        }
    };
    let what = format!("{what}: {}", root.host_str().unwrap_or("its host"));
    let remedy = "check the address, the network and the certificate";
    match tokio::time::timeout(ANSWER_MAX, context.client().head(root).send()).await {
        Ok(Ok(_)) => Finding::ok(
            what,
            "can be reached; the address itself is called once the daemon runs",
        ),
        Ok(Err(error)) => Finding::problem(what, outbound::chain(&error.without_url()), remedy),
        Err(_) => Finding::problem(what, format!("no answer within {} s", ANSWER_MAX.as_secs()), remedy),
    }
}

/// The root of an address: without path, query and user, which may be secret.
fn root_of(text: &str) -> Result<Url, String> {
    let url: Url = text.trim().parse().map_err(|error| format!("{error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it is neither http nor https".to_owned());
    }
    url.join("/")
        .map(|mut root| {
            // Fails only for addresses without a host, which http has always.
            let _ = root.set_username("");
            let _ = root.set_password(None);
            root
        })
        .map_err(|error| format!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder() -> Holder {
        Holder {
            pid: 7,
            ..Holder::default()
        }
    }

    #[test]
    fn the_port_of_the_own_daemon_is_no_problem() {
        let said = |on: Option<&str>| used_by("listen".to_owned(), "127.0.0.1:4318", &holder(), on.map(str::to_owned));
        let own = said(Some("127.0.0.1:4318"));
        assert!(
            !own.is_problem() && own.detail.contains("running watchkeep (process 7)"),
            "{own:?}"
        );
        assert!(said(Some("127.0.0.1:4319")).is_problem());
        assert_eq!(said(None).state, outbound::FindingState::Skipped);
    }

    #[test]
    fn only_the_root_is_asked() {
        let root = |text: &str| root_of(text).map(String::from);
        assert_eq!(
            root("https://me:word@hc.example:8443/ping/uuid?token=1#x"),
            Ok("https://hc.example:8443/".to_owned())
        );
        assert!(root("ftp://hc.example/").unwrap_err().contains("neither"));
        root("nonsense").unwrap_err();
    }

    #[tokio::test]
    async fn a_port_is_free_or_taken() {
        let folder = tempfile::tempdir().unwrap();
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let found = listen(&address, folder.path()).await;
        assert!(
            found.is_problem() && found.detail == "another program has it",
            "{found:?}"
        );
        drop(taken);
        assert_eq!(listen(&address, folder.path()).await.detail, "is free");
    }
}
