//! Waiting for time to pass. What can be waited for as an event is waited for as one; where only time helps, as before a service is
//! asked again, this is the way, and it ends when nobody wants the result any more.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// How a pause ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    /// The time is over.
    Elapsed,
    /// It was cancelled before.
    Cancelled,
}

/// Waits for a time, or until it is cancelled.
pub async fn pause(span: Duration, cancel: &CancellationToken) -> Paused {
    pause_unless(span, cancel.cancelled()).await
}

/// The same for work that has nothing to clean up: a cancellation is an error.
pub async fn pause_or_cancelled(span: Duration, cancel: &CancellationToken) -> Result<(), Error> {
    match pause(span, cancel).await {
        Paused::Elapsed => Ok(()),
        Paused::Cancelled => Err(Error::cancelled()),
    }
}

/// Waits for a time, or until something happens that ends the waiting.
#[expect(clippy::disallowed_methods, reason = "the one place that waits for time")]
pub async fn pause_unless(span: Duration, happens: impl Future<Output = ()>) -> Paused {
    tokio::select! {
        biased;
        () = happens => Paused::Cancelled,
        () = tokio::time::sleep(span) => Paused::Elapsed,
    }
}

/// When something is tried again that failed for now: pauses that double, up to a limit of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Nothing is tried again that long after the first try.
    pub limit: Duration,
    /// The pause after the first try.
    pub first: Duration,
    /// No pause is longer.
    pub longest: Duration,
}

impl Backoff {
    /// The pause after so many tries.
    pub fn pause(&self, tries: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(tries.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff {
            limit: Duration::from_mins(1),
            first: Duration::from_secs(1),
            longest: Duration::from_secs(5),
        };
        let pauses = [1, 2, 3, 4, 100].map(|tries| backoff.pause(tries).as_secs());
        assert_eq!(pauses, [1, 2, 4, 5, 5]);
    }
}
