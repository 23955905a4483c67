//! The entrance: an invocation of a command becomes a [`Template`], checked in its names and structure, with the values of its
//! variables known and nothing else evaluated.

use std::collections::BTreeSet;
use std::sync::Arc;

use bakelite_hcl::diagnostic::Diagnostics;
use bakelite_hcl::source::SourceMap;

use crate::blocks::{self, Blocks};
use crate::component::{Components, Schemas};
use crate::context::TemplateContext;
use crate::discover::{self, Files};
use crate::invocation::{Invocation, Purpose};
use crate::legacy::{self, Legacy};
use crate::plugins::{self, Requirement};
use crate::secrets::Derived;
use crate::variables::{self, Variable};

/// A template whose names and structure are checked and whose variables have their values.
#[derive(Debug, Clone)]
pub struct Template {
    pub(crate) content: Content,
    pub(crate) context: Arc<TemplateContext>,
    pub(crate) schemas: Arc<Schemas>,
    /// The texts that it was read from.
    pub(crate) sources: SourceMap,
    pub(crate) purpose: Purpose,
    pub(crate) only: Vec<String>,
    pub(crate) except: Vec<String>,
}

/// The two kinds of template.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// HCL in native or JSON syntax.
    Hcl(Arc<Hcl>),
    /// Legacy JSON.
    Legacy(Arc<Legacy>),
}

/// An HCL template.
#[derive(Debug)]
pub(crate) struct Hcl {
    /// What its files hold.
    pub(crate) blocks: Blocks,
    /// Its variables, in the order of their declaration.
    pub(crate) variables: indexmap::IndexMap<String, Variable>,
}

/// Reads a template: phases 2 to 8. `None` when anything in it is wrong; the diagnostics then hold at least one error.
pub fn read(invocation: &Invocation, sources: &mut SourceMap, diagnostics: &mut Diagnostics) -> Option<Template> {
    let mut found = Diagnostics::default();
    let template = read_phases(invocation, sources, &mut found);
    let failed = found.has_errors();
    diagnostics.extend(found);
    template.filter(|_| !failed)
}

fn read_phases(invocation: &Invocation, sources: &mut SourceMap, diagnostics: &mut Diagnostics) -> Option<Template> {
    match discover::template_files(invocation, diagnostics)? {
        Files::Hcl { files, root } => {
            let context = TemplateContext::new(invocation, root);
            let hcl = read_hcl(invocation, &files, &context, sources, diagnostics)?;
            Some(Template::new(
                invocation,
                Content::Hcl(Arc::new(hcl)),
                context,
                sources.clone(),
            ))
        }
        Files::Legacy { file, directory } => {
            let context = TemplateContext::new(invocation, String::new());
            let legacy = legacy::read(&file, directory, invocation, sources, diagnostics)?;
            Some(Template::new(
                invocation,
                Content::Legacy(Arc::new(legacy)),
                context,
                sources.clone(),
            ))
        }
    }
}

fn read_hcl(
    invocation: &Invocation,
    files: &[discover::File],
    context: &TemplateContext,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) -> Option<Hcl> {
    let bodies = discover::parse_all(files, sources, diagnostics)?;
    let (blocks, declarations) = blocks::read(&bodies, diagnostics)?;
    let mut variables = variables::declare(&declarations, context, diagnostics);
    variables::assign(&mut variables, invocation, sources, diagnostics);
    Some(Hcl { blocks, variables })
}

impl Template {
    fn new(invocation: &Invocation, content: Content, context: TemplateContext, sources: SourceMap) -> Self {
        let split = |patterns: &[String]| {
            patterns
                .iter()
                .flat_map(|one| one.split(','))
                .map(str::to_owned)
                .collect()
        };
        Self {
            content,
            context: Arc::new(context),
            schemas: Arc::default(),
            sources,
            purpose: invocation.purpose,
            only: split(&invocation.only),
            except: split(&invocation.except),
        }
    }

    /// Is it a legacy JSON template?
    pub fn is_legacy(&self) -> bool {
        matches!(self.content, Content::Legacy(_))
    }

    /// Is it a legacy template in which every variable has a default or a value?
    pub fn is_complete_legacy(&self) -> bool {
        matches!(&self.content, Content::Legacy(legacy) if legacy.is_complete())
    }

    /// A legacy template in HCL, formatted; `None` for one that is HCL already.
    pub fn upgrade(&self, components: &dyn Components, with_annotations: bool) -> Option<String> {
        match &self.content {
            Content::Hcl(_) => None,
            Content::Legacy(legacy) => Some(legacy::upgrade(legacy, components, with_annotations)),
        }
    }

    /// What `required_plugins` asks for, each entry of each block.
    pub fn requirements(&self) -> &[Requirement] {
        match &self.content {
            Content::Hcl(hcl) => &hcl.blocks.requirements,
            Content::Legacy(_) => &[],
        }
    }

    /// Checks `required_plugins` against the components that bakelite has built in. A plugin of which it has none is a warning.
    pub fn check_requirements(&self, diagnostics: &mut Diagnostics) {
        plugins::check(self.requirements(), diagnostics);
        plugins::check_missing(self.requirements(), &BTreeSet::new(), diagnostics);
    }

    /// What evaluation makes of sensitive values, also later while baking.
    pub fn derived(&self) -> Derived {
        self.context.answers.derived().clone()
    }

    /// Texts that must not be shown, as far as they are known from the values of variables alone.
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = crate::secrets::Secrets::default();
        secrets.hide_environment(self.context.answers.environment());
        match &self.content {
            Content::Hcl(hcl) => {
                for variable in hcl.variables.values() {
                    secrets.declare(&variable.effective());
                }
            }
            Content::Legacy(legacy) => {
                let defaults = legacy
                    .sensitive
                    .iter()
                    .filter_map(|name| legacy.variables.get(name)?.default.as_ref());
                let given = legacy.sensitive.iter().filter_map(|name| legacy.given.get(name));
                defaults.chain(given).for_each(|text| secrets.hide(text));
            }
        }
        secrets.into_texts()
    }
}
