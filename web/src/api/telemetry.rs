//! Logs, traces, latency.

use std::collections::BTreeMap;

use axum::response::Response;
use events::{Bin, Fact, Filter, ServiceId, TraceId, aggregate::Source, filter::severity_number};
use jiff::SignedDuration;
use serde_json::{Value, json};
use store::FactQuery;

use super::{LIMIT_MAX, json};
use crate::{App, Problem, routes::Ask};

pub(crate) async fn logs(app: App, ask: Ask) -> Result<Response, Problem> {
    ask.only(&["service", "severity", "contains", "trace", "since", "until", "before", "limit"])?;
    let now = app.now();
    let severity: Option<String> = ask.read("severity")?;
    let severity = severity
        .map(|word| {
            severity_number(&word)
                .or_else(|| word.parse().ok())
                .ok_or_else(|| Problem::bad(format!("severity: {word:?} is none")).detail("trace, debug, info, warn, error, fatal or 1 to 24"))
        })
        .transpose()?;
    let filter = Filter {
        service: ask.read::<ServiceId>("service")?,
        severity,
        contains: ask.read("contains")?,
        trace: ask.read::<TraceId>("trace")?,
        from: ask.moment("since", now)?,
        until: ask.moment("until", now)?,
    };
    json(app.telemetry.logs(&filter, ask.limit()?, ask.read("before")?).await.map_err(unreadable)?)
}

pub(crate) async fn trace(app: App, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let id: TraceId = ask.part("id").parse().map_err(|error: events::NameError| Problem::bad(error.to_string()))?;
    json(app.telemetry.trace(id).await.map_err(unreadable)?)
}

fn unreadable(error: impl std::error::Error + 'static) -> Problem {
    tracing::warn!(error = &error as &dyn std::error::Error, "answer a question from telemetry");
    Problem::failed("telemetry could not answer").detail(error.to_string())
}

/// Longest stretch over which ticks are merged for an answer.
const LATENCY_MAX: SignedDuration = SignedDuration::from_hours(24);

/// Latency and error rate of a service, by release and source, merged from the ticks' bins.
pub(crate) async fn latency(app: App, ask: Ask) -> Result<Response, Problem> {
    ask.only(&["since", "until"])?;
    let service: ServiceId = ask.part("service").parse().map_err(|error: events::NameError| Problem::bad(error.to_string()))?;
    let now = app.now();
    let from = ask.moment("since", now)?.unwrap_or(now.plus(-SignedDuration::from_hours(1)));
    let until = ask.moment("until", now)?.unwrap_or(now);
    if until.since(from) > LATENCY_MAX {
        return Err(Problem::bad("at most 24 h at once").detail("narrow it with since and until"));
    }
    let mut merged: BTreeMap<(Source, String), Bin> = BTreeMap::new();
    let mut ticks = 0_usize;
    let mut after = None;
    loop {
        let query = FactQuery {
            kinds: vec!["tick".to_owned()],
            from_wall: Some(from),
            until_wall: Some(until),
            after_seq: after,
            limit: LIMIT_MAX,
            newest_first: false,
            ..FactQuery::default()
        };
        let page = app.journal.facts(query).await?;
        for fact in &page.items {
            let Fact::Tick(tick) = fact.fact() else { continue };
            ticks += 1;
            for (series, bin) in tick.bins.iter().filter(|(series, _)| series.service == service) {
                let release = series.release.as_ref().map_or("-", events::ReleaseId::as_str).to_owned();
                merged.entry((series.source, release)).or_default().merge(bin);
            }
        }
        after = page.items.last().map(|fact| fact.seq);
        if !page.more || after.is_none() {
            break;
        }
    }
    let series: Vec<Value> = merged.iter().map(|((source, release), bin)| figures(*source, release, bin)).collect();
    json(json!({ "service": service, "from": from, "until": until, "ticks": ticks, "series": series }))
}

fn figures(source: Source, release: &str, bin: &Bin) -> Value {
    let at = |part, whole| bin.latency.quantile(part, whole);
    json!({
        "source": source,
        "release": release,
        "records": bin.records,
        "requests": bin.n,
        "bad": bin.bad,
        "late": bin.late,
        "p50_us": at(50, 100),
        "p90_us": at(90, 100),
        "p95_us": at(95, 100),
        "p99_us": at(99, 100),
        "p999_us": at(999, 1000),
        "max_us": bin.latency.max(),
    })
}
