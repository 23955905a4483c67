//! The options of one component in one build: evaluated while planning, and those of steps again while baking.

use std::collections::BTreeMap;
use std::sync::Arc;

use bakelite_hcl::budget::Budget;
use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};
use bakelite_hcl::syntax::{Body, JsonValue, Name};
use bakelite_hcl::value::Value;

use super::context::{BakeContext, NOT_PROVIDED};
use super::expressions;
use crate::builds::{Written, WrittenContent};
use crate::decode::{Decoded, Decoding, Layer, WeakDecoding};
use crate::gotemplate::{Context, render_early};
use crate::location::Location;
use crate::plan::{BuildData, Evaluate, Expressions};
use crate::schema::Schema;
use crate::scope::{Iterations, TemplateScope};
use crate::secrets::Secrets;
use crate::show::display;

/// The options of one component and everything that they are evaluated with.
pub(super) struct Options {
    pub(super) bake: Arc<BakeContext>,
    pub(super) schema: Arc<Schema>,
    /// How messages name the component.
    pub(super) subject: String,
    /// Are they those of a step, and can refer to `build`?
    pub(super) is_step: bool,
    /// Values in place of those that are written.
    pub(super) overrides: Option<Value>,
    pub(super) written: Written,
}

impl Options {
    /// The options with the data of a build, or while there is none yet.
    pub(super) fn decode_known(
        &self,
        data: Option<&BuildData>,
        budget: &Budget,
        diagnostics: &mut Diagnostics,
    ) -> Option<Decoded> {
        let mut decoded = match &self.written.content {
            WrittenContent::Hcl(bodies) => self.decode_hcl(bodies, data, budget, diagnostics)?,
            WrittenContent::Legacy(properties) => self.decode_legacy(properties, data, diagnostics)?,
        };
        decoded.sources = self.bake.sources.clone();
        decoded
            .home_directory
            .clone_from(&self.bake.evaluated.context.home_directory);
        decoded.secrets.sort();
        decoded.secrets.dedup();
        Some(decoded)
    }

    fn decode_hcl(
        &self,
        bodies: &[(Arc<Body>, Iterations)],
        data: Option<&BuildData>,
        budget: &Budget,
        diagnostics: &mut Diagnostics,
    ) -> Option<Decoded> {
        let bake = &self.bake;
        let (kind, name) = &bake.source;
        let source = [("type", Value::string(kind)), ("name", Value::string(name))];
        let mut names = TemplateScope::new(&bake.evaluated.context, &bake.evaluated.values)
            .on_budget(budget)
            .with("source", Value::object(source));
        let mut rendering = bake.rendering.clone();
        if self.is_step {
            let build = data.map(|data| bake.build(&Value::string(NOT_PROVIDED), data));
            names = names.with("build", build.unwrap_or_else(|| bake.planned.clone()));
            rendering.set_build_data(BTreeMap::new());
        }
        let decoding = Decoding {
            scope: &names,
            rendering: &rendering,
            subject: self.subject.clone(),
            place: self.written.place,
        };
        let layers = bodies.iter().map(|(body, iterations)| Layer { body, iterations });
        let layers: Vec<Layer<'_>> = layers.collect();
        decoding.decode(&layers, self.overrides.as_ref(), &self.schema, diagnostics)
    }

    fn decode_legacy(
        &self,
        properties: &[(Name, JsonValue)],
        data: Option<&BuildData>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Decoded> {
        let mut rendering = self.bake.rendering.clone();
        if self.is_step {
            let keys = &self.bake.keys;
            let mut known = BTreeMap::new();
            if let Some(data) = data {
                known.extend(keys.iter().map(|key| (key.clone(), NOT_PROVIDED.to_owned())));
                known.extend(data.iter().map(|(key, value)| (key.clone(), display(value))));
            }
            rendering.context = Context::Baking {
                data: known,
                open: Arc::clone(keys),
            };
        }
        let late = |text: &str| render_early(text, &rendering);
        let decoding = WeakDecoding {
            rendering: &rendering,
            late: &late,
            secrets: &self.bake.evaluated.secrets,
            place: self.written.place,
        };
        decoding.decode(properties, &[], &self.schema, diagnostics)
    }
}

impl Evaluate for Options {
    fn decode(&self, data: &BuildData) -> Result<Decoded, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let answers = &self.bake.evaluated.context.answers;
        let derived = answers.derived();
        derived.declare_build_data(data);
        let decoded = self.decode_known(Some(data), &Budget::default(), &mut diagnostics);
        if let Some(question) = answers.take_pending().first() {
            diagnostics.push(
                Diagnostic::error(
                    self.written.place,
                    format!("`{}` is asked something that was not known when planning", question.function),
                )
                .detail(
                    "Functions that need a server are called while planning; what they are given cannot depend on `build`.",
                ),
            );
        }
        if let Some(decoded) = &decoded {
            decoded.declared.iter().for_each(|secret| derived.declare_text(secret));
            let made = decoded.secrets.iter();
            made.for_each(|secret| derived.hide_unless_within(secret));
        }
        match decoded {
            Some(decoded) if !diagnostics.has_errors() => Ok(decoded),
            _ => Err(diagnostics),
        }
    }

    fn expressions(&self, secrets: &Secrets) -> Expressions {
        expressions::of(&self.bake, &self.written, self.overrides.as_ref(), secrets)
    }

    fn location(&self) -> Option<Location> {
        Location::of(self.written.place, &self.bake.sources)
    }
}
