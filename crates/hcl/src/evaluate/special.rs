//! The functions whose arguments are not simply evaluated first: `try`, `can`, `convert`, `templatefile`.

use super::constraint::parse_constraint;
use super::context::Context;
use super::expect::{CallExpression, capitalized, exactly, required};
use super::{attempt, evaluate_in, template_file};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::functions::Special;
use crate::scope::Scope;
use crate::types::Type;
use crate::value::Value;

pub(super) fn special(
    context: &Context<'_>,
    scope: &dyn Scope,
    which: Special,
    call: &CallExpression<'_>,
    diagnostics: &mut Diagnostics,
) -> Value {
    match which {
        Special::Try => try_each(context, call, diagnostics),
        Special::Can => can(context, call, diagnostics),
        Special::Convert => convert(context, call, diagnostics),
        Special::TemplateFile => template_file::template_file(context, scope, call, diagnostics),
    }
}

/// The first argument that evaluates without an error.
fn try_each(context: &Context<'_>, call: &CallExpression<'_>, diagnostics: &mut Diagnostics) -> Value {
    let mut reasons = Vec::new();
    for argument in call.arguments {
        let (value, errors) = attempt(context, argument);
        if !errors.has_errors() {
            return value;
        }
        let text: usize = errors.iter().map(|error| error.detail.len()).sum();
        context.spend(text as u64, argument.place);
        reasons.extend(
            errors
                .iter()
                .map(|error| format!("- {}. {}", capitalized(&error.summary), error.detail)),
        );
    }
    let complaint = if reasons.is_empty() {
        Diagnostic::error(call.place, "`try` needs at least one argument")
    } else {
        Diagnostic::error(call.place, "no expression given to `try` has a value").detail(reasons.join("\n"))
    };
    diagnostics.push(complaint);
    Value::dynamic()
}

fn can(context: &Context<'_>, call: &CallExpression<'_>, diagnostics: &mut Diagnostics) -> Value {
    let ([argument], true) = (call.arguments, exactly(1, call, diagnostics)) else {
        return Value::unknown(Type::Bool);
    };
    let (value, errors) = attempt(context, argument);
    let answer = if errors.has_errors() {
        Value::bool(false)
    } else if value.is_wholly_known() {
        Value::bool(true)
    } else {
        Value::unknown(Type::Bool)
    };
    answer.with_marks(value.marks_within())
}

fn convert(context: &Context<'_>, call: &CallExpression<'_>, diagnostics: &mut Diagnostics) -> Value {
    let ([given, kind], true) = (call.arguments, exactly(2, call, diagnostics)) else {
        return Value::dynamic();
    };
    let value = evaluate_in(context, given, diagnostics);
    if !context.spend_on(&value, 2, given.place) {
        return Value::dynamic();
    }
    let Some(constraint) = parse_constraint(kind, false, diagnostics) else {
        return Value::dynamic();
    };
    constraint.apply(&value).unwrap_or_else(|error| {
        let summary = format!("this cannot be converted to {}", required(&constraint.kind));
        diagnostics
            .push(Diagnostic::error(given.place, summary).detail(format!("{}.", capitalized(&error.to_string()))));
        Value::unknown(constraint.kind.without_optional())
    })
}
