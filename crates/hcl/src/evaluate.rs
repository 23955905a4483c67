//! Expressions evaluated against a scope. Errors are collected; what has one is unknown, and so is what is made of it.

mod call;
mod collection;
mod conditional;
mod constraint;
mod context;
mod expect;
mod for_expression;
mod involved;
mod operators;
mod references;
mod special;
mod splat;
mod template;
mod template_file;
mod traverse;

use crate::budget::{self, Budget};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::scope::Scope;
use crate::syntax::{Expression, ExpressionKind};
use crate::value::Value;

pub use constraint::{Constraint, Defaults, parse_constraint};
use context::Context;
pub use references::{Reference, references};

/// The value of an expression. Errors are collected; the value is then unknown.
pub fn evaluate(expression: &Expression, scope: &dyn Scope, diagnostics: &mut Diagnostics) -> Value {
    let own;
    let budget = if let Some(shared) = scope.budget() {
        shared
    } else {
        own = Budget::default();
        &own
    };
    let mut found = Diagnostics::default();
    let value = evaluate_in(&Context::of(scope, budget), expression, &mut found);
    diagnostics.extend(involved::tell(found, expression, scope));
    checked(value, expression, budget, diagnostics)
}

/// The value, unless making it, or it, was too much. Errors inside of `try` vanish; these do not.
fn checked(value: Value, expression: &Expression, budget: &Budget, diagnostics: &mut Diagnostics) -> Value {
    let excess = budget::excess(&value, budget, expression.place)
        .map(|excess| Diagnostic::error(expression.place, "this value is too large").detail(excess));
    let Some(complaint) = excess.or_else(|| budget.complaint()) else {
        return value;
    };
    diagnostics.push(complaint);
    Value::dynamic()
}

/// The value of an expression that may use neither names nor functions. Strings of a JSON file are plain text here.
pub fn literal(expression: &Expression, diagnostics: &mut Diagnostics) -> Value {
    let budget = Budget::default();
    let value = evaluate_in(&Context::literal(&budget), expression, diagnostics);
    checked(value, expression, &budget, diagnostics)
}

/// The same with the names that surround the expression.
fn evaluate_in(context: &Context<'_>, expression: &Expression, diagnostics: &mut Diagnostics) -> Value {
    let Some(context) = &context.deeper() else {
        return context::too_deep(expression, diagnostics);
    };
    if !context.spend(budget::ONE, expression.place) {
        return Value::dynamic();
    }
    match &expression.kind {
        ExpressionKind::Literal(value) => value.clone(),
        ExpressionKind::Template(parts) => template::template(context, parts, expression.place, diagnostics),
        ExpressionKind::Tuple(elements) => collection::tuple(context, elements, diagnostics),
        ExpressionKind::Object(items) => collection::object(context, items, diagnostics),
        ExpressionKind::Variable(name) => context.variable(&[name.as_str()], expression.place, diagnostics),
        ExpressionKind::Attribute(..) | ExpressionKind::Index(..) => {
            traverse::traversal(context, expression, diagnostics)
        }
        ExpressionKind::Splat { source, rest } => splat::splat(context, source, rest, diagnostics),
        ExpressionKind::SplatElement => context.splat_element(expression.place, diagnostics),
        ExpressionKind::Conditional(condition, yes, no) => {
            conditional::conditional(context, condition, yes, no, diagnostics)
        }
        ExpressionKind::Operations(first, operations) => operators::operations(context, first, operations, diagnostics),
        ExpressionKind::Unary(operator, operand) => {
            operators::unary(context, *operator, operand, expression.place, diagnostics)
        }
        ExpressionKind::Call {
            name,
            arguments,
            expand_last,
        } => {
            let call = expect::CallExpression {
                name,
                arguments,
                expand_last: *expand_last,
                place: expression.place,
            };
            call::call(context, &call, diagnostics)
        }
        ExpressionKind::For(expression) => for_expression::for_expression(context, expression, diagnostics),
        ExpressionKind::Parenthesis(inner) => evaluate_in(context, inner, diagnostics),
        ExpressionKind::JsonString(_, text) if context.is_literal() => Value::string(text),
        ExpressionKind::JsonString(template, _) => evaluate_in(context, template, diagnostics),
        ExpressionKind::Invalid => Value::dynamic(),
        ExpressionKind::Unreadable(errors) => {
            diagnostics.extend(errors.iter().cloned());
            Value::dynamic()
        }
    }
}

/// The same, with the errors apart from those of others.
fn attempt(context: &Context<'_>, expression: &Expression) -> (Value, Diagnostics) {
    let mut diagnostics = Diagnostics::default();
    let value = evaluate_in(context, expression, &mut diagnostics);
    (value, diagnostics)
}

#[cfg(test)]
mod tests;
