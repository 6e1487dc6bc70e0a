//! A whole task, as a child does it.

use backup::{
    Clock,
    task::{KnownCopy, Step, TaskRequest, TaskSettings, perform},
};
use events::{BackupStage, BackupTask, Timestamp, name_of};
use jiff::SignedDuration;

use crate::support::{PASSWORD, Place, run};

impl Place {
    /// A request for a run of the backup `nightly` over the folder `source`.
    fn task(&self, run: &str, copies: Vec<KnownCopy>) -> TaskRequest {
        let password = self.write("password", PASSWORD);
        std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let settings = format!(
            "[backup]\nat = \"0 3 * * *\"\nsource.folder = {{ paths = [\"{}\"] }}\nto = \"local\"\n[repository]\n\
             folder = {{ path = \"{}\" }}\npassword = {{ file = \"{}\" }}\n",
            self.path("source").display(),
            self.path("repository").display(),
            password.display()
        );
        let read: TaskSettings = config::load(&config::Source::new("test", settings)).unwrap();
        TaskRequest {
            backup: "nightly".to_owned(),
            repository: name_of("local"),
            task: BackupTask::Run,
            run: run.to_owned(),
            settings: config::text_of(&read).unwrap(),
            journal: self.path("journal.db"),
            scratch: self.path("scratch"),
            host: "testhost".to_owned(),
            copies,
            prove: false,
            clock_jumped: false,
            interval: SignedDuration::from_hours(24),
        }
    }
}

/// What it reports, but not how long it took.
fn steps(request: &TaskRequest) -> Vec<Step> {
    let mut steps = Vec::new();
    let clock: Clock = run().clock;
    assert!(
        perform(request, clock, &mut |step| steps.push(step.clone())),
        "{steps:?}"
    );
    steps
}

/// The copies that it says it made, with the bytes they added.
fn captured(steps: &[Step]) -> Vec<(String, u64)> {
    let captured = |step: &Step| match step {
        Step::Captured(captured) => Some((captured.snapshot.clone(), captured.added_bytes)),
        _ => None,
    };
    steps.iter().filter_map(captured).collect()
}

fn verified(steps: &[Step]) -> Vec<String> {
    let verified = |step: &Step| match step {
        Step::Verified(verified) => Some(verified.snapshot.clone()),
        _ => None,
    };
    steps.iter().filter_map(verified).collect()
}

/// An attempt that was killed after its copy was stored: the next one of the same job takes that over.
#[test]
fn a_copy_that_an_earlier_attempt_left_is_taken_over() {
    let place = Place::new();
    place.fill();
    let first = steps(&place.task("job-1/1", Vec::new()));
    let [(copy, added)] = captured(&first).try_into().unwrap();
    assert!(added > 0);

    // Its report was lost with it: the copy is told now, and checked; none is made.
    let second = steps(&place.task("job-1/2", Vec::new()));
    assert_eq!(captured(&second), [(copy.clone(), 0)]);
    assert_eq!(verified(&second), std::slice::from_ref(&copy));
    assert_eq!(place.open().snapshots().unwrap().len(), 1);

    // Its report came through: it is not told twice, but checked all the same.
    let known = KnownCopy {
        snapshot: copy.clone(),
        sequence: 1,
        at: Timestamp::from_jiff(run().clock.now()),
        proved: false,
        digest: place.open().snapshots().unwrap()[0]
            .note
            .clone()
            .unwrap()
            .digest
            .to_string(),
    };
    let third = steps(&place.task("job-1/3", vec![known.clone()]));
    assert_eq!((captured(&third), verified(&third)), (Vec::new(), vec![copy.clone()]));

    // The control: another job makes a copy of its own, also one whose id begins alike.
    for (number, job) in ["job-2/1", "job-11/1"].into_iter().enumerate() {
        let other = steps(&place.task(job, vec![known.clone()]));
        assert_ne!(captured(&other)[0].0, copy);
        assert_eq!(place.open().snapshots().unwrap().len(), number + 2);
    }
}

#[test]
fn each_step_is_named_when_it_begins() {
    let place = Place::new();
    place.fill();
    let mut request = place.task("job/1", Vec::new());
    request.prove = true;
    let began = |step: &Step| match step {
        Step::Began { stage } => Some(*stage),
        _ => None,
    };
    let stages: Vec<BackupStage> = steps(&request).iter().filter_map(began).collect();
    let all = [
        BackupStage::Open,
        BackupStage::Capture,
        BackupStage::Verify,
        BackupStage::Prove,
        BackupStage::Prune,
    ];
    assert_eq!(stages, all);
}
