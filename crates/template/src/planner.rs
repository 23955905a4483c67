//! Template + components + answers from outside → [`Plan`]: locals and data sources in the order of their references, then every build
//! with every source. Evaluation is synchronous; where a value needs an answer, the question is asked in between and evaluation repeated.

mod bake;
mod complaints;
mod context;
mod evaluated;
mod existence;
mod expressions;
mod options;

use std::sync::Arc;

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};

use crate::builds::{self, Build, Written, WrittenContent};
use crate::component::{Component, ComponentKind, Components, DataSources};
use crate::filter::Selection;
use crate::legacy;
use crate::plan::Plan;
use crate::plugins;
use crate::scope::{Iterations, TemplateScope};
use crate::template::{Content, Hcl, Template};

pub(crate) use evaluated::{Evaluated, settle};

impl Template {
    /// Plans all builds: phases 9 to 11. Builds with an error are left out, the diagnostics say why. A caller that finds errors
    /// and no builds has nothing to bake.
    pub async fn plan(
        &self,
        components: &dyn Components,
        data: &dyn DataSources,
        diagnostics: &mut Diagnostics,
    ) -> Plan {
        let mut found = Diagnostics::default();
        let selection = self.selection(&mut found);
        plugins::check(self.requirements(), &mut found);
        if found.has_errors() {
            diagnostics.extend(found);
            return Plan {
                builds: Vec::new(),
                secrets: self.secrets(),
            };
        }
        let evaluated = Arc::new(evaluated::evaluate(self, components, data, &mut found).await);
        let work = |found: &mut Diagnostics| self.builds(&evaluated, &selection, found);
        let (builds, more) = settle(&evaluated.context, data, work).await;
        found.extend(more);
        let refused = existence::check(self, &builds, &selection, components, &mut found);
        plugins::check_missing(self.requirements(), &refused, &mut found);
        if builds.is_empty() && !self.is_legacy() && !found.has_errors() {
            found.push(
                Diagnostic::error(None, "template has no build block")
                    .help("add `build { sources = [\"source.TYPE.NAME\"] }`".to_owned()),
            );
        }
        let failed = found.has_errors();
        diagnostics.extend(found);
        let mut secrets = evaluated.secrets.clone();
        let mut plan = Plan::default();
        if !failed {
            let planner = Planner {
                template: self,
                evaluated: &evaluated,
                components,
                data,
                selection: &selection,
            };
            plan.builds = bake::plan_all(&planner, &builds, &mut secrets, diagnostics).await;
        }
        plan.secrets = secrets.texts().map(str::to_owned).collect();
        let secrets = Arc::new(secrets);
        plan.builds.iter_mut().for_each(|build| build.hide(&secrets));
        plan
    }

    /// Variables, locals and data sources, with whatever is wrong about them left out in silence.
    pub(crate) async fn evaluated(&self, components: &dyn Components, data: &dyn DataSources) -> Arc<Evaluated> {
        let mut ignored = Diagnostics::default();
        Arc::new(evaluated::evaluate(self, components, data, &mut ignored).await)
    }

    /// The component that a template calls so: a plugin's local name in front of it is replaced, and what the template requires of another
    /// plugin is not the built-in one.
    fn component<'c>(&self, kind: ComponentKind, name: &str, components: &'c dyn Components) -> Option<&'c Component> {
        if plugins::foreign_source(self.requirements(), name).is_some() {
            return None;
        }
        let of_plugin = || components.find(kind, &plugins::built_in_name(self.requirements(), name)?);
        components.find(kind, name).or_else(of_plugin)
    }

    fn selection(&self, diagnostics: &mut Diagnostics) -> Selection {
        match &self.content {
            Content::Hcl(_) => Selection::of_patterns(&self.only, &self.except, diagnostics),
            Content::Legacy(_) => Selection::of_names(&self.only, &self.except),
        }
    }

    /// What is baked. What is wrong with builders of a legacy template that are not wanted is left out.
    fn builds(&self, evaluated: &Evaluated, selection: &Selection, diagnostics: &mut Diagnostics) -> Vec<Build> {
        let legacy = match &self.content {
            Content::Hcl(hcl) => return read_builds(hcl, evaluated, diagnostics),
            Content::Legacy(legacy) => legacy,
        };
        let rendering = evaluated.rendering("", "");
        let named = legacy::names_of(legacy, &rendering, diagnostics);
        let lower = |(name, builder): (String, _)| {
            let mut found = Diagnostics::default();
            let is_wanted = selection.wants(&name);
            let build = legacy::lower(legacy, (name, builder), &rendering, &mut found);
            if is_wanted {
                diagnostics.extend(found);
            }
            build
        };
        named.into_iter().map(lower).collect()
    }
}

/// What planning the single bakes needs.
struct Planner<'a> {
    template: &'a Template,
    evaluated: &'a Arc<Evaluated>,
    components: &'a dyn Components,
    data: &'a dyn DataSources,
    selection: &'a Selection,
}

/// Reads all `build` blocks, with the sources that they use.
pub(crate) fn read_builds(hcl: &Hcl, evaluated: &Evaluated, diagnostics: &mut Diagnostics) -> Vec<Build> {
    let names = || TemplateScope::new(&evaluated.context, &evaluated.values);
    let mut all = Vec::new();
    for block in &hcl.blocks.builds {
        // The name of the build is known to its own meta-arguments, so it is read first.
        let name = builds::name_of(block, &names(), &mut Diagnostics::default());
        let names = names().with("build", context::build_name_only(&name));
        let mut build = builds::read(block, &names, diagnostics);
        for used in &mut build.uses {
            if let Some(source) = hcl.blocks.sources.get(&used.source) {
                let own = (source.body.clone(), Iterations::default());
                used.source_options = Some(Written {
                    component: source.component.place,
                    place: source.place,
                    content: WrittenContent::Hcl([own].into_iter().chain(used.more.take()).collect()),
                });
            }
        }
        all.push(build);
    }
    all
}
