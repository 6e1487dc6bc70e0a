//! The property on which everything rests: whatever happened (crashes, failed and doubtful commits, downtime, clock
//! jumps, reloads in mid-commit, panicking reactors, starts without a configuration), folding the observed facts again
//! gives the same derived facts, views and jobs. Each weaker reactor must be found by the same property.

mod history;
mod shell;
mod toys;

use std::ops::Range;

use self::{
    history::{Broken, check, live},
    shell::Shell,
    toys::Flaw,
};
use crate::{Fact, Recorded};

const CONTROLS: Range<u64> = 0..40;

fn find(flaw: Flaw, mut histories: Range<u64>) -> Option<(u64, Broken)> {
    toys::silence_toy_panics();
    histories.find_map(|seed| check(seed, flaw).err().map(|broken| (seed, broken)))
}

fn holds(histories: Range<u64>) {
    let found = find(Flaw::None, histories);
    assert!(found.is_none(), "{found:#?}");
}

// 300 histories, in three parts, so that they run side by side.
#[test]
fn a_replay_decides_as_the_journal_did_1() {
    holds(0..100);
}

#[test]
fn a_replay_decides_as_the_journal_did_2() {
    holds(100..200);
}

#[test]
fn a_replay_decides_as_the_journal_did_3() {
    holds(200..300);
}

#[test]
fn control_state_changed_in_react_is_found() {
    assert!(find(Flaw::StateInReact, CONTROLS).is_some());
}

#[test]
fn control_wall_time_is_found() {
    assert!(find(Flaw::WallTime, CONTROLS).is_some());
}

#[test]
fn control_order_of_a_hash_set_is_found() {
    assert!(find(Flaw::HashOrder, CONTROLS).is_some());
}

#[test]
fn control_a_counter_that_outlives_its_window_is_found() {
    assert!(find(Flaw::Immortal, CONTROLS).is_some());
}

/// Without histories that really contain what they are made for the property would say nothing.
#[test]
fn the_histories_hold_what_they_are_made_for() {
    toys::silence_toy_panics();
    let mut all = history::Happened::default();
    for seed in 0..30 {
        let (shell, happened) = live(seed, Flaw::None);
        all.add(&happened);
        all.add(&history::Happened::of(&shell));
    }
    let history::Happened {
        crashes,
        failed,
        doubtful,
        reconfigured,
        plain_starts,
        jumps,
        absorb_panics,
        rebuild_panics,
        react_panics,
        cuts,
        jobs,
        derived,
    } = all;
    for (what, count) in [
        ("crashes", crashes),
        ("failed commits", failed),
        ("doubtful commits", doubtful),
        ("configurations", reconfigured),
        ("starts without configuration", plain_starts),
        ("clock jumps", jumps),
        ("panics in absorb", absorb_panics),
        ("panics in a rebuild", rebuild_panics),
        ("panics in react", react_panics),
        ("cut chains", cuts),
        ("jobs", jobs),
        ("derived facts", derived),
    ] {
        assert!(count >= 10, "only {count} {what}");
    }
}

/// A failure is told even where a chain of consequences is cut: a replay has to know of it.
#[test]
fn a_failure_at_the_depth_of_the_cut_is_told() {
    toys::silence_toy_panics();
    let mut shell = Shell::new(Flaw::None, 0);
    shell.chance.never();
    shell.start(Some("window=20 panic-at-depth=1"));
    shell.commit(&[toys::chain()]).unwrap();
    let failed = |fact: &&Recorded| matches!(fact.fact(), Fact::ReactorFailed(_));
    assert_eq!(shell.facts.iter().filter(failed).count(), 2);
    history::compare(&shell).unwrap();
}
