//! What a child does for one backup job, from opening the repository to pruning, each step reported as it is done.

use std::path::PathBuf;

use events::{BackupStage, BackupTask, Name, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{
    Access, BackupSettings, Captured, Clock, Digest, Failure, Proof, PruneRule, Reason, Repository, RepositorySettings,
    Request, Rules, Run,
    retention::{self, Copy, Situation, Verdict},
};

/// Most entries of a list in a report.
const LISTED_MAX: usize = 100;

/// What a child is asked; holds no secrets, only their places.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskRequest {
    /// Name of the backup.
    pub backup: String,
    /// Name of the repository that it goes to.
    pub repository: Name,
    /// What to do.
    pub task: BackupTask,
    /// The job and the attempt: stands in the snapshot, so that a repeated run finds what an earlier one left.
    pub run: String,
    /// The settings, as TOML: secrets are places there too.
    pub settings: String,
    /// The daemon's own journal.
    pub journal: PathBuf,
    /// A folder of our own for staging and scratch.
    pub scratch: PathBuf,
    /// This host.
    pub host: String,
    /// Copies that the journal knows of this backup in this repository.
    pub copies: Vec<KnownCopy>,
    /// True when the copy is to be proved.
    pub prove: bool,
    /// True when the wall clock jumped within the last day.
    pub clock_jumped: bool,
    /// Time between two runs.
    pub interval: SignedDuration,
}

/// The settings that a task needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskSettings {
    /// The backup's.
    pub backup: BackupSettings,
    /// Its repository's.
    pub repository: RepositorySettings,
}

/// A copy as the journal knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownCopy {
    /// Its id.
    pub snapshot: String,
    /// Order of capture.
    pub sequence: u64,
    /// When it was captured.
    pub at: Timestamp,
    /// Whether it was proved.
    pub proved: bool,
    /// Digest of what was captured, as recorded in the journal.
    pub digest: String,
}

/// A step, as one line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// A step begins: what is known when nothing more comes.
    Began {
        /// Which.
        stage: BackupStage,
    },
    /// A copy is stored.
    Captured(CapturedStep),
    /// Every byte was read back.
    Verified(VerifiedStep),
    /// It was restored and compared.
    Proved(ProvedStep),
    /// Retention removed copies.
    Pruned {
        /// Which.
        snapshots: Vec<String>,
        /// Why not all that no slot wants.
        held_back: Option<String>,
    },
    /// A step failed.
    Failed(FailedStep),
}

/// A copy is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedStep {
    /// Its id.
    pub snapshot: String,
    /// Name of the repository it lies in: the settings may name another one by the time this is read. Reports of older
    /// versions do not say it.
    #[serde(default)]
    pub repository: Option<Name>,
    /// Bytes read.
    pub bytes: u64,
    /// Bytes added to the repository.
    pub added_bytes: u64,
    /// Files in it.
    pub files: u64,
    /// Digest over them.
    pub digest: String,
    /// Files that changed while they were read.
    pub torn: Vec<String>,
    /// What could not be read and was allowed to be missing.
    #[serde(default)]
    pub unreadable: Vec<String>,
    /// Databases that were copied as plain files.
    #[serde(default)]
    pub bare_databases: Vec<String>,
    /// Packs that the store had lost.
    #[serde(default)]
    pub lost_packs: Vec<String>,
    /// Milliseconds it took.
    pub took_ms: u64,
}

/// Every byte was read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedStep {
    /// The copy.
    pub snapshot: String,
    /// Bytes read back.
    pub bytes: u64,
    /// Milliseconds it took.
    pub took_ms: u64,
}

/// It was restored and compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvedStep {
    /// The copy.
    pub snapshot: String,
    /// Bytes compared.
    pub bytes: u64,
    /// Files compared.
    pub files: u64,
    /// What was checked beside the digests.
    pub checks: Vec<String>,
    /// Milliseconds it took.
    pub took_ms: u64,
}

/// A step failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedStep {
    /// Which.
    pub stage: BackupStage,
    /// The reason's word.
    pub reason: String,
    /// The reason in words.
    pub detail: String,
    /// The copy.
    pub snapshot: Option<String>,
    /// Whether a later attempt makes sense; absent when the job is done all the same.
    pub again: Option<bool>,
}

type Report<'a> = &'a mut dyn FnMut(&Step);

/// How long something takes, in milliseconds.
fn timed<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let begun = tokio::time::Instant::now();
    let done = work();
    (done, u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Does a task and reports each step; true when it came to its end.
pub fn perform(request: &TaskRequest, clock: Clock, report: Report<'_>) -> bool {
    match steps(request, clock, report) {
        Ok(()) => true,
        Err((stage, snapshot, failure)) => {
            report(&failed(stage, snapshot, &failure, Some(failure.reason().is_passing())));
            false
        }
    }
}

fn failed(stage: BackupStage, snapshot: Option<String>, failure: &Failure, again: Option<bool>) -> Step {
    Step::Failed(FailedStep {
        stage,
        reason: failure.reason().as_str().to_owned(),
        detail: failure.chain(),
        snapshot,
        again,
    })
}

type Stopped = (BackupStage, Option<String>, Failure);

fn steps(request: &TaskRequest, clock: Clock, report: Report<'_>) -> Result<(), Stopped> {
    let began = |stage| Step::Began { stage };
    let run = Run::new(request.host.clone(), clock);
    report(&began(BackupStage::Open));
    let at_open = |failure| (BackupStage::Open, None, failure);
    let settings = settings_of(request).map_err(at_open)?;
    let made = match request.task {
        BackupTask::Run => None,
        _ => Some(newest(request).map_err(at_open)?),
    };
    let repository = open(request, &settings, run).map_err(at_open)?;
    let (snapshot, digest) = if let Some(made) = made {
        made
    } else {
        report(&began(BackupStage::Capture));
        capture(request, &settings.backup, &repository, report)
            .map_err(|failure| (BackupStage::Capture, None, failure))?
    };
    let id = snapshot.to_string();
    let at = |stage: BackupStage| {
        let id = id.clone();
        move |failure| (stage, Some(id), failure)
    };
    report(&began(BackupStage::Verify));
    let (verified, took_ms) = timed(|| repository.verify(&snapshot));
    let bytes = verified.map_err(at(BackupStage::Verify))?.packs.bytes;
    report(&Step::Verified(VerifiedStep {
        snapshot: id.clone(),
        bytes,
        took_ms,
    }));
    if request.prove {
        report(&began(BackupStage::Prove));
        let (proof, took_ms) =
            timed(|| crate::prove(&repository, &snapshot, Some(&digest), &request.scratch.join("proof")));
        let proof = proof.map_err(at(BackupStage::Prove))?;
        report(&Step::Proved(ProvedStep {
            snapshot: id.clone(),
            bytes: proof.bytes,
            files: proof.files,
            checks: checks(&proof),
            took_ms,
        }));
    }
    if request.task == BackupTask::Run {
        report(&began(BackupStage::Prune));
        // The copy is made and checked: what retention could not remove now goes with the next run.
        if let Err(failure) = prune(request, &settings.backup, (&repository, &snapshot), report) {
            report(&failed(BackupStage::Prune, None, &failure, None));
        }
    }
    Ok(())
}

fn settings_of(request: &TaskRequest) -> Result<TaskSettings, Failure> {
    let source = config::Source::new("the job's settings", request.settings.clone());
    config::load(&source).map_err(|mistakes| Failure::caused(Reason::Invalid, "reading the job's settings", mistakes))
}

/// Opens the repository; the first backup makes it.
fn open(request: &TaskRequest, settings: &TaskSettings, run: Run) -> Result<Repository, Failure> {
    let location = settings.repository.location()?;
    let password = settings.repository.password()?;
    match Repository::open(&location, password.expose(), Access::Write, run.clone()) {
        // Where copies are known to be, an empty place is a loss and not a beginning.
        Err(failure) if failure.reason() == Reason::NotFound && !request.copies.is_empty() => {
            let said = format!(
                "opening repository {}, where {} of this backup should be (a new place needs a [repository.…] of a new name)",
                request.repository,
                match request.copies.len() {
                    1 => "1 copy".to_owned(),
                    copies => format!("{copies} copies"),
                }
            );
            Err(Failure::caused(Reason::NotFound, said, failure))
        }
        Err(failure) if failure.reason() == Reason::NotFound && request.task == BackupTask::Run => {
            Repository::init(&location, password.expose(), None, run)
        }
        opened => opened,
    }
}

fn capture(
    request: &TaskRequest,
    settings: &BackupSettings,
    repository: &Repository,
    report: Report<'_>,
) -> Result<(Digest, Digest), Failure> {
    if let Some(left) = left_by_an_earlier_attempt(request, repository, report)? {
        return Ok(left);
    }
    let wanted = Request {
        job: request.backup.clone(),
        run: request.run.clone(),
        sources: settings.sources(&request.journal),
        staging: request.scratch.join("staging"),
        rules: Rules {
            allow_unreadable: settings.allow_unreadable(),
            at_least_bytes: settings.at_least.map_or(0, config::Bytes::get),
        },
    };
    let (captured, took_ms) = timed(|| repository.backup(&wanted));
    let captured: Captured = captured?;
    report(&Step::Captured(CapturedStep {
        snapshot: captured.snapshot.to_string(),
        repository: Some(request.repository.clone()),
        bytes: captured.note.bytes,
        added_bytes: captured.moved.stored_bytes,
        files: captured.note.files,
        digest: captured.note.digest.to_string(),
        torn: listed(captured.torn.iter().map(|path| path.display())),
        unreadable: listed(
            captured
                .unreadable
                .iter()
                .map(|(path, why)| format!("{}: {why}", path.display())),
        ),
        bare_databases: listed(captured.bare_databases.iter().map(|path| path.display())),
        lost_packs: listed(captured.lost_packs.iter()),
        took_ms,
    }));
    Ok((captured.snapshot, captured.note.digest))
}

/// The first of a list, and how many more there are.
fn listed(all: impl ExactSizeIterator<Item = impl std::fmt::Display>) -> Vec<String> {
    let more = all.len().saturating_sub(LISTED_MAX);
    let listed = all.take(LISTED_MAX).map(|one| one.to_string());
    let rest = (more > 0).then(|| format!("and {more} more"));
    listed.chain(rest).collect()
}

/// A copy of this job whose attempt was killed after it was stored: taken over instead of made twice.
fn left_by_an_earlier_attempt(
    request: &TaskRequest,
    repository: &Repository,
    report: Report<'_>,
) -> Result<Option<(Digest, Digest)>, Failure> {
    let Some((job, _)) = request.run.rsplit_once('/') else {
        return Ok(None);
    };
    let left = repository.find_run(&format!("{job}/"))?;
    let Some((snapshot, note)) = left.and_then(|snapshot| Some((snapshot.id, snapshot.note?))) else {
        return Ok(None);
    };
    if !request
        .copies
        .iter()
        .any(|known| known.snapshot == snapshot.to_string())
    {
        report(&Step::Captured(CapturedStep {
            snapshot: snapshot.to_string(),
            repository: Some(request.repository.clone()),
            bytes: note.bytes,
            files: note.files,
            digest: note.digest.to_string(),
            ..CapturedStep::default()
        }));
    }
    Ok(Some((snapshot, note.digest)))
}

/// The newest copy that the journal knows in this repository.
fn newest(request: &TaskRequest) -> Result<(Digest, Digest), Failure> {
    let newest = request.copies.iter().max_by_key(|copy| copy.sequence);
    let newest = newest.ok_or_else(|| {
        let said = format!("there is no copy in repository {} yet", request.repository);
        Failure::new(Reason::NotFound, said)
    })?;
    Ok((digest(&newest.snapshot)?, digest(&newest.digest)?))
}

fn digest(text: &str) -> Result<Digest, Failure> {
    text.parse()
        .map_err(|error| Failure::caused(Reason::Invalid, format!("reading the id {text:?}"), error))
}

fn checks(proof: &Proof) -> Vec<String> {
    let files = if proof.files == 1 { "file" } else { "files" };
    let mut checks = vec![format!(
        "{} {files} compared byte for byte by their SHA-256",
        proof.files
    )];
    if proof.databases > 0 {
        let databases = if proof.databases == 1 { "database" } else { "databases" };
        checks.push(format!(
            "{} {databases}: integrity_check, foreign keys, row counts and schema as captured",
            proof.databases
        ));
    }
    checks
}

/// Removes what no slot wants; the copy just made counts as proved when it was.
fn prune(
    request: &TaskRequest,
    settings: &BackupSettings,
    (repository, made): (&Repository, &Digest),
    report: Report<'_>,
) -> Result<(), Failure> {
    let now = repository.run().clock.now();
    let mut copies = Vec::new();
    for known in request.copies.iter().filter(|known| known.snapshot != made.to_string()) {
        let at = known.at.to_jiff();
        copies.push(Copy {
            id: digest(&known.snapshot)?,
            sequence: known.sequence,
            at,
            proved: known.proved,
        });
    }
    let sequence = request
        .copies
        .iter()
        .map(|known| known.sequence)
        .max()
        .unwrap_or(0)
        .saturating_add(1);
    copies.push(Copy {
        id: *made,
        sequence,
        at: now,
        proved: request.prove,
    });
    let zone = retention::zone(settings.zone())?;
    let situation = Situation {
        now,
        clock_jumped: request.clock_jumped,
        interval: request.interval,
        zone,
    };
    let verdicts = retention::keep(&copies, &settings.keep.rule(), &situation);
    let dropped: Vec<Digest> = verdicts
        .iter()
        .filter(|(_, verdict)| verdict.drops())
        .map(|(id, _)| *id)
        .collect();
    let held_back = verdicts.iter().find_map(|(_, verdict)| match verdict {
        Verdict::Keep(retention::Reason::ClockJumped) => Some("the clock jumped within the last day"),
        Verdict::Keep(retention::Reason::FromTheFuture) => Some("a copy lies in the future: some clock is wrong"),
        Verdict::Keep(retention::Reason::ProofOverdue | retention::Reason::NothingProved) => {
            Some("the last proof is too old")
        }
        Verdict::Keep(retention::Reason::EnoughForNow) => Some("more would go than one run may remove"),
        _ => None,
    });
    repository.forget(&dropped)?;
    repository.prune(PruneRule::default())?;
    let snapshots = dropped.iter().map(ToString::to_string).collect();
    report(&Step::Pruned {
        snapshots,
        held_back: held_back.map(ToOwned::to_owned),
    });
    Ok(())
}
