//! Input variables: declarations, values by source with their precedence, and the rules that a value must pass.

use bakelite_hcl::content::BodySchema;
use bakelite_hcl::convert::convert;
use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, similar_name};
use bakelite_hcl::evaluate::{self, Constraint, evaluate, parse_constraint};
use bakelite_hcl::marks::Marks;
use bakelite_hcl::native;
use bakelite_hcl::source::{Place, SourceMap};
use bakelite_hcl::syntax::{Attribute, Block, Expression, ExpressionKind};
use bakelite_hcl::types::Type;
use bakelite_hcl::value::Value;
use indexmap::IndexMap;

use crate::blocks::{Declarations, check_identifier, literal_bool};
use crate::context::TemplateContext;
use crate::decode::sentence;
use crate::discover;
use crate::invocation::{Invocation, Purpose, UndeclaredVariables};
use crate::scope::{Nameless, TemplateScope, Values};

/// A declared variable with its value.
#[derive(Debug)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: String,
    /// Its header.
    pub(crate) place: Place,
    constraint: Constraint,
    pub(crate) is_sensitive: bool,
    rules: Vec<Rule>,
    assignment: Option<Assignment>,
}

#[derive(Debug)]
struct Rule {
    condition: Expression,
    message: String,
    place: Place,
}

/// A value and where it came from.
#[derive(Debug)]
struct Assignment {
    value: Value,
    place: Option<Place>,
    origin: Origin,
}

#[derive(Debug, Clone, Copy)]
enum Origin {
    Default,
    Environment,
    VarFile,
    CommandLine,
}

impl Origin {
    fn describe(self) -> &'static str {
        match self {
            Origin::Default => "its default",
            Origin::Environment => "the environment",
            Origin::VarFile => "a variables file",
            Origin::CommandLine => "the command line",
        }
    }
}

impl Variable {
    /// The value that counts: unknown when there is none; marked when the variable is sensitive.
    pub(crate) fn effective(&self) -> Value {
        let value = match &self.assignment {
            Some(assignment) => assignment.value.clone(),
            None => Value::unknown(self.constraint.kind.clone()),
        };
        if self.is_sensitive {
            value.with_marks(Marks::SENSITIVE)
        } else {
            value
        }
    }
}

/// Reads the declarations of all files.
pub(crate) fn declare(
    declarations: &Declarations,
    context: &TemplateContext,
    diagnostics: &mut Diagnostics,
) -> IndexMap<String, Variable> {
    let working_directory = context.working_directory.clone();
    let scope = Nameless {
        eval_context: context.eval_context(&working_directory),
        functions: &context.default_functions,
    };
    let mut variables: IndexMap<String, Variable> = IndexMap::new();
    let blocks = declarations
        .blocks
        .iter()
        .filter_map(|block| from_block(block, &scope, diagnostics));
    let mut declared: Vec<Variable> = blocks.collect();
    declared.extend(
        declarations
            .untyped
            .iter()
            .map(|attribute| from_attribute(attribute, &scope, diagnostics)),
    );
    for variable in declared {
        if let Some(first) = variables.get(&variable.name) {
            diagnostics.push(
                Diagnostic::error(
                    variable.place,
                    format!("variable `{}` is declared twice", variable.name),
                )
                .related(first.place, "first here"),
            );
            continue;
        }
        variables.insert(variable.name.clone(), variable);
    }
    variables
}

/// `variables { name = default }`
fn from_attribute(attribute: &Attribute, scope: &Nameless<'_>, diagnostics: &mut Diagnostics) -> Variable {
    let value = evaluate(&attribute.expression, scope, diagnostics);
    Variable {
        name: attribute.name.text.clone(),
        place: attribute.name.place,
        constraint: type_of_default(&value).into(),
        is_sensitive: false,
        rules: Vec::new(),
        assignment: Some(Assignment {
            value,
            place: Some(attribute.expression.place),
            origin: Origin::Default,
        }),
    }
}

/// A variable without a type takes that of its default; an empty collection says nothing about what it may hold.
fn type_of_default(value: &Value) -> Type {
    let is_empty = value.elements().is_some_and(<[Value]>::is_empty)
        || value.members().is_some_and(std::collections::BTreeMap::is_empty);
    if is_empty || value.is_null() {
        Type::Dynamic
    } else {
        value.type_of()
    }
}

fn from_block(block: &Block, scope: &Nameless<'_>, diagnostics: &mut Diagnostics) -> Option<Variable> {
    let name = block.labels.first()?;
    check_identifier(name, "variable", diagnostics);
    let attributes = ["type", "default", "description", "sensitive"];
    let schema = BodySchema {
        attributes: attributes.into_iter().map(|name| (name, false)).collect(),
        blocks: vec![("validation", &[])],
    };
    let content = block.body.content(&schema, diagnostics);
    let mut variable = Variable {
        name: name.text.clone(),
        place: block.place,
        constraint: Constraint::any(),
        is_sensitive: false,
        rules: Vec::new(),
        assignment: None,
    };
    let mut default = None;
    for attribute in &content.attributes {
        let expression = &attribute.expression;
        match attribute.name.text.as_str() {
            "type" => variable.constraint = parse_constraint(expression, true, diagnostics)?,
            "default" => default = Some(expression),
            "sensitive" => variable.is_sensitive = literal_bool(expression, "sensitive", diagnostics).unwrap_or(false),
            _ => {
                literal_text(expression, &attribute.name.text, diagnostics);
            }
        }
    }
    if let Some(expression) = default {
        set_default(&mut variable, expression, scope, diagnostics);
    }
    variable.rules = content
        .blocks
        .iter()
        .filter_map(|rule| read_rule(rule, &name.text, diagnostics))
        .collect();
    Some(variable)
}

fn set_default(variable: &mut Variable, expression: &Expression, scope: &Nameless<'_>, diagnostics: &mut Diagnostics) {
    let mut found = Diagnostics::default();
    let value = evaluate(expression, scope, &mut found);
    let failed = found.has_errors();
    diagnostics.extend(found);
    if failed {
        variable.assignment = Some(Assignment {
            value,
            place: Some(expression.place),
            origin: Origin::Default,
        });
        return;
    }
    match variable.constraint.apply(&value) {
        Ok(value) => {
            if variable.constraint.kind == Type::Dynamic {
                variable.constraint = type_of_default(&value).into();
            }
            variable.assignment = Some(Assignment {
                value,
                place: Some(expression.place),
                origin: Origin::Default,
            });
        }
        Err(error) => diagnostics.push(
            Diagnostic::error(
                expression.place,
                format!("default of variable `{}` is not of its type", variable.name),
            )
            .detail(sentence(&error.to_string())),
        ),
    }
}

/// A text that uses neither names nor functions.
fn literal_text(expression: &Expression, what: &str, diagnostics: &mut Diagnostics) -> Option<String> {
    let mut found = Diagnostics::default();
    let value = evaluate::literal(expression, &mut found);
    if found.has_errors() {
        diagnostics.extend(found);
        return None;
    }
    let text = convert(&value, &Type::String)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned));
    if text.is_none() {
        diagnostics.push(Diagnostic::error(expression.place, format!("`{what}` is not a string")));
    }
    text
}

fn read_rule(block: &Block, variable: &str, diagnostics: &mut Diagnostics) -> Option<Rule> {
    let schema = BodySchema {
        attributes: vec![("condition", true), ("error_message", true)],
        blocks: Vec::new(),
    };
    let content = block.body.content(&schema, diagnostics);
    let (mut condition, mut message) = (None, None);
    for attribute in content.attributes {
        if attribute.name.text == "condition" {
            check_condition(&attribute.expression, variable, diagnostics);
            condition = Some(attribute.expression);
        } else if let Some(text) = literal_text(&attribute.expression, "error_message", diagnostics) {
            check_message(&text, attribute.expression.place, diagnostics);
            message = Some(text.trim().to_owned());
        }
    }
    let condition = condition?;
    Some(Rule {
        place: condition.place,
        condition,
        message: message?,
    })
}

/// A condition is about its own variable and nothing else.
fn check_condition(condition: &Expression, variable: &str, diagnostics: &mut Diagnostics) {
    let references = evaluate::references(condition);
    let is_own = |reference: &evaluate::Reference| {
        reference.root == "var" && reference.steps.first().is_some_and(|name| name == variable)
    };
    if let Some(other) = references.iter().find(|reference| !is_own(reference)) {
        diagnostics.push(
            Diagnostic::error(
                other.place,
                format!("condition of variable `{variable}` refers to something else"),
            )
            .related(condition.place, "in this condition")
            .help(format!("a condition may refer to `var.{variable}` only")),
        );
    } else if references.is_empty() && !matches!(condition.kind, ExpressionKind::Invalid) {
        diagnostics.push(
            Diagnostic::error(
                condition.place,
                format!("condition of variable `{variable}` does not look at its value"),
            )
            .help(format!("use `var.{variable}` in it")),
        );
    }
}

fn check_message(text: &str, place: Place, diagnostics: &mut Diagnostics) {
    let text = text.trim();
    let problem = match (text.chars().next(), text.chars().next_back()) {
        (None, _) => "is empty",
        (Some(first), _) if first.is_alphabetic() && !first.is_uppercase() => "does not begin with a capital letter",
        (_, Some('.' | '?' | '!')) => return,
        _ => "does not end with a full stop, a question mark or an exclamation mark",
    };
    diagnostics.push(
        Diagnostic::error(place, format!("error message {problem}"))
            .help("write a whole sentence: it is shown to whoever uses the template".to_owned()),
    );
}

/// Phase 8: values from the environment, variables files and the command line, the later ones in place of the earlier.
pub(crate) fn assign(
    variables: &mut IndexMap<String, Variable>,
    invocation: &Invocation,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) {
    for (key, text) in &invocation.environment {
        let Some(variable) = key.strip_prefix("PKR_VAR_").and_then(|name| variables.get_mut(name)) else {
            continue;
        };
        from_text(variable, text, Origin::Environment, sources, diagnostics);
    }
    for file in discover::variable_files(invocation, diagnostics) {
        from_file(variables, &file, invocation, sources, diagnostics);
    }
    for (name, text) in &invocation.variables {
        if let Some(variable) = variables.get_mut(name) {
            from_text(variable, text, Origin::CommandLine, sources, diagnostics);
            continue;
        }
        let help = match similar_name(name, variables.keys().map(String::as_str)) {
            Some(similar) => format!("did you mean `-var {similar}=…`?"),
            None => format!("declare it with `variable \"{name}\" {{}}` or leave the flag out"),
        };
        diagnostics.push(Diagnostic::error(None, format!("no variable `{name}` for `-var {name}=…`")).help(help));
    }
}

/// A text as a value: taken literally where a string, a number or anything is wanted, else read as an expression.
fn from_text(
    variable: &mut Variable,
    text: &str,
    origin: Origin,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) {
    let from = if matches!(origin, Origin::Environment) {
        "env"
    } else {
        "arguments"
    };
    let file = sources.add(format!("<value for var.{} from {from}>", variable.name), text);
    let place = Place::new(file, 0..text.len());
    let value = if matches!(variable.constraint.kind, Type::String | Type::Number | Type::Dynamic) {
        Value::string(text)
    } else {
        let mut found = Diagnostics::default();
        let expression = native::parse_expression(text, file, 0, &mut found);
        let value = if found.has_errors() {
            Value::dynamic()
        } else {
            evaluate::literal(&expression, &mut found)
        };
        let failed = found.has_errors();
        diagnostics.extend(found);
        if failed {
            return;
        }
        value
    };
    store(variable, &value, Some(place), origin, diagnostics);
}

fn store(variable: &mut Variable, value: &Value, place: Option<Place>, origin: Origin, diagnostics: &mut Diagnostics) {
    match variable.constraint.apply(value) {
        Ok(value) => variable.assignment = Some(Assignment { value, place, origin }),
        Err(error) => diagnostics.push(
            Diagnostic::error(
                place,
                format!(
                    "value of variable `{}` from {} is not of its type",
                    variable.name,
                    origin.describe()
                ),
            )
            .detail(sentence(&error.to_string()))
            .related(variable.place, "declared here"),
        ),
    }
}

fn from_file(
    variables: &mut IndexMap<String, Variable>,
    file: &discover::File,
    invocation: &Invocation,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) {
    let mut found = Diagnostics::default();
    let body = discover::parse(file, sources, &mut found);
    let sound = body.filter(|_| !found.has_errors());
    let attributes = sound.map(|body| body.attributes(&mut found)).unwrap_or_default();
    diagnostics.extend(found);
    for attribute in attributes {
        let mut found = Diagnostics::default();
        let value = evaluate::literal(&attribute.expression, &mut found);
        let failed = found.has_errors();
        diagnostics.extend(found);
        let name = &attribute.name;
        match variables.get_mut(&name.text) {
            _ if failed => {}
            Some(variable) => store(
                variable,
                &value,
                Some(attribute.expression.place),
                Origin::VarFile,
                diagnostics,
            ),
            None if invocation.undeclared == UndeclaredVariables::Warn => {
                let similar = similar_name(&name.text, variables.keys().map(String::as_str));
                let help = match similar {
                    Some(similar) => format!("did you mean `{similar}`?"),
                    None => format!("declare it with `variable \"{}\" {{}}`", name.text),
                };
                diagnostics.push(
                    Diagnostic::warning(name.place, format!("no variable `{}` is declared", name.text)).help(help),
                );
            }
            None => {}
        }
    }
}

/// Phase 10: every variable has a value, and every value passes its rules.
pub(crate) fn validate(
    variables: &IndexMap<String, Variable>,
    context: &TemplateContext,
    values: &Values,
    purpose: Purpose,
    diagnostics: &mut Diagnostics,
) {
    let scope = TemplateScope::new(context, values).in_working_directory();
    for variable in variables.values() {
        for rule in &variable.rules {
            check_rule(variable, rule, &scope, diagnostics);
        }
        if variable.assignment.is_none() && !matches!(purpose, Purpose::Inspect { .. } | Purpose::Console) {
            let name = &variable.name;
            diagnostics.push(Diagnostic::error(variable.place, format!("variable `{name}` has no value")).help(format!(
                "give it a default, or set it with `-var {name}=…`, a variables file or the environment variable `PKR_VAR_{name}`"
            )));
        }
    }
}

fn check_rule(variable: &Variable, rule: &Rule, scope: &TemplateScope<'_>, diagnostics: &mut Diagnostics) {
    let mut found = Diagnostics::default();
    let value = evaluate(&rule.condition, scope, &mut found);
    if found.has_errors() {
        diagnostics.extend(found);
        return;
    }
    let truth = match convert(&value, &Type::Bool) {
        _ if value.is_null() => None,
        Ok(value) if !value.is_known() => return,
        Ok(value) => value.as_bool(),
        Err(_) => None,
    };
    match (truth, &variable.assignment) {
        (Some(true), _) => {}
        (Some(false), assignment) => {
            let (origin, place) = match assignment {
                Some(assignment) => (assignment.origin.describe(), assignment.place),
                None => ("its default", None),
            };
            diagnostics.push(
                Diagnostic::error(
                    place,
                    format!("value of variable `{}` from {origin} is not valid", variable.name),
                )
                .detail(rule.message.clone())
                .related(rule.place, "by this condition"),
            );
        }
        (None, _) => diagnostics.push(Diagnostic::error(
            rule.place,
            format!("condition of variable `{}` is neither true nor false", variable.name),
        )),
    }
}

/// The values of all variables, by name.
pub(crate) fn values(variables: &IndexMap<String, Variable>) -> Values {
    let effective = variables
        .values()
        .map(|variable| (variable.name.as_str().into(), variable.effective()));
    Values {
        variables: effective.collect(),
        ..Values::default()
    }
}
