//! Waiting and retrying: pauses that a cancellation ends, and work that is retried until an instance that restarts is back.

use std::time::Duration;

use bakelite_engine::communicator::CommunicatorError;
use bakelite_engine::provisioner::ProvisionError;
use bakelite_template::duration::GoDuration;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// The pauses between tries: short ones first, for what is over soon.
pub(crate) struct Pauses(Duration);

impl Pauses {
    const LONGEST: Duration = Duration::from_secs(2);

    /// From the first.
    pub(crate) fn new() -> Self {
        Self(Duration::from_millis(250))
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(Self::LONGEST);
        pause
    }
}

/// Waits; a cancellation is an error.
pub(crate) async fn pause(span: Duration, cancel: &CancellationToken) -> Result<(), ProvisionError> {
    match timeout(span, cancel.cancelled()).await {
        Ok(()) => Err(ProvisionError::cancelled()),
        Err(_) => Ok(()),
    }
}

/// Nothing could be started before the timeout.
#[derive(Debug, thiserror::Error)]
#[error("failed to start a command on the instance: it could not be reached within {limit}")]
struct Unreachable {
    limit: GoDuration,
    /// What the last try failed with.
    #[source]
    last: Option<CommunicatorError>,
}

/// Tries until it works or `limit` has passed. Only a lost connection is worth another try: what the other side refuses once it
/// refuses again.
pub(crate) async fn until_reachable<T, F>(
    limit: Duration,
    cancel: &CancellationToken,
    mut work: impl FnMut() -> F,
) -> Result<T, ProvisionError>
where
    F: Future<Output = Result<T, CommunicatorError>>,
{
    let deadline = Instant::now() + limit;
    let mut last = None;
    let mut pauses = Pauses::new();
    while Instant::now() < deadline {
        match timeout_at(deadline, work()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error @ CommunicatorError::Disconnected { .. })) => last = Some(error),
            Ok(Err(error)) => return Err(ProvisionError::failed(error)),
            Err(_) => break,
        }
        let left = deadline.saturating_duration_since(Instant::now());
        pause(pauses.next().min(left), cancel).await?;
    }
    let limit = limit.into();
    Err(ProvisionError::failed(Unreachable { limit, last }))
}
