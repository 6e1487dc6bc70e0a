//! What probes cost: `probe_cost URL COUNT EVERY_S FOR_S [CA]` watches COUNT addresses below URL, and says how many looks
//! there were, when the last target was first looked at, and what they cost in CPU time and memory.
//!
//! Serve something, for example `nginx -c collectors/examples/nginx.conf`, and build with optimisation.

use std::{
    collections::BTreeSet,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use collectors::probe::{Anchors, NetworkSettings, OwnNetwork, ProbeSettings, ProbeSink, Runner, Watch};
use events::{Clock, Clocks, Network, NetworkChanged, ProbeResult, Status, Timestamp};
use outbound::{Context, ContextOptions};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

struct Wall;

impl Clocks for Wall {
    #[expect(clippy::disallowed_methods, reason = "an example has no daemon to ask")]
    fn now(&self) -> Clock {
        Clock {
            wall: Timestamp::from_jiff(jiff::Timestamp::now()),
            ..Clock::default()
        }
    }
}

struct Count {
    began: Instant,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    looks: u64,
    failures: u64,
    targets: BTreeSet<String>,
    last_first: Duration,
}

#[async_trait]
impl ProbeSink for Count {
    async fn result(&self, result: ProbeResult) {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.looks += 1;
        if result.look.status != Status::Pass {
            seen.failures += 1;
        }
        if seen.targets.insert(result.probe.to_string()) {
            seen.last_first = self.began.elapsed();
        }
    }

    async fn network(&self, _: NetworkChanged) -> bool {
        true
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "http://127.0.0.1:8088".to_owned());
    let mut number = |default: u32| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (count, every, lasting) = (number(500), number(10), number(30));
    let trust = arguments
        .next()
        .map(|ca| format!(", ca = \"{ca}\""))
        .unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let text = format!("every = \"{every}s\"\ncheck.http = {{ url = \"{url}/INDEX\"{trust} }}\n");
    runtime.block_on(run(&text, count, lasting))
}

async fn run(text: &str, count: u32, lasting: u32) -> Result<(), Box<dyn std::error::Error>> {
    let context = Context::new(ContextOptions {
        clocks: Arc::new(Wall),
        data_dir: "/tmp".into(),
        environment: "production".to_owned(),
        extra_ca: None,
    })?;
    let sink = Arc::new(Count {
        began: Instant::now(),
        seen: Mutex::default(),
    });
    let mut watches = Vec::new();
    for index in 0..count {
        let text = text.replace("INDEX", &index.to_string());
        let settings: ProbeSettings = config::load(&config::Source::new("probe", text))?;
        let name = config::Name::new(&format!("target-{index}"))?;
        watches.push(Watch::new(&name, &settings, &context).map_err(|mistake| mistake.message)?);
    }
    let anchors = Anchors::new(&context, &NetworkSettings::default());
    let network = OwnNetwork::new(anchors, Network::Online, sink.clone());
    let runner = Runner::new(&context, network, watches, Arc::new(|_| None), sink.clone());
    let before = cpu_s()?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::join!(runner.run(stop), async move {
        tokio::time::sleep(Duration::from_secs(lasting.into())).await;
        stopping.cancel();
    });
    let cpu = cpu_s()? - before;
    let seen = sink.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{} looks, {} failed, {} of {count} targets, the last after {:?}",
        seen.looks,
        seen.failures,
        seen.targets.len(),
        seen.last_first
    )?;
    writeln!(
        out,
        "{cpu:.2} CPU s, {:.3} CPU s for 1,000 looks",
        cpu * 1000.0 / seen.looks.max(1) as f64
    )?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    for line in status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"))
    {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// User and system time of this process (proc(5): fields 14 and 15, in hundredths).
fn cpu_s() -> Result<f64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let after = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u32 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u32>().ok())
        .sum();
    Ok(f64::from(ticks) / 100.0)
}
