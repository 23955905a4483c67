//! What an expression can see: root names, functions, and the world that some functions ask.

use crate::budget::Budget;
use crate::functions::Functions;
use crate::value::Value;

/// Names and functions of an evaluation. Implemented by those who evaluate; `for` variables are the evaluator's own.
pub trait Scope {
    /// The value of a root name (`var`, `local`, `path`); `None` when there is no such name.
    fn root(&self, name: &str) -> Option<Value>;

    /// `ROOT.NAME` without building the whole root (a template may have thousands of locals). `None`: take [`Scope::root`].
    fn member(&self, root: &str, name: &str) -> Option<Value> {
        let _ = (root, name);
        None
    }

    /// The root names, for suggestions.
    fn root_names(&self) -> Vec<String>;

    /// The functions that may be called; `None` where calls are not allowed (values of variables).
    fn functions(&self) -> Option<&Functions>;

    /// What this and other evaluations may cost together; `None`: each expression by itself.
    fn budget(&self) -> Option<&Budget> {
        None
    }

    /// What to do where a name or a function does not exist, when the scope knows; it is shown as the help of the error.
    fn remedy(&self, missing: Missing<'_>) -> Option<String> {
        let _ = missing;
        None
    }

    /// What functions need to know besides their arguments.
    fn surroundings(&self) -> &Surroundings<'_>;
}

/// Something that an expression refers to and that does not exist.
#[derive(Debug, Clone, Copy)]
pub enum Missing<'m> {
    /// The names of `a.b.c` as far as they are written one after the other; the first or one of the others does not exist.
    Name(&'m [&'m str]),
    /// A function.
    Function(&'m str),
}

/// What functions need to know besides their arguments; nothing is read from the process behind the caller's back.
pub struct Surroundings<'a> {
    /// Relative paths of file functions are resolved against this folder.
    pub base_folder: std::path::PathBuf,
    /// The process's working folder, for the functions that ignore `base_folder`.
    pub working_folder: std::path::PathBuf,
    /// The user's home folder, for `~`.
    pub home_folder: Option<std::path::PathBuf>,
    /// When the run started, seconds since 1970 with nanoseconds.
    pub started: std::time::SystemTime,
    /// Answers of the world.
    pub world: &'a dyn World,
}

/// Answers to functions that need the network or the environment: `env`, `vault`, `consul_key`, `aws_secretsmanager`, …
/// Evaluation stays pure and synchronous: an answer that is not there yet is *unknown*; the world remembers the question, whoever
/// evaluates finds the answer and evaluates again.
pub trait World {
    /// The answer to a call, `Unknown` when it has to be fetched first, or why there is none.
    fn ask(&self, function: &str, arguments: &[Value]) -> Result<Value, String>;

    /// Is told what a function made of sensitive arguments, or a template of parts that nobody would know again.
    fn derived(&self, value: &Value) {
        let _ = value;
    }

    /// Is told what sensitive value a template puts into a longer text, where it could not be told apart later. Answers whether it will
    /// be known again there.
    fn placed(&self, value: &Value) -> bool {
        let _ = value;
        true
    }
}
