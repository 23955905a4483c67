//! Work that is retried until an instance that restarts is back.

use std::borrow::Cow;
use std::time::Duration;

use bakelite_engine::clock::{Backoff, pause_or_cancelled};
use bakelite_engine::communicator::CommunicatorError;
use bakelite_engine::error::{Explain, Kind};
use bakelite_engine::provisioner::ProvisionError;
use bakelite_template::duration::GoDuration;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Asks an instance again until `limit` has passed: soon at first, for what is over soon.
pub(crate) fn backoff(limit: Duration) -> Backoff {
    Backoff {
        limit,
        first: Duration::from_millis(250),
        longest: Duration::from_secs(2),
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

impl Explain for Unreachable {
    fn help(&self) -> Option<Cow<'_, str>> {
        self.last.as_ref()?.help()
    }

    fn kind(&self) -> Kind {
        Kind::TimedOut
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
    let (mut last, mut tries) = (None, 0);
    while Instant::now() < deadline {
        match timeout_at(deadline, work()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error @ CommunicatorError::Disconnected { .. })) => last = Some(error),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => break,
        }
        tries += 1;
        let left = deadline.saturating_duration_since(Instant::now());
        pause_or_cancelled(backoff(limit).pause(tries).min(left), cancel).await?;
    }
    let limit = limit.into();
    Err(Unreachable { limit, last }.into())
}
