//! Random histories, and what must hold after each.

use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;

use super::{
    shell::{Fate, Shell, observed},
    toys::{Flaw, Random, Teller, chain},
};
use crate::{replay::replay, *};

/// How many of each thing there were.
#[derive(Debug, Default)]
pub(super) struct Happened {
    pub(super) crashes: u64,
    pub(super) failed: u64,
    pub(super) doubtful: u64,
    pub(super) reconfigured: u64,
    pub(super) plain_starts: u64,
    pub(super) jumps: u64,
    pub(super) absorb_panics: u64,
    pub(super) rebuild_panics: u64,
    pub(super) react_panics: u64,
    pub(super) cuts: u64,
    pub(super) jobs: u64,
    pub(super) derived: u64,
}

impl Happened {
    pub(super) fn of(shell: &Shell) -> Self {
        let count = |holds: &dyn Fn(&Recorded) -> bool| shell.facts.iter().filter(|fact| holds(fact)).count() as u64;
        let failed =
            |fact: &Recorded, wanted: Stage| matches!(fact.fact(), Fact::ReactorFailed(f) if f.stage == wanted);
        Self {
            jumps: count(&|fact| matches!(fact.fact(), Fact::ClockJumped(_))),
            absorb_panics: count(&|fact| failed(fact, Stage::Absorb)),
            react_panics: count(&|fact| failed(fact, Stage::React)),
            cuts: count(&|fact| matches!(fact.fact(), Fact::FoldCut(_))),
            derived: count(&|fact| fact.cause.is_some()),
            jobs: shell.jobs.len() as u64,
            rebuild_panics: shell.rebuild_panics,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.failed += other.failed;
        self.doubtful += other.doubtful;
        self.reconfigured += other.reconfigured;
        self.plain_starts += other.plain_starts;
        self.jumps += other.jumps;
        self.absorb_panics += other.absorb_panics;
        self.rebuild_panics += other.rebuild_panics;
        self.react_panics += other.react_panics;
        self.cuts += other.cuts;
        self.jobs += other.jobs;
        self.derived += other.derived;
    }
}

/// What does not hold.
#[derive(Debug)]
#[expect(dead_code, reason = "shown when a test fails")]
pub(super) enum Broken {
    Panicked(AbsorbPanicked),
    Facts(Box<replay::Difference>),
    Views {
        of: &'static str,
        live: String,
        again: String,
    },
    Rows(Vec<ChangedRow>),
    Jobs {
        live: usize,
        replay: usize,
    },
}

const TEXTS: [&str; 4] = [
    "window=20 threshold=2",
    "window=60 threshold=1",
    "window=40 threshold=3 counter=0",
    "window=20 threshold=2 other=1",
];

fn text(random: &mut Random) -> &'static str {
    TEXTS[usize::try_from(random.below(4)).unwrap()]
}

/// One random history.
pub(super) fn live(seed: u64, flaw: Flaw) -> (Shell, Happened) {
    let mut random = Random(seed);
    let mut shell = Shell::new(flaw, seed);
    let mut happened = Happened::default();
    let first = (!random.one_in(4)).then(|| text(&mut random));
    shell.start(first);
    let steps = 40 + random.below(100);
    for step in 0..steps {
        shell.advance(SignedDuration::from_millis(
            i64::try_from(4000 + random.below(2000)).unwrap(),
        ));
        if random.one_in(25) {
            happened.crashes += 1;
            restart(&mut shell, &mut random, &mut happened);
        }
        if random.one_in(40) {
            let by = i64::try_from(random.below(7200)).unwrap() - 3600;
            shell.clock.wall = shell.clock.wall.plus(SignedDuration::from_secs(by));
        }
        let mut inputs = vec![];
        for _ in 0..=random.below(5) {
            let next = input(&mut shell, &mut random, step, &mut happened);
            // Whoever configures looks at what is in force first: two in one commit would look past each other.
            if !(configures(&next) && inputs.iter().any(configures)) {
                inputs.push(next);
            }
        }
        shell.fate = match random.below(20) {
            0 => Fate::Failed,
            1 => Fate::Doubtful,
            _ => Fate::Durable,
        };
        happened.failed += u64::from(shell.fate == Fate::Failed);
        happened.doubtful += u64::from(shell.fate == Fate::Doubtful);
        if shell.commit(&inputs).is_none() && random.one_in(2) {
            // The callers come back with the same inputs; some are there already.
            shell.commit(&inputs);
        }
    }
    (shell, happened)
}

fn configures(input: &Input) -> bool {
    matches!(input, Input::Fact(envelope) if matches!(envelope.fact, Fact::Configured(_)))
}

fn restart(shell: &mut Shell, random: &mut Random, happened: &mut Happened) {
    shell.crash();
    let down = SignedDuration::from_secs(i64::try_from(random.below(200)).unwrap());
    if random.one_in(3) {
        let boots = shell.clock.boot_id.0.len();
        shell.clock.boot_id = BootId(format!("boot-{}", "x".repeat(boots)));
        shell.clock.boot = Boottime(5_000_000_000);
        // The wall clock may have gone back meanwhile.
        shell.clock.wall = shell.clock.wall.plus(down - SignedDuration::from_secs(30));
    } else {
        shell.advance(down);
    }
    let with = random.one_in(2).then(|| text(random));
    happened.plain_starts += u64::from(with.is_none());
    shell.start(with);
}

fn input(shell: &mut Shell, random: &mut Random, step: u64, happened: &mut Happened) -> Input {
    match random.below(20) {
        0..=7 => observed(Fact::Tick(Tick {
            bins: bins(random),
            ..Tick::default()
        })),
        8..=12 => probe(random, shell.clock.wall),
        13 => observed(Fact::DeploymentRecorded(deployment(random))),
        14 => {
            let key = Key::new(format!("key-{}", random.below(step + 1))).unwrap();
            let stopped = Fact::Stopped(Stopped {
                reason: random.below(2).to_string(),
            });
            Envelope::new(name_of("test"), name_of("test"), stopped)
                .keyed(key)
                .into()
        }
        15 => {
            happened.reconfigured += 1;
            let text = text(random);
            shell.configured(text)
        }
        16 => Input::Network(NetworkChanged {
            to: if random.one_in(2) {
                Network::Offline
            } else {
                Network::Online
            },
            evidence: Vec::new(),
        }),
        17 if random.one_in(4) => chain(),
        _ => match shell.jobs.get(usize::try_from(random.next() % 64).unwrap()) {
            Some(job) if random.one_in(2) => Input::JobStart(Box::new(job.clone())),
            Some(job) => observed(Fact::JobDone(JobDone {
                job: job.id,
                queue: job.queue.clone(),
                attempts: 1,
                answer: String::new(),
            })),
            None => probe(random, shell.clock.wall),
        },
    }
}

fn deployment(random: &mut Random) -> Deployment {
    Deployment {
        version: ReleaseId::new(format!("1.{}", random.below(9))).unwrap(),
        began: None,
        migrations: None,
        verified: false,
        by: None,
        note: None,
    }
}

fn bins(random: &mut Random) -> Bins {
    let mut bins = Bins::default();
    for _ in 0..random.below(3) {
        let log = LogRecord {
            time: Timestamp(0),
            service: ServiceId::new(format!("s{}", random.below(2))).unwrap(),
            release: None,
            severity: 9,
            body: String::new(),
            trace: None,
            span: None,
            attributes: Attributes::new(),
        };
        bins.count(&Record::Log(log), None, Timestamp(0));
    }
    bins
}

fn probe(random: &mut Random, wall: Timestamp) -> Input {
    let (status, reason) = match random.below(4) {
        0 => (Status::Pass, Reason::Ok),
        1 => (Status::Unknown, Reason::NoResult),
        2 => (Status::Fail, Reason::Timeout),
        _ => (Status::Fail, Reason::TooSlow),
    };
    Input::Probe(Box::new(ProbeResult {
        probe: name_of(&format!("p{}", random.below(3))),
        service: ServiceId::new("shop").unwrap(),
        planned: wall,
        ended: wall,
        look: Look::new(status, reason, "x"),
        first: None,
    }))
}

/// Lives through a history and compares it with its replay and its refold.
pub(super) fn check(seed: u64, flaw: Flaw) -> Result<(), Broken> {
    let (shell, _) = live(seed, flaw);
    compare(&shell)
}

pub(super) fn compare(shell: &Shell) -> Result<(), Broken> {
    shell.chance.never();
    // Every observed fact is replayed by itself: where one commit ended and the next began must not matter.
    let replayed = replay(&shell.facts, shell.factory(), Arc::new(Teller)).map_err(Broken::Panicked)?;
    if let Some(difference) = replayed.differences.first() {
        return Err(Broken::Facts(Box::new(difference.clone())));
    }
    if !same_jobs(&shell.jobs, &replayed.jobs) {
        return Err(Broken::Jobs {
            live: shell.jobs.len(),
            replay: replayed.jobs.len(),
        });
    }
    let mut stored = Views::default();
    for row in shell.rows.values().filter(|row| !row.closed) {
        stored.load(row.view, row.key.clone(), row.shape, &row.json).unwrap();
    }
    let stored = dump(&stored);
    for (of, again) in [
        ("replay", dump(&replayed.views)),
        ("refold", dump(&replay::refold(&shell.facts))),
    ] {
        if stored != again {
            return Err(Broken::Views {
                of,
                live: stored,
                again,
            });
        }
    }
    let refolded = replay::rows_of(&shell.facts);
    let rows: Vec<ChangedRow> = shell.rows.values().cloned().collect();
    let differing: Vec<ChangedRow> = refolded.iter().filter(|row| !rows.contains(row)).cloned().collect();
    if rows.len() != refolded.len() || !differing.is_empty() {
        return Err(Broken::Rows(differing));
    }
    Ok(())
}

fn same_jobs(live: &[Job], again: &[Job]) -> bool {
    live.len() == again.len() && live.iter().zip(again).all(|(live, again)| live == again)
}

fn dump(views: &Views) -> String {
    fn rows<T: Row>(rows: &Rows<T>) -> String {
        let all: BTreeMap<&str, &T> = rows.iter().collect();
        serde_json::to_string_pretty(&all).unwrap()
    }
    [
        serde_json::to_string_pretty(&views.now).unwrap(),
        rows(&views.probes),
        rows(&views.phases),
        rows(&views.incidents),
        rows(&views.silences),
        rows(&views.deliveries),
        rows(&views.releases),
        rows(&views.backups),
        rows(&views.snapshots),
        rows(&views.runs),
        rows(&views.actions),
    ]
    .join("\n")
}
