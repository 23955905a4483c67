//! `name(a, b...)`

use super::context::Context;
use super::expect::{CallExpression, arguments_text, capitalized, described};
use super::{evaluate_in, special};
use crate::convert::convert;
use crate::diagnostic::{Diagnostic, Diagnostics, similar_name};
use crate::functions::{Call, Function, FunctionError, Functions, Parameter, Run};
use crate::marks::Marks;
use crate::scope::{EvalContext, Missing, Scope};
use crate::source::Place;
use crate::value::{Kind, Value};

/// An argument and the expression that it came from.
pub(super) type Argument = (Value, Place);

pub(super) fn call(context: &Context<'_>, call: &CallExpression<'_>, diagnostics: &mut Diagnostics) -> Value {
    let Some((scope, function)) = function(context, call, diagnostics) else {
        return Value::dynamic();
    };
    let (run, is_known_enough): (Work, fn(&Value) -> bool) = match function.run {
        Run::Special(which) => return special::special(context, scope, which, call, diagnostics),
        Run::Plain(run) => (run, Value::is_wholly_known),
        Run::Structural(run) => (run, Value::is_known),
        Run::Lazy(run) => (run, |_| true),
    };
    let before = diagnostics.iter().count();
    let Some(arguments) = arguments(context, call, diagnostics) else {
        return Value::dynamic();
    };
    if diagnostics.iter().count() > before || !arity(function, call, arguments.len(), diagnostics) {
        return function.result.unknown();
    }
    let plain = PlainCall {
        function,
        run,
        is_known_enough,
        call,
        eval_context: scope.eval_context(),
        pay: &|work| context.spend(work, call.place),
    };
    // Functions look at their arguments several times, and some take long for each byte.
    let cost = |(value, place): &Argument| context.spend_on(value, 4, *place);
    if !arguments.iter().all(cost) {
        return function.result.unknown();
    }
    let value = plain.run(&arguments, diagnostics);
    if !context.spend_on(&value, 1, call.place) {
        return function.result.unknown();
    }
    value
}

fn function<'c>(
    context: &Context<'c>,
    call: &CallExpression<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<(&'c dyn Scope, &'static Function)> {
    let name = call.name.text.as_str();
    let Some((scope, functions)) = context.scope().and_then(|scope| Some((scope, scope.functions()?))) else {
        let detail = "This value must be known before anything else is, so that it cannot be computed by a function.";
        diagnostics.push(Diagnostic::error(call.place, "functions cannot be called here").detail(detail));
        return None;
    };
    if let Some(function) = functions.get(name) {
        return Some((scope, function));
    }
    let (summary, help) = match name.rsplit_once("::") {
        Some((namespace, _)) => (format!("there are no functions in a namespace `{namespace}`"), None),
        None => (
            format!("there is no function `{name}`"),
            similar_function(name, functions)
                .map(|similar| format!("did you mean `{similar}`?"))
                .or_else(|| context.remedy(Missing::Function(name))),
        ),
    };
    diagnostics.push(Diagnostic::error(call.name.place, summary).help(help));
    None
}

/// The function that may be meant: one of a similar name, or the one with most letters in common at the beginning when that is all of
/// a name (`uppercase`, `upper`).
fn similar_function(name: &str, functions: &Functions) -> Option<&'static str> {
    let begins_alike = |known: &&'static str| known.len() >= 4 && (name.starts_with(known) || known.starts_with(name));
    similar_name(name, functions.names()).or_else(|| {
        functions
            .names()
            .filter(|_| name.len() >= 4)
            .filter(begins_alike)
            .max_by_key(|known| known.len().min(name.len()))
    })
}

/// The arguments, the last one spread if that was asked for. `None` when it cannot be spread, or is not known yet.
pub(super) fn arguments(
    context: &Context<'_>,
    call: &CallExpression<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Argument>> {
    let mut values: Vec<Argument> = call
        .arguments
        .iter()
        .map(|argument| (evaluate_in(context, argument, diagnostics), argument.place))
        .collect();
    if !call.expand_last {
        return Some(values);
    }
    let (last, place) = values.pop()?;
    match &last.kind {
        Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => {
            values.extend(
                elements
                    .iter()
                    .map(|element| (element.clone().with_marks(last.marks), place)),
            );
            Some(values)
        }
        Kind::Unknown(kind) if !kind.is_primitive() => None,
        _ => {
            let detail = format!("It is {}; a list, set or tuple can be spread.", described(&last));
            diagnostics.push(Diagnostic::error(place, "this cannot be spread into arguments").detail(detail));
            None
        }
    }
}

fn arity(function: &Function, call: &CallExpression<'_>, given: usize, diagnostics: &mut Diagnostics) -> bool {
    let name = function.name;
    let required = function.parameters.len();
    if let Some(missing) = function.parameters.get(given) {
        let summary = format!("`{name}` needs {}, {given} given", arguments_text(required));
        let detail = format!("The first missing one is `{}`.", missing.name);
        diagnostics.push(Diagnostic::error(call.place, summary).detail(detail));
        return false;
    }
    if given > required && function.variadic.is_none() {
        let place = call.arguments.get(required).map_or(call.place, |extra| extra.place);
        let summary = format!("`{name}` takes {}, {given} given", arguments_text(required));
        diagnostics.push(Diagnostic::error(place, summary));
        return false;
    }
    true
}

/// What a function does with its arguments.
type Work = fn(&Call<'_>) -> Result<Value, FunctionError>;

/// A call of a function that works on values.
struct PlainCall<'e> {
    function: &'static Function,
    run: Work,
    /// Otherwise the result is unknown.
    is_known_enough: fn(&Value) -> bool,
    call: &'e CallExpression<'e>,
    eval_context: &'e EvalContext<'e>,
    pay: &'e dyn Fn(u64) -> bool,
}

impl PlainCall<'_> {
    fn run(&self, given: &[Argument], diagnostics: &mut Diagnostics) -> Value {
        let marks: Marks = given.iter().map(|(value, _)| value.marks_within()).collect();
        let unknown = || self.function.result.unknown().with_marks(marks);
        let mut arguments = Vec::with_capacity(given.len());
        for (index, (value, place)) in given.iter().enumerate() {
            let Some(parameter) = self.function.parameters.get(index).or(self.function.variadic) else {
                continue;
            };
            let Some(value) = self.converted(parameter, value, *place, diagnostics) else {
                return unknown();
            };
            arguments.push(value);
        }
        if !arguments.iter().all(self.is_known_enough) {
            return unknown();
        }
        match (self.run)(&Call {
            arguments: &arguments,
            eval_context: self.eval_context,
            pay: self.pay,
        }) {
            Ok(value) => {
                let value = value.with_marks(marks);
                if marks.is_sensitive() {
                    self.eval_context.externals.derived(&value);
                }
                value
            }
            Err(error) => {
                diagnostics.push(self.failure(&error, given, marks));
                unknown()
            }
        }
    }

    fn converted(
        &self,
        parameter: &Parameter,
        value: &Value,
        place: Place,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        let message = if value.is_null() && !parameter.nullable {
            "it is null, and a value is required".to_owned()
        } else {
            match convert(&value.without_marks(), &(parameter.kind)()) {
                Ok(value) => return Some(value),
                Err(error) => error.to_string(),
            }
        };
        diagnostics.push(self.bad_argument(Some(parameter), place, &message));
        None
    }

    fn bad_argument(&self, parameter: Option<&Parameter>, place: Place, message: &str) -> Diagnostic {
        let parameter = parameter.map_or("an argument", |parameter| parameter.name);
        let summary = format!("`{}` cannot take this as `{parameter}`", self.function.name);
        Diagnostic::error(place, summary).detail(format!("{}.", capitalized(message)))
    }

    /// The message of a function may quote its arguments, so that it is not shown when one of them is sensitive.
    fn failure(&self, error: &FunctionError, given: &[Argument], marks: Marks) -> Diagnostic {
        let hidden = "the reason is not shown, because an argument is sensitive".to_owned();
        let message = if marks.is_sensitive() {
            hidden
        } else {
            error.to_string()
        };
        match error {
            FunctionError::Argument { index, .. } => {
                let place = given.get(*index).map_or(self.call.place, |(_, place)| *place);
                let parameter = self.function.parameters.get(*index).or(self.function.variadic);
                self.bad_argument(parameter, place, &message)
            }
            FunctionError::Failed { .. } | FunctionError::NoAnswer(_) => {
                let help = match error {
                    FunctionError::NoAnswer(answer) if !marks.is_sensitive() => answer.help.clone(),
                    _ => None,
                };
                let summary = format!("`{}` failed", self.function.name);
                let detail = format!("{}.", capitalized(&message));
                Diagnostic::error(self.call.place, summary).detail(detail).help(help)
            }
        }
    }
}
