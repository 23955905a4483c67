//! Waiting and trying again: pauses that a cancellation ends, and what is tried until an instance that restarts is back.

use std::time::Duration;

use bakelite_engine::communicator::CommunicatorError;
use bakelite_engine::provisioner::ProvisionError;
use bakelite_template::duration::GoDuration;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// Between two tries.
pub(crate) const PAUSE: Duration = Duration::from_secs(2);

/// Waits; a cancellation is an error.
pub(crate) async fn pause(span: Duration, cancel: &CancellationToken) -> Result<(), ProvisionError> {
    match timeout(span, cancel.cancelled()).await {
        Ok(()) => Err(ProvisionError::Cancelled),
        Err(_) => Ok(()),
    }
}

/// Nothing could be started in time.
#[derive(Debug, thiserror::Error)]
#[error("start on the instance: it could not be reached within {limit}")]
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
    loop {
        let Ok(tried) = timeout_at(deadline, work()).await else {
            let limit = limit.into();
            return Err(ProvisionError::failed(Unreachable { limit, last }));
        };
        match tried {
            Ok(value) => return Ok(value),
            Err(error @ CommunicatorError::Disconnected { .. }) if Instant::now() + PAUSE < deadline => {
                last = Some(error);
                pause(PAUSE, cancel).await?;
            }
            Err(error) => return Err(ProvisionError::failed(error)),
        }
    }
}
