//! Expressions evaluated against a scope.

use crate::diagnostic::Diagnostics;
use crate::scope::Scope;
use crate::source::Place;
use crate::syntax::Expression;
use crate::value::Value;

/// The value of an expression. Errors are collected; the value is then unknown.
pub fn evaluate(expression: &Expression, scope: &dyn Scope, diagnostics: &mut Diagnostics) -> Value {
    let _ = (expression, scope, diagnostics);
    todo!()
}

/// The value of an expression that may use neither names nor functions.
pub fn literal(expression: &Expression, diagnostics: &mut Diagnostics) -> Value {
    let _ = (expression, diagnostics);
    todo!()
}

/// A name that an expression needs from its scope, with the literal steps that follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The root name.
    pub root: String,
    /// The attribute names and literal indexes after it, up to the first step that is computed.
    pub steps: Vec<String>,
    /// The whole traversal.
    pub place: Place,
}

/// What an expression refers to, in the order of the text, `for` variables excluded.
pub fn references(expression: &Expression) -> Vec<Reference> {
    let _ = expression;
    todo!()
}
