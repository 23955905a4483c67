//! A legacy template as builds and steps like those of HCL: planning knows no difference from there on but how options are decoded.

use std::sync::Arc;
use std::time::Duration;

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};
use bakelite_hcl::source::Place;
use bakelite_hcl::syntax::{JsonKind, Name};

use super::{Builder, Legacy, Step};
use crate::builds::{self, Build, Meta, SourceUse, Written, WrittenContent};
use crate::duration::GoDuration;
use crate::gotemplate::{self, Rendering};

/// The name of each builder, in the order in which they are baked. `rendering`: what `{{ }}` can refer to anywhere in the template.
pub(crate) fn names_of<'a>(
    legacy: &'a Legacy,
    rendering: &Rendering,
    diagnostics: &mut Diagnostics,
) -> Vec<(String, &'a Builder)> {
    let mut named = Vec::new();
    for builder in &legacy.builders {
        match gotemplate::render(&builder.name, rendering) {
            Ok(name) => named.push((name, builder)),
            Err(error) => diagnostics.push(Diagnostic::error(builder.place, format!("`name`: {error}"))),
        }
    }
    named.sort_by(|a, b| a.0.cmp(&b.0));
    named
}

/// A builder with the steps that are for it.
pub(crate) fn lower(
    legacy: &Legacy,
    (name, builder): (String, &Builder),
    rendering: &Rendering,
    diagnostics: &mut Diagnostics,
) -> Build {
    let rendering = Rendering {
        build_name: name.clone(),
        build_type: builder.component.clone(),
        ..rendering.clone()
    };
    let lowering = Lowering { name, rendering };
    let mut steps = |steps: &[Step], is_post_processor: bool| -> Vec<builds::Step> {
        let own = steps.iter().filter(|step| step.applies_to(&lowering.name));
        own.map(|step| lowering.step(step, is_post_processor, diagnostics))
            .collect()
    };
    let provisioners = steps(&legacy.provisioners, false);
    let error_cleanup = steps(legacy.error_cleanup.as_slice(), false).pop();
    let chains = legacy.chains.iter().map(|chain| steps(chain, true));
    let chains = chains.filter(|chain| !chain.is_empty()).collect();
    Build {
        is_legacy: true,
        name: String::new(),
        description: None,
        uses: vec![SourceUse {
            source: (builder.component.clone(), lowering.name),
            local_name: None,
            more: None,
            source_options: Some(Written {
                component: builder.place,
                place: builder.place,
                content: WrittenContent::Legacy(Arc::clone(&builder.properties)),
            }),
            place: builder.place,
        }],
        provisioners,
        error_cleanup,
        chains,
        place: builder.place,
    }
}

/// The steps of one builder.
struct Lowering {
    name: String,
    rendering: Rendering,
}

impl Lowering {
    fn step(&self, step: &Step, is_post_processor: bool, diagnostics: &mut Diagnostics) -> builds::Step {
        let keep = step.meta.get("keep_input_artifact").map(|value| &value.kind);
        let meta = Meta {
            name: is_post_processor.then(|| step.name()),
            pause_before: self.duration(step, "pause_before", diagnostics),
            timeout: self.duration(step, "timeout", diagnostics),
            max_retries: self.retries(step, diagnostics),
            keep_input_artifact: match keep {
                Some(JsonKind::Bool(keep)) => Some(*keep),
                Some(JsonKind::String(text)) => Some(text == "true" || text == "1"),
                _ => None,
            },
            ..Meta::default()
        };
        builds::Step {
            component: Name {
                text: step.component.clone(),
                place: step.place,
            },
            meta,
            options: Written {
                component: step.place,
                place: step.place,
                content: WrittenContent::Legacy(self.properties(step)),
            },
            place: step.place,
        }
    }

    /// The options, with those that `override` gives for this builder in place of others of the same name.
    fn properties(&self, step: &Step) -> Arc<[(Name, bakelite_hcl::syntax::JsonValue)]> {
        let overrides = match step.meta.get("override").map(|value| &value.kind) {
            Some(JsonKind::Object(named)) => named.iter().find(|(name, _)| name.text == self.name),
            _ => None,
        };
        let Some(JsonKind::Object(overrides)) = overrides.map(|(_, value)| &value.kind) else {
            return Arc::clone(&step.properties);
        };
        let is_overridden = |name: &Name| overrides.iter().any(|(other, _)| other.text == name.text);
        let base = step.properties.iter().filter(|(name, _)| !is_overridden(name));
        base.chain(overrides).cloned().collect()
    }

    /// A meta-argument as a string, rendered; absent when it is null or empty.
    fn meta(&self, step: &Step, name: &str, diagnostics: &mut Diagnostics) -> Option<(String, Place)> {
        let value = step.meta.get(name)?;
        let text = match &value.kind {
            JsonKind::String(text) | JsonKind::Number(text) => text,
            JsonKind::Null => return None,
            _ => {
                diagnostics.push(Diagnostic::error(value.place, format!("`{name}` is not a string")));
                return None;
            }
        };
        match gotemplate::render(text, &self.rendering) {
            Ok(text) => Some((text, value.place)).filter(|(text, _)| !text.is_empty()),
            Err(error) => {
                diagnostics.push(Diagnostic::error(value.place, format!("`{name}`: {error}")));
                None
            }
        }
    }

    fn duration(&self, step: &Step, name: &str, diagnostics: &mut Diagnostics) -> Option<Duration> {
        let (text, place) = self.meta(step, name, diagnostics)?;
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
        let Ok(count) = text.parse::<i64>() else {
            let summary = format!("`max_retries` is not an integer: `{text}`");
            diagnostics.push(Diagnostic::error(place, summary));
            return 0;
        };
        u32::try_from(count.max(0)).unwrap_or(u32::MAX)
    }
}
