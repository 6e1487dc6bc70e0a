//! Where a rule stands, and what one look at the evidence makes of it: total, pure, three-valued.
//!
//! Held time is *watched* time, kept as `base` + running since: no row changes at every tick. While the condition is
//! unknown it stands still; unknown never opens and never ends anything.

use events::{Phase, RulePhase, Watched};
use jiff::SignedDuration;

use crate::language::Truth;

/// Where a rule stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The phase.
    pub phase: Phase,
    /// Watched nanoseconds held before `since`.
    pub base: i64,
    /// Since when held time runs on; absent while it stands still.
    pub since: Option<Watched>,
}

/// For how long something must hold before it counts, in watched time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The breach, before the rule fires.
    pub fire: SignedDuration,
    /// The end of the breach, before the rule is resolved.
    pub clear: SignedDuration,
}

/// What the two conditions of a rule say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `when`: the breach.
    pub breach: Truth,
    /// `clear`: its end.
    pub clear: Truth,
}

impl State {
    /// A rule that is not in breach.
    pub const INACTIVE: Self = Self {
        phase: Phase::Inactive,
        base: 0,
        since: None,
    };

    fn entered(phase: Phase, watched: Watched) -> Self {
        Self {
            phase,
            base: 0,
            since: Some(watched),
        }
    }

    /// Watched nanoseconds held so far.
    #[must_use]
    pub fn held(self, watched: Watched) -> i64 {
        let running = self.since.map_or(0, |since| watched.0.saturating_sub(since.0));
        self.base.saturating_add(running)
    }

    /// When held time alone ends this phase, if what is seen stays as it is; `None` while it stands still or nothing is held.
    #[must_use]
    pub fn until(self, hold: Hold) -> Option<Watched> {
        let wanted = match self.phase {
            Phase::Pending => hold.fire,
            Phase::Clearing => hold.clear,
            _ => return None,
        };
        let wanted = i64::try_from(wanted.as_nanos()).unwrap_or(i64::MAX);
        let left = wanted.saturating_sub(self.base);
        self.since.map(|since| Watched(since.0.saturating_add(left)))
    }

    fn running(self, watched: Watched) -> Self {
        Self {
            since: self.since.or(Some(watched)),
            ..self
        }
    }

    fn stopped(self, watched: Watched) -> Self {
        Self {
            base: self.held(watched),
            since: None,
            ..self
        }
    }
}

impl From<&RulePhase> for State {
    fn from(row: &RulePhase) -> Self {
        Self {
            phase: row.phase,
            base: row.base,
            since: row.since,
        }
    }
}

/// The next state of a rule. A state that stays as it is changes no row.
#[must_use]
pub fn step(state: State, seen: Seen, watched: Watched, hold: Hold) -> State {
    match (state.phase, seen) {
        (Phase::Inactive | Phase::Other, Seen { breach, .. }) => match breach {
            Truth::True => lasted(State::entered(Phase::Pending, watched), watched, hold),
            Truth::False | Truth::Unknown => State::INACTIVE,
        },
        (Phase::Pending, Seen { breach, .. }) => match breach {
            Truth::True => lasted(state.running(watched), watched, hold),
            Truth::False => State::INACTIVE,
            Truth::Unknown => state.stopped(watched),
        },
        (Phase::Firing, Seen { clear, .. }) => match clear {
            Truth::True => lasted(State::entered(Phase::Clearing, watched), watched, hold),
            Truth::False => state.running(watched),
            Truth::Unknown => state.stopped(watched),
        },
        (Phase::Clearing, Seen { clear, .. }) => match clear {
            Truth::True => lasted(state.running(watched), watched, hold),
            Truth::False => State::entered(Phase::Firing, watched),
            Truth::Unknown => state.stopped(watched),
        },
    }
}

/// Goes on to the next phase once this one was held for long enough.
fn lasted(state: State, watched: Watched, hold: Hold) -> State {
    let held = SignedDuration::from_nanos(state.held(watched));
    match state.phase {
        Phase::Pending if held >= hold.fire => State::entered(Phase::Firing, watched),
        Phase::Clearing if held >= hold.clear => State::INACTIVE,
        _ => state,
    }
}

#[cfg(test)]
mod tests;
