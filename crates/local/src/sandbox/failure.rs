//! Which step of setting up a sandbox failed, and why.

use std::fmt::Display;
use std::io;

/// Why a sandbox could not be set up.
#[derive(Debug)]
pub(super) struct Failure {
    /// What was being done, such as ``mounting `/proc` ``.
    pub(super) doing: String,
    /// What the kernel said.
    pub(super) error: io::Error,
}

/// Names what was being done when something failed.
pub(super) trait Doing<T> {
    /// Turns the error into a `Failure`.
    fn doing(self, what: impl Display) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl Display) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            doing: what.to_string(),
            error: error.into(),
        })
    }
}
