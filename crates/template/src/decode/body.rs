//! Bodies in HCL, walked against a schema.

use bakelite_hcl::content::BodySchema;
use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, similar_name};
use bakelite_hcl::evaluate::evaluate;
use bakelite_hcl::scope::Scope;
use bakelite_hcl::source::Place;
use bakelite_hcl::syntax::{Attribute, Body};
use bakelite_hcl::value::Value;

use super::leaf::{self, Leaf};
use super::members::Members;
use super::{Decoded, is_within, join};
use crate::dynamic::{self, ExpandedBlock};
use crate::gotemplate::Rendering;
use crate::outdated;
use crate::schema::{self, Field, FieldKind, Schema};
use crate::scope::{Iterations, Within};

/// Attributes that every component has in Packer and whose values Packer overwrites. They may be given and mean nothing.
pub(super) const OVERWRITTEN: &[&str] = &[
    "packer_build_name",
    "packer_builder_type",
    "packer_core_version",
    "packer_debug",
    "packer_force",
    "packer_on_error",
    "packer_sensitive_variables",
    "packer_user_variables",
];

/// One of the bodies whose attributes and blocks are taken together: a source, and what a build block adds to it.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'a> {
    /// The body.
    pub(crate) body: &'a Body,
    /// What its expressions can refer to besides.
    pub(crate) iterations: &'a Iterations,
}

/// How a component's body is decoded.
pub(crate) struct Decoding<'a> {
    /// What its expressions can refer to.
    pub(crate) scope: &'a dyn Scope,
    /// What its `{{ }}` can refer to.
    pub(crate) rendering: &'a Rendering,
    /// How messages name it: "provisioner `shell`".
    pub(crate) subject: String,
    /// Its header.
    pub(crate) place: Place,
}

impl Decoding<'_> {
    /// The options that the layers give, with the values of `overrides` in place of those of the same name. `None` when anything
    /// is wrong.
    pub(crate) fn decode(
        &self,
        layers: &[Layer<'_>],
        overrides: Option<&Value>,
        schema: &Schema,
        diagnostics: &mut Diagnostics,
    ) -> Option<Decoded> {
        let mut found = Diagnostics::default();
        let mut decoded = Decoded {
            place: Some(self.place),
            ..Decoded::default()
        };
        let mut options = self.structure(layers, schema, "", &mut decoded, &mut found);
        if let Some(overrides) = overrides {
            self.override_with(overrides, schema, &mut options, &mut decoded, &mut found);
        }
        decoded.options = options.finish("", &decoded, &mut found);
        let failed = found.has_errors();
        diagnostics.extend(found.into_iter().map(|diagnostic| in_block(diagnostic, self.place)));
        (!failed).then_some(decoded)
    }

    fn structure<'s>(
        &self,
        layers: &[Layer<'_>],
        schema: &'s Schema,
        path: &str,
        decoded: &mut Decoded,
        diagnostics: &mut Diagnostics,
    ) -> Members<'s> {
        let body_schema = body_schema(schema, path.is_empty());
        let mut options = Members::new(schema);
        let mut given: Vec<(Attribute, &Iterations)> = Vec::new();
        let mut blocks: Vec<ExpandedBlock> = Vec::new();
        for layer in layers {
            let content = dynamic::read(layer.body, &body_schema, self.scope, layer.iterations, diagnostics);
            for attribute in content.attributes {
                let name = &attribute.name;
                if let Some((first, _)) = given.iter().find(|(first, _)| first.name.text == name.text) {
                    diagnostics.push(
                        Diagnostic::error(name.place, format!("`{}` is given twice", name.text))
                            .related(first.name.place, "first here"),
                    );
                    continue;
                }
                given.push((attribute, layer.iterations));
            }
            blocks.extend(content.blocks);
        }
        for (attribute, iterations) in &given {
            let name = &attribute.name;
            let Some(field) = schema.field(&name.text) else {
                if let Some(help) = outdated::help_for(&name.text, schema, false) {
                    let unknown = Diagnostic::error(name.place, format!("there is no option `{}` any more", name.text));
                    diagnostics.push(unknown.help(help));
                }
                continue;
            };
            self.attribute(attribute, iterations, field, path, decoded, &mut options, diagnostics);
        }
        self.blocks(&blocks, schema, path, decoded, &mut options, diagnostics);
        options
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one attribute, where it goes, and where complaints go"
    )]
    fn attribute<'s>(
        &self,
        attribute: &Attribute,
        iterations: &Iterations,
        field: &'s Field,
        path: &str,
        decoded: &mut Decoded,
        options: &mut Members<'s>,
        diagnostics: &mut Diagnostics,
    ) {
        let FieldKind::Attribute(kind) = &field.kind else {
            return;
        };
        let expression = &attribute.expression;
        let mut found = Diagnostics::default();
        let value = evaluate(
            expression,
            &Within {
                outer: self.scope,
                iterations,
            },
            &mut found,
        );
        let failed = found.has_errors();
        diagnostics.extend(found);
        if failed {
            return options.put(field, None);
        }
        if value.is_null() {
            return;
        }
        let path = join(path, &field.name);
        decoded.places.insert(path.clone(), attribute.place);
        leaf::member_places(expression, &path, &mut decoded.places);
        let leaf = Leaf {
            field,
            kind,
            rendering: self.rendering,
            place: expression.place,
        };
        let mut found = Diagnostics::default();
        let json = leaf.decode(&value, &path, decoded, &mut found);
        if self.is_refused(field, json.as_ref(), attribute.name.place, &found, diagnostics) {
            return;
        }
        diagnostics.extend(found);
        options.put(field, json);
    }

    /// Is an option refused because it is not supported? Not where its value asks for nothing. One that is wrong is refused, too.
    fn is_refused(
        &self,
        field: &Field,
        value: Option<&serde_json::Value>,
        place: Place,
        found: &Diagnostics,
        diagnostics: &mut Diagnostics,
    ) -> bool {
        let is_idle = value.is_none_or(schema::is_idle) && !found.has_errors();
        !is_idle && !self.is_supported(field, place, diagnostics)
    }

    fn is_supported(&self, field: &Field, place: Place, diagnostics: &mut Diagnostics) -> bool {
        let Some(reason) = &field.unsupported else { return true };
        let summary = format!("`{}` of {} is not supported yet", field.name, self.subject);
        diagnostics.push(unsupported(place, summary, reason));
        false
    }

    fn blocks<'s>(
        &self,
        blocks: &[ExpandedBlock],
        schema: &'s Schema,
        path: &str,
        decoded: &mut Decoded,
        options: &mut Members<'s>,
        diagnostics: &mut Diagnostics,
    ) {
        for field in &schema.fields {
            let (inner, is_single) = match &field.kind {
                FieldKind::Attribute(_) => continue,
                FieldKind::Block(inner) => (inner, true),
                FieldKind::Blocks(inner) => (inner, false),
            };
            let mut own = blocks.iter().filter(|block| block.kind == field.name).peekable();
            let Some(first) = own.peek().map(|block| block.place) else {
                continue;
            };
            let path = join(path, &field.name);
            decoded.places.insert(path.clone(), first);
            let mut all = Vec::new();
            let mut found = Diagnostics::default();
            for (index, block) in own.enumerate() {
                if is_single && index > 0 {
                    found.push(
                        Diagnostic::error(block.place, format!("block `{}` is given twice", field.name))
                            .related(first, "first here"),
                    );
                    continue;
                }
                let path = if is_single {
                    path.clone()
                } else {
                    format!("{path}[{index}]")
                };
                decoded.places.insert(path.clone(), block.place);
                let layer = Layer {
                    body: &block.body,
                    iterations: &block.iterations,
                };
                let members = self.structure(&[layer], inner, &path, decoded, &mut found);
                all.push(serde_json::Value::Object(members.finish(&path, decoded, &mut found)));
            }
            let json = if is_single {
                all.into_iter().next()
            } else {
                Some(serde_json::Value::Array(all))
            };
            if self.is_refused(field, json.as_ref(), first, &found, diagnostics) {
                continue;
            }
            diagnostics.extend(found);
            options.put(field, json);
        }
    }

    /// `override = { NAME = { option = value } }` of a provisioner: values replace options as a whole.
    fn override_with<'s>(
        &self,
        overrides: &Value,
        schema: &'s Schema,
        options: &mut Members<'s>,
        decoded: &mut Decoded,
        diagnostics: &mut Diagnostics,
    ) {
        let Some(members) = overrides.members() else {
            diagnostics.push(Diagnostic::error(
                self.place,
                format!("override of {} is not an object", self.subject),
            ));
            return;
        };
        for (name, value) in members {
            let Some(field) = schema.field(name) else {
                let similar = similar_name(name, schema.fields.iter().map(|field| field.name.as_str()));
                diagnostics.push(
                    Diagnostic::error(
                        self.place,
                        format!("override of {} gives `{name}`, which it does not have", self.subject),
                    )
                    .help(similar.map(|similar| format!("did you mean `{similar}`?"))),
                );
                continue;
            };
            options.remove(field);
            decoded.unknown.retain(|path| !is_within(path, &field.name));
            if value.is_null() {
                continue;
            }
            let value = value.clone().with_marks(overrides.marks);
            let json = leaf::of_field(
                &value,
                field,
                &field.name,
                self.rendering,
                self.place,
                decoded,
                diagnostics,
            );
            options.put(field, json);
        }
    }
}

/// The diagnostic with the block that it is about, unless it points there already.
pub(crate) fn in_block(diagnostic: Diagnostic, block: Place) -> Diagnostic {
    let known = diagnostic.place == Some(block) || diagnostic.related.iter().any(|(place, _)| *place == block);
    if known {
        diagnostic
    } else {
        diagnostic.related(block, "in this block")
    }
}

fn body_schema(schema: &Schema, is_top: bool) -> BodySchema<'_> {
    let mut known = BodySchema::default();
    for field in &schema.fields {
        match field.kind {
            FieldKind::Attribute(_) => known.attributes.push((&field.name, false)),
            FieldKind::Block(_) | FieldKind::Blocks(_) => known.blocks.push((&field.name, &[])),
        }
    }
    if is_top {
        let more = OVERWRITTEN.iter().filter(|name| schema.field(name).is_none());
        known.attributes.extend(more.map(|name| (*name, false)));
        // Errors about these say what has replaced them.
        known
            .attributes
            .extend(outdated::names(schema).map(|name| (name, false)));
    }
    known
}

/// An option that is refused for now. The reason may add nothing to that.
pub(super) fn unsupported(place: Place, summary: String, reason: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(place, summary);
    if reason == "not supported yet" {
        diagnostic
    } else {
        diagnostic.detail(reason)
    }
}
