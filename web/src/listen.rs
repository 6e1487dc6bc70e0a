//! The two listeners: the socket in the data folder and loopback TCP.

use std::{io, path::Path, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use events::Stop;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};
use tower::ServiceExt;

use self::{
    peer::{Peer, Watched},
    places::Places,
};
use crate::{Caller, Scope};

mod peer;
mod places;

/// How long a peer may take nothing of what is written to it.
const WRITE_TIME: Duration = Duration::from_secs(15);
/// How long the headers of a request may take.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// What is read ahead of a connection; its headers have to fit in.
const BUFFER_MAX: usize = 64 * 1024;
/// Pause after a failed accept: out of descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long open connections may take to end.
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// Who is admitted on the socket beside root and the daemon's own user.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// Group whose members may operate.
    pub group: Option<u32>,
}

/// A listener, and who comes through it.
trait Door: Send + Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Caller)>> + Send;
}

struct SocketDoor(UnixListener, Members);

impl Door for SocketDoor {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Caller)> {
        let (stream, _) = self.0.accept().await?;
        let caller = caller(&stream, &self.1);
        Ok((stream, caller))
    }
}

struct TcpDoor(TcpListener);

impl Door for TcpDoor {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Caller)> {
        let (stream, _) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, Caller::TCP))
    }
}

/// Serves the API on a socket that is bound already, until `stop`.
pub async fn serve_socket(listener: UnixListener, router: Router, members: Members, stop: Arc<dyn Stop>) {
    serve(SocketDoor(listener, members), router, stop).await;
}

/// Serves on TCP until `stop`.
pub async fn serve_tcp(listener: TcpListener, router: Router, stop: Arc<dyn Stop>) {
    serve(TcpDoor(listener), router, stop).await;
}

/// Binds the socket in its folder, readable for its owner and, if one is given, the members of a group only. A socket that nobody answers is replaced:
/// the data folder's lock is held already, so no other daemon owns it.
///
/// # Errors
/// When the folder cannot be written to.
pub fn bind_socket(path: &Path, members: &Members) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    let mode = if members.group.is_some() { 0o660 } else { 0o600 };
    std::os::unix::fs::chown(path, None, members.group)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    Ok(listener)
}

/// What the peer of a connection may do.
fn caller(stream: &UnixStream, members: &Members) -> Caller {
    let Ok(peer) = stream.peer_cred() else {
        return Caller::TCP;
    };
    let own = rustix::process::geteuid().as_raw();
    let scope = match peer.uid() {
        uid if uid == 0 || uid == own => Scope::Admin,
        // The socket's mode lets nobody else but the members of its group connect.
        _ if members.group.is_some() => Scope::Operate,
        _ => Scope::None,
    };
    Caller {
        uid: Some(peer.uid()),
        scope,
    }
}

async fn serve<D: Door>(door: D, router: Router, stop: Arc<dyn Stop>) {
    let mut places = Places::new();
    loop {
        let next = async {
            let accepted = door.accept().await;
            places.free().await;
            accepted
        };
        let accepted = tokio::select! { accepted = next => accepted, () = stop.stopped() => break };
        match accepted {
            Ok((stream, caller)) => {
                let peer = Arc::new(Peer::new());
                let stream = Watched::new(stream, Arc::clone(&peer), WRITE_TIME);
                let conversation = converse(stream, caller, Arc::clone(&peer), router.clone(), Arc::clone(&stop));
                places.take(peer, conversation);
            }
            Err(error) => {
                tracing::warn!(%error, "accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let _ = tokio::time::timeout(DRAIN_TIME, places.ended()).await;
}

async fn converse<S>(stream: S, caller: Caller, peer: Arc<Peer>, router: Router, stop: Arc<dyn Stop>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: Request<hyper::body::Incoming>| {
        let asked = peer.asks();
        request.extensions_mut().insert(caller);
        let answer = router.clone().oneshot(request.map(axum::body::Body::new));
        async move {
            let answer = answer.await;
            drop(asked);
            answer
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_headers(64)
        .max_buf_size(BUFFER_MAX);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // A peer that breaks off is its own matter.
        _ = connection.as_mut() => {}
        () = stop.stopped() => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(DRAIN_TIME, connection).await;
        }
    }
}
