//! Free space and inodes of a file system of this machine.

use std::{
    borrow::Cow,
    fmt,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use config::{Bytes, Located, Mistake, explained};
use events::{Look, Reason, Status};
use outbound::Context;
use rustix::{
    fs::{StatVfs, statvfs},
    io::Errno,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use tokio::time::{Instant, timeout_at};

use super::{Probe, ProbeKind, stopwatch::Stopwatch, why};

/// `check.disk`: a file system of this machine.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskCheck {
    /// A path on the file system.
    pub path: Located<PathBuf>,
    /// Fails when less is free: a share such as `"10%"`, or a size such as `"5GiB"`.
    #[serde(default = "tenth")]
    #[schemars(extend("default" = "10%"))]
    pub free_below: FreeBelow,
    /// Fails when fewer inodes are free, as a share.
    #[serde(default = "twentieth")]
    #[schemars(extend("default" = "5%"))]
    pub inodes_below: FreeBelow,
    /// Whether the path has to be a mount point.
    #[serde(default)]
    pub mounted: bool,
}

fn tenth() -> FreeBelow {
    FreeBelow::Percent(10)
}

fn twentieth() -> FreeBelow {
    FreeBelow::Percent(5)
}

/// A limit on what is free: a share of the whole, or an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeBelow {
    /// Hundredths of the whole, 0 to 100.
    Percent(u8),
    /// An amount.
    Amount(Bytes),
}

const EXPECTED: &str = "expected a share such as \"10%\" or a size such as \"5GiB\"";

impl FreeBelow {
    /// Whether `free` of `whole` is less than the limit.
    pub fn is_undercut(self, free: u64, whole: u64) -> bool {
        match self {
            Self::Percent(percent) => u128::from(free) * 100 < u128::from(whole) * u128::from(percent),
            Self::Amount(amount) => free < amount.get(),
        }
    }
}

impl FromStr for FreeBelow {
    type Err = config::UnitError;

    fn from_str(text: &str) -> Result<Self, config::UnitError> {
        let percent = text
            .strip_suffix('%')
            .and_then(|number| number.trim().parse::<u8>().ok());
        match percent {
            Some(percent) if percent <= 100 => Ok(Self::Percent(percent)),
            _ => text.parse().map(Self::Amount),
        }
    }
}

impl fmt::Display for FreeBelow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(formatter, "{percent}%"),
            Self::Amount(amount) => amount.fmt(formatter),
        }
    }
}

impl<'de> Deserialize<'de> for FreeBelow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|error: config::UnitError| de::Error::custom(explained(error, EXPECTED)))
    }
}

impl JsonSchema for FreeBelow {
    fn schema_name() -> Cow<'static, str> {
        "FreeBelow".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^([0-9]{1,3}%|[0-9]+(B|kB|KB|KiB|MB|MiB|GB|GiB|TB|TiB))$",
            "description": "A share of the whole, or a size.",
            "examples": ["10%", "5GiB"]
        })
    }
}

struct DiskProbe {
    check: DiskCheck,
    /// A file system that hangs keeps its thread: it gets one, not one for each look.
    is_hanging: Arc<AtomicBool>,
}

#[async_trait]
impl ProbeKind for DiskCheck {
    fn mistakes(&self) -> Vec<Mistake> {
        if self.path.is_absolute() {
            return Vec::new();
        }
        let message = format!("{} is no absolute path", self.path.display());
        vec![Mistake::at(self.path.span(), message)]
    }

    fn build(&self, _: &Context) -> Result<Box<dyn Probe>, Mistake> {
        Ok(Box::new(DiskProbe {
            check: self.clone(),
            is_hanging: Arc::default(),
        }))
    }

    fn target(&self) -> String {
        format!("disk {}", self.path.display())
    }

    fn is_near(&self) -> bool {
        true
    }
}

#[async_trait]
impl Probe for DiskProbe {
    async fn look(&self, deadline: Instant) -> Look {
        let watch = Stopwatch::start();
        watch.stamp(self.ask(deadline).await)
    }
}

impl DiskProbe {
    async fn ask(&self, deadline: Instant) -> Look {
        let hangs = || why::fail(Reason::Timeout, "the file system does not answer");
        if self.is_hanging.swap(true, Ordering::AcqRel) {
            return hangs();
        }
        let (check, is_hanging) = (self.check.clone(), Arc::clone(&self.is_hanging));
        let asked = tokio::task::spawn_blocking(move || {
            let look = examine(&check);
            is_hanging.store(false, Ordering::Release);
            look
        });
        match timeout_at(deadline, asked).await {
            Err(_) => hangs(),
            Ok(Ok(look)) => look,
            Ok(Err(error)) => why::broken(format!("look at the file system: {error}")),
        }
    }
}

fn examine(check: &DiskCheck) -> Look {
    let path: &Path = &check.path;
    let found = match statvfs(path) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR) => return why::fail(Reason::DiskMissing, "the path does not exist"),
        Err(error @ (Errno::ACCESS | Errno::PERM)) => {
            return why::broken(format!("look at {}: {error}", path.display()));
        }
        Err(error) => return why::fail(Reason::DiskMissing, format!("look at {}: {error}", path.display())),
    };
    if check.mounted && !is_mount_point(path) {
        return why::fail(Reason::DiskMissing, "nothing is mounted there");
    }
    judge(check, &found)
}

fn is_mount_point(path: &Path) -> bool {
    let Ok(here) = std::fs::metadata(path) else {
        return false;
    };
    let Ok(above) = std::fs::metadata(path.join("..")) else {
        return false;
    };
    here.dev() != above.dev() || here.ino() == above.ino()
}

fn judge(check: &DiskCheck, found: &StatVfs) -> Look {
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    // As df counts: what only root may use is neither free nor used.
    let used = found
        .f_blocks
        .saturating_sub(found.f_bfree)
        .saturating_mul(found.f_frsize);
    let whole = used.saturating_add(free);
    let detail = format!("{} free of {}", size(free), size(whole));
    if check.free_below.is_undercut(free, whole) {
        return why::fail(Reason::DiskFull, format!("{detail}, less than {}", check.free_below));
    }
    // Some file systems (btrfs) have no fixed number of inodes and say 0.
    if found.f_files > 0 && check.inodes_below.is_undercut(found.f_favail, found.f_files) {
        let inodes = format!("{} inodes free of {}", found.f_favail, found.f_files);
        return why::fail(Reason::DiskFull, format!("{inodes}, less than {}", check.inodes_below));
    }
    Look::new(Status::Pass, Reason::Ok, detail)
}

/// A size for a person: three digits and a binary unit.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < units.len() {
        tenths /= 1024;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or_default();
    if tenths < 100 && unit > 0 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", tenths / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shares_or_sizes() {
        assert_eq!("10%".parse(), Ok(FreeBelow::Percent(10)));
        assert_eq!("5GiB".parse(), Ok(FreeBelow::Amount(Bytes::gib(5))));
        for bad in ["101%", "-1%", "10", "ten", "%", "1.5%"] {
            assert!(bad.parse::<FreeBelow>().is_err(), "{bad}");
        }
        let tenth = FreeBelow::Percent(10);
        assert!(tenth.is_undercut(9, 100) && !tenth.is_undercut(10, 100) && !tenth.is_undercut(0, 0));
        assert!(FreeBelow::Percent(50).is_undercut(u64::MAX / 4, u64::MAX));
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(20 << 30), "20 GiB");
    }
}
