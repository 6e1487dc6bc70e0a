//! The process is killed (SIGKILL) wherever it is, again and again on the same folder: what was acknowledged is there,
//! once. The control acknowledges too early and must lose something.

use std::{
    fs::OpenOptions,
    io::{BufRead as _, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use events::Filter;
use tokio::time::Instant;

use super::{
    super::*,
    world::{NOW, World, batch, log},
};

/// Batches that are on their way at once.
const AT_ONCE: u64 = 8;

fn numbered(number: u64) -> Batch {
    let mut sent = batch(None, vec![Record::Log(log("shop", NOW, &number.to_string()))]);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_le_bytes());
    sent.key = Some(key);
    sent
}

fn lines(folder: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(folder.join("acknowledged")).unwrap_or_default();
    // The last line may be cut short.
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n')?.parse().ok())
        .collect()
}

/// What the killed process does: its folder, the first number and whether it acknowledges too early come by stdin.
#[tokio::test]
#[ignore = "started by the other tests here"]
async fn child() {
    let mut said = std::io::stdin().lock().lines();
    let folder = said.next().unwrap().unwrap();
    let first: u64 = said.next().unwrap().unwrap().parse().unwrap();
    let early = said.next().unwrap().unwrap() == "early";
    let mut world = World::at(Path::new(&folder));
    let telemetry = world.open(None).await;
    let mut acknowledged = OpenOptions::new()
        .create(true)
        .append(true)
        .open(Path::new(&folder).join("acknowledged"))
        .unwrap();
    let mut number = first;
    // Nobody may be there any more to kill it.
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        let numbers: Vec<u64> = (number..number + AT_ONCE).collect();
        number += AT_ONCE;
        let mut say = |number: &u64| acknowledged.write_all(format!("{number}\n").as_bytes()).unwrap();
        if early {
            numbers.iter().for_each(&mut say);
        }
        let mut sending = tokio::task::JoinSet::new();
        for number in numbers {
            let telemetry = telemetry.clone();
            sending.spawn(async move { telemetry.append(numbered(number)).await.map(|_| number) });
        }
        while let Some(sent) = sending.join_next().await {
            let number = sent.unwrap().unwrap();
            if !early {
                say(&number);
            }
        }
    }
}

/// Starts the child, and kills it some time after it began to acknowledge.
async fn run_and_kill(folder: &Path, first: u64, early: bool, after: Duration) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "telemetry::tests::kill::child",
            "--test-threads=1",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let word = if early { "early" } else { "honest" };
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}\n{first}\n{word}", folder.display()).unwrap();
    let before = lines(folder).len();
    let deadline = Instant::now() + Duration::from_secs(30);
    while lines(folder).len() <= before {
        assert!(Instant::now() < deadline, "the child does not begin");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(after).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Kills so many times; gives the numbers that were acknowledged, and those that are there.
async fn killed(times: u64, early: bool) -> (Vec<u64>, Vec<u64>) {
    let mut world = World::new();
    let folder = world.folder().to_owned();
    for time in 0..times {
        let after = Duration::from_micros(time * 1_700 % 23_000);
        run_and_kill(&folder, time * 1_000_000, early, after).await;
    }
    let telemetry = world.open(None).await;
    let mut there = Vec::new();
    let mut before = None;
    loop {
        let found = telemetry
            .reader()
            .logs(&Filter::default(), 10_000, before)
            .await
            .unwrap();
        assert!(found.complete && found.gaps.is_empty());
        there.extend(found.rows.iter().map(|row| row.record.body.parse::<u64>().unwrap()));
        before = found.next;
        if before.is_none() {
            break;
        }
    }
    let counted: u64 = telemetry.uncarried().iter().map(|(_, bin)| bin.records).sum();
    assert_eq!(counted, there.len() as u64, "what is there is counted");
    for number in lines(&folder).into_iter().rev().take(20).filter(|_| !early) {
        assert!(
            telemetry.append(numbered(number)).await.unwrap().repeated,
            "and known by its key"
        );
    }
    world.close().await;
    there.sort_unstable();
    (lines(&folder), there)
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_or_doubled_by_a_kill() {
    let (acknowledged, there) = killed(20, false).await;
    assert!(acknowledged.len() > 100);
    assert!(there.windows(2).all(|pair| pair[0] != pair[1]), "doubled");
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|number| there.binary_search(number).is_err())
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test]
async fn acknowledging_too_early_loses_something() {
    let (acknowledged, there) = killed(20, true).await;
    assert!(acknowledged.iter().any(|number| there.binary_search(number).is_err()));
}
