//! kill -9 at random moments, under load, with receivers that fail half of the time, while children live.
//!
//! `WATCHKEEP_KILLS` says how often, `WATCHKEEP_SEED` repeats the choices of a run.

mod children;
mod judge;
mod load;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use harness::certificate;
use harness::daemon::Setup;
use harness::proxy::{Fault, Proxy};
use harness::random::Random;
use harness::smtp::{Smtp, Tls};
use harness::webhook::Webhook;
use harness::{Daemon, wait};
use serde_json::Value;
use tokio::time::Instant;

use self::children::{Kind, Watch};
use self::judge::Messages;
use self::load::Load;

/// How often the daemon is killed unless `WATCHKEEP_KILLS` says otherwise.
const KILLS: usize = 300;
/// How long a moment that has to come is waited for before the kill comes all the same.
const MOMENT: Duration = Duration::from_secs(6);
/// How long everything that waits may take once all is well: the longest back-off is part of it.
const SETTLE: Duration = Duration::from_secs(240);
/// Probes that flap with the dice. A fourth, the metronome, answers differently at each look: the rules look again whenever
/// it does, as no tick comes in a life of less than five seconds.
const PROBES: [&str; 3] = ["a", "b", "c"];

/// The house: a daemon, what it watches, and whom it tells.
struct House {
    folder: tempfile::TempDir,
    daemon: Daemon,
    targets: Vec<Webhook>,
    metronome: Webhook,
    smtp: Smtp,
    smtp_path: Proxy,
    hook: Webhook,
    hook_path: Proxy,
}

impl House {
    fn build(control: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificate = certificate::make(folder.path(), 30);
        let smtp = Smtp::start(folder.path(), Tls::Implicit, &certificate);
        let hook = Webhook::start();
        let (smtp_path, hook_path) = (Proxy::start(smtp.port), Proxy::start(hook.port));
        let targets: Vec<Webhook> = PROBES.iter().map(|_| Webhook::start()).collect();
        let metronome = Webhook::start();
        metronome.alternate(204, 503);
        write_files(folder.path());
        let mut setup = Setup::new(folder.path(), &configuration(folder.path(), &targets, &metronome))
            .env("SMTP_URL", &smtp.url_by(smtp_path.port))
            .env("HOOK_URL", &format!("http://127.0.0.1:{}/hook", hook_path.port))
            .trust(&certificate);
        if control {
            setup = setup.env("WATCHKEEP_CONTROL", "acknowledge-before-commit");
        }
        let daemon = setup.stopped();
        Self {
            folder,
            daemon,
            targets,
            metronome,
            smtp,
            smtp_path,
            hook,
            hook_path,
        }
    }

    fn acts(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("acts.log")).unwrap_or_default()
    }

    /// Receivers and targets for the next life: each receiver works half of the time.
    fn throw_dice(&self, random: &mut Random) {
        for (path, longest) in [(&self.smtp_path, 6000), (&self.hook_path, 200)] {
            let mut own = Random::new(random.bits());
            if random.chance(50) {
                path.set(Fault::None);
            } else {
                // The reply is cut where it hurts: often after the message was taken.
                path.set_plan(move |_| match own.below(3) {
                    0 => Fault::CutReply(own.index(longest)),
                    _ => Fault::Refuse,
                });
            }
        }
        for target in &self.targets {
            target.answer(if random.chance(50) { 204 } else { 503 });
        }
    }

    fn heal(&self) {
        self.smtp_path.set(Fault::None);
        self.hook_path.set(Fault::None);
        self.targets
            .iter()
            .chain([&self.metronome])
            .for_each(|target| target.answer(204));
    }
}

fn configuration(folder: &Path, targets: &[Webhook], metronome: &Webhook) -> String {
    let at = folder.display();
    let mut text = format!(
        r#"
        [network]
        anchors = []
        [notify.me]
        via.email = {{ to = ["me@shop.example"], from = "watchkeep@shop.example", smtp = {{ env = "SMTP_URL" }} }}
        [notify.hook]
        via.webhook = {{ url = {{ env = "HOOK_URL" }} }}
        [action.fix]
        act.command = {{ argv = ["{at}/act.sh"], timeout = "20s" }}
        guard = {{ cooldown = "1ms" }}
        verify = {{ up = ["a"], for = "1ms" }}
        mode = "automatic"
        [backup.files]
        at = "0 3 1 1 *"
        source.folder = {{ paths = ["{at}/files"] }}
        to = "local"
        keep = {{ last = 3 }}
        [repository.local]
        folder = {{ path = "{at}/repository" }}
        password = {{ file = "{at}/password" }}
        [probe.metronome]
        every = "1s"
        second_look = false
        check.http = {{ url = "{}" }}
        "#,
        metronome.url()
    );
    for (name, target) in PROBES.iter().zip(targets) {
        let action = if *name == "a" { "action = \"fix\"" } else { "" };
        text.push_str(&format!(
            "[probe.{name}]\nevery = \"1s\"\nsecond_look = false\ncheck.http = {{ url = \"{}\" }}\n\
             [alert.{name}-down]\nwhen = \"not up({name}) and (up(metronome) or not up(metronome))\"\nfor = \"1ms\"\nclear_for = \"1ms\"\n\
             notify = [\"me\", \"hook\"]\n{action}\n",
            target.url()
        ));
    }
    text
}

fn write_files(folder: &Path) {
    // The last word of the helper's own command line is its run directory, and that is named after the run.
    let script = format!(
        "#!/bin/sh\nrun=$(/usr/bin/tr '\\0' '\\n' < /proc/$PPID/cmdline | /usr/bin/tail -n 1)\nrun=${{run##*/}}\n\
         echo \"begin $run $PPID $(/bin/date +%T.%N)\" >> {0}/acts.log\n/bin/sleep 1.5\necho \"end $run\" >> {0}/acts.log\n",
        folder.display()
    );
    let file = folder.join("act.sh");
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let password = folder.join("password");
    std::fs::write(&password, "correct horse battery staple").unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let files = folder.join("files");
    std::fs::create_dir_all(&files).unwrap();
    let mut random = Random::new(7);
    for number in 0..40 {
        let bytes: Vec<u8> = (0..16 * 1024).flat_map(|_| random.bits().to_le_bytes()).collect();
        std::fs::write(files.join(format!("file-{number}")), bytes).unwrap();
    }
}

/// The moment of a kill.
#[derive(Clone, Copy, Debug)]
enum At {
    /// Some time after the start was begun, most often while it starts or has just started.
    Time(Duration),
    /// Right at an acknowledgement, which was then its last word.
    Acknowledgement,
    /// While a child of this kind lives, some time into its life.
    Child(Kind, Duration),
}

impl At {
    /// Two of 25 kills wait for a child; the dice decide about the others.
    fn choose(number: usize, random: &mut Random) -> Self {
        match number % 25 {
            7 => return Self::Child(Kind::Backup, random.millis(0, 800)),
            17 => return Self::Child(Kind::Act, random.millis(0, 1000)),
            _ => {}
        }
        match random.below(100) {
            0..55 => Self::Time(random.millis(0, 700)),
            55..80 => Self::Time(random.millis(0, 2500)),
            _ => Self::Acknowledgement,
        }
    }

    /// Waits for the moment and kills; what lived then goes into `struck`.
    fn strike(self, daemon: &mut Daemon, load: &Load, watch: &Watch, struck: &mut Struck) {
        let launched = Instant::now();
        let mut came = None;
        let over = |came: &mut Option<Instant>, lives: bool, after: Duration| {
            if lives {
                came.get_or_insert_with(Instant::now);
            }
            came.is_some_and(|at| at.elapsed() >= after)
        };
        if matches!(self, Self::Acknowledgement) {
            load.shared.kill_at_next.store(true, Ordering::SeqCst);
        }
        let found = wait::try_until(MOMENT, || {
            let now = match self {
                Self::Time(after) => launched.elapsed() >= after,
                Self::Acknowledgement => !daemon.process().is_running(),
                Self::Child(kind, after) => over(&mut came, watch.lives(kind), after),
            };
            if !matches!(self, Self::Acknowledgement) {
                daemon.process().assert_running();
            }
            now.then_some(())
        });
        load.shared.kill_at_next.store(false, Ordering::SeqCst);
        daemon.kill();
        struck.act += usize::from(watch.lives(Kind::Act));
        struck.backup += usize::from(watch.lives(Kind::Backup));
        let is_last_word = matches!(self, Self::Acknowledgement) && found.is_some();
        struck.acknowledgement += usize::from(is_last_word);
    }
}

/// What the kills met.
#[derive(Debug, Default)]
struct Struck {
    acknowledgement: usize,
    act: usize,
    backup: usize,
}

/// Lives and deaths. Gives what the kills met.
fn storm(house: &mut House, load: &Load, watch: &Watch) -> Struck {
    let mut random = Random::seeded("crash");
    let mut struck = Struck::default();
    for number in 0..kills() {
        house.throw_dice(&mut random);
        house.daemon.launch();
        load.shared.daemon.store(house.daemon.process().id(), Ordering::SeqCst);
        let at = At::choose(number, &mut random);
        if let At::Child(kind, _) = at {
            ask_for_child(house, kind);
        }
        at.strike(&mut house.daemon, load, watch, &mut struck);
    }
    struck
}

/// Sees to it that a child of this kind comes to life soon.
fn ask_for_child(house: &House, kind: Kind) {
    match kind {
        Kind::Backup => insist(house, "/api/v1/backups/files/run", b""),
        Kind::Act => {
            // What could not be verified is held until a person releases it; a person would.
            insist(house, "/api/v1/actions/allow", br#"{"action":"fix"}"#);
            house.targets[0].answer(204);
            wait_for_status(house, "pass");
            house.targets[0].answer(503);
        }
    }
}

fn insist(house: &House, path: &str, body: &[u8]) {
    wait::try_until(MOMENT, || {
        house
            .daemon
            .api("POST", path, body)
            .ok()
            .filter(|answer| answer.status() == 200)
    });
}

fn wait_for_status(house: &House, wanted: &str) {
    wait::try_until(MOMENT, || {
        let answer = house.daemon.api("GET", "/api/v1/status", b"").ok()?;
        (answer.json()["probes"]["a"]["status"] == wanted).then_some(())
    });
}

#[expect(
    clippy::disallowed_methods,
    reason = "a switch of the test's own, not a setting of the product"
)]
fn kills() -> usize {
    std::env::var("WATCHKEEP_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(KILLS)
}

/// After the storm: everything works, and everything that waits comes to its end.
fn settle(house: &mut House) -> Messages {
    house.heal();
    house.daemon.start_again();
    let mut last = String::new();
    let settled = wait::try_until(SETTLE, || {
        let answer = house.daemon.api("GET", "/api/v1/status", b"").ok()?.json();
        last = format!("jobs {:#}, incidents {:#}", answer["jobs"], answer["incidents"]);
        let up = |name: &&str| answer["probes"][*name]["status"] == "pass";
        let quiet = answer["jobs"].as_array().is_some_and(Vec::is_empty)
            && answer["incidents"].as_object().is_some_and(serde_json::Map::is_empty);
        (quiet && PROBES.iter().all(up)).then_some(())
    });
    assert!(settled.is_some(), "something does not come to its end: {last}");
    let messages = Messages::read(&house.daemon);
    assert_eq!(messages.waiting(), 0);
    messages
}

#[test]
#[expect(clippy::print_stderr, reason = "what the storm met is worth knowing")]
fn kill_minus_nine_at_any_moment_loses_and_doubles_nothing() {
    let began = Instant::now();
    let mut house = House::build(false);
    house.daemon.start_again();
    house.daemon.kill();
    let load = Load::start(house.daemon.socket(), house.daemon.address(), 2, true);
    let watch = Watch::start(house.daemon.data().join("runs"));
    let struck = storm(&mut house, &load, &watch);
    let stormed = began.elapsed();

    let messages = settle(&mut house);
    let acknowledged = load.finish();
    let sent = u64::try_from(acknowledged.sent.len()).unwrap();
    wait::try_until(Duration::from_secs(30), || {
        (judge::counted(&house.daemon).0 >= sent * load::SPANS).then_some(())
    });
    let mut arrived: BTreeSet<(String, String)> = BTreeSet::new();
    let (taken, mails) = (house.hook.taken(), house.smtp.mails());
    arrived.extend(taken.iter().map(|delivery| ("hook".to_owned(), delivery.id.clone())));
    arrived.extend(mails.iter().map(|mail| ("me".to_owned(), judge::message_id(mail))));

    let mut wrong = judge::deployments(&house.daemon, &acknowledged);
    wrong.extend(judge::telemetry(&house.daemon, &acknowledged));
    wrong.extend(messages.told(&["me", "hook"], &arrived));
    wrong.extend(messages.webhooks(&house.hook.attempts()));
    wrong.extend(messages.mails(&mails));
    wrong.extend(judge::acts(&house.daemon, &house.acts()));
    let seen = watch.seen.lock().unwrap();
    wrong.extend(
        seen.doubled
            .iter()
            .map(|run| format!("two children at a time: {}", run.display())),
    );
    let chain = house.daemon.api("GET", "/api/v1/chain", b"").unwrap().json();
    if chain["damage"] != Value::Null {
        wrong.push(format!("the chain does not hold: {chain}"));
    }
    if house.daemon.log().contains("panicked") {
        wrong.push("something panicked".to_owned());
    }
    eprintln!(
        "{} kills in {stormed:?} ({struck:?}), settled after {:?}: {} deployments, {sent} batches, {} incidents, {} webhooks \
         ({} attempts), {} mails, {} children, {} acts",
        kills(),
        began.elapsed(),
        acknowledged.deployments.len(),
        messages.incidents(),
        taken.len(),
        house.hook.attempts().len(),
        mails.len(),
        seen.ever.len(),
        house.acts().lines().count() / 2,
    );
    assert!(wrong.is_empty(), "{} violations:\n{}", wrong.len(), wrong.join("\n"));
    // A storm that met nothing proves nothing.
    let enough = |count: usize, share: usize| count * share >= kills();
    assert!(
        enough(acknowledged.deployments.len(), 1) && enough(messages.incidents(), 30),
        "too little happened"
    );
    assert!(
        enough(struck.act, 50) && enough(struck.backup, 100),
        "too few children were met: {struck:?}"
    );
}

/// Negative control: a daemon that acknowledges before the commit is caught by the same judge.
#[test]
fn control_acknowledging_before_the_commit_is_caught() {
    let mut house = House::build(true);
    let load = Load::start(house.daemon.socket(), house.daemon.address(), 2, false);
    let watch = Watch::start(house.daemon.data().join("runs"));
    let mut random = Random::seeded("control");
    for _ in 0..20 {
        house.throw_dice(&mut random);
        house.daemon.launch();
        load.shared.daemon.store(house.daemon.process().id(), Ordering::SeqCst);
        At::Acknowledgement.strike(&mut house.daemon, &load, &watch, &mut Struck::default());
    }
    house.daemon.start_again();
    let acknowledged = load.finish();
    let wrong = judge::deployments(&house.daemon, &acknowledged);
    assert!(
        wrong
            .iter()
            .any(|violation| violation.contains("is lost") || violation.contains("stands at")),
        "nothing was caught: {wrong:?}"
    );
}
