//! What applications send: how much of it a processor second takes in, and what a day of it leaves in the journal.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::Daemon;
use harness::http::{self, Request};
use harness::random::Random;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

use crate::mib;

/// What the stock batch processors send at a time.
const BATCH: usize = 512;

fn pair(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue {
        value: Some(Value::StringValue(value.to_owned())),
    });
    KeyValue {
        key: key.to_owned(),
        value,
        key_strindex: 0,
    }
}

fn span(random: &mut Random, end: u64) -> Span {
    // Most take some ten milliseconds, a few much longer.
    let took_us = 5_000 + random.below(40_000) + if random.chance(3) { random.below(2_000_000) } else { 0 };
    let number = random.below(100_000).to_string();
    let is_error = random.below(1000) < 5;
    let attributes = [
        ("http.request.method", "GET"),
        ("http.route", "/cart/{id}"),
        ("url.path", number.as_str()),
        ("http.response.status_code", if is_error { "500" } else { "200" }),
        ("server.address", "shop.example"),
        ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("network.peer.address", "10.0.0.7"),
    ];
    Span {
        trace_id: [random.bits().to_be_bytes(), random.bits().to_be_bytes()].concat(),
        span_id: random.bits().to_be_bytes().to_vec(),
        name: "GET /cart/{id}".to_owned(),
        kind: 2,
        start_time_unix_nano: end - took_us * 1000,
        end_time_unix_nano: end,
        attributes: attributes.map(|(key, value)| pair(key, value)).to_vec(),
        status: Some(Status {
            code: if is_error { 2 } else { 0 },
            message: String::new(),
        }),
        ..Span::default()
    }
}

fn body(random: &mut Random, service: &str, count: usize) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let end = u64::try_from(now.as_nanos()).unwrap();
    let resource = [
        ("service.name", service),
        ("service.version", "1.4.2"),
        ("host.name", "web-1"),
        ("telemetry.sdk.name", "opentelemetry"),
        ("process.pid", "4711"),
    ];
    let spans = ScopeSpans {
        spans: (0..count).map(|_| span(random, end)).collect(),
        ..ScopeSpans::default()
    };
    let of_resource = ResourceSpans {
        resource: Some(Resource {
            attributes: resource.map(|(key, value)| pair(key, value)).to_vec(),
            ..Resource::default()
        }),
        scope_spans: vec![spans],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![of_resource],
    }
    .encode_to_vec()
}

fn post(address: SocketAddr, body: &[u8]) {
    let headers = [("Content-Type", "application/x-protobuf")];
    let request = Request {
        method: "POST",
        path: "/v1/traces",
        headers: &headers,
        body,
    };
    let answer = http::send(address, &request).unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

/// Bodies of 512 spans, acknowledged one after the other on two connections.
pub(crate) fn ingest(folder: &Path) {
    let mut daemon = Daemon::start(folder, "[network]\nanchors = []\n");
    let mut random = Random::seeded("ingest");
    let bodies: Vec<Vec<u8>> = (0..1200)
        .map(|number| body(&mut random, &format!("service-{}", number % 20), BATCH))
        .collect();
    let address = daemon.address();
    let (before, began) = (daemon.process().cpu(), Instant::now());
    std::thread::scope(|scope| {
        for half in bodies.chunks(bodies.len() / 2) {
            scope.spawn(move || half.iter().for_each(|body| post(address, body)));
        }
    });
    let took = began.elapsed().as_secs_f64();
    let cpu = daemon.process().cpu().saturating_sub(before).as_secs_f64();
    let records = f64::from(u32::try_from(bodies.len() * BATCH).unwrap());
    println!(
        "ingest: {:.0} spans per processor second, {:.0} per second of the clock, {:.1} MiB resident",
        records / cpu,
        records / took,
        mib(daemon.process().resident_kib()),
    );
}

/// 50 services at 600 requests a minute each, exported every 5 s: what that leaves in the journal.
pub(crate) fn day(folder: &Path) {
    let mut daemon = Daemon::start(folder, "[network]\nanchors = []\n");
    let mut random = Random::seeded("day");
    let journal = |daemon: &Daemon| std::fs::metadata(daemon.data().join("journal.db")).unwrap().len();
    let mut minute = |daemon: &Daemon| {
        for _ in 0..12 {
            let next = Instant::now() + Duration::from_secs(5);
            for service in 0..50 {
                post(daemon.address(), &body(&mut random, &format!("service-{service}"), 50));
            }
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    };
    minute(&daemon);
    daemon.stop();
    daemon.start_again();
    let before = journal(&daemon);
    let minutes = 6;
    let cpu = daemon.process().cpu();
    (0..minutes).for_each(|_| minute(&daemon));
    let cpu = daemon.process().cpu().saturating_sub(cpu);
    let resident = mib(daemon.process().resident_kib());
    // A stop empties the write-ahead log into the file.
    daemon.stop();
    let grown = journal(&daemon) - before;
    let a_day = grown * 24 * 60 / minutes / 1_000_000;
    println!(
        "day: {a_day} MB in the journal ({grown} bytes in {minutes} minutes), {cpu:?} of processor time, {resident:.1} MiB resident"
    );
}
