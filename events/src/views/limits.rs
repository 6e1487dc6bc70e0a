//! Rows of limits that were reached.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{Row, Views};
use crate::{LimitReached, Stamp};

/// A limit that is reached again and again is told so seldom.
const TOLD_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// A limit that was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// How many were refused, cut or merged, ever.
    pub count: u64,
    /// When it was first reached.
    pub first: Stamp,
    /// When it was last reached.
    pub last: Stamp,
    /// When that was last worth telling: the first time, and then once in 24 hours.
    pub told: Stamp,
}

impl Row for Limit {
    const SHAPE: u32 = 1;
}

impl Views {
    pub(super) fn reach_limit(&mut self, reached: &LimitReached, stamp: Stamp) {
        let row = self.limits.get(reached.limit.as_str()).cloned();
        let row = row.unwrap_or(Limit {
            count: 0,
            first: stamp,
            last: stamp,
            told: stamp,
        });
        let due = stamp.at.since(row.told.at) >= TOLD_EVERY;
        let row = Limit {
            count: row.count.saturating_add(reached.count),
            last: stamp,
            told: if due { stamp } else { row.told },
            ..row
        };
        self.limits.put(reached.limit.as_str(), row);
    }
}
