use std::io::Write;

use events::{LogRecord, Record, SpanKind, SpanRecord};
use flate2::{Compression, write::GzEncoder};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
        trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    },
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{self as logs, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span},
};
use proptest::prelude::*;
use prost::Message;

use super::*;

const ARRIVED: Timestamp = Timestamp(1_700_000_000_000_000_000);
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

fn take(signal: Signal, content_type: &str, encoding: Option<&str>, body: &[u8]) -> Result<Batch, Refusal> {
    Otlp::new("production").take(
        signal,
        &OtlpRequest {
            content_type: Some(content_type),
            content_encoding: encoding,
            body,
            source: "loopback",
            arrived: ARRIVED,
        },
    )
}

fn text(text: &str) -> AnyValue {
    AnyValue {
        value: Some(Value::StringValue(text.to_owned())),
    }
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(text(value)),
        key_strindex: 0,
    }
}

fn resource(attributes: &[(&str, &str)]) -> Resource {
    Resource {
        attributes: attributes.iter().map(|(key, value)| pair(key, value)).collect(),
        ..Resource::default()
    }
}

fn a_span(id: u8) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: vec![id; 8],
        parent_span_id: vec![9; 8],
        name: "GET /cart".to_owned(),
        kind: span::SpanKind::Server as i32,
        start_time_unix_nano: 1_000,
        end_time_unix_nano: 5_001_000,
        attributes: vec![pair("http.route", "/cart"), pair("host.name", "own")],
        events: vec![span::Event {
            time_unix_nano: 2_000,
            name: "exception".to_owned(),
            attributes: vec![pair("exception.type", "Oops")],
            dropped_attributes_count: 0,
        }],
        status: Some(Status {
            code: 2,
            message: "it broke".to_owned(),
        }),
        ..Span::default()
    }
}

fn spans(attributes: &[(&str, &str)], spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(attributes)),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "express".to_owned(),
                    ..InstrumentationScope::default()
                }),
                spans,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    }
}

fn a_log() -> logs::LogRecord {
    logs::LogRecord {
        time_unix_nano: 3_000,
        severity_number: 17,
        body: Some(text("it broke")),
        attributes: vec![pair("code", "7")],
        trace_id: vec![7; 16],
        span_id: vec![8; 8],
        ..logs::LogRecord::default()
    }
}

fn logs(attributes: &[(&str, &str)], records: Vec<logs::LogRecord>) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource(attributes)),
            scope_logs: vec![ScopeLogs {
                log_records: records,
                ..ScopeLogs::default()
            }],
            schema_url: String::new(),
        }],
    }
}

fn the_span(batch: &Batch) -> SpanRecord {
    match batch.records.as_slice() {
        [Record::Span(span)] => span.clone(),
        other => panic!("{other:?}"),
    }
}

fn the_log(batch: &Batch) -> LogRecord {
    match batch.records.as_slice() {
        [Record::Log(log)] => log.clone(),
        other => panic!("{other:?}"),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A field that holds a message.
fn field(number: u32, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut bytes);
    prost::encoding::encode_varint(message.len() as u64, &mut bytes);
    bytes.extend(message);
    bytes
}

#[test]
fn a_span_is_kept_whole() {
    let request = spans(
        &[
            ("service.name", "shop"),
            ("service.version", "1.4.2"),
            ("host.name", "resource"),
        ],
        vec![a_span(1)],
    );
    let batch = take(Signal::Traces, PROTOBUF, None, &request.encode_to_vec()).unwrap();
    let span = the_span(&batch);
    assert_eq!(span.service.as_str(), "shop");
    assert_eq!(span.release.as_ref().unwrap().as_str(), "1.4.2");
    assert_eq!(span.kind, SpanKind::Server);
    assert!(span.error && span.is_bad() && span.is_request());
    assert_eq!((span.start.0, span.duration_us()), (1_000, 5_000));
    assert_eq!(span.status_message, "it broke");
    assert_eq!(span.parent.unwrap().to_string(), "0909090909090909");
    assert_eq!(span.attributes["host.name"], "own", "the record's attribute wins");
    assert_eq!(span.attributes["otel.scope.name"], "express");
    assert!(!span.attributes.contains_key("service.name"));
    assert_eq!(span.events[0].1, "exception");
    assert_eq!(span.events[0].2["exception.type"], "Oops");
    assert_eq!(batch.reply, b"", "full success has nothing to say");
}

#[test]
fn json_and_protobuf_say_the_same() {
    let attributes = [
        ("service.name", "shop"),
        ("deployment.environment.name", "staging"),
        ("zone", "b"),
    ];
    let traces = spans(&attributes, vec![a_span(1), a_span(2)]);
    let protobuf = take(Signal::Traces, PROTOBUF, None, &traces.encode_to_vec()).unwrap();
    let json = take(Signal::Traces, JSON, None, &serde_json::to_vec(&traces).unwrap()).unwrap();
    assert_eq!(protobuf.records.len(), 2);
    assert_eq!(protobuf.records, json.records);
    assert_eq!(json.reply, b"{}");
    let sent = logs(&attributes, vec![a_log()]);
    let protobuf = take(Signal::Logs, PROTOBUF, None, &sent.encode_to_vec()).unwrap();
    let json = take(Signal::Logs, JSON, None, &serde_json::to_vec(&sent).unwrap()).unwrap();
    assert_eq!(the_log(&protobuf), the_log(&json));
    assert_eq!(the_log(&json).service.as_str(), "shop@staging");
}

#[test]
fn json_is_read_as_the_specification_shows_it() {
    // github.com/open-telemetry/opentelemetry-proto/blob/main/examples/trace.json, shortened; the resource comes last.
    let body = r#"{"resourceSpans":[{"scopeSpans":[{"scope":{"name":"my.library","version":"1.0.0"},"spans":[{
        "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","parentSpanId":"EEE19B7EC3C1B173",
        "name":"I'm a server span","startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000",
        "kind":2,"attributes":[{"key":"my.span.attr","value":{"stringValue":"some value"}},
        {"key":"count","value":{"intValue":"42"}},{"key":"future","value":{"notYetValue":1}}],"unknownField":{"a":[1]}}]}],
        "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"my.service"}}]}}]}"#;
    let span = the_span(&take(Signal::Traces, "application/json; charset=utf-8", None, body.as_bytes()).unwrap());
    assert_eq!(span.service.as_str(), "my.service");
    assert_eq!(span.trace.to_string(), "5b8efff798038103d269b633813fc60c");
    assert_eq!(span.duration_us(), 1_000_000);
    assert_eq!(span.attributes["count"], "42");
    assert_eq!(span.attributes["future"], "");
    assert!(!span.error);
}

#[test]
fn services_and_environments() {
    let name = |attributes: &[(&str, &str)]| {
        let request = spans(attributes, vec![a_span(1)]);
        let batch = take(Signal::Traces, PROTOBUF, None, &request.encode_to_vec()).unwrap();
        the_span(&batch).service.as_str().to_owned()
    };
    assert_eq!(name(&[]), "unknown_service");
    assert_eq!(name(&[("service.name", " ")]), "unknown_service");
    assert_eq!(
        name(&[("service.name", "shop"), ("deployment.environment", "production")]),
        "shop"
    );
    assert_eq!(
        name(&[("service.name", "shop"), ("deployment.environment", "staging")]),
        "shop@staging"
    );
    let both = [
        ("service.name", "shop"),
        ("deployment.environment", "old"),
        ("deployment.environment.name", "new"),
    ];
    assert_eq!(name(&both), "shop@new");
    assert_eq!(
        name(&[("service.name", "a@b\u{1b}[31m")]),
        "a_b_[31m",
        "nobody names another's environment"
    );
    assert_eq!(name(&[("service.name", &"ü".repeat(500))]).len(), 128);
}

#[test]
fn times_that_are_not_stated() {
    let time = |time_unix_nano, observed_time_unix_nano| {
        let log = logs::LogRecord {
            time_unix_nano,
            observed_time_unix_nano,
            ..a_log()
        };
        the_log(&take(Signal::Logs, PROTOBUF, None, &logs(&[], vec![log]).encode_to_vec()).unwrap()).time
    };
    assert_eq!(time(5, 6), Timestamp(5));
    assert_eq!(time(0, 6), Timestamp(6));
    assert_eq!(time(0, 0), ARRIVED);
    assert_eq!(time(u64::MAX, 0), Timestamp(i64::MAX));
}

#[test]
fn a_traceparent_in_a_log_is_found() {
    let line = "cart failed traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let log = logs::LogRecord {
        trace_id: vec![],
        span_id: vec![],
        severity_number: 0,
        severity_text: "WARN".to_owned(),
        body: Some(text(line)),
        ..a_log()
    };
    let found = the_log(&take(Signal::Logs, PROTOBUF, None, &logs(&[], vec![log]).encode_to_vec()).unwrap());
    assert_eq!(found.trace.unwrap().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(found.span.unwrap().to_string(), "00f067aa0ba902b7");
    assert_eq!(found.severity, 13);
}

#[test]
fn what_is_not_valid_is_rejected_alone() {
    let mut bad_id = a_span(2);
    bad_id.trace_id = vec![0; 16];
    let mut no_id = a_span(3);
    no_id.span_id.clear();
    let request = spans(&[], vec![a_span(1), bad_id, no_id, a_span(4)]);
    let batch = take(Signal::Traces, PROTOBUF, None, &request.encode_to_vec()).unwrap();
    assert_eq!(batch.records.len(), 2);
    let partial = ExportTraceServiceResponse::decode(batch.reply.as_slice())
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(partial.rejected_spans, 2);
    assert_eq!(
        partial.error_message,
        "2 rejected, the first: span: its trace id is not 16 bytes, or all zero"
    );
    let json = take(Signal::Traces, JSON, None, &serde_json::to_vec(&request).unwrap()).unwrap();
    assert_eq!(json.records, batch.records);
    let reply: serde_json::Value = serde_json::from_slice(&json.reply).unwrap();
    assert_eq!(reply["partialSuccess"]["rejectedSpans"], "2");
    assert_eq!(Answer::stored(&json.reply).content_type, JSON);
    assert_eq!(Answer::stored(&batch.reply).content_type, PROTOBUF);
    assert_eq!(Answer::stored(&[]).content_type, PROTOBUF);
}

#[test]
fn broken_text_is_rejected_alone() {
    let request = logs(&[("service.name", "shop")], vec![a_log(), a_log(), a_log()]);
    let mut body = request.encode_to_vec();
    let at = body.windows(8).position(|window| window == b"it broke").unwrap();
    body[at] = 0xff;
    let batch = take(Signal::Logs, PROTOBUF, None, &body).unwrap();
    assert_eq!(batch.records.len(), 2);
    let partial = ExportLogsServiceResponse::decode(batch.reply.as_slice())
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(partial.rejected_log_records, 1);
    let bad_hex =
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"zz"},{"body":{"stringValue":"ok"}}]}]}]}"#;
    assert_eq!(
        the_log(&take(Signal::Logs, JSON, None, bad_hex.as_bytes()).unwrap()).body,
        "ok"
    );
}

#[test]
fn a_repeat_has_the_same_key_however_it_is_packed() {
    let body = spans(&[], vec![a_span(1)]).encode_to_vec();
    let plain = take(Signal::Traces, PROTOBUF, None, &body).unwrap();
    let packed = take(Signal::Traces, PROTOBUF, Some("gzip"), &gzip(&body)).unwrap();
    assert_eq!(plain, packed);
    let other = take(
        Signal::Traces,
        PROTOBUF,
        None,
        &spans(&[], vec![a_span(2)]).encode_to_vec(),
    )
    .unwrap();
    assert_ne!(plain.key, other.key);
    let empty = |signal| take(signal, PROTOBUF, None, b"").unwrap().key;
    assert_ne!(empty(Signal::Traces), empty(Signal::Logs));
}

#[test]
fn refusals_say_why_in_the_senders_language() {
    let refused = |signal, content_type: &str, encoding, body: &[u8]| {
        let refusal = take(signal, content_type, encoding, body).unwrap_err();
        refusal.answer(Some(content_type))
    };
    let status = |answer: &Answer| answer.status;
    assert_eq!(status(&refused(Signal::Traces, "text/plain", None, b"")), 415);
    assert_eq!(status(&refused(Signal::Traces, "", None, b"")), 415);
    assert_eq!(status(&refused(Signal::Traces, PROTOBUF, Some("br"), b"")), 415);
    assert_eq!(
        status(&refused(Signal::Traces, PROTOBUF, Some("gzip"), b"no gzip")),
        400
    );
    assert_eq!(status(&refused(Signal::Traces, PROTOBUF, None, b"no protobuf")), 400);
    assert_eq!(status(&refused(Signal::Metrics, PROTOBUF, None, b"")), 404);
    let json = refused(Signal::Traces, JSON, None, b"{");
    let body: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!((json.status, &body["code"]), (400, &serde_json::json!(3)));
    assert!(body["message"].as_str().unwrap().starts_with("decode the body: "));
    let busy = Refusal::Busy { retry_after_s: 7 }.answer(Some(PROTOBUF));
    assert_eq!(
        (busy.status, busy.retry_after_s, busy.content_type),
        (429, Some(7), PROTOBUF)
    );
    assert_eq!(busy.body[..2], [8, 8], "field 1, RESOURCE_EXHAUSTED");
}

#[test]
fn bombs_are_refused() {
    let bomb = gzip(&vec![0; DECODED_MAX + 1]);
    assert!(bomb.len() < BODY_MAX);
    let answer = take(Signal::Traces, PROTOBUF, Some("gzip"), &bomb).unwrap_err();
    assert_eq!(answer, Refusal::BodyTooLarge { max: DECODED_MAX });
    assert_eq!(answer.answer(Some(PROTOBUF)).status, 413);
    let large = vec![0; BODY_MAX + 1];
    let answer = take(Signal::Traces, PROTOBUF, None, &large).unwrap_err();
    assert_eq!(answer, Refusal::BodyTooLarge { max: BODY_MAX });
    let deep = format!("{{\"resourceSpans\":{}", "[".repeat(100_000));
    let answer = take(Signal::Traces, JSON, None, deep.as_bytes()).unwrap_err();
    assert_eq!(answer, Refusal::TooDeep { max: DEPTH_MAX });
}

#[test]
fn what_is_small_on_the_wire_stays_small() {
    // A million spans of two bytes would be 300 MB.
    let body = field(1, &field(2, &field(2, &[]).repeat(1 << 20)));
    let batch = take(Signal::Traces, PROTOBUF, None, &body).unwrap();
    assert_eq!(batch.records.len(), 0, "none has an id");
    let logs_of = |body: &[u8]| take(Signal::Logs, PROTOBUF, None, body).unwrap_err();
    assert_eq!(logs_of(&body), Refusal::TooManyRecords { max: RECORDS_MAX });
    let groups = [0x0a, 0x00].repeat(RECORDS_MAX + 1);
    assert_eq!(logs_of(&groups), Refusal::TooManyRecords { max: RECORDS_MAX });
    for inner in [
        "{\"resourceLogs\":[",
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[",
    ] {
        let body = format!("{inner}{}", "{},".repeat(RECORDS_MAX + 2));
        let refusal = take(Signal::Logs, JSON, None, body.as_bytes()).unwrap_err();
        assert_eq!(refusal, Refusal::TooManyRecords { max: RECORDS_MAX });
    }
}

#[test]
fn a_resource_is_not_multiplied() {
    let large = "x".repeat(60_000);
    let request = logs(&[("service.name", "shop"), ("a", &large), ("b", "kept")], vec![a_log()]);
    let log = the_log(&take(Signal::Logs, PROTOBUF, None, &request.encode_to_vec()).unwrap());
    assert!(!log.attributes.contains_key("a"));
    assert_eq!(log.attributes["b"], "kept");
    let fills = "y".repeat(RESOURCE_MAX - 10);
    let request = logs(&[("a", &fills)], vec![a_log(); 10_000]);
    let batch = take(Signal::Logs, PROTOBUF, None, &request.encode_to_vec()).unwrap();
    assert!(
        (1_500..KEPT_MAX / RESOURCE_MAX).contains(&batch.records.len()),
        "{}",
        batch.records.len()
    );
    let partial = ExportLogsServiceResponse::decode(batch.reply.as_slice())
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(
        partial.rejected_log_records,
        10_000 - i64::try_from(batch.records.len()).unwrap()
    );
}

#[test]
fn large_records_are_cut_or_rejected() {
    let log = logs::LogRecord {
        body: Some(text(&"ü".repeat(50_000))),
        ..a_log()
    };
    let kept = the_log(&take(Signal::Logs, PROTOBUF, None, &logs(&[], vec![log]).encode_to_vec()).unwrap());
    assert_eq!(kept.body.len(), TEXT_MAX);
    assert_eq!(kept.attributes["watchkeep.cut"], "body");
    let log = logs::LogRecord {
        body: Some(text(&"x".repeat(RECORD_MAX))),
        ..a_log()
    };
    let batch = take(
        Signal::Logs,
        PROTOBUF,
        None,
        &logs(&[], vec![log, a_log()]).encode_to_vec(),
    )
    .unwrap();
    assert_eq!(batch.records.len(), 1);
}

#[test]
fn nesting_within_a_value_is_bounded() {
    // Wrapped by hand: an encoder would need the stack that the decoder must not.
    let mut value = Vec::new();
    for _ in 0..5_000 {
        value = field(5, &field(1, &value));
    }
    let deep = field(2, &field(5, &value));
    let scope = [deep, field(2, &a_log().encode_to_vec())].concat();
    let body = field(1, &field(2, &scope));
    let batch = take(Signal::Logs, PROTOBUF, None, &body).unwrap();
    assert_eq!(batch.records.len(), 1, "only the deep one is rejected");
}

proptest! {
    #[test]
    fn garbage_never_panics(body in proptest::collection::vec(any::<u8>(), 0..600), is_gzip in any::<bool>()) {
        let encoding = is_gzip.then_some("gzip");
        for signal in [Signal::Traces, Signal::Logs] {
            for content_type in [PROTOBUF, JSON] {
                let _ = take(signal, content_type, encoding, &body);
            }
        }
    }

    #[test]
    fn a_body_that_is_cut_or_bent_is_answered(cut in any::<proptest::sample::Index>(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let sent = logs(&[("service.name", "shop")], vec![a_log(), a_log()]);
        for (content_type, whole) in [(PROTOBUF, sent.encode_to_vec()), (JSON, serde_json::to_vec(&sent).unwrap())] {
            let shorter = &whole[..cut.index(whole.len())];
            if let Ok(batch) = take(Signal::Logs, content_type, None, shorter) {
                prop_assert!(batch.records.len() <= 2);
            }
            let mut bent = whole.clone();
            let index = at.index(bent.len());
            bent[index] = byte;
            let _ = take(Signal::Logs, content_type, None, &bent);
            let packed = gzip(&whole);
            let refusal = take(Signal::Logs, content_type, Some("gzip"), &packed[..cut.index(packed.len())]);
            prop_assert!(refusal.is_err(), "half a gzip stream is not taken");
        }
    }

    #[test]
    fn json_like_text_never_panics(body in "[\\[\\]{}:,\"a-z0-9\\\\]{0,200}") {
        let wrapped = format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{body}]}}]}}]}}");
        let _ = take(Signal::Traces, JSON, None, wrapped.as_bytes());
        let _ = take(Signal::Traces, JSON, None, body.as_bytes());
    }
}
