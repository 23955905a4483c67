//! `templatefile(path, vars)`: a file as a template, with names of its own.

use super::call::CallExpression;
use super::context::Context;
use super::evaluate_in;
use super::expect::{Expected, described};
use super::special::exactly;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::functions::Functions;
use crate::native;
use crate::scope::{Scope, Surroundings};
use crate::source::{FileId, SourceMap};
use crate::syntax::Expression;
use crate::types::Type;
use crate::value::Value;

pub(super) fn template_file(
    context: &Context<'_>,
    scope: &dyn Scope,
    call: &CallExpression<'_>,
    diagnostics: &mut Diagnostics,
) -> Value {
    let ([path, variables], true) = (call.arguments, exactly(2, call, diagnostics)) else {
        return Value::dynamic();
    };
    let before = diagnostics.iter().count();
    let path_value = path_text(context, path, diagnostics);
    let variables_value = evaluate_in(context, variables, diagnostics);
    check_names(&variables_value, variables, diagnostics);
    let path_known = path_value.as_ref().and_then(Value::as_str);
    let (Some(path_text), true, true) = (
        path_known,
        variables_value.is_known(),
        diagnostics.iter().count() == before,
    ) else {
        return Value::dynamic();
    };
    if context.in_template_file {
        let detail = "A file read by `templatefile` cannot call `templatefile` again.";
        diagnostics.push(Diagnostic::error(call.place, "Error in function call").detail(detail));
        return Value::dynamic();
    }
    let inner = TemplateScope {
        variables: &variables_value,
        outer: scope,
    };
    let marks = path_value.as_ref().map_or(variables_value.marks, |path| path.marks);
    match render(context, path_text, &inner) {
        Ok(value) => value.with_marks(marks),
        Err(reason) => {
            let detail = format!("`templatefile` failed: {reason}");
            diagnostics.push(Diagnostic::error(call.place, "Error in function call").detail(detail));
            Value::dynamic()
        }
    }
}

fn path_text(context: &Context<'_>, path: &Expression, diagnostics: &mut Diagnostics) -> Option<Value> {
    let value = evaluate_in(context, path, diagnostics);
    let expected = Expected {
        kind: Type::String,
        summary: "Invalid function argument",
        role: "the path",
        place: path.place,
    };
    expected.of(&value, diagnostics)
}

/// The variables are a map or an object, and each name can be written in a template.
fn check_names(variables: &Value, expression: &Expression, diagnostics: &mut Diagnostics) {
    let Some(members) = variables.members() else {
        if variables.is_known() {
            let detail = format!(
                "The variables of `templatefile` must be a map or an object, this is {}.",
                described(variables)
            );
            diagnostics.push(Diagnostic::error(expression.place, "Invalid function argument").detail(detail));
        }
        return;
    };
    let wrong = members.keys().find(|name| !native::is_identifier(name));
    if let Some(name) = wrong {
        let detail = format!(
            "{name:?} is not a name that a template can use: letters, digits, _ and -, the first a letter or _."
        );
        diagnostics.push(Diagnostic::error(expression.place, "Invalid function argument").detail(detail));
    }
}

fn render(context: &Context<'_>, path: &str, scope: &TemplateScope<'_>) -> Result<Value, String> {
    let text = read(path, scope.surroundings())?;
    let mut sources = SourceMap::default();
    let file = sources.add(path, text.as_str());
    let mut diagnostics = Diagnostics::default();
    let value = evaluate_template(context, &text, file, scope, &mut diagnostics);
    let errors: Vec<String> = diagnostics.iter().map(|error| sentence(error, &sources)).collect();
    if errors.is_empty() {
        Ok(value)
    } else {
        Err(errors.join("\n"))
    }
}

fn evaluate_template(
    around: &Context<'_>,
    text: &str,
    file: FileId,
    scope: &TemplateScope<'_>,
    diagnostics: &mut Diagnostics,
) -> Value {
    let template = native::parse_template(text, file, 0, diagnostics);
    if diagnostics.has_errors() {
        return Value::dynamic();
    }
    evaluate_in(&around.of_template_file(scope), &template, diagnostics)
}

/// An error in the file with its place there.
fn sentence(error: &Diagnostic, sources: &SourceMap) -> String {
    let place = error
        .place
        .map(|place| format!("{}: ", sources.describe(place)))
        .unwrap_or_default();
    format!("{place}{}. {}", error.summary, error.detail)
        .trim_end()
        .to_owned()
}

fn read(path: &str, surroundings: &Surroundings<'_>) -> Result<String, String> {
    let full = surroundings.base_folder.join(path);
    let bytes = std::fs::read(&full).map_err(|error| format!("cannot read `{}`: {error}.", full.display()))?;
    String::from_utf8(bytes).map_err(|_| format!("`{}` is not UTF-8 text.", full.display()))
}

/// The variables of a template as names, with the functions of the caller.
struct TemplateScope<'s> {
    variables: &'s Value,
    outer: &'s dyn Scope,
}

impl Scope for TemplateScope<'_> {
    fn root(&self, name: &str) -> Option<Value> {
        self.variables.attribute(name)
    }

    fn root_names(&self) -> Vec<String> {
        self.variables
            .members()
            .map(|members| members.keys().map(ToString::to_string).collect())
            .unwrap_or_default()
    }

    fn functions(&self) -> Option<&Functions> {
        self.outer.functions()
    }

    fn surroundings(&self) -> &Surroundings<'_> {
        self.outer.surroundings()
    }
}
