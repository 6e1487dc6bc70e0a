//! When a tick comes: every five seconds, and at the moment when a held time ends, so that nobody is told late.

use std::{sync::Arc, time::Duration};

use events::{Clocks, Stop, Views, Watched};
use store::Store;
use tokio::time::Instant;

use super::record::Record;
use crate::supervisor::{Stage, Supervisor};

/// Longest time between two ticks.
const TICK: Duration = Duration::from_secs(5);
/// Shortest time between two ticks, and how often it is looked whether a held time ends before the next one.
const TICK_MIN: Duration = Duration::from_secs(1);

/// Ticks until the writers stop.
pub(super) fn tick_on(record: &Record, supervisor: &mut Supervisor) {
    let store = Store::new(record.journal.clone(), Arc::new(record.telemetry.clone()));
    let clocks = Arc::clone(&record.clocks);
    let stop = supervisor.token(Stage::Write);
    supervisor.essential(Stage::Write, "ticks", async move {
        loop {
            let (ticked, at) = (Instant::now(), watched(&*store.journal.views().await, &clocks));
            if let Err(error) = store.tick().await {
                tracing::warn!(%error, "record a tick; what was counted goes with the next one");
            }
            while let Some(nap) = nap(ticked.elapsed(), early(&*store.journal.views().await, at, &clocks)) {
                tokio::select! { () = tokio::time::sleep(nap) => {}, () = stop.stopped() => return }
            }
        }
    });
}

fn watched(views: &Views, clocks: &Arc<dyn Clocks>) -> Watched {
    views.now.stamp(&clocks.now(), false).watched
}

/// How soon a held time ends that had not ended at the last tick.
fn early(views: &Views, last: Watched, clocks: &Arc<dyn Clocks>) -> Option<Duration> {
    let left = views.next_phase_end(last)?.since(watched(views, clocks));
    Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
}

/// How long to wait before it is time to look again; `None` when it is time for a tick.
fn nap(since_tick: Duration, early: Option<Duration>) -> Option<Duration> {
    let left = TICK.saturating_sub(since_tick);
    let earliest = TICK_MIN.saturating_sub(since_tick);
    let wanted = early.map_or(left, |early| left.min(early.max(earliest)));
    (!wanted.is_zero()).then(|| wanted.min(TICK_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_tick_comes_every_five_seconds_when_nothing_is_held() {
        assert_eq!(nap(ms(0), None), Some(ms(1000)));
        assert_eq!(nap(ms(4800), None), Some(ms(200)));
        assert_eq!(nap(ms(5000), None), None);
    }

    #[test]
    fn a_tick_comes_when_a_held_time_ends_but_not_twice_a_second() {
        assert_eq!(nap(ms(2000), Some(ms(300))), Some(ms(300)));
        assert_eq!(nap(ms(2000), Some(ms(0))), None);
        assert_eq!(nap(ms(400), Some(ms(0))), Some(ms(600)));
        assert_eq!(nap(ms(4900), Some(ms(3000))), Some(ms(100)));
    }
}
