//! What OTLP costs: decodes batches of 512 typical spans for two seconds each, and says how many records a second of one
//! core takes. Build with optimisation.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use collectors::ingest::otlp::{Otlp, OtlpRequest, Signal};
use events::Timestamp;
use flate2::{Compression, write::GzEncoder};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;

const SPANS: u8 = 128;

fn pair(key: &str, value: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }),
        key_strindex: 0,
    }
}

fn span(number: u8) -> Span {
    let attributes = [
        ("http.request.method", "GET".to_owned()),
        ("http.route", "/cart/{id}".to_owned()),
        ("url.path", format!("/cart/{number}")),
        ("http.response.status_code", "200".to_owned()),
        ("server.address", "shop.example".to_owned()),
        ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)".to_owned()),
        ("network.peer.address", "10.0.0.7".to_owned()),
    ];
    Span {
        trace_id: vec![number.saturating_add(1); 16],
        span_id: vec![number.saturating_add(1); 8],
        name: "GET /cart/{id}".to_owned(),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_040_000_000,
        attributes: attributes.map(|(key, value)| pair(key, value)).to_vec(),
        ..Span::default()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let resource = [
        "service.name",
        "service.version",
        "host.name",
        "telemetry.sdk.name",
        "process.pid",
    ];
    let spans: Vec<Span> = (0..SPANS).cycle().take(512).map(span).collect();
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: resource.map(|key| pair(key, "shop".to_owned())).to_vec(),
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    let protobuf = request.encode_to_vec();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&protobuf)?;
    let packed = encoder.finish()?;
    let json = serde_json::to_vec(&request)?;
    measure("protobuf", "application/x-protobuf", None, &protobuf)?;
    measure("protobuf, gzip", "application/x-protobuf", Some("gzip"), &packed)?;
    measure("json", "application/json", None, &json)
}

fn measure(
    what: &str,
    content_type: &str,
    content_encoding: Option<&str>,
    body: &[u8],
) -> Result<(), Box<dyn std::error::Error>> {
    let otlp = Otlp::new("production");
    let request = OtlpRequest {
        content_type: Some(content_type),
        content_encoding,
        body,
        source: "loopback",
        arrived: Timestamp(0),
    };
    let mut records = 0;
    let began = now();
    while began.elapsed() < Duration::from_secs(2) {
        records += otlp.take(Signal::Traces, &request)?.records.len();
    }
    let a_second = records as f64 / began.elapsed().as_secs_f64();
    writeln!(
        std::io::stdout(),
        "{what}: {} bytes, {a_second:.0} records a second",
        body.len()
    )?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch, without tokio")]
fn now() -> Instant {
    Instant::now()
}
