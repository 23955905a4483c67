//! One bake: a source of a build with its options, its provisioners and its post-processors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bakelite_hcl::budget::Budget;
use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, Severity};
use bakelite_hcl::marks::Marks;
use bakelite_hcl::source::{Place, SourceMap};
use bakelite_hcl::types::Type;
use bakelite_hcl::value::Value;

use super::{Choice, Ground, existence, settle};
use crate::builds::{Build, SourceUse, Step};
use crate::component::{Complaint, ComponentKind, Yields};
use crate::decode::{Decoded, Decoding, Layer, in_block};
use crate::gotemplate::{Rendering, shielded};
use crate::location::Location;
use crate::plan::{BuildData, BuildPlan, Deferred, PostProcessorPlan, ProvisionerPlan};
use crate::schema::Schema;
use crate::scope::{Iterations, Names};
use crate::secrets::{SECRET_BUILD_KEYS, Secrets};

/// `build.KEY` of every builder.
pub(crate) const BUILD_KEYS: &[&str] = &[
    "ConnType",
    "Host",
    "ID",
    "PackerHTTPAddr",
    "PackerHTTPIP",
    "PackerHTTPPort",
    "PackerRunUUID",
    "Password",
    "Port",
    "SSHPrivateKey",
    "SSHPublicKey",
    "User",
    "WinRMPassword",
];

/// What a `build.KEY` is, as in Packer, once a build runs that does not have it.
pub(crate) const NOT_PROVIDED: &str = "<unknown>";

/// Phase 11: all bakes that are wanted and in order.
pub(super) async fn plan_all(
    choice: &Choice<'_>,
    builds: &[Build],
    secrets: &mut Secrets,
    diagnostics: &mut Diagnostics,
) -> Vec<BuildPlan> {
    let (mut names, mut excludable) = (BTreeSet::new(), BTreeSet::new());
    let mut plans = Vec::new();
    for build in builds {
        for step in build.chains.iter().flatten() {
            excludable.insert(step.meta.name.clone().unwrap_or_else(|| step.component.text.clone()));
        }
        for used in &build.uses {
            if choice.ground.environment.budget.is_spent() {
                return plans;
            }
            let name = full_name(build, used);
            names.insert(name.clone());
            if !choice.patterns.wants(&name) {
                continue;
            }
            let bake = Bake {
                choice,
                build,
                used,
                name,
                secrets: Mutex::default(),
            };
            let (plan, found) = settle(&choice.ground.environment, choice.data, |found| bake.plan(found)).await;
            diagnostics.extend(found);
            // Also where something is wrong: the complaint must not show them.
            secrets.include(choice.ground.environment.answers.derived());
            bake.secrets().hide_in(secrets);
            plans.extend(plan);
        }
    }
    excludable.extend(names.iter().cloned());
    choice.patterns.check_used(&names, &excludable, diagnostics);
    plans
}

/// `[BUILD.]TYPE.NAME`
fn full_name(build: &Build, used: &SourceUse) -> String {
    let source = format!("{}.{}", used.source.0, used.name());
    if build.name.is_empty() {
        source
    } else {
        format!("{}.{source}", build.name)
    }
}

/// `build` before a bake runs, in meta-arguments: its name and nothing else.
pub(super) fn build_name_only(name: &str) -> Value {
    Value::object([("name", Value::string(name))])
}

/// Complaints of a component, each at the option that it is about; those that depend on values that are not known yet are dropped.
/// Is there an error among the others?
pub(crate) fn complain(complaints: &[Complaint], options: &Decoded, diagnostics: &mut Diagnostics) -> bool {
    let mut has_errors = false;
    for complaint in complaints.iter().filter(|complaint| !options.is_open(complaint)) {
        has_errors |= complaint.severity == Severity::Error;
        let place = options.place_of(&complaint.option);
        let summary = complaint.summary();
        let diagnostic = match complaint.severity {
            Severity::Error => Diagnostic::error(place, summary),
            Severity::Warning => Diagnostic::warning(place, summary),
        };
        let diagnostic = diagnostic.help(complaint.help.clone());
        diagnostics.push(match options.place {
            Some(block) => in_block(diagnostic, block),
            None => diagnostic,
        });
    }
    has_errors
}

struct Bake<'a> {
    choice: &'a Choice<'a>,
    build: &'a Build,
    used: &'a SourceUse,
    name: String,
    /// Texts in options that must not be shown.
    secrets: Mutex<Hidden>,
}

/// Texts in options that must not be shown.
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
        let (options, keys) = self.source(diagnostics)?;
        let mut found = Diagnostics::default();
        let short_name = format!("{}.{}", self.used.source.0, self.used.name());
        let own = self
            .build
            .provisioners
            .iter()
            .filter(|step| step.meta.applies_to(&short_name));
        let provisioners: Vec<_> = own
            .filter_map(|step| self.provisioner(step, &keys, &mut found))
            .collect();
        let mut chains = Vec::new();
        if !found.has_errors() {
            chains = self.chains(&short_name, &keys, &mut found);
        }
        let cleanup = self
            .build
            .error_cleanup
            .as_ref()
            .filter(|step| step.meta.applies_to(&short_name));
        let error_cleanup = cleanup.and_then(|step| self.provisioner(step, &keys, &mut found));
        let failed = found.has_errors();
        diagnostics.extend(found);
        let (builder, _) = &self.used.source;
        (!failed).then(|| BuildPlan {
            name: self.name.clone(),
            build_name: self.build.name.clone(),
            builder: existence::built_in(self.choice.hcl, ComponentKind::Builder, builder, self.choice.components),
            source_name: self.used.name().to_owned(),
            rendering: Rendering::while_baking(&self.choice.ground.environment, self.used.name(), builder),
            location: options.location_of(""),
            options,
            provisioners,
            error_cleanup,
            chains,
        })
    }

    /// The builder's options, and the `build.KEY`s that there will be.
    fn source(&self, diagnostics: &mut Diagnostics) -> Option<(Decoded, Arc<Vec<String>>)> {
        let source = self.choice.hcl.blocks.sources.get(&self.used.source)?;
        let (builder, name) = &self.used.source;
        let builtin = existence::built_in(self.choice.hcl, ComponentKind::Builder, builder, self.choice.components);
        let component = self.choice.components.find(ComponentKind::Builder, &builtin)?;
        let ground = self.choice.ground;
        let names = Names::new(&ground.environment, &ground.values).with("source", self.source_object());
        let rendering = Rendering::in_hcl(&ground.environment, name, builder);
        let decoding = Decoding {
            scope: &names,
            rendering: &rendering,
            subject: format!("builder `{}`", component.name),
            place: source.place,
        };
        let none = Iterations::default();
        let mut layers = vec![Layer {
            body: &source.body,
            iterations: &none,
        }];
        layers.extend(
            self.used
                .more
                .as_ref()
                .map(|(body, iterations)| Layer { body, iterations }),
        );
        let schema = ground.environment.schemas.of(component);
        let mut decoded = decoding.decode(&layers, None, &schema, diagnostics)?;
        decoded.sources = self.choice.sources.clone();
        self.secrets().extend(&decoded);
        let complaints = self
            .choice
            .components
            .check(ComponentKind::Builder, component.name, &decoded);
        if complain(&complaints, &decoded, diagnostics) {
            return None;
        }
        let more = match component.yields {
            Yields::BuildData(keys) => keys,
            _ => &[],
        };
        let keys = BUILD_KEYS.iter().chain(more).map(|key| (*key).to_owned()).collect();
        Some((decoded, Arc::new(keys)))
    }

    fn source_object(&self) -> Value {
        Value::object([
            ("type", Value::string(&self.used.source.0)),
            ("name", Value::string(self.used.name())),
        ])
    }

    fn provisioner(
        &self,
        step: &Step,
        keys: &Arc<Vec<String>>,
        diagnostics: &mut Diagnostics,
    ) -> Option<ProvisionerPlan> {
        let (component, options) = self.step(step, ComponentKind::Provisioner, keys, diagnostics)?;
        Some(ProvisionerPlan {
            component,
            name: step.meta.name.clone(),
            pause_before: step.meta.pause_before,
            timeout: step.meta.timeout,
            max_retries: step.meta.max_retries,
            continue_on_error: step.meta.continue_on_error,
            options,
            location: Location::of(step.place, self.choice.sources),
        })
    }

    /// Chains without the members that are not for this source; a member that `-except` names ends its chain.
    fn chains(
        &self,
        short_name: &str,
        keys: &Arc<Vec<String>>,
        diagnostics: &mut Diagnostics,
    ) -> Vec<Vec<PostProcessorPlan>> {
        let mut chains = Vec::new();
        for chain in &self.build.chains {
            let mut members = Vec::new();
            for step in chain.iter().filter(|step| step.meta.applies_to(short_name)) {
                let name = step.meta.name.as_deref().unwrap_or(&step.component.text);
                if self.choice.patterns.excludes(name) {
                    break;
                }
                let Some((component, options)) = self.step(step, ComponentKind::PostProcessor, keys, diagnostics)
                else {
                    continue;
                };
                members.push(PostProcessorPlan {
                    component,
                    name: step.meta.name.clone(),
                    keep_input_artifact: step.meta.keep_input_artifact,
                    options,
                    location: Location::of(step.place, self.choice.sources),
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
        keys: &Arc<Vec<String>>,
        diagnostics: &mut Diagnostics,
    ) -> Option<(String, Deferred)> {
        let name = existence::built_in(self.choice.hcl, kind, &step.component.text, self.choice.components);
        let component = self.choice.components.find(kind, &name)?;
        let later = Later {
            ground: self.choice.ground.clone(),
            schema: self.choice.ground.environment.schemas.of(component),
            subject: format!("{kind} `{}`", component.name),
            rendering: Rendering::in_hcl(
                &self.choice.ground.environment,
                &self.used.source.1,
                &self.used.source.0,
            ),
            source: self.source_object(),
            build_name: self.build.name.clone(),
            keys: keys.clone(),
            overrides: step.meta.overrides.get(self.used.name()).cloned(),
            body: step.body.clone(),
            iterations: step.iterations.clone(),
            place: step.place,
            sources: self.choice.sources.clone(),
        };
        let decoded = later.decode(None, &later.ground.environment.budget, diagnostics)?;
        self.secrets().extend(&decoded);
        let complaints = self.choice.components.check(kind, component.name, &decoded);
        complain(&complaints, &decoded, diagnostics);
        Some((name, Deferred::new(move |data| later.decode_now(data))))
    }
}

/// A `build.KEY`; what lets somebody in is sensitive.
fn marked(key: &str, value: &Value) -> Value {
    let marks = if SECRET_BUILD_KEYS.contains(&key) {
        Marks::SENSITIVE
    } else {
        Marks::NONE
    };
    value.clone().with_marks(marks)
}

/// Everything that a step's options need at bake time.
struct Later {
    ground: Arc<Ground>,
    schema: Arc<Schema>,
    subject: String,
    rendering: Rendering,
    source: Value,
    build_name: String,
    keys: Arc<Vec<String>>,
    overrides: Option<Value>,
    body: Arc<bakelite_hcl::syntax::Body>,
    iterations: Iterations,
    place: Place,
    sources: SourceMap,
}

impl Later {
    /// The options with the data of a build, or while there is none yet.
    fn decode(&self, data: Option<&BuildData>, budget: &Budget, diagnostics: &mut Diagnostics) -> Option<Decoded> {
        let missing = if data.is_some() {
            Value::string(NOT_PROVIDED)
        } else {
            Value::unknown(Type::String)
        };
        let mut build: BTreeMap<&str, Value> = self.keys.iter().map(|key| (key.as_str(), missing.clone())).collect();
        build.extend(
            data.into_iter()
                .flatten()
                .map(|(key, value)| (key.as_str(), shielded(&marked(key, value)))),
        );
        build.insert("name", Value::string(&self.build_name));
        let names = Names::new(&self.ground.environment, &self.ground.values)
            .on_budget(budget)
            .with("source", self.source.clone())
            .with("build", Value::object(build));
        let decoding = Decoding {
            scope: &names,
            rendering: &self.rendering,
            subject: self.subject.clone(),
            place: self.place,
        };
        let layer = Layer {
            body: &self.body,
            iterations: &self.iterations,
        };
        let mut decoded = decoding.decode(&[layer], self.overrides.as_ref(), &self.schema, diagnostics)?;
        decoded.sources = self.sources.clone();
        decoded.secrets.sort();
        decoded.secrets.dedup();
        Some(decoded)
    }

    fn decode_now(&self, data: &BuildData) -> Result<Decoded, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let derived = self.ground.environment.answers.derived();
        derived.declare_build_data(data);
        let decoded = self.decode(Some(data), &Budget::default(), &mut diagnostics);
        let pending = self.ground.environment.answers.take_pending();
        if let Some(question) = pending.first() {
            diagnostics.push(
                Diagnostic::error(self.place, format!("`{}` is asked something that was not known when planning", question.function))
                    .detail("Functions that need a server are called while planning; what they are given cannot depend on `build`."),
            );
        }
        if let Some(decoded) = &decoded {
            decoded.declared.iter().for_each(|secret| derived.declare_text(secret));
            decoded
                .secrets
                .iter()
                .for_each(|secret| derived.hide_unless_within(secret));
        }
        match decoded {
            Some(decoded) if !diagnostics.has_errors() => Ok(decoded),
            _ => Err(diagnostics),
        }
    }
}
