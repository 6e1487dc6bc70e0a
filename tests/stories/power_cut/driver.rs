//! The recorded program: it writes to both databases, and says of each thing that it was acknowledged when it was.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use events::{
    Attributes, Batch, Clocks as _, Configured, Envelope, Fact, Key, LogRecord, Record as Telemetric, ServiceId,
    Started, Stopped, name_of,
};
use harness::power::{self, Recorder};
use harness::random::Random;
use rustix::process::{Signal, getpid, kill_process};
use store::{Options, Synchronous};
use tokio::task::JoinSet;

use super::record::{Counting, Never, Record};

/// How long something that was refused is repeated.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one life may take.
const LIFE: Duration = Duration::from_secs(60);

/// What is done wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// Nothing.
    None,
    /// A commit does not wait for the disk.
    Normal,
    /// Disks are trusted to keep the bytes beside those that are written.
    Powersafe,
    /// After a start the page cache is believed.
    NoCheckpoint,
}

impl Control {
    const ALL: [Self; 4] = [Self::None, Self::Normal, Self::Powersafe, Self::NoCheckpoint];

    fn options(self) -> Options {
        let safe = Options::default();
        match self {
            Self::None => safe,
            Self::Normal => Options {
                synchronous: Synchronous::Normal,
                ..safe
            },
            Self::Powersafe => Options {
                powersafe_overwrite_off: false,
                ..safe
            },
            Self::NoCheckpoint => Options {
                checkpoint_at_open: false,
                ..safe
            },
        }
    }
}

/// One life of the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// Number of its first step; later lives have higher ones.
    pub(super) first: u64,
    /// How many steps it takes before it dies.
    pub(super) steps: u64,
    /// The sync that fails, from 1.
    pub(super) fail_sync: Option<usize>,
    /// Whether it dies of that.
    pub(super) dies: bool,
    pub(super) control: Control,
}

impl Life {
    pub(super) fn new(first: u64, steps: u64, control: Control) -> Self {
        Self {
            first,
            steps,
            fail_sync: None,
            dies: false,
            control,
        }
    }

    /// Lives it under the recorder.
    pub(super) fn live(self, recorder: &Recorder, folder: &Path, output: &Path) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        recorder.apply(&mut command);
        match self.fail_sync {
            Some(number) => command.env("POWER_FAIL_SYNC", number.to_string()),
            None => command.env_remove("POWER_FAIL_SYNC"),
        };
        if self.dies {
            command.env("POWER_FAIL_SYNC_KILLS", "1");
        }
        let output = fs::File::create(output).unwrap();
        let mut child = command
            .args(["--exact", "power_cut::driver::child", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let control = Control::ALL
            .iter()
            .position(|control| *control == self.control)
            .unwrap();
        let told = format!(
            "{}\n{}\n{}\n{}\n{control}",
            folder.display(),
            recorder.log().display(),
            self.first,
            self.steps
        );
        child.stdin.take().unwrap().write_all(told.as_bytes()).unwrap();
        harness::until("the recorded program to die", LIFE, || child.try_wait().unwrap());
    }
}

/// What the child is told on its standard input.
fn told() -> (PathBuf, PathBuf, Life) {
    let text = std::io::read_to_string(std::io::stdin()).unwrap();
    let [folder, log, first, steps, control] = text.split('\n').collect::<Vec<_>>().try_into().unwrap();
    let control = Control::ALL[control.parse::<usize>().unwrap()];
    (
        folder.into(),
        log.into(),
        Life::new(first.parse().unwrap(), steps.parse().unwrap(), control),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the recorded program; the stories start it in a process of its own"]
async fn child() {
    let (folder, log, life) = told();
    let clocks = Counting::from(life.first);
    // A start that meets the failing sync may fail: the next life finds what it left.
    let opened = Record::open(&folder, life.control.options(), clocks.clone()).await;
    let Ok(Record {
        store,
        writer,
        mut telemetry_writer,
        _folder,
        ..
    }) = opened
    else {
        die()
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { writer.run(&Never).await });
    tasks.spawn(async move { drop(telemetry_writer.run(std::future::pending()).await) });
    let journal = &store.journal;
    let began = Started {
        version: "0.0.0".to_owned(),
        identity: journal.identity(),
    };
    insist(|| journal.submit_reserved(own(Fact::Started(began.clone())).into())).await;
    if journal.views().await.now.configured.is_none() {
        let configured = Configured {
            digest: "1".to_owned(),
            text: Some("nothing".to_owned()),
            same_as: None,
        };
        insist(|| journal.submit_reserved(own(Fact::Configured(configured.clone())).into())).await;
    }
    let mut random = Random::new(life.first);
    for number in life.first..life.first + life.steps {
        let (text, lines) = ("x".repeat(random.index(6000)), 1 + random.index(3));
        let fact = note(number, &text);
        let batch = batch(number, lines, clocks.now().wall);
        let recording = async {
            insist(|| journal.submit(fact.clone().into())).await;
            power::acknowledged(&log, &format!("fact {number}"));
        };
        let storing = async {
            insist(|| store.telemetry.append(batch.clone())).await;
            power::acknowledged(&log, &format!("logs {number} {lines}"));
        };
        tokio::join!(recording, storing);
        if number % 8 == 7 {
            insist(|| store.tick()).await;
        }
    }
    die()
}

/// kill -9 by its own hand: nothing is closed.
fn die() -> ! {
    kill_process(getpid(), Signal::KILL).unwrap();
    std::process::abort()
}

/// Repeats with the same key until it is done, as a client does.
async fn insist<T, E: std::fmt::Debug>(mut send: impl AsyncFnMut() -> Result<T, E>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match send().await {
            Ok(done) => return done,
            Err(error) => assert!(
                tokio::time::Instant::now() < deadline,
                "refused for too long: {error:?}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn own(fact: Fact) -> Envelope {
    Envelope::new(name_of("daemon"), name_of("power"), fact)
}

fn note(number: u64, text: &str) -> Envelope {
    let fact = Fact::Stopped(Stopped {
        reason: text.to_owned(),
    });
    Envelope::new(name_of("note"), name_of("power"), fact).keyed(Key::new(number.to_string()).unwrap())
}

fn batch(number: u64, lines: usize, time: events::Timestamp) -> Batch {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_le_bytes());
    let record = |line: usize| {
        Telemetric::Log(LogRecord {
            time,
            service: ServiceId::new("shop").unwrap(),
            release: None,
            severity: 9,
            body: format!("{number} {line}"),
            trace: None,
            span: None,
            attributes: Attributes::new(),
        })
    };
    Batch {
        source: "power".to_owned(),
        key: Some(key),
        records: (0..lines).map(record).collect(),
        reply: Vec::new(),
    }
}
