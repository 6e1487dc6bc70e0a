//! Plays a text against the real fold with the reactors and the composer of alerting, delivers what is queued, and
//! proves at the end that a replay decides the same.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write,
    sync::Arc,
};

use alerting::{AlertSettings, Body, Destinations, MessageComposer, Rules, Surroundings, WatchedProbe};
use config::{Located, Source};
use events::{
    Answer, BackupCaptured, BackupDue, BackupFailed, BackupMissed, BackupProved, BackupScheduled, BackupStage,
    BackupTask, Bins, BootId, Boottime, Clock, Commit, CommitId, Configured, Deployment, Dictionary, Effects, Elapsed,
    Ending, Envelope, Fact, Factory, Failures, Fold, Histogram, House, Identity, IncidentAcked, Input, Job, JobDone,
    JobEnded, JobId, Key, LimitReached, Look, Name, Network, NetworkChanged, Opening, Past, ProbeResult, Reactor,
    Reason, Recorded, ReleaseId, Seq, Series, ServiceId, SilenceId, SilenceLifted, SilenceScope, SilenceSet, Started,
    Status, TestRequested, Tick, Timestamp, Views, Work, aggregate, histogram, name_of, replay,
};
use jiff::SignedDuration;
use serde::Deserialize;

/// 2026-11-21 03:00:00 UTC: second 0 of every play.
const START: i64 = 1_795_230_000;
const TICK_SECONDS: i64 = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    alert: BTreeMap<String, AlertSettings>,
    #[serde(default)]
    probe: BTreeMap<String, ProbeSettings>,
    #[serde(default)]
    services: BTreeSet<String>,
    #[serde(default)]
    backups: BTreeSet<String>,
    #[serde(default)]
    notify: Vec<Name>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbeSettings {
    #[serde(default)]
    service: Option<String>,
    #[serde(default)]
    near: bool,
    #[serde(default)]
    notify: Vec<Located<String>>,
}

/// Reads settings as the daemon would.
#[derive(Clone, Copy, Default)]
pub(crate) struct TestFactory {
    /// For negative controls: reactors that say they need no past.
    pub(crate) forgetful: bool,
}

/// A reactor that does not say how much it needs to have seen.
struct Forgetful(Box<dyn Reactor>);

impl Reactor for Forgetful {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn window(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    fn absorb(&mut self, fact: &Recorded) {
        self.0.absorb(fact);
    }

    fn react(&self, views: &Views, fact: &Recorded, out: &mut Effects) {
        self.0.react(views, fact, out);
    }
}

impl Factory for TestFactory {
    fn build(&self, text: &str) -> House {
        let source = Source::new("play.toml", text);
        let settings: Settings = config::load(&source).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let probes = settings.probe.into_iter().map(|(name, probe)| WatchedProbe {
            service: probe.service.unwrap_or_else(|| name.clone()),
            name,
            near: probe.near,
            notify: probe.notify,
        });
        let around = Surroundings {
            probes: probes.collect(),
            services: settings.services,
            backups: settings.backups,
            destinations: settings.notify.iter().map(ToString::to_string).collect(),
            ..Surroundings::default()
        };
        let alerts = settings.alert.iter().map(|(name, alert)| (name.as_str(), alert));
        let rules = Arc::new(Rules::compile(alerts, &around).unwrap_or_else(|mistakes| panic!("{mistakes:?}")));
        let destinations = Arc::new(Destinations {
            all: settings.notify,
            ..Destinations::default()
        });
        let mut reactors = alerting::reactors(&rules, &destinations);
        if self.forgetful {
            let forget = |reactor| Box::new(Forgetful(reactor)) as Box<dyn Reactor>;
            reactors = reactors.into_iter().map(forget).collect();
        }
        House {
            reactors,
            paging: alerting::paging(&destinations),
        }
    }
}

struct Journal(Vec<Recorded>);

impl Past for Journal {
    fn seen(&self, _: &Name, _: &Key) -> Option<(Seq, String)> {
        None
    }

    fn since(&self, from: Elapsed) -> Vec<Recorded> {
        replay::facts_since(&self.0, from).to_vec()
    }
}

/// A delivered message.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    pub(crate) at: i64,
    pub(crate) destination: String,
    pub(crate) body: Body,
}

/// One daemon and its receivers.
pub(crate) struct Play {
    pub(crate) journal: Vec<Recorded>,
    pub(crate) delivered: Vec<Delivered>,
    pub(crate) jobs: Vec<Job>,
    fold: Fold,
    factory: TestFactory,
    text: String,
    second: i64,
    boot: u32,
    next_tick: i64,
    pending: Vec<(String, u64, u64, u64)>,
    queues: BTreeMap<String, VecDeque<(Job, Option<String>)>>,
    down: BTreeSet<String>,
}

impl Play {
    /// A daemon that has just started with this configuration.
    pub(crate) fn new(text: &str) -> Self {
        Self::made_by(TestFactory::default(), text)
    }

    /// The same with other reactors.
    pub(crate) fn made_by(factory: TestFactory, text: &str) -> Self {
        let opening = Opening {
            views: Views::default(),
            seq: Seq::default(),
            commit: CommitId::default(),
            text: None,
            failures: Failures::default(),
        };
        let mut play = Self {
            journal: Vec::new(),
            delivered: Vec::new(),
            jobs: Vec::new(),
            fold: Fold::open(opening, Arc::new(factory), Arc::new(MessageComposer)),
            factory,
            text: text.to_owned(),
            second: 0,
            boot: 0,
            next_tick: 0,
            pending: Vec::new(),
            queues: BTreeMap::new(),
            down: BTreeSet::new(),
        };
        play.start(Some(text.to_owned()));
        play
    }

    fn start(&mut self, text: Option<String>) {
        let store = serde_json::from_str("\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\"").unwrap();
        let identity = Identity { store, epoch: 0 };
        let started = Started {
            version: "test".to_owned(),
            identity,
        };
        let configured = Configured {
            digest: format!("{:x}", self.text.len()),
            same_as: text.is_none().then_some(Seq(2)),
            text,
        };
        self.fact("daemon", None, Fact::Started(started));
        self.fact("daemon", None, Fact::Configured(configured));
        self.next_tick = self.second;
    }

    fn clock(&self) -> Clock {
        Clock {
            wall: Timestamp((START + self.second) * 1_000_000_000),
            boot: Boottime(self.second * 1_000_000_000),
            boot_id: BootId(self.boot.to_string()),
        }
    }

    fn commit(&mut self, input: Input) -> Commit {
        let past = Journal(std::mem::take(&mut self.journal));
        let commit = self.fold.commit(vec![input], &self.clock(), &past).unwrap();
        self.journal = past.0;
        self.journal.extend(commit.facts.iter().cloned());
        for job in &commit.jobs {
            let Work::Message { destination, .. } = &job.work else {
                panic!("{job:?} is no message")
            };
            // A receiver of a play takes one message after the other, tests included: one that is down holds up the rest.
            let destination = destination.to_string();
            self.queues
                .entry(destination)
                .or_default()
                .push_back((job.clone(), None));
        }
        self.jobs.extend(commit.jobs.iter().cloned());
        commit
    }

    fn fact(&mut self, stream: &str, service: Option<&str>, fact: Fact) {
        let service = service.map(|name| ServiceId::new(name).unwrap());
        let envelope = Envelope::new(name_of(stream), name_of("test"), fact).about(service);
        self.commit(envelope.into());
    }

    /// Does the jobs of every queue, one by one, until a receiver refuses.
    fn work(&mut self) {
        for destination in self.queues.keys().cloned().collect::<Vec<_>>() {
            while let Some((job, composed)) = self.queues.get(&destination).and_then(|queue| queue.front().cloned()) {
                let begun = composed.or_else(|| self.begin(&destination, &job));
                let Some(composed) = begun else { continue };
                if self.down.contains(&destination) {
                    break;
                }
                self.queues.get_mut(&destination).unwrap().pop_front();
                self.delivered.push(Delivered {
                    at: self.second,
                    destination: destination.clone(),
                    body: serde_json::from_str(&composed).unwrap(),
                });
                let done = JobDone {
                    job: job.id,
                    queue: job.queue.clone(),
                    attempts: 1,
                    answer: "250 ok".to_owned(),
                };
                self.fact("job", None, Fact::JobDone(done));
            }
        }
    }

    /// The first attempt: composes. `None` when another message says it already.
    fn begin(&mut self, destination: &str, job: &Job) -> Option<String> {
        let commit = self.commit(Input::JobStart(Box::new(job.clone())));
        let queue = self.queues.get_mut(destination).unwrap();
        if commit.answers == [Answer::Superseded] {
            queue.pop_front();
            return None;
        }
        let composed = commit.facts.iter().find_map(|fact| match fact.fact() {
            Fact::JobStarted(started) => started.composed.clone(),
            _ => None,
        });
        queue.front_mut().unwrap().1.clone_from(&composed);
        composed
    }

    fn tick(&mut self) {
        let tick = Tick {
            bins: bins(&std::mem::take(&mut self.pending)),
            ..Tick::default()
        };
        self.fact("daemon", None, Fact::Tick(tick));
    }

    /// Lets time go by, with a tick every five seconds.
    pub(crate) fn until(&mut self, second: i64) {
        while self.next_tick <= second {
            self.second = self.next_tick;
            self.next_tick += TICK_SECONDS;
            self.tick();
            self.work();
        }
        self.second = second;
    }

    /// Plays lines such as `1:15 probe shop fail connect_refused`.
    pub(crate) fn play(&mut self, script: &str) -> &mut Self {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (time, rest) = line.split_once(' ').unwrap_or((line, ""));
            self.until(seconds(time));
            let words: Vec<&str> = rest.split_whitespace().collect();
            if !words.is_empty() {
                self.step(&words);
            }
            self.work();
        }
        self
    }

    fn step(&mut self, words: &[&str]) {
        match words {
            ["probe", probe, status, rest @ ..] => self.probe(probe, status, rest.first().copied()),
            ["requests", service, n, bad] => self.pending.push(((*service).to_owned(), count(n), count(bad), 0)),
            ["requests", service, n, bad, slow] => {
                self.pending
                    .push(((*service).to_owned(), count(n), count(bad), count(slow)));
            }
            ["deploy", service, version] => self.deploy(service, version),
            ["ack", by] => self.ack(by),
            ["silence", rule, from, until] => self.silence(rule, seconds(from), seconds(until)),
            ["lift"] => self.lift(),
            ["network", to] => self.network(to),
            ["receiver", name, "down"] => _ = self.down.insert((*name).to_owned()),
            ["receiver", name, "up"] => _ = self.down.remove(*name),
            ["gives-up", name] => self.give_up(name),
            ["test", name] => {
                let (destination, by) = (name_of(name), "ada".to_owned());
                self.fact("notify", None, Fact::TestRequested(TestRequested { destination, by }));
            }
            ["scheduled", backup] => self.scheduled(backup),
            ["proved", backup] => self.proved(backup),
            ["corrupt", backup] => self.corrupt(backup),
            ["unread", backup] => self.verify_fails(backup, "timeout", "the store did not answer"),
            ["backup-fails", backup] => self.backup_fails(backup),
            ["lost-packs", backup, packs] => self.lost_packs(backup, count(packs)),
            ["missed", backup, times] => self.missed(backup, count(times)),
            ["limit", limit] => self.limit(limit),
            ["down", for_seconds] => self.restart(seconds(for_seconds)),
            ["crash"] => self.restart(0),
            unknown => panic!("no step {unknown:?}"),
        }
    }

    fn probe(&mut self, probe: &str, status: &str, reason: Option<&str>) {
        let status = match status {
            "pass" => Status::Pass,
            "fail" => Status::Fail,
            _ => Status::Unknown,
        };
        let reason: Reason = match reason {
            Some(reason) => serde_json::from_str(&format!("\"{reason}\"")).unwrap(),
            None => Reason::Ok,
        };
        let detail = if reason == Reason::ConnectRefused {
            "10.0.0.1:443"
        } else {
            ""
        };
        let at = self.clock().wall;
        self.commit(Input::Probe(Box::new(ProbeResult {
            probe: name_of(probe),
            service: ServiceId::new(probe.split('-').next().unwrap()).unwrap(),
            planned: at,
            ended: at,
            look: Look::new(status, reason, detail),
            first: None,
        })));
    }

    fn deploy(&mut self, service: &str, version: &str) {
        let deployment = Deployment {
            version: ReleaseId::new(version).unwrap(),
            began: None,
            migrations: None,
            verified: false,
            by: Some("ada".to_owned()),
            note: None,
        };
        self.fact("release", Some(service), Fact::DeploymentRecorded(deployment));
    }

    fn ack(&mut self, by: &str) {
        let open = self
            .fold
            .views()
            .incidents
            .iter()
            .map(|(_, row)| row.id)
            .collect::<Vec<_>>();
        for incident in open {
            let acked = IncidentAcked {
                incident,
                by: by.to_owned(),
                note: None,
            };
            self.fact("incident", None, Fact::IncidentAcked(acked));
        }
    }

    fn silence(&mut self, rule: &str, from: i64, until: i64) {
        let wall = |second: i64| Timestamp((START + second) * 1_000_000_000);
        let set = SilenceSet {
            silence: SilenceId::derive(&self.fold.views().now.identity, &[rule]),
            scope: SilenceScope {
                rule: Some(name_of(rule)),
                service: None,
            },
            from: wall(from),
            until: wall(until),
            by: "ada".to_owned(),
            reason: None,
        };
        self.fact("silence", None, Fact::SilenceSet(set));
    }

    fn lift(&mut self) {
        let set = self
            .fold
            .views()
            .silences
            .iter()
            .map(|(_, row)| row.id)
            .collect::<Vec<_>>();
        for silence in set {
            let by = "ada".to_owned();
            self.fact("silence", None, Fact::SilenceLifted(SilenceLifted { silence, by }));
        }
    }

    fn network(&mut self, to: &str) {
        let offline = to == "offline";
        let changed = NetworkChanged {
            to: if offline { Network::Offline } else { Network::Online },
            evidence: vec!["1.1.1.1:443: connection timed out".to_owned()],
        };
        self.commit(Input::Network(changed));
    }

    fn give_up(&mut self, destination: &str) {
        let (job, _) = self.queues.get_mut(destination).unwrap().pop_front().unwrap();
        let ended = JobEnded {
            job: job.id,
            queue: job.queue,
            ending: Ending::Expired,
            attempts: 80,
            why: "connection refused".to_owned(),
        };
        self.fact("job", None, Fact::JobEnded(ended));
    }

    fn scheduled(&mut self, backup: &str) {
        let scheduled = BackupScheduled {
            backup: name_of(backup),
            schedule: "0 3 * * *".to_owned(),
            next: None,
        };
        self.fact("backup", None, Fact::BackupScheduled(scheduled));
    }

    fn proved(&mut self, backup: &str) {
        let proved = BackupProved {
            backup: name_of(backup),
            job: JobId::derive(&Identity::default(), &[backup]),
            snapshot: "abc".to_owned(),
            bytes: 1,
            files: 1,
            checks: Vec::new(),
            took: SignedDuration::from_secs(1),
        };
        self.fact("backup", None, Fact::BackupProved(proved));
    }

    fn corrupt(&mut self, backup: &str) {
        self.verify_fails(backup, "corrupt", "pack 1a2b does not match its id");
    }

    fn verify_fails(&mut self, backup: &str, reason: &str, detail: &str) {
        let failed = BackupFailed {
            backup: name_of(backup),
            job: JobId::derive(&Identity::default(), &[backup]),
            stage: BackupStage::Verify,
            reason: name_of(reason),
            detail: detail.to_owned(),
            snapshot: Some("0a1b2c3d4e5f".to_owned()),
        };
        self.fact("backup", None, Fact::BackupFailed(failed));
    }

    fn lost_packs(&mut self, backup: &str, packs: u64) {
        let captured = BackupCaptured {
            backup: name_of(backup),
            job: JobId::derive(&Identity::default(), &[backup]),
            repository: name_of("r2"),
            snapshot: "abc".to_owned(),
            intended: self.clock().wall,
            bytes: 1,
            added_bytes: 1,
            files: 1,
            digest: "d".to_owned(),
            torn: Vec::new(),
            unreadable: Vec::new(),
            bare_databases: Vec::new(),
            lost_packs: (0..packs).map(|pack| format!("pack {pack}")).collect(),
            took: SignedDuration::from_secs(1),
        };
        self.fact("backup", None, Fact::BackupCaptured(captured));
    }

    fn missed(&mut self, backup: &str, times: u64) {
        let now = self.clock().wall;
        let missed = BackupMissed {
            backup: name_of(backup),
            times: u32::try_from(times).unwrap(),
            first: now,
            last: now,
        };
        self.fact("backup", None, Fact::BackupMissed(missed));
    }

    fn limit(&mut self, limit: &str) {
        let reached = LimitReached {
            limit: name_of(limit),
            count: 3,
            detail: "records were counted as `other`".to_owned(),
        };
        self.fact("daemon", None, Fact::LimitReached(reached));
    }

    fn backup_fails(&mut self, backup: &str) {
        let job = JobId::derive(&Identity::default(), &[backup, "run"]);
        let due = BackupDue {
            backup: name_of(backup),
            task: BackupTask::Run,
            intended: self.clock().wall,
            job,
            next: None,
            asked_by: None,
        };
        self.fact("backup", None, Fact::BackupDue(due));
        let ended = JobEnded {
            job,
            queue: name_of("backup"),
            ending: Ending::Failed,
            attempts: 3,
            why: "read the source: permission denied".to_owned(),
        };
        self.fact("job", None, Fact::JobEnded(ended));
    }

    /// Ends the process and opens the journal again, after so many seconds.
    fn restart(&mut self, seconds: i64) {
        let opening = Opening {
            views: replay::refold(&self.journal),
            seq: self.fold.seq(),
            commit: self.journal.last().unwrap().commit,
            text: Some(self.text.clone()),
            failures: Failures::default(),
        };
        let mut fold = Fold::open(opening, Arc::new(self.factory), Arc::new(MessageComposer));
        let facts = replay::facts_since(&self.journal, fold.window_start());
        fold.rebuild(facts).unwrap();
        // The rows of a refold count as changed; those of a load would not.
        self.fold = fold;
        self.second += seconds;
        self.start(None);
    }

    /// Another configuration comes into force.
    pub(crate) fn configure(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        let configured = Configured {
            digest: format!("{:x}", text.len()),
            text: Some(text.to_owned()),
            same_as: None,
        };
        self.fact("daemon", None, Fact::Configured(configured));
        self.work();
    }

    /// What was delivered, one message a line; asserts that a replay decides the same.
    pub(crate) fn said(&self) -> String {
        self.check_replay();
        self.delivered.iter().fold(String::new(), |mut text, message| {
            let (minute, second) = (message.at / 60, message.at % 60);
            writeln!(
                text,
                "{minute}:{second:02} {} <- {}",
                message.destination, message.body.title
            )
            .unwrap();
            text
        })
    }

    /// Whom nobody could tell of open incidents: `up/shop me: connection refused`.
    pub(crate) fn undelivered(&self) -> Vec<String> {
        let incidents = self.fold.views().incidents.iter().map(|(_, row)| row);
        let of = |row: &events::Incident| {
            let each = row.undelivered.iter();
            let rule = row.rule.clone();
            each.map(move |(to, why)| format!("{rule} {to}: {why}"))
                .collect::<Vec<_>>()
        };
        let mut all: Vec<String> = incidents.flat_map(of).collect();
        all.sort();
        all
    }

    /// How phases went, one a line.
    pub(crate) fn phases(&self) -> String {
        self.journal.iter().fold(String::new(), |mut text, fact| {
            if let Fact::AlertPhase(phase) = fact.fact() {
                let second = (fact.recorded_at.wall.0 / 1_000_000_000) - START;
                let (from, to) = (phase.from, phase.to);
                let held = if phase.since.is_none() && to == from {
                    " (time stands still)"
                } else {
                    ""
                };
                let (minute, second) = (second / 60, second % 60);
                writeln!(text, "{minute}:{second:02} {} {from:?} -> {to:?}{held}", phase.rule).unwrap();
            }
            text
        })
    }

    /// The observed facts, folded again.
    pub(crate) fn replayed(&self) -> replay::Replayed {
        replay::replay(&self.journal, Arc::new(self.factory), Arc::new(MessageComposer)).unwrap()
    }

    /// A replay of the observed facts makes the same facts, rows and jobs.
    pub(crate) fn check_replay(&self) {
        let replayed = self.replayed();
        assert_eq!(replayed.differences, [], "a replay decides otherwise");
        assert_eq!(replayed.jobs, self.jobs);
        let rows = replay::rows_of(&self.journal);
        assert!(!rows.is_empty());
    }
}

fn count(text: &str) -> u64 {
    text.parse().unwrap()
}

fn seconds(time: &str) -> i64 {
    let parts: Vec<i64> = time.split(':').map(|part| part.parse().unwrap()).collect();
    parts.into_iter().fold(0, |sum, part| sum * 60 + part)
}

/// Counts of spans: service, requests, errors, requests that took a second.
fn bins(counts: &[(String, u64, u64, u64)]) -> Bins {
    let mut all = Bins::default();
    for (service, n, bad, slow) in counts {
        let mut dictionary = Dictionary::default();
        dictionary.push(Arc::new(Series {
            service: ServiceId::new(service.as_str()).unwrap(),
            release: None,
            source: aggregate::Source::Span,
        }));
        let mut latency = Histogram::default();
        for index in 0..*n {
            latency.record(if index < *slow { 1_000_000 } else { 20_000 });
        }
        let mut bytes = Vec::new();
        for number in [1, 0, *n, *n, *bad, 0] {
            histogram::varint(&mut bytes, number);
        }
        latency.pack(&mut bytes);
        all.merge(&dictionary.unpack(&bytes).unwrap());
    }
    all
}
