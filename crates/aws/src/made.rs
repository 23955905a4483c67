//! What this program made a moment ago: EC2 and IAM may not know it everywhere yet, so their "not found" about it passes with time. It
//! is final about everything else, above all about what the user named.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long something may be unknown after it was made.
pub const SETTLES: Duration = Duration::from_mins(3);

/// How old something is that a removal believes to be gone when it is not found. A removal whose answer was lost is repeated, and finds
/// nothing then: that must not be waited out as long as what is still to come.
const REMOVED: Duration = Duration::from_secs(10);

/// By id, or by name where a name is the id.
static MADE: LazyLock<Mutex<HashMap<String, Instant>>> = LazyLock::new(Mutex::default);

fn made() -> MutexGuard<'static, HashMap<String, Instant>> {
    MADE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers the id of what was just made.
pub fn note(id: &str) {
    let mut made = made();
    made.retain(|_, since| since.elapsed() < SETTLES);
    made.insert(id.to_owned(), Instant::now());
}

/// It is removed: from now on it is not found for good.
pub(crate) fn forget(id: &str) {
    made().remove(id);
}

/// Whether it was made a moment ago.
pub(crate) fn is_new(id: &str) -> bool {
    made().get(id).is_some_and(|since| since.elapsed() < SETTLES)
}

/// Whether an error's message names something that was made a moment ago.
pub(crate) fn is_about_new(message: &str) -> bool {
    is_about_younger(message, SETTLES)
}

/// Whether it names something that a removal cannot take for gone.
pub(crate) fn is_about_unsettled(message: &str) -> bool {
    is_about_younger(message, REMOVED)
}

fn is_about_younger(message: &str, age: Duration) -> bool {
    let made = made();
    let mut young = made.iter().filter(|(_, since)| since.elapsed() < age);
    young.any(|(id, _)| message.contains(id.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_just_made_is_new() {
        note("sg-0made");
        assert!(is_about_new("The security group 'sg-0made' does not exist"));
        assert!(is_about_unsettled("The security group 'sg-0made' does not exist"));
        assert!(!is_about_new("The security group 'sg-0users' does not exist"));
        forget("sg-0made");
        assert!(!is_new("sg-0made"));
    }
}
