//! Traces, logs, latency.

use serde_json::{Value, json};
use web::answer::{LatencyAnswer, LogsAnswer, TraceAnswer};

use super::{
    samples::{NOW, read},
    *,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn id(number: u64) -> String {
    format!("{number:016x}")
}

/// A span that begins and ends so many microseconds into the trace.
fn span(number: u64, parent: Option<u64>, (start_us, end_us): (i64, i64), name: &str) -> Value {
    let at = |us: i64| events::Timestamp(1_795_230_765_000_000_000 + us * 1000).to_string();
    json!({
        "start": at(start_us), "end": at(end_us), "service": if name.contains("pay") { "pay" } else { "shop" }, "trace": TRACE, "span": id(number),
        "parent": parent.map(id), "name": name, "kind": "server", "error": false
    })
}

fn log(span: Option<u64>, body: &str) -> Value {
    json!({ "time": "2026-11-21T03:12:45.005Z", "service": "shop", "severity": 17, "body": body, "trace": TRACE, "span": span.map(id) })
}

fn answer(spans: Vec<Value>, logs: Vec<Value>) -> TraceAnswer {
    read(json!({ "trace": TRACE, "spans": spans, "logs": logs }))
}

#[test]
fn one_tree_with_its_logs() {
    let mut failed = span(4, Some(3), (5000, 115_000), "POST /pay/charge");
    failed["error"] = json!(true);
    failed["status_message"] = json!("card\u{1b}[2J declined");
    failed["attributes"] = json!({ "http.response.status_code": "402" });
    let mut thrown = span(5, Some(1), (131_000, 140_000), "render");
    thrown["error"] = json!(true);
    let exception = json!({ "exception.type": "KeyError", "exception.message": "'total'" });
    thrown["events"] = json!([["2026-11-21T03:12:45.135Z", "exception", exception]]);
    let mut said = log(Some(5), "not rendered");
    said["attributes"] = exception;
    let spans = vec![
        failed,
        span(1, None, (0, 143_000), "GET /checkout"),
        span(3, Some(2), (2000, 120_000), "POST http://pay/charge"),
        span(2, Some(1), (1000, 130_000), "checkout"),
        thrown,
        span(6, Some(99), (50_000, 60_000), "lost /pay"),
    ];
    let logs = vec![
        log(Some(4), "card declined\nstack\nstack"),
        said,
        log(Some(77), "of a span that never came"),
        log(None, "loose"),
    ];
    check("trace", &trace::page(&answer(spans, logs), 400, PLAIN));
}

#[test]
fn loops_end() {
    let spans = vec![
        span(1, Some(2), (0, 10), "a"),
        span(2, Some(1), (1, 9), "b"),
        span(3, Some(3), (2, 8), "self"),
        span(4, Some(1), (3, 7), "beneath"),
    ];
    let page = trace::page(&answer(spans, Vec::new()), 400, PLAIN);
    check("trace_loop", &page);
}

#[test]
fn a_deep_tree_neither_overflows_nor_runs_out_of_the_page() {
    let deep: Vec<Value> = (1..=10_000)
        .map(|n| span(n, (n > 1).then(|| n - 1), (0, 100), "step"))
        .collect();
    let page = trace::page(&answer(deep, Vec::new()), 50, PLAIN);
    assert!(page.lines().count() < 60, "{page}");
    assert!(page.contains("[40]") && page.contains("… 9,950 spans more"), "{page}");
    assert!(page.lines().all(|line| width(line) <= 80), "{page}");
}

#[test]
fn of_ten_thousand_siblings_the_first_and_the_failed_are_shown() {
    let mut spans = vec![span(1, None, (0, 1_000_000), "batch")];
    spans.extend((2..10_002).map(|n| span(n, Some(1), (i64::try_from(n).unwrap(), 500_000), "item")));
    spans[9000]["error"] = json!(true);
    let page = trace::page(&answer(spans, Vec::new()), 400, PLAIN);
    assert!(page.lines().count() < 50, "{page}");
    assert!(
        page.contains("… 9,969 spans more") && page.contains("ERROR shop"),
        "{page}"
    );
}

#[test]
fn every_span_is_shown_or_counted() {
    // A forest with all shapes of parents, from a fixed pseudo-random series.
    let mut seed = 7_u64;
    let mut next = |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..200 {
        let count = next(120) + 1;
        let spans: Vec<Value> = (1..=count)
            .map(|n| {
                let parent = match next(5) {
                    0 => None,
                    1 => Some(count + 50),
                    _ => Some(next(count) + 1),
                };
                span(n, parent, (i64::try_from(next(100)).unwrap(), 200), "s")
            })
            .collect();
        let spans: Vec<events::SpanRecord> = spans.into_iter().map(read).collect();
        for most in [1, 7, 1000] {
            let rows = tree::Tree::new(&spans).rows(most);
            let shown: Vec<usize> = rows
                .iter()
                .filter_map(|row| match row {
                    tree::Row::Span { span, .. } => Some(*span),
                    tree::Row::More { .. } => None,
                })
                .collect();
            let hidden: usize = rows
                .iter()
                .map(|row| match row {
                    tree::Row::More { spans, .. } => *spans,
                    tree::Row::Span { .. } => 0,
                })
                .sum();
            let distinct: std::collections::BTreeSet<usize> = shown.iter().copied().collect();
            assert_eq!(distinct.len(), shown.len(), "round {round}: a span twice");
            assert_eq!(shown.len() + hidden, spans.len(), "round {round}, at most {most}");
            assert!(shown.len() <= most);
        }
    }
}

#[test]
fn an_unknown_trace_says_so() {
    let page = trace::page(&answer(Vec::new(), Vec::new()), 400, PLAIN);
    assert!(page.contains("nothing is known of it"), "{page}");
}

#[test]
fn logs_are_read_downwards() {
    let record = |time: &str, severity: u8, body: &str| json!({ "time": format!("2026-11-{time}Z"), "service": "shop", "severity": severity, "body": body });
    let of_trace = |mut record: Value| {
        record["trace"] = json!(TRACE);
        record["attributes"] = json!({ "exception.type": "CardError", "exception.message": "no funds" });
        record
    };
    let long = "word ".repeat(60);
    let lines = (0..40).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
    let answer: LogsAnswer = read(json!({
        "asked_at": NOW, "before": "1_2_3", "missing": ["12 records from … are damaged (block 7)"],
        "records": [
            of_trace(record("21T03:12:45.679", 17, "CardError: no funds")), of_trace(record("21T03:12:45.678", 17, "card declined\n  at charge()")),
            record("21T03:12:44", 13, &long), record("20T23:59:59", 9, &lines)]
    }));
    check("logs", &logs::page(&answer, PLAIN));
}

#[test]
fn latency_by_release() {
    let series = |release: &str, requests: u64, bad: u64| {
        json!({
            "source": "span", "release": release, "records": requests * 2, "requests": requests, "bad": bad, "late": 3, "p50_us": 12_000, "p90_us": 90_000,
            "p95_us": 140_000, "p99_us": 1_200_000, "p999_us": 2_900_000, "max_us": 3_000_000
        })
    };
    let answer: LatencyAnswer = read(json!({
        "service": "shop", "from": "2026-11-21T02:27:00Z", "until": NOW, "ticks": 720, "series": [series("1.4.1", 120_000, 0), series("1.4.2", 1000, 23), series("1.4.3", 500_000, 1)]
    }));
    check("latency", &latency::page(&answer, PLAIN));
}
