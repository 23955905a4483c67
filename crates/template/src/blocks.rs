//! The top level of a template: its blocks checked in their names and structure. Bodies of components and of builds stay as they
//! are, because what they hold depends on values.

use std::collections::HashMap;
use std::sync::Arc;

use bakelite_hcl::content::BodySchema;
use bakelite_hcl::convert::convert;
use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};
use bakelite_hcl::evaluate;
use bakelite_hcl::source::Place;
use bakelite_hcl::syntax::{Attribute, Block, Body, Expression, Name};
use bakelite_hcl::types::Type;
use indexmap::IndexMap;

use crate::plugins::{self, Requirement};
use crate::version::PACKER_VERSION;
use crate::version::{Constraint, Version};

/// What the files of a template hold, variables apart.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// Entries of `required_plugins`.
    pub(crate) requirements: Vec<Requirement>,
    /// Locals, in the order of the template.
    pub(crate) locals: IndexMap<String, Local>,
    /// Data sources, by type and name.
    pub(crate) data: IndexMap<(String, String), Labelled>,
    /// Sources, by type and name.
    pub(crate) sources: IndexMap<(String, String), Labelled>,
    /// `build` blocks.
    pub(crate) builds: Vec<Block>,
}

/// A local value.
#[derive(Debug)]
pub(crate) struct Local {
    /// Its name.
    pub(crate) name: Name,
    /// What it is.
    pub(crate) expression: Expression,
    /// `sensitive = true`
    pub(crate) is_sensitive: bool,
}

/// A block with a type and a name: a source or a data source.
#[derive(Debug)]
pub(crate) struct Labelled {
    /// The component.
    pub(crate) component: Name,
    /// The name.
    pub(crate) name: Name,
    /// The options.
    pub(crate) body: Arc<Body>,
    /// The header.
    pub(crate) place: Place,
}

/// Declarations of variables, as they stand.
#[derive(Debug, Default)]
pub(crate) struct Declarations {
    /// `variable` blocks.
    pub(crate) blocks: Vec<Block>,
    /// Attributes of `variables` blocks.
    pub(crate) untyped: Vec<Attribute>,
}

const TYPE_AND_NAME: &[&str] = &["type", "name"];
const NAME: &[&str] = &["name"];

fn top_level() -> BodySchema<'static> {
    BodySchema {
        attributes: Vec::new(),
        blocks: vec![
            ("packer", &[]),
            ("source", TYPE_AND_NAME),
            ("variables", &[]),
            ("variable", NAME),
            ("locals", &[]),
            ("local", NAME),
            ("data", TYPE_AND_NAME),
            ("build", &[]),
            ("hcp_packer_registry", &[]),
            ("communicator", TYPE_AND_NAME),
        ],
    }
}

fn check_version(attribute: &Attribute, diagnostics: &mut Diagnostics) {
    let value = evaluate::literal(&attribute.expression, diagnostics);
    let place = attribute.expression.place;
    let text = convert(&value, &Type::String)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned));
    let Some(text) = text else {
        if value.is_known() {
            diagnostics.push(Diagnostic::error(
                place,
                "`required_version` is not a version constraint",
            ));
        }
        return;
    };
    match (text.parse::<Constraint>(), PACKER_VERSION.parse::<Version>()) {
        (Ok(constraint), Ok(version)) if constraint.allows(&version) => {}
        (Ok(_), _) => diagnostics.push(
            Diagnostic::error(place, format!("template requires Packer in version `{text}`"))
                .detail(format!("bakelite behaves as Packer {PACKER_VERSION}.")),
        ),
        (Err(error), _) => diagnostics.push(
            Diagnostic::error(place, error.to_string())
                .help("write terms such as `>= 1.7.0, < 2.0.0` or `~> 1.16`".to_owned()),
        ),
    }
}

/// Phases 4 to 7: versions, structure, required plugins, data and local headers. Declarations of variables come back as they
/// stand. `None` when the template is for another version: then nothing else is said about it.
pub(crate) fn read(bodies: &[Body], diagnostics: &mut Diagnostics) -> Option<(Blocks, Declarations)> {
    let mut structure = Diagnostics::default();
    let schema = top_level();
    let found: Vec<Block> = bodies
        .iter()
        .flat_map(|body| body.content(&schema, &mut structure).blocks)
        .collect();
    let packers = found.iter().filter(|block| block.kind.text == "packer");
    packers.for_each(|packer| check_versions(packer, diagnostics));
    if diagnostics.has_errors() {
        return None;
    }
    diagnostics.extend(structure);
    let mut blocks = Blocks::default();
    let mut declarations = Declarations::default();
    let mut registry = None;
    for block in found {
        match block.kind.text.as_str() {
            "packer" => packer(&block, &mut blocks, diagnostics),
            "variable" => declarations.blocks.push(block),
            "variables" => declarations.untyped.extend(block.body.attributes(diagnostics)),
            "locals" => {
                for attribute in block.body.attributes(diagnostics) {
                    let local = Local {
                        name: attribute.name,
                        expression: attribute.expression,
                        is_sensitive: false,
                    };
                    blocks.add_local(local, diagnostics);
                }
            }
            "local" => local(block, &mut blocks, diagnostics),
            "data" => add_labelled(block, "data source", &mut blocks.data, diagnostics),
            "source" => add_labelled(block, "source", &mut blocks.sources, diagnostics),
            "build" => blocks.builds.push(block),
            "hcp_packer_registry" => hcp_registry(&block, &mut registry, diagnostics),
            _ => {}
        }
    }
    Some((blocks, declarations))
}

fn check_versions(packer: &Block, diagnostics: &mut Diagnostics) {
    let schema = BodySchema {
        attributes: vec![("required_version", false)],
        blocks: Vec::new(),
    };
    let mut structure = Diagnostics::default();
    for attribute in packer.body.partial_content(&schema, &mut structure).0.attributes {
        check_version(&attribute, diagnostics);
    }
}

fn packer(block: &Block, blocks: &mut Blocks, diagnostics: &mut Diagnostics) {
    let schema = BodySchema {
        attributes: vec![("required_version", false)],
        blocks: vec![("required_plugins", &[])],
    };
    for plugins in block.body.content(&schema, diagnostics).blocks {
        for attribute in plugins.body.attributes(diagnostics) {
            blocks
                .requirements
                .extend(plugins::requirement(&attribute, diagnostics));
        }
    }
}

fn local(block: Block, blocks: &mut Blocks, diagnostics: &mut Diagnostics) {
    let schema = BodySchema {
        attributes: vec![("expression", true), ("sensitive", false)],
        blocks: Vec::new(),
    };
    let Some(name) = block.labels.into_iter().next() else {
        return;
    };
    check_identifier(&name, "local", diagnostics);
    let content = block.body.content(&schema, diagnostics);
    let mut expression = None;
    let mut is_sensitive = false;
    for attribute in content.attributes {
        if attribute.name.text == "sensitive" {
            is_sensitive = literal_bool(&attribute.expression, "sensitive", diagnostics).unwrap_or(false);
        } else {
            expression = Some(attribute.expression);
        }
    }
    if let Some(expression) = expression {
        blocks.add_local(
            Local {
                name,
                expression,
                is_sensitive,
            },
            diagnostics,
        );
    }
}

/// A bool that uses neither names nor functions.
pub(crate) fn literal_bool(expression: &Expression, what: &str, diagnostics: &mut Diagnostics) -> Option<bool> {
    let mut found = Diagnostics::default();
    let value = evaluate::literal(expression, &mut found);
    if found.has_errors() {
        diagnostics.extend(found);
        return None;
    }
    let truth = convert(&value, &Type::Bool).ok().and_then(|value| value.as_bool());
    if truth.is_none() {
        diagnostics.push(Diagnostic::error(
            expression.place,
            format!("`{what}` is neither `true` nor `false`"),
        ));
    }
    truth
}

/// Complains about a label that is not an identifier: a letter or an underscore, then letters, digits, underscores and dashes.
pub(crate) fn check_identifier(name: &Name, what: &str, diagnostics: &mut Diagnostics) {
    let mut rest = name.text.chars();
    let first = rest.next().is_some_and(|c| c.is_alphabetic() || c == '_');
    if !first || !rest.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) {
        diagnostics.push(
            Diagnostic::error(name.place, format!("`{}` cannot be the name of a {what}", name.text)).help(
                "begin with a letter or an underscore and go on with letters, digits, underscores and dashes"
                    .to_owned(),
            ),
        );
    }
}

fn add_labelled(
    block: Block,
    what: &str,
    known: &mut IndexMap<(String, String), Labelled>,
    diagnostics: &mut Diagnostics,
) {
    let Ok([component, name]) = <[Name; 2]>::try_from(block.labels) else {
        return;
    };
    if what == "data source" {
        check_identifier(&component, "data source type", diagnostics);
        check_identifier(&name, what, diagnostics);
    }
    let key = (component.text.clone(), name.text.clone());
    if let Some(first) = known.get(&key) {
        diagnostics.push(
            Diagnostic::error(block.place, format!("{what} `{}.{}` is declared twice", key.0, key.1))
                .related(first.place, "first here"),
        );
        return;
    }
    known.insert(
        key,
        Labelled {
            component,
            name,
            body: Arc::new(block.body),
            place: block.place,
        },
    );
}

impl Blocks {
    fn add_local(&mut self, local: Local, diagnostics: &mut Diagnostics) {
        let name = &local.name;
        match self.locals.get(&name.text) {
            Some(first) => diagnostics.push(
                Diagnostic::error(
                    local.expression.place,
                    format!("local `{}` is declared twice", name.text),
                )
                .related(first.name.place, "first here"),
            ),
            None => {
                self.locals.insert(name.text.clone(), local);
            }
        }
    }
}

/// `hcp_packer_registry`: read, so that a template that has it works, and not used. It may hold anything.
pub(crate) fn hcp_registry(block: &Block, first: &mut Option<Place>, diagnostics: &mut Diagnostics) {
    if let Some(first) = *first {
        diagnostics.push(
            Diagnostic::error(block.place, "`hcp_packer_registry` is declared twice").related(first, "first here"),
        );
        return;
    }
    *first = Some(block.place);
    let schema = BodySchema {
        attributes: ["bucket_name", "description"].map(|name| (name, false)).to_vec(),
        blocks: Vec::new(),
    };
    let (content, _) = block.body.partial_content(&schema, diagnostics);
    let attributes: HashMap<String, Attribute> = content
        .attributes
        .into_iter()
        .map(|one| (one.name.text.clone(), one))
        .collect();
    let mut ignored = Diagnostics::default();
    let mut text = |name: &str| {
        let attribute = attributes.get(name)?;
        let value = evaluate::literal(&attribute.expression, &mut ignored);
        Some((attribute.place, value.as_str()?.to_owned()))
    };
    if let Some((place, name)) = text("bucket_name") {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !plain || !(3..=36).contains(&name.len()) {
            diagnostics.push(
                Diagnostic::error(place, format!("`{name}` cannot be the name of a bucket"))
                    .related(block.place, "in this block")
                    .help("use 3 to 36 letters, digits and dashes".to_owned()),
            );
        }
    }
    if let Some((place, description)) = text("description")
        && description.chars().count() > 255
    {
        diagnostics.push(
            Diagnostic::error(place, "description of the bucket is longer than 255 characters")
                .related(block.place, "in this block"),
        );
    }
    diagnostics.push(
        Diagnostic::warning(block.place, "`hcp_packer_registry` is not used")
            .detail("bakelite bakes without the HCP Packer registry; nothing is recorded there."),
    );
}
