//! `templatefile(path, vars)`: a file as a template, with names of its own.

use super::context::Context;
use super::evaluate_in;
use super::expect::{CallExpression, Expected, capitalized, described, exactly};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::functions::Functions;
use crate::native;
use crate::scope::{EvalContext, Missing, Scope};
use crate::source::{FileId, Place, SourceMap};
use crate::syntax::Expression;
use crate::types::Type;
use crate::value::{Value, quoted};

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
        let summary = "a file read by `templatefile` cannot call `templatefile` again";
        diagnostics.push(Diagnostic::error(call.place, summary));
        return Value::dynamic();
    }
    let inner = TemplateScope {
        variables: &variables_value,
        outer: scope,
    };
    let marks = path_value.as_ref().map_or(variables_value.marks, |path| path.marks);
    match render(context, path_text, &inner, call.place) {
        Ok(value) => value.with_marks(marks),
        Err(failure) => {
            let summary = format!("`templatefile` failed: {}", failure.summary);
            diagnostics.push(Diagnostic::error(call.place, summary).detail(failure.detail));
            Value::dynamic()
        }
    }
}

fn path_text(context: &Context<'_>, path: &Expression, diagnostics: &mut Diagnostics) -> Option<Value> {
    let value = evaluate_in(context, path, diagnostics);
    let expected = Expected {
        kind: Type::String,
        role: "the path",
        place: path.place,
    };
    expected.of(&value, diagnostics)
}

/// The variables are a map or an object, and each name can be written in a template.
fn check_names(variables: &Value, expression: &Expression, diagnostics: &mut Diagnostics) {
    let Some(members) = variables.members() else {
        if variables.is_known() {
            let complaint = Diagnostic::error(expression.place, "the variables of a template are a map or an object");
            diagnostics.push(complaint.detail(format!("This is {}.", described(variables))));
        }
        return;
    };
    if let Some(name) = members.keys().find(|name| !native::is_identifier(name)) {
        let complaint = Diagnostic::error(
            expression.place,
            format!("a template cannot use the name {}", quoted(name)),
        );
        let rule = "A name begins with a letter or `_`, then come letters, digits, `_` and `-`.";
        diagnostics.push(complaint.detail(rule));
    }
}

/// Why a file gave no value.
struct Failure {
    /// What is wrong: a lower-case fragment.
    summary: String,
    /// Where in the file, and what else is wrong there.
    detail: String,
}

fn render(context: &Context<'_>, path: &str, scope: &TemplateScope<'_>, caller: Place) -> Result<Value, Failure> {
    let text = read(path, scope.eval_context())?;
    let mut sources = SourceMap::default();
    let file = sources.add(path, text.as_str());
    let mut diagnostics = Diagnostics::default();
    // Reading makes a tree that is several times as large as the text.
    if !context.spend((text.len() as u64).saturating_mul(16), caller) {
        return Ok(Value::dynamic());
    }
    let inside = context.of_template_file(scope, caller);
    let value = evaluate_template(&inside, &text, file, &mut diagnostics);
    let Some(first) = diagnostics.iter().next() else {
        return Ok(value);
    };
    let errors: Vec<String> = diagnostics.iter().map(|error| sentence(error, &sources)).collect();
    Err(Failure {
        summary: first.summary.clone(),
        detail: errors.join("\n"),
    })
}

fn evaluate_template(inside: &Context<'_>, text: &str, file: FileId, diagnostics: &mut Diagnostics) -> Value {
    let template = native::parse_template(text, file, 0, diagnostics);
    if diagnostics.has_errors() {
        return Value::dynamic();
    }
    evaluate_in(inside, &template, diagnostics)
}

/// An error in the file with its place there.
fn sentence(error: &Diagnostic, sources: &SourceMap) -> String {
    let place = error
        .place
        .map(|place| format!("{}: ", sources.describe(place)))
        .unwrap_or_default();
    format!("{place}{}. {}", capitalized(&error.summary), error.detail)
        .trim_end()
        .to_owned()
}

fn read(path: &str, eval_context: &EvalContext<'_>) -> Result<String, Failure> {
    let failure = |summary| Failure {
        summary,
        detail: String::new(),
    };
    let full = eval_context.base_directory.join(path);
    let bytes =
        std::fs::read(&full).map_err(|error| failure(format!("`{}` cannot be read: {error}", full.display())))?;
    String::from_utf8(bytes).map_err(|_| failure(format!("`{}` is not UTF-8 text", full.display())))
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

    fn remedy(&self, missing: Missing<'_>) -> Option<String> {
        match missing {
            Missing::Name(_) => None,
            Missing::Function(_) => self.outer.remedy(missing),
        }
    }

    fn eval_context(&self) -> &EvalContext<'_> {
        self.outer.eval_context()
    }
}
