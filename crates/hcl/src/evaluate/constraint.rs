//! Types as templates write them, `string`, `list(number)`, `object({ a = optional(string, "x") })`, with the defaults of optional
//! attributes.

use std::collections::BTreeMap;

use super::literal;
use crate::convert::{ConvertError, convert};
use crate::diagnostic::{Diagnostic, Diagnostics, similar_name};
use crate::source::Place;
use crate::syntax::{Expression, ExpressionKind, Name, ObjectKey};
use crate::types::{ObjectType, Type};
use crate::value::{Kind, Value};

/// A declared type with the defaults of optional attributes.
#[derive(Debug, Clone)]
pub struct Constraint {
    /// The type.
    pub kind: Type,
    /// The defaults of optional attributes, where there are any.
    pub defaults: Defaults,
}

impl Constraint {
    /// Anything.
    pub fn any() -> Self {
        Type::Dynamic.into()
    }

    /// The value with defaults filled in, converted to the type.
    pub fn apply(&self, value: &Value) -> Result<Value, ConvertError> {
        convert(&self.defaults.fill(value), &self.kind)
    }
}

impl From<Type> for Constraint {
    fn from(kind: Type) -> Self {
        Self {
            kind,
            defaults: Defaults::None,
        }
    }
}

/// Defaults of optional attributes, in the shape of the type that they belong to.
#[derive(Debug, Clone, Default)]
pub enum Defaults {
    /// There are none, here or below.
    #[default]
    None,
    /// Those of every element of a list, set or map.
    Elements(Box<Defaults>),
    /// Those of the elements of a tuple.
    Tuple(Vec<Defaults>),
    /// Those of an object: values by attribute, and what is below the attributes.
    Object {
        /// The default of each attribute that has one.
        values: BTreeMap<String, Value>,
        /// The defaults within each attribute that has some.
        within: BTreeMap<String, Defaults>,
    },
}

impl Defaults {
    /// Are there none, here or below?
    pub fn is_none(&self) -> bool {
        matches!(self, Defaults::None)
    }

    /// The value with every missing attribute that has a default filled in. What does not have the expected shape stays as it is:
    /// the conversion complains about it.
    pub fn fill(&self, value: &Value) -> Value {
        let kind = match (self, &value.kind) {
            (Defaults::Elements(each), Kind::Tuple(elements) | Kind::List(_, elements) | Kind::Set(_, elements)) => {
                Kind::Tuple(elements.iter().map(|element| each.fill(element)).collect())
            }
            (Defaults::Elements(each), Kind::Object(members) | Kind::Map(_, members)) => {
                let filled = members.iter().map(|(name, member)| (name.clone(), each.fill(member)));
                Kind::Object(std::sync::Arc::new(filled.collect()))
            }
            (Defaults::Tuple(each), Kind::Tuple(elements) | Kind::List(_, elements))
                if each.len() == elements.len() =>
            {
                Kind::Tuple(
                    each.iter()
                        .zip(elements.iter())
                        .map(|(each, element)| each.fill(element))
                        .collect(),
                )
            }
            (Defaults::Object { values, within }, Kind::Object(members) | Kind::Map(_, members)) => {
                let mut filled = (**members).clone();
                for (name, default) in values {
                    let absent = filled.get(name.as_str()).is_none_or(Value::is_null);
                    if absent {
                        filled.insert(name.as_str().into(), default.clone());
                    }
                }
                for (name, below) in within {
                    if let Some(member) = filled.get_mut(name.as_str()) {
                        *member = below.fill(member);
                    }
                }
                Kind::Object(std::sync::Arc::new(filled))
            }
            _ => return value.clone(),
        };
        Value {
            kind,
            marks: value.marks,
        }
    }
}

const KEYWORDS: [&str; 9] = [
    "string", "number", "bool", "any", "list", "set", "map", "object", "tuple",
];

/// Reads a type expression. With `allow_optional` (declarations of variables) an attribute of an object may be `optional(T)` or
/// `optional(T, default)`; without it (`convert`) only the former is understood, and the attribute is required nevertheless.
pub fn parse_constraint(
    expression: &Expression,
    allow_optional: bool,
    diagnostics: &mut Diagnostics,
) -> Option<Constraint> {
    Reader {
        allow_optional,
        diagnostics,
    }
    .constraint(expression)
}

struct Reader<'d> {
    allow_optional: bool,
    diagnostics: &'d mut Diagnostics,
}

impl Reader<'_> {
    fn complain<T>(&mut self, place: Place, summary: impl Into<String>, help: &str) -> Option<T> {
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.diagnostics.push(Diagnostic::error(place, summary).help(help));
        None
    }

    fn constraint(&mut self, expression: &Expression) -> Option<Constraint> {
        match &expression.kind {
            ExpressionKind::Variable(word) => self.keyword(word, expression.place),
            ExpressionKind::Call {
                name,
                arguments,
                expand_last: false,
            } => self.constructed(name, arguments, expression),
            ExpressionKind::Parenthesis(inner) => self.constraint(inner),
            ExpressionKind::JsonString(_, text) => self.json_text(text, expression.place),
            ExpressionKind::Literal(value) if value.as_str().is_some() => self.complain(
                expression.place,
                "a type is written without quotes",
"as in `string`, `number`, `bool`, `list(string)`",
            ),
            ExpressionKind::Invalid => None,
            _ => self.complain(
                expression.place,
                "this is not a type",
"a type is one of `string`, `number`, `bool`, `any`, `list(…)`, `set(…)`, `map(…)`, `object({…})` and `tuple([…])`",
            ),
        }
    }

    fn keyword(&mut self, word: &str, place: Place) -> Option<Constraint> {
        match word {
            "string" => Some(Type::String.into()),
            "number" => Some(Type::Number.into()),
            "bool" => Some(Type::Bool.into()),
            "any" => Some(Constraint::any()),
            "list" | "set" | "map" => self.complain(
                place,
                format!("`{word}` needs the type of its elements"),
                &format!("write `{word}(string)`, or `{word}(any)`"),
            ),
            "object" => self.complain(
                place,
                "`object` needs its attributes",
                "write `object({ name = string })`",
            ),
            "tuple" => self.complain(
                place,
                "`tuple` needs the types of its elements",
                "write `tuple([string, number])`",
            ),
            _ => self.unknown_word(word, place),
        }
    }

    fn unknown_word(&mut self, word: &str, place: Place) -> Option<Constraint> {
        let help = similar_name(word, KEYWORDS).map(|similar| format!("did you mean `{similar}`?"));
        self.diagnostics
            .push(Diagnostic::error(place, format!("there is no type `{word}`")).help(help));
        None
    }

    fn constructed(&mut self, name: &Name, arguments: &[Expression], whole: &Expression) -> Option<Constraint> {
        let word = name.text.as_str();
        if matches!(word, "string" | "number" | "bool" | "any") {
            return self.complain(name.place, format!("`{word}` takes no arguments"), "");
        }
        if word == "optional" {
            return self.complain(
                name.place,
                "`optional` stands only for the type of an object's attribute",
                "write `object({ name = optional(string) })`",
            );
        }
        if !KEYWORDS.contains(&word) {
            return self.unknown_word(word, name.place);
        }
        let [argument] = arguments else {
            return self.complain(
                whole.place,
                format!("`{word}` takes 1 argument, {} given", arguments.len()),
                "",
            );
        };
        match word {
            "object" => self.object(argument),
            "tuple" => self.tuple(argument),
            _ => {
                let Constraint { kind, defaults } = self.constraint(argument)?;
                let kind = match word {
                    "list" => Type::list(kind),
                    "set" => Type::set(kind),
                    _ => Type::map(kind),
                };
                let defaults = if defaults.is_none() {
                    defaults
                } else {
                    Defaults::Elements(Box::new(defaults))
                };
                Some(Constraint { kind, defaults })
            }
        }
    }

    fn tuple(&mut self, argument: &Expression) -> Option<Constraint> {
        let ExpressionKind::Tuple(elements) = &argument.kind else {
            return self.complain(
                argument.place,
                "`tuple` takes a list of types",
                "write `tuple([string, number])`",
            );
        };
        let elements: Vec<Constraint> = elements
            .iter()
            .map(|element| self.constraint(element))
            .collect::<Option<_>>()?;
        let any_default = elements.iter().any(|element| !element.defaults.is_none());
        let (kinds, defaults) = elements
            .into_iter()
            .map(|element| (element.kind, element.defaults))
            .unzip();
        let defaults = if any_default {
            Defaults::Tuple(defaults)
        } else {
            Defaults::None
        };
        Some(Constraint {
            kind: Type::Tuple(kinds),
            defaults,
        })
    }

    fn object(&mut self, argument: &Expression) -> Option<Constraint> {
        let ExpressionKind::Object(items) = &argument.kind else {
            return self.complain(
                argument.place,
                "`object` takes its attributes with their types",
                "write `object({ name = string })`",
            );
        };
        let mut object = ObjectType::default();
        let (mut values, mut within) = (BTreeMap::new(), BTreeMap::new());
        for (key, item) in items {
            let name = self.attribute_name(key)?;
            let (optional, expression, default) = self.attribute(item)?;
            let Constraint { kind, defaults } = self.constraint(expression)?;
            if let Some(default) = default {
                let value = self.default(
                    default,
                    &Constraint {
                        kind: kind.clone(),
                        defaults: defaults.clone(),
                    },
                )?;
                values.insert(name.clone(), value);
            }
            if !defaults.is_none() {
                within.insert(name.clone(), defaults);
            }
            if optional && self.allow_optional {
                object.optional.insert(name.clone());
            }
            object.attributes.insert(name, kind);
        }
        let none = values.is_empty() && within.is_empty();
        let defaults = if none {
            Defaults::None
        } else {
            Defaults::Object { values, within }
        };
        Some(Constraint {
            kind: Type::Object(object),
            defaults,
        })
    }

    fn attribute_name(&mut self, key: &ObjectKey) -> Option<String> {
        match key {
            ObjectKey::Name(name) => Some(name.text.clone()),
            ObjectKey::Expression(expression) => match &expression.kind {
                ExpressionKind::Literal(value) if value.as_str().is_some() => value.as_str().map(str::to_owned),
                _ => self.complain(
                    expression.place,
                    "the name of an object's attribute is a plain word",
                    "",
                ),
            },
        }
    }

    /// Whether it is optional, its type expression, and the expression of its default.
    fn attribute<'e>(&mut self, item: &'e Expression) -> Option<(bool, &'e Expression, Option<&'e Expression>)> {
        let ExpressionKind::Call { name, arguments, .. } = &item.kind else {
            return Some((false, item, None));
        };
        if name.text != "optional" {
            return Some((false, item, None));
        }
        match arguments.as_slice() {
            [kind] => Some((true, kind, None)),
            [kind, default] if self.allow_optional => Some((true, kind, Some(default))),
            [_, default] => self.complain(
                default.place,
                "only the type of a variable can give defaults of optional attributes",
                "",
            ),
            _ => self.complain(
                item.place,
                "`optional` takes a type, and a default if there is one",
                "write `optional(string)`",
            ),
        }
    }

    fn default(&mut self, expression: &Expression, constraint: &Constraint) -> Option<crate::value::Value> {
        let before = self.diagnostics.iter().count();
        let value = literal(expression, self.diagnostics);
        if self.diagnostics.iter().count() > before {
            return None;
        }
        match constraint.apply(&value) {
            Ok(value) => Some(value),
            Err(error) => {
                let detail = format!("{error}.");
                self.diagnostics.push(
                    Diagnostic::error(expression.place, "the default does not fit the attribute's type").detail(detail),
                );
                None
            }
        }
    }

    /// In JSON a type is a string that holds the type expression.
    fn json_text(&mut self, text: &str, place: Place) -> Option<Constraint> {
        let mut errors = Diagnostics::default();
        // One past the opening quote; escapes do not occur in type expressions.
        let expression = crate::native::parse_expression(text, place.file, place.start as usize + 1, &mut errors);
        if errors.has_errors() {
            return self.complain(place, format!("`{text}` is not a type"), "");
        }
        self.constraint(&expression)
    }
}
