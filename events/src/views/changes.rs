//! What an incident says of what changed, and of what was read since it fired.

use super::Incident;
use crate::{Change, Reading, ServiceId, Stamp};

impl Change {
    /// Whether it is of another service than this one; what is of no service may concern all.
    #[must_use]
    pub fn is_foreign(&self, service: Option<&ServiceId>) -> bool {
        matches!((&self.service, service), (Some(theirs), Some(own)) if theirs != own)
    }

    /// The text for people who look at this service: a change of another one says so.
    #[must_use]
    pub fn text_for(&self, service: Option<&ServiceId>) -> String {
        if self.is_foreign(service) {
            format!("{} (another service)", self.text)
        } else {
            self.text.clone()
        }
    }

    /// How near it is to a service: its own changes first, then those of the house, then those of others.
    fn distance(&self, service: Option<&ServiceId>) -> u8 {
        match &self.service {
            Some(theirs) if Some(theirs) == service => 0,
            None => 1,
            Some(_) if service.is_none() => 1,
            Some(_) => 2,
        }
    }
}

impl Incident {
    /// What changed before it, that of its own service first; within each the oldest first.
    #[must_use]
    pub fn changes_by_nearness(&self) -> Vec<&Change> {
        let mut changes: Vec<&Change> = self.changes.iter().collect();
        changes.sort_by_key(|change| change.distance(self.service.as_ref()));
        changes
    }

    /// The change to name when there is room for one: the newest of its own service, else of the house, else of others.
    #[must_use]
    pub fn nearest_change(&self) -> Option<&Change> {
        let near = |change: &&Change| std::cmp::Reverse(change.distance(self.service.as_ref()));
        // Of several equally near the last one is taken, which is the newest.
        self.changes.iter().max_by_key(near)
    }

    /// What its rule read at its last decision after it fired, and when that was.
    #[must_use]
    pub fn read_since(&self) -> Option<(Stamp, &[Reading])> {
        let at = self.last_read.filter(|at| at.seq > self.fired.seq)?;
        (!self.last_readings.is_empty()).then_some((at, self.last_readings.as_slice()))
    }
}

#[cfg(test)]
mod tests;
