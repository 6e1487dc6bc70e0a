//! Logs, traces, latency.

use std::collections::BTreeMap;

use axum::response::Response;
use events::{Bin, Fact, Filter, ServiceId, TraceId, aggregate::Source, filter::severity_number};
use jiff::SignedDuration;
use store::{
    FactQuery,
    telemetry::{Cursor, Gap, TelemetryError},
};

use super::{LIMIT_MAX, json};
use crate::{
    Desk, Problem,
    answer::{LatencyAnswer, LatencySeries, LogsAnswer, TraceAnswer},
    routes::Ask,
};

/// Longest text that is searched for.
const CONTAINS_MAX: usize = 1000;

pub(crate) async fn logs(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[
        "service", "severity", "contains", "trace", "since", "until", "before", "limit",
    ])?;
    let now = desk.now();
    let contains: Option<String> = ask.read("contains")?;
    if contains.as_ref().is_some_and(|text| text.len() > CONTAINS_MAX) {
        return Err(Problem::bad(format!("contains: at most {CONTAINS_MAX} bytes")));
    }
    let filter = Filter {
        service: ask.read::<ServiceId>("service")?,
        severity: severity(&ask)?,
        contains,
        trace: ask.read::<TraceId>("trace")?,
        from: ask.moment("since", now)?,
        until: ask.moment("until", now)?,
    };
    let limit = usize::try_from(ask.limit()?).unwrap_or(usize::MAX);
    let found = desk
        .telemetry_reader()
        .logs(&filter, limit, ask.read::<Cursor>("before")?)
        .await?;
    let mut missing: Vec<String> = found.gaps.iter().map(Gap::to_string).collect();
    if !found.complete {
        let until = found.scanned_until.map_or_else(String::new, |until| {
            format!(": all since {} was", until.whole_seconds())
        });
        missing.push(format!(
            "not everything was looked at{until}; narrow it with since, until or service"
        ));
    }
    json(LogsAnswer {
        asked_at: now,
        records: found.rows.into_iter().map(|row| row.record).collect(),
        before: found.next.map(|cursor| cursor.to_string()),
        missing,
    })
}

fn severity(ask: &Ask) -> Result<Option<u8>, Problem> {
    let Some(word) = ask.read::<String>("severity")? else {
        return Ok(None);
    };
    let number = severity_number(&word)
        .or_else(|| word.parse().ok())
        .filter(|number| *number <= 24);
    let problem = || {
        Problem::bad(format!("severity: {word:?} is none")).detail("trace, debug, info, warn, error, fatal or 1 to 24")
    };
    number.map(Some).ok_or_else(problem)
}

pub(crate) async fn trace(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let id: TraceId = ask
        .part("id")
        .parse()
        .map_err(|error: events::NameError| Problem::bad(error.to_string()))?;
    let trace = desk.telemetry_reader().trace(id).await?;
    json(TraceAnswer {
        trace: id,
        spans: trace.spans.into_iter().map(|row| row.record).collect(),
        logs: trace.logs.into_iter().map(|row| row.record).collect(),
        more: !trace.complete,
        missing: trace
            .gaps
            .iter()
            .map(|gap| format!("{gap}; they may or may not be of this trace"))
            .collect(),
    })
}

impl From<TelemetryError> for Problem {
    fn from(error: TelemetryError) -> Self {
        use axum::http::StatusCode;
        let seconds = |after: SignedDuration| after.as_secs().max(1).unsigned_abs();
        let title = error.to_string();
        match &error {
            TelemetryError::Busy { retry_after } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, title).retry_after(seconds(*retry_after))
            }
            TelemetryError::DiskFull { retry_after } => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, title).retry_after(seconds(*retry_after))
            }
            TelemetryError::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, title),
            TelemetryError::Stopping => Self::new(StatusCode::SERVICE_UNAVAILABLE, title).retry_after(1),
            TelemetryError::Deadline { .. } => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, title).detail("narrow it with since, until or service")
            }
            TelemetryError::Failed(_) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "answer a question from telemetry"
                );
                Self::failed("telemetry could not answer").detail(store::chain_of(&error))
            }
        }
    }
}

/// Longest stretch over which ticks are merged for an answer.
const LATENCY_MAX: SignedDuration = SignedDuration::from_hours(24);

/// Latency and error rate of a service, by release and source, merged from the ticks' bins.
pub(crate) async fn latency(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&["since", "until"])?;
    let service: ServiceId = ask
        .part("service")
        .parse()
        .map_err(|error: events::NameError| Problem::bad(error.to_string()))?;
    let now = desk.now();
    let from = ask
        .moment("since", now)?
        .unwrap_or(now.plus(-SignedDuration::from_hours(1)));
    let until = ask.moment("until", now)?.unwrap_or(now);
    if until <= from {
        let (until, from) = (until.whole_seconds(), from.whole_seconds());
        return Err(Problem::bad(format!("until: {until} is not after {from}")));
    }
    if until.since(from) > LATENCY_MAX {
        return Err(Problem::bad("at most 24 h at once").detail("narrow it with since and until"));
    }
    let mut query = FactQuery {
        kinds: vec!["tick".to_owned()],
        from_wall: Some(from),
        until_wall: Some(until),
        limit: LIMIT_MAX,
        ..FactQuery::default()
    };
    let mut merged: BTreeMap<(Source, String), Bin> = BTreeMap::new();
    let mut ticks = 0_u64;
    loop {
        let page = desk.reader().facts(&query).await?;
        for fact in &page.items {
            let Fact::Tick(tick) = fact.fact() else { continue };
            ticks += 1;
            for (series, bin) in tick.bins.iter().filter(|(series, _)| series.service == service) {
                let release = series
                    .release
                    .as_ref()
                    .map_or("-", events::ReleaseId::as_str)
                    .to_owned();
                merged.entry((series.source, release)).or_default().merge(bin);
            }
        }
        query.after_seq = page.items.last().map(|fact| fact.seq);
        if !page.more || query.after_seq.is_none() {
            break;
        }
    }
    let series = merged
        .iter()
        .map(|((source, release), bin)| figures(*source, release, bin))
        .collect();
    json(LatencyAnswer {
        service,
        from,
        until,
        ticks,
        series,
    })
}

fn figures(source: Source, release: &str, bin: &Bin) -> LatencySeries {
    let at = |part, whole| bin.latency.quantile(part, whole);
    LatencySeries {
        source: serde_json::to_value(source)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default(),
        release: release.to_owned(),
        records: bin.records,
        requests: bin.n,
        bad: bin.bad,
        late: bin.late,
        p50_us: at(50, 100),
        p90_us: at(90, 100),
        p95_us: at(95, 100),
        p99_us: at(99, 100),
        p999_us: at(999, 1000),
        max_us: bin.latency.max(),
    }
}
