//! `[for …]` and `{for …}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::collection::key;
use super::conditional::truth;
use super::context::Context;
use super::evaluate_in;
use super::expect::described;
use crate::budget::ONE;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::marks::Marks;
use crate::source::Place;
use crate::syntax::{Expression, ForExpression};
use crate::value::{Kind, Value, quoted};

/// Key and value of each element of a collection that is to be iterated, with the marks of the collection, which are added to
/// `marks` too. `None` when it is unknown, or no collection.
pub(super) fn iterate(
    context: &Context<'_>,
    expression: &Expression,
    marks: &mut Marks,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<(Value, Value)>> {
    let collection = evaluate_in(context, expression, diagnostics);
    let count = collection.elements().map(<[Value]>::len);
    let count = count.or_else(|| collection.members().map(BTreeMap::len)).unwrap_or(0);
    if !context.spend((count as u64).saturating_mul(2 * ONE), expression.place) {
        return None;
    }
    *marks = marks.union(collection.marks);
    let marked = |value: &Value| value.clone().with_marks(collection.marks);
    match &collection.kind {
        Kind::List(_, elements) | Kind::Tuple(elements) => {
            let numbered = elements.iter().enumerate();
            Some(
                numbered
                    .map(|(index, element)| (Value::number(index), marked(element)))
                    .collect(),
            )
        }
        Kind::Set(_, elements) => Some(
            elements
                .iter()
                .map(|element| (marked(element), marked(element)))
                .collect(),
        ),
        Kind::Map(_, members) | Kind::Object(members) => {
            let key = |name: &Arc<str>| Value::from(Kind::String(Arc::clone(name))).with_marks(collection.marks);
            Some(
                members
                    .iter()
                    .map(|(name, member)| (key(name), marked(member)))
                    .collect(),
            )
        }
        Kind::Unknown(kind) if !kind.is_primitive() => None,
        _ => {
            let detail = format!(
                "It is {}; a list, set, tuple, map or object can be.",
                described(&collection)
            );
            diagnostics.push(Diagnostic::error(expression.place, "this cannot be iterated").detail(detail));
            None
        }
    }
}

pub(super) fn for_expression(
    context: &Context<'_>,
    expression: &ForExpression,
    diagnostics: &mut Diagnostics,
) -> Value {
    let mut made = Made {
        expression,
        marks: Marks::NONE,
        sequence: Vec::new(),
        groups: BTreeMap::new(),
    };
    let Some(items) = iterate(context, &expression.collection, &mut made.marks, diagnostics) else {
        return Value::dynamic().with_marks(made.marks);
    };
    for (key, value) in &items {
        let value_binding = context.bind(&expression.value_name.text, value);
        let inner = context.with(&value_binding);
        let kept = match &expression.key_name {
            Some(name) => {
                let key_binding = inner.bind(&name.text, key);
                made.element(&inner.with(&key_binding), diagnostics)
            }
            None => made.element(&inner, diagnostics),
        };
        // The first element that is wrong or unknown settles it: complaining about each in turn would repeat the same.
        if kept.is_none() {
            return Value::dynamic().with_marks(made.marks);
        }
    }
    made.finish()
}

/// What a `for` has made so far.
struct Made<'e> {
    expression: &'e ForExpression,
    marks: Marks,
    sequence: Vec<Value>,
    groups: BTreeMap<Arc<str>, Vec<Value>>,
}

impl Made<'_> {
    /// One round; `None` when it was wrong, or it is unknown whether or as what there is an element.
    fn element(&mut self, context: &Context<'_>, diagnostics: &mut Diagnostics) -> Option<()> {
        if let Some(condition) = &self.expression.condition {
            let given = evaluate_in(context, condition, diagnostics);
            self.marks = self.marks.union(given.marks);
            if !truth(&given, condition.place, diagnostics)?.as_bool()? {
                return Some(());
            }
        }
        let before = diagnostics.iter().count();
        let name = match &self.expression.key {
            Some(expression) => Some((
                key(context, expression, &mut self.marks, diagnostics)?,
                expression.place,
            )),
            None => None,
        };
        let value = evaluate_in(context, &self.expression.value, diagnostics);
        if diagnostics.iter().count() > before {
            return None;
        }
        if let Some((name, place)) = name {
            return self.named(name, value, place, diagnostics);
        }
        self.sequence.push(value);
        Some(())
    }

    fn named(&mut self, name: Arc<str>, value: Value, place: Place, diagnostics: &mut Diagnostics) -> Option<()> {
        let shown = if self.marks.is_sensitive() {
            "a key".to_owned()
        } else {
            format!("the key {}", quoted(&name))
        };
        let group = self.groups.entry(name).or_default();
        if !group.is_empty() && !self.expression.group {
            let help = "write `...` after the value to collect all values of a key".to_owned();
            diagnostics.push(Diagnostic::error(place, format!("{shown} occurs more than once")).help(help));
            return None;
        }
        group.push(value);
        Some(())
    }

    fn finish(self) -> Value {
        let value = if self.expression.key.is_none() {
            Value::tuple(self.sequence)
        } else if self.expression.group {
            let members = self
                .groups
                .into_iter()
                .map(|(name, values)| (name, Value::tuple(values)));
            Kind::Object(Arc::new(members.collect())).into()
        } else {
            let members = self
                .groups
                .into_iter()
                .filter_map(|(name, mut values)| Some((name, values.pop()?)));
            Kind::Object(Arc::new(members.collect())).into()
        };
        value.with_marks(self.marks)
    }
}
