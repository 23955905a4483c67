//! Waiting for what a server or a process does by itself: looked at again and again, and never for ever.

use std::time::{Duration, Instant};

/// How long a test waits for what takes a moment on an idle machine.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Waits until something is so; a test fails that has waited for `limit`.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where tests look again and again"
)]
pub async fn eventually(limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < deadline, "after {limit:?} still not: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
