//! More connections than there are places, over real sockets.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};

use crate::{
    house::Rig,
    limits::{read_all, serve, serve_on},
};

/// More than a listener has places.
const MANY: usize = 1100;

/// Both ends of every connection are files of this process.
fn more_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

async fn connect(address: std::net::SocketAddr) -> TcpStream {
    timeout(Duration::from_secs(20), TcpStream::connect(address))
        .await
        .unwrap()
        .unwrap()
}

async fn is_alive(address: std::net::SocketAddr) {
    let began = Instant::now();
    let mut stream = connect(address).await;
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let answer = read_all(&mut stream, Duration::from_secs(10)).await;
    assert!(
        answer.starts_with("HTTP/1.1 200"),
        "{answer:?} after {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn who_never_reads_keeps_nobody_out() {
    more_files();
    let rig = Rig::new().await;
    // Its connections inherit the size of its buffers: an answer that is not read waits in the daemon soon.
    let small = TcpSocket::new_v4().unwrap();
    small.set_send_buffer_size(4096).unwrap();
    small.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let served = serve_on(&rig, small.listen(1024).unwrap());
    let asked = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200);
    let mut crowd = Vec::new();
    for _ in 0..MANY {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = timeout(Duration::from_secs(20), socket.connect(served.address))
            .await
            .unwrap()
            .unwrap();
        stream.write_all(asked.as_bytes()).await.unwrap();
        crowd.push(stream);
    }
    is_alive(served.address).await;
    is_alive(served.address).await;
    drop(crowd);
}

#[tokio::test]
async fn who_says_nothing_keeps_nobody_out_and_who_is_being_served_stays() {
    more_files();
    let rig = Rig::new().await;
    let served = serve(&rig).await;
    let mut upload = connect(served.address).await;
    let head = "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\r\nab";
    upload.write_all(head.as_bytes()).await.unwrap();
    // Answered on this connection before the crowd comes: it is the idlest of all, and at rest.
    let mut idle = connect(served.address).await;
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    let mut crowd = Vec::new();
    for _ in 0..MANY {
        crowd.push(connect(served.address).await);
    }
    is_alive(served.address).await;
    let rest = read_all(&mut idle, Duration::from_secs(10)).await;
    assert!(rest.ends_with("ok\n"), "closed between two requests: {rest:?}");
    upload.write_all(b"cd").await.unwrap();
    let answer = read_all(&mut upload, Duration::from_secs(10)).await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert_eq!(*rig.ears.0.lock().unwrap(), [4]);
}
