//! Values that have been evaluated, made into options: converted to the wanted type, rendered, checked. What is not known yet is
//! left out and its path noted.

use std::collections::BTreeMap;

use bakelite_hcl::convert::{PathStep, convert};
use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, similar_name};
use bakelite_hcl::number::Number;
use bakelite_hcl::source::Place;
use bakelite_hcl::syntax::{Expression, ExpressionKind, ObjectKey};
use bakelite_hcl::types::Type;
use bakelite_hcl::value::{Kind, Value};
use serde_json::Value as Json;

use super::members::Members;
use super::{Decoded, join, sentence};
use crate::duration::GoDuration;
use crate::gotemplate::{self, RenderError, Rendering, unshielded, until_rendered};
use crate::outdated;
use crate::schema::{Accepts, Choice, Field, FieldKind, Schema};

/// How one option's value is decoded.
pub(super) struct Leaf<'a> {
    /// The option.
    pub(super) field: &'a Field,
    /// Its type.
    pub(super) kind: &'a Type,
    /// What its `{{ }}` can refer to.
    pub(super) rendering: &'a Rendering,
    /// The value's expression.
    pub(super) place: Place,
}

impl Leaf<'_> {
    /// The value as an option; `None` when it is null or not known yet, or something is wrong with it.
    pub(super) fn decode(
        &self,
        value: &Value,
        path: &str,
        decoded: &mut Decoded,
        diagnostics: &mut Diagnostics,
    ) -> Option<Json> {
        let value = match convert(value, self.kind) {
            Ok(value) => value,
            Err(error) => {
                let mut at = path.to_owned();
                for step in &error.path {
                    at = match step {
                        PathStep::Index(index) => format!("{at}[{index}]"),
                        PathStep::Key(name) | PathStep::Attribute(name) => join(&at, name),
                    };
                }
                let inner = decoded.places.get(&at).filter(|_| at != path);
                let place = inner.copied().unwrap_or(self.place);
                let lacks_brackets = error.path.is_empty()
                    && matches!(self.kind, Type::List(_) | Type::Set(_))
                    && value.type_of().is_primitive();
                diagnostics.push(
                    Diagnostic::error(place, format!("`{at}` has a value of the wrong type"))
                        .detail(sentence(&error.message))
                        .help(lacks_brackets.then(|| "write `[ … ]` around the value".to_owned())),
                );
                return None;
            }
        };
        if value.is_null() || self.is_none(&value) {
            return None;
        }
        self.json(&value, self.kind, self.field.sensitive, path, decoded, diagnostics)
    }

    /// Is it 0, or an empty collection, which are the same as no value?
    fn is_none(&self, value: &Value) -> bool {
        if self.field.required {
            return false;
        }
        match (self.kind, &value.kind) {
            (Type::Number, Kind::Number(number)) => {
                number.to_i64() == Some(0) && !self.field.zero_counts && self.field.default.is_none()
            }
            (Type::List(_) | Type::Set(_), _) => value.elements().is_some_and(<[Value]>::is_empty),
            (Type::Map(_), _) => value.members().is_some_and(std::collections::BTreeMap::is_empty),
            _ => false,
        }
    }

    fn json(
        &self,
        value: &Value,
        kind: &Type,
        is_secret: bool,
        path: &str,
        decoded: &mut Decoded,
        diagnostics: &mut Diagnostics,
    ) -> Option<Json> {
        let is_secret = is_secret || value.marks.is_sensitive();
        match &value.kind {
            Kind::Null(_) => Some(Json::Null),
            Kind::Unknown(_) => {
                decoded.unknown.push(path.to_owned());
                None
            }
            Kind::Bool(truth) => Some(Json::Bool(*truth)),
            Kind::Number(value) => {
                let value = number(value);
                self.check_number(&value, path, decoded, diagnostics)
                    .then_some(Json::Number(value))
            }
            Kind::String(text) => self.text(text, is_secret, path, decoded, diagnostics).map(Json::String),
            Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => {
                let each = match kind {
                    Type::List(element) | Type::Set(element) => element,
                    _ => &Type::Dynamic,
                };
                let mut all = Vec::new();
                for (index, element) in elements.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    all.extend(self.json(element, each, is_secret, &path, decoded, diagnostics));
                }
                Some(Json::Array(all))
            }
            Kind::Map(_, members) | Kind::Object(members) => {
                let each = match kind {
                    Type::Map(element) => element,
                    _ => &Type::Dynamic,
                };
                let mut all = serde_json::Map::new();
                for (name, member) in members.iter().filter(|(_, member)| !member.is_null()) {
                    let path = join(path, name);
                    let name = self.rendered(name, &path, decoded, diagnostics);
                    let member = self.json(member, each, is_secret, &path, decoded, diagnostics);
                    all.extend(name.zip(member));
                }
                Some(Json::Object(all))
            }
        }
    }

    fn text(
        &self,
        text: &str,
        is_secret: bool,
        path: &str,
        decoded: &mut Decoded,
        diagnostics: &mut Diagnostics,
    ) -> Option<String> {
        let rendered = self.rendered(text, path, decoded, diagnostics)?;
        if is_secret {
            decoded.secrets.push(rendered.clone());
        }
        if self.field.sensitive {
            decoded.declared.push(rendered.clone());
        }
        self.checked(rendered, path, decoded, diagnostics)
    }

    fn rendered(&self, text: &str, path: &str, decoded: &mut Decoded, diagnostics: &mut Diagnostics) -> Option<String> {
        let rendered = if self.field.late {
            // It must be a template now already, whatever it will refer to.
            gotemplate::check(text, self.rendering).map(|()| until_rendered(text))
        } else {
            gotemplate::render(text, self.rendering).map(unshielded)
        };
        match rendered {
            Ok(text) => Some(text),
            Err(RenderError::Unknown { .. }) => {
                decoded.unknown.push(path.to_owned());
                None
            }
            Err(error) => {
                diagnostics.push(
                    Diagnostic::error(
                        decoded.place_of(path).unwrap_or(self.place),
                        format!("`{path}`: {error}"),
                    )
                    .help(self.render_help(text)),
                );
                None
            }
        }
    }

    /// In HCL there is a better way than most of the functions of `{{ }}`.
    fn render_help(&self, text: &str) -> Option<String> {
        if self.rendering.legacy.is_some() {
            return outdated::help_for_functions(text);
        }
        let ways = [
            ("build ", "in HCL, write `${build.KEY}` instead of `{{ build }}`"),
            ("user ", "in HCL, write `${var.NAME}` instead of `{{ user }}`"),
            (
                "template_dir",
                "in HCL, write `${path.root}` instead of `{{ template_dir }}`",
            ),
            (
                "env ",
                "in HCL, declare a variable with `default = env(\"NAME\")` and use that",
            ),
        ];
        let way = ways.iter().find(|(function, _)| text.contains(function));
        way.map(|(_, way)| (*way).to_owned())
    }

    fn check_number(
        &self,
        number: &serde_json::Number,
        path: &str,
        decoded: &Decoded,
        diagnostics: &mut Diagnostics,
    ) -> bool {
        let Accepts::Integer { least, greatest } = &self.field.accepts else {
            return true;
        };
        let problem = match number.as_i128() {
            None => format!("`{path}` is not an integer: {number}"),
            Some(value) if value < *least => format!("`{path}` is {value}, less than {least}"),
            Some(value) if value > *greatest => format!("`{path}` is {value}, more than {greatest}"),
            Some(_) => return true,
        };
        diagnostics.push(Diagnostic::error(decoded.place_of(path).unwrap_or(self.place), problem));
        false
    }

    /// The string if the option takes it; a value of a closed set in the spelling of the set.
    fn checked(&self, text: String, path: &str, decoded: &Decoded, diagnostics: &mut Diagnostics) -> Option<String> {
        let place = decoded.place_of(path).unwrap_or(self.place);
        match &self.field.accepts {
            Accepts::Duration if !text.is_empty() => {
                let Err(error) = text.parse::<GoDuration>() else {
                    return Some(text);
                };
                diagnostics.push(Diagnostic::error(place, format!("`{path}`: {error}")).help(error.help().to_owned()));
                None
            }
            Accepts::OneOf(choices) if !text.is_empty() => match chosen(&text, choices, path, place) {
                Ok(choice) => Some(choice.value.clone()),
                Err(wrong) => {
                    diagnostics.push(*wrong);
                    None
                }
            },
            Accepts::Pattern { pattern, must_be } if !text.is_empty() => {
                if pattern.matches(&text) {
                    return Some(text);
                }
                let wrong = Diagnostic::error(place, format!("`{path}` cannot be `{text}`"));
                diagnostics.push(wrong.detail(format!("It must be {must_be}.")));
                None
            }
            _ => Some(text),
        }
    }
}

/// The value of a closed set that a string stands for.
fn chosen<'c>(text: &str, choices: &'c [Choice], path: &str, place: Place) -> Result<&'c Choice, Box<Diagnostic>> {
    if let Some(choice) = choices.iter().find(|choice| choice.is(text)) {
        return match &choice.unsupported {
            None => Ok(choice),
            Some(reason) => {
                let summary = format!("`{path} = \"{text}\"` is not supported yet");
                Err(Box::new(Diagnostic::error(place, summary).detail(sentence(reason))))
            }
        };
    }
    let allowed: Vec<&str> = choices
        .iter()
        .filter(|choice| choice.unsupported.is_none())
        .map(|choice| choice.value.as_str())
        .collect();
    let similar = similar_name(text, allowed.iter().copied());
    let listed: Vec<String> = allowed.iter().map(|value| format!("`{value}`")).collect();
    let must_be = match listed.as_slice() {
        [] => "It is not supported yet.".to_owned(),
        [only] => format!("It must be {only}."),
        _ => format!("It must be one of {}.", listed.join(", ")),
    };
    let wrong = Diagnostic::error(place, format!("`{path}` cannot be `{text}`")).detail(must_be);
    Err(Box::new(
        wrong.help(similar.map(|similar| format!("did you mean `{similar}`?"))),
    ))
}

/// A value as an option of any kind: what is a block in HCL is an object here, or a list of them.
pub(super) fn of_field(
    value: &Value,
    field: &Field,
    path: &str,
    rendering: &Rendering,
    place: Place,
    decoded: &mut Decoded,
    diagnostics: &mut Diagnostics,
) -> Option<Json> {
    match &field.kind {
        FieldKind::Attribute(kind) => Leaf {
            field,
            kind,
            rendering,
            place,
        }
        .decode(value, path, decoded, diagnostics),
        FieldKind::Block(inner) => of_structure(value, inner, path, rendering, place, decoded, diagnostics),
        FieldKind::Blocks(inner) => {
            let single = std::slice::from_ref(value);
            let elements = value.elements().unwrap_or(single);
            let mut all = Vec::new();
            for (index, element) in elements.iter().enumerate() {
                let path = format!("{path}[{index}]");
                all.extend(of_structure(
                    element,
                    inner,
                    &path,
                    rendering,
                    place,
                    decoded,
                    diagnostics,
                ));
            }
            Some(Json::Array(all))
        }
    }
}

fn of_structure(
    value: &Value,
    schema: &Schema,
    path: &str,
    rendering: &Rendering,
    place: Place,
    decoded: &mut Decoded,
    diagnostics: &mut Diagnostics,
) -> Option<Json> {
    if matches!(value.kind, Kind::Unknown(_)) {
        decoded.unknown.push(path.to_owned());
        return None;
    }
    let Some(members) = value.members() else {
        diagnostics.push(Diagnostic::error(place, format!("`{path}` is not an object")));
        return None;
    };
    let mut all = Members::new(schema);
    for (name, member) in members {
        let path = join(path, name);
        let Some(field) = schema.field(name) else {
            let similar = similar_name(name, schema.fields.iter().map(|field| field.name.as_str()));
            diagnostics.push(
                Diagnostic::error(place, format!("`{path}` is not an option"))
                    .help(similar.map(|similar| format!("did you mean `{similar}`?"))),
            );
            continue;
        };
        if !member.is_null() {
            all.put(
                field,
                of_field(member, field, &path, rendering, place, decoded, diagnostics),
            );
        }
    }
    Some(Json::Object(all.finish(path, decoded, diagnostics)))
}

/// The places of the members of a constructor, as far as their names can be read off.
pub(crate) fn member_places(expression: &Expression, path: &str, places: &mut BTreeMap<String, Place>) {
    let mut open = vec![(expression, path.to_owned())];
    while let Some((expression, path)) = open.pop() {
        match &expression.kind {
            ExpressionKind::Parenthesis(inner) => open.push((inner, path)),
            ExpressionKind::Tuple(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    places.insert(path.clone(), element.place);
                    open.push((element, path));
                }
            }
            ExpressionKind::Object(members) => {
                for (key, member) in members {
                    let name = match key {
                        ObjectKey::Name(name) => name.text.as_str(),
                        ObjectKey::Expression(Expression {
                            kind: ExpressionKind::Literal(value),
                            ..
                        }) => value.as_str().unwrap_or_default(),
                        ObjectKey::Expression(_) => continue,
                    };
                    let path = join(&path, name);
                    places.insert(path.clone(), member.place);
                    open.push((member, path));
                }
            }
            _ => {}
        }
    }
}

/// A number as JSON: integers exactly, others as a 64-bit float. An infinite one is as great as a float can be.
fn number(number: &Number) -> serde_json::Number {
    if let Some(integer) = number.to_i64() {
        return integer.into();
    }
    if let Some(integer) = number.to_u64() {
        return integer.into();
    }
    let float = number.to_f64().clamp(f64::MIN, f64::MAX);
    serde_json::Number::from_f64(float).unwrap_or_else(|| 0.into())
}
