//! The functions whose arguments are not simply evaluated first: `try`, `can`, `convert`, `templatefile`.

use super::call::CallExpression;
use super::context::Context;
use super::{attempt, evaluate_in, template_file};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::functions::Special;
use crate::scope::Scope;
use crate::types::{Type, parse_constraint};
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

/// Complains unless there are that many arguments, each of its own.
pub(super) fn exactly(count: usize, call: &CallExpression<'_>, diagnostics: &mut Diagnostics) -> bool {
    let name = &call.name.text;
    let given = call.arguments.len();
    let (summary, detail) = if call.expand_last {
        (
            "Invalid expanding argument value",
            format!("`{name}` takes its arguments as they are written, none can be spread."),
        )
    } else if given == count {
        return true;
    } else {
        let summary = if given < count {
            "Not enough function arguments"
        } else {
            "Too many function arguments"
        };
        (
            summary,
            format!(
                "`{name}` takes {count} argument{}, {given} given.",
                if count == 1 { "" } else { "s" }
            ),
        )
    };
    diagnostics.push(Diagnostic::error(call.place, summary).detail(detail));
    false
}

/// The first argument that evaluates without an error.
fn try_each(context: &Context<'_>, call: &CallExpression<'_>, diagnostics: &mut Diagnostics) -> Value {
    let mut reasons = Vec::new();
    for argument in call.arguments {
        let (value, errors) = attempt(context, argument);
        if !errors.has_errors() {
            return value;
        }
        reasons.extend(
            errors
                .iter()
                .map(|error| format!("\n- {}: {}", error.summary, error.detail)),
        );
    }
    let detail = if reasons.is_empty() {
        "`try` needs at least one argument.".to_owned()
    } else {
        format!(
            "None of the expressions given to `try` has a value:{}",
            reasons.concat()
        )
    };
    diagnostics.push(Diagnostic::error(call.place, "Error in function call").detail(detail));
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
    let Some(constraint) = parse_constraint(kind, false, diagnostics) else {
        return Value::dynamic();
    };
    constraint.apply(&value).unwrap_or_else(|error| {
        let detail = format!("The value does not convert to {}: {error}.", constraint.kind);
        diagnostics.push(Diagnostic::error(given.place, "Invalid function argument").detail(detail));
        Value::unknown(constraint.kind.without_optional())
    })
}
