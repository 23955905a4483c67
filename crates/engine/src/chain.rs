//! Chains of post-processors, and which artifacts they keep.

use std::fmt;

use bakelite_template::component::ComponentKind;
use bakelite_template::plan::PostProcessorPlan;

use crate::artifact::Artifact;
use crate::bake::Bake;
use crate::error::{Error, Explain};
use crate::options::{Unusable, constructed};
use crate::post_processor::{PostProcessing, Processed};
use crate::registry::{Make, Registry};
use crate::step::waiting_for;

/// The chains of a build.
pub(crate) struct Chains<'a> {
    pub(crate) plans: Vec<Vec<PostProcessorPlan>>,
    pub(crate) registry: &'a Registry,
    pub(crate) bake: &'a Bake,
}

/// What one chain made.
#[derive(Default)]
struct Made {
    artifacts: Vec<Artifact>,
    keeps_original: bool,
    error: Option<Error>,
}

/// Several chains failed.
#[derive(Debug)]
struct Several(Vec<Error>);

impl fmt::Display for Several {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} errors occurred:", self.0.len())?;
        self.0
            .iter()
            .try_for_each(|error| write!(f, "\n* {}", error.report().text))
    }
}

impl std::error::Error for Several {}

impl Explain for Several {}

impl Chains<'_> {
    /// Runs all chains, each from the builder's artifact; a failing one does not stop the others. Answers what is kept, the original
    /// first.
    pub(crate) async fn process(&self, original: Artifact) -> Result<Vec<Artifact>, Error> {
        let mut keep_original = self.plans.is_empty();
        let (mut kept, mut errors) = (Vec::new(), Vec::new());
        for chain in &self.plans {
            let made = self.run(chain, &original).await;
            keep_original |= made.keeps_original || chain.is_empty();
            kept.extend(made.artifacts);
            errors.extend(made.error);
        }
        if keep_original {
            kept.insert(0, original);
        } else {
            let ui = &self.bake.ui;
            let name = &self.bake.source_name;
            ui.say(format!("Deleting original artifact for build '{name}'"));
            errors.extend(destroyed(&original).await.err());
        }
        match (errors.pop(), errors.is_empty()) {
            (None, _) => Ok(kept),
            (Some(one), true) => Err(one),
            (Some(last), false) => {
                let location = errors.iter().find_map(Error::location).cloned();
                errors.push(last);
                Err(Error::new(Several(errors)).at(location.as_ref()))
            }
        }
    }

    async fn run(&self, chain: &[PostProcessorPlan], original: &Artifact) -> Made {
        let mut made = Made::default();
        let mut current = original.clone();
        for (position, plan) in chain.iter().enumerate() {
            let processed = match self.process_one(plan, &current).await {
                Ok(processed) => processed,
                Err(error) => {
                    let what = format!("post-processor `{}`", plan.component);
                    made.error = Some(error.during(what).at(plan.options.location().as_ref()));
                    return made;
                }
            };
            let keep = processed.must_keep_input || plan.keep_input_artifact.unwrap_or(processed.keep_input);
            match (position, keep) {
                (0, keep) => made.keeps_original = keep,
                (_, true) => made.artifacts.push(current.clone()),
                (_, false) => made.error = destroyed(&current).await.err(),
            }
            match processed.artifact {
                Some(next) => current = next,
                None => return made,
            }
        }
        made.artifacts.push(current);
        made
    }

    async fn process_one(&self, plan: &PostProcessorPlan, artifact: &Artifact) -> Result<Processed, Error> {
        let (bake, kind) = (self.bake, ComponentKind::PostProcessor);
        let _waiting = waiting_for(format!("post-processor {}", plan.component), None);
        bake.ui.say(header(plan));
        let Some(Make::PostProcessor(make)) = self.registry.make(kind, &plan.component) else {
            return Err(Unusable::unknown(kind, &plan.component).into());
        };
        let ui = bake.ui.post_processor(&plan.component);
        let decoded = plan.options.decode(&artifact.data);
        let component = constructed(kind, &plan.component, &decoded, make, &ui)?;
        let mut rendering = bake.rendering.clone();
        rendering.set_build_data(crate::strings_of(&artifact.data));
        let processing = PostProcessing {
            ui,
            cancel: bake.cancel.token().clone(),
            rendering,
            source_name: bake.source_name.clone(),
            builder: bake.builder.clone(),
            run: bake.run.clone(),
        };
        let processed = tokio::select! {
            biased;
            () = bake.cancel.token().cancelled() => Err(Error::cancelled()),
            processed = component.process(&processing, artifact) => processed,
        };
        processed.map_err(|error| decoded.iter().fold(error, Error::at_option_of))
    }
}

/// `Running post-processor: NAME (type TYPE)`; the name alone where it is the type.
fn header(plan: &PostProcessorPlan) -> String {
    let name = plan.name.as_deref().unwrap_or_default();
    if name == plan.component {
        format!("Running post-processor: {name}")
    } else {
        format!("Running post-processor: {name} (type {})", plan.component)
    }
}

async fn destroyed(artifact: &Artifact) -> Result<(), Error> {
    let Some(destroy) = &artifact.destroy else {
        return Ok(());
    };
    let result = destroy.destroy().await;
    result.map_err(|error| error.during(format!("delete artifact `{}`", artifact.id)))
}
