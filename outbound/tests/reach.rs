//! What a context reaches and what it does not, against real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests, though clippy looks for the attribute only"
)]

use std::{io::ErrorKind, net::SocketAddr, sync::Arc, time::Duration};

use events::{Clock, Clocks};
use outbound::{ConnectError, Context, ContextOptions, Policy, ResolveError, chain};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

struct Still;

impl Clocks for Still {
    fn now(&self) -> Clock {
        Clock::default()
    }
}

fn context() -> Context {
    Context::new(ContextOptions {
        clocks: Arc::new(Still),
        data_dir: "/nowhere".into(),
        environment: "production".to_owned(),
        extra_ca: None,
    })
    .unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

/// A server that gives one answer to each request, and where it is.
async fn server(answer: &'static str) -> (SocketAddr, impl Future<Output = ()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 2048];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    };
    (address, serve)
}

#[tokio::test]
async fn the_client_follows_no_redirect() {
    let answer = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (address, serve) = server(answer).await;
    let context = context();
    let ask = async {
        let request = context.client().get(format!("http://{address}/")).send();
        let reply = outbound::within(jiff::SignedDuration::from_secs(5), "ask", request)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(reply.status().as_u16(), 302);
        // By name as well: through our resolver, which knows where localhost is without asking.
        let named = format!("http://shop.localhost:{}/", address.port());
        assert_eq!(context.client().get(named).send().await.unwrap().status().as_u16(), 302);
    };
    tokio::select! {
        () = ask => {}
        () = serve => {}
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_its_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = context()
        .connect(Policy::Configured, "127.0.0.1", port, soon())
        .await
        .unwrap_err();
    assert!(matches!(&error, ConnectError::Io { source, .. } if source.kind() == ErrorKind::ConnectionRefused));
    assert!(
        chain(&error).starts_with(&format!("connect to 127.0.0.1:{port}: ")),
        "{}",
        chain(&error)
    );
}

#[tokio::test]
async fn what_somebody_else_names_is_public_or_nothing() {
    let (address, serve) = server("").await;
    let context = context();
    let ask = async {
        let refused = context
            .connect(Policy::Foreign, "127.0.0.1", address.port(), soon())
            .await
            .unwrap_err();
        assert!(
            matches!(refused, ConnectError::Resolve(ResolveError::Forbidden(_))),
            "{refused}"
        );
        let refused = context
            .connect(Policy::Foreign, "localhost", address.port(), soon())
            .await
            .unwrap_err();
        assert!(
            matches!(refused, ConnectError::Resolve(ResolveError::Forbidden(_))),
            "{refused}"
        );
        // The same, named by the operator.
        context
            .connect(Policy::Configured, "127.0.0.1", address.port(), soon())
            .await
            .unwrap();
    };
    tokio::select! {
        () = ask => {}
        () = serve => {}
    }
}

#[test]
fn an_authority_that_cannot_be_read_is_named() {
    let error = Context::new(ContextOptions {
        clocks: Arc::new(Still),
        data_dir: "/nowhere".into(),
        environment: "production".to_owned(),
        extra_ca: Some("/no/such/ca.pem".into()),
    })
    .unwrap_err();
    assert!(chain(&error).contains("/no/such/ca.pem"), "{}", chain(&error));
}
