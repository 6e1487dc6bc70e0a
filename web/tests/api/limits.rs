//! Limits of bodies, headers and time, over real connections.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::Method};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinSet,
};
use web::{Members, bind_socket, serve_socket, serve_tcp};

use crate::house::{EARS_MAX, Rig, Sign, request, said};

#[tokio::test]
async fn a_body_that_is_too_large_never_reaches_the_kind() {
    let rig = Rig::new().await;
    let large = said(
        rig.tcp(),
        request(Method::POST, "/v1/logs", Body::from(vec![0; EARS_MAX + 1])),
    )
    .await;
    assert!(large.problem(413).contains("100000"));
    // The same without a length: it is counted while it comes.
    let pieces = (0..20).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 10_000]));
    let streamed = Body::from_stream(futures_util::stream::iter(pieces));
    said(rig.tcp(), request(Method::POST, "/v1/logs", streamed))
        .await
        .problem(413);
    assert!(rig.ears.0.lock().unwrap().is_empty());
    let answer = said(
        rig.tcp(),
        request(Method::POST, "/v1/logs", Body::from(vec![0; EARS_MAX])),
    )
    .await;
    assert_eq!(
        (answer.status.as_u16(), answer.headers["retry-after"].to_str().unwrap()),
        (429, "7")
    );
    assert_eq!(*rig.ears.0.lock().unwrap(), [EARS_MAX]);
    let said = rig
        .post("/api/v1/ack", &format!("{{\"incident\":\"{}\"}}", "x".repeat(70_000)))
        .await;
    said.problem(413);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_said_to() {
    let rig = Rig::new().await;
    let broken = Body::from_stream(futures_util::stream::iter([
        Ok(vec![b'{']),
        Err(std::io::Error::other("gone")),
    ]));
    assert!(
        said(rig.tcp(), request(Method::POST, "/v1/logs", broken))
            .await
            .problem(400)
            .starts_with("the body broke off")
    );
}

/// A listener that runs until it is dropped.
pub(crate) struct Served {
    sign: Sign,
    tasks: JoinSet<()>,
    pub(crate) address: std::net::SocketAddr,
}

pub(crate) async fn serve(rig: &Rig) -> Served {
    serve_on(rig, TcpListener::bind("127.0.0.1:0").await.unwrap())
}

pub(crate) fn serve_on(rig: &Rig, listener: TcpListener) -> Served {
    let address = listener.local_addr().unwrap();
    let sign = Sign(watch::Sender::new(false));
    let mut tasks = JoinSet::new();
    let (router, stop) = (rig.tcp(), Arc::new(sign.clone()));
    tasks.spawn(async move { serve_tcp(listener, router, stop).await });
    Served { sign, tasks, address }
}

pub(crate) async fn read_all(stream: &mut TcpStream, most: Duration) -> String {
    let mut read = Vec::new();
    tokio::time::timeout(most, stream.read_to_end(&mut read))
        .await
        .unwrap_or_else(|_| panic!("the daemon did not close the connection"))
        .ok();
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn headers_that_trickle_are_not_waited_for() {
    let rig = Rig::new().await;
    let served = serve(&rig).await;
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: local").await.unwrap();
    let began = tokio::time::Instant::now();
    let answer = read_all(&mut slow, Duration::from_secs(20)).await;
    assert!(
        began.elapsed() >= Duration::from_secs(3),
        "closed after {:?}",
        began.elapsed()
    );
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn bytes_that_are_no_http_are_answered_or_dropped_and_the_next_is_served() {
    let rig = Rig::new().await;
    let served = serve(&rig).await;
    let many = format!(
        "GET /livez HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        "X: y\r\n".repeat(500)
    );
    let smuggled = "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x";
    let cases: Vec<Vec<u8>> = vec![
        vec![0; 4096],
        (0..=255).collect(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(600_000)).into_bytes(),
        many.into_bytes(),
        smuggled.as_bytes().to_vec(),
    ];
    for case in cases {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        // The daemon may close before everything is written.
        let _ = stream.write_all(&case).await;
        let _ = stream.shutdown().await;
        let answer = read_all(&mut stream, Duration::from_secs(20)).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{:?}: {answer}",
            &case[..case.len().min(40)]
        );
    }
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let answer = read_all(&mut stream, Duration::from_secs(5)).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_stop_ends_idle_connections_soon() {
    let rig = Rig::new().await;
    let mut served = serve(&rig).await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    served.sign.0.send_replace(true);
    let ended = tokio::time::timeout(Duration::from_secs(5), served.tasks.join_next()).await;
    assert!(ended.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn on_the_socket_the_owner_is_known_by_its_user() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::new().await;
    let path = rig.folder().join("watchkeep.sock");
    // What an earlier process left is replaced.
    std::fs::write(&path, "").unwrap();
    let listener = bind_socket(&path, &Members::default()).unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600,
        "without a group there is nobody to share it with"
    );
    let sign = Sign(watch::Sender::new(false));
    let mut tasks = JoinSet::new();
    let (router, stop) = (rig.socket(), Arc::new(sign.clone()));
    tasks.spawn(async move { serve_socket(listener, router, Members::default(), stop).await });
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let body = r#"{"service":"shop","version":"1.4.2"}"#;
    let request = format!(
        "POST /api/v1/deployments HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    sign.0.send_replace(true);
    let fact = rig
        .app
        .journal
        .facts(&store::FactQuery {
            kinds: vec!["deployment_recorded".to_owned()],
            ..Default::default()
        })
        .await
        .unwrap();
    let own = std::fs::metadata(&path)
        .map(|file| std::os::unix::fs::MetadataExt::uid(&file))
        .unwrap();
    assert_eq!(fact.items[0].envelope.source.as_str(), format!("cli:uid:{own}"));
}
