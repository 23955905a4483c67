//! `build` blocks: which sources they bake, which provisioners and post-processors come after, and the meta-arguments of those.
//! Read before any source is chosen: what is said here may refer to variables, locals and data, not to `source`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bakelite_hcl::content::BodySchema;
use bakelite_hcl::convert::convert;
use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, similar_name};
use bakelite_hcl::evaluate::{self, evaluate, references};
use bakelite_hcl::scope::Scope;
use bakelite_hcl::source::Place;
use bakelite_hcl::syntax::{Attribute, Block, Body, Expression, JsonValue, Name};
use bakelite_hcl::types::Type;
use bakelite_hcl::value::Value;

use crate::blocks;
use crate::duration::GoDuration;
use crate::dynamic::{self, ExpandedBlock};
use crate::filter::Selection;
use crate::scope::{Iterations, TemplateScope, Within};

/// What is baked together: a `build` block, or one builder of a legacy template.
#[derive(Debug)]
pub(crate) struct Build {
    /// Is it of a legacy template?
    pub(crate) is_legacy: bool,
    /// `name`, or empty.
    pub(crate) name: String,
    /// `description`
    pub(crate) description: Option<String>,
    /// What is baked.
    pub(crate) uses: Vec<SourceUse>,
    /// What runs on each instance.
    pub(crate) provisioners: Vec<Step>,
    /// What runs when a bake fails.
    pub(crate) error_cleanup: Option<Step>,
    /// Chains of post-processors.
    pub(crate) chains: Vec<Vec<Step>>,
    /// The header.
    pub(crate) place: Place,
}

/// A source as a build uses it.
#[derive(Debug)]
pub(crate) struct SourceUse {
    /// Builder and name.
    pub(crate) source: (String, String),
    /// The name that the build gives it.
    pub(crate) local_name: Option<String>,
    /// What the build adds to its options.
    pub(crate) more: Option<(Arc<Body>, Iterations)>,
    /// The source itself; absent when there is none of that name.
    pub(crate) source_options: Option<Written>,
    /// The reference.
    pub(crate) place: Place,
}

/// A component's options as they are written.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    /// The name of the component.
    pub(crate) component: Place,
    /// The header of the block, or the object.
    pub(crate) place: Place,
    pub(crate) content: WrittenContent,
}

/// The options themselves.
#[derive(Debug, Clone)]
pub(crate) enum WrittenContent {
    /// Bodies whose attributes and blocks are taken together, each with what its expressions can refer to besides.
    Hcl(Arc<[(Arc<Body>, Iterations)]>),
    /// Properties of an object of a legacy template.
    Legacy(Arc<[(Name, JsonValue)]>),
}

impl SourceUse {
    /// The source's name, the build's own where it gives one.
    pub(crate) fn name(&self) -> &str {
        self.local_name.as_deref().unwrap_or(&self.source.1)
    }

    /// `TYPE.NAME`, how steps refer to it in `only` and `except`.
    pub(crate) fn short_name(&self) -> String {
        format!("{}.{}", self.source.0, self.name())
    }
}

impl Build {
    /// How output names the bake of one of its sources: `[BUILD.]TYPE.NAME`, or for a builder of a legacy template without a name of
    /// its own the type alone.
    pub(crate) fn full_name(&self, used: &SourceUse) -> String {
        if self.is_legacy && used.source.0 == used.source.1 {
            used.source.0.clone()
        } else if self.name.is_empty() {
            used.short_name()
        } else {
            format!("{}.{}", self.name, used.short_name())
        }
    }

    /// How `-only` and `-except` name the bake of one of its sources.
    pub(crate) fn selected_as(&self, used: &SourceUse) -> String {
        if self.is_legacy {
            used.source.1.clone()
        } else {
            self.full_name(used)
        }
    }
}

/// A provisioner or post-processor of a build.
#[derive(Debug)]
pub(crate) struct Step {
    /// Its type.
    pub(crate) component: Name,
    /// Its meta-arguments.
    pub(crate) meta: Meta,
    /// Its options.
    pub(crate) options: Written,
    /// Its header.
    pub(crate) place: Place,
}

/// The arguments of a step that are about when and whether it runs, and not options of its component.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meta {
    pub(crate) name: Option<String>,
    pub(crate) only: Vec<(String, Place)>,
    pub(crate) except: Vec<(String, Place)>,
    pub(crate) pause_before: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_retries: u32,
    pub(crate) continue_on_error: bool,
    pub(crate) overrides: BTreeMap<String, Value>,
    pub(crate) keep_input_artifact: Option<bool>,
}

impl Step {
    /// How `-except` names it, where it is a post-processor.
    pub(crate) fn name(&self) -> &str {
        self.meta.name.as_deref().unwrap_or(&self.component.text)
    }
}

/// The members of a chain that run for the source of that `TYPE.NAME`, or where there are no sources: those for it, up to the first of
/// them that `-except` names.
pub(crate) fn running<'a>(
    chain: &'a [Step],
    selection: &'a Selection,
    source: Option<&'a str>,
) -> impl Iterator<Item = &'a Step> {
    let is_for = move |step: &&Step| source.is_none_or(|source| step.meta.applies_to(source));
    let own = chain.iter().filter(is_for);
    own.take_while(|step| !selection.excludes(step.name()))
}

impl Meta {
    /// Does the step run for the source of that `TYPE.NAME`?
    pub(crate) fn applies_to(&self, source: &str) -> bool {
        let is_named = |names: &[(String, Place)]| names.iter().any(|(name, _)| name == source);
        (self.only.is_empty() || is_named(&self.only)) && !is_named(&self.except)
    }
}

const LABEL: &[&str] = &["type"];
const PROVISIONER_META: &[&str] = &[
    "name",
    "only",
    "except",
    "pause_before",
    "timeout",
    "max_retries",
    "continue_on_error",
    "override",
];
const POST_PROCESSOR_META: &[&str] = &["name", "only", "except", "keep_input_artifact"];

/// Reads a `build` block with its dynamic blocks expanded.
pub(crate) fn read(block: &Block, names: &TemplateScope<'_>, diagnostics: &mut Diagnostics) -> Build {
    let schema = BodySchema {
        attributes: vec![("name", false), ("description", false), ("sources", false)],
        blocks: vec![
            ("source", &["reference"]),
            ("provisioner", LABEL),
            ("error-cleanup-provisioner", LABEL),
            ("post-processor", LABEL),
            ("post-processors", &[]),
            ("hcp_packer_registry", &[]),
            ("from", LABEL),
        ],
    };
    let iterations = Iterations::default();
    let content = dynamic::read(&block.body, &schema, names, &iterations, diagnostics);
    let mut build = Build {
        is_legacy: false,
        name: String::new(),
        description: None,
        uses: Vec::new(),
        provisioners: Vec::new(),
        error_cleanup: None,
        chains: Vec::new(),
        place: block.place,
    };
    for attribute in &content.attributes {
        match attribute.name.text.as_str() {
            "name" => build.name = text(attribute, names, diagnostics).unwrap_or_default(),
            "description" => build.description = text(attribute, names, diagnostics),
            _ => sources(&attribute.expression, names, block.place, &mut build.uses, diagnostics),
        }
    }
    let has_sources_attribute = content
        .attributes
        .iter()
        .any(|attribute| attribute.name.text == "sources");
    let mut has_sources = has_sources_attribute && (!build.uses.is_empty() || diagnostics.has_errors());
    let mut registry = None;
    for block in content.blocks {
        match block.kind.as_str() {
            "source" => {
                has_sources = true;
                build.uses.extend(source_block(block, build.place, diagnostics));
            }
            "provisioner" => build
                .provisioners
                .extend(step(block, PROVISIONER_META, names, diagnostics)),
            "error-cleanup-provisioner" => error_cleanup(block, &mut build, names, diagnostics),
            "post-processor" => {
                build
                    .chains
                    .extend(step(block, POST_PROCESSOR_META, names, diagnostics).map(|step| vec![step]));
            }
            "post-processors" => build.chains.extend(chain(&block, names, diagnostics)),
            "hcp_packer_registry" => {
                let kind = Name {
                    text: block.kind,
                    place: block.place,
                };
                let block = Block {
                    kind,
                    labels: Vec::new(),
                    body: block.body,
                    place: block.place,
                };
                blocks::hcp_registry(&block, &mut registry, diagnostics);
            }
            _ => {}
        }
    }
    if !has_sources {
        diagnostics.push(
            Diagnostic::error(block.place, "build has no source")
                .help("name its sources: `sources = [\"source.amazon-ebs.example\"]`".to_owned()),
        );
    }
    check_names(&build, diagnostics);
    build
}

/// Warns of names in `only` and `except` of steps that no source of the build has: such a step never runs, or always.
fn check_names(build: &Build, diagnostics: &mut Diagnostics) {
    let names: Vec<String> = build.uses.iter().map(SourceUse::short_name).collect();
    let steps = build.provisioners.iter().chain(&build.error_cleanup);
    for step in steps.chain(build.chains.iter().flatten()) {
        for (what, given) in [("only", &step.meta.only), ("except", &step.meta.except)] {
            for (name, place) in given.iter().filter(|(name, _)| !names.contains(name)) {
                let help = match similar_name(name, names.iter().map(String::as_str)) {
                    Some(similar) => format!("did you mean `{similar}`?"),
                    None => format!("the build has `{}`", names.join("`, `")),
                };
                diagnostics.push(
                    Diagnostic::warning(
                        *place,
                        format!("`{what}` names `{name}`, which is no source of this build"),
                    )
                    .related(step.place, "in this block")
                    .help(help),
                );
            }
        }
    }
}

/// The `name` of a build block, empty where it has none or it cannot be evaluated.
pub(crate) fn name_of(block: &Block, names: &TemplateScope<'_>, diagnostics: &mut Diagnostics) -> String {
    let schema = BodySchema {
        attributes: vec![("name", false)],
        blocks: Vec::new(),
    };
    let (content, _) = block.body.partial_content(&schema, diagnostics);
    content
        .attributes
        .first()
        .and_then(|name| text(name, names, diagnostics))
        .unwrap_or_default()
}

/// The value of an attribute, or `None` when its errors have been told or it is null.
fn value(
    expression: &Expression,
    kind: &Type,
    what: &str,
    scope: &dyn Scope,
    diagnostics: &mut Diagnostics,
) -> Option<Value> {
    let mut found = Diagnostics::default();
    let value = evaluate(expression, scope, &mut found);
    let failed = found.has_errors();
    diagnostics.extend(found);
    if failed || value.is_null() {
        return None;
    }
    match convert(&value, kind) {
        Ok(value) if value.is_wholly_known() => Some(value),
        Ok(_) => {
            let uses_source = references(expression)
                .iter()
                .any(|reference| reference.root == "source");
            let help =
                uses_source.then(|| "it is read before a source is chosen: do not refer to `source` in it".to_owned());
            diagnostics.push(
                Diagnostic::error(
                    expression.place,
                    format!("`{what}` is not known when the build is read"),
                )
                .help(help),
            );
            None
        }
        Err(error) => {
            diagnostics.push(
                Diagnostic::error(expression.place, format!("`{what}` has a value of the wrong type"))
                    .detail(format!("It requires a {kind}: {error}.")),
            );
            None
        }
    }
}

fn text(attribute: &Attribute, scope: &dyn Scope, diagnostics: &mut Diagnostics) -> Option<String> {
    let value = value(
        &attribute.expression,
        &Type::String,
        &attribute.name.text,
        scope,
        diagnostics,
    )?;
    value.as_str().map(str::to_owned)
}

/// A list of strings, each with its place where that can be read off the expression.
fn strings(
    expression: &Expression,
    what: &str,
    scope: &dyn Scope,
    diagnostics: &mut Diagnostics,
) -> Vec<(String, Place)> {
    let value = value(expression, &Type::list(Type::String), what, scope, diagnostics);
    let elements = value.as_ref().and_then(Value::elements).unwrap_or_default();
    let mut places = BTreeMap::new();
    crate::decode::member_places(expression, "", &mut places);
    let place = |index: usize| places.get(&format!("[{index}]")).copied().unwrap_or(expression.place);
    let all = elements.iter().enumerate();
    all.map(|(index, element)| (element.as_str().unwrap_or_default().to_owned(), place(index)))
        .collect()
}

fn sources(
    expression: &Expression,
    scope: &dyn Scope,
    block: Place,
    uses: &mut Vec<SourceUse>,
    diagnostics: &mut Diagnostics,
) {
    for (text, place) in strings(expression, "sources", scope, diagnostics) {
        let source = reference(&text, place, block, diagnostics);
        uses.extend(source.map(|source| SourceUse {
            source,
            local_name: None,
            more: None,
            source_options: None,
            place,
        }));
    }
}

/// `source.TYPE.NAME` or `TYPE.NAME`; what comes after is ignored.
fn reference(text: &str, place: Place, block: Place, diagnostics: &mut Diagnostics) -> Option<(String, String)> {
    let mut parts: Vec<&str> = text.split('.').collect();
    if parts.len() > 2 && matches!(parts.first(), Some(&("source" | "sources"))) {
        parts.remove(0);
    }
    match parts.as_slice() {
        [kind, name, ..] if !kind.is_empty() && !name.is_empty() => Some(((*kind).to_owned(), (*name).to_owned())),
        _ => {
            diagnostics.push(
                Diagnostic::error(place, format!("`{text}` does not name a source"))
                    .related(block, "in this block")
                    .help("write `source.TYPE.NAME`".to_owned()),
            );
            None
        }
    }
}

/// `source "source.TYPE.NAME" { name = "…" … }` in a build.
fn source_block(block: ExpandedBlock, build: Place, diagnostics: &mut Diagnostics) -> Option<SourceUse> {
    let label = block.labels.first()?;
    let source = reference(&label.text, label.place, build, diagnostics)?;
    let schema = BodySchema {
        attributes: vec![("name", false)],
        blocks: Vec::new(),
    };
    let (content, rest) = block.body.partial_content(&schema, diagnostics);
    let mut local_name = None;
    if let Some(attribute) = content.attributes.first() {
        let mut found = Diagnostics::default();
        let value = if block.iterations.is_empty() {
            evaluate::literal(&attribute.expression, &mut found)
        } else {
            let iterations = &block.iterations;
            evaluate(
                &attribute.expression,
                &crate::scope::IterationsOnly::new(iterations),
                &mut found,
            )
        };
        if found.has_errors() {
            diagnostics.extend(found);
            return None;
        }
        local_name = convert(&value, &Type::String)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned));
    }
    let more = Some((Arc::new(rest), block.iterations));
    Some(SourceUse {
        source,
        local_name: local_name.filter(|name| !name.is_empty()),
        more,
        source_options: None,
        place: block.place,
    })
}

fn error_cleanup(block: ExpandedBlock, build: &mut Build, names: &TemplateScope<'_>, diagnostics: &mut Diagnostics) {
    if let Some(first) = &build.error_cleanup {
        diagnostics.push(
            Diagnostic::error(block.place, "build has two error-cleanup-provisioners")
                .related(first.place, "first here"),
        );
        return;
    }
    build.error_cleanup = step(block, PROVISIONER_META, names, diagnostics);
}

fn chain(block: &ExpandedBlock, names: &TemplateScope<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<Step>> {
    let schema = BodySchema {
        attributes: Vec::new(),
        blocks: vec![("post-processor", LABEL)],
    };
    let content = dynamic::read(&block.body, &schema, names, &block.iterations, diagnostics);
    let steps = content
        .blocks
        .into_iter()
        .filter_map(|block| step(block, POST_PROCESSOR_META, names, diagnostics));
    let steps: Vec<Step> = steps.collect();
    (!steps.is_empty()).then_some(steps)
}

fn step(
    block: ExpandedBlock,
    known: &[&str],
    names: &TemplateScope<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Step> {
    let component = block.labels.into_iter().next()?;
    let schema = BodySchema {
        attributes: known.iter().map(|name| (*name, false)).collect(),
        blocks: Vec::new(),
    };
    let (content, rest) = block.body.partial_content(&schema, diagnostics);
    let scope = Within {
        outer: names,
        iterations: &block.iterations,
    };
    let mut meta = Meta::default();
    for attribute in &content.attributes {
        meta.set(attribute, &scope, block.place, diagnostics);
    }
    if !meta.only.is_empty() && !meta.except.is_empty() {
        diagnostics.push(
            Diagnostic::error(block.place, "both `only` and `except` are given")
                .help("give the one or the other".to_owned()),
        );
    }
    Some(Step {
        options: Written {
            component: block.place,
            place: block.place,
            content: WrittenContent::Hcl([(Arc::new(rest), block.iterations)].into()),
        },
        component,
        meta,
        place: block.place,
    })
}

impl Meta {
    fn set(&mut self, attribute: &Attribute, scope: &dyn Scope, block: Place, diagnostics: &mut Diagnostics) {
        let name = attribute.name.text.as_str();
        let one =
            |kind: Type, diagnostics: &mut Diagnostics| value(&attribute.expression, &kind, name, scope, diagnostics);
        match name {
            "name" => self.name = text(attribute, scope, diagnostics),
            "only" => self.only = strings(&attribute.expression, name, scope, diagnostics),
            "except" => self.except = strings(&attribute.expression, name, scope, diagnostics),
            "pause_before" => self.pause_before = duration(attribute, scope, block, diagnostics),
            "timeout" => self.timeout = duration(attribute, scope, block, diagnostics),
            "max_retries" => self.max_retries = retries(attribute, scope, diagnostics),
            "continue_on_error" => {
                self.continue_on_error = one(Type::Bool, diagnostics)
                    .and_then(|value| value.as_bool())
                    .unwrap_or(false);
            }
            "keep_input_artifact" => {
                self.keep_input_artifact = one(Type::Bool, diagnostics).and_then(|value| value.as_bool());
            }
            _ => self.overrides = overrides(attribute, scope, diagnostics),
        }
    }
}

fn duration(attribute: &Attribute, scope: &dyn Scope, block: Place, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let text = text(attribute, scope, diagnostics)?;
    match text.parse::<GoDuration>() {
        Ok(duration) => Some(duration.to_std()).filter(|duration| !duration.is_zero()),
        Err(error) => {
            diagnostics.push(
                Diagnostic::error(
                    attribute.expression.place,
                    format!("`{}`: {error}", attribute.name.text),
                )
                .related(block, "in this block")
                .help(error.help().to_owned()),
            );
            None
        }
    }
}

fn retries(attribute: &Attribute, scope: &dyn Scope, diagnostics: &mut Diagnostics) -> u32 {
    let value = value(&attribute.expression, &Type::Number, "max_retries", scope, diagnostics);
    let Some(value) = value else { return 0 };
    if let Some(count) = value.as_number().and_then(bakelite_hcl::number::Number::to_i64) {
        u32::try_from(count.max(0)).unwrap_or(u32::MAX)
    } else {
        diagnostics.push(Diagnostic::error(
            attribute.expression.place,
            "`max_retries` is not an integer",
        ));
        0
    }
}

fn overrides(attribute: &Attribute, scope: &dyn Scope, diagnostics: &mut Diagnostics) -> BTreeMap<String, Value> {
    let mut found = Diagnostics::default();
    let value = evaluate(&attribute.expression, scope, &mut found);
    let failed = found.has_errors();
    diagnostics.extend(found);
    if failed || value.is_null() {
        return BTreeMap::new();
    }
    let Some(members) = value.members() else {
        diagnostics.push(
            Diagnostic::error(attribute.expression.place, "`override` is not an object")
                .help("write `override = { SOURCE_NAME = { option = value } }`".to_owned()),
        );
        return BTreeMap::new();
    };
    for (name, member) in members {
        if member.members().is_none() {
            diagnostics.push(Diagnostic::error(
                attribute.expression.place,
                format!("`override` for `{name}` is not an object"),
            ));
        }
    }
    members
        .iter()
        .map(|(name, member)| (name.to_string(), member.clone().with_marks(value.marks)))
        .collect()
}
