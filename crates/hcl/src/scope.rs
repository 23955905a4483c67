//! What an expression can see: root names and functions.

use crate::budget::Budget;
pub use crate::externals::{EvalContext, Externals, NoAnswer};
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
    fn eval_context(&self) -> &EvalContext<'_>;
}

/// Something that an expression refers to and that does not exist.
#[derive(Debug, Clone, Copy)]
pub enum Missing<'m> {
    /// The names of `a.b.c` as far as they are written one after the other; the first or one of the others does not exist.
    Name(&'m [&'m str]),
    /// A function.
    Function(&'m str),
}
