//! What functions see besides their arguments: directories, the time of the run, and answers from outside.

use crate::value::Value;

/// What functions need to know besides their arguments; nothing is read from the process behind the caller's back.
pub struct EvalContext<'a> {
    /// Relative paths of file functions are resolved against this directory.
    pub base_directory: std::path::PathBuf,
    /// The process's working directory, for the functions that ignore `base_directory`.
    pub working_directory: std::path::PathBuf,
    /// The user's home directory, for `~`.
    pub home_directory: Option<std::path::PathBuf>,
    /// When the run started, seconds since 1970 with nanoseconds.
    pub started: std::time::SystemTime,
    /// Answers from outside.
    pub externals: &'a dyn Externals,
}

/// Why a question to the outside has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NoAnswer {
    /// What failed, with its causes: a fragment.
    pub message: String,
    /// What the user can do, where that is known.
    pub help: Option<String>,
}

impl From<String> for NoAnswer {
    fn from(message: String) -> Self {
        Self { message, help: None }
    }
}

/// Answers to functions that need the network or the environment. Evaluation stays pure and synchronous: an answer that is not there yet
/// is *unknown*; the question is remembered, whoever evaluates finds the answer and evaluates again.
pub trait Externals {
    /// The answer to a call, `Unknown` when it has to be fetched first, or why there is none.
    fn ask(&self, function: &str, arguments: &[Value]) -> Result<Value, NoAnswer>;

    /// Notes what a function made of sensitive arguments, or a template of parts that would not be recognized in the result.
    fn derived(&self, value: &Value) {
        let _ = value;
    }

    /// Notes a sensitive value that a template puts into a longer string, where it could not be told apart later. Returns whether it will
    /// be recognized there.
    fn placed(&self, value: &Value) -> bool {
        let _ = value;
        true
    }
}
