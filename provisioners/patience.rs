//! Waiting and trying again: pauses that a cancellation ends, and what is tried until an instance that restarts is back.

use std::time::Duration;

use bakelite_engine::communicator::CommunicatorError;
use bakelite_engine::provisioner::ProvisionError;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(2);

/// Waits; a cancellation is an error.
pub(crate) async fn pause(span: Duration, cancel: &CancellationToken) -> Result<(), ProvisionError> {
    match timeout(span, cancel.cancelled()).await {
        Ok(()) => Err(ProvisionError::Cancelled),
        Err(_) => Ok(()),
    }
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
    loop {
        match work().await {
            Ok(value) => return Ok(value),
            Err(error @ CommunicatorError::Disconnected { .. }) if Instant::now() + PAUSE < deadline => {
                drop(error);
                pause(PAUSE, cancel).await?;
            }
            Err(error) => return Err(ProvisionError::failed(error)),
        }
    }
}
