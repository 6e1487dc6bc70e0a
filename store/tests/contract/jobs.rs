//! What must happen happens: in order, with its crash rules, to an end that is a fact.

use std::sync::Arc;

use events::{Attempt, Ending, Fact, Outcome, Recorded};
use jiff::SignedDuration;
use store::{Begun, Jobs, Options, Taken};

use crate::bench::{Engine, HandClock, Running, Sqlite, StopSign, ask};

async fn next(jobs: &Jobs, queue: &str) -> Taken {
    let sign = StopSign::new();
    let taken = tokio::time::timeout(std::time::Duration::from_secs(20), jobs.next(queue, &sign));
    taken.await.expect("nothing was due").expect("not stopped")
}

/// True when nothing is due now.
async fn nothing(jobs: &Jobs, queue: &str) -> bool {
    let soon = std::time::Duration::from_millis(50);
    tokio::time::timeout(soon, jobs.next(queue, &StopSign::new()))
        .await
        .is_err()
}

async fn begin(jobs: &Jobs, taken: &Taken) -> Attempt {
    match jobs.begin(taken).await.unwrap() {
        Begun::Attempt(attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

fn later(why: &str) -> Outcome {
    Outcome::Later {
        why: why.to_owned(),
        not_before: None,
    }
}

fn done() -> Outcome {
    Outcome::Done {
        answer: "250 ok".to_owned(),
    }
}

async fn kinds(running: &Running) -> Vec<&'static str> {
    let about_jobs = |fact: &Recorded| fact.envelope.stream.as_str().starts_with("job/");
    let all = running.all().await;
    all.iter()
        .filter(|fact| about_jobs(fact))
        .map(|fact| fact.fact().kind())
        .collect()
}

async fn ending(running: &Running) -> Option<Ending> {
    running.all().await.iter().rev().find_map(|fact| match fact.fact() {
        Fact::JobEnded(ended) => Some(ended.ending),
        _ => None,
    })
}

async fn a_job_is_composed_once_tried_again_and_done<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    running.submit(ask("me")).await.unwrap();
    let jobs = running.journal.jobs();
    let mut bodies = Vec::new();
    for why in ["refused", "refused", "timeout"] {
        let taken = next(&jobs, "notify/me").await;
        let attempt = begin(&jobs, &taken).await;
        bodies.push(attempt.composed.clone().unwrap());
        jobs.end(&attempt, later(why)).await.unwrap();
        drop(taken);
        assert!(nothing(&jobs, "notify/me").await, "it waits");
        clock.advance(SignedDuration::from_hours(1));
        running.tick().await;
    }
    let taken = next(&jobs, "notify/").await;
    let attempt = begin(&jobs, &taken).await;
    bodies.push(attempt.composed.clone().unwrap());
    assert_eq!(attempt.number, 4);
    jobs.end(&attempt, done()).await.unwrap();
    drop(taken);
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "the bytes never change");
    // The first failure, and the changed reason.
    assert_eq!(
        kinds(&running).await,
        ["job_started", "job_failed", "job_failed", "job_done"]
    );
    assert!(jobs.waiting().await.is_empty());
    assert!(jobs.queues().is_empty());
    running.end().await;
    let running = Running::start(&engine, &clock, Options::default()).await;
    assert!(
        running.journal.jobs().waiting().await.is_empty(),
        "it is not sent twice"
    );
}

async fn a_queue_keeps_its_order_and_delays_no_other<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    for destination in ["dead", "dead", "alive"] {
        running.submit(ask(destination)).await.unwrap();
    }
    let jobs = running.journal.jobs();
    let first = next(&jobs, "notify/dead").await;
    assert!(nothing(&jobs, "notify/dead").await, "one at a time");
    let attempt = begin(&jobs, &first).await;
    jobs.end(&attempt, later("refused")).await.unwrap();
    let id = first.job.id;
    drop(first);
    assert!(nothing(&jobs, "notify/dead").await, "the second waits behind the first");
    let alive = next(&jobs, "notify/").await;
    assert_eq!(alive.job.queue.as_str(), "notify/alive");
    drop(alive);
    clock.advance(SignedDuration::from_mins(1));
    running.tick().await;
    assert_eq!(next(&jobs, "notify/dead").await.job.id, id);
}

async fn what_a_dead_process_left_is_known<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    for destination in ["me", "observe"] {
        running.submit(ask(destination)).await.unwrap();
    }
    let jobs = running.journal.jobs();
    let resent = begin(&jobs, &next(&jobs, "notify/me").await).await;
    let acted = next(&jobs, "notify/observe").await;
    assert!(!acted.left_begun, "none was started: it is simply run");
    begin(&jobs, &acted).await;
    // An Attempt whose worker is gone without an outcome: a process that dies has no time to say more.
    std::mem::forget(acted);
    drop(jobs);
    running.crash().await;
    let running = Running::start(&engine, &clock, Options::default()).await;
    let jobs = running.journal.jobs();
    let again = next(&jobs, "notify/me").await;
    assert!(again.left_begun);
    let attempt = begin(&jobs, &again).await;
    assert_eq!(
        (attempt.number, &attempt.composed),
        (2, &resent.composed),
        "the same bytes"
    );
    // A late outcome of the older attempt is ignored.
    jobs.end(&resent, Outcome::Failed { why: "late".to_owned() })
        .await
        .unwrap();
    assert_eq!(ending(&running).await, None);
    jobs.end(&attempt, done()).await.unwrap();
    let observed = next(&jobs, "notify/observe").await;
    assert!(observed.left_begun, "it is looked at, not repeated");
    jobs.end(&observed.last_attempt(), done()).await.unwrap();
    drop(observed);
    assert!(jobs.waiting().await.is_empty());
}

async fn three_attempts_that_died_with_their_process_park_a_job<E: Engine>(destination: &str) {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    running.submit(ask(destination)).await.unwrap();
    running.crash().await;
    let queue = format!("notify/{destination}");
    for _ in 0..3 {
        let running = Running::start(&engine, &clock, Options::default()).await;
        let jobs = running.journal.jobs();
        let taken = next(&jobs, &queue).await;
        begin(&jobs, &taken).await;
        std::mem::forget(taken);
        running.crash().await;
    }
    let running = Running::start(&engine, &clock, Options::default()).await;
    let jobs = running.journal.jobs();
    // It may still be looked at, or adopted; only a fourth attempt is refused.
    let taken = next(&jobs, &queue).await;
    assert!(taken.left_begun);
    assert_eq!(jobs.begin(&taken).await, Ok(Begun::Parked));
    assert_eq!(ending(&running).await, Some(Ending::Parked));
}

async fn three_attempts_that_died_with_their_process_postpone_a_message<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let mut running = Running::start(&engine, &clock, Options::default()).await;
    running.submit(ask("me")).await.unwrap();
    // However often that happens: deaths of the process are no failures of the other side, and the wait stays short.
    for round in 0..4 {
        for _ in 0..3 {
            let jobs = running.journal.jobs();
            let taken = next(&jobs, "notify/me").await;
            begin(&jobs, &taken).await;
            std::mem::forget(taken);
            running.crash().await;
            running = Running::start(&engine, &clock, Options::default()).await;
        }
        let jobs = running.journal.jobs();
        let taken = next(&jobs, "notify/me").await;
        assert_eq!(jobs.begin(&taken).await, Ok(Begun::Postponed));
        drop(taken);
        assert_eq!(ending(&running).await, None, "a page is never given up for that");
        let wait = jobs.waiting().await[0].wait;
        assert!((10..30).contains(&wait.as_secs()), "round {round}: {wait:#}");
        clock.advance(SignedDuration::from_secs(30));
    }
    let jobs = running.journal.jobs();
    let taken = next(&jobs, "notify/me").await;
    let again = begin(&jobs, &taken).await;
    assert_eq!(again.number, 13);
    jobs.end(&again, later("refused")).await.unwrap();
    drop(taken);
    let wait = jobs.waiting().await[0].wait;
    assert!((4..=6).contains(&wait.as_secs()), "the first failure: {wait:#}");
}

/// The other side may be well again: a page does not wait for the back-off of an older message.
async fn a_new_message_ends_the_back_off_of_the_one_before_it<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    let jobs = running.journal.jobs();
    running.submit(ask("me")).await.unwrap();
    for _ in 0..8 {
        let taken = next(&jobs, "notify/me").await;
        let attempt = begin(&jobs, &taken).await;
        jobs.end(&attempt, later("refused")).await.unwrap();
        drop(taken);
        clock.advance(SignedDuration::from_hours(1));
    }
    let taken = next(&jobs, "notify/me").await;
    let attempt = begin(&jobs, &taken).await;
    jobs.end(&attempt, later("refused")).await.unwrap();
    drop(taken);
    let wait = |waiting: Vec<store::JobStatus>| waiting[0].wait.as_secs();
    assert!(wait(jobs.waiting().await) > 900, "control: alone it waits");
    clock.advance(SignedDuration::from_secs(2));
    running.submit(ask("me")).await.unwrap();
    // Not at once, as the last attempt was two seconds ago: many new messages are not as many attempts.
    assert_eq!(wait(jobs.waiting().await), 3);
    running.crash().await;
    let running = Running::start(&engine, &clock, Options::default()).await;
    let jobs = running.journal.jobs();
    let taken = next(&jobs, "notify/me").await;
    let attempt = begin(&jobs, &taken).await;
    let asked = Outcome::Later {
        why: "busy".to_owned(),
        not_before: Some(SignedDuration::from_mins(50)),
    };
    jobs.end(&attempt, asked).await.unwrap();
    drop(taken);
    running.submit(ask("me")).await.unwrap();
    assert!(
        wait(jobs.waiting().await) > 2900,
        "what the other side asked for stands"
    );
}

async fn attempts_cut_short_by_an_orderly_stop_park_nothing<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    running.submit(ask("restart")).await.unwrap();
    running.end().await;
    for round in 0..5 {
        let running = Running::start(&engine, &clock, Options::default()).await;
        let jobs = running.journal.jobs();
        let taken = next(&jobs, "notify/restart").await;
        assert_eq!(taken.left_begun, round > 0);
        let attempt = begin(&jobs, &taken).await;
        jobs.stopped(&attempt).await.unwrap();
        drop(taken);
        drop(jobs);
        running.end().await;
    }
}

async fn a_worker_that_panics_leaves_its_attempt_to_the_crash_rules<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    running.submit(ask("observe")).await.unwrap();
    let jobs = running.journal.jobs();
    let taken = next(&jobs, "notify/observe").await;
    drop(taken);
    let taken = next(&jobs, "notify/observe").await;
    assert!(!taken.left_begun, "taken, but never begun");
    begin(&jobs, &taken).await;
    drop(taken);
    assert!(next(&jobs, "notify/observe").await.left_begun);
}

async fn a_job_expires_but_never_before_one_attempt_since_the_start<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    running.submit(ask("hour")).await.unwrap();
    running.crash().await;
    clock.advance(SignedDuration::from_hours(200));
    let running = Running::start(&engine, &clock, Options::default()).await;
    let jobs = running.journal.jobs();
    let taken = next(&jobs, "notify/hour").await;
    let attempt = begin(&jobs, &taken).await;
    jobs.end(&attempt, later("refused")).await.unwrap();
    assert_eq!(ending(&running).await, Some(Ending::Expired));
    assert!(jobs.waiting().await.is_empty());
    // One that waits is ended when its time runs out, not at the next attempt after it.
    drop(taken);
    running.submit(ask("hour")).await.unwrap();
    for _ in 0..20 {
        let taken = next(&jobs, "notify/hour").await;
        match jobs.begin(&taken).await.unwrap() {
            Begun::Attempt(attempt) => jobs.end(&attempt, later("refused")).await.unwrap(),
            Begun::Expired => return,
            other => panic!("{other:?}"),
        }
        drop(taken);
        clock.advance(SignedDuration::from_mins(10));
        running.tick().await;
    }
    panic!("it never expired");
}

async fn a_reboot_ends_every_wait<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    running.submit(ask("me")).await.unwrap();
    let jobs = running.journal.jobs();
    let taken = next(&jobs, "notify/me").await;
    let attempt = begin(&jobs, &taken).await;
    let asked = Outcome::Later {
        why: "busy".to_owned(),
        not_before: Some(SignedDuration::from_mins(50)),
    };
    jobs.end(&attempt, asked).await.unwrap();
    drop(taken);
    clock.advance(SignedDuration::from_mins(49));
    running.tick().await;
    assert!(nothing(&jobs, "notify/me").await, "50 minutes were asked for");
    running.crash().await;
    clock.reboot("another");
    let running = Running::start(&engine, &clock, Options::default()).await;
    next(&running.journal.jobs(), "notify/me").await;
}

/// What a status page, and readiness, go by: whether a job that could begin is left alone, and how long one runs.
async fn how_long_a_job_is_left_alone_or_runs_is_told<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    running.submit(ask("me")).await.unwrap();
    let jobs = running.journal.jobs();
    let status = async || {
        let status = jobs.waiting().await.remove(0);
        (
            status.overdue.as_secs(),
            status.running_for.map(|running| running.as_secs()),
        )
    };
    assert_eq!(status().await, (0, None));
    clock.advance(SignedDuration::from_secs(90));
    assert_eq!(status().await, (90, None), "nobody takes it");
    let taken = next(&jobs, "notify/me").await;
    let attempt = begin(&jobs, &taken).await;
    clock.advance(SignedDuration::from_secs(30));
    assert_eq!(status().await, (0, Some(30)), "it runs");
    jobs.end(&attempt, later("no")).await.unwrap();
    drop(taken);
    assert_eq!(status().await, (0, None), "it waits by itself");
    clock.advance(SignedDuration::from_secs(60));
    assert!(status().await.0 >= 50, "its wait is over");
}

#[tokio::test]
async fn composed_once() {
    a_job_is_composed_once_tried_again_and_done::<Sqlite>().await;
}

#[tokio::test]
async fn order() {
    a_queue_keeps_its_order_and_delays_no_other::<Sqlite>().await;
}

#[tokio::test]
async fn left() {
    what_a_dead_process_left_is_known::<Sqlite>().await;
}

#[tokio::test]
async fn parked() {
    for destination in ["restart", "observe"] {
        three_attempts_that_died_with_their_process_park_a_job::<Sqlite>(destination).await;
    }
}

#[tokio::test]
async fn postponed() {
    three_attempts_that_died_with_their_process_postpone_a_message::<Sqlite>().await;
}

#[tokio::test]
async fn hurried() {
    a_new_message_ends_the_back_off_of_the_one_before_it::<Sqlite>().await;
}

#[tokio::test]
async fn orderly() {
    attempts_cut_short_by_an_orderly_stop_park_nothing::<Sqlite>().await;
}

#[tokio::test]
async fn worker_panics() {
    a_worker_that_panics_leaves_its_attempt_to_the_crash_rules::<Sqlite>().await;
}

#[tokio::test]
async fn expiry() {
    a_job_expires_but_never_before_one_attempt_since_the_start::<Sqlite>().await;
}

#[tokio::test]
async fn reboot() {
    a_reboot_ends_every_wait::<Sqlite>().await;
}

#[tokio::test]
async fn left_alone() {
    how_long_a_job_is_left_alone_or_runs_is_told::<Sqlite>().await;
}
