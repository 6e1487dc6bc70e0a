//! What a crash must not have done: every violation in words.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use harness::smtp::Mail;
use harness::webhook::Delivery;
use harness::{Daemon, wait};
use serde_json::{Value, json};

use super::load::{Acknowledged, LOGS, SPANS};

/// Traces that are read back one by one: those that were sent more than once, and a sample of the others.
const TRACES_MAX: usize = 600;
/// How long an act may take to be concluded once all is well: what must hold afterwards has a minute for it.
const CONCLUDED: Duration = Duration::from_secs(120);

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Acknowledged deployments are there, once, under the number that was acknowledged.
pub(super) fn deployments(daemon: &Daemon, acknowledged: &Acknowledged) -> Vec<String> {
    let mut recorded: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for fact in daemon.facts("deployment_recorded") {
        let seq = fact["seq"].as_u64().unwrap();
        recorded
            .entry(text(&fact["fact"], "version").to_owned())
            .or_default()
            .push(seq);
    }
    let mut wrong = Vec::new();
    for (version, seq) in &acknowledged.deployments {
        match recorded.get(version).map(Vec::as_slice) {
            None => wrong.push(format!("deployment {version} was acknowledged and is lost")),
            Some([one]) if one == seq => {}
            Some(other) => wrong.push(format!(
                "deployment {version} was acknowledged as fact {seq} and stands at {other:?}"
            )),
        }
    }
    let more = recorded.len().saturating_sub(acknowledged.deployments.len());
    if more > 0 {
        wrong.push(format!(
            "{more} deployments are there that nobody was told of, though all were asked for until they were"
        ));
    }
    wrong
}

/// Requests and failed ones of a service, as the ticks counted them.
pub(super) fn counted(daemon: &Daemon) -> (u64, u64) {
    let answer = daemon.api("GET", "/api/v1/latency/pay?since=12h", b"").unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let answer = answer.json();
    let series = answer["series"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|series| text(series, "source") == "span");
    series.fold((0, 0), |(requests, bad), series| {
        let count = |key: &str| series[key].as_u64().unwrap();
        (requests + count("requests") + count("late"), bad + count("bad"))
    })
}

/// Spans and logs that were acknowledged are there, once.
pub(super) fn telemetry(daemon: &Daemon, acknowledged: &Acknowledged) -> Vec<String> {
    let mut wrong = Vec::new();
    let sent = u64::try_from(acknowledged.sent.len()).unwrap();
    let counted = counted(daemon);
    if counted != (sent * SPANS, sent) {
        wrong.push(format!(
            "counted {counted:?} requests and failures, acknowledged {:?}",
            (sent * SPANS, sent)
        ));
    }
    let repeated = acknowledged.sent.iter().filter(|sent| sent.attempts > 1);
    let step = acknowledged.sent.len() / TRACES_MAX + 1;
    let sample = acknowledged.sent.iter().filter(|sent| sent.attempts == 1).step_by(step);
    for sent in repeated.chain(sample).take(TRACES_MAX) {
        let answer = daemon
            .api("GET", &format!("/api/v1/traces/{}", sent.trace), b"")
            .unwrap()
            .json();
        let count = |key: &str| answer[key].as_array().map_or(0, Vec::len);
        if (count("spans"), count("logs")) != (usize::try_from(SPANS).unwrap(), LOGS) {
            wrong.push(format!(
                "trace {} was sent {} times and has {} spans and {} logs",
                sent.trace,
                sent.attempts,
                count("spans"),
                count("logs")
            ));
        }
    }
    wrong
}

/// What the journal says of messages.
pub(super) struct Messages {
    /// Destination and content by job.
    notified: BTreeMap<String, (String, Value)>,
    composed: BTreeMap<String, String>,
    covered_by: BTreeMap<String, Vec<String>>,
    done: BTreeSet<String>,
    ended: BTreeMap<String, String>,
    phases: Vec<Value>,
}

impl Messages {
    pub(super) fn read(daemon: &Daemon) -> Self {
        let mut messages = Self {
            notified: BTreeMap::new(),
            composed: BTreeMap::new(),
            covered_by: BTreeMap::new(),
            done: BTreeSet::new(),
            ended: BTreeMap::new(),
            phases: Vec::new(),
        };
        for fact in daemon.facts("notified,job_started,job_done,job_ended,alert_phase") {
            messages.take(&fact["fact"]);
        }
        messages
    }

    fn take(&mut self, fact: &Value) {
        let job = text(fact, "job").to_owned();
        match text(fact, "kind") {
            "notified" => drop(
                self.notified
                    .insert(job, (text(fact, "destination").to_owned(), fact.clone())),
            ),
            "job_started" => {
                self.composed.insert(job.clone(), text(fact, "composed").to_owned());
                for covered in fact["covers"].as_array().into_iter().flatten() {
                    self.covered_by
                        .entry(covered.as_str().unwrap().to_owned())
                        .or_default()
                        .push(job.clone());
                }
            }
            "job_done" => drop(self.done.insert(job)),
            "job_ended" => drop(
                self.ended
                    .insert(job, format!("{}: {}", text(fact, "ending"), text(fact, "why"))),
            ),
            _ => self.phases.push(fact.clone()),
        }
    }

    /// Messages that were decided and did not come to an end.
    pub(super) fn waiting(&self) -> usize {
        self.notified
            .keys()
            .filter(|job| !self.done.contains(*job) && !self.ended.contains_key(*job))
            .count()
    }

    /// Incidents that opened.
    pub(super) fn incidents(&self) -> usize {
        self.phases.iter().filter(|phase| opens(phase)).count()
    }

    /// Every incident was told to every destination, its beginning and its end: by a message of its own, or within one.
    pub(super) fn told(&self, destinations: &[&str], arrived: &BTreeSet<(String, String)>) -> Vec<String> {
        let mut wrong = Vec::new();
        for phase in &self.phases {
            let about = match (opens(phase), resolves(phase)) {
                (true, _) => "firing",
                (_, true) => "resolved",
                _ => continue,
            };
            for destination in destinations {
                let is_it = |fact: &Value| text(fact, "about") == about && fact["incident"] == phase["incident"];
                let mut jobs = self
                    .notified
                    .iter()
                    .filter(|(_, (to, fact))| to == destination && is_it(fact));
                match (jobs.next(), jobs.next()) {
                    (Some((job, _)), None) => wrong.extend(self.arrived(job, destination, arrived)),
                    (None, _) => wrong.push(format!(
                        "{destination} was never to be told {about} of {}",
                        phase["incident"]
                    )),
                    (Some(_), Some(_)) => {
                        wrong.push(format!("{destination} is told {about} of {} twice", phase["incident"]));
                    }
                }
            }
        }
        wrong
    }

    fn arrived(&self, job: &str, destination: &str, arrived: &BTreeSet<(String, String)>) -> Option<String> {
        let reached = |job: &str| arrived.contains(&(destination.to_owned(), job.to_owned()));
        let by_another = || {
            self.covered_by
                .get(job)
                .is_some_and(|others| others.iter().any(|other| reached(other)))
        };
        if reached(job) || by_another() {
            return None;
        }
        let (_, fact) = &self.notified[job];
        let end = self.ended.get(job).map_or("no end", String::as_str);
        let done = self.done.contains(job);
        Some(format!(
            "{destination} was not told: {fact} (job done: {done}, ended: {end})"
        ))
    }

    /// Every copy of a message has the bytes that were committed.
    pub(super) fn webhooks(&self, attempts: &[Delivery]) -> Vec<String> {
        let differ = |delivery: &&Delivery| {
            self.composed
                .get(&delivery.id)
                .is_none_or(|body| *body != delivery.request.text())
        };
        let tell = |delivery: &Delivery| {
            format!(
                "webhook {} is not what was committed: {}",
                delivery.id,
                delivery.request.text()
            )
        };
        attempts.iter().filter(differ).map(tell).collect()
    }

    /// Every copy of a mail has the same bytes, and its id is that of a message that was committed.
    pub(super) fn mails(&self, mails: &[Mail]) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut first: BTreeMap<String, &str> = BTreeMap::new();
        for mail in mails {
            let id = message_id(mail);
            if !self.composed.contains_key(&id) {
                wrong.push(format!("mail {id} was never committed"));
            }
            if *first.entry(id.clone()).or_insert(&mail.text) != mail.text {
                wrong.push(format!("two copies of mail {id} differ"));
            }
        }
        wrong
    }
}

/// The id in `Message-ID: <ID@domain>`.
pub(super) fn message_id(mail: &Mail) -> String {
    let line = mail
        .text
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with("message-id:"));
    let id = line
        .and_then(|line| line.split_once('<'))
        .and_then(|(_, rest)| rest.split_once('@'));
    id.unwrap_or_else(|| panic!("a mail without a Message-ID:\n{}", mail.text))
        .0
        .to_owned()
}

fn opens(phase: &Value) -> bool {
    text(phase, "to") == "firing" && !matches!(text(phase, "from"), "firing" | "clearing")
}

fn resolves(phase: &Value) -> bool {
    text(phase, "to") == "inactive" && matches!(text(phase, "from"), "firing" | "clearing")
}

/// Runs that a kind of fact speaks of, and how often.
fn runs<'a>(facts: &'a [Value], kind: &str) -> BTreeMap<&'a str, usize> {
    let mut runs = BTreeMap::new();
    for fact in facts.iter().filter(|fact| fact["fact"]["kind"] == kind) {
        *runs.entry(text(&fact["fact"], "run")).or_default() += 1;
    }
    runs
}

/// No run of an action began twice, each that began has its facts, and each that was allowed came to its one end.
pub(super) fn acts(daemon: &Daemon, log: &str) -> Vec<String> {
    let mut begun: BTreeMap<&str, usize> = BTreeMap::new();
    for run in log
        .lines()
        .filter_map(|line| line.strip_prefix("begin ")?.split(' ').next())
    {
        *begun.entry(run).or_default() += 1;
    }
    let read = || daemon.facts("act_starting,act_finished,action_concluded");
    wait::try_until(CONCLUDED, || {
        let facts = read();
        let concluded = runs(&facts, "action_concluded");
        runs(&facts, "act_starting")
            .keys()
            .all(|run| concluded.contains_key(run))
            .then_some(())
    });
    let facts = read();
    let (starting, finished) = (runs(&facts, "act_starting"), runs(&facts, "act_finished"));
    let mut wrong = act_ends(&facts);
    for (run, times) in &begun {
        if *times > 1 {
            wrong.push(repeated(daemon, log, run, *times));
        }
        if !starting.contains_key(run) {
            wrong.push(format!("run {run} acted before that was committed"));
        }
        if !finished.contains_key(run) {
            wrong.push(format!("run {run} acted, and its end is not recorded"));
        }
    }
    wrong
}

/// What is wrong with the ends of acts. The act of this story always ends well, in a helper that nobody kills: so each
/// recorded end is exit code 0, and nothing that happened to the daemon is an excuse for another conclusion.
fn act_ends(facts: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let (finished, concluded) = (runs(facts, "act_finished"), runs(facts, "action_concluded"));
    for run in runs(facts, "act_starting").keys() {
        let times = concluded.get(run).copied().unwrap_or_default();
        if times != 1 {
            wrong.push(format!("run {run} was allowed and concluded {times} times"));
        }
    }
    for fact in facts.iter().map(|fact| &fact["fact"]) {
        let (run, summary) = (text(fact, "run"), text(fact, "summary"));
        let excused = ["nobody can say", "did not come to its end", "was interrupted"];
        match text(fact, "kind") {
            "act_finished" if fact["end"] != json!({ "ended": "exit", "code": 0 }) => {
                wrong.push(format!("run {run} ended well, and this is recorded: {}", fact["end"]));
            }
            "action_concluded"
                if finished.contains_key(run) && excused.iter().any(|excuse| summary.contains(excuse)) =>
            {
                wrong.push(format!("run {run} ended well and is concluded so: {summary}"));
            }
            _ => {}
        }
    }
    for (run, times) in finished.iter().filter(|(_, times)| **times > 1) {
        wrong.push(format!("run {run} ended {times} times"));
    }
    wrong
}

/// A run that acted more than once, with all that is recorded of it.
fn repeated(daemon: &Daemon, log: &str, run: &str, times: usize) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(run)).collect();
    let happened = daemon.facts(
        "started,act_ready,act_starting,act_finished,action_concluded,job_started,job_failed,job_done,job_ended",
    );
    let of_run =
        |fact: &&Value| fact["fact"]["kind"] == "started" || fact["fact"]["run"] == *run || fact["fact"]["job"] == *run;
    let of_run = happened
        .iter()
        .filter(of_run)
        .map(|fact| format!("{} {} {}", fact["seq"], text(fact, "wall"), fact["fact"]));
    let first = of_run.collect::<Vec<_>>();
    let from = first
        .iter()
        .position(|line| line.contains(run))
        .unwrap_or(0)
        .saturating_sub(1);
    let until = first.iter().rposition(|line| line.contains(run)).unwrap_or(0) + 2;
    let facts = first.get(from..until.min(first.len())).unwrap_or_default().join("\n  ");
    format!("run {run} acted {times} times: {lines:?}\n  {facts}")
}

/// Negative control: what a crash must not make of an act that ended well is seen.
#[test]
fn control_acts_that_are_not_concluded_as_they_ended_are_caught() {
    let fact = |kind: &str, more: Value| {
        let mut fact = json!({ "kind": kind, "run": "r" });
        fact.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "fact": fact })
    };
    let starting = fact("act_starting", json!({}));
    let finished = fact("act_finished", json!({ "end": { "ended": "exit", "code": 0 } }));
    let unknown = fact("act_finished", json!({ "end": { "ended": "unknown" } }));
    let verified = fact("action_concluded", json!({ "summary": "fix: done and verified" }));
    let held = fact(
        "action_concluded",
        json!({ "summary": "fix: the act did not come to its end: nobody can say whether it was done" }),
    );
    let well = vec![starting.clone(), finished.clone(), verified.clone()];
    assert_eq!(act_ends(&well), Vec::<String>::new());
    let cases: [(&str, Vec<Value>); 5] = [
        ("concluded 0 times", vec![starting.clone(), finished.clone()]),
        ("concluded 2 times", [well.clone(), vec![verified.clone()]].concat()),
        ("ended 2 times", [well, vec![finished.clone()]].concat()),
        ("is concluded so", vec![starting.clone(), finished, held]),
        ("this is recorded", vec![starting, unknown, verified]),
    ];
    for (expected, facts) in cases {
        let wrong = act_ends(&facts).join("\n");
        assert!(wrong.contains(expected), "{expected}: {wrong}");
    }
}
