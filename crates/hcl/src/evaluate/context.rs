//! What surrounds an expression that is evaluated: the scope, the names that `for` binds, the element of a splat.

use crate::budget::{Budget, ONE};
use crate::diagnostic::{Diagnostic, Diagnostics, similar_name};
use crate::scope::{Missing, Scope};
use crate::source::Place;
use crate::syntax::Expression;
use crate::value::Value;

/// Expressions nested deeper than this are refused, so that no template overflows the stack.
const MAX_DEPTH: u16 = 256;

/// Cheap to copy: each construct that binds something adds a link.
#[derive(Clone, Copy)]
pub(super) struct Context<'c> {
    /// Absent where only literals are allowed.
    scope: Option<&'c dyn Scope>,
    bindings: Option<&'c Binding<'c>>,
    splat_element: Option<&'c Value>,
    budget: &'c Budget,
    /// The call whose work all of this is: places in a template file mean nothing outside of it.
    caller: Option<Place>,
    /// Inside of a file read by `templatefile`.
    pub(super) in_template_file: bool,
    depth: u16,
}

/// A name bound by a `for`, and those bound around it.
pub(super) struct Binding<'c> {
    name: &'c str,
    value: &'c Value,
    outer: Option<&'c Binding<'c>>,
}

impl<'c> Context<'c> {
    pub(super) fn of(scope: &'c dyn Scope, budget: &'c Budget) -> Self {
        Self {
            scope: Some(scope),
            ..Self::literal(budget)
        }
    }

    pub(super) fn literal(budget: &'c Budget) -> Self {
        Self {
            scope: None,
            bindings: None,
            splat_element: None,
            budget,
            caller: None,
            in_template_file: false,
            depth: 0,
        }
    }

    /// For the template in a file, which sees a scope of its own and nothing of what surrounds the call.
    pub(super) fn of_template_file<'n>(&self, scope: &'n dyn Scope, caller: Place) -> Context<'n>
    where
        'c: 'n,
    {
        Context {
            in_template_file: true,
            caller: Some(caller),
            depth: self.depth,
            ..Context::of(scope, self.budget)
        }
    }

    /// Pays for something; when there is not enough it must not be done, and the result is unknown.
    pub(super) fn spend(&self, cost: u64, place: Place) -> bool {
        self.budget.spend(cost, self.caller.unwrap_or(place))
    }

    /// Pays for looking at all of a value, at its text that many times.
    pub(super) fn spend_on(&self, value: &Value, text_times: u64, place: Place) -> bool {
        self.spend(self.budget.cost(value, text_times), place)
    }

    /// For an expression inside of the present one; `None` when there are too many around it already.
    pub(super) fn deeper(&self) -> Option<Self> {
        (self.depth < MAX_DEPTH).then_some(Self {
            depth: self.depth + 1,
            ..*self
        })
    }

    pub(super) fn is_literal(&self) -> bool {
        self.scope.is_none()
    }

    pub(super) fn scope(&self) -> Option<&'c dyn Scope> {
        self.scope
    }

    /// A link to be used with [`Context::with`].
    pub(super) fn bind<'n>(&self, name: &'n str, value: &'n Value) -> Binding<'n>
    where
        'c: 'n,
    {
        Binding {
            name,
            value,
            outer: self.bindings,
        }
    }

    pub(super) fn with<'n>(&self, binding: &'n Binding<'n>) -> Context<'n>
    where
        'c: 'n,
    {
        Context {
            bindings: Some(binding),
            ..*self
        }
    }

    pub(super) fn with_splat_element<'n>(&self, element: &'n Value) -> Context<'n>
    where
        'c: 'n,
    {
        Context {
            splat_element: Some(element),
            ..*self
        }
    }

    pub(super) fn splat_element(&self, place: Place, diagnostics: &mut Diagnostics) -> Value {
        self.splat_element.cloned().unwrap_or_else(|| {
            diagnostics.push(Diagnostic::error(place, "this has no value to be taken from"));
            Value::dynamic()
        })
    }

    fn bound(&self, name: &str) -> Option<&'c Value> {
        std::iter::successors(self.bindings, |binding| binding.outer)
            .find(|binding| binding.name == name)
            .map(|found| found.value)
    }

    /// `root.name` as the scope answers it, without its root.
    pub(super) fn member(&self, root: &str, name: &str) -> Option<Value> {
        if self.bound(root).is_some() {
            None
        } else {
            self.scope?.member(root, name)
        }
    }

    /// The value of a root name; `path` is that name and those that follow it as attributes.
    pub(super) fn variable(&self, path: &[&str], place: Place, diagnostics: &mut Diagnostics) -> Value {
        let name = path.first().copied().unwrap_or_default();
        if let Some(value) = self.bound(name) {
            return value.clone();
        }
        let Some(scope) = self.scope else {
            return no_variables(place, diagnostics);
        };
        if let Some(value) = scope.root(name) {
            // Put together for this use.
            let members = value.members().map_or(0, |members| members.len() as u64);
            self.spend(members.saturating_mul(ONE), place);
            return value;
        }
        let mut names = scope.root_names();
        if names.is_empty() && self.bindings.is_none() && !self.in_template_file {
            return no_variables(place, diagnostics);
        }
        names.extend(
            std::iter::successors(self.bindings, |binding| binding.outer).map(|binding| binding.name.to_owned()),
        );
        diagnostics.push(self.undefined(path, &names, place));
        Value::dynamic()
    }

    /// What to do where a name or a function does not exist.
    pub(super) fn remedy(&self, missing: Missing<'_>) -> Option<String> {
        self.scope?.remedy(missing)
    }

    fn undefined(&self, path: &[&str], names: &[String], place: Place) -> Diagnostic {
        let name = path.first().copied().unwrap_or_default();
        let is_function = self
            .scope
            .and_then(Scope::functions)
            .is_some_and(|functions| functions.get(name).is_some());
        let is_of_a_shell = name
            .bytes()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
        let help = if is_function {
            Some(format!("a function is called with parentheses: `{name}()`"))
        } else if is_of_a_shell {
            Some(format!("for a variable of the shell write `$${{{name}}}`"))
        } else {
            similar_name(name, names.iter().map(String::as_str))
                .map(|similar| format!("did you mean `{similar}`?"))
                .or_else(|| self.remedy(Missing::Name(path)))
        };
        let summary = if self.in_template_file {
            format!("the template needs `{name}`, which the variables given to it do not have")
        } else {
            format!("the name `{name}` is not defined here")
        };
        Diagnostic::error(place, summary).help(help)
    }
}

fn no_variables(place: Place, diagnostics: &mut Diagnostics) -> Value {
    let detail = "This value must be known before anything else is, so that it cannot refer to another.";
    diagnostics.push(Diagnostic::error(place, "names cannot be used here").detail(detail));
    Value::dynamic()
}

pub(super) fn too_deep(expression: &Expression, diagnostics: &mut Diagnostics) -> Value {
    let detail = format!("Expressions may be nested {MAX_DEPTH} levels deep.");
    diagnostics.push(Diagnostic::error(expression.place, "this is nested too deeply").detail(detail));
    Value::dynamic()
}
