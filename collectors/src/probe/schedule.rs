//! When a probe looks: on a grid of its own, so that targets are spread over the interval and stay where they are.

use std::time::Duration;

/// After a start everything is looked at within so long, whatever its interval.
const FIRST_WITHIN: Duration = Duration::from_secs(9);

/// The grid of one probe, counted from the start of the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    every: Duration,
    offset: Duration,
    first: Duration,
}

impl Grid {
    /// The same for the same text and interval, at each start and on each machine.
    pub(super) fn new(text: &str, every: Duration) -> Self {
        let every = every.max(Duration::from_millis(1));
        let digest = blake3::hash(text.as_bytes());
        let hash = digest
            .as_bytes()
            .iter()
            .take(8)
            .fold(0_u64, |hash, byte| (hash << 8) | u64::from(*byte));
        Self {
            every,
            offset: modulo(hash, every),
            first: modulo(hash, every.min(FIRST_WITHIN)),
        }
    }

    /// When the first look is due.
    pub(super) fn first(self) -> Duration {
        self.first
    }

    /// When the look after one is due, that was planned for `planned` and has ended at `now`. Times that went by
    /// meanwhile are left out, not made up for.
    pub(super) fn next(self, planned: Duration, now: Duration) -> Duration {
        // The first look need not lie on the grid; the second comes half an interval to one and a half after it.
        let after = now.max(planned + self.every / 2);
        let Some(since) = after.checked_sub(self.offset) else {
            return self.offset;
        };
        let steps = since.as_nanos() / self.every.as_nanos() + 1;
        let ahead = self.every.as_nanos().saturating_mul(steps);
        self.offset
            .saturating_add(Duration::from_nanos(u64::try_from(ahead).unwrap_or(u64::MAX)))
    }
}

fn modulo(hash: u64, every: Duration) -> Duration {
    let nanos = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX).max(1);
    Duration::from_nanos(hash % nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn targets_are_spread() {
        let every = Duration::from_secs(10);
        let mut seconds = [0; 9];
        for index in 0..1000 {
            let grid = Grid::new(&format!("http://10.0.0.1/{index}"), every);
            let second = usize::try_from(grid.first().as_secs()).unwrap();
            seconds[second] += 1;
        }
        assert!(seconds.iter().all(|count| (70..=150).contains(count)), "{seconds:?}");
    }

    proptest! {
        #[test]
        fn looks_come_on_the_grid(text in ".{0,20}", every_ms in 1000_u64..10_000_000, took_ms in 0_u64..100_000_000) {
            let every = Duration::from_millis(every_ms);
            let grid = Grid::new(&text, every);
            prop_assert!(grid.first() < every.min(FIRST_WITHIN));
            let second = grid.next(grid.first(), grid.first());
            prop_assert!(second >= grid.first() + every / 2 && second <= grid.first() + every * 2);
            // From there on it is regular, unless a look takes longer.
            prop_assert_eq!(grid.next(second, second), second + every);
            let now = second + Duration::from_millis(took_ms);
            let next = grid.next(second, now);
            prop_assert!(next > now && next <= now + every, "{next:?} {now:?}");
            prop_assert_eq!(next.saturating_sub(second).as_nanos() % every.as_nanos(), 0);
        }
    }
}
