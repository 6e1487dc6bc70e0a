//! The power is cut at any moment, and syncs fail: what was acknowledged is there after the next start, once, in both databases.
//!
//! `WATCHKEEP_CUTS` says how many cuts, `WATCHKEEP_SEED` repeats the choices of a run.

mod driver;
mod judge;
mod record;

use std::path::Path;
use std::time::Duration;

use harness::disk::Disk;
use harness::power::{Damage, Recorder, Trace};
use harness::random::Random;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use self::driver::{Control, Life};

/// How many cuts unless `WATCHKEEP_CUTS` says otherwise.
const CUTS: usize = 1000;
/// Syncs that fail, each in a run of its own.
const FAILURES: usize = 20;
/// Cuts of each of those runs.
const CUTS_A_FAILURE: usize = 20;
/// Most that is kept of the violations of a run.
const SHOWN: usize = 20;
/// Steps of the first life of a run in which a sync fails.
const STEPS: u64 = 20;

/// A place in memory for what a cut leaves, as a thousand times both databases are much to write.
struct Bench {
    folder: tempfile::TempDir,
    disk: Disk,
    runtime: Runtime,
}

/// What the cuts of a run did.
#[derive(Debug, Default)]
struct Cuts {
    states: usize,
    bad: usize,
    wrong: Vec<String>,
    took: Duration,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::mount(&folder.path().join("disk"), 1024);
        Self {
            folder,
            disk,
            runtime: Runtime::new().unwrap(),
        }
    }

    /// Records some lives, one after the other, on one folder.
    fn record(&self, lives: &[Life]) -> Trace {
        let data = self.disk.folder.join("data");
        let _before = std::fs::remove_dir_all(&data);
        std::fs::create_dir(&data).unwrap();
        let recorder = Recorder::new(&data, &self.folder.path().join("power.log"));
        for life in lives {
            life.live(&recorder, &data, &self.folder.path().join("driver.log"));
        }
        recorder.finish()
    }

    /// Cuts the power so often, at random moments of the record from `from` on, and judges what is left.
    fn cut(&self, trace: &Trace, from: usize, count: usize, damages: &[Damage]) -> Cuts {
        let mut random = Random::seeded("power cut");
        let mut moments: Vec<usize> = (1..count)
            .map(|_| from + random.index(trace.len() + 1 - from))
            .collect();
        moments.push(trace.len());
        moments.sort_unstable();
        let (began, mut replay, mut cuts) = (Instant::now(), trace.replay(), Cuts::default());
        for (number, moment) in moments.into_iter().enumerate() {
            replay.advance_to(moment);
            let damage = damages[number % damages.len()];
            // A name of its own: what the judge opened is closed in its own time, and closing takes a log away by its name.
            let into = self.disk.folder.join(format!("cut-{number}"));
            replay.crash(&mut random, damage, &into);
            let found = self.judge(&into, replay.acknowledged());
            std::fs::remove_dir_all(&into).unwrap();
            cuts.states += 1;
            cuts.bad += usize::from(!found.is_empty());
            let found = found
                .into_iter()
                .map(|wrong| format!("call {moment}, {damage:?}: {wrong}"));
            let room = SHOWN.saturating_sub(cuts.wrong.len());
            cuts.wrong.extend(found.take(room));
        }
        cuts.took = began.elapsed();
        cuts
    }

    fn judge(&self, folder: &Path, acknowledged: &[String]) -> Vec<String> {
        self.runtime.block_on(judge::judge(folder, acknowledged))
    }

    /// How many syncs a life makes.
    fn syncs(&self) -> usize {
        self.record(&[Life::new(0, STEPS, Control::None)]).syncs()
    }

    /// A life in which a sync fails, perhaps with its death, and one after it.
    fn failing(&self, number: usize, dies: bool, control: Control) -> Trace {
        let failing = Life {
            fail_sync: Some(number),
            dies,
            ..Life::new(0, STEPS, control)
        };
        let trace = self.record(&[failing, Life::new(1000, 10, control)]);
        // Where it met a start it may have been its whole life.
        assert!(
            trace.acknowledged().len() >= 20,
            "too little was acknowledged: {}",
            self.output()
        );
        trace
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("driver.log")).unwrap_or_default()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a switch of the test's own, not a setting of the product"
)]
fn cuts() -> usize {
    std::env::var("WATCHKEEP_CUTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(CUTS)
}

#[test]
#[expect(
    clippy::print_stderr,
    reason = "what was met, and how long it took, is worth knowing"
)]
fn a_cut_at_any_moment_loses_nothing_acknowledged() {
    let bench = Bench::new();
    let life = |first, steps| Life::new(first, steps, Control::None);
    // The second is long enough for a checkpoint in mid-life, the others begin with one.
    let trace = bench.record(&[life(0, 20), life(1000, 260), life(2000, 40)]);
    assert_eq!(trace.acknowledged().len(), 640, "{}", bench.output());
    let cuts = bench.cut(&trace, 0, cuts(), &Damage::ALL);
    eprintln!(
        "{} cuts of {} calls with {} syncs in {:?}",
        cuts.states,
        trace.len(),
        trace.syncs(),
        cuts.took
    );
    assert_eq!(cuts.bad, 0, "{}", cuts.wrong.join("\n"));
}

#[test]
#[expect(
    clippy::print_stderr,
    reason = "what was met, and how long it took, is worth knowing"
)]
fn a_failed_sync_loses_nothing_acknowledged() {
    let bench = Bench::new();
    let (began, syncs, mut states) = (Instant::now(), bench.syncs(), 0);
    for failure in 0..FAILURES {
        let number = 1 + failure * (syncs - 1) / FAILURES;
        let dies = failure % 2 == 1;
        let trace = bench.failing(number, dies, Control::None);
        let cuts = bench.cut(&trace, 0, CUTS_A_FAILURE, &Damage::ALL);
        assert_eq!(
            cuts.bad,
            0,
            "sync {number} failed, dies: {dies}\n{}",
            cuts.wrong.join("\n")
        );
        states += cuts.states;
    }
    eprintln!(
        "{FAILURES} of {syncs} syncs failed, {states} cuts, in {:?}",
        began.elapsed()
    );
}

/// Negative control: commits that do not wait for the disk.
#[test]
#[expect(
    clippy::print_stderr,
    reason = "what was met, and how long it took, is worth knowing"
)]
fn control_not_waiting_for_the_disk_is_caught() {
    let bench = Bench::new();
    let trace = bench.record(&[Life::new(0, 40, Control::Normal)]);
    let cuts = bench.cut(&trace, trace.len() / 2, 20, &[Damage::DropAll]);
    eprintln!("synchronous NORMAL: {} of {} cuts are bad", cuts.bad, cuts.states);
    assert!(
        cuts.wrong.iter().any(|wrong| wrong.contains("was acknowledged")),
        "nothing was caught"
    );
}

/// Negative control: disks that spoil what lies beside the bytes they write, and a store that trusts them.
#[test]
#[expect(
    clippy::print_stderr,
    reason = "what was met, and how long it took, is worth knowing"
)]
fn control_trusting_disks_with_neighbours_is_caught() {
    let bench = Bench::new();
    let trace = bench.record(&[Life::new(0, 60, Control::Powersafe)]);
    let cuts = bench.cut(&trace, 0, 250, &[Damage::Garbage]);
    eprintln!("no psow=0: {} of {} cuts are bad", cuts.bad, cuts.states);
    assert!(
        cuts.wrong.iter().any(|wrong| wrong.contains("was acknowledged")),
        "nothing was caught"
    );
}

/// Negative control: a start after a failed sync that believes the page cache.
#[test]
#[expect(
    clippy::print_stderr,
    reason = "what was met, and how long it took, is worth knowing"
)]
fn control_no_checkpoint_at_open_is_caught() {
    let bench = Bench::new();
    let syncs = bench.syncs();
    let (mut bad, mut found, mut states) = (0, 0, 0);
    for failure in 1..=10 {
        let trace = bench.failing(syncs - failure * syncs / 20, true, Control::NoCheckpoint);
        let cuts = bench.cut(&trace, trace.len() * 3 / 4, 20, &[Damage::DropAll, Damage::Drop]);
        bad += usize::from(cuts.wrong.iter().any(|wrong| wrong.contains("was acknowledged")));
        found += cuts.bad;
        states += cuts.states;
    }
    eprintln!("no checkpoint at open: {found} of {states} cuts are bad, after {bad} of 10 failed syncs");
    assert!(bad > 0, "nothing was caught");
}
