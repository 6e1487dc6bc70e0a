//! Load and free memory of this machine, from `/proc` (proc(5)).

use async_trait::async_trait;
use config::{Located, Mistake};
use events::{Look, Reason, Status};
use outbound::Context;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use super::{FreeBelow, Probe, ProbeKind, disk::size, stopwatch::Stopwatch, why};

/// `check.load`: load and memory of this machine.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadCheck {
    /// Fails when the load of the last five minutes is above so much for each core; 4 when not said.
    #[serde(default = "four")]
    #[schemars(with = "f64", extend("default" = 4))]
    pub per_core_over: Located<f64>,
    /// Fails when less memory is available; 5% when not said.
    #[serde(default = "twentieth")]
    #[schemars(extend("default" = "5%"))]
    pub memory_below: FreeBelow,
}

fn four() -> Located<f64> {
    Located::new(4.0, 0..0)
}

fn twentieth() -> FreeBelow {
    FreeBelow::Percent(5)
}

struct LoadProbe {
    /// Hundredths.
    per_core_over: u64,
    memory_below: FreeBelow,
}

#[async_trait]
impl ProbeKind for LoadCheck {
    fn mistakes(&self) -> Vec<Mistake> {
        let limit = *self.per_core_over;
        if (0.01..=10_000.0).contains(&limit) {
            return Vec::new();
        }
        let message = format!("{limit} is no limit for the load of a core");
        vec![Mistake::at(self.per_core_over.span(), message).help("expected a number from 0.01 to 10000, such as 4")]
    }

    fn build(&self, _: &Context) -> Result<Box<dyn Probe>, Mistake> {
        let hundredths = format!("{:.0}", *self.per_core_over * 100.0)
            .parse()
            .unwrap_or(u64::MAX);
        Ok(Box::new(LoadProbe {
            per_core_over: hundredths,
            memory_below: self.memory_below,
        }))
    }

    fn target(&self) -> String {
        "load and memory of this machine".to_owned()
    }

    fn is_near(&self) -> bool {
        true
    }
}

#[async_trait]
impl Probe for LoadProbe {
    async fn look(&self, _: Instant) -> Look {
        let watch = Stopwatch::start();
        let look = self.judge(&read("/proc/loadavg"), &read("/proc/stat"), &read("/proc/meminfo"));
        watch.stamp(look.unwrap_or_else(|| why::broken("/proc does not say what proc(5) promises")))
    }
}

/// Made by the kernel while it is read: never waits for a disk.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

impl LoadProbe {
    /// `None` when the texts are not what they should be.
    fn judge(&self, loadavg: &str, stat: &str, meminfo: &str) -> Option<Look> {
        let load = hundredths(loadavg.split_whitespace().nth(1)?)?;
        let is_core = |line: &&str| {
            line.strip_prefix("cpu")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        let cores = u64::try_from(stat.lines().filter(is_core).count()).ok()?.max(1);
        let (available, whole) = (memory(meminfo, "MemAvailable:")?, memory(meminfo, "MemTotal:")?);
        let detail = format!(
            "load {}.{:02} on {cores} cores, {} of {} memory available",
            load / 100,
            load % 100,
            size(available),
            size(whole)
        );
        Some(if self.memory_below.is_undercut(available, whole) {
            why::fail(Reason::MemoryLow, format!("{detail}, less than {}", self.memory_below))
        } else if load > self.per_core_over.saturating_mul(cores) {
            let (whole, part) = (self.per_core_over / 100, self.per_core_over % 100);
            why::fail(
                Reason::LoadHigh,
                format!("{detail}, more than {whole}.{part:02} a core"),
            )
        } else {
            Look::new(Status::Pass, Reason::Ok, detail)
        })
    }
}

/// `3.52` as 352: the kernel always writes two decimals.
fn hundredths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.')?;
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(100)?.checked_add(part.parse().ok()?)
}

/// A line of `/proc/meminfo`, in bytes.
fn memory(meminfo: &str, key: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(loadavg: &str, available_kb: u64) -> Look {
        let probe = LoadProbe {
            per_core_over: 400,
            memory_below: FreeBelow::Percent(5),
        };
        let meminfo = format!("MemTotal:       1000000 kB\nMemAvailable:    {available_kb} kB\n");
        probe
            .judge(loadavg, "cpu 1 2\ncpu0 1\ncpu1 1\nintr 5\n", &meminfo)
            .unwrap()
    }

    #[test]
    fn load_counts_for_each_core() {
        assert_eq!(judge("9.00 8.00 1.00 1/2 3", 500_000).status, Status::Pass);
        let high = judge("0.10 8.01 1.00 1/2 3", 500_000);
        assert_eq!(high.reason, Reason::LoadHigh);
        assert!(high.detail.contains("load 8.01 on 2 cores"), "{}", high.detail);
    }

    #[test]
    fn memory_that_runs_out_is_told_first() {
        let low = judge("0.10 99.00 1.00 1/2 3", 49_999);
        assert_eq!(low.reason, Reason::MemoryLow);
        assert!(low.detail.ends_with("less than 5%"), "{}", low.detail);
    }

    #[test]
    fn this_machine_answers() {
        let probe = LoadProbe {
            per_core_over: 1_000_000,
            memory_below: FreeBelow::Percent(0),
        };
        let look = probe.judge(&read("/proc/loadavg"), &read("/proc/stat"), &read("/proc/meminfo"));
        assert_eq!(look.map(|look| look.status), Some(Status::Pass));
    }
}
