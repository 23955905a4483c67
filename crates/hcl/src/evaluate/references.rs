//! What an expression refers to, without evaluating it.

use crate::source::Place;
use crate::syntax::{Expression, ExpressionKind, ForExpression, Name, ObjectKey, TemplatePart};

/// A name that an expression needs from its scope, with the literal steps that follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The root name.
    pub root: String,
    /// The attribute names and literal indexes after it, up to the first step that is computed.
    pub steps: Vec<String>,
    /// The root and these steps.
    pub place: Place,
}

/// What an expression refers to, in the order of the text. Names bound by a `for` are not references, nor are the types given to
/// `convert`.
pub fn references(expression: &Expression) -> Vec<Reference> {
    let mut finder = Finder {
        bound: Vec::new(),
        found: Vec::new(),
    };
    finder.expression(expression);
    finder.found
}

struct Finder<'e> {
    /// Names bound by the `for`s around.
    bound: Vec<&'e str>,
    found: Vec<Reference>,
}

impl<'e> Finder<'e> {
    fn expression(&mut self, expression: &'e Expression) {
        match &expression.kind {
            ExpressionKind::Variable(_) | ExpressionKind::Attribute(..) | ExpressionKind::Index(..) => {
                self.traversal(expression);
            }
            ExpressionKind::Operations(first, operations) => {
                self.expression(first);
                for next in operations {
                    self.expression(&next.operand);
                }
            }
            ExpressionKind::Template(parts) => self.parts(parts),
            ExpressionKind::Tuple(elements) => elements.iter().for_each(|element| self.expression(element)),
            ExpressionKind::Object(items) => {
                for (key, item) in items {
                    if let ObjectKey::Expression(key) = key {
                        self.expression(key);
                    }
                    self.expression(item);
                }
            }
            ExpressionKind::Splat { source, rest } => {
                self.expression(source);
                self.expression(rest);
            }
            ExpressionKind::Conditional(condition, yes, no) => {
                self.expression(condition);
                self.expression(yes);
                self.expression(no);
            }
            ExpressionKind::Unary(_, inner)
            | ExpressionKind::Parenthesis(inner)
            | ExpressionKind::JsonString(inner, _) => {
                self.expression(inner);
            }
            ExpressionKind::Call { name, arguments, .. } => {
                let values = if name.text == "convert" { 1 } else { arguments.len() };
                arguments
                    .iter()
                    .take(values)
                    .for_each(|argument| self.expression(argument));
            }
            ExpressionKind::For(expression) => self.for_expression(expression),
            ExpressionKind::Literal(_)
            | ExpressionKind::SplatElement
            | ExpressionKind::Invalid
            | ExpressionKind::Unreadable(_) => {}
        }
    }

    /// A root with its steps; what the computed steps refer to comes after it.
    fn traversal(&mut self, expression: &'e Expression) {
        let mut chain = Vec::new();
        let mut base = expression;
        while let ExpressionKind::Attribute(inner, _) | ExpressionKind::Index(inner, _) = &base.kind {
            chain.push(base);
            base = inner;
        }
        match &base.kind {
            ExpressionKind::Variable(root) if !self.bound.contains(&root.as_str()) => {
                let named = chain.iter().rev().map(|step| (literal_step(step), step.place));
                let literal = named.map_while(|(step, place)| Some((step?, place)));
                let (steps, places): (Vec<String>, Vec<Place>) = literal.unzip();
                let place = places.last().copied().unwrap_or(base.place);
                self.found.push(Reference {
                    root: root.clone(),
                    steps,
                    place,
                });
            }
            ExpressionKind::Variable(_) => {}
            _ => self.expression(base),
        }
        for step in chain.iter().rev() {
            if let ExpressionKind::Index(_, key) = &step.kind {
                self.expression(key);
            }
        }
    }

    fn parts(&mut self, parts: &'e [TemplatePart]) {
        for part in parts {
            match part {
                TemplatePart::Literal(_) => {}
                TemplatePart::Interpolation(expression) => self.expression(expression),
                TemplatePart::If { condition, yes, no } => {
                    self.expression(condition);
                    self.parts(yes);
                    self.parts(no);
                }
                TemplatePart::For {
                    key,
                    value,
                    collection,
                    body,
                } => {
                    self.expression(collection);
                    self.binding([key.as_ref(), Some(value)], |finder| finder.parts(body));
                }
            }
        }
    }

    fn for_expression(&mut self, expression: &'e ForExpression) {
        self.expression(&expression.collection);
        self.binding([expression.key_name.as_ref(), Some(&expression.value_name)], |finder| {
            for inner in [
                expression.key.as_ref(),
                Some(&expression.value),
                expression.condition.as_ref(),
            ]
            .into_iter()
            .flatten()
            {
                finder.expression(inner);
            }
        });
    }

    fn binding(&mut self, names: [Option<&'e Name>; 2], inside: impl FnOnce(&mut Self)) {
        let outside = self.bound.len();
        self.bound
            .extend(names.into_iter().flatten().map(|name| name.text.as_str()));
        inside(self);
        self.bound.truncate(outside);
    }
}

/// The attribute's name, or the index when it is a literal.
fn literal_step(step: &Expression) -> Option<String> {
    match &step.kind {
        ExpressionKind::Attribute(_, name) => Some(name.text.clone()),
        ExpressionKind::Index(_, key) => match &key.kind {
            ExpressionKind::Literal(value) => value
                .as_str()
                .map(str::to_owned)
                .or_else(|| value.as_number().map(ToString::to_string)),
            _ => None,
        },
        _ => None,
    }
}
