use tokio::io::duplex;

use super::*;

/// What comes of an answer that is sent in pieces, followed by a close.
async fn answer(pieces: &[&[u8]], is_head: bool, body_max: usize) -> Result<Answer, Look> {
    let (mut near, mut far) = duplex(64);
    let exchange = Exchange {
        request: b"GET / HTTP/1.1\r\n\r\n",
        is_head,
        body_max,
    };
    let mut watch = Stopwatch::start();
    let serve = async {
        let mut asked = [0; 18];
        far.read_exact(&mut asked).await.unwrap();
        for piece in pieces {
            // The reader may have gone: it reads no further than it needs.
            if far.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(far);
    };
    let ask = async {
        let result = exchange.run(&mut near, &mut watch).await;
        drop(near);
        result
    };
    tokio::join!(ask, serve).0
}

async fn body(pieces: &[&[u8]]) -> Result<(String, bool), Reason> {
    match answer(pieces, false, 100).await {
        Ok(answer) => Ok((String::from_utf8(answer.body).unwrap(), answer.is_cut)),
        Err(look) => Err(look.reason),
    }
}

fn whole(text: &str) -> (String, bool) {
    (text.to_owned(), false)
}

#[tokio::test]
async fn bodies_end_where_they_say() {
    let sized: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 5\r\n\r\nhel", b"lo and more"];
    assert_eq!(body(sized).await, Ok(whole("hello")));
    assert_eq!(
        body(&[b"HTTP/1.0 200 OK\r\n\r\nto the ", b"end"]).await,
        Ok(whole("to the end"))
    );
    let chunked: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 9\r\n\r\n5\r\nhel",
        b"lo\r",
        b"\n6;x=y\r\n world\r\n0\r\n\r\n",
    ];
    assert_eq!(body(chunked).await, Ok(whole("hello world")));
    let early: &[&[u8]] = &[b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"];
    assert_eq!(body(early).await, Ok(whole("")));
}

#[tokio::test]
async fn what_is_not_wanted_is_not_read() {
    let long = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n".as_slice(),
        &[b'x'; 9999],
    ]
    .concat();
    assert_eq!(body(&[&long]).await, Ok(("x".repeat(100), true)));
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b'x'; 9999]].concat();
    assert_eq!(body(&[&endless]).await, Ok(("x".repeat(100), true)));
    let chunk = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n".as_slice(),
        &[b'x'; 9999],
    ]
    .concat();
    assert_eq!(body(&[&chunk]).await, Ok(("x".repeat(100), true)));
    let head = answer(&[b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"], true, 100)
        .await
        .unwrap();
    assert_eq!((head.body.len(), head.line.as_str()), (0, "HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn broken_answers_have_their_reason() {
    for (bytes, reason) in [
        (b"".as_slice(), Reason::ConnectionReset),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
            Reason::ConnectionReset,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            Reason::ConnectionReset,
        ),
        (b"HTTP/1.1 200 OK\r\nX-Half", Reason::ConnectionReset),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Reason::HttpInvalid),
        (b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n", Reason::HttpInvalid),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            Reason::HttpInvalid,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
            Reason::HttpInvalid,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello",
            Reason::HttpInvalid,
        ),
    ] {
        let text = String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(body(&[bytes]).await, Err(reason), "{text}");
    }
    let endless = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &vec![b'x'; 2 * HEAD_MAX]].concat();
    assert_eq!(body(&[&endless]).await, Err(Reason::HttpInvalid));
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(20);
    assert_eq!(body(&[&interim]).await, Err(Reason::HttpInvalid));
    let size = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;".as_slice(),
        &[b'x'; 3 * CHUNK],
    ]
    .concat();
    assert_eq!(body(&[&size]).await, Err(Reason::HttpInvalid));
}

#[tokio::test]
async fn evidence_of_another_protocol_is_kept() {
    let look = answer(&[b"SSH-2.0-OpenSSH_9.2\r\n"], false, 100).await.unwrap_err();
    assert!(look.evidence.starts_with("SSH-2.0"), "{look:?}");
}
