//! Where answers come from: a running daemon, or the record it left.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use store::Folder;
use tower::ServiceExt;
use web::{Caller, Described, Desk, Scope, socket_router};

use super::{
    Failure,
    failure::{BROKEN, FORBIDDEN, UNREACHABLE, USAGE},
    output::Output,
    text::{ago, clock_utc},
};
use crate::{
    client::{self, Answered, ClientError, Question},
    clock::MachineClocks,
    run::banner,
    settings,
};

/// Where the daemon is, as typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The configuration file.
    pub(crate) config: Option<PathBuf>,
    /// The socket.
    pub(crate) socket: Option<PathBuf>,
}

impl Place {
    fn socket(&self) -> Result<PathBuf, Failure> {
        client::socket_path(self.config.as_deref(), self.socket.as_deref())
            .map_err(|report| Failure::from_report(USAGE, &report))
    }

    /// The data folder: of the configuration, or beside the socket that was named.
    pub(crate) fn folder(&self) -> Result<PathBuf, Failure> {
        let beside = self
            .socket
            .as_deref()
            .and_then(Path::parent)
            .filter(|folder| folder.join("journal.db").exists());
        match beside {
            Some(folder) => Ok(folder.to_owned()),
            None => settings::store_path(self.config.as_deref()).map_err(|report| Failure::from_report(USAGE, &report)),
        }
    }

    /// The configuration in words, as far as it can be read.
    fn described(&self) -> Described {
        let Ok(source) = settings::source(self.config.as_deref()) else {
            return Described::default();
        };
        settings::read(&source)
            .map(|settings| banner::describe(&source, &settings))
            .unwrap_or_default()
    }
}

/// An answer that says yes.
pub(crate) struct Answer {
    /// Its body, as it came.
    pub(crate) body: bytes::Bytes,
}

impl Answer {
    /// What it says.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = format!("the daemon's answer was not understood: {error}");
            Failure::new(BROKEN, what)
                .advice("the daemon may be of another version than this program; --json shows its answer")
        })
    }
}

/// Runs what waits for answers.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(BROKEN, format!("start the runtime: {error}")))?;
    runtime.block_on(work)
}

/// Asks the daemon; a question, and only that, is answered from the record when none runs.
pub(crate) async fn ask(place: &Place, question: &Question, output: &Output) -> Result<Answer, Failure> {
    let socket = place.socket()?;
    let mut is_still = false;
    let answered = match client::ask(&socket, question).await {
        Ok(answered) => answered,
        Err(error) if is_absent(&error) && question.method == Method::GET => {
            is_still = true;
            still(place, &socket, question, output).await?
        }
        Err(error) => return Err(unreachable(&error, place)),
    };
    if answered.status.is_success() {
        return Ok(Answer { body: answered.body });
    }
    let failure = Failure::from_answer(&answered);
    let needs_daemon = is_still && answered.status == StatusCode::SERVICE_UNAVAILABLE;
    Err(Failure {
        code: if needs_daemon { UNREACHABLE } else { failure.code },
        ..failure
    })
}

/// Whether nobody listens at the socket at all.
fn is_absent(error: &ClientError) -> bool {
    let absent = |kind| matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
    matches!(error, ClientError::Connect { source, .. } if absent(source.kind()))
}

fn unreachable(error: &ClientError, place: &Place) -> Failure {
    let mut what = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        what.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    let denied =
        matches!(error, ClientError::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied);
    if denied {
        return Failure::new(FORBIDDEN, what).advice("be root, the daemon's user, or a member of [web] group");
    }
    let holder = place.folder().ok().and_then(|folder| Folder::holder(&folder));
    let advice = match holder {
        Some(holder) if is_absent(error) => format!("a daemon runs ({holder}), but not at this socket: name it with --socket, or wait until it has started"),
        Some(holder) => format!("a daemon runs ({holder}) but does not answer: see its log, and restart it if it is stuck"),
        None => "no daemon is running: start one with `watchkeep run`, or name its socket with --socket or its file with --config".to_owned(),
    };
    Failure::new(UNREACHABLE, what).advice(advice)
}

/// Answers from the record of a daemon that does not run, by the same handlers, and says so.
async fn still(place: &Place, socket: &Path, question: &Question, output: &Output) -> Result<Answered, Failure> {
    let path = place.folder()?;
    let absent = || {
        let what = format!(
            "no daemon answers at {}, and there is no journal in {}",
            socket.display(),
            path.display()
        );
        Failure::new(UNREACHABLE, what)
            .advice("start one with `watchkeep run`, or name its file with --config or its socket with --socket")
    };
    if let Some(holder) = Folder::holder(&path) {
        let what = format!("a daemon runs ({holder}), but nobody answers at {}", socket.display());
        return Err(
            Failure::new(UNREACHABLE, what).advice("wait until it has started, or name its socket with --socket")
        );
    }
    if !path.join("journal.db").exists() {
        return Err(absent());
    }
    let failed = |error: store::StoreError| {
        Failure::new(
            UNREACHABLE,
            format!(
                "no daemon is running, and its record cannot be read: {}",
                store::chain_of(&error)
            ),
        )
    };
    let folder = Folder::look(&path).map_err(failed)?;
    let clocks = Arc::new(MachineClocks::new());
    let desk = Desk::still(folder, clocks, Arc::new(place.described()), env!("CARGO_PKG_VERSION"))
        .await
        .map_err(failed)?;
    let now = desk.asked_at();
    let as_of = desk.last_recorded().await.map_err(failed)?;
    let as_of = as_of.map_or_else(
        || "nothing was recorded yet".to_owned(),
        |at| {
            format!(
                "this is as of its last commit, {} ({})",
                clock_utc(at, now),
                ago(at, now)
            )
        },
    );
    output.note_once(&format!("no daemon is running; {as_of}"));
    answer_still(desk, question)
        .await
        .map_err(|error| Failure::new(BROKEN, format!("ask the record: {error}")))
}

async fn answer_still(desk: Desk, question: &Question) -> Result<Answered, Box<dyn std::error::Error>> {
    let mut request = question.request()?.map(Body::new);
    request.extensions_mut().insert(Caller {
        uid: None,
        scope: Scope::Operate,
    });
    let response = socket_router(desk).oneshot(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Answered { status, body })
}
