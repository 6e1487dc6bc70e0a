//! A full disk: nothing that was acknowledged is lost, what must go on goes on, and all is well again by itself.

use std::{process::Command, sync::Arc, time::Duration};

use events::{Answer, Fact, SubmitError};
use store::{FaultPoint, Folder, Options, RESERVE_BYTES};

use crate::{
    bench::{Engine, HandClock, Running, Sqlite, eventually, keyed, note},
    doubt::Once,
};

async fn too_little_space_refuses_ordinary_facts_only<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let options = Options {
        free_min_bytes: Some(u64::MAX / 2),
        ..Options::default()
    };
    let running = Running::start(&engine, &clock, options).await;
    for _ in 0..3 {
        assert_eq!(running.submit(note("x")).await, Err(SubmitError::DiskFull));
    }
    running.tick().await;
    running.tick().await;
    let limits = limits(&running).await;
    assert_eq!(
        limits,
        [("journal_disk".to_owned(), 3)],
        "told once a minute, with their number"
    );
}

async fn limits(running: &Running) -> Vec<(String, u64)> {
    let all = running.all().await;
    all.iter()
        .filter_map(|fact| match fact.fact() {
            Fact::LimitReached(limit) => Some((limit.limit.to_string(), limit.count)),
            _ => None,
        })
        .collect()
}

async fn a_full_database_gives_ordinary_facts_back<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let options = Options {
        pages_max: Some(64),
        ..Options::default()
    };
    let running = Running::start(&engine, &clock, options).await;
    let mut acknowledged = 0;
    loop {
        match running
            .submit(keyed(&acknowledged.to_string(), &"x".repeat(4000)))
            .await
        {
            Ok(_) => acknowledged += 1,
            Err(error) => {
                assert_eq!(error, SubmitError::DiskFull);
                break;
            }
        }
        assert!(acknowledged < 1000, "never full");
    }
    running.crash().await;
    let running = Running::open(&engine, &clock, Options::default()).await.unwrap();
    let there = running
        .all()
        .await
        .iter()
        .filter(|fact| fact.envelope.key.is_some())
        .count();
    assert_eq!(there, acknowledged);
    assert_eq!(running.journal.verify_chain().await.unwrap().damage, None);
    running.submit(note("again")).await.unwrap();
}

async fn what_is_reserved_is_committed_beside_refused_facts<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let fault = Once::new(FaultPoint::DiskFull);
    let faults: Arc<dyn store::Faults> = fault.clone();
    let options = Options {
        faults: Some(faults),
        ..Options::default()
    };
    let running = Running::start(&engine, &clock, options).await;
    let reserve = engine.path().join("reserve");
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), RESERVE_BYTES);
    fault.arm(&running);
    assert_eq!(running.submit(note("x")).await, Err(SubmitError::DiskFull));
    assert!(!reserve.exists(), "the reserve is given to those that must go on");
    fault.disarm();
    running.tick().await;
    eventually("there is room again", async || running.submit(note("x")).await.is_ok()).await;
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), RESERVE_BYTES);
}

#[tokio::test]
async fn floor() {
    too_little_space_refuses_ordinary_facts_only::<Sqlite>().await;
}

#[tokio::test]
async fn full() {
    a_full_database_gives_ordinary_facts_back::<Sqlite>().await;
}

#[tokio::test]
async fn reserve() {
    what_is_reserved_is_committed_beside_refused_facts::<Sqlite>().await;
}

/// A file system of a few MiB.
struct SmallDisk(Sqlite);

impl SmallDisk {
    fn new(megabytes: u32) -> Option<Self> {
        let engine = Sqlite::new();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(engine.path())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(engine))
    }

    fn grow(&self, megabytes: u32) {
        let size = format!("remount,size={megabytes}m");
        let grown = Command::new("mount").args(["-o", &size]).arg(self.0.path()).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Needs the right to mount; without it the other tests here have to do.
#[tokio::test]
async fn a_real_full_disk_loses_nothing_and_recovers_without_a_restart() {
    let Some(disk) = SmallDisk::new(24) else { return };
    let clock = Arc::new(HandClock::default());
    let options = Options {
        free_min_bytes: Some(0),
        ..Options::default()
    };
    let running = Running::start(&disk.0, &clock, options).await;
    let mut acknowledged = 0;
    let error = loop {
        match running
            .submit(keyed(&acknowledged.to_string(), &"x".repeat(20_000)))
            .await
        {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, SubmitError::DiskFull);
    for _ in 0..50 {
        assert!(
            matches!(running.tick().await, Answer::Accepted { .. }),
            "ticks go on, on the reserve"
        );
    }
    assert_eq!(running.submit(note("x")).await, Err(SubmitError::DiskFull));
    disk.grow(64);
    let recovered = eventually("ordinary facts are taken again", async || {
        running.submit(note("again")).await.is_ok()
    });
    tokio::time::timeout(Duration::from_secs(5), recovered)
        .await
        .expect("within 5 s");
    let there = running
        .all()
        .await
        .iter()
        .filter(|fact| fact.envelope.key.is_some())
        .count();
    assert_eq!(there, acknowledged);
    assert_eq!(running.journal.verify_chain().await.unwrap().damage, None);
    assert!(Folder::look(disk.0.path()).unwrap().space().unwrap().total_bytes > 0);
    running.end().await;
}
