//! Templates: text with interpolations and directives.

use super::conditional::truth;
use super::context::{Context, too_deep};
use super::evaluate_in;
use super::expect::Expected;
use super::for_expression::iterate;
use crate::diagnostic::Diagnostics;
use crate::marks::Marks;
use crate::scope::Externals;
use crate::source::Place;
use crate::syntax::{Expression, Name, TemplatePart};
use crate::types::Type;
use crate::value::Value;

/// A template that is one interpolation yields the value as it is; any other yields text.
pub(super) fn template(
    context: &Context<'_>,
    parts: &[TemplatePart],
    place: Place,
    diagnostics: &mut Diagnostics,
) -> Value {
    if let [TemplatePart::Interpolation(expression)] = parts {
        return evaluate_in(context, expression, diagnostics);
    }
    let mut rendered = Rendered {
        place,
        text: String::new(),
        known: true,
        marks: Marks::NONE,
        holds_untold: false,
    };
    rendered.parts(context, parts, diagnostics);
    let value = if rendered.known {
        Value::string(rendered.text)
    } else {
        Value::unknown(Type::String)
    };
    let value = value.with_marks(rendered.marks);
    if let (true, Some(externals)) = (rendered.holds_untold, externals(context)) {
        externals.derived(&value);
    }
    value
}

/// What a template yielded so far.
struct Rendered {
    /// Of the whole template.
    place: Place,
    text: String,
    /// Nothing that belongs into the text is unknown or wrong.
    known: bool,
    marks: Marks,
    /// There is something secret in it that nobody would know again.
    holds_untold: bool,
}

impl Rendered {
    fn parts(&mut self, context: &Context<'_>, parts: &[TemplatePart], diagnostics: &mut Diagnostics) {
        for part in parts {
            match part {
                TemplatePart::Literal(text) => self.push(context, text),
                TemplatePart::Interpolation(expression) => self.interpolation(context, expression, diagnostics),
                TemplatePart::If { condition, yes, no } => {
                    let given = evaluate_in(context, condition, diagnostics);
                    self.marks = self.marks.union(given.marks);
                    match truth(&given, condition.place, diagnostics)
                        .as_ref()
                        .and_then(Value::as_bool)
                    {
                        Some(truth) => self.nested(context, if truth { yes } else { no }, condition, diagnostics),
                        None => self.known = false,
                    }
                }
                TemplatePart::For {
                    key,
                    value,
                    collection,
                    body,
                } => {
                    self.repeat(context, (key.as_ref(), value), collection, body, diagnostics);
                }
            }
        }
    }

    fn interpolation(&mut self, context: &Context<'_>, expression: &Expression, diagnostics: &mut Diagnostics) {
        let value = evaluate_in(context, expression, diagnostics);
        self.marks = self.marks.union(value.marks);
        if !context.spend_on(&value, 0, expression.place) {
            self.known = false;
            return;
        }
        match text(&value, expression.place, diagnostics)
            .as_ref()
            .and_then(Value::as_str)
        {
            Some(text) => {
                let is_secret = value.marks.is_sensitive();
                self.holds_untold |= is_secret && externals(context).is_some_and(|externals| !externals.placed(&value));
                self.push(context, text);
            }
            None => self.known = false,
        }
    }

    fn push(&mut self, context: &Context<'_>, text: &str) {
        if context.spend(text.len() as u64, self.place) {
            self.text.push_str(text);
        } else {
            self.known = false;
        }
    }

    /// The parts within a directive.
    fn nested(
        &mut self,
        context: &Context<'_>,
        parts: &[TemplatePart],
        at: &Expression,
        diagnostics: &mut Diagnostics,
    ) {
        if let Some(context) = context.deeper() {
            self.parts(&context, parts, diagnostics);
        } else {
            too_deep(at, diagnostics);
            self.known = false;
        }
    }

    fn repeat(
        &mut self,
        context: &Context<'_>,
        (key_name, value_name): (Option<&Name>, &Name),
        collection: &Expression,
        body: &[TemplatePart],
        diagnostics: &mut Diagnostics,
    ) {
        let Some(items) = iterate(context, collection, &mut self.marks, diagnostics) else {
            self.known = false;
            return;
        };
        let before = diagnostics.iter().count();
        for (key, value) in &items {
            let value_binding = context.bind(&value_name.text, value);
            let inner = context.with(&value_binding);
            match key_name {
                Some(name) => {
                    let key_binding = inner.bind(&name.text, key);
                    self.nested(&inner.with(&key_binding), body, collection, diagnostics);
                }
                None => self.nested(&inner, body, collection, diagnostics),
            }
            if diagnostics.iter().count() > before {
                return;
            }
        }
    }
}

fn externals<'c>(context: &Context<'c>) -> Option<&'c dyn Externals> {
    context.scope().map(|scope| scope.eval_context().externals)
}

/// The value as text, which may be unknown; `None` after a complaint.
fn text(value: &Value, place: Place, diagnostics: &mut Diagnostics) -> Option<Value> {
    let expected = Expected {
        kind: Type::String,
        role: "this part of the text",
        place,
    };
    expected.of(value, diagnostics)
}
