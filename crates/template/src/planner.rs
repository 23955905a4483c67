//! Template + components + world → [`Plan`]: locals and data sources in the order of their references, then every build with every
//! source. Evaluation is synchronous; where a value needs the world, the question is asked in between and evaluation repeated.

mod bake;
mod existence;
mod ground;

use std::collections::BTreeSet;
use std::sync::Arc;

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};
use bakelite_hcl::source::SourceMap;

use crate::builds::{self, Build};
use crate::component::{Components, DataSources};
use crate::filter::Pattern;
use crate::invocation::Purpose;
use crate::legacy;
use crate::plan::Plan;
use crate::scope::Names;
use crate::secrets::Secrets;
use crate::template::{Content, Hcl, Template};
use crate::variables;

pub(crate) use bake::{BUILD_KEYS, NOT_PROVIDED, complain};
pub(crate) use existence::unknown as unknown_component;
pub(crate) use ground::{Ground, evaluate, settle};

/// Phases 9 to 11 of an HCL template.
async fn plan(
    template: &Template,
    hcl: &Arc<Hcl>,
    components: &dyn Components,
    data: &dyn DataSources,
    diagnostics: &mut Diagnostics,
) -> Plan {
    let mut found = Diagnostics::default();
    template.check_requirements(&mut found);
    if found.has_errors() {
        diagnostics.extend(found);
        return Plan {
            builds: Vec::new(),
            secrets: template.secrets(),
        };
    }
    let ground = Arc::new(evaluate(template, hcl, components, data, &mut found).await);
    let (builds, more) = settle(&ground.environment, data, |found| read_builds(hcl, &ground, found)).await;
    found.extend(more);
    existence::check(hcl, &builds, components, &mut found);
    if builds.is_empty() && !found.has_errors() {
        found.push(
            Diagnostic::error(None, "template has no build block")
                .help("add `build { sources = [\"source.TYPE.NAME\"] }`".to_owned()),
        );
    }
    let patterns = Patterns::read(template, &mut found);
    let failed = found.has_errors();
    diagnostics.extend(found);
    let mut secrets = ground.secrets.clone();
    let mut plan = Plan::default();
    if !failed {
        let choice = Choice {
            hcl,
            sources: &template.sources,
            ground: &ground,
            components,
            data,
            patterns: &patterns,
        };
        plan.builds = bake::plan_all(&choice, &builds, &mut secrets, diagnostics).await;
    }
    plan.secrets = secrets.into_texts();
    plan
}

impl Template {
    /// Plans all builds: phases 9 to 11. Builds with an error are left out, the diagnostics say why. A caller that finds errors
    /// and no builds has nothing to bake.
    pub async fn plan(
        &self,
        components: &dyn Components,
        data: &dyn DataSources,
        diagnostics: &mut Diagnostics,
    ) -> Plan {
        match &self.content {
            Content::Hcl(hcl) => plan(self, hcl, components, data, diagnostics).await,
            Content::Legacy(legacy) => legacy::plan(self, legacy, components, data, diagnostics).await,
        }
    }

    /// Variables, locals and data sources, with whatever is wrong about them left out in silence.
    pub(crate) async fn evaluated(
        &self,
        hcl: &Hcl,
        components: &dyn Components,
        data: &dyn DataSources,
    ) -> Arc<Ground> {
        let mut ignored = Diagnostics::default();
        Arc::new(evaluate(self, hcl, components, data, &mut ignored).await)
    }
}

/// What planning the single bakes needs.
pub(crate) struct Choice<'a> {
    pub(crate) hcl: &'a Arc<Hcl>,
    pub(crate) sources: &'a SourceMap,
    pub(crate) ground: &'a Arc<Ground>,
    pub(crate) components: &'a dyn Components,
    pub(crate) data: &'a dyn DataSources,
    pub(crate) patterns: &'a Patterns,
}

/// Reads all `build` blocks.
pub(crate) fn read_builds(hcl: &Hcl, ground: &Ground, diagnostics: &mut Diagnostics) -> Vec<Build> {
    let names = || Names::new(&ground.environment, &ground.values);
    let mut all = Vec::new();
    for block in &hcl.blocks.builds {
        // The name of the build is known to its own meta-arguments, so it is read first.
        let name = builds::name_of(block, &names(), &mut Diagnostics::default());
        let names = names().with("build", bake::build_name_only(&name));
        all.push(builds::read(block, &names, diagnostics));
    }
    all
}

/// `-only` and `-except`.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    only: Vec<Pattern>,
    except: Vec<Pattern>,
}

impl Patterns {
    fn read(template: &Template, diagnostics: &mut Diagnostics) -> Self {
        let mut all = |flag: &str, texts: &[String]| {
            let mut patterns = Vec::new();
            for text in texts {
                match Pattern::parse(text) {
                    Some(pattern) => patterns.push(pattern),
                    None => diagnostics.push(Diagnostic::error(
                        None,
                        format!("`{text}` of `-{flag}` is not a pattern"),
                    )),
                }
            }
            patterns
        };
        Self {
            only: all("only", &template.only),
            except: all("except", &template.except),
        }
    }

    /// Is the build of that full name wanted?
    pub(crate) fn wants(&self, name: &str) -> bool {
        (self.only.is_empty() || self.only.iter().any(|pattern| pattern.matches(name))) && !self.excludes(name)
    }

    /// Is the build or post-processor of that name excluded?
    pub(crate) fn excludes(&self, name: &str) -> bool {
        self.except.iter().any(|pattern| pattern.matches(name))
    }

    /// Warns when `-only` or `-except` names more than there is.
    pub(crate) fn check_used(
        &self,
        names: &BTreeSet<String>,
        excludable: &BTreeSet<String>,
        diagnostics: &mut Diagnostics,
    ) {
        let matched = |patterns: &[Pattern], names: &BTreeSet<String>| {
            patterns
                .iter()
                .filter(|pattern| names.iter().any(|name| pattern.matches(name)))
                .count()
        };
        let mut warn = |flag: &str, help: &BTreeSet<String>| {
            let known: Vec<String> = help.iter().map(|name| format!("`{name}`")).collect();
            diagnostics.push(
                Diagnostic::warning(None, format!("part of `-{flag}` matches nothing")).detail(format!(
                    "There are {}.",
                    if known.is_empty() {
                        "no builds".to_owned()
                    } else {
                        known.join(", ")
                    }
                )),
            );
        };
        if matched(&self.only, names) < self.only.len() {
            warn("only", names);
        }
        if matched(&self.except, excludable) < self.except.len() {
            warn("except", excludable);
        }
    }
}

/// Does planning take data sources for unknown?
fn data_is_unknown(purpose: Purpose) -> bool {
    matches!(
        purpose,
        Purpose::Validate {
            evaluate_data: false,
            ..
        }
    )
}

/// Secrets of variables and locals.
fn secrets_of(hcl: &Hcl, values: &crate::scope::Values) -> Secrets {
    let mut secrets = Secrets::default();
    for variable in hcl.variables.values() {
        secrets.declare(&variable.effective());
    }
    for local in hcl.blocks.locals.values().filter(|local| local.is_sensitive) {
        if let Some(value) = values.locals.get(local.name.text.as_str()) {
            secrets.declare(value);
        }
    }
    for value in values
        .data
        .values()
        .flat_map(|named| named.values())
        .chain(values.locals.values())
    {
        secrets.derive(value);
    }
    secrets
}

/// Phase 10 for variables.
fn validate_variables(template: &Template, hcl: &Hcl, values: &crate::scope::Values, diagnostics: &mut Diagnostics) {
    variables::validate(
        &hcl.variables,
        &template.environment,
        values,
        template.purpose,
        diagnostics,
    );
}
