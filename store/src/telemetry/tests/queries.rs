//! Answers equal those of a naive scan over what was sent.

use std::sync::atomic::Ordering;

use events::{Filter, LogRecord};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::{
    super::{
        block::Table,
        reading::scan::{self, Scan, Want},
        *,
    },
    world::{NOW, SECOND, World, batch, log, service, span, span_id, sums, trace_id},
};

const SERVICES: [&str; 3] = ["shop", "cart", "shop@staging"];
const BODIES: [&str; 4] = ["GET /cart 200", "Payment FAILED for user 7", "", "ünïcode Straße ok"];

/// Logs of many times, out of order, in many batches.
async fn filled(world: &mut World) -> (Telemetry, Vec<LogRecord>) {
    world.options.linger = SignedDuration::ZERO;
    let telemetry = world.open(None).await;
    let mut sent = Vec::new();
    for round in 0..30_u64 {
        let records: Vec<LogRecord> = (0..20_u64).map(|index| made(round * 20 + index)).collect();
        sent.extend(records.clone());
        let records = records.into_iter().map(Record::Log).collect();
        telemetry.append(batch(None, records)).await.unwrap();
    }
    (telemetry, sent)
}

/// A record that looks random and is always the same.
fn made(number: u64) -> LogRecord {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let pick = |shift: u32, of: u64| usize::try_from((mixed >> shift) % of).unwrap();
    // Mostly in order, some an hour late.
    let late = if pick(7, 10) == 0 { 3600 * SECOND } else { 0 };
    let time = NOW + i64::try_from(number / 4).unwrap() * SECOND - late;
    let mut record = log(SERVICES[pick(13, 3)], time, BODIES[pick(29, 4)]);
    record.severity = u8::try_from(pick(37, 25)).unwrap();
    record.trace = (pick(41, 2) == 0).then(|| trace_id(pick(43, 20) as u64));
    record.attributes = [("number".to_owned(), number.to_string())].into();
    record
}

fn filter() -> impl Strategy<Value = Filter> {
    let time = || prop::option::of((-3700..200_i64).prop_map(|second| Timestamp(NOW + second * SECOND)));
    let text = prop::option::of(prop::sample::select(vec![
        "failed", "CART", "7", "", "straße", "nowhere", "ü",
    ]));
    let service = prop::option::of(prop::sample::select(vec!["shop", "cart", "nobody"]));
    (
        service,
        prop::option::of(0..25_u8),
        text,
        prop::option::of(0..22_u64),
        time(),
        time(),
    )
        .prop_map(|(of, severity, text, trace, from, until)| Filter {
            service: of.map(service_of),
            severity,
            contains: text.map(str::to_owned),
            trace: trace.map(trace_id),
            from,
            until,
        })
}

fn service_of(name: &str) -> ServiceId {
    service(name)
}

/// Pages through an answer.
async fn pages(telemetry: &Telemetry, filter: &Filter, limit: usize) -> Vec<LogRecord> {
    let mut all = Vec::new();
    let mut before = None;
    loop {
        let found = telemetry.reader().logs(filter, limit, before).await.unwrap();
        assert!(found.rows.len() <= limit && found.complete && found.gaps.is_empty());
        assert!(
            found.rows.windows(2).all(|pair| pair[0].at > pair[1].at),
            "newest first"
        );
        all.extend(found.rows.into_iter().map(|row| row.record));
        before = found.next;
        if before.is_none() {
            return all;
        }
    }
}

fn numbers(records: &[LogRecord]) -> Vec<u64> {
    let mut numbers: Vec<u64> = records
        .iter()
        .map(|record| record.attributes["number"].parse().unwrap())
        .collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn answers_equal_a_naive_scan() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut world = World::new();
    let (telemetry, sent) = runtime.block_on(filled(&mut world));
    let config = Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&(filter(), 1..700_usize), |(filter, limit)| {
        let found = runtime.block_on(pages(&telemetry, &filter, limit));
        let naive: Vec<LogRecord> = sent.iter().filter(|record| filter.matches(record)).cloned().collect();
        prop_assert_eq!(numbers(&found), numbers(&naive));
        prop_assert!(found.windows(2).all(|pair| pair[0].time >= pair[1].time));
        Ok(())
    });
    result.unwrap();
    runtime.block_on(world.close());
}

#[tokio::test]
async fn a_follower_sees_what_came_after() {
    let mut world = World::new();
    let telemetry = world.open(None).await;
    let mut newest = telemetry.newest();
    telemetry
        .append(batch(None, vec![Record::Log(log("shop", NOW, "one"))]))
        .await
        .unwrap();
    let (found, row) = telemetry.reader().logs_after(0, &Filter::default(), 10).await.unwrap();
    assert_eq!((found.rows.len(), found.rows[0].record.body.as_str()), (1, "one"));
    newest.wait_for(|newest| *newest == row).await.unwrap();
    telemetry
        .append(batch(None, vec![Record::Log(log("shop", NOW, "two"))]))
        .await
        .unwrap();
    newest.changed().await.unwrap();
    let (found, _) = telemetry
        .reader()
        .logs_after(row, &Filter::default(), 10)
        .await
        .unwrap();
    assert_eq!((found.rows.len(), found.rows[0].record.body.as_str()), (1, "two"));
    world.close().await;
}

#[tokio::test]
async fn a_trace_has_every_span_once_and_its_logs() {
    let mut world = World::new();
    let telemetry = world.open(None).await;
    let mut of_trace = log("cart", NOW, "in the middle");
    of_trace.trace = Some(trace_id(1));
    of_trace.span = Some(span_id(2));
    let spans = |range: std::ops::Range<u64>, trace| {
        range
            .map(|number| Record::Span(span("shop", trace, number, NOW + number.cast_signed())))
            .collect::<Vec<_>>()
    };
    telemetry.append(batch(Some(1), spans(0..5, 1))).await.unwrap();
    telemetry.append(batch(Some(2), spans(3..8, 1))).await.unwrap();
    telemetry.append(batch(Some(3), spans(0..9, 2))).await.unwrap();
    telemetry
        .append(batch(Some(4), vec![Record::Log(of_trace.clone())]))
        .await
        .unwrap();
    let trace = telemetry.reader().trace(trace_id(1)).await.unwrap();
    let ids: Vec<_> = trace.spans.iter().map(|span| span.record.span).collect();
    assert_eq!(ids, (0..8).map(span_id).collect::<Vec<_>>());
    assert_eq!(
        trace.logs.iter().map(|row| &row.record).collect::<Vec<_>>(),
        [&of_trace]
    );
    assert!(trace.complete && trace.gaps.is_empty());
    let nothing = telemetry.reader().trace(trace_id(99)).await.unwrap();
    assert!(nothing.spans.is_empty() && nothing.logs.is_empty() && nothing.complete);

    let window = Window {
        from: None,
        until: None,
        limit: 3,
        before: None,
    };
    let newest = telemetry.reader().spans(Some(&service("shop")), window).await.unwrap();
    assert_eq!(newest.rows.len(), 3);
    assert!(newest.rows.iter().all(|row| row.record.service == service("shop")));
    assert!(newest.next.is_some());
    world.close().await;
}

#[tokio::test]
async fn releases_and_lateness_are_stamped_when_it_arrives() {
    let mut world = World::new();
    let telemetry = world.open(None).await;
    let release = |version: &str| ReleaseId::new(version).unwrap();
    let mut own = log("shop", NOW, "own");
    own.release = Some(release("9"));
    let records = |late: i64| {
        vec![
            Record::Log(own.clone()),
            Record::Log(log("shop", NOW - late, "deployed")),
            Record::Log(log("cart", NOW, "unknown")),
        ]
    };
    world
        .releases
        .send_replace(Arc::new([(service("shop"), release("1"))].into()));
    telemetry.append(batch(None, records(60 * SECOND))).await.unwrap();
    world
        .releases
        .send_replace(Arc::new([(service("shop"), release("2"))].into()));
    world.clock.0.fetch_add(1, Ordering::Relaxed);
    telemetry.append(batch(None, records(60 * SECOND))).await.unwrap();
    let found = telemetry.reader().logs(&Filter::default(), 10, None).await.unwrap();
    let stamped = |body: &str| -> Vec<_> {
        let of_body = found.rows.iter().rev().filter(|row| row.record.body == body);
        of_body
            .map(|row| {
                (
                    row.release.as_ref().map(|release| release.as_str().to_owned()),
                    row.late,
                )
            })
            .collect()
    };
    let some = |version: &str| Some(version.to_owned());
    assert_eq!(stamped("own"), [(some("9"), false), (some("9"), false)]);
    assert_eq!(stamped("deployed"), [(some("1"), false), (some("2"), true)]);
    assert_eq!(stamped("unknown"), [(None, false), (None, false)]);
    assert!(
        found
            .rows
            .iter()
            .all(|row| row.record.release.is_some() == (row.record.body == "own"))
    );

    let live = telemetry.uncarried();
    world.crash().await;
    let telemetry = world.open(None).await;
    assert_eq!(
        telemetry.uncarried(),
        live,
        "what is counted again equals what was counted"
    );
    world.close().await;
}

#[tokio::test]
async fn an_answer_that_was_cut_short_goes_on_where_it_stopped() {
    let mut world = World::new();
    let (_, sent) = filled(&mut world).await;
    let mut connection = database::open_for_reading(world.folder()).await.unwrap();
    let filter = Filter::default();
    let window = Window {
        from: None,
        until: None,
        limit: 1000,
        before: None,
    };
    let (mut all, mut before, mut cut, mut allowed) = (Vec::new(), None, 0, 0);
    loop {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_micros(allowed);
        let want = Want::new(Table::Logs, Window { before, ..window });
        let scan = Scan::new(&mut connection, deadline);
        let found = scan.newest(&want, &scan::log_matching(&filter)).await.unwrap();
        all.extend(found.rows.into_iter().map(|row| row.record));
        cut += u32::from(!found.complete);
        // The first time there is none at all, then a little more each time.
        allowed += 150;
        assert_eq!(found.complete, found.scanned_until.is_none());
        before = found.next;
        if before.is_none() {
            break;
        }
    }
    assert!(cut > 0, "the deadline was never reached");
    assert_eq!(numbers(&all), numbers(&sent));
    database::close(connection).await;
    world.close().await;
}

#[tokio::test]
async fn what_is_counted_long_after_it_arrived_enters_no_rate() {
    let mut world = World::new();
    let telemetry = world.open(None).await;
    let requests = (0..5)
        .map(|number| Record::Span(span("shop", 1, number, NOW - SECOND)))
        .collect();
    telemetry.append(batch(None, requests)).await.unwrap();
    assert_eq!(sums(&telemetry.uncarried()), (5, 5, 0));
    world.crash().await;
    world.clock.0.fetch_add(86_400 * SECOND, Ordering::Relaxed);
    let telemetry = world.open(None).await;
    assert_eq!(sums(&telemetry.uncarried()), (5, 0, 5));
    world.close().await;
}

#[tokio::test]
async fn it_can_be_read_while_no_daemon_runs() {
    let mut world = World::new();
    let nothing = TelemetryReader::open(world.folder());
    assert!(matches!(
        nothing.logs(&Filter::default(), 10, None).await,
        Err(TelemetryError::Failed(_))
    ));
    let (_, sent) = filled(&mut world).await;
    world.close().await;
    let reader = TelemetryReader::open(world.folder());
    let found = reader.logs(&Filter::default(), 1000, None).await.unwrap();
    assert_eq!(found.rows.len(), sent.len());
    assert_eq!(reader.stats().await.unwrap().logs, sent.len() as u64);
    // It does not keep the next daemon from opening.
    let telemetry = world.open(None).await;
    assert_eq!(telemetry.stats().logs, sent.len() as u64);
    world.close().await;
}
