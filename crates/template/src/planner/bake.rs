//! One bake: a source of a build with its options, its provisioners and its post-processors.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};

use super::Planner;
use super::complaints::complain;
use super::context::BakeContext;
use super::evaluated::settle;
use super::options::Options;
use crate::builds::{Build, SourceUse, Step, Written, running};
use crate::component::{Component, ComponentKind, Yields};
use crate::decode::Decoded;
use crate::plan::{BuildPlan, Deferred, PostProcessorPlan, ProvisionerPlan};
use crate::secrets::Secrets;

/// Phase 11: all bakes that are wanted and in order.
pub(super) async fn plan_all(
    planner: &Planner<'_>,
    builds: &[Build],
    secrets: &mut Secrets,
    diagnostics: &mut Diagnostics,
) -> Vec<BuildPlan> {
    let (mut names, mut post_processors) = (BTreeSet::new(), BTreeSet::new());
    let mut plans = Vec::new();
    for build in builds {
        for step in build.chains.iter().flatten() {
            post_processors.insert(step.name().to_owned());
        }
        for used in &build.uses {
            if planner.evaluated.context.budget.is_spent() {
                return plans;
            }
            let name = build.selected_as(used);
            let is_wanted = planner.selection.wants(&name);
            names.insert(name);
            if !is_wanted {
                continue;
            }
            let bake = Bake {
                planner,
                build,
                used,
                secrets: Mutex::default(),
            };
            let (plan, found) = settle(&planner.evaluated.context, planner.data, |found| bake.plan(found)).await;
            // What is wrong with a source or a step is reported once, however many builds use it.
            let new: Vec<Diagnostic> = found
                .into_iter()
                .filter(|one| !diagnostics.iter().any(|other| other == one))
                .collect();
            diagnostics.extend(new);
            // Also where something is wrong: the complaint must not show them.
            secrets.include(planner.evaluated.context.answers.derived());
            bake.secrets().hide_in(secrets);
            plans.extend(plan);
        }
    }
    planner.selection.check_used(&names, &post_processors, diagnostics);
    plans
}

struct Bake<'a> {
    planner: &'a Planner<'a>,
    build: &'a Build,
    used: &'a SourceUse,
    secrets: Mutex<Hidden>,
}

/// Strings in options that must not be shown.
#[derive(Default)]
struct Hidden {
    declared: Vec<String>,
    derived: Vec<String>,
}

impl Hidden {
    fn extend(&mut self, decoded: &Decoded) {
        self.declared.extend(decoded.declared.iter().cloned());
        self.derived.extend(decoded.secrets.iter().cloned());
    }

    fn hide_in(&self, secrets: &mut Secrets) {
        self.declared.iter().for_each(|secret| secrets.hide(secret));
        self.derived.iter().for_each(|secret| secrets.derive_text(secret));
    }
}

impl Bake<'_> {
    fn secrets(&self) -> MutexGuard<'_, Hidden> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan; `None` when anything is wrong: first with the source, then with the provisioners, then with the post-processors.
    fn plan(&self, diagnostics: &mut Diagnostics) -> Option<BuildPlan> {
        let written = self.used.source_options.as_ref()?;
        let component = self.component(ComponentKind::Builder, &self.used.source.0)?;
        let keys = match component.yields {
            Yields::BuildData(keys) => keys,
            _ => &[],
        };
        let planner = self.planner;
        let sources = &planner.template.sources;
        let context = Arc::new(BakeContext::new(
            planner.evaluated,
            sources,
            self.build,
            self.used,
            keys,
        ));
        let options = options_of(&context, planner, component, written);
        let (options, is_right) = self.decoded(&options, component, diagnostics)?;
        if !is_right {
            return None;
        }
        let mut found = Diagnostics::default();
        let short_name = self.used.short_name();
        let is_own = |step: &&Step| step.meta.applies_to(&short_name);
        let own = self.build.provisioners.iter().filter(is_own);
        let provisioners = own
            .filter_map(|step| self.provisioner(step, &context, &mut found))
            .collect();
        let mut chains = Vec::new();
        if !found.has_errors() {
            chains = self.chains(&short_name, &context, &mut found);
        }
        let cleanup = self.build.error_cleanup.as_ref().filter(is_own);
        let error_cleanup = cleanup.and_then(|step| self.provisioner(step, &context, &mut found));
        let failed = found.has_errors();
        diagnostics.extend(found);
        (!failed).then(|| BuildPlan {
            name: self.build.full_name(self.used),
            build_name: self.build.name.clone(),
            builder: component.name.to_owned(),
            source_name: self.used.name().to_owned(),
            rendering: planner.evaluated.rendering(self.used.name(), &self.used.source.0),
            options,
            provisioners,
            error_cleanup,
            chains,
            secrets: Arc::default(),
        })
    }

    fn component(&self, kind: ComponentKind, name: &str) -> Option<&Component> {
        self.planner.template.component(kind, name, self.planner.components)
    }

    /// Options as far as they are known while planning, and whether their component has no error to report about them.
    fn decoded(
        &self,
        options: &Options,
        component: &Component,
        diagnostics: &mut Diagnostics,
    ) -> Option<(Decoded, bool)> {
        let decoded = options.decode_known(None, &self.planner.evaluated.context.budget, diagnostics)?;
        self.secrets().extend(&decoded);
        let complaints = self.planner.components.check(component.kind, component.name, &decoded);
        let failed = complain(&complaints, &decoded, diagnostics);
        Some((decoded, !failed))
    }

    fn provisioner(
        &self,
        step: &Step,
        context: &Arc<BakeContext>,
        diagnostics: &mut Diagnostics,
    ) -> Option<ProvisionerPlan> {
        let (component, options) = self.step(step, ComponentKind::Provisioner, context, diagnostics)?;
        Some(ProvisionerPlan {
            component,
            name: step.meta.name.clone(),
            pause_before: step.meta.pause_before,
            timeout: step.meta.timeout,
            max_retries: step.meta.max_retries,
            continue_on_error: step.meta.continue_on_error,
            options,
        })
    }

    /// Chains of the members that run for this source.
    fn chains(
        &self,
        short_name: &str,
        context: &Arc<BakeContext>,
        diagnostics: &mut Diagnostics,
    ) -> Vec<Vec<PostProcessorPlan>> {
        let mut chains = Vec::new();
        for chain in &self.build.chains {
            let mut members = Vec::new();
            for step in running(chain, self.planner.selection, Some(short_name)) {
                let Some((component, options)) = self.step(step, ComponentKind::PostProcessor, context, diagnostics)
                else {
                    continue;
                };
                members.push(PostProcessorPlan {
                    component,
                    name: step.meta.name.clone(),
                    keep_input_artifact: step.meta.keep_input_artifact,
                    options,
                });
            }
            if !members.is_empty() {
                chains.push(members);
            }
        }
        chains
    }

    /// A step's component and its options for later, after they have been decoded once while `build.*` is unknown.
    fn step(
        &self,
        step: &Step,
        kind: ComponentKind,
        context: &Arc<BakeContext>,
        diagnostics: &mut Diagnostics,
    ) -> Option<(String, Deferred)> {
        let component = self.component(kind, &step.component.text)?;
        let mut options = options_of(context, self.planner, component, &step.options);
        options.is_step = true;
        options.overrides = step.meta.overrides.get(self.used.name()).cloned();
        self.decoded(&options, component, diagnostics)?;
        Some((component.name.to_owned(), Deferred::new(Arc::new(options))))
    }
}

/// The options of a component, and for now not those of a step.
fn options_of(context: &Arc<BakeContext>, planner: &Planner<'_>, component: &Component, written: &Written) -> Options {
    Options {
        bake: Arc::clone(context),
        schema: planner.template.schemas.of(component),
        subject: format!("{} `{}`", component.kind, component.name),
        is_step: false,
        overrides: None,
        written: written.clone(),
    }
}
