//! The one place that reads the machine's clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use events::{BootId, Boottime, Clock, Clocks, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// The machine's clocks.
#[derive(Clone, Debug)]
pub(crate) struct MachineClocks {
    boot_id: BootId,
}

impl MachineClocks {
    /// Reads which boot this is. Without the kernel's id every process counts as a boot of its own: waiting jobs are
    /// then due at once, and nothing counts as watched across a restart.
    pub(crate) fn new() -> Self {
        let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let boot_id = read.map_or_else(|_| uuid::Uuid::new_v4().to_string(), |text| text.trim().to_owned());
        Self {
            boot_id: BootId(boot_id),
        }
    }
}

/// Through the C library, as everybody else on the machine reads it.
#[expect(clippy::disallowed_methods, reason = "the one door to the wall clock")]
fn wall() -> Timestamp {
    let now = SystemTime::now();
    let after = now
        .duration_since(UNIX_EPOCH)
        .map(|after| i64::try_from(after.as_nanos()).unwrap_or(i64::MAX));
    Timestamp(
        after.unwrap_or_else(|before| i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos)),
    )
}

fn boot() -> Boottime {
    let read = clock_gettime(ClockId::Boottime);
    Boottime(read.tv_sec.saturating_mul(1_000_000_000).saturating_add(read.tv_nsec))
}

impl Clocks for MachineClocks {
    fn now(&self) -> Clock {
        Clock {
            wall: wall(),
            boot: boot(),
            boot_id: self.boot_id.clone(),
        }
    }
}
