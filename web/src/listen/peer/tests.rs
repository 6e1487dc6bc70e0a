use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::*;

const WRITE_TIME: Duration = Duration::from_millis(500);
const BUFFER: u32 = 16 * 1024;

/// Both ends of a connection whose buffers are small.
async fn connection() -> (Watched<TcpStream>, TcpStream, Arc<Peer>) {
    let listening = TcpSocket::new_v4().unwrap();
    listening.set_send_buffer_size(BUFFER).unwrap();
    listening.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener = listening.listen(1).unwrap();
    let calling = TcpSocket::new_v4().unwrap();
    calling.set_recv_buffer_size(BUFFER).unwrap();
    let client = calling.connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let peer = Arc::new(Peer::new());
    (Watched::new(server, Arc::clone(&peer), WRITE_TIME), client, peer)
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_given_up() {
    let (mut server, _client, peer) = connection().await;
    let wrote = tokio::time::timeout(Duration::from_secs(20), server.write_all(&vec![0; 1 << 20])).await;
    assert_eq!(wrote.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(peer.idle().unwrap() >= WRITE_TIME / 2, "nothing moved");
}

struct Never;

#[async_trait::async_trait]
impl events::Stop for Never {
    fn is_stopped(&self) -> bool {
        false
    }

    async fn stopped(&self) {
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_not_read_ends_its_connection() {
    let (server, mut client, peer) = connection().await;
    let router = axum::Router::new().route("/", axum::routing::get(async || vec![0; 1 << 20]));
    let conversation = crate::listen::converse(server, crate::Caller::TCP, peer, router, Arc::new(Never));
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), conversation).await;
    assert!(ended.is_ok());
}

#[tokio::test]
async fn a_slow_peer_that_reads_gets_everything() {
    const SIZE: usize = 256 * 1024;
    let (mut server, mut client, _) = connection().await;
    let began = Instant::now();
    let reading = async {
        let mut pace = tokio::time::interval(WRITE_TIME / 10);
        let (mut piece, mut read) = (vec![0; 8 * 1024], 0);
        while read < SIZE {
            pace.tick().await;
            read += client.read(&mut piece).await.unwrap();
        }
    };
    let all = vec![0; SIZE];
    let (wrote, ()) = tokio::join!(server.write_all(&all), reading);
    wrote.unwrap();
    assert!(began.elapsed() > WRITE_TIME * 2, "it was slow: {:?}", began.elapsed());
}

#[tokio::test]
async fn who_waits_for_us_is_not_idle() {
    let peer = Arc::new(Peer::new());
    assert!(peer.idle().is_some());
    let (one, other) = (peer.asks(), peer.asks());
    drop(one);
    assert_eq!(peer.idle(), None);
    drop(other);
    assert!(peer.idle().is_some());
}
