//! A deadline around everything that waits for somebody else.

use std::{fmt, future::Future};

use jiff::SignedDuration;

/// Something did not end in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: no answer within {}", seconds(*.after))]
pub struct TimedOut {
    /// What was being done.
    pub what: String,
    /// How long it was waited for.
    pub after: SignedDuration,
}

fn seconds(duration: SignedDuration) -> impl fmt::Display {
    let millis = duration.as_millis();
    if millis % 1000 == 0 {
        format!("{} s", millis / 1000)
    } else {
        format!("{millis} ms")
    }
}

/// Waits for a future, but no longer than `limit`; a limit below zero counts as zero. The future is dropped then.
///
/// ```
/// # use jiff::SignedDuration;
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let answer = outbound::within(SignedDuration::from_secs(5), "greet", async { 7 }).await;
/// assert_eq!(answer, Ok(7));
/// # });
/// ```
pub async fn within<F: Future>(
    limit: SignedDuration,
    what: impl Into<String>,
    future: F,
) -> Result<F::Output, TimedOut> {
    let std_limit = limit.max(SignedDuration::ZERO).unsigned_abs();
    tokio::time::timeout(std_limit, future).await.map_err(|_| TimedOut {
        what: what.into(),
        after: limit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_endless_future_ends_with_a_name() {
        let limit = SignedDuration::from_millis(20);
        let error = within(limit, "wait for nothing", std::future::pending::<()>())
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "wait for nothing: no answer within 20 ms");
    }
}
