//! Every byte of every fact is held by the chain.

use std::sync::Arc;

use events::{Fact, ReleaseId, ServiceId, TraceId};
use sqlx::{Connection as _, Row as _};
use store::{Folder, Options, Reader};

use crate::bench::{Engine, HandClock, Running, Sqlite, ask, fact, keyed};

/// A journal with one of everything, closed.
async fn journal() -> Sqlite {
    let (engine, clock) = (Sqlite::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    running.submit(ask("me")).await.unwrap();
    let mut envelope = keyed("a", "one").about(Some(ServiceId::new("shop").unwrap()));
    envelope.trace = TraceId::from_bytes(&[7; 16]);
    envelope.release = Some(ReleaseId::new("1.2").unwrap());
    running.submit(envelope).await.unwrap();
    let log = events::LogRecord {
        time: events::Timestamp(0),
        service: ServiceId::new("shop").unwrap(),
        release: None,
        severity: 17,
        body: String::new(),
        trace: None,
        span: None,
        attributes: events::Attributes::new(),
    };
    let mut bins = events::Bins::default();
    bins.count(&events::Record::Log(log), None, events::Timestamp(0));
    let tick = events::Tick {
        bins,
        ..events::Tick::default()
    };
    running.must(fact("daemon", Fact::Tick(tick))).await;
    running.tick().await;
    running.end().await;
    engine
}

async fn connect(engine: &Sqlite) -> sqlx::SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(engine.path().join("journal.db"));
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let triggers = "DROP TRIGGER fact_stays; DROP TRIGGER fact_kept; DROP TRIGGER digest_stays; DROP TRIGGER digest_kept; \
                    DROP TRIGGER link_stays; DROP TRIGGER link_kept; PRAGMA foreign_keys = OFF";
    sqlx::raw_sql(triggers).execute(&mut connection).await.unwrap();
    connection
}

async fn damaged(engine: &Sqlite) -> bool {
    let reader = Reader::open(&Folder::look(engine.path()).unwrap()).await.unwrap();
    reader
        .verify_chain()
        .await
        .map_or(true, |report| report.damage.is_some())
}

async fn change(connection: &mut sqlx::SqliteConnection, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn any_change_of_a_column_is_found_and_undone_is_right_again() {
    let engine = journal().await;
    let mut connection = connect(&engine).await;
    assert!(!damaged(&engine).await);
    let columns = [
        "commit_id",
        "cause_seq",
        "wall",
        "boot",
        "at",
        "watched",
        "stream",
        "source",
        "kind",
        "service",
        "trace",
        "key",
    ];
    for column in columns {
        let seq: i64 = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT seq FROM fact WHERE {column} IS NOT NULL ORDER BY seq DESC LIMIT 1"
        )))
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .try_get(0)
        .unwrap();
        let flipped = match column {
            "trace" => "x'01020304050607080102030405060708'".to_owned(),
            "stream" | "source" | "kind" | "service" | "key" => format!("{column} || 'x'"),
            _ => format!("{column} + 1"),
        };
        change(&mut connection, "SAVEPOINT before").await;
        change(
            &mut connection,
            "CREATE TEMP TABLE IF NOT EXISTS kept AS SELECT * FROM fact WHERE 0",
        )
        .await;
        change(
            &mut connection,
            &format!("DELETE FROM kept; INSERT INTO kept SELECT * FROM fact WHERE seq = {seq}"),
        )
        .await;
        change(
            &mut connection,
            &format!("UPDATE fact SET {column} = {flipped} WHERE seq = {seq}"),
        )
        .await;
        change(&mut connection, "RELEASE before").await;
        assert!(damaged(&engine).await, "{column}");
        change(
            &mut connection,
            &format!("DELETE FROM fact WHERE seq = {seq}; INSERT INTO fact SELECT * FROM kept"),
        )
        .await;
        assert!(!damaged(&engine).await, "{column} again");
    }
}

#[tokio::test]
async fn any_flipped_byte_of_content_is_found() {
    let engine = journal().await;
    let mut connection = connect(&engine).await;
    let rows = sqlx::query("SELECT seq, CAST(body AS BLOB), blob FROM fact")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut flips = 0;
    for row in &rows {
        let seq: i64 = row.try_get(0).unwrap();
        let body: Vec<u8> = row.try_get(1).unwrap();
        let blob: Option<Vec<u8>> = row.try_get(2).unwrap();
        let contents = [("body", Some(body)), ("blob", blob)];
        for (column, content) in contents
            .into_iter()
            .filter_map(|(column, content)| Some((column, content?)))
        {
            // Every byte would take minutes; every ninth, and each fact from another one on.
            for index in (usize::try_from(seq).unwrap() % 9..content.len()).step_by(9) {
                let mut flipped = content.clone();
                flipped[index] ^= 1;
                let value = if column == "body" { "CAST(? AS TEXT)" } else { "?" };
                let sql = format!("UPDATE fact SET {column} = {value} WHERE seq = ?");
                for bytes in [&flipped, &content] {
                    sqlx::query(sqlx::AssertSqlSafe(sql.clone()))
                        .bind(bytes.clone())
                        .bind(seq)
                        .execute(&mut connection)
                        .await
                        .unwrap();
                    assert_eq!(
                        damaged(&engine).await,
                        bytes == &flipped,
                        "{column} of {seq} at {index}"
                    );
                }
                flips += 1;
            }
        }
    }
    assert!(flips > 50, "{flips}");
}

#[tokio::test]
async fn a_removed_tail_leaves_another_head() {
    let engine = journal().await;
    let reader = Reader::open(&Folder::look(engine.path()).unwrap()).await.unwrap();
    let head = reader.head().await.unwrap();
    let mut connection = connect(&engine).await;
    for sql in [
        "DELETE FROM fact WHERE seq = (SELECT max(seq) FROM fact)",
        "DELETE FROM digest WHERE seq = (SELECT max(seq) FROM digest)",
    ] {
        change(&mut connection, sql).await;
        let damage = reader.verify_chain().await.unwrap().damage.unwrap();
        assert_eq!(damage.commit, head.commit);
    }
    change(
        &mut connection,
        "DELETE FROM commit_link WHERE id = (SELECT max(id) FROM commit_link)",
    )
    .await;
    // A tail that is gone with its link is no damage; only a head that was kept elsewhere tells.
    assert_eq!(reader.verify_chain().await.unwrap().damage, None);
    assert_ne!(reader.head().await.unwrap(), head);
    let report = reader.verify_chain().await.unwrap();
    assert_eq!(report.link, reader.head().await.unwrap().link);
}

#[tokio::test]
async fn facts_beyond_the_last_link_are_found() {
    let engine = journal().await;
    let mut connection = connect(&engine).await;
    change(
        &mut connection,
        "DELETE FROM commit_link WHERE id = (SELECT max(id) FROM commit_link)",
    )
    .await;
    assert!(damaged(&engine).await);
}
