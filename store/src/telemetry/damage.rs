//! Blocks that turned out to be unreadable since the start: each is noted once, whoever meets it.

use std::{collections::BTreeSet, sync::Mutex};

use super::{Gap, lock};

/// Most blocks that are told of one by one; the rest are only counted.
const TOLD_MAX: usize = 100;

/// What was found damaged.
#[derive(Debug, Default)]
pub(super) struct Damage(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    rows: BTreeSet<u64>,
    untold: Vec<Gap>,
}

impl Damage {
    /// Notes blocks; those that are known are passed over.
    pub(super) fn note(&self, gaps: &[Gap]) {
        if gaps.is_empty() {
            return;
        }
        let mut found = lock(&self.0);
        for gap in gaps {
            if found.rows.insert(gap.row) {
                tracing::error!(%gap, "telemetry is damaged");
                if found.untold.len() < TOLD_MAX {
                    found.untold.push(*gap);
                }
            }
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        lock(&self.0).rows.len() as u64
    }

    /// Those that were found since this was last asked.
    pub(super) fn take_untold(&self) -> Vec<Gap> {
        std::mem::take(&mut lock(&self.0).untold)
    }
}
