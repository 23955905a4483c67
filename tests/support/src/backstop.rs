//! The last resort against a test that never ends: its whole process is ended, with the test's name. What a test waits for has a limit
//! of its own, far below this one; this one is for a wait that nobody thought of.

use std::io::Write as _;
use std::process::abort;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Ten times as long as the longest test takes on a busy machine.
const LIMIT: Duration = Duration::from_mins(20);

thread_local!(static OF_THREAD: Option<Backstop> = of_thread());

/// Limits the test of this thread; called by whatever a test may wait for.
pub fn watch() {
    OF_THREAD.with(|_| ());
}

/// Nothing where the thread is not a test's own: `main` may run one test after the other, a runtime's is no test, and others have no name.
fn of_thread() -> Option<Backstop> {
    let thread = std::thread::current();
    let test = thread
        .name()
        .filter(|name| !matches!(*name, "main" | "tokio-rt-worker"))?;
    Some(Backstop::of(test))
}

/// The limit of a test under way; dropped at the test's end.
pub struct Backstop {
    _until_dropped: Sender<()>,
}

impl Backstop {
    /// Limits a test: libtest's own are limited by whatever of this crate they use, others where they are called.
    #[must_use]
    pub fn of(test: &str) -> Self {
        let message = format!("\ntest {test} has not ended within {LIMIT:?}: the others of its process end with it\n");
        let (sender, dropped) = channel();
        std::thread::spawn(move || {
            if dropped.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                // What is printed with a macro would be kept for the end of the test.
                let _ = std::io::stderr().write_all(message.as_bytes());
                abort();
            }
        });
        Self { _until_dropped: sender }
    }
}
