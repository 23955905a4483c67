//! Bodies of legacy JSON templates, walked against a schema with weak typing: texts for numbers and bools, one value for a list, one
//! object for repeatable blocks.

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, similar_name};
use bakelite_hcl::source::Place;
use bakelite_hcl::syntax::{JsonKind, JsonValue, Name};
use bakelite_hcl::types::Type;
use bakelite_hcl::value::Value;
use serde_json::Value as Json;

use super::body::{OVERWRITTEN, in_block, unsupported};
use super::leaf::Leaf;
use super::members::Members;
use super::{Decoded, join};
use crate::gotemplate::{self, RenderError, Rendering};
use crate::outdated;
use crate::schema::{self, Field, FieldKind, Schema};
use crate::secrets::Secrets;

/// How a legacy body is decoded.
pub(crate) struct WeakDecoding<'a> {
    /// What `{{ }}` can refer to.
    pub(crate) rendering: &'a Rendering,
    /// What `{{ user }}` and the like come to in texts that the component renders itself later.
    pub(crate) late: &'a dyn Fn(&str) -> String,
    /// Texts that must not be shown, wherever they come to stand.
    pub(crate) secrets: &'a Secrets,
    /// The body.
    pub(crate) place: Place,
}

type Properties = [(Name, JsonValue)];

impl WeakDecoding<'_> {
    /// The options that the properties give, those of `overrides` in place of the others of the same name. `None` when anything is
    /// wrong.
    pub(crate) fn decode(
        &self,
        properties: &Properties,
        overrides: &Properties,
        schema: &Schema,
        diagnostics: &mut Diagnostics,
    ) -> Option<Decoded> {
        let is_overridden = |name: &str| overrides.iter().any(|(other, _)| other.text == name);
        let base = properties.iter().filter(|(name, _)| !is_overridden(&name.text));
        let taken: Vec<&(Name, JsonValue)> = base.chain(overrides).collect();
        let mut found = Diagnostics::default();
        let mut decoded = Decoded {
            place: Some(self.place),
            ..Decoded::default()
        };
        decoded.options = self.structure(&taken, schema, "", &mut decoded, &mut found);
        let failed = found.has_errors();
        diagnostics.extend(found.into_iter().map(|diagnostic| in_block(diagnostic, self.place)));
        (!failed).then_some(decoded)
    }

    fn structure(
        &self,
        properties: &[&(Name, JsonValue)],
        schema: &Schema,
        path: &str,
        decoded: &mut Decoded,
        diagnostics: &mut Diagnostics,
    ) -> serde_json::Map<String, Json> {
        let mut options = Members::new(schema);
        for (name, value) in properties.iter().copied() {
            let Some(field) = schema.field(&name.text).or_else(|| folded(schema, &name.text)) else {
                if !path.is_empty() || !OVERWRITTEN.contains(&name.text.as_str()) {
                    let known = schema.fields.iter().map(|field| field.name.as_str());
                    let similar = similar_name(&name.text, known).map(|similar| format!("did you mean `{similar}`?"));
                    let help = outdated::help_for(&name.text, schema, true).or(similar);
                    let summary = format!("there is no option `{}`", join(path, &name.text));
                    diagnostics.push(Diagnostic::error(name.place, summary).help(help));
                }
                continue;
            };
            if matches!(value.kind, JsonKind::Null) {
                continue;
            }
            let mut found = Diagnostics::default();
            let path = join(path, &field.name);
            decoded.places.insert(path.clone(), name.place.to(value.place));
            let json = match &field.kind {
                FieldKind::Attribute(kind) => self.attribute(value, field, kind, &path, decoded, &mut found),
                FieldKind::Block(inner) => self.object(single(value), inner, &path, decoded, &mut found),
                FieldKind::Blocks(inner) => {
                    let all = elements(value).iter().enumerate().filter_map(|(index, element)| {
                        let path = format!("{path}[{index}]");
                        decoded.places.insert(path.clone(), element.place);
                        self.object(element, inner, &path, decoded, &mut found)
                    });
                    Some(Json::Array(all.collect()))
                }
            };
            let is_idle = json.as_ref().is_none_or(schema::is_idle) && !found.has_errors();
            if is_idle || is_supported(field, name.place, diagnostics) {
                diagnostics.extend(found);
                options.put(field, json);
            }
        }
        options.finish(path, decoded, diagnostics)
    }

    fn object(
        &self,
        value: &JsonValue,
        schema: &Schema,
        path: &str,
        decoded: &mut Decoded,
        diagnostics: &mut Diagnostics,
    ) -> Option<Json> {
        let JsonKind::Object(properties) = &value.kind else {
            diagnostics.push(Diagnostic::error(value.place, format!("`{path}` is not an object")));
            return None;
        };
        let properties: Vec<&(Name, JsonValue)> = properties.iter().collect();
        Some(Json::Object(self.structure(
            &properties,
            schema,
            path,
            decoded,
            diagnostics,
        )))
    }

    fn attribute(
        &self,
        value: &JsonValue,
        field: &Field,
        kind: &Type,
        path: &str,
        decoded: &mut Decoded,
        diagnostics: &mut Diagnostics,
    ) -> Option<Json> {
        let value = self.weak(value, field, kind, path, decoded, diagnostics)?;
        // Everything is rendered already; the leaf checks and collects.
        let field = Field {
            late: true,
            ..field.clone()
        };
        let place = decoded.place_of(path).unwrap_or(self.place);
        Leaf {
            field: &field,
            kind,
            rendering: self.rendering,
            place,
        }
        .decode(&value, path, decoded, diagnostics)
    }

    /// The value in the wanted type, as far as weak typing gets it there.
    fn weak(
        &self,
        value: &JsonValue,
        field: &Field,
        kind: &Type,
        path: &str,
        decoded: &mut Decoded,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        decoded.places.entry(path.to_owned()).or_insert(value.place);
        match (kind, &value.kind) {
            (_, JsonKind::Null) => Some(Value::null(Type::Dynamic)),
            (Type::List(element) | Type::Set(element), JsonKind::String(text)) => {
                let text = self.text(text, field, value.place, path, decoded, diagnostics)?;
                let Some(text) = text.as_str() else { return Some(text) };
                let parts = text.split(',').filter(|_| !text.is_empty());
                Some(Value::tuple(parts.map(|part| scalar(part, element)).collect()))
            }
            (Type::List(element) | Type::Set(element), JsonKind::Array(all)) => {
                let mut values = Vec::new();
                for (index, one) in all.iter().enumerate() {
                    values.push(self.weak(one, field, element, &format!("{path}[{index}]"), decoded, diagnostics)?);
                }
                Some(Value::tuple(values))
            }
            (Type::List(element) | Type::Set(element), _) => Some(Value::tuple(vec![self.weak(
                value,
                field,
                element,
                path,
                decoded,
                diagnostics,
            )?])),
            (_, JsonKind::Object(properties)) => {
                let element = if let Type::Map(element) = kind {
                    element
                } else {
                    &Type::Dynamic
                };
                self.members(properties.iter(), field, element, path, decoded, diagnostics)
            }
            (Type::Map(element), JsonKind::Array(all)) => {
                let objects = all.iter().filter_map(|one| match &one.kind {
                    JsonKind::Object(properties) => Some(properties),
                    _ => None,
                });
                self.members(objects.flatten(), field, element, path, decoded, diagnostics)
            }
            (_, JsonKind::Array(all)) => {
                let mut values = Vec::new();
                for one in all {
                    values.push(self.weak(one, field, &Type::Dynamic, path, decoded, diagnostics)?);
                }
                Some(Value::tuple(values))
            }
            (_, JsonKind::String(text)) => {
                let text = self.text(text, field, value.place, path, decoded, diagnostics)?;
                Some(match text.as_str() {
                    Some(text) => scalar(text, kind),
                    None => text,
                })
            }
            (Type::String, JsonKind::Bool(truth)) => Some(Value::string(if *truth { "1" } else { "0" })),
            (Type::Number, JsonKind::Bool(truth)) => Some(Value::int(i64::from(*truth))),
            (_, JsonKind::Bool(truth)) => Some(Value::bool(*truth)),
            (Type::Bool, JsonKind::Number(text)) => {
                Some(Value::bool(text.parse::<f64>().is_ok_and(|number| number != 0.0)))
            }
            (Type::Number | Type::Dynamic, JsonKind::Number(text)) => Some(scalar(text, &Type::Number)),
            (_, JsonKind::Number(text)) => Some(Value::string(text)),
        }
    }

    fn members<'v>(
        &self,
        properties: impl Iterator<Item = &'v (Name, JsonValue)>,
        field: &Field,
        element: &Type,
        path: &str,
        decoded: &mut Decoded,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        let mut members = Vec::new();
        for (name, member) in properties {
            let place = name.place;
            let rendered = self.text(&name.text, field, place, path, decoded, diagnostics)?;
            let Some(name) = rendered.as_str() else {
                return Some(rendered);
            };
            let value = self.weak(member, field, element, &join(path, name), decoded, diagnostics)?;
            members.push((name.to_owned(), value));
        }
        Some(Value::object(members))
    }

    /// A string rendered; unknown while it refers to what only the build will know.
    fn text(
        &self,
        text: &str,
        field: &Field,
        place: Place,
        path: &str,
        decoded: &mut Decoded,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        if !text.contains("{{") {
            return Some(Value::string(text));
        }
        if field.late {
            return Some(Value::string((self.late)(text)));
        }
        match gotemplate::render(text, self.rendering) {
            Ok(text) => {
                let within = self.secrets.texts().filter(|secret| text.contains(secret));
                decoded.secrets.extend(within.map(str::to_owned));
                Some(Value::string(text))
            }
            Err(RenderError::Unknown { .. }) => Some(Value::dynamic()),
            Err(error) => {
                let help = outdated::help_for_functions(text);
                diagnostics.push(Diagnostic::error(place, format!("`{path}`: {error}")).help(help));
                None
            }
        }
    }
}

fn is_supported(field: &Field, place: Place, diagnostics: &mut Diagnostics) -> bool {
    let Some(reason) = &field.unsupported else { return true };
    diagnostics.push(unsupported(
        place,
        format!("`{}` is not supported yet", field.name),
        reason,
    ));
    false
}

/// Names are compared without regard to case when nothing else fits.
fn folded<'a>(schema: &'a Schema, name: &str) -> Option<&'a Field> {
    schema.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
}

/// An array of one stands for the one.
fn single(value: &JsonValue) -> &JsonValue {
    match &value.kind {
        JsonKind::Array(all) => match all.as_slice() {
            [only] => only,
            _ => value,
        },
        _ => value,
    }
}

fn elements(value: &JsonValue) -> &[JsonValue] {
    match &value.kind {
        JsonKind::Array(all) => all,
        _ => std::slice::from_ref(value),
    }
}

/// A text as a value of a type, where it reads as one; else the text, and the conversion complains.
fn scalar(text: &str, kind: &Type) -> Value {
    match kind {
        Type::Bool => match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Value::bool(true),
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Value::bool(false),
            _ => Value::string(text),
        },
        Type::Number if text.is_empty() => Value::int(0),
        Type::Number => {
            let number = bakelite_hcl::convert::convert(&Value::string(text), &Type::Number);
            number.unwrap_or_else(|_| Value::string(text))
        }
        _ => Value::string(text),
    }
}
