//! Waiting for something to become true: polling with a deadline, never a fixed sleep.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Polls `look` until it gives a value; fails the test with `what` once `limit` has gone by.
pub fn until<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    try_until(limit, look).unwrap_or_else(|| panic!("waited {limit:?} in vain for {what}"))
}

/// Polls `look` until it gives a value or `limit` has gone by.
pub fn try_until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(value) = look() {
            return Some(value);
        }
        if began.elapsed() >= limit {
            return None;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Checks over the whole of `span` that `look` stays false: for "nothing more arrives".
pub fn never(what: &str, span: Duration, mut look: impl FnMut() -> bool) {
    assert!(
        try_until(span, || look().then_some(())).is_none(),
        "this must not happen: {what}"
    );
}
