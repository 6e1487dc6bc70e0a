//! Which copies stay. Pure: no clock, no store; the same copies and the same moment give the same answer.
//!
//! Only proved copies fill slots, so that thirty empty nights cannot push out the last good one. The newest proved copy
//! stays under every rule, and a clock that cannot be trusted stops all dropping.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{
    SignedDuration, Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};
use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    failure::{Failure, Reason as FailureReason},
};

/// Unproved copies that stay, newest first.
const UNPROVED: usize = 3;
/// A copy this far in the future means that some clock is wrong.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// A copy of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The snapshot.
    pub id: Digest,
    /// Order of capture, as the journal counts; a clock may go back, this does not.
    pub sequence: u64,
    /// When it was captured, by the wall clock.
    pub at: Timestamp,
    /// Whether it was proved.
    pub proved: bool,
}

/// How many copies stay for each kind of slot. Zero of everything keeps the newest proved copy alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of the so many latest hours that have one.
    pub hourly: u32,
    /// Likewise for days.
    pub daily: u32,
    /// Likewise for ISO weeks.
    pub weekly: u32,
    /// Likewise for months.
    pub monthly: u32,
    /// Likewise for years.
    pub yearly: u32,
    /// All that are at most this much older than the newest proved one.
    pub within: Option<SignedDuration>,
}

/// What else decides whether anything may be dropped now.
#[derive(Clone, Debug)]
pub struct Situation {
    /// The wall clock.
    pub now: Timestamp,
    /// Whether the wall clock moved by more than 5 minutes against the boot clock within the last 24 hours.
    pub clock_jumped: bool,
    /// The time between two runs of the job. Without a proof for three of them nothing is dropped.
    pub interval: SignedDuration,
    /// The job's time zone, for days and longer.
    pub zone: TimeZone,
}

/// Why a copy stays or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The newest proved copy.
    NewestProved,
    /// A slot of `last`.
    Last,
    /// A slot of `hourly`.
    Hourly,
    /// A slot of `daily`.
    Daily,
    /// A slot of `weekly`.
    Weekly,
    /// A slot of `monthly`.
    Monthly,
    /// A slot of `yearly`.
    Yearly,
    /// Young enough for `within`.
    Within,
    /// Unproved, but one of the newest three such.
    UnprovedNewest,
    /// Nothing drops while there is no proved copy at all.
    NothingProved,
    /// Nothing drops: the clock jumped within the last 24 hours.
    ClockJumped,
    /// Nothing drops: a copy lies in the future.
    FromTheFuture,
    /// Nothing drops: the last proof is older than three intervals.
    ProofOverdue,
    /// It would go, but enough go in this run already.
    EnoughForNow,
    /// No slot wants it.
    NoSlot,
    /// Unproved, and three newer ones are there.
    Unproved,
}

/// Whether a copy stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It stays.
    Keep(Reason),
    /// It goes.
    Drop(Reason),
}

impl Verdict {
    /// Whether it goes.
    #[must_use]
    pub fn drops(self) -> bool {
        matches!(self, Self::Drop(_))
    }
}

/// The zone of this IANA name, from the database in the binary: every host decides alike.
///
/// # Errors
/// [`FailureReason::Invalid`] for an unknown name.
pub fn zone(name: &str) -> Result<TimeZone, Failure> {
    TimeZoneDatabase::bundled().get(name).map_err(|error| {
        Failure::caused(
            FailureReason::Invalid,
            format!("looking for the time zone {name:?}"),
            error,
        )
    })
}

/// The verdict on every copy, newest first.
#[must_use]
pub fn keep(copies: &[Copy], rule: &Rule, situation: &Situation) -> Vec<(Digest, Verdict)> {
    let mut copies: Vec<Copy> = copies.to_vec();
    copies.sort_by_key(|copy| std::cmp::Reverse((copy.sequence, copy.id)));
    copies.dedup_by_key(|copy| copy.id);
    if let Some(reason) = held(&copies, situation) {
        return copies.iter().map(|copy| (copy.id, Verdict::Keep(reason))).collect();
    }
    let proved: Vec<Copy> = copies.iter().filter(|copy| copy.proved).copied().collect();
    let slots = slots(&proved, rule, &situation.zone);
    let unproved: BTreeSet<Digest> = copies
        .iter()
        .filter(|copy| !copy.proved)
        .take(UNPROVED)
        .map(|copy| copy.id)
        .collect();
    let verdict = |copy: &Copy| match (copy.proved, slots.get(&copy.id)) {
        (true, Some(reason)) => Verdict::Keep(*reason),
        (true, None) => Verdict::Drop(Reason::NoSlot),
        (false, _) if unproved.contains(&copy.id) => Verdict::Keep(Reason::UnprovedNewest),
        (false, _) => Verdict::Drop(Reason::Unproved),
    };
    let mut verdicts: Vec<_> = copies.iter().map(|copy| (copy.id, verdict(copy))).collect();
    limit(&mut verdicts);
    verdicts
}

/// Why nothing may be dropped at all.
fn held(copies: &[Copy], situation: &Situation) -> Option<Reason> {
    if situation.clock_jumped {
        return Some(Reason::ClockJumped);
    }
    if copies
        .iter()
        .any(|copy| copy.at.duration_since(situation.now) > TOLERANCE)
    {
        return Some(Reason::FromTheFuture);
    }
    let Some(newest) = copies.iter().find(|copy| copy.proved) else {
        return Some(Reason::NothingProved);
    };
    let overdue = situation.interval.saturating_mul(3);
    (situation.now.duration_since(newest.at) > overdue).then_some(Reason::ProofOverdue)
}

/// The proved copies that fill a slot, with the first slot that wants them. Newest first.
fn slots(proved: &[Copy], rule: &Rule, zone: &TimeZone) -> BTreeMap<Digest, Reason> {
    let mut kept = BTreeMap::new();
    let Some(newest) = proved.first() else { return kept };
    let local = |copy: &Copy| copy.at.to_zoned(zone.clone());
    fill(&mut kept, proved, Reason::Last, rule.last, |copy| copy.id);
    // An hour that comes twice when summer ends is two hours.
    fill(&mut kept, proved, Reason::Hourly, rule.hourly, |copy| {
        let local = local(copy);
        (local.date(), local.hour(), local.offset())
    });
    fill(&mut kept, proved, Reason::Daily, rule.daily, |copy| local(copy).date());
    fill(&mut kept, proved, Reason::Weekly, rule.weekly, |copy| {
        let week = local(copy).date().iso_week_date();
        (week.year(), week.week())
    });
    fill(&mut kept, proved, Reason::Monthly, rule.monthly, |copy| {
        let date = local(copy).date();
        (date.year(), date.month())
    });
    fill(&mut kept, proved, Reason::Yearly, rule.yearly, |copy| {
        local(copy).date().year()
    });
    if let Some(within) = rule.within {
        for copy in proved.iter().filter(|copy| newest.at.duration_since(copy.at) <= within) {
            kept.entry(copy.id).or_insert(Reason::Within);
        }
    }
    kept.insert(newest.id, Reason::NewestProved);
    kept
}

/// Keeps the newest copy of each of the first `count` different periods.
fn fill<P: Ord>(
    kept: &mut BTreeMap<Digest, Reason>,
    proved: &[Copy],
    reason: Reason,
    count: u32,
    period: impl Fn(&Copy) -> P,
) {
    let mut periods = BTreeSet::new();
    for copy in proved {
        if periods.len() >= usize::try_from(count).unwrap_or(usize::MAX) {
            return;
        }
        if periods.insert(period(copy)) {
            kept.entry(copy.id).or_insert(reason);
        }
    }
}

/// At most a fifth goes in one run, and two at least: a rule that was changed by mistake can be changed back in time.
/// The oldest go first.
fn limit(verdicts: &mut [(Digest, Verdict)]) {
    let mut left = (verdicts.len() / 5).max(2);
    for (_, verdict) in verdicts.iter_mut().rev().filter(|(_, verdict)| verdict.drops()) {
        if left == 0 {
            *verdict = Verdict::Keep(Reason::EnoughForNow);
        } else {
            left -= 1;
        }
    }
}
