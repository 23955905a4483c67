//! Waiting for what a server or a process does by itself, and never for ever.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a test waits for what takes a moment on an idle machine.
pub const LIMIT: Duration = Duration::from_mins(1);
/// Between two looks at something that has no event.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until something is so; a test fails that has waited for `limit`.
#[expect(
    clippy::disallowed_methods,
    reason = "one of the two places where tests look again and again"
)]
pub async fn eventually(limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < deadline, "after {limit:?} still not: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// What a future yields that may do a lot before; a test fails that has waited for minutes.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(5 * LIMIT, future).await;
    done.unwrap_or_else(|_| panic!("waited {:?} in vain for {what}", 5 * LIMIT))
}

/// Polls until something is there; a test fails that has waited for `limit`.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    within(limit, look).unwrap_or_else(|| panic!("waited {limit:?} in vain for {what}"))
}

/// Polls until something is there, for so long at most.
pub fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "one of the two places where tests look again and again"
        )]
        std::thread::sleep(PAUSE);
    }
}
