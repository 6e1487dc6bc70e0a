//! What was counted and not yet carried over by a tick: the hand-over between `telemetry.db` and the journal.
//!
//! Every row is counted in exactly one tick. That needs six sentences, and each, left out, loses or doubles rows:
//! (1) one task commits telemetry and counts in row order, after COMMIT; (2) a tick *copies* bins and row number under
//! one lock, and they are subtracted after its COMMIT; (3) if that COMMIT failed or is in doubt, the journal's head
//! decides: there = subtract, not there = keep; (4) at start the rows behind the last tick are counted before the task
//! takes anything; (5) row numbers are never used again, and a database has a generation that the tick repeats: another
//! one counts from its first row; (6) pruning stops at the last tick's row of the same generation.

use events::{Bins, Receipt, Record, ReleaseId, TelemetryHead, Timestamp, hex};
use uuid::Uuid;

use crate::tick::TickPart;

/// Digest of the blocks from some row on.
#[derive(Default)]
struct Receipting {
    rows: u64,
    hasher: blake3::Hasher,
}

impl Receipting {
    fn add(&mut self, row: u64, rows: u64, digest: &[u8]) {
        self.rows = self.rows.saturating_add(rows);
        self.hasher.update(&row.to_le_bytes());
        self.hasher.update(digest);
    }

    fn receipt(&self) -> Option<Receipt> {
        (self.rows > 0).then(|| Receipt {
            rows: self.rows,
            digest: hex(self.hasher.finalize().as_bytes()),
        })
    }
}

/// One committed block, as the ledger needs it.
pub(super) struct Committed<'a> {
    pub(super) row: u64,
    pub(super) rows: u64,
    pub(super) digest: &'a [u8],
    pub(super) arrived: Timestamp,
}

/// The counts since the last tick. Lives under one lock.
pub(super) struct Ledger {
    generation: Uuid,
    /// Last row that is counted.
    row: u64,
    /// Last row that a committed tick carried.
    carried: u64,
    bins: Bins,
    since_carried: Receipting,
    /// The last copy, until it is carried or replaced by another, and the digest of what came after it.
    copied: Option<TickPart>,
    since_copied: Receipting,
    overflowed: u64,
}

impl Ledger {
    /// Begins behind the last tick's row.
    pub(super) fn new(generation: Uuid, carried: u64) -> Self {
        Self {
            generation,
            row: carried,
            carried,
            bins: Bins::default(),
            since_carried: Receipting::default(),
            copied: None,
            since_copied: Receipting::default(),
            overflowed: 0,
        }
    }

    /// Last row that is counted.
    pub(super) fn row(&self) -> u64 {
        self.row
    }

    /// Last row that may be pruned.
    pub(super) fn carried_row(&self) -> u64 {
        self.carried
    }

    pub(super) fn generation(&self) -> Uuid {
        self.generation
    }

    /// Records that were counted under `other` since the last call.
    pub(super) fn take_overflowed(&mut self) -> u64 {
        std::mem::take(&mut self.overflowed)
    }

    /// Counts a committed block. Blocks come in row order; one that is counted already is left alone.
    pub(super) fn count<'r>(
        &mut self,
        block: &Committed<'_>,
        records: impl Iterator<Item = (&'r Record, Option<&'r ReleaseId>)>,
    ) {
        if block.row <= self.row {
            return;
        }
        self.row = block.row;
        self.since_carried.add(block.row, block.rows, block.digest);
        self.since_copied.add(block.row, block.rows, block.digest);
        for (record, release) in records {
            let fits = self.bins.count(record, release, block.arrived);
            self.overflowed += u64::from(!fits);
        }
    }

    /// What is counted and not carried.
    pub(super) fn bins(&self) -> &Bins {
        &self.bins
    }

    /// Copies what a tick carries.
    pub(super) fn copy(&mut self) -> TickPart {
        let part = TickPart {
            head: Some(TelemetryHead {
                generation: self.generation,
                row: self.row,
            }),
            receipt: self.since_carried.receipt(),
            bins: self.bins.clone(),
        };
        self.since_copied = Receipting::default();
        self.copied = Some(part.clone());
        part
    }

    /// Takes away what a committed tick carried. False when that is not what was copied last: nothing happens then.
    pub(super) fn carried(&mut self, part: &TickPart) -> bool {
        if self.copied.as_ref() != Some(part) {
            return false;
        }
        self.take_away();
        true
    }

    /// Takes the copy away if the journal's last tick is the one that carried it. Row numbers decide that: a tick that
    /// repeats the row of the one before carries nothing.
    pub(super) fn settle(&mut self, last_tick: Option<TelemetryHead>) {
        let head = self.copied.as_ref().and_then(|part| part.head);
        if head.is_some() && head == last_tick {
            self.take_away();
        }
    }

    fn take_away(&mut self) {
        let Some(part) = self.copied.take() else { return };
        self.carried = part.head.map_or(self.carried, |head| head.row);
        self.bins.subtract(&part.bins);
        self.since_carried = std::mem::take(&mut self.since_copied);
    }
}
