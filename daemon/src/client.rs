//! A client of the API over the data folder's socket: HTTP/1, one connection a question.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::settings;

/// Where a daemon under systemd has its socket.
pub(crate) const SYSTEM_SOCKET: &str = "/run/watchkeep/watchkeep.sock";
/// How long a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long an answer may take; the daemon itself gives up earlier.
const ANSWER_TIME: Duration = Duration::from_secs(45);
/// Most bytes of an answer: a trace of 10,000 spans with as many logs is below it.
const ANSWER_MAX: usize = 96 * 1024 * 1024;

/// The socket to ask at: the one named; else in the runtime folder or the data folder; else where systemd has it.
///
/// # Errors
/// When the configuration cannot be read.
pub(crate) fn socket_path(config: Option<&Path>, socket: Option<&Path>) -> miette::Result<PathBuf> {
    if let Some(socket) = socket {
        return Ok(socket.to_owned());
    }
    let own = settings::socket_of(&settings::store_path(config)?);
    let system = Path::new(SYSTEM_SOCKET);
    if !own.exists() && system.exists() {
        Ok(system.to_owned())
    } else {
        Ok(own)
    }
}

/// What to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// Method.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    /// Body, for what is recorded.
    pub(crate) body: Option<serde_json::Value>,
    /// Idempotency key.
    pub(crate) key: Option<String>,
}

impl Question {
    /// A question that changes nothing.
    pub(crate) fn get(path: &str, query: &[(&str, Option<&str>)]) -> Self {
        let pairs: Vec<String> = query
            .iter()
            .filter_map(|(name, value)| value.map(|value| format!("{name}={}", escaped(value))))
            .collect();
        let target = if pairs.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", pairs.join("&"))
        };
        Self {
            method: Method::GET,
            target,
            body: None,
            key: None,
        }
    }

    /// Something to record.
    pub(crate) fn post(path: &str, body: serde_json::Value) -> Self {
        Self {
            method: Method::POST,
            target: path.to_owned(),
            body: Some(body),
            key: None,
        }
    }

    /// As a request.
    pub(crate) fn request(&self) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.target)
            .header(header::HOST, "localhost");
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        let body = self
            .body
            .as_ref()
            .map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request.body(Full::new(body))
    }
}

/// A part of a path or query, percent-encoded (RFC 3986).
pub(crate) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let one = |byte: u8| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(one).collect()
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// Body, as it came.
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens.
    #[error("connect to {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It took too long.
    #[error("no answer from {} within {} s", path.display(), ANSWER_TIME.as_secs())]
    Deadline {
        /// The socket.
        path: PathBuf,
    },
    /// The conversation broke off, or was none.
    #[error("ask at {}", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Asks at a socket.
///
/// # Errors
/// When nobody listens there, or no whole answer comes in time.
pub(crate) async fn ask(socket: &Path, question: &Question) -> Result<Answered, ClientError> {
    let path = || socket.to_owned();
    let timed_out = || io::Error::from(io::ErrorKind::TimedOut);
    let connected = tokio::time::timeout(CONNECT_TIME, UnixStream::connect(socket)).await;
    let stream = connected
        .unwrap_or_else(|_| Err(timed_out()))
        .map_err(|source| ClientError::Connect { path: path(), source })?;
    match tokio::time::timeout(ANSWER_TIME, converse(stream, question)).await {
        Ok(answered) => answered.map_err(|source| ClientError::Broken { path: path(), source }),
        Err(_) => Err(ClientError::Deadline { path: path() }),
    }
}

async fn converse(
    stream: UnixStream,
    question: &Question,
) -> Result<Answered, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let response = sender.send_request(question.request()?).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX)
            .collect()
            .await?
            .to_bytes();
        Ok(Answered { status, body })
    };
    tokio::pin!(exchange);
    // The connection has to be driven beside the exchange; it ends with it.
    tokio::select! {
        answered = &mut exchange => answered,
        ended = connection => {
            ended?;
            exchange.await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_cannot_leave_its_place() {
        let question = Question::get(
            "/api/v1/logs",
            &[
                ("contains", Some("a&b=c #é\n")),
                ("service", None),
                ("limit", Some("5")),
            ],
        );
        assert_eq!(
            question.target,
            "/api/v1/logs?contains=a%26b%3Dc%20%23%C3%A9%0A&limit=5"
        );
        assert_eq!(escaped("../x?y"), "..%2Fx%3Fy");
        assert!(question.request().is_ok());
    }

    #[tokio::test]
    async fn nobody_listens() {
        let folder = tempfile::tempdir().unwrap();
        let error = ask(&folder.path().join("watchkeep.sock"), &Question::get("/livez", &[]))
            .await
            .unwrap_err();
        assert!(matches!(error, ClientError::Connect { source, .. } if source.kind() == io::ErrorKind::NotFound));
    }
}
