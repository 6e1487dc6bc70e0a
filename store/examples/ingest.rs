//! How many log records a second one core takes in: packed, committed with a full sync, counted. Builds its batches
//! beforehand, so that the figure is the store's own.
//!
//! `cargo run --release -p store --example ingest [RECORDS]`

#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

use std::{collections::BTreeMap, sync::Arc};

use events::{Attributes, Batch, Clock, Clocks, LogRecord, Record, ServiceId, SpanId, Timestamp, TraceId};
use store::telemetry::{Telemetry, TelemetryContext, TelemetryOptions};
use tokio::{sync::watch, time::Instant};

const NOW: i64 = 1_790_000_000_000_000_000;
const BATCH: u64 = 512;

struct Still;

impl Clocks for Still {
    fn now(&self) -> Clock {
        Clock {
            wall: Timestamp(NOW),
            ..Clock::default()
        }
    }
}

/// A number that looks random.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9_u64), (27, 0x94d0_49bb_1331_11eb)] {
        mixed = (mixed ^ (mixed >> shift)).wrapping_mul(factor);
    }
    mixed ^ (mixed >> 31)
}

fn made(number: u64) -> Option<Record> {
    let random = mixed(number);
    let of_trace = mixed(number / 8);
    let texts = [
        ("host.name", format!("web-{}", random % 8)),
        ("deployment.environment.name", "production".to_owned()),
        ("service.version", "1.4.2".to_owned()),
        ("http.request.method", "GET".to_owned()),
        ("http.route", format!("/api/v1/cart/{{id}}/{}", random % 20)),
        (
            "http.response.status_code",
            if random.is_multiple_of(50) { "500" } else { "200" }.to_owned(),
        ),
        ("user.id", (random % 100_000).to_string()),
        ("duration_ms", format!("{}.{}", random % 300, random % 1000)),
    ];
    let attributes: Attributes = texts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let traced = of_trace % 10 < 6;
    Some(Record::Log(LogRecord {
        time: Timestamp(NOW - i64::try_from(random % 800_000_000).ok()?),
        service: ServiceId::new(format!("service-{}", (random >> 8) % 20)).ok()?,
        release: None,
        severity: if random.is_multiple_of(50) { 17 } else { 9 },
        body: format!(
            "request {random:x} of user {} took {} ms, cache {of_trace:x}",
            random % 9999,
            random % 300
        ),
        trace: traced
            .then(|| TraceId::from_bytes(&u128::from(of_trace).wrapping_mul(3).to_be_bytes()))
            .flatten(),
        span: traced.then(|| SpanId::from_bytes(&random.to_be_bytes())).flatten(),
        attributes,
    }))
}

fn batch(number: u64) -> Batch {
    let mut key = [0; 16];
    key.iter_mut()
        .zip(number.to_le_bytes())
        .for_each(|(to, from)| *to = from);
    Batch {
        source: "loopback".to_owned(),
        key: Some(key),
        records: (number * BATCH..(number + 1) * BATCH).filter_map(made).collect(),
        reply: Vec::new(),
    }
}

/// CPU seconds of this process, in ticks of 10 ms. Source: proc(5), fields 14 and 15 of `/proc/self/stat`.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let records: u64 = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse())?;
    let folder = tempfile::TempDir::new()?;
    let context = TelemetryContext {
        counted: None,
        releases: watch::channel(Arc::new(BTreeMap::new())).1,
        clocks: Arc::new(Still),
    };
    let (telemetry, mut writer) = Telemetry::open(folder.path(), TelemetryOptions::default(), context).await?;
    let mut tasks = tokio::task::JoinSet::new();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    tasks.spawn(async move { writer.run(async move { drop(stopped.await) }).await });

    let (mut ticks, mut took) = (0, std::time::Duration::ZERO);
    let rounds = records.div_ceil(BATCH * 16);
    for round in 0..rounds {
        let batches: Vec<Batch> = (round * 16..(round + 1) * 16).map(batch).collect();
        let (ticks_before, began) = (cpu_ticks(), Instant::now());
        futures_join(&telemetry, batches).await?;
        ticks += cpu_ticks() - ticks_before;
        took += began.elapsed();
    }
    drop(stop);
    if let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let stored = rounds * BATCH * 16;
    let stats = telemetry.stats();
    println!(
        "{stored} records, profile {}",
        if cfg!(debug_assertions) {
            "dev: not the figure to quote"
        } else {
            "release"
        }
    );
    println!("{} records per CPU second", stored * 100 / ticks.max(1));
    println!(
        "{} records per second of wall time",
        u128::from(stored) * 1_000_000 / took.as_micros().max(1)
    );
    println!("{} bytes a record", stats.bytes / stored.max(1));
    Ok(())
}

/// Sends batches at once and waits for all of them.
async fn futures_join(telemetry: &Telemetry, batches: Vec<Batch>) -> Result<(), Box<dyn std::error::Error>> {
    let mut sending = tokio::task::JoinSet::new();
    for batch in batches {
        let telemetry = telemetry.clone();
        sending.spawn(async move { telemetry.append(batch).await });
    }
    while let Some(sent) = sending.join_next().await {
        sent??;
    }
    Ok(())
}
