//! Bad input, wherever it can come in: a clear answer, bounded memory, no panic, and the daemon goes on.

mod bodies;
mod configuration;
mod hostile;

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use harness::http::{self, Message, Request};
use harness::{Daemon, wait};

use self::bodies::Bad;

/// What the daemon may hold in memory at its worst, in KiB.
const RESIDENT_MAX_KIB: u64 = 128 * 1024;
const SOON: Duration = Duration::from_secs(30);

fn daemon(folder: &Path) -> Daemon {
    Daemon::start(folder, "[network]\nanchors = []\n")
}

/// Ready, within its memory, and nothing panicked.
fn assert_well(daemon: &mut Daemon) {
    let ready = http::get(daemon.address(), "/readyz").unwrap();
    assert_eq!(ready.status(), 200, "{}", ready.text());
    let peak = daemon.process().resident_kib_peak();
    assert!(peak <= RESIDENT_MAX_KIB, "{peak} KiB were resident at the worst");
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

fn headers(bad: &Bad) -> Vec<(&str, &str)> {
    let content_type = (!bad.content_type.is_empty()).then_some(("Content-Type", bad.content_type));
    content_type
        .into_iter()
        .chain(bad.encoding.map(|encoding| ("Content-Encoding", encoding)))
        .collect()
}

/// A refusal says why: a status of the 400s, and words.
fn assert_refused(what: &str, answer: &Message) {
    assert!(
        (400..500).contains(&answer.status()),
        "{what}: {} {}",
        answer.first,
        answer.text()
    );
    assert!(!answer.body.is_empty(), "{what}: {} and no word", answer.first);
}

#[test]
fn bad_bodies_to_every_ingest_endpoint_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = daemon(folder.path());
    let bodies = bodies::otlp();
    for path in ["/v1/traces", "/v1/logs", "/v1/metrics"] {
        for bad in &bodies {
            let headers = headers(bad);
            let request = Request {
                method: "POST",
                path,
                headers: &headers,
                body: &bad.body,
            };
            let answer = http::send(daemon.address(), &request)
                .unwrap_or_else(|error| panic!("{} to {path}: {error}", bad.what));
            assert_refused(&format!("{} to {path}", bad.what), &answer);
        }
        let nested = bodies::nested_value();
        let headers = [("Content-Type", "application/x-protobuf")];
        let answer = http::send(
            daemon.address(),
            &Request {
                method: "POST",
                path,
                headers: &headers,
                body: &nested,
            },
        )
        .unwrap();
        assert!(
            answer.status() < 500,
            "a nested value to {path}: {} {}",
            answer.first,
            answer.text()
        );
        for method in ["GET", "PUT", "DELETE", "BREW"] {
            let answer = http::send(
                daemon.address(),
                &Request {
                    method,
                    path,
                    headers: &[],
                    body: b"",
                },
            )
            .unwrap();
            assert_eq!(answer.status(), 405, "{method} {path}");
        }
    }
    assert_well(&mut daemon);
    daemon.stop();
}

#[test]
fn bad_bodies_to_every_route_of_the_api_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = daemon(folder.path());
    let (socket, address) = (daemon.socket(), daemon.address());
    let bodies = bodies::api();
    let mut posts = 0;
    for route in web::ROUTES {
        let path = route
            .path
            .replace("{id}", "%00%ff..%2f..%2fetc")
            .replace('{', "no-such-")
            .replace('}', "");
        for bad in &bodies {
            let headers = headers(bad);
            let request = Request {
                method: route.method.name(),
                path: &path,
                headers: &headers,
                body: &bad.body,
            };
            let answer = http::send_to_socket(&socket, &request)
                .unwrap_or_else(|error| panic!("{} to {path}: {error}", bad.what));
            if route.method.name() == "POST" {
                posts += 1;
                assert_refused(&format!("{} to {path}", bad.what), &answer);
                assert_eq!(
                    answer.header("content-type"),
                    Some("application/problem+json"),
                    "{} to {path}",
                    bad.what
                );
            } else {
                assert!(
                    answer.status() < 500,
                    "{} to {path}: {} {}",
                    bad.what,
                    answer.first,
                    answer.text()
                );
            }
        }
        // What is not open is not there on TCP, whatever is sent.
        let open = path == "/livez" || path == "/readyz" || path == "/metrics";
        let request = Request {
            method: route.method.name(),
            path: &path,
            headers: &[],
            body: b"",
        };
        let answer = http::send(address, &request).unwrap();
        assert_eq!(answer.status() == 200, open, "{path} on TCP: {}", answer.first);
        let query = format!("{path}?nonsense=%00%ff&limit=-1&since=yesterday");
        let request = Request {
            method: "GET",
            path: &query,
            headers: &[],
            body: b"",
        };
        let answer = http::send_to_socket(&socket, &request).unwrap();
        assert!(
            open || (400..500).contains(&answer.status()),
            "{query}: {}",
            answer.first
        );
    }
    assert!(posts > 40, "the table of routes was not read: {posts}");
    assert_well(&mut daemon);
    daemon.stop();
}

#[test]
fn what_is_no_http_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = daemon(folder.path());
    for (what, bytes) in bodies::not_http() {
        // A reset is an answer too: whoever sends a MiB too much may not get to read ours.
        let answer = http::send_raw(daemon.address(), &bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || text.starts_with("HTTP/1.1 4"), "{what}: {text}");
    }
    assert_well(&mut daemon);
}

/// Many at once: those who send much, and those who send nothing for long.
#[test]
fn memory_is_bounded_when_all_send_their_worst_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = daemon(folder.path());
    let address = daemon.address();
    // Half a request each, and silence.
    let silent: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            std::io::Write::write_all(&mut stream, b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Le").unwrap();
            stream
        })
        .collect();
    let bomb = bodies::bomb(256);
    let large = [
        b"{\"resourceLogs\":[".to_vec(),
        vec![b' '; (8 << 20) - 20],
        b"]}".to_vec(),
    ]
    .concat();
    let send = |encoding: Option<&'static str>, body: &[u8]| {
        let bad = Bad {
            what: "",
            content_type: "application/json",
            encoding,
            body: body.to_vec(),
        };
        let headers = headers(&bad);
        http::send(
            address,
            &Request {
                method: "POST",
                path: "/v1/logs",
                headers: &headers,
                body: &bad.body,
            },
        )
        .map(|answer| answer.status())
    };
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                for _ in 0..2 {
                    // Refused or told to come back, never served and never left alone. A cut connection is a refusal.
                    assert!(matches!(send(Some("gzip"), &bomb), Ok(400..500 | 503) | Err(_)));
                    assert!(matches!(send(None, &large), Ok(200 | 413 | 429 | 503) | Err(_)));
                }
            });
        }
    });
    wait::until("an honest sender to be served", SOON, || {
        (send(None, b"{\"resourceLogs\":[]}").ok()? == 200).then_some(())
    });
    assert_well(&mut daemon);
    drop(silent);
}

/// Whatever is served on TCP, and what is not.
const PATHS: [&str; 7] = [
    "/livez",
    "/readyz",
    "/metrics",
    "/v1/traces",
    "/v1/logs",
    "/v1/metrics",
    "/nowhere",
];
/// Names that are not ours, near misses among them.
const FOREIGN: [&str; 6] = [
    "evil.example",
    "127.0.0.1.nip.io:4318",
    "localhost.evil.example",
    "0.0.0.0",
    "169.254.169.254",
    "",
];

#[test]
fn a_web_page_gets_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = daemon(folder.path());
    let ask = |path: &str, headers: &[(&str, &str)]| {
        let method = if path.starts_with("/v1/") { "POST" } else { "GET" };
        http::send(
            daemon.address(),
            &Request {
                method,
                path,
                headers,
                body: b"{\"resourceLogs\":[]}",
            },
        )
        .unwrap()
    };
    for path in PATHS {
        for host in FOREIGN {
            let answer = ask(path, &[("Host", host), ("Content-Type", "application/json")]);
            assert_eq!(answer.status(), 421, "{path} as {host:?}: {}", answer.first);
        }
        for origin in [
            "http://evil.example",
            "null",
            "http://localhost",
            "http://127.0.0.1:4318",
        ] {
            let answer = ask(path, &[("Origin", origin), ("Content-Type", "application/json")]);
            assert_eq!(answer.status(), 403, "{path} from {origin}: {}", answer.first);
            assert!(
                answer
                    .headers
                    .iter()
                    .all(|(name, _)| !name.starts_with("access-control-")),
                "{:?}",
                answer.headers
            );
        }
    }
    // A form of a web page can send these types without asking.
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        assert_eq!(
            ask("/v1/logs", &[("Content-Type", content_type)]).status(),
            415,
            "{content_type}"
        );
    }
    assert_eq!(ask("/v1/logs", &[("Content-Type", "application/json")]).status(), 200);
    assert_eq!(
        ask(
            "/v1/logs",
            &[("Host", "localhost"), ("Content-Type", "application/json")]
        )
        .status(),
        200
    );
    assert_well(&mut daemon);
}
