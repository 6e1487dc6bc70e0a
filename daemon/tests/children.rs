//! Children by real processes of the real binary: begun once, found whatever was left, ended at their deadline.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use config::Located;
use daemon::RunDirectories;
use events::{
    ActEnd, Answer, Attempt, Due, Envelope, Fact, Identity, IncidentId, Input, Job, JobId, Observed, OnCrash, Outcome,
    Reporter, Seq, Stop, SubmitError, Timestamp, Work, Worker, name_of,
};
use outbound::child::{ChildEnd, ChildTask, Children, Followed, Found, NoLines};
use recovery::{Act, ActWorker, act::command::CommandAct};
use rustix::fs::{FlockOperation, flock};
use tokio::time::Instant;

const PROGRAM: &str = env!("CARGO_BIN_EXE_watchkeep");
const DEADLINE: Duration = Duration::from_secs(30);

struct Never;

#[async_trait]
impl Stop for Never {
    fn is_stopped(&self) -> bool {
        false
    }
    async fn stopped(&self) {
        std::future::pending::<()>().await;
    }
}

struct Place {
    folder: tempfile::TempDir,
    children: RunDirectories,
    job: JobId,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("runs")).unwrap();
        let identity = Identity {
            store: uuid::Uuid::nil(),
            epoch: 0,
        };
        Self {
            children: RunDirectories::new(folder.path().join("runs"), Path::new(PROGRAM)),
            folder,
            job: JobId::derive(&identity, &["job"]),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn directory(&self) -> PathBuf {
        self.path("runs").join(self.job.to_string())
    }

    fn mark(&self) -> PathBuf {
        self.directory().with_extension("begun")
    }

    /// A shell that notes each time it is begun, and then does something.
    fn act(&self, once: bool, then: &str) -> ChildTask {
        let log = self.path("acts");
        let script = format!("echo begun >> {}; {then}", log.display());
        ChildTask::Command {
            argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), script],
            environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            directory: None,
            once,
        }
    }

    fn times_begun(&self) -> usize {
        fs::read_to_string(self.path("acts"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    async fn run(&self, task: &ChildTask, deadline: Duration) -> ChildEnd {
        self.children
            .run(self.job, task, deadline, &NoLines, &Never)
            .await
            .unwrap()
    }

    fn hold_lock(&self) -> File {
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(self.directory().join("lock"))
            .unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        lock
    }

    /// What a helper writes first.
    fn started(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.directory().join("started")).unwrap()).unwrap()
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "waited too long until {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, after)| !after.starts_with('Z'))
}

fn exited(code: i32) -> ActEnd {
    ActEnd::Exit { code }
}

#[tokio::test]
async fn an_act_is_begun_once_whatever_becomes_of_its_run_directory() {
    let place = Place::new();
    let act = place.act(true, "exit 3");
    assert_eq!(place.run(&act, DEADLINE).await.ended, exited(3));
    // Found again, not begun again.
    assert_eq!(place.run(&act, DEADLINE).await.ended, exited(3));
    for lost in [
        &["rc"][..],
        &["rc", "started"],
        &["rc", "started", "task", "log", "lock"],
    ] {
        for file in lost {
            let _ = fs::remove_file(place.directory().join(file));
        }
        assert_eq!(place.children.find(place.job).await, Found::Lost, "{lost:?}");
        assert_eq!(place.run(&act, DEADLINE).await.ended, ActEnd::Unknown, "{lost:?}");
    }
    fs::remove_dir_all(place.directory()).unwrap();
    assert_eq!(place.children.find(place.job).await, Found::Lost);
    assert_eq!(place.run(&act, DEADLINE).await.ended, ActEnd::Unknown);
    place.children.forget(place.job).await;
    assert_eq!(place.run(&act, DEADLINE).await.ended, ActEnd::Unknown);
    assert_eq!(place.times_begun(), 1);

    // The control: what is no act is begun again once its directory is gone.
    let control = Place::new();
    let question = control.act(false, "exit 3");
    assert_eq!(control.run(&question, DEADLINE).await.ended, exited(3));
    assert_eq!(control.run(&question, DEADLINE).await.ended, exited(3));
    assert_eq!(control.times_begun(), 1);
    control.children.forget(control.job).await;
    assert_eq!(control.run(&question, DEADLINE).await.ended, exited(3));
    assert_eq!(control.times_begun(), 2);
}

/// The same while it runs: the helper lives, and nothing of its directory is left to tell of it.
#[tokio::test]
async fn an_act_whose_directory_vanishes_under_it_is_not_begun_again() {
    for (once, times) in [(true, 1), (false, 2)] {
        let place = Place::new();
        let act = place.act(once, "sleep 1");
        let first = place.run(&act, DEADLINE);
        let vanished = async {
            until("the command runs", async || place.times_begun() == 1).await;
            fs::remove_dir_all(place.directory()).unwrap();
        };
        let (_, ()) = tokio::join!(first, vanished);
        let ended = place.run(&act, DEADLINE).await.ended;
        // The control, which is no act, has nothing that outlives its directory.
        assert_eq!(place.times_begun(), times, "once: {once}, {ended:?}");
    }
}

/// What could not be started never began, and may begin later.
#[tokio::test]
async fn a_helper_that_cannot_be_started_is_no_beginning() {
    let mut place = Place::new();
    let act = place.act(true, "true");
    place.children = RunDirectories::new(place.path("runs"), Path::new("/nowhere/watchkeep"));
    let ended = place.run(&act, DEADLINE).await.ended;
    assert!(matches!(ended, ActEnd::NotStarted { .. }), "{ended:?}");
    assert_eq!(place.children.find(place.job).await, Found::NeverBegun);
    place.children = RunDirectories::new(place.path("runs"), Path::new(PROGRAM));
    assert_eq!(place.run(&act, DEADLINE).await.ended, exited(0));
    assert_eq!(place.times_begun(), 1);
}

/// The helper refuses by itself, also when a daemon should ever begin it a second time.
#[test]
fn a_helper_that_finds_the_mark_does_not_act() {
    for (is_marked, times) in [(true, 0), (false, 1)] {
        let place = Place::new();
        fs::create_dir(place.directory()).unwrap();
        let order = serde_json::json!({ "task": place.act(true, "true"), "deadline_ms": 10_000 });
        fs::write(place.directory().join("task"), order.to_string()).unwrap();
        if is_marked {
            fs::write(place.mark(), "").unwrap();
        }
        let lock = place.hold_lock();
        let helper = Command::new(PROGRAM)
            .arg("child")
            .arg(place.directory())
            .stdin(Stdio::from(lock))
            .status()
            .unwrap();
        assert!(helper.success());
        assert_eq!(place.times_begun(), times, "marked: {is_marked}");
        assert!(place.mark().exists());
    }
}

/// Every state that a kill can leave, from before the directory is made to after the child ended, and whether it may begin.
#[tokio::test]
async fn what_a_crash_leaves_says_whether_the_child_ever_began() {
    let end = serde_json::to_string(&ChildEnd {
        pid: 1,
        ended: exited(0),
        took_ms: 1,
        output: String::new(),
    })
    .unwrap();
    // Files in the order in which they come to be, and how often it has begun after the next daemon.
    let states: [(&[&str], usize); 9] = [
        (&[], 1),
        (&["lock"], 1),
        (&["lock", "task.tmp"], 1),
        (&["lock", "task"], 1),
        (&["lock", "task", "log"], 1),
        (&["lock", "task", "log", "started.tmp"], 1),
        (&["lock", "task", "log", "started"], 0),
        (&["lock", "task", "log", "started", "overdue"], 0),
        (&["lock", "task", "log", "started", "rc"], 0),
    ];
    for (files, begun) in states {
        let place = Place::new();
        fs::create_dir(place.directory()).unwrap();
        for file in files {
            let content = if *file == "rc" { end.as_str() } else { "{}" };
            fs::write(place.directory().join(file), content).unwrap();
        }
        let found = place.children.find(place.job).await;
        assert_eq!(found == Found::NeverBegun, begun == 1, "{files:?}: {found:?}");
        let ended = place.run(&place.act(true, "true"), DEADLINE).await.ended;
        assert_eq!(place.times_begun(), begun, "{files:?}: {ended:?}");
        let follow = place.children.follow(place.job, &NoLines, &Never).await;
        assert!(matches!(follow, Followed::Ended(_)), "{files:?}: {follow:?}");
    }
}

#[tokio::test]
async fn a_child_that_lives_is_neither_begun_again_nor_removed() {
    let place = Place::new();
    // As between the making of the process and its first word: nothing but the lock tells of it.
    fs::create_dir(place.directory()).unwrap();
    let lock = place.hold_lock();
    assert_eq!(place.children.find(place.job).await, Found::Running);
    place.children.forget(place.job).await;
    place.children.sweep(&BTreeSet::new()).await;
    assert!(place.directory().join("lock").exists());

    let (act, ended) = (place.act(true, "true"), async {
        // Long enough to begin it, were that possible.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(place.times_begun(), 0);
        // It ends, and says how, before it lets go.
        let end = ChildEnd {
            pid: 1,
            ended: exited(7),
            took_ms: 1,
            output: String::new(),
        };
        fs::write(place.directory().join("rc"), serde_json::to_vec(&end).unwrap()).unwrap();
        drop(lock);
    });
    let (found, ()) = tokio::join!(place.run(&act, DEADLINE), ended);
    assert_eq!((found.ended, place.times_begun()), (exited(7), 0));

    // The control: nobody holds it now, so it goes.
    place.children.sweep(&BTreeSet::new()).await;
    assert!(!place.directory().exists());
}

#[tokio::test]
async fn a_sweep_leaves_what_is_waited_for_and_removes_the_rest() {
    let place = Place::new();
    place.run(&place.act(true, "true"), DEADLINE).await;
    fs::create_dir_all(place.path("runs/half.gone/deep")).unwrap();
    let waiting = BTreeSet::from([place.job.to_string()]);
    place.children.sweep(&waiting).await;
    assert!(place.directory().exists() && place.mark().exists());
    assert!(!place.path("runs/half.gone").exists());
    place.children.sweep(&BTreeSet::new()).await;
    assert!(!place.directory().exists() && !place.mark().exists());
}

/// Who only looks disturbs nobody: neither one who begins nor another one who looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lookers_disturb_no_beginning() {
    let place = Arc::new(Place::new());
    let mut lookers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let place = Arc::clone(&place);
        lookers.spawn(async move {
            loop {
                place.children.find(place.job).await;
                tokio::task::yield_now().await;
            }
        });
    }
    let task = ChildTask::Command {
        argv: vec!["/bin/true".to_owned()],
        environment: Vec::new(),
        directory: None,
        once: false,
    };
    for round in 0..30 {
        let end = place.run(&task, DEADLINE).await;
        assert_eq!(end.ended, exited(0), "round {round}: {}", end.output);
        place.children.forget(place.job).await;
        assert!(!place.directory().exists(), "round {round}");
    }
}

/// Several who begin the same job at once, with a child that ends at any moment in between: it is begun once, and all hear how
/// it ended. It is no act, so that no mark hides a second beginning.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_begin_at_once_begin_it_once() {
    for round in 0..20 {
        let place = Arc::new(Place::new());
        let mut beginners = tokio::task::JoinSet::new();
        for late_ms in [0, 0, 1, 3, 9, 20] {
            let place = Arc::clone(&place);
            beginners.spawn(async move {
                tokio::time::sleep(Duration::from_millis(late_ms)).await;
                place.run(&place.act(false, "exit 4"), DEADLINE).await.ended
            });
        }
        let ended = beginners.join_all().await;
        assert!(
            ended.iter().all(|ended| *ended == exited(4)),
            "round {round}: {ended:?}"
        );
        assert_eq!(place.times_begun(), 1, "round {round}");
    }
}

/// A helper that somebody stopped cannot keep its own deadline: the daemon does, and what it runs ends too.
#[tokio::test]
async fn a_stopped_child_is_ended_after_its_deadline() {
    let place = Place::new();
    let pid_file = place.path("pid");
    let act = place.act(true, &format!("echo $$ > {}; exec sleep 600", pid_file.display()));
    let stopped = async {
        until("the command runs", async || pid_file.exists()).await;
        let helper = place.started()["pid"].to_string();
        let signalled = Command::new("kill").args(["-STOP", &helper]).status();
        assert!(signalled.unwrap().success());
        helper
    };
    let begun = Instant::now();
    let (end, helper) = tokio::join!(place.run(&act, Duration::from_secs(1)), stopped);
    assert_eq!(end.ended, ActEnd::Deadline);
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    let command = fs::read_to_string(&pid_file).unwrap();
    assert!(!is_alive(&helper) && !is_alive(command.trim()), "{helper} {command}");
    // Found so by every later daemon.
    assert!(matches!(place.children.find(place.job).await, Found::Ended(end) if end.ended == ActEnd::Deadline));
    assert_eq!(place.times_begun(), 1);
}

/// The age of a child goes on while no daemon is there; and a process that got its number is left alone.
#[tokio::test]
async fn an_adopted_child_is_ended_by_its_age_and_no_other_process_is() {
    let place = Place::new();
    let mut other = Command::new("/bin/sleep").arg("600").spawn().unwrap();
    fs::create_dir(place.directory()).unwrap();
    let order = serde_json::json!({ "task": place.act(true, "true"), "deadline_ms": 1000 });
    fs::write(place.directory().join("task"), order.to_string()).unwrap();
    // Began long ago, and its number belongs to another process by now.
    let started = serde_json::json!({ "pid": other.id(), "ticks": 1, "boot_ns": 0 });
    fs::write(place.directory().join("started"), started.to_string()).unwrap();
    let lock = place.hold_lock();
    let gone = async {
        until("it is past its deadline", async || {
            place.directory().join("overdue").exists()
        })
        .await;
        // Longer than what it runs would get after SIGTERM.
        let asked = Instant::now();
        until("it was killed, too", async || asked.elapsed() > Duration::from_secs(7)).await;
        drop(lock);
    };
    let (followed, ()) = tokio::join!(place.children.follow(place.job, &NoLines, &Never), gone);
    assert!(
        matches!(&followed, Followed::Ended(end) if end.ended == ActEnd::Deadline),
        "{followed:?}"
    );
    assert!(is_alive(&other.id().to_string()));
    other.kill().unwrap();
    other.wait().unwrap();
}

fn stat(pid: &str) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    after.split(' ').map(str::to_owned).collect()
}

/// A restart script ends, and what it started goes on printing: the script's end counts, and the service lives on.
#[tokio::test]
async fn what_a_command_leaves_running_neither_hides_its_end_nor_breaks_on_its_output() {
    let place = Place::new();
    let (beats, service) = (place.path("beats"), place.path("service"));
    let count = || fs::read_to_string(&beats).unwrap_or_default().lines().count();
    let script = format!(
        "echo restarted; (while echo chatter; do echo beat >> {}; sleep 0.05; done) & echo $! > {}; exit 0",
        beats.display(),
        service.display()
    );
    let act = place.act(true, &script);
    let begun = Instant::now();
    let helper = async {
        until("the helper began", async || place.directory().join("started").exists()).await;
        place.started()["pid"].to_string()
    };
    let (end, helper) = tokio::join!(place.run(&act, Duration::from_secs(20)), helper);
    assert_eq!(end.ended, exited(0), "{end:?}");
    assert!(end.output.starts_with("restarted\n"), "{end:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    place.children.forget(place.job).await;
    assert!(!place.directory().exists(), "nobody holds it up");
    let before = count();
    until("the service went on", async || count() > before + 20).await;

    // The control: it does print to us, and with nobody who reads it breaks.
    let service = fs::read_to_string(&service).unwrap();
    assert!(is_alive(service.trim()) && is_alive(&helper));
    assert!(
        Command::new("kill")
            .args(["-KILL", &helper])
            .status()
            .unwrap()
            .success()
    );
    until("the service broke", async || !is_alive(service.trim())).await;
}

/// The helper stays for what still prints, and no longer.
#[tokio::test]
async fn a_helper_ends_with_the_last_one_who_prints() {
    let place = Place::new();
    let service = place.path("service");
    let act = place.act(true, &format!("sleep 600 & echo $! > {}; exit 5", service.display()));
    assert_eq!(place.run(&act, DEADLINE).await.ended, exited(5));
    let helper = place.started()["pid"].to_string();
    assert!(is_alive(&helper));
    let service = fs::read_to_string(&service).unwrap();
    assert!(Command::new("kill").arg(service.trim()).status().unwrap().success());
    until("the helper ended", async || !is_alive(&helper)).await;
}

/// A command that closed its output is waited for, not asked all the time.
#[tokio::test]
async fn a_helper_whose_command_closed_its_output_is_at_rest() {
    let place = Place::new();
    let act = place.act(true, "exec >&- 2>&-; exec sleep 3");
    let watch = async {
        until("the command runs", async || place.times_begun() == 1).await;
        let helper = place.started()["pid"].to_string();
        // User and system time, in ticks of 10 ms.
        let used = || -> u64 {
            let stat = stat(&helper);
            stat.iter()
                .skip(11)
                .take(2)
                .map(|ticks| ticks.parse::<u64>().unwrap())
                .sum()
        };
        let (begun, before) = (Instant::now(), used());
        until("two seconds went by", async || begun.elapsed() > Duration::from_secs(2)).await;
        used() - before
    };
    let (end, used) = tokio::join!(place.run(&act, DEADLINE), watch);
    assert_eq!(end.ended, exited(0));
    assert!(used < 10, "{used} ticks of CPU time in 200");
}

/// A journal as far as a worker sees it: what has a key is recorded once.
#[derive(Default)]
struct Facts {
    recorded: Mutex<BTreeMap<String, Envelope>>,
    answers: Mutex<Vec<Answer>>,
}

#[async_trait]
impl Reporter for Facts {
    async fn submit(&self, input: Input) -> Result<Answer, SubmitError> {
        let Input::Fact(envelope) = input else {
            return Err(SubmitError::Full);
        };
        let seq = Seq::default();
        let mut recorded = self.recorded.lock().unwrap();
        let answer = match recorded.get(&format!("{:?}", envelope.key)) {
            Some(known) if *known == *envelope => Answer::Duplicate { seq },
            Some(_) => Answer::Conflict { seq },
            None => {
                recorded.insert(format!("{:?}", envelope.key), *envelope);
                Answer::Accepted { facts: Vec::new() }
            }
        };
        self.answers.lock().unwrap().push(answer.clone());
        Ok(answer)
    }

    fn progress(&self, _: &str) {}
}

impl Facts {
    fn ends(&self) -> Vec<ActEnd> {
        let recorded = self.recorded.lock().unwrap();
        let end = |envelope: &Envelope| match &envelope.fact {
            Fact::ActFinished(finished) => Some(finished.end.clone()),
            _ => None,
        };
        recorded.values().filter_map(end).collect()
    }
}

/// A daemon that is killed after it recorded how the act ended, and removed its directory, and before the job's end is
/// recorded: the next one looks again.
async fn looked_again(place: &Place, facts: &Facts) -> Outcome {
    let command = CommandAct {
        argv: Located::new(vec!["/bin/true".to_owned()], 0..0),
        environment: BTreeMap::new(),
        directory: None,
        timeout: None,
        observe: None,
    };
    let worker = ActWorker::new(
        BTreeMap::from([(name_of("fix"), Act::Command(command))]),
        Arc::new(RunDirectories::new(place.path("runs"), Path::new(PROGRAM))),
        Arc::new(|| false),
    );
    let attempt = Attempt {
        job: Job {
            id: place.job,
            queue: name_of("act/fix"),
            due: Due::At(Timestamp(0)),
            expires: None,
            on_crash: OnCrash::Observe,
            work: Work::Act {
                action: name_of("fix"),
                incident: IncidentId::derive(&Identity::default(), &["incident"]),
            },
        },
        number: 1,
        composed: None,
    };
    match worker.observe(&attempt, facts, &Never).await {
        Observed::Ended(outcome) => outcome,
        other => Outcome::Failed {
            why: format!("{other:?}"),
        },
    }
}

#[tokio::test]
async fn an_end_that_was_recorded_stands_after_a_crash_before_the_jobs_end() {
    let (place, facts) = (Place::new(), Facts::default());
    assert_eq!(place.run(&place.act(true, "exit 0"), DEADLINE).await.ended, exited(0));
    let done = |outcome: &Outcome| matches!(outcome, Outcome::Done { .. });
    let first = looked_again(&place, &facts).await;
    assert!(done(&first) && !place.directory().exists(), "{first:?}");
    // The directory is gone, its end is known.
    assert!(matches!(place.children.find(place.job).await, Found::Ended(end) if end.ended == exited(0)));
    let second = looked_again(&place, &facts).await;
    assert!(done(&second), "{second:?}");
    // Even where the mark tells no more than that it was begun.
    fs::write(place.mark(), "").unwrap();
    assert_eq!(place.children.find(place.job).await, Found::Lost);
    let third = looked_again(&place, &facts).await;
    assert!(done(&third), "{third:?}");
    let answers = facts.answers.lock().unwrap().clone();
    assert!(
        matches!(
            answers.as_slice(),
            [
                Answer::Accepted { .. },
                Answer::Duplicate { .. },
                Answer::Conflict { .. }
            ]
        ),
        "{answers:?}"
    );
    assert_eq!(facts.ends(), [exited(0)]);

    // The control: of what nobody recorded nobody can say anything.
    let nothing = Facts::default();
    let outcome = looked_again(&place, &nothing).await;
    assert!(matches!(outcome, Outcome::Held { .. }), "{outcome:?}");
    assert_eq!(nothing.ends(), [ActEnd::Unknown]);
    // Asked again, it is held again: that is what stands.
    let outcome = looked_again(&place, &nothing).await;
    assert!(matches!(outcome, Outcome::Held { .. }), "{outcome:?}");
}
