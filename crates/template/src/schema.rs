//! A component's options as declared: name, doc, type, default. There is one declaration, the options struct (serde + schemars);
//! this is what planning, validation, documentation and the editor schema read from it.
//!
//! How an options struct says what HCL needs to know: a field that is a struct (or `Option` of one) is a block, a `Vec` of structs a
//! repeatable block, anything else an attribute. `#[schemars(extend("x-late" = true))]`: the string is rendered by the component at
//! run time and not while decoding. `#[schemars(extend("x-unsupported" = "reason"))]`: giving it is an error for now; on a variant
//! of an enum, giving that value is; an empty value may be given all the same, as it asks for nothing.
//! `#[schemars(extend("x-zero" = true))]`: the number 0 is a value of its own, not the same as none. `#[schemars(extend("x-aliases" = ["…"]))]` on a variant: other strings for it. On an enum
//! `#[schemars(extend("x-any-case" = true))]`: upper and lower case are the same. On a newtype of a string
//! `#[schemars(extend("pattern" = "REGEX", "x-must-be" = "…"))]`: the string must match, and what that means in words.
//! `#[schemars(extend("x-sensitive" = true))]`: its value is a secret. A field that is neither an `Option` nor has a serde default must
//! be given.

use std::fmt;
use std::sync::OnceLock;

use bakelite_hcl::types::Type;
use regex::Regex;
use serde_json::{Map, Value as Json};

/// The options of a component or of a nested block, in the order of their declaration.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// The options.
    pub fields: Vec<Field>,
}

/// One option.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a property of the declaration")]
pub struct Field {
    /// Its name in templates.
    pub name: String,
    /// Its doc comment (Markdown).
    pub doc: String,
    /// Attribute or block.
    pub kind: FieldKind,
    /// Whether it must be given: it is neither optional nor has a default.
    pub required: bool,
    /// The default, when the option has one.
    pub default: Option<Json>,
    /// What else its value must be, besides its type.
    pub accepts: Accepts,
    /// Rendered by the component at run time, not while decoding.
    pub late: bool,
    /// Its value is a secret.
    pub sensitive: bool,
    /// Why giving it is an error for now.
    pub unsupported: Option<String>,
    /// The number 0 is a value of its own.
    pub zero_counts: bool,
}

/// Attribute or block.
#[derive(Debug, Clone)]
pub enum FieldKind {
    /// `name = value` of this type.
    Attribute(Type),
    /// `name { … }`, at most once.
    Block(Schema),
    /// `name { … }`, any number of times.
    Blocks(Schema),
}

/// What a value must be besides its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepts {
    /// Anything of the type.
    Anything,
    /// An integer within these limits.
    Integer {
        /// The least.
        least: i128,
        /// The greatest.
        greatest: i128,
    },
    /// A duration in Go's syntax.
    Duration,
    /// One of these strings.
    OneOf(Vec<Choice>),
    /// A string that matches this regular expression.
    Pattern {
        /// The regular expression.
        pattern: Pattern,
        /// What it means: "`this` or `that:…`".
        must_be: String,
    },
}

/// A regular expression, compiled when it is first used.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(crate) fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| Regex::new(&self.text).ok());
        compiled.as_ref().is_some_and(|pattern| pattern.is_match(text))
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

/// One value of an option that takes only certain strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The string, as it is written in templates.
    pub value: String,
    /// The doc comment of the variant (Markdown).
    pub doc: String,
    /// Other strings for it.
    pub aliases: Vec<String>,
    /// Do upper and lower case not matter?
    pub any_case: bool,
    /// Why giving this value is an error for now.
    pub unsupported: Option<String>,
}

impl Choice {
    /// Does a string of a template stand for this value?
    pub(crate) fn is(&self, text: &str) -> bool {
        let mut names = self.aliases.iter().chain([&self.value]);
        names.any(|name| name == text || self.any_case && name.eq_ignore_ascii_case(text))
    }
}

/// Does a value ask for nothing? Null, `false`, 0, an empty string, list or object do, and an object that holds only such.
pub(crate) fn is_idle(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => true,
        Json::Bool(true) => false,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty(),
        Json::Array(all) => all.is_empty(),
        Json::Object(members) => members.values().all(is_idle),
    }
}

impl Schema {
    /// The schema that an options struct declares.
    pub fn of<T: schemars::JsonSchema>() -> Schema {
        let settings =
            schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<T>();
        schema.as_object().map(of_object).unwrap_or_default()
    }

    /// The field of a name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// The fields of a JSON schema that describes an object with known properties.
fn of_object(schema: &Map<String, Json>) -> Schema {
    let mut fields = Vec::new();
    let required = schema.get("required").and_then(Json::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|one| one.as_str() == Some(name)));
    if let Some(properties) = schema.get("properties").and_then(Json::as_object) {
        fields.extend(properties.iter().map(|(name, property)| Field {
            required: is_required(name),
            ..field(name, property)
        }));
    }
    // A flattened struct that could not be merged stands beside the properties.
    for part in schema
        .get("allOf")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_object)
    {
        fields.extend(of_object(part).fields);
    }
    Schema { fields }
}

/// A member of a schema. There are a handful, and hundreds of schemas are read at each start: comparing is faster than hashing.
fn get<'a>(shape: &'a Json, name: &str) -> Option<&'a Json> {
    let mut members = shape.as_object()?.iter();
    members.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn field(name: &str, property: &Json) -> Field {
    let extension = |key: &str| get(property, key);
    let is = |key: &str| extension(key).and_then(Json::as_bool).unwrap_or(false);
    let shape = without_null(property);
    Field {
        name: name.to_owned(),
        doc: extension("description")
            .or_else(|| get(shape, "description"))
            .and_then(Json::as_str)
            .unwrap_or("")
            .to_owned(),
        kind: kind(shape),
        required: false,
        default: extension("default").filter(|default| !default.is_null()).cloned(),
        accepts: accepts(shape),
        late: is("x-late"),
        sensitive: is("x-sensitive") || get(shape, "x-sensitive").and_then(Json::as_bool).unwrap_or(false),
        unsupported: string(property, "x-unsupported"),
        zero_counts: is("x-zero"),
    }
}

fn string(shape: &Json, key: &str) -> Option<String> {
    get(shape, key).and_then(Json::as_str).map(str::to_owned)
}

/// `Option<T>` adds `null` to the alternatives of `T`; for a template an option that is not given is simply not there.
fn without_null(property: &Json) -> &Json {
    let alternatives = get(property, "anyOf")
        .or_else(|| get(property, "oneOf"))
        .and_then(Json::as_array);
    let mut rest = alternatives
        .into_iter()
        .flatten()
        .filter(|one| get(one, "type").and_then(Json::as_str) != Some("null"));
    match (rest.next(), rest.next()) {
        (Some(only), None) => only,
        _ => property,
    }
}

fn kind(shape: &Json) -> FieldKind {
    if let Some(object) = structure(shape) {
        return FieldKind::Block(of_object(object));
    }
    if let Some(object) = get(shape, "items").and_then(structure) {
        return FieldKind::Blocks(of_object(object));
    }
    FieldKind::Attribute(value_type(shape))
}

/// The schema of a struct, as opposed to that of a map.
fn structure(shape: &Json) -> Option<&Map<String, Json>> {
    without_null(shape)
        .as_object()
        .filter(|object| object.keys().any(|key| key == "properties"))
}

fn value_type(shape: &Json) -> Type {
    let shape = without_null(shape);
    if !choices(shape).is_empty() {
        return Type::String;
    }
    match type_name(shape) {
        Some("string") => Type::String,
        Some("integer" | "number") => Type::Number,
        Some("boolean") => Type::Bool,
        Some("array") => {
            let element = get(shape, "items").map_or(Type::Dynamic, value_type);
            let distinct = get(shape, "uniqueItems").and_then(Json::as_bool).unwrap_or(false);
            if distinct {
                Type::set(element)
            } else {
                Type::list(element)
            }
        }
        Some("object") => {
            let element = get(shape, "additionalProperties").filter(|one| one.is_object());
            Type::map(element.map_or(Type::Dynamic, value_type))
        }
        _ => Type::Dynamic,
    }
}

/// The one type of a shape that is not `null`.
fn type_name(shape: &Json) -> Option<&str> {
    match get(shape, "type")? {
        Json::String(name) => Some(name),
        Json::Array(names) => names.iter().filter_map(Json::as_str).find(|name| *name != "null"),
        _ => None,
    }
}

fn accepts(shape: &Json) -> Accepts {
    // What a list or a map holds is held to the same rules, one by one.
    let inner = get(shape, "items")
        .or_else(|| get(shape, "additionalProperties"))
        .filter(|inner| inner.is_object());
    if let Some(inner) = inner {
        return accepts(without_null(inner));
    }
    if get(shape, "format").and_then(Json::as_str) == Some("go-duration") {
        return Accepts::Duration;
    }
    let choices = choices(shape);
    if !choices.is_empty() {
        return Accepts::OneOf(choices);
    }
    if let Some((text, must_be)) = string(shape, "pattern").zip(string(shape, "x-must-be")) {
        let pattern = Pattern {
            text,
            compiled: OnceLock::new(),
        };
        return Accepts::Pattern { pattern, must_be };
    }
    if type_name(shape) != Some("integer") {
        return Accepts::Anything;
    }
    let limit = |key: &str| get(shape, key).and_then(|limit| limit.to_string().parse::<i128>().ok());
    let (least, greatest) = match get(shape, "format").and_then(Json::as_str) {
        Some("int8") => (i8::MIN.into(), i8::MAX.into()),
        Some("int16") => (i16::MIN.into(), i16::MAX.into()),
        Some("int32") => (i32::MIN.into(), i32::MAX.into()),
        Some("uint8") => (0, u8::MAX.into()),
        Some("uint16") => (0, u16::MAX.into()),
        Some("uint32") => (0, u32::MAX.into()),
        Some("uint64" | "uint") => (0, u64::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    };
    Accepts::Integer {
        least: limit("minimum").unwrap_or(least),
        greatest: limit("maximum").unwrap_or(greatest),
    }
}

/// The values of a field that is an enum without data. Variants that have attributes of their own stand one by one, after the others.
fn choices(shape: &Json) -> Vec<Choice> {
    let plain = get(shape, "enum").and_then(Json::as_array).into_iter().flatten();
    let single = get(shape, "const").into_iter();
    let any_case = get(shape, "x-any-case").and_then(Json::as_bool).unwrap_or(false);
    let own: Vec<Choice> = plain
        .chain(single)
        .filter_map(Json::as_str)
        .map(|value| Choice {
            value: value.to_owned(),
            doc: String::new(),
            aliases: Vec::new(),
            any_case,
            unsupported: None,
        })
        .collect();
    let alternatives = get(shape, "oneOf").and_then(Json::as_array).into_iter().flatten();
    let each = alternatives.flat_map(|one| {
        let aliases = get(one, "x-aliases").and_then(Json::as_array).into_iter().flatten();
        let aliases: Vec<String> = aliases.filter_map(Json::as_str).map(str::to_owned).collect();
        choices(one).into_iter().map(move |choice| Choice {
            doc: string(one, "description").unwrap_or_default(),
            aliases: aliases.clone(),
            any_case,
            unsupported: string(one, "x-unsupported"),
            ..choice
        })
    });
    own.into_iter().chain(each).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::JsonSchema;

    use super::*;
    use crate::duration::GoDuration;

    /// A device.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Device {
        /// Size in GiB.
        volume_size: Option<u32>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Access {
        /// The secret key.
        #[schemars(extend("x-sensitive" = true))]
        secret_key: Option<String>,
    }

    #[derive(JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    #[expect(dead_code, reason = "only its schema is read")]
    enum Mode {
        LegacyBios,
        /// With a doc.
        Uefi,
        #[schemars(extend("x-unsupported" = "not yet"))]
        UefiPreferred,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Options {
        #[serde(flatten)]
        access: Access,
        /// Its name.
        ami_name: String,
        #[serde(default)]
        tags: BTreeMap<String, String>,
        #[serde(default)]
        devices: Vec<Device>,
        root: Option<Device>,
        #[serde(default = "five")]
        timeout: GoDuration,
        maybe: Option<GoDuration>,
        mode: Option<Mode>,
        #[schemars(extend("x-late" = true))]
        execute_command: Option<String>,
        #[schemars(extend("x-unsupported" = "not yet"))]
        scripts: Option<Vec<String>>,
        port: u16,
        anything: serde_json::Value,
        groups: Option<Vec<BTreeMap<String, Vec<String>>>>,
        wait: Option<bool>,
    }

    fn five() -> GoDuration {
        GoDuration::from_seconds(300)
    }

    #[test]
    fn an_options_struct_declares_everything() {
        let schema = Schema::of::<Options>();
        let shown: Vec<String> = schema.fields.iter().map(|field| format!("{field:?}")).collect();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
