//! The one place that reads the machine's clocks.

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
    #[must_use]
    pub(crate) fn new() -> Self {
        let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let boot_id = read.map_or_else(|_| uuid::Uuid::new_v4().to_string(), |text| text.trim().to_owned());
        Self { boot_id: BootId(boot_id) }
    }
}

impl Default for MachineClocks {
    fn default() -> Self {
        Self::new()
    }
}

fn nanos(clock: ClockId) -> i64 {
    let read = clock_gettime(clock);
    read.tv_sec.saturating_mul(1_000_000_000).saturating_add(read.tv_nsec)
}

impl Clocks for MachineClocks {
    fn now(&self) -> Clock {
        Clock {
            wall: Timestamp(nanos(ClockId::Realtime)),
            boot: Boottime(nanos(ClockId::Boottime)),
            boot_id: self.boot_id.clone(),
        }
    }
}
