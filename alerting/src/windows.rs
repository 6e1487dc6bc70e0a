//! What was counted over the last minutes: sums over windows that roll on with each tick.
//!
//! Windows go by elapsed time and keep what their rules need and no more: two counts for a window. Everything here can be
//! rebuilt from the ticks of the longest window; nothing here lives longer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use events::{Bins, Elapsed, Moment, Watched, aggregate::Source, nanos};
use jiff::SignedDuration;

use crate::language::Needs;

/// A source that spoke so recently is known to be there: nothing counted since then means 0.
pub(crate) const SPOKE_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// A tick: when it was on the two cumulative clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    at: Elapsed,
    watched: Watched,
}

/// Counts of one tick within a window.
#[derive(Clone, Copy, Debug)]
struct Slot {
    at: Elapsed,
    n: u64,
    part: u64,
}

/// Requests over one span of time, and how many of them went wrong or took too long.
#[derive(Debug)]
struct Window {
    number: usize,
    span: SignedDuration,
    /// Latency in microseconds over which a request counts; none: errors count.
    limit_us: Option<u64>,
    slots: VecDeque<Slot>,
    n: u64,
    part: u64,
    spoke: bool,
}

impl Window {
    fn add(&mut self, at: Elapsed, n: u64, part: u64) {
        self.n = self.n.saturating_add(n);
        self.part = self.part.saturating_add(part);
        match self.slots.back_mut() {
            Some(slot) if slot.at == at => {
                slot.n = slot.n.saturating_add(n);
                slot.part = slot.part.saturating_add(part);
            }
            _ => self.slots.push_back(Slot { at, n, part }),
        }
    }

    /// Drops what is older than the window; true when something was.
    fn expire(&mut self, now: Elapsed) -> bool {
        let start = now.plus(-self.span);
        let mut dropped = false;
        while let Some(slot) = self.slots.front().filter(|slot| slot.at <= start) {
            self.n = self.n.saturating_sub(slot.n);
            self.part = self.part.saturating_sub(slot.part);
            self.slots.pop_front();
            dropped = true;
        }
        dropped
    }
}

#[derive(Debug, Default)]
struct Service {
    /// When spans last came.
    spoke: Option<Elapsed>,
    /// When anything last came.
    heard: Option<Mark>,
    windows: Vec<Window>,
}

/// How much of one span of time was watched.
#[derive(Clone, Copy, Debug)]
struct Watch {
    /// The tick at which it begins, as a number that never changes.
    start: u64,
    known: bool,
}

/// What a window holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Part and whole.
    Sum {
        /// Errors, or requests over the limit.
        part: u64,
        /// Requests.
        n: u64,
    },
    /// Less than half of the window was watched.
    Unwatched,
    /// Nothing was counted, and the source was not heard either.
    Silent,
}

/// How long a service was not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// For so long; never more than the longest span that any rule asks for.
    For(SignedDuration),
    /// Less than half of that time was watched.
    Unwatched,
}

/// All windows of one configuration.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    services: BTreeMap<String, Service>,
    watches: BTreeMap<SignedDuration, Watch>,
    ticks: VecDeque<Mark>,
    /// Number of the tick in front of `ticks`.
    first: u64,
    longest: SignedDuration,
    changed: BTreeSet<usize>,
}

impl Windows {
    /// Windows for what rules need. The second result says which window each need has, by number.
    pub(crate) fn new(needs: &Needs) -> (Self, BTreeMap<WindowKey, usize>) {
        let mut windows = Self {
            longest: needs.max_window.max(SPOKE_WITHIN),
            ..Self::default()
        };
        let errors = needs
            .windows
            .iter()
            .map(|(service, span)| (service.clone(), *span, None));
        let over = needs
            .over
            .iter()
            .map(|(service, limit, span)| (service.clone(), *span, Some(micros(*limit))));
        let mut numbers = BTreeMap::new();
        for key in errors.chain(over) {
            let number = numbers.len();
            if numbers.insert(key.clone(), number).is_none() {
                windows.open(number, key);
            }
        }
        for service in &needs.heard_services {
            windows.services.entry(service.clone()).or_default();
        }
        windows.watch(windows.longest);
        (windows, numbers)
    }

    fn open(&mut self, number: usize, (service, span, limit_us): WindowKey) {
        self.services.entry(service).or_default().windows.push(Window {
            number,
            span,
            limit_us,
            slots: VecDeque::new(),
            n: 0,
            part: 0,
            spoke: false,
        });
        self.watch(span);
    }

    fn watch(&mut self, span: SignedDuration) {
        self.watches.insert(span, Watch { start: 0, known: false });
    }

    /// The longest window of all.
    pub(crate) fn longest(&self) -> SignedDuration {
        self.longest
    }

    /// The windows that the last tick changed, by number.
    pub(crate) fn changed(&self) -> &BTreeSet<usize> {
        &self.changed
    }

    /// Takes a tick in.
    pub(crate) fn absorb(&mut self, moment: &Moment, bins: &Bins) {
        self.changed.clear();
        let now = Mark {
            at: moment.at,
            watched: moment.watched,
        };
        let moved = self.roll_ticks(now);
        for (series, bin) in bins.iter().filter(|(_, bin)| bin.records > 0) {
            let Some(service) = self.services.get_mut(series.service.as_str()) else {
                continue;
            };
            service.heard = Some(now);
            if series.source != Source::Span {
                continue;
            }
            service.spoke = Some(now.at);
            for window in &mut service.windows {
                let part = window.limit_us.map_or(bin.bad, |limit| bin.latency.over(limit));
                if bin.n > 0 {
                    window.add(now.at, bin.n, part);
                    self.changed.insert(window.number);
                }
            }
        }
        for service in self.services.values_mut() {
            for window in &mut service.windows {
                let reach = now.at.plus(-window.span.max(SPOKE_WITHIN));
                let spoke = service.spoke.is_some_and(|spoke| spoke > reach);
                let dropped = window.expire(now.at);
                if dropped || spoke != window.spoke || moved.contains(&window.span) {
                    self.changed.insert(window.number);
                }
                window.spoke = spoke;
            }
        }
    }

    /// Adds a tick and drops those that no window begins at any more. Gives the spans whose answer to "was it watched?"
    /// is another one than before.
    fn roll_ticks(&mut self, now: Mark) -> BTreeSet<SignedDuration> {
        self.ticks.push_back(now);
        let reach = now.at.plus(-self.longest);
        while self.ticks.get(1).is_some_and(|second| second.at <= reach) {
            self.ticks.pop_front();
            self.first += 1;
        }
        let mut moved = BTreeSet::new();
        for (span, watch) in &mut self.watches {
            watch.start = watch.start.max(self.first);
            let start = now.at.plus(-*span);
            let offset = |number: u64| usize::try_from(number - self.first).unwrap_or(usize::MAX);
            while self
                .ticks
                .get(offset(watch.start + 1))
                .is_some_and(|next| next.at <= start)
            {
                watch.start += 1;
            }
            let began = self
                .ticks
                .get(offset(watch.start))
                .map_or(now.watched, |mark| mark.watched);
            let known = is_half(now.watched.since(began), *span);
            if known != watch.known {
                moved.insert(*span);
            }
            watch.known = known;
        }
        moved
    }

    /// What a window holds as of the last tick; `None` when nobody asked for it.
    pub(crate) fn counted(
        &self,
        service: &str,
        span: SignedDuration,
        limit: Option<SignedDuration>,
    ) -> Option<Counted> {
        let limit_us = limit.map(micros);
        let window = self
            .services
            .get(service)?
            .windows
            .iter()
            .find(|window| window.span == span && window.limit_us == limit_us)?;
        if !self.watches.get(&span).is_some_and(|watch| watch.known) {
            return Some(Counted::Unwatched);
        }
        if window.n == 0 && !window.spoke {
            return Some(Counted::Silent);
        }
        Some(Counted::Sum {
            part: window.part,
            n: window.n,
        })
    }

    /// How long a service was not heard, as of the last tick.
    pub(crate) fn silence(&self, service: &str) -> Option<Silence> {
        let heard = self.services.get(service)?.heard;
        let now = self.ticks.back()?;
        let reach = now.at.plus(-self.longest);
        let watch = self.watches.get(&self.longest)?;
        let start = usize::try_from(watch.start.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let since = heard
            .filter(|mark| mark.at > reach)
            .or_else(|| self.ticks.get(start).copied())?;
        let silence = now.at.since(since.at).min(self.longest);
        Some(if is_half(now.watched.since(since.watched), silence) {
            Silence::For(silence)
        } else {
            Silence::Unwatched
        })
    }
}

/// A window by service, span and latency limit in microseconds.
pub(crate) type WindowKey = (String, SignedDuration, Option<u64>);

/// The key of a window over errors, or over a latency.
pub(crate) fn window_key(service: &str, span: SignedDuration, limit: Option<SignedDuration>) -> WindowKey {
    (service.to_owned(), span, limit.map(micros))
}

fn is_half(watched: SignedDuration, span: SignedDuration) -> bool {
    nanos(watched).saturating_mul(2) >= nanos(span)
}

fn micros(latency: SignedDuration) -> u64 {
    u64::try_from(latency.as_micros()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
