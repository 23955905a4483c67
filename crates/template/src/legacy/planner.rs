//! [`Legacy`] + components → [`Plan`].

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};
use bakelite_hcl::source::{Place, SourceMap};
use bakelite_hcl::syntax::{JsonKind, JsonValue, Name};
use regex::Regex;

use super::{Builder, Legacy, Step, resolve};
use crate::component::{ComponentKind, Components, DataSources, Yields};
use crate::decode::{Decoded, WeakDecoding};
use crate::duration::GoDuration;
use crate::environment::Environment;
use crate::gotemplate::{self, Rendering};
use crate::location::Location;
use crate::plan::{BuildData, BuildPlan, Deferred, Plan, PostProcessorPlan, ProvisionerPlan};
use crate::planner::{BUILD_KEYS, NOT_PROVIDED, complain, settle, unknown_component};
use crate::schema::Schema;
use crate::secrets::Secrets;
use crate::show::display;
use crate::template::Template;

/// What `{{ }}` can refer to anywhere in a legacy template, before anything is known of variables and builds.
pub(crate) fn rendering_of(legacy: &Legacy, environment: &Environment) -> Rendering {
    Rendering {
        build_data: None,
        user: Some(BTreeMap::new()),
        template_folder: Some(legacy.folder.clone()),
        ..Rendering::in_hcl(environment, "", "")
    }
}

/// Plans all builds.
pub(crate) async fn plan(
    template: &Template,
    legacy: &Arc<Legacy>,
    components: &dyn Components,
    data: &dyn DataSources,
    diagnostics: &mut Diagnostics,
) -> Plan {
    let environment = &template.environment;
    let rendering = rendering_of(legacy, environment);
    let for_variables = Rendering {
        environment: Some(environment.answers.environment().clone()),
        ..rendering.clone()
    };
    let work = |found: &mut Diagnostics| resolve(legacy, &for_variables, &environment.answers, found);
    let (user, mut found) = settle(environment, data, work).await;
    let mut secrets = Secrets::default();
    legacy
        .sensitive
        .iter()
        .filter_map(|name| user.get(name))
        .for_each(|value| secrets.hide(value));
    environment.answers.derived().declare(&secrets);
    let sensitive = legacy.sensitive.iter().map(String::as_str);
    environment.answers.derived().declare_variables(sensitive);
    let rendering = Rendering {
        user: Some(user),
        ..rendering
    };
    let mut plan = Plan::default();
    if !found.has_errors() {
        let texts = Arc::new(secrets.clone().into_texts());
        let planning = Planning {
            template,
            legacy,
            components,
            rendering,
            secrets: texts,
        };
        plan.builds = planning.builds(&mut found);
    }
    for build in &plan.builds {
        build.options.secrets.iter().for_each(|secret| secrets.hide(secret));
    }
    diagnostics.extend(found);
    plan.secrets = secrets.into_texts();
    plan
}

struct Planning<'a> {
    template: &'a Template,
    legacy: &'a Arc<Legacy>,
    components: &'a dyn Components,
    rendering: Rendering,
    secrets: Arc<Vec<String>>,
}

impl Planning<'_> {
    fn builds(&self, diagnostics: &mut Diagnostics) -> Vec<BuildPlan> {
        self.check_existence(diagnostics);
        if diagnostics.has_errors() {
            return Vec::new();
        }
        let mut named: Vec<(String, &Builder)> = Vec::new();
        for builder in &self.legacy.builders {
            match gotemplate::render(&builder.name, &self.rendering) {
                Ok(name) => named.push((name, builder)),
                Err(error) => diagnostics.push(Diagnostic::error(builder.place, format!("`name`: {error}"))),
            }
        }
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let known: Vec<&String> = named.iter().map(|(name, _)| name).collect();
        let is_known = |name: &String| known.contains(&name);
        for (flag, names) in [("only", &self.template.only), ("except", &self.template.except)] {
            for name in names.iter().filter(|name| !is_known(name)) {
                let is_step =
                    flag == "except" && self.legacy.chains.iter().flatten().any(|step| step_name(step) == *name);
                if !is_step {
                    let summary = format!("`{name}` of `-{flag}` is not the name of a builder");
                    diagnostics.push(Diagnostic::warning(None, summary));
                }
            }
        }
        let only = &self.template.only;
        let wanted = |name: &String| (only.is_empty() || only.contains(name)) && !self.template.except.contains(name);
        named.retain(|(name, _)| wanted(name));
        named
            .into_iter()
            .filter_map(|(name, builder)| self.build(&name, builder, diagnostics))
            .collect()
    }

    fn check_existence(&self, diagnostics: &mut Diagnostics) {
        let mut check = |kind: ComponentKind, name: &str, place: Place| {
            if self.components.find(kind, name).is_none() {
                diagnostics.push(unknown_component(kind, name, place, self.components));
            }
        };
        for builder in &self.legacy.builders {
            check(ComponentKind::Builder, &builder.component, builder.place);
        }
        for step in self.legacy.provisioners.iter().chain(&self.legacy.error_cleanup) {
            check(ComponentKind::Provisioner, &step.component, step.place);
        }
        for step in self.legacy.chains.iter().flatten() {
            check(ComponentKind::PostProcessor, &step.component, step.place);
        }
    }

    fn build(&self, name: &str, builder: &Builder, diagnostics: &mut Diagnostics) -> Option<BuildPlan> {
        let component = self.components.find(ComponentKind::Builder, &builder.component)?;
        let rendering = Rendering {
            build_name: name.to_owned(),
            build_type: builder.component.clone(),
            ..self.rendering.clone()
        };
        let body = Body {
            properties: &builder.properties,
            overrides: &[],
            place: builder.place,
            sources: &self.template.sources,
        };
        let options = decode(
            &body,
            &self.template.environment.schemas.of(component),
            &rendering,
            &self.secrets,
            diagnostics,
        )?;
        let complaints = self.components.check(ComponentKind::Builder, component.name, &options);
        if complain(&complaints, &options, diagnostics) {
            return None;
        }
        let more = match component.yields {
            Yields::BuildData(keys) => keys,
            _ => &[],
        };
        let keys: Vec<String> = BUILD_KEYS.iter().chain(more).map(|key| (*key).to_owned()).collect();
        let bake = Bake {
            planning: self,
            name,
            rendering,
            keys: Arc::new(keys),
        };
        let mut found = Diagnostics::default();
        let own = self.legacy.provisioners.iter().filter(|step| step.applies_to(name));
        let provisioners = own.filter_map(|step| bake.provisioner(step, &mut found)).collect();
        let chains = if found.has_errors() {
            Vec::new()
        } else {
            bake.chains(&mut found)
        };
        let cleanup = self.legacy.error_cleanup.as_ref().filter(|step| step.applies_to(name));
        let error_cleanup = cleanup.and_then(|step| bake.provisioner(step, &mut found));
        let failed = found.has_errors();
        diagnostics.extend(found);
        let full_name = if name == builder.component {
            name.to_owned()
        } else {
            format!("{}.{name}", builder.component)
        };
        (!failed).then(|| BuildPlan {
            name: full_name,
            build_name: String::new(),
            builder: builder.component.clone(),
            source_name: name.to_owned(),
            rendering: Rendering::while_baking(&self.template.environment, name, &builder.component),
            provisioners,
            error_cleanup,
            chains,
            location: options.location_of(""),
            options,
        })
    }
}

fn step_name(step: &Step) -> String {
    match step.meta.get("name").map(|name| &name.kind) {
        Some(JsonKind::String(name)) => name.clone(),
        _ => step.component.clone(),
    }
}

struct Bake<'a> {
    planning: &'a Planning<'a>,
    name: &'a str,
    rendering: Rendering,
    keys: Arc<Vec<String>>,
}

impl Bake<'_> {
    fn provisioner(&self, step: &Step, diagnostics: &mut Diagnostics) -> Option<ProvisionerPlan> {
        let mut found = Diagnostics::default();
        let pause_before = self.duration(step, "pause_before", &mut found);
        let timeout = self.duration(step, "timeout", &mut found);
        let max_retries = self.retries(step, &mut found);
        let options = self.options(step, ComponentKind::Provisioner, &mut found);
        let failed = found.has_errors();
        diagnostics.extend(found);
        Some(ProvisionerPlan {
            component: step.component.clone(),
            name: None,
            pause_before,
            timeout,
            max_retries,
            continue_on_error: false,
            options: options.filter(|_| !failed)?,
            location: Location::of(step.place, &self.planning.template.sources),
        })
    }

    fn chains(&self, diagnostics: &mut Diagnostics) -> Vec<Vec<PostProcessorPlan>> {
        let mut chains = Vec::new();
        for chain in &self.planning.legacy.chains {
            let mut members = Vec::new();
            for step in chain.iter().filter(|step| step.applies_to(self.name)) {
                let name = step_name(step);
                if self.planning.template.except.contains(&name) {
                    break;
                }
                let keep = step.meta.get("keep_input_artifact").map(|value| &value.kind);
                let keep_input_artifact = match keep {
                    Some(JsonKind::Bool(truth)) => Some(*truth),
                    Some(JsonKind::String(text)) => Some(text == "true" || text == "1"),
                    _ => None,
                };
                let Some(options) = self.options(step, ComponentKind::PostProcessor, diagnostics) else {
                    continue;
                };
                members.push(PostProcessorPlan {
                    component: step.component.clone(),
                    name: Some(name),
                    keep_input_artifact,
                    options,
                    location: Location::of(step.place, &self.planning.template.sources),
                });
            }
            if !members.is_empty() {
                chains.push(members);
            }
        }
        chains
    }

    /// A meta-argument as text, rendered.
    fn meta(&self, step: &Step, name: &str, diagnostics: &mut Diagnostics) -> Option<(String, Place)> {
        let value = step.meta.get(name)?;
        let text = match &value.kind {
            JsonKind::String(text) | JsonKind::Number(text) => text,
            JsonKind::Null => return None,
            _ => {
                diagnostics.push(Diagnostic::error(value.place, format!("`{name}` is not a text")));
                return None;
            }
        };
        match gotemplate::render(text, &self.rendering) {
            Ok(text) => Some((text, value.place)),
            Err(error) => {
                diagnostics.push(Diagnostic::error(value.place, format!("`{name}`: {error}")));
                None
            }
        }
    }

    fn duration(&self, step: &Step, name: &str, diagnostics: &mut Diagnostics) -> Option<std::time::Duration> {
        let (text, place) = self.meta(step, name, diagnostics)?;
        if text.is_empty() {
            return None;
        }
        match text.parse::<GoDuration>() {
            Ok(duration) => Some(duration.to_std()).filter(|duration| !duration.is_zero()),
            Err(error) => {
                diagnostics.push(Diagnostic::error(place, format!("`{name}`: {error}")).help(error.help().to_owned()));
                None
            }
        }
    }

    fn retries(&self, step: &Step, diagnostics: &mut Diagnostics) -> u32 {
        let Some((text, place)) = self.meta(step, "max_retries", diagnostics) else {
            return 0;
        };
        match text.parse::<i64>() {
            Ok(count) => u32::try_from(count.max(0)).unwrap_or(u32::MAX),
            Err(_) if text.is_empty() => 0,
            Err(_) => {
                diagnostics.push(Diagnostic::error(
                    place,
                    format!("`max_retries` is not a whole number: `{text}`"),
                ));
                0
            }
        }
    }

    /// A step's options for later, after they have been decoded once without what the build will know.
    fn options(&self, step: &Step, kind: ComponentKind, diagnostics: &mut Diagnostics) -> Option<Deferred> {
        let component = self.planning.components.find(kind, &step.component)?;
        let overrides = match step.meta.get("override").map(|value| &value.kind) {
            Some(JsonKind::Object(named)) => named.iter().find(|(name, _)| name.text == self.name),
            _ => None,
        };
        let overrides = match overrides.map(|(_, value)| &value.kind) {
            Some(JsonKind::Object(properties)) => properties.clone(),
            _ => Vec::new(),
        };
        let later = Later {
            properties: step.properties.clone(),
            overrides,
            place: step.place,
            sources: self.planning.template.sources.clone(),
            schema: self.planning.template.environment.schemas.of(component),
            rendering: self.rendering.clone(),
            keys: self.keys.clone(),
            secrets: self.planning.secrets.clone(),
        };
        let decoded = later.decode(None, diagnostics)?;
        let complaints = self.planning.components.check(kind, component.name, &decoded);
        complain(&complaints, &decoded, diagnostics);
        Some(Deferred::new(move |data| {
            let mut diagnostics = Diagnostics::default();
            later.rendering.derived.declare_build_data(data);
            match later.decode(Some(data), &mut diagnostics) {
                Some(decoded) => Ok(decoded),
                None if diagnostics.has_errors() => Err(diagnostics),
                None => Err(Diagnostic::error(None, "options cannot be read").into()),
            }
        }))
    }
}

/// Everything that a step's options need at bake time.
struct Later {
    properties: Vec<(Name, JsonValue)>,
    overrides: Vec<(Name, JsonValue)>,
    place: Place,
    sources: SourceMap,
    schema: Arc<Schema>,
    rendering: Rendering,
    keys: Arc<Vec<String>>,
    secrets: Arc<Vec<String>>,
}

impl Later {
    fn decode(&self, data: Option<&BuildData>, diagnostics: &mut Diagnostics) -> Option<Decoded> {
        let mut build_data = BTreeMap::new();
        if data.is_some() {
            build_data.extend(self.keys.iter().map(|key| (key.clone(), NOT_PROVIDED.to_owned())));
        }
        let given = data.into_iter().flatten();
        build_data.extend(given.map(|(key, value)| (key.clone(), display(value))));
        let rendering = Rendering {
            build_data: Some(build_data),
            unknown_build_data: self.keys.to_vec(),
            ..self.rendering.clone()
        };
        let body = Body {
            properties: &self.properties,
            overrides: &self.overrides,
            place: self.place,
            sources: &self.sources,
        };
        decode(&body, &self.schema, &rendering, &self.secrets, diagnostics)
    }
}

/// An object of a template.
struct Body<'a> {
    sources: &'a SourceMap,
    properties: &'a [(Name, JsonValue)],
    overrides: &'a [(Name, JsonValue)],
    place: Place,
}

fn decode(
    body: &Body<'_>,
    schema: &Schema,
    rendering: &Rendering,
    secrets: &[String],
    diagnostics: &mut Diagnostics,
) -> Option<Decoded> {
    let late = |text: &str| early_parts(text, rendering);
    let decoding = WeakDecoding {
        rendering,
        late: &late,
        secrets,
        place: body.place,
    };
    let mut decoded = decoding.decode(body.properties, body.overrides, schema, diagnostics)?;
    decoded.sources = body.sources.clone();
    for secret in &decoded.declared {
        rendering.derived.declare_text(secret);
    }
    Some(decoded)
}

#[expect(clippy::unwrap_used, reason = "the expression is a constant that a test reads")]
static EARLY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"\{\{-?\s*(?:user\s+(?:`[^`]*`|"[^"]*")|template_dir)\s*-?\}\}"#).unwrap());

/// A text that the component renders later, with what only the template knows put in already.
fn early_parts(text: &str, rendering: &Rendering) -> String {
    let replace = |found: &regex::Captures<'_>| {
        let whole = found.get(0).map_or("", |whole| whole.as_str());
        gotemplate::render(whole, rendering).unwrap_or_else(|_| whole.to_owned())
    };
    EARLY.replace_all(text, replace).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expressions_are_valid() {
        assert!(EARLY.is_match("{{user `x`}}"));
        assert!(!EARLY.is_match("{{ .Path }}"));
    }
}
