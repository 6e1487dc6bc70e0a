//! What the gates say, and what follows: the guard reactor in a real fold, over facts as the journal would hold them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::{collections::BTreeMap, sync::Arc};

use events::{
    ActEnd, ActFinished, ActReady, ActingSwitched, ActionMode, ActionResult, AlertPhase, Answer, BootId, Boottime,
    Clock, Composer, Composition, Deployment, Elapsed, Ending, Envelope, Fact, Factory, Failures, Fold, House,
    Identity, IncidentId, Input, Job, JobEnded, JobId, Key, Look, Migrations, Moment, Name, Network, NetworkChanged,
    Opening, Past, Phase, ProbeResult, Reactor, Reason, Recorded, ReleaseId, RuleTerms, Seq, ServiceId, Started,
    Status, Tick, Timestamp, Verify, Views, Work, name_of,
};
use jiff::SignedDuration;
use recovery::{Guard, GuardReactor, Planned};

struct Quiet;

impl Reactor for Quiet {
    fn name(&self) -> &'static str {
        "paging"
    }
    fn window(&self) -> SignedDuration {
        SignedDuration::ZERO
    }
    fn absorb(&mut self, _: &Recorded) {}
    fn react(&self, _: &Views, _: &Recorded, _: &mut events::Effects) {}
}

struct One(Planned);

impl Factory for One {
    fn build(&self, _: &str) -> House {
        let actions = BTreeMap::from([(name_of("rollback"), self.0.clone())]);
        House {
            reactors: vec![Box::new(GuardReactor::new(actions))],
            paging: Box::new(Quiet),
        }
    }
}

struct Nobody;

impl Composer for Nobody {
    fn compose(&self, _: &Views, _: &Job, _: &Moment) -> Option<Composition> {
        None
    }
}

impl Past for Nobody {
    fn seen(&self, _: &Name, _: &Key) -> Option<(Seq, String)> {
        None
    }
    fn since(&self, _: Elapsed) -> Vec<Recorded> {
        Vec::new()
    }
}

/// A fold with one action, and a clock that the test moves.
struct Play {
    fold: Fold,
    now: i64,
    jobs: Vec<Job>,
    facts: Vec<Recorded>,
    incidents: usize,
}

fn planned(mode: ActionMode) -> Planned {
    let hold = SignedDuration::from_secs(10);
    Planned {
        mode,
        guard: Guard {
            cooldown: SignedDuration::from_hours(1),
            within: Some(SignedDuration::from_mins(30)),
        },
        verify: Some(Verify {
            up: vec![name_of("shop")],
            hold,
            within: SignedDuration::from_mins(1),
        }),
        command: "/bin/rollback".to_owned(),
    }
}

impl Play {
    fn new(planned: Planned) -> Self {
        let opening = Opening {
            views: Views::default(),
            seq: Seq::default(),
            commit: events::CommitId::default(),
            text: Some(String::new()),
            failures: Failures::new(),
        };
        let fold = Fold::open(opening, Arc::new(One(planned)), Arc::new(Nobody));
        let mut play = Self {
            fold,
            now: 1_000_000_000_000,
            jobs: Vec::new(),
            facts: Vec::new(),
            incidents: 0,
        };
        play.fact(Fact::Started(Started {
            version: "0".to_owned(),
            identity: Identity::default(),
        }));
        play.pass(10);
        play.probe(Status::Pass);
        play
    }

    fn input(&mut self, input: Input) -> Vec<Recorded> {
        let clock = Clock {
            wall: Timestamp(self.now),
            boot: Boottime(self.now),
            boot_id: BootId("test".to_owned()),
        };
        let commit = self.fold.commit(vec![input], &clock, &Nobody).unwrap();
        self.jobs.extend(commit.jobs);
        self.facts.extend(commit.facts);
        match commit.answers.into_iter().next() {
            Some(Answer::Accepted { facts }) => facts,
            _ => Vec::new(),
        }
    }

    fn fact(&mut self, fact: Fact) -> Vec<Recorded> {
        let service = ServiceId::new("shop").unwrap();
        self.input(
            Envelope::new(name_of("test"), name_of("test"), fact)
                .about(Some(service))
                .into(),
        )
    }

    /// So many seconds go by, a tick every five.
    fn pass(&mut self, seconds: i64) {
        for _ in 0..seconds / 5 {
            self.now += 5_000_000_000;
            self.fact(Fact::Tick(Tick::default()));
        }
    }

    fn probe(&mut self, status: Status) {
        let reason = if status == Status::Pass {
            Reason::Ok
        } else {
            Reason::ConnectRefused
        };
        let result = ProbeResult {
            probe: name_of("shop"),
            service: ServiceId::new("shop").unwrap(),
            planned: Timestamp(self.now),
            ended: Timestamp(self.now),
            look: Look::new(status, reason, ""),
            first: None,
        };
        self.input(Input::Probe(Box::new(result)));
    }

    fn deploy(&mut self, migrations: Option<Migrations>) {
        let version = ReleaseId::new(format!("1.{}", self.facts.len())).unwrap();
        self.fact(Fact::DeploymentRecorded(Deployment {
            version,
            began: None,
            migrations,
            verified: false,
            by: None,
            note: None,
        }));
    }

    /// An incident opens that asks for the action; its breach began so many seconds ago.
    fn fire(&mut self, trusted: bool, began_ago: i64) -> IncidentId {
        self.incidents += 1;
        let incident = IncidentId::derive(&Identity::default(), &[&self.incidents.to_string()]);
        let terms = RuleTerms {
            action: Some(name_of("rollback")),
            trusted,
            ..RuleTerms::default()
        };
        self.fact(Fact::AlertPhase(AlertPhase {
            rule: name_of("shop-errors"),
            from: Phase::Pending,
            to: Phase::Firing,
            why: events::PhaseCause::Evidence,
            base: 0,
            since: None,
            until: None,
            incident: Some(incident),
            readings: Vec::new(),
            rule_digest: String::new(),
            terms: Some(terms),
            breach_began: Some(Timestamp(self.now - began_ago * 1_000_000_000)),
            changes: Vec::new(),
        }));
        incident
    }

    fn resolve(&mut self, incident: IncidentId) {
        self.fact(Fact::AlertPhase(AlertPhase {
            rule: name_of("shop-errors"),
            from: Phase::Clearing,
            to: Phase::Inactive,
            why: events::PhaseCause::Evidence,
            base: 0,
            since: None,
            until: None,
            incident: Some(incident),
            readings: Vec::new(),
            rule_digest: String::new(),
            terms: None,
            breach_began: None,
            changes: Vec::new(),
        }));
    }

    fn run(&self) -> JobId {
        self.jobs.last().expect("an act was queued").id
    }

    /// The worker asks for the last word; true when it may begin.
    fn ready(&mut self, kill_switch: bool) -> bool {
        let run = self.run();
        let facts = self.fact(Fact::ActReady(ActReady { run, kill_switch }));
        facts.iter().any(|fact| matches!(fact.fact(), Fact::ActStarting(_)))
    }

    fn finish(&mut self, end: ActEnd) {
        let run = self.run();
        self.fact(Fact::ActFinished(ActFinished {
            run,
            end,
            pid: None,
            took: SignedDuration::ZERO,
            output: String::new(),
        }));
    }

    /// The whole good way: proposed, begun, done, verified.
    fn act(&mut self) -> IncidentId {
        self.deploy(None);
        let incident = self.fire(true, 0);
        assert!(self.ready(false));
        self.finish(ActEnd::Exit { code: 0 });
        self.pass(20);
        incident
    }

    fn concluded(&self) -> Vec<(ActionResult, String)> {
        let concluded = |fact: &Recorded| match fact.fact() {
            Fact::ActionConcluded(concluded) => Some((concluded.result, concluded.summary.clone())),
            _ => None,
        };
        self.facts.iter().filter_map(concluded).collect()
    }

    fn last(&self) -> (ActionResult, String) {
        self.concluded().pop().expect("it was concluded")
    }

    #[track_caller]
    fn assert_refused(&self, why: &str) {
        let (result, summary) = self.last();
        assert_eq!(result, ActionResult::Refused);
        assert!(summary.contains(why), "{summary}");
    }
}

#[test]
fn on_good_evidence_it_acts_once_and_is_verified() {
    let mut play = Play::new(planned(ActionMode::Automatic));
    play.act();
    assert_eq!(play.jobs.len(), 1);
    assert!(matches!(play.jobs[0].work, Work::Act { .. }));
    assert_eq!(play.last().0, ActionResult::Verified);
    play.pass(600);
    assert_eq!(play.concluded().len(), 1, "it is concluded once");
}

#[test]
fn a_dry_run_queues_nothing() {
    let mut play = Play::new(planned(ActionMode::DryRun));
    play.deploy(None);
    play.fire(true, 0);
    assert!(play.jobs.is_empty());
    assert_eq!(play.last().0, ActionResult::DryRun);
}

#[test]
fn telemetry_alone_may_page_but_not_act() {
    let mut play = Play::new(planned(ActionMode::Automatic));
    play.deploy(None);
    play.fire(false, 0);
    play.assert_refused("only telemetry without a token");
}

#[test]
fn within_asks_for_a_deployment_just_before() {
    let mut play = Play::new(planned(ActionMode::Automatic));
    play.fire(true, 0);
    play.assert_refused("no deployment of the service is recorded");
    play.deploy(None);
    play.pass(60);
    play.fire(true, 120);
    play.assert_refused("breach began");
    play.pass(31 * 60);
    play.fire(true, 0);
    play.assert_refused("limit");
    assert!(play.jobs.is_empty());
}

#[test]
fn a_destructive_migration_is_not_rolled_back() {
    let mut play = Play::new(planned(ActionMode::Automatic));
    play.deploy(Some(Migrations::Destructive));
    play.fire(true, 0);
    play.assert_refused("destructively");
}

#[test]
fn a_clock_jump_since_the_deployment_refuses() {
    let mut play = Play::new(planned(ActionMode::Automatic));
    play.deploy(None);
    play.fact(Fact::ClockJumped(events::ClockJumped {
        by: SignedDuration::from_hours(1),
    }));
    play.fire(true, 0);
    play.assert_refused("clock jumped");
}

#[test]
fn cool_down_counts_watched_time() {
    let mut play = Play::new(planned(ActionMode::Automatic));
    let incident = play.act();
    play.resolve(incident);
    play.pass(60);
    play.deploy(None);
    play.fire(true, 0);
    play.assert_refused("cool-down");
    play.pass(3600);
    play.deploy(None);
    play.fire(true, 0);
    assert_eq!(play.jobs.len(), 2, "after the cool-down it may act again");
}

#[test]
fn a_cut_off_watcher_does_not_act() {
    let mut play = Play::new(planned(ActionMode::Automatic));
    play.deploy(None);
    play.input(Input::Network(NetworkChanged {
        to: Network::Offline,
        evidence: Vec::new(),
    }));
    play.fire(true, 0);
    play.assert_refused("our own network is cut");
}

#[test]
fn the_last_word_is_asked_right_before_the_act() {
    let mut play = Play::new(planned(ActionMode::Automatic));
    play.deploy(None);
    let incident = play.fire(true, 0);
    play.resolve(incident);
    assert!(!play.ready(false), "it does not fire any more");

    let mut play = Play::new(planned(ActionMode::Automatic));
    play.deploy(None);
    play.fire(true, 0);
    play.deploy(None);
    assert!(!play.ready(false), "a newer deployment came");

    let mut play = Play::new(planned(ActionMode::Automatic));
    play.deploy(None);
    play.fire(true, 0);
    assert!(!play.ready(true), "the kill-switch file is there");
    play.assert_refused("kill-switch");
}

#[test]
fn a_stopped_house_acts_no_more_until_it_is_allowed() {
    let mut play = Play::new(planned(ActionMode::Automatic));
    play.fact(Fact::ActingSwitched(ActingSwitched {
        action: None,
        stopped: true,
        by: "alice".to_owned(),
    }));
    play.deploy(None);
    play.fire(true, 0);
    play.assert_refused("stopped by alice");
    play.fact(Fact::ActingSwitched(ActingSwitched {
        action: None,
        stopped: false,
        by: "alice".to_owned(),
    }));
    play.deploy(None);
    play.fire(true, 0);
    assert!(play.ready(false));
}

#[test]
fn what_failed_or_was_not_verified_is_held_until_a_person_releases_it() {
    let not_done = [
        ActEnd::Exit { code: 1 },
        ActEnd::Deadline,
        ActEnd::Unknown,
        ActEnd::ObservedNotDone,
        ActEnd::Signal { signal: 9 },
    ];
    for end in not_done {
        let mut play = Play::new(planned(ActionMode::Automatic));
        play.deploy(None);
        play.fire(true, 0);
        assert!(play.ready(false));
        play.finish(end.clone());
        assert_eq!(play.last().0, ActionResult::Held, "{end:?}");
        play.pass(3700);
        play.deploy(None);
        play.fire(true, 0);
        play.assert_refused("held until a person releases it");
        play.fact(Fact::ActingSwitched(ActingSwitched {
            action: Some(name_of("rollback")),
            stopped: false,
            by: "alice".to_owned(),
        }));
        play.deploy(None);
        play.fire(true, 0);
        assert_eq!(play.jobs.len(), 2, "released: {end:?}");
    }
}

#[test]
fn done_but_not_up_again_is_held() {
    let mut play = Play::new(planned(ActionMode::Automatic));
    play.deploy(None);
    play.fire(true, 0);
    assert!(play.ready(false));
    play.probe(Status::Fail);
    play.finish(ActEnd::Exit { code: 0 });
    play.pass(90);
    let (result, summary) = play.last();
    assert_eq!(result, ActionResult::Held);
    assert!(summary.contains("did not hold"), "{summary}");
}

#[test]
fn after_a_crash_an_act_that_never_began_may_be_allowed_again_and_one_that_ended_may_not() {
    let mut play = Play::new(planned(ActionMode::Automatic));
    play.deploy(None);
    play.fire(true, 0);
    assert!(play.ready(false));
    assert!(play.ready(false), "allowed, never begun, asked again");
    play.finish(ActEnd::Exit { code: 0 });
    assert!(!play.ready(false), "it ended: nothing may begin");
}

/// What becomes of the job afterwards changes nothing of an act that ended; one that did not end is held with its job.
#[test]
fn an_act_that_ended_is_judged_by_its_end_and_not_by_its_jobs() {
    for (finished, result) in [(true, ActionResult::Verified), (false, ActionResult::Held)] {
        let mut play = Play::new(planned(ActionMode::Automatic));
        play.deploy(None);
        play.fire(true, 0);
        assert!(play.ready(false));
        if finished {
            play.finish(ActEnd::Exit { code: 0 });
        }
        let job = play.jobs.last().unwrap();
        let ended = JobEnded {
            job: job.id,
            queue: job.queue.clone(),
            ending: Ending::Held,
            attempts: 1,
            why: "nobody can say".to_owned(),
        };
        play.fact(Fact::JobEnded(ended));
        play.pass(20);
        assert_eq!(play.last().0, result, "{:?}", play.concluded());
        assert_eq!(play.concluded().len(), 1);
    }
}
