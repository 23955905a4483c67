//! Which step of setting up a sandbox failed, and why.

use std::fmt::Display;
use std::io;

/// Why a sandbox could not be set up.
#[derive(Debug)]
pub(super) struct Failure {
    /// The step that failed, such as ``mount `/proc` ``: what "failed to" goes before.
    pub(super) step: String,
    /// The kernel's error.
    pub(super) error: io::Error,
}

/// Names the step in which something failed.
pub(super) trait Step<T> {
    /// Turns the error into a `Failure`.
    fn step(self, step: impl Display) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl Display) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            step: step.to_string(),
            error: error.into(),
        })
    }
}
