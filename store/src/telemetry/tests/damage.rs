//! Hostile records, damaged bytes, full queues and full disks.

use events::Filter;

use super::{
    super::*,
    world::{NOW, SECOND, World, batch, log, sums},
};

fn logs(count: i64, body: &str) -> Vec<Record> {
    (0..count)
        .map(|index| Record::Log(log("shop", NOW + index, body)))
        .collect()
}

/// Text that does not compress, other for each seed.
fn noise(seed: u64, words: u64) -> String {
    (0..words).fold(String::new(), |mut text, word| {
        use std::fmt::Write as _;
        write!(text, "{:x}", (word + seed * 7919).wrapping_mul(0x9e37_79b9_7f4a_7c15)).unwrap();
        text
    })
}

async fn sql(world: &World, sql: &'static str) {
    let options = Options {
        checkpoint_at_open: false,
        ..Options::default()
    };
    let mut connection = database::open(world.folder(), &options).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    database::close(connection).await;
}

#[tokio::test]
async fn hostile_texts_come_back_as_they_were() {
    let mut world = World::new();
    let telemetry = world.open(None).await;
    let texts = [
        "nul \u{0} in it".to_owned(),
        "\u{202e}gnp.exe".to_owned(),
        "x".repeat(1 << 20),
        "'; DROP TABLE hot; --".to_owned(),
    ];
    let records: Vec<Record> = texts
        .iter()
        .map(|text| {
            let mut record = log("shop", NOW, text);
            record.attributes = [(text.clone(), text.clone())].into();
            Record::Log(record)
        })
        .collect();
    telemetry.append(batch(Some(1), records.clone())).await.unwrap();
    world.crash().await;
    let telemetry = world.open(None).await;
    let found = telemetry.reader().logs(&Filter::default(), 10, None).await.unwrap();
    let found: Vec<_> = found
        .rows
        .into_iter()
        .rev()
        .map(|row| Record::Log(row.record))
        .collect();
    assert_eq!(found, records);
    for text in [&texts[0], &texts[3]] {
        let filter = Filter {
            contains: Some(text.clone()),
            ..Filter::default()
        };
        assert_eq!(telemetry.reader().logs(&filter, 10, None).await.unwrap().rows.len(), 1);
    }
    world.close().await;
}

#[tokio::test]
async fn a_damaged_block_is_a_named_gap() {
    let mut world = World::new();
    let telemetry = world.open(None).await;
    for _ in 0..3 {
        telemetry.append(batch(None, logs(4, "hello"))).await.unwrap();
    }
    world.close().await;
    sql(&world, "UPDATE body SET data = zeroblob(length(data)) WHERE row = 2").await;
    let telemetry = world.open(None).await;
    let found = telemetry.reader().logs(&Filter::default(), 100, None).await.unwrap();
    assert_eq!(found.rows.len(), 8);
    let gap = Gap {
        row: 2,
        records: 4,
        from: Timestamp(NOW),
        until: Timestamp(NOW + 3),
    };
    assert_eq!(found.gaps, [gap]);
    assert_eq!(sums(&telemetry.uncarried()).0, 8, "and it is not counted");
    assert_eq!(telemetry.stats().damaged, 1);
    assert_eq!(
        telemetry.take_damage(),
        [gap],
        "met at the start and by the query, told once"
    );
    // What a query alone meets.
    sql(&world, "UPDATE body SET data = zeroblob(length(data)) WHERE row = 3").await;
    telemetry.reader().logs(&Filter::default(), 100, None).await.unwrap();
    let rows: Vec<u64> = telemetry.take_damage().iter().map(|gap| gap.row).collect();
    assert_eq!((rows, telemetry.stats().damaged), (vec![3], 2));
    assert_eq!(telemetry.take_damage(), []);
    world.close().await;
}

#[tokio::test]
async fn every_flipped_bit_is_found() {
    let mut world = World::new();
    let telemetry = world.open(None).await;
    telemetry.append(batch(None, logs(40, "hello"))).await.unwrap();
    let mut connection = database::open_for_reading(world.folder()).await.unwrap();
    let row = sqlx::query("SELECT row, n, tmin, tmax, arrived, unpacked, sum FROM hot")
        .fetch_one(&mut connection)
        .await;
    let head = stored::Head::read(&row.unwrap()).unwrap();
    let data = stored::data(&mut connection, 1).await.unwrap().unwrap();
    assert!(head.unpack(&data).is_some());
    for bit in 0..data.len() * 8 {
        let mut flipped = data.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(head.unpack(&flipped).is_none(), "bit {bit}");
    }
    database::close(connection).await;
    world.close().await;
}

#[tokio::test]
async fn what_is_too_much_is_refused_and_said() {
    let mut world = World::new();
    world.options.queue_bytes = 64 << 10;
    world.options.batch_bytes_max = 40 << 10;
    // Nobody takes anything out.
    let (telemetry, writer) = world.open_only(None).await;
    let large = telemetry.append(batch(Some(1), logs(1, &"x".repeat(50 << 10)))).await;
    assert!(matches!(large, Err(TelemetryError::TooLarge { limit: 40_960, .. })));

    let body = "x".repeat(10 << 10);
    let of = |source: &str, key: Option<u8>| Batch {
        source: source.to_owned(),
        ..batch(key, logs(1, &body))
    };
    let mut waiting = Vec::new();
    let mut accepted = |batch: Batch| {
        let mut append = Box::pin({
            let telemetry = telemetry.clone();
            async move { telemetry.append(batch).await }
        });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let pending = append.as_mut().poll(&mut context).is_pending();
        waiting.extend(pending.then_some(append));
        pending
    };
    let noisy = (0..9).filter(|key| accepted(of("noisy", Some(*key)))).count();
    assert_eq!(noisy, 3, "a source may have half of the queue");
    let quiet = (0..9).filter(|key| accepted(of("quiet", Some(*key)))).count();
    assert_eq!(quiet, 2, "and all together seven eighths");
    assert!(accepted(of("probe", None)), "the rest is for probes");
    assert_eq!(telemetry.stats().refused_busy, 13);
    drop(writer);
    for append in waiting {
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), append)
            .await
            .unwrap();
    }
    assert!(matches!(
        telemetry.append(of("late", Some(1))).await,
        Err(TelemetryError::Stopping)
    ));
}

#[tokio::test]
async fn a_full_disk_is_said_and_ends_when_there_is_room() {
    let mut world = World::new();
    world.options.database.pages_max = Some(60);
    let telemetry = world.open(None).await;
    let mut full = None;
    let mut stored = 0;
    for key in 0..60 {
        let body = noise(key, 2000);
        match telemetry
            .append(batch(Some(u8::try_from(key).unwrap()), logs(1, &body)))
            .await
        {
            Ok(_) => stored += 1,
            Err(error) => {
                full = Some(error);
                break;
            }
        }
    }
    assert!(
        matches!(full, Some(TelemetryError::DiskFull { .. })),
        "{full:?} after {stored}"
    );
    assert!(stored > 5);
    let found = telemetry.reader().logs(&Filter::default(), 100, None).await.unwrap();
    assert_eq!(found.rows.len(), stored, "nothing acknowledged is lost");

    let part = telemetry.copy().await;
    telemetry.carried(&part).await;
    let everything = Retention {
        now: Timestamp(NOW + SECOND),
        keep: SignedDuration::ZERO,
        bytes_max: None,
    };
    telemetry.retain(everything).await.unwrap();
    telemetry.append(batch(Some(99), logs(1, "room"))).await.unwrap();
    world.close().await;
}

#[tokio::test]
async fn retention_never_passes_the_tick() {
    let mut world = World::new();
    let telemetry = world.open(None).await;
    let retention = |bytes_max| Retention {
        now: Timestamp(NOW + 40 * SECOND),
        keep: SignedDuration::from_secs(30),
        bytes_max,
    };
    for _ in 0..40 {
        telemetry.append(batch(None, logs(2, "hello"))).await.unwrap();
    }
    let nothing = telemetry.retain(retention(Some(1))).await.unwrap();
    assert!(
        nothing.is_empty() && nothing.over_budget,
        "no tick has carried anything yet"
    );

    let part = telemetry.copy().await;
    telemetry.append(batch(None, logs(3, "later"))).await.unwrap();
    telemetry.carried(&part).await;
    let removed = telemetry.retain(retention(None)).await.unwrap();
    assert_eq!((removed.logs, removed.from), (80, Some(Timestamp(NOW))));
    let left = telemetry.reader().logs(&Filter::default(), 100, None).await.unwrap();
    assert_eq!(left.rows.len(), 3);
    assert_eq!(telemetry.stats().logs, 3);
    assert_eq!(sums(&telemetry.uncarried()).0, 3);
    world.close().await;
}

#[tokio::test]
async fn retention_keeps_what_is_young_and_the_budget_what_is_newest() {
    let mut world = World::new();
    let telemetry = world.open(None).await;
    for seed in 0..40 {
        telemetry
            .append(batch(Some(u8::try_from(seed).unwrap()), logs(1, &noise(seed, 3000))))
            .await
            .unwrap();
        world.clock.0.fetch_add(SECOND, std::sync::atomic::Ordering::Relaxed);
    }
    let part = telemetry.copy().await;
    telemetry.carried(&part).await;
    let by_age = Retention {
        now: Timestamp(NOW + 40 * SECOND),
        keep: SignedDuration::from_secs(35),
        bytes_max: None,
    };
    assert_eq!(telemetry.retain(by_age).await.unwrap().logs, 5);
    let half = telemetry.reader().stats().await.unwrap().bytes / 2;
    let by_budget = Retention {
        bytes_max: Some(half),
        ..by_age
    };
    let removed = telemetry.retain(by_budget).await.unwrap();
    assert!(removed.bytes_left <= half && !removed.over_budget);
    assert!((12..=25).contains(&removed.logs), "{removed:?}");
    let left = telemetry.reader().logs(&Filter::default(), 100, None).await.unwrap();
    assert_eq!(left.rows[0].record.body, noise(39, 3000));
    assert_eq!(left.rows.len() as u64, 35 - removed.logs);

    let next_day = Retention {
        now: Timestamp(NOW).plus(SignedDuration::from_hours(25)),
        keep: SignedDuration::from_hours(1000),
        bytes_max: None,
    };
    assert_eq!(telemetry.retain(next_day).await.unwrap().keys, 40);
    assert!(
        !telemetry
            .append(batch(Some(1), logs(1, "again")))
            .await
            .unwrap()
            .repeated
    );
    world.close().await;
}

#[tokio::test]
async fn pruning_gets_its_turn_under_load_and_ends_with_the_writer() {
    let mut world = World::new();
    world.options.linger = SignedDuration::ZERO;
    let telemetry = world.open(None).await;
    telemetry.append(batch(None, logs(2, "old"))).await.unwrap();
    let part = telemetry.copy().await;
    telemetry.carried(&part).await;
    let everything = Retention {
        now: Timestamp(NOW + SECOND),
        keep: SignedDuration::ZERO,
        bytes_max: None,
    };
    let load = async {
        // There is always one more that waits.
        let mut waiting = tokio::task::JoinSet::new();
        loop {
            let one_more = telemetry.clone();
            waiting.spawn(async move { one_more.append(batch(None, logs(2, "new"))).await });
            if waiting.len() > 4 {
                waiting.join_next().await.unwrap().unwrap().unwrap();
            }
        }
    };
    let removed = tokio::select! {
        removed = telemetry.retain(everything) => removed.unwrap(),
        () = load => return,
        () = tokio::time::sleep(std::time::Duration::from_secs(10)) => panic!("pruning never came to its turn"),
    };
    assert_eq!(removed.logs, 2);
    world.close().await;
    assert!(matches!(
        telemetry.retain(everything).await,
        Err(TelemetryError::Stopping)
    ));
}
