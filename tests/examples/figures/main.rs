//! The figures that Watchkeep is judged by, measured on the real binary from outside.
//!
//! `cargo build --release && cargo run --release -p tests --example figures -- idle|probes|death|start|ingest|day`
//!
//! Each says what it measured and by which load; see `docs/figures.md` for what came out.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a tool for the terminal that measures real time"
)]

mod load;
mod start;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use harness::daemon::Setup;
use harness::nginx::Nginx;
use harness::random::Random;
use harness::webhook::Webhook;
use harness::{Daemon, wait};

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    match std::env::args().nth(1).unwrap_or_default().as_str() {
        "idle" => idle(folder),
        "probes" => probes(folder),
        "death" => death(folder),
        "start" => start::start(folder),
        "ingest" => load::ingest(folder),
        "day" => load::day(folder),
        other => panic!("{other:?} is none of idle, probes, death, start, ingest, day"),
    }
}

const MIB: f64 = 1024.0;

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn mib(kib: u64) -> f64 {
    kib as f64 / MIB
}

/// Processor time of the daemon and its memory over a stretch.
fn watch(daemon: &mut Daemon, span: Duration) -> (Duration, f64) {
    let before = daemon.process().cpu();
    std::thread::sleep(span);
    (
        daemon.process().cpu().saturating_sub(before),
        mib(daemon.process().resident_kib()),
    )
}

/// The daemon with nothing of the user's: this machine's disk and load.
fn idle(folder: &Path) {
    let text = "[probe.disk]\ncheck.disk = { path = \"/\" }\n[probe.load]\ncheck.load = {}\n";
    let mut daemon = Daemon::start(folder, text);
    std::thread::sleep(Duration::from_secs(20));
    let (cpu, resident) = watch(&mut daemon, Duration::from_secs(60));
    println!("idle: {resident:.1} MiB resident, {cpu:?} of processor time in 60 s");
}

/// 500 targets every 10 s, history kept.
fn probes(folder: &Path) {
    let nginx = Nginx::start(folder);
    let mut text = String::from("[network]\nanchors = []\n");
    for number in 0..500 {
        text.push_str(&format!(
            "[probe.target-{number}]\nevery = \"10s\"\ncheck.http = {{ url = \"{}/{number}\" }}\n",
            nginx.url()
        ));
    }
    let began = Instant::now();
    let mut daemon = Daemon::start(folder, &text);
    wait::until("all targets to be probed", Duration::from_secs(60), || {
        let status = daemon.api("GET", "/api/v1/status", b"").ok()?.json();
        let probes = status["probes"].as_object()?.values();
        (probes.filter(|probe| probe["status"] == "pass").count() == 500).then_some(())
    });
    println!(
        "probes: all 500 targets known {:?} after the start was asked for",
        began.elapsed()
    );
    let span = Duration::from_secs(100);
    let (cpu, resident) = watch(&mut daemon, span);
    let probed = 500.0 * span.as_secs_f64() / 10.0;
    println!(
        "probes: {:.3} s of processor time for 1,000 probes, {resident:.1} MiB resident",
        cpu.as_secs_f64() * 1000.0 / probed
    );
}

/// From a target's death to the message, at the defaults of a probe that somebody is told about.
fn death(folder: &Path) {
    let hook = Webhook::start();
    let mut targets: Vec<Nginx> = (0..15).map(|_| Nginx::start(folder)).collect();
    let mut text =
        String::from("[network]\nanchors = []\n[notify.me]\nvia.webhook = { url = { env = \"HOOK_URL\" } }\n");
    for (number, target) in targets.iter().enumerate() {
        text.push_str(&format!(
            "[probe.target-{number}]\ncheck.http = {{ url = \"{}\" }}\nnotify = [\"me\"]\n",
            target.url()
        ));
    }
    let daemon = Setup::new(folder, &text).env("HOOK_URL", &hook.url()).start();
    wait::until("all targets to be up", Duration::from_secs(90), || {
        let status = daemon.api("GET", "/api/v1/status", b"").ok()?.json();
        let probes = status["probes"].as_object()?.values();
        (probes.filter(|probe| probe["status"] == "pass").count() == targets.len()).then_some(())
    });
    let mut random = Random::seeded("figures");
    let mut died = Vec::new();
    for target in &mut targets {
        std::thread::sleep(random.millis(0, 5000));
        target.stop();
        died.push(SystemTime::now());
    }
    let count = died.len();
    let taken = hook.wait_for(count, Duration::from_secs(120));
    let mut took: Vec<f64> = (0..count)
        .map(|number| {
            let name = format!("target-{number}");
            let of_target = |text: &str| {
                text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                    .any(|word| word == name)
            };
            let told = taken
                .iter()
                .find(|delivery| of_target(&String::from_utf8_lossy(&delivery.request.body)));
            let told = told.unwrap_or_else(|| panic!("nobody was told of {name}"));
            told.received.duration_since(died[number]).unwrap().as_secs_f64()
        })
        .collect();
    took.sort_by(f64::total_cmp);
    println!(
        "death: median {:.1} s, from {:.1} to {:.1} s, of {count}",
        took[count / 2],
        took[0],
        took[count - 1]
    );
}
