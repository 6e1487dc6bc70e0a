mod damage;
mod hand_over;
mod kill;
mod queries;
mod world;

use super::*;
use world::{NOW, SECOND, World, batch, log, probe, span, sums, trace_id};

#[tokio::test]
async fn what_is_acknowledged_is_there_after_a_restart() {
    let mut world = World::new();
    let telemetry = world.open(None).await;
    let records = vec![
        Record::Log(log("shop", NOW - SECOND, "first")),
        Record::Span(span("shop", 7, 1, NOW - SECOND)),
        Record::Probe(probe("shop", NOW)),
        Record::Log(log("shop", NOW, "second")),
    ];
    let appended = telemetry.append(batch(Some(1), records.clone())).await.unwrap();
    assert!(!appended.repeated);
    world.crash().await;

    let telemetry = world.open(None).await;
    let logs = telemetry
        .reader()
        .logs(&events::Filter::default(), 10, None)
        .await
        .unwrap();
    let found: Vec<_> = logs.rows.into_iter().map(|row| Record::Log(row.record)).collect();
    assert_eq!(found, [records[3].clone(), records[0].clone()]);
    assert!(logs.complete && logs.next.is_none());
    let trace = telemetry.reader().trace(trace_id(7)).await.unwrap();
    assert_eq!(Record::Span(trace.spans[0].record.clone()), records[1]);
    let window = Window {
        from: None,
        until: None,
        limit: 5,
        before: None,
    };
    let probes = telemetry.reader().probe_results(None, window).await.unwrap();
    assert_eq!(Record::Probe(probes.rows[0].record.clone()), records[2]);
    assert_eq!(sums(&telemetry.uncarried()), (4, 2, 0));
    world.close().await;
}

#[tokio::test]
async fn a_repeated_batch_is_stored_once_and_answered_alike() {
    let mut world = World::new();
    let telemetry = world.open(None).await;
    let records = vec![Record::Log(log("shop", NOW, "once"))];
    let (first, second) = tokio::join!(
        telemetry.append(batch(Some(1), records.clone())),
        telemetry.append(batch(Some(1), records.clone()))
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(!first.repeated && second.repeated, "two in one group");
    let third = telemetry.append(batch(Some(1), records.clone())).await.unwrap();
    assert!(third.repeated, "one later");
    world.crash().await;
    let telemetry = world.open(None).await;
    let fourth = telemetry.append(batch(Some(1), records.clone())).await.unwrap();
    assert!(fourth.repeated, "one after a crash");
    assert!(
        [&second, &third, &fourth]
            .iter()
            .all(|other| other.reply == first.reply)
    );
    assert_eq!(telemetry.stats().logs, 1);
    assert_eq!(sums(&telemetry.uncarried()).0, 1);

    let mut other = batch(Some(1), records);
    other.source = "token/ci".to_owned();
    assert!(
        !telemetry.append(other).await.unwrap().repeated,
        "another source is another batch"
    );
    world.close().await;
}

/// Fails the first COMMIT that it is asked about, after it has happened.
struct DoubtOnce(std::sync::atomic::AtomicBool);

impl crate::Faults for DoubtOnce {
    fn fails(&self, point: crate::FaultPoint, _: events::CommitId) -> bool {
        point == crate::FaultPoint::AfterCommit && self.0.swap(false, std::sync::atomic::Ordering::AcqRel)
    }
}

#[tokio::test]
async fn a_batch_whose_commit_was_in_doubt_is_stored_and_counted_once() {
    let mut world = World::new();
    world.options.database.faults = Some(Arc::new(DoubtOnce(true.into())));
    let telemetry = world.open(None).await;
    let records = vec![Record::Log(log("shop", NOW, "once"))];
    let first = telemetry.append(batch(Some(1), records.clone())).await;
    assert!(matches!(first, Err(TelemetryError::Failed(_))), "{first:?}");
    let second = telemetry.append(batch(Some(1), records)).await.unwrap();
    assert!(second.repeated);
    assert_eq!((telemetry.stats().logs, telemetry.stats().failed), (1, 1));
    assert_eq!(sums(&telemetry.uncarried()).0, 1);
    world.close().await;
}

/// Waits until something holds, at most 20 s.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "waited too long: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_writer_that_does_not_go_on_is_seen_and_one_that_does_is_not() {
    let mut world = World::new();
    let (telemetry, writer) = world.open_only(None).await;
    let mut waits = tokio::task::JoinSet::new();
    let appending = telemetry.clone();
    waits.spawn(async move {
        appending
            .append(batch(Some(1), vec![Record::Log(log("shop", NOW, "x"))]))
            .await
    });
    until("what waits is seen to wait", || telemetry.stats().stalled_ms > 20).await;
    let telemetry = world.run(telemetry, writer);
    waits.join_all().await.remove(0).unwrap();
    until("nothing waits any more", || telemetry.stats().stalled_ms == 0).await;
    world.close().await;
}

/// Fails every transaction while it is set.
struct Failing(std::sync::atomic::AtomicBool);

impl crate::Faults for Failing {
    fn fails(&self, point: crate::FaultPoint, _: events::CommitId) -> bool {
        point == crate::FaultPoint::BeforeCommit && self.0.load(std::sync::atomic::Ordering::Acquire)
    }
}

#[tokio::test]
async fn failures_in_a_row_are_counted_until_one_succeeds() {
    let mut world = World::new();
    let failing = Arc::new(Failing(true.into()));
    world.options.database.faults = Some(Arc::clone(&failing) as Arc<dyn crate::Faults>);
    let telemetry = world.open(None).await;
    let records = || batch(Some(1), vec![Record::Log(log("shop", NOW, "x"))]);
    for failures in 1..=3 {
        telemetry.append(records()).await.unwrap_err();
        assert_eq!(telemetry.stats().failed_in_a_row, failures);
    }
    failing.0.store(false, std::sync::atomic::Ordering::Release);
    telemetry.append(records()).await.unwrap();
    assert_eq!((telemetry.stats().failed_in_a_row, telemetry.stats().failed), (0, 3));
    world.close().await;
}
