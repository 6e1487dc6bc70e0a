//! The answers of the API as types: a handler writes them, the command line reads them. Fields are only added.

use std::collections::BTreeMap;

use events::{
    Action, ActionRun, Backup, CommitId, Envelope, Incident, Job, JobId, LogRecord, Name, Now, Probe, Release,
    RulePhase, Seq, ServiceId, Silence, SilenceId, Snapshot, SpanRecord, Timestamp, TraceId,
};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A probe as configured, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribedProbe {
    /// Its name.
    pub name: Name,
    /// The service it speaks for.
    pub service: ServiceId,
    /// Its kind.
    pub kind: String,
    /// What it looks at, without secrets.
    pub target: String,
    /// How often, in words.
    pub every: String,
}

/// An action as configured, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribedAction {
    /// Its name.
    pub name: Name,
    /// How far it may go by itself.
    pub mode: String,
    /// What it runs.
    pub command: String,
}

/// The configuration in words, for answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Described {
    /// The daemon's own environment.
    pub environment: String,
    /// Where the configuration came from.
    pub file: String,
    /// Probes.
    pub probes: Vec<DescribedProbe>,
    /// Names of services that have a section, or rules of their own.
    pub services: Vec<String>,
    /// Names of rules, those implied by probes included.
    pub rules: Vec<String>,
    /// Names of destinations.
    pub destinations: Vec<Name>,
    /// Names of backups.
    pub backups: Vec<Name>,
    /// Actions.
    pub actions: Vec<DescribedAction>,
    /// Where telemetry goes.
    pub listen: Option<String>,
}

/// Whether the daemon does what it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// True when the watcher lives, looks, decides and records.
    pub ready: bool,
    /// What speaks against it: the outward heartbeats stop.
    pub problems: Vec<String>,
    /// What is not well and does not stop the watch, such as a receiver that takes no message.
    #[serde(default)]
    pub degraded: Vec<String>,
}

/// A job that is not at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingJob {
    /// The job.
    pub job: Job,
    /// Attempts begun so far.
    pub attempts: u32,
    /// True while an attempt runs.
    pub running: bool,
    /// Why the last attempt failed.
    pub failure: Option<String>,
    /// How long it still waits by itself.
    pub wait: SignedDuration,
    /// How long ago it was queued.
    pub age: SignedDuration,
}

fn yes() -> bool {
    true
}

/// `/api/v1/status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// When this was answered.
    pub asked_at: Timestamp,
    /// False when no daemon runs and this is what it left.
    #[serde(default = "yes")]
    pub running: bool,
    /// Version of the binary that answers.
    pub version: String,
    /// The configuration in words.
    pub described: Described,
    /// Whether the daemon does what it is for.
    pub ready: Readiness,
    /// The row that every tick changes.
    pub now: Now,
    /// Probes by name.
    pub probes: BTreeMap<String, Probe>,
    /// Rules that are not inactive, by name.
    pub phases: BTreeMap<String, RulePhase>,
    /// Incidents that are open, or ended and not told yet, by id.
    pub incidents: BTreeMap<String, Incident>,
    /// Silences that are set, by id.
    pub silences: BTreeMap<String, Silence>,
    /// What is live, by service.
    pub releases: BTreeMap<String, Release>,
    /// Backups by name.
    pub backups: BTreeMap<String, Backup>,
    /// Actions by name.
    pub actions: BTreeMap<String, Action>,
    /// Runs of actions that are not concluded, by id.
    #[serde(default)]
    pub runs: BTreeMap<String, ActionRun>,
    /// Jobs that wait.
    pub jobs: Vec<WaitingJob>,
    /// Last fact of the journal.
    pub seq: Seq,
    /// Last commit of the journal.
    pub commit: CommitId,
    /// Link of the chain at that commit.
    pub link: String,
    /// Figures of telemetry, by name.
    pub telemetry: BTreeMap<String, Value>,
}

/// `/api/v1/alerts`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AlertsAnswer {
    /// When this was answered.
    pub asked_at: Timestamp,
    /// The row that every tick changes.
    pub now: Now,
    /// Names of all rules.
    pub rules: Vec<String>,
    /// Rules that are not inactive, by name.
    pub phases: BTreeMap<String, RulePhase>,
    /// Incidents that are open, or ended and not told yet, by id.
    pub incidents: BTreeMap<String, Incident>,
    /// Silences that are set, by id.
    pub silences: BTreeMap<String, Silence>,
    /// Runs of actions that are not concluded, by id.
    #[serde(default)]
    pub runs: BTreeMap<String, ActionRun>,
    /// Ended incidents, newest first, when asked for with `all=true`.
    pub ended: Vec<Incident>,
}

/// A fact as an answer shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownFact {
    /// Its place.
    pub seq: Seq,
    /// The commit it came with.
    pub commit: CommitId,
    /// When it was recorded.
    pub wall: Timestamp,
    /// The fact and the reactor it follows from; absent for what was observed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<(Seq, Name)>,
    /// The fact.
    pub fact: Envelope,
}

/// `/api/v1/timeline`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TimelineAnswer {
    /// When this was answered.
    pub asked_at: Timestamp,
    /// The facts, newest first; with `after` oldest first.
    pub facts: Vec<ShownFact>,
    /// True when there are more.
    pub more: bool,
}

/// `/api/v1/why/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WhyAnswer {
    /// When this was answered.
    pub asked_at: Timestamp,
    /// Which view the row is of: `incidents`, `runs`, `snapshots`, `deliveries`.
    pub view: String,
    /// Key of the row.
    pub id: String,
    /// The row.
    pub row: Value,
    /// The incident that it belongs to, when it is none itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incident: Option<Incident>,
    /// What was recorded about it, oldest first.
    pub facts: Vec<ShownFact>,
    /// True when there is more than is shown.
    #[serde(default)]
    pub more: bool,
}

impl WhyAnswer {
    /// The row as a run of an action, when it is one.
    #[must_use]
    pub fn run(&self) -> Option<ActionRun> {
        (self.view == "runs")
            .then(|| serde_json::from_value(self.row.clone()).ok())
            .flatten()
    }
}

/// `/api/v1/logs`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogsAnswer {
    /// When this was answered.
    pub asked_at: Timestamp,
    /// The records, newest first.
    pub records: Vec<LogRecord>,
    /// Where to go on with `before`; absent when there are no more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<String>,
    /// What could not be read, in words.
    #[serde(default)]
    pub missing: Vec<String>,
}

/// `/api/v1/traces/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TraceAnswer {
    /// Which trace.
    pub trace: TraceId,
    /// Its spans.
    pub spans: Vec<SpanRecord>,
    /// Its logs.
    pub logs: Vec<LogRecord>,
    /// True when there are more than an answer holds.
    #[serde(default)]
    pub more: bool,
    /// What could not be read, in words.
    #[serde(default)]
    pub missing: Vec<String>,
}

/// Figures of one release and source of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencySeries {
    /// `span`, `log` or `probe`.
    pub source: String,
    /// The release; `-` when none was known.
    pub release: String,
    /// Records of any kind.
    pub records: u64,
    /// Requests.
    pub requests: u64,
    /// Failed ones.
    pub bad: u64,
    /// Requests that arrived too late to count.
    pub late: u64,
    /// Median, in microseconds.
    pub p50_us: Option<u64>,
    /// See `p50_us`.
    pub p90_us: Option<u64>,
    /// See `p50_us`.
    pub p95_us: Option<u64>,
    /// See `p50_us`.
    pub p99_us: Option<u64>,
    /// 99.9 %.
    pub p999_us: Option<u64>,
    /// The longest.
    pub max_us: Option<u64>,
}

/// `/api/v1/latency/{service}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LatencyAnswer {
    /// The service.
    pub service: ServiceId,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Ticks that were merged.
    pub ticks: u64,
    /// The figures.
    pub series: Vec<LatencySeries>,
}

/// `/api/v1/backups`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupsAnswer {
    /// When this was answered.
    pub asked_at: Timestamp,
    /// Names of all that are configured.
    pub configured: Vec<Name>,
    /// Backups by name.
    pub backups: BTreeMap<String, Backup>,
    /// Copies by id.
    pub snapshots: BTreeMap<String, Snapshot>,
}

/// `POST /api/v1/backups/{backup}/{task}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RequestedAnswer {
    /// The job that does it; absent when it waits for nothing, or one like it is under way.
    pub job: Option<JobId>,
    /// The fact that holds the request: what comes of it is after this.
    pub after: Option<Seq>,
}

/// `/api/v1/actions`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActionsAnswer {
    /// When this was answered.
    pub asked_at: Timestamp,
    /// Actions as configured.
    pub configured: Vec<DescribedAction>,
    /// Who stopped all acting.
    pub stopped_by: Option<String>,
    /// What actions remember, by name.
    pub actions: BTreeMap<String, Action>,
    /// Runs that are not concluded, by id.
    pub runs: BTreeMap<String, ActionRun>,
}

/// `/api/v1/silences`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SilencesAnswer {
    /// When this was answered.
    pub asked_at: Timestamp,
    /// Silences that are set, by id.
    pub silences: BTreeMap<String, Silence>,
}

/// `POST /api/v1/silences`, and lifting one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SilenceAnswer {
    /// Its id.
    pub silence: SilenceId,
    /// What the person should know about it all the same: nothing of that name was ever seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub warning: Option<String>,
}

/// `/api/v1/chain`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChainAnswer {
    /// Commits that were verified.
    pub commits: u64,
    /// Facts that were verified.
    pub facts: u64,
    /// The last link, hexadecimal.
    pub link: String,
    /// The first contradiction, in words; absent when all is right.
    pub damage: Option<String>,
}
