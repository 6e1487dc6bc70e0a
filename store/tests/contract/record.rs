//! Recorded once, in order, for good.

use std::sync::Arc;

use events::{Answer, Fact, Seq, replay};
use jiff::SignedDuration;
use store::{FactQuery, Folder, Options, Reader, StoreError};

use crate::bench::{Engine, HandClock, Running, Sqlite, ask, fact, identity, keyed, note};

async fn what_is_recorded_is_recorded_once<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    let Answer::Accepted { facts } = running.submit(keyed("a", "one")).await.unwrap() else {
        panic!("not accepted")
    };
    let seq = facts[0].seq;
    assert_eq!(running.submit(keyed("a", "one")).await, Ok(Answer::Duplicate { seq }));
    assert_eq!(running.submit(keyed("a", "two")).await, Ok(Answer::Conflict { seq }));
    running.end().await;
    let running = Running::start(&engine, &clock, Options::default()).await;
    assert_eq!(running.submit(keyed("a", "one")).await, Ok(Answer::Duplicate { seq }));
}

async fn facts_stand_in_the_order_of_their_commits_without_gaps<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    for round in 0..20 {
        let many = (0..10).map(|i| running.submit(note(&format!("{round}/{i}"))));
        for answer in futures_join(many).await {
            assert!(matches!(answer, Ok(Answer::Accepted { .. })));
        }
        running.tick().await;
    }
    let all = running.all().await;
    assert!(all.iter().zip(1..).all(|(fact, seq)| fact.seq == Seq(seq)));
    assert!(all.windows(2).all(|pair| pair[0].commit <= pair[1].commit));
    let head = running.journal.head().await.unwrap();
    assert_eq!(head.seq, all.last().unwrap().seq);
    assert_eq!(running.journal.committed().borrow().seq, head.seq);
}

async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                done.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if futures.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done
}

async fn a_restart_finds_everything_as_it_was<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    for destination in ["me", "you"] {
        running.submit(ask(destination)).await.unwrap();
        running.tick().await;
    }
    let (facts, views, waiting) = (
        running.all().await,
        running.journal.views().await,
        running.journal.jobs().waiting().await,
    );
    running.crash().await;
    let running = Running::open(&engine, &clock, Options::default()).await.unwrap();
    assert_eq!(running.all().await, facts);
    let again = running.journal.views().await;
    assert_eq!(again.now, views.now);
    assert!(again.deliveries.iter().eq(views.deliveries.iter()));
    assert_eq!(running.journal.jobs().waiting().await, waiting);
    assert_eq!(waiting.len(), 2);
    // Refolding all facts gives the rows that are stored.
    for row in replay::rows_of(&facts) {
        assert_eq!(
            running.journal.row(row.view, &row.key).await.unwrap(),
            Some((row.closed, row.json))
        );
    }
}

async fn ten_thousand_facts_are_open_again_soon<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    for round in 0..50 {
        let many = (0..200).map(|i| running.submit(note(&format!("{round}/{i}"))));
        futures_join(many).await;
        running.tick().await;
    }
    running.end().await;
    let began = tokio::time::Instant::now();
    let running = Running::open(&engine, &clock, Options::default()).await.unwrap();
    assert!(began.elapsed().as_secs() < 5, "took {:?}", began.elapsed());
    assert_eq!(running.all().await.len(), 2 + 50 * 201);
    assert_eq!(running.journal.verify_chain().await.unwrap().damage, None);
}

async fn facts_are_found_by_what_they_are_about<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    let service = events::ServiceId::new("shop").unwrap();
    for i in 0..5 {
        running
            .submit(note(&i.to_string()).about(Some(service.clone())))
            .await
            .unwrap();
        running.tick().await;
    }
    let query = FactQuery {
        service: Some(service),
        limit: 3,
        newest_first: true,
        ..FactQuery::default()
    };
    let page = running.journal.facts(&query).await.unwrap();
    assert_eq!((page.items.len(), page.more), (3, true));
    assert!(page.items.windows(2).all(|pair| pair[0].seq > pair[1].seq));
    let rest = FactQuery {
        before_seq: Some(page.items[2].seq),
        ..query
    };
    let rest = running.journal.facts(&rest).await.unwrap();
    assert_eq!((rest.items.len(), rest.more), (2, false));
    let ticks = FactQuery {
        kinds: vec!["tick".to_owned(), "started".to_owned()],
        from_wall: Some(page.items[0].recorded_at.wall),
        ..FactQuery::default()
    };
    assert_eq!(running.journal.facts(&ticks).await.unwrap().items.len(), 2);
}

/// The wall clock goes forth and back by hours; each query by it finds exactly what a look at all facts finds.
async fn facts_are_found_by_a_wall_clock_that_was_set_back<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let mut running = Running::start(&engine, &clock, Options::default()).await;
    for round in 0..60_i64 {
        running.tick().await;
        clock.advance(SignedDuration::from_mins(20));
        if round % 9 == 8 {
            clock.set_wall(SignedDuration::from_hours(round % 4 * 5 - 9));
        }
        if round % 20 == 19 {
            running.crash().await;
            clock.set_wall(SignedDuration::from_hours(-3));
            running = Running::start(&engine, &clock, Options::default()).await;
        }
    }
    let all = running.all().await;
    assert!(all.iter().any(|fact| matches!(fact.fact(), Fact::ClockJumped(_))));
    for pair in all.chunks(7).zip(all.chunks(5)) {
        let (from, until) = (pair.0[0].recorded_at.wall, pair.1[0].recorded_at.wall);
        for newest_first in [false, true] {
            let query = FactQuery {
                from_wall: Some(from),
                until_wall: Some(until),
                newest_first,
                ..FactQuery::default()
            };
            let mut found = running.journal.facts(&query).await.unwrap().items;
            found.sort_by_key(|fact| fact.seq);
            let wanted = all.iter().filter(|fact| (from..until).contains(&fact.recorded_at.wall));
            assert!(found.iter().eq(wanted), "{from} to {until}");
        }
    }
}

#[tokio::test]
async fn wall() {
    facts_are_found_by_a_wall_clock_that_was_set_back::<Sqlite>().await;
}

#[tokio::test]
async fn recorded_once() {
    what_is_recorded_is_recorded_once::<Sqlite>().await;
}

#[tokio::test]
async fn order() {
    facts_stand_in_the_order_of_their_commits_without_gaps::<Sqlite>().await;
}

#[tokio::test]
async fn restart() {
    a_restart_finds_everything_as_it_was::<Sqlite>().await;
}

#[tokio::test]
async fn reopening() {
    ten_thousand_facts_are_open_again_soon::<Sqlite>().await;
}

#[tokio::test]
async fn queries() {
    facts_are_found_by_what_they_are_about::<Sqlite>().await;
}

#[tokio::test]
async fn a_second_opener_is_refused_and_told_who_has_it() {
    let (engine, clock) = (Sqlite::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    let Err(StoreError::InUse { holder, .. }) = Running::open(&engine, &clock, Options::default()).await.map(drop)
    else {
        panic!("a second owner")
    };
    assert_eq!(
        (holder.pid, holder.command.as_str()),
        (std::process::id(), "contract test")
    );
    assert_eq!(Folder::holder(engine.path()), Some(holder));
    running.end().await;
    assert_eq!(Folder::holder(engine.path()), None);
    Running::open(&engine, &clock, Options::default()).await.unwrap();
}

#[tokio::test]
async fn a_restored_copy_starts_a_new_epoch_once() {
    let (engine, clock) = (Sqlite::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    let first = identity(&running);
    running.end().await;
    sql(engine.path(), "INSERT INTO meta (key, value) VALUES ('restored', '1')").await;
    for _ in 0..2 {
        let running = Running::start(&engine, &clock, Options::default()).await;
        assert_eq!(identity(&running).epoch, first.epoch + 1);
        assert_eq!(identity(&running).store, first.store);
        running.end().await;
    }
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let (engine, clock) = (Sqlite::new(), Arc::new(HandClock::default()));
    Running::start(&engine, &clock, Options::default()).await.end().await;
    sql(engine.path(), "UPDATE meta SET value = '999' WHERE key = 'format'").await;
    let refused = Running::open(&engine, &clock, Options::default()).await.map(drop);
    assert!(
        matches!(refused, Err(StoreError::NewerFormat { found: 999, .. })),
        "{refused:?}"
    );
    let looked = Reader::open(&Folder::look(engine.path()).unwrap()).await.map(drop);
    assert!(
        matches!(looked, Err(StoreError::NewerFormat { found: 999, .. })),
        "{looked:?}"
    );
}

#[tokio::test]
async fn facts_cannot_be_changed_or_removed() {
    let (engine, clock) = (Sqlite::new(), Arc::new(HandClock::default()));
    Running::start(&engine, &clock, Options::default()).await.end().await;
    for statement in [
        "DELETE FROM fact",
        "UPDATE fact SET body = '{}'",
        "DELETE FROM digest",
        "UPDATE commit_link SET n = 0",
    ] {
        assert!(try_sql(engine.path(), statement).await.is_err(), "{statement}");
    }
}

#[tokio::test]
async fn rows_of_another_shape_are_folded_anew() {
    let (engine, clock) = (Sqlite::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    running.submit(ask("me")).await.unwrap();
    running.tick().await;
    let facts = running.all().await;
    running.end().await;
    sql(
        engine.path(),
        "UPDATE meta SET value = '[[\"now\",0]]' WHERE key = 'shapes'; UPDATE view SET row = '{}'",
    )
    .await;
    let running = Running::open(&engine, &clock, Options::default()).await.unwrap();
    for row in replay::rows_of(&facts) {
        assert_eq!(
            running.journal.row(row.view, &row.key).await.unwrap(),
            Some((row.closed, row.json))
        );
    }
    assert_eq!(running.journal.views().await.deliveries.len(), 1);
}

#[tokio::test]
async fn the_journal_is_read_while_nobody_owns_it() {
    let (engine, clock) = (Sqlite::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    running
        .submit(fact("x", Fact::Stopped(events::Stopped { reason: "x".to_owned() })))
        .await
        .unwrap();
    running.crash().await;
    // Also what a crash left in the write-ahead log.
    let reader = Reader::open(&Folder::look(engine.path()).unwrap()).await.unwrap();
    assert_eq!(reader.all_facts(Seq(1), 10).await.unwrap().len(), 3);
    assert_eq!(reader.stored_views().await.unwrap().now.version, "0.0.0");
}

/// Runs SQL behind the journal's back.
pub(crate) async fn try_sql(folder: &std::path::Path, statement: &str) -> Result<(), sqlx::Error> {
    use sqlx::Connection as _;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.join("journal.db"));
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
        .execute(&mut connection)
        .await?;
    connection.close().await
}

/// The same; it has to succeed.
pub(crate) async fn sql(folder: &std::path::Path, statement: &str) {
    try_sql(folder, statement).await.unwrap();
}
