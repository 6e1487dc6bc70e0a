//! What a tick costs with ten thousand rules: `cargo bench -p alerting`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a tool for the terminal"
)]

#[path = "../tests/timelines/play.rs"]
#[expect(dead_code, reason = "the timelines use more of it")]
mod play;

use std::{fmt::Write, time::Duration};

use play::Play;
use tokio::time::Instant;

fn many(rules: usize) -> String {
    let mut text = "notify = [\"me\"]\nservices = [\"s0\"".to_owned();
    (1..200).for_each(|n| write!(text, ", \"s{n}\"").unwrap());
    text.push_str("]\n");
    (0..100).for_each(|n| writeln!(text, "probe.p{n} = {{}}").unwrap());
    text.push_str("[alert]\n");
    for n in 0..rules {
        let service = n / 2 % 200;
        let when = match n % 2 {
            0 => format!("error_rate(s{service},5m)>1% and requests(s{service},5m)>=100"),
            _ => format!("not up(p{})", n % 100),
        };
        writeln!(text, "r{n}={{when=\"{when}\"}}").unwrap();
    }
    text
}

/// Time of a stretch, for each of its ticks.
fn ticks(play: &mut Play, script: &str, count: u32) -> Duration {
    let begun = Instant::now();
    play.play(script);
    begun.elapsed() / count
}

fn main() {
    let mut play = Play::new(&many(10_000));
    play.play("1:00");
    let quiet = ticks(&mut play, "2:00", 12);
    let traffic: Vec<String> = (0..200).map(|n| format!("2:01 requests s{n} 30 0")).collect();
    play.play(&traffic.join("\n"));
    let windows = ticks(&mut play, "2:05", 1);
    let down: Vec<String> = (0..100).map(|n| format!("2:06 probe p{n} fail timeout")).collect();
    let begun = Instant::now();
    play.play(&down.join("\n"));
    let probes = begun.elapsed();
    let all = ticks(&mut play, "2:10", 1);
    println!(
        "10,000 rules: a quiet tick {quiet:?}, one that changes every window {windows:?}, 100 probes that fail with 5,000 rules on \
         them {probes:?}, the tick after it {all:?}"
    );
}
