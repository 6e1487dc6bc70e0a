//! kill -9 at any time: everything that was acknowledged is there, once, and the chain holds.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use events::{CommitId, Key, Seq, replay};
use store::{Acknowledge, FaultPoint, Faults, Options};

use crate::bench::{Echo, Engine, HandClock, Running, Sqlite, Toys, ask, keyed};

const ROUNDS: u32 = 25;

/// Never comes to the COMMIT of the tenth commit.
struct Stuck;

impl Faults for Stuck {
    fn fails(&self, point: FaultPoint, commit: CommitId) -> bool {
        if point == FaultPoint::BeforeCommit && commit.0 == 10 {
            loop {
                std::thread::park();
            }
        }
        false
    }
}

/// The process that is killed. It is told folder, round and mode on its standard input, and acknowledges on its output.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the tests below, in a process of its own"]
async fn child() {
    let mut told = String::new();
    std::io::stdin().read_to_string(&mut told).unwrap();
    let [path, round, mode] = told.split('\n').collect::<Vec<_>>().try_into().unwrap();
    let options = match mode {
        "before" => Options {
            acknowledge: Acknowledge::BeforeCommit,
            faults: Some(Arc::new(Stuck)),
            ..Options::default()
        },
        _ => Options::default(),
    };
    let clock = Arc::new(HandClock::default());
    let running = Running::start(&Sqlite::at(path.as_ref()), &clock, options).await;
    let mut output = std::io::stdout();
    for number in 0.. {
        let key = format!("{round}-{number}");
        running.submit(keyed(&key, &"x".repeat(500))).await.unwrap();
        writeln!(output, "ack {key}").unwrap();
        output.flush().unwrap();
        if number % 10 == 9 {
            running.submit(ask("me")).await.unwrap();
            running.tick().await;
        }
    }
}

fn spawn(engine: &Sqlite, round: u32, mode: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    write!(input, "{}\n{round}\n{mode}", engine.path().display()).unwrap();
    child
}

/// Lets a child run until it acknowledged so many, and then for a moment more, and kills it. Gives what it acknowledged.
fn run_and_kill(engine: &Sqlite, round: u32, mode: &str, moment: Duration) -> Vec<String> {
    let mut child = spawn(engine, round, mode);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    let mut first: Option<Instant> = None;
    while first.is_none_or(|first: Instant| first.elapsed() < moment) {
        let line = lines.next().expect("the child ended by itself").unwrap();
        if let Some(key) = line.strip_prefix("ack ") {
            #[expect(clippy::disallowed_methods, reason = "measures how long to wait before the kill")]
            first.get_or_insert_with(Instant::now);
            acknowledged.push(key.to_owned());
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines.map_while(Result::ok) {
        acknowledged.extend(line.strip_prefix("ack ").map(str::to_owned));
    }
    acknowledged
}

/// Keys that were acknowledged and are not there exactly once.
async fn lost(engine: &Sqlite, acknowledged: &[String]) -> Vec<String> {
    let clock = Arc::new(HandClock::default());
    let running = Running::open(engine, &clock, Options::default()).await.unwrap();
    let facts = running.all().await;
    assert!(facts.iter().zip(1..).all(|(fact, seq)| fact.seq == Seq(seq)));
    assert_eq!(running.journal.verify_chain().await.unwrap().damage, None);
    let times = |key: &String| {
        let key = Key::new(key.clone()).unwrap();
        facts
            .iter()
            .filter(|fact| fact.envelope.key.as_ref() == Some(&key))
            .count()
    };
    let lost = acknowledged.iter().filter(|key| times(key) != 1).cloned().collect();
    let replayed = replay::replay(&facts, Arc::new(Toys), Arc::new(Echo)).unwrap();
    assert_eq!(replayed.differences, []);
    let queued = running.journal.jobs().waiting().await;
    assert_eq!(
        queued.len(),
        replayed.jobs.len(),
        "a decision and its job are committed together"
    );
    running.end().await;
    lost
}

#[tokio::test]
async fn nothing_acknowledged_is_lost() {
    let engine = Sqlite::new();
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let moment = Duration::from_millis(u64::from(round * 7 % 50));
        acknowledged.extend(run_and_kill(&engine, round, "after", moment));
        assert_eq!(lost(&engine, &acknowledged).await, [""; 0], "round {round}");
    }
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
}

/// The control answers before it commits, and is killed in between.
#[tokio::test]
async fn control_acknowledged_before_commit_is_lost() {
    let engine = Sqlite::new();
    let mut child = spawn(&engine, 0, "before");
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    // Two commits for the start, one for each key: the tenth holds the eighth key.
    let keys = lines.filter_map(|line| line.strip_prefix("ack ").map(str::to_owned));
    let acknowledged: Vec<String> = keys.take(8).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(lost(&engine, &acknowledged).await, ["0-7"]);
}
