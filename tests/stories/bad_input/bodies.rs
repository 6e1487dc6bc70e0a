//! Bodies that nobody should send.

use std::io::Write as _;
use std::process::{Command, Stdio};

use harness::random::Random;
use harness::tools;

/// One bad request: what it is, how it is labelled, and its bytes.
pub(super) struct Bad {
    pub(super) what: &'static str,
    pub(super) content_type: &'static str,
    pub(super) encoding: Option<&'static str>,
    pub(super) body: Vec<u8>,
}

fn bad(what: &'static str, content_type: &'static str, body: Vec<u8>) -> Bad {
    Bad {
        what,
        content_type,
        encoding: None,
        body,
    }
}

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

fn garbage(length: usize) -> Vec<u8> {
    let mut random = Random::new(1);
    // No byte of it begins a JSON text.
    std::iter::once(0xFF)
        .chain((1..length).map(|_| u8::try_from(random.below(256)).unwrap()))
        .collect()
}

fn nested_json(depth: usize) -> Vec<u8> {
    "[".repeat(depth).into_bytes()
}

/// A field of protobuf with a length in front.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7F).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes.extend_from_slice(content);
    bytes
}

/// A log record whose body is a list in a list in a list: `AnyValue.array_value` = 5, `ArrayValue.values` = 1.
fn nested_protobuf(depth: usize) -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 0..depth {
        value = field(5, &field(1, &value));
    }
    field(1, &field(2, &field(2, &field(5, &value))))
}

/// Compressed by Python's zlib, whose output is the world's.
pub(super) fn gzip(script: &str) -> Vec<u8> {
    let program = format!("import sys,gzip,zlib\no=sys.stdout.buffer\n{script}");
    let done = Command::new(tools::python())
        .args(["-c", &program])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// So many MiB of zeros, a thousandth of that on the wire.
pub(super) fn bomb(mebibytes: u32) -> Vec<u8> {
    gzip(&format!(
        "c=zlib.compressobj(9,wbits=31)\nz=bytes(1<<20)\nfor _ in range({mebibytes}): o.write(c.compress(z))\no.write(c.flush())"
    ))
}

/// What OTLP is sent.
pub(super) fn otlp() -> Vec<Bad> {
    let valid = br#"{"resourceSpans":[{"resource":{"attributes":[]},"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c"#;
    let zip = |what, content_type, body| Bad {
        what,
        content_type,
        encoding: Some("gzip"),
        body,
    };
    let squared = "s=b'{\"resourceLogs\":['+b'['*60+b']'*60+b']}'\no.write(gzip.compress(gzip.compress(s)))";
    vec![
        bad("garbage as protobuf", PROTOBUF, garbage(10_000)),
        bad("garbage as JSON", JSON, garbage(10_000)),
        bad("truncated JSON", JSON, valid.to_vec()),
        bad("a truncated protobuf", PROTOBUF, field(1, &[0; 100])[..50].to_vec()),
        bad(
            "a length beyond the end",
            PROTOBUF,
            vec![0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F],
        ),
        bad(
            "a length beyond 64 bits",
            PROTOBUF,
            [vec![0x0A], vec![0xFF; 20]].concat(),
        ),
        bad("an oversized body", JSON, vec![b' '; (8 << 20) + 1]),
        bad("deeply nested JSON", JSON, nested_json(1_000_000)),
        bad("deeply nested objects", JSON, "{\"a\":".repeat(200_000).into_bytes()),
        bad("JSON that is no object", JSON, b"5".to_vec()),
        bad(
            "JSON of the wrong types",
            JSON,
            br#"{"resourceSpans":5,"resourceLogs":"x"}"#.to_vec(),
        ),
        bad(
            "JSON that is no UTF-8",
            JSON,
            b"{\"resourceSpans\":[\"\xff\xfe\"]}".to_vec(),
        ),
        bad("an unknown content type", "text/plain", b"hello".to_vec()),
        bad("no content type", "", b"{}".to_vec()),
        Bad {
            what: "an unknown encoding",
            content_type: JSON,
            encoding: Some("br"),
            body: b"{}".to_vec(),
        },
        zip("garbage as gzip", JSON, garbage(1000)),
        zip("truncated gzip", JSON, gzip("o.write(gzip.compress(b'{}'*1000)[:-12])")),
        zip("a gzip bomb as JSON", JSON, bomb(256)),
        zip("a gzip bomb as protobuf", PROTOBUF, bomb(256)),
        zip("gzip within gzip", JSON, gzip(squared)),
    ]
}

/// What OTLP takes in part or drops, and answers 200 or 400: a nesting that only the value's reader meets.
pub(super) fn nested_value() -> Vec<u8> {
    nested_protobuf(5_000)
}

/// What the API is sent.
pub(super) fn api() -> Vec<Bad> {
    vec![
        bad("garbage", JSON, garbage(10_000)),
        bad("truncated JSON", JSON, br#"{"service":"shop","version":"1"#.to_vec()),
        bad("an oversized body", JSON, vec![b' '; (64 << 10) + 1]),
        bad("deeply nested JSON", JSON, nested_json(60_000)),
        bad("JSON that is no object", JSON, b"[1,2,3]".to_vec()),
        bad("an unknown field", JSON, br#"{"servcie":"shop"}"#.to_vec()),
        Bad {
            what: "a gzip bomb",
            content_type: JSON,
            encoding: Some("gzip"),
            body: bomb(32),
        },
    ]
}

/// Bytes that are no HTTP request.
pub(super) fn not_http() -> Vec<(&'static str, Vec<u8>)> {
    let mut many = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n".to_vec();
    for number in 0..5_000 {
        write!(many, "X-{number}: y\r\n").unwrap();
    }
    many.extend_from_slice(b"\r\n");
    let long = format!(
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    vec![
        ("garbage", garbage(4_000)),
        (
            "a TLS greeting",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20),
        ),
        (
            "another protocol's version",
            b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n".to_vec(),
        ),
        ("five thousand headers", many),
        ("a header of a MiB", long.into_bytes()),
        (
            "a path of a MiB",
            format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(1 << 20)).into_bytes(),
        ),
        (
            "a negative length",
            b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\nhello".to_vec(),
        ),
        (
            "two lengths",
            b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"
                .to_vec(),
        ),
        (
            "a broken chunk",
            b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n".to_vec(),
        ),
        (
            "a null in a header",
            b"GET /livez HTTP/1.1\r\nHost: local\0host\r\n\r\n".to_vec(),
        ),
    ]
}
