//! Chains of post-processors, and which artifacts they keep (communicators.md §19).

use bakelite_template::component::ComponentKind;
use bakelite_template::plan::PostProcessorPlan;

use crate::artifact::Artifact;
use crate::bake::Bake;
use crate::options::constructed;
use crate::post_processor::{PostProcessError, PostProcessing, Processed};
use crate::registry::{Make, Registry};

/// The chains of a build.
pub(crate) struct Chains<'a> {
    pub(crate) plans: Vec<Vec<PostProcessorPlan>>,
    pub(crate) registry: Registry,
    pub(crate) bake: &'a Bake,
}

/// What one chain made.
#[derive(Default)]
struct Made {
    artifacts: Vec<Artifact>,
    keeps_original: bool,
    error: Option<String>,
}

/// Runs all chains, each from the builder's artifact; a failing one does not stop the others. Answers what is kept, the original first.
pub(crate) async fn process(chains: Chains<'_>, original: Artifact) -> Result<Vec<Artifact>, String> {
    let mut keep_original = chains.plans.is_empty();
    let (mut kept, mut errors) = (Vec::new(), Vec::new());
    for chain in &chains.plans {
        let made = chains.run(chain, &original).await;
        keep_original |= made.keeps_original || chain.is_empty();
        kept.extend(made.artifacts);
        errors.extend(made.error);
    }
    if keep_original {
        kept.insert(0, original);
    } else {
        chains.bake.ui.say(format!(
            "Deleting original artifact for build '{}'",
            chains.bake.source_name
        ));
        errors.extend(destroyed(&original).await);
    }
    match errors.as_slice() {
        [] => Ok(kept),
        [one] => Err(one.clone()),
        several => Err(format!(
            "{} errors occurred:\n* {}",
            several.len(),
            several.join("\n* ")
        )),
    }
}

impl Chains<'_> {
    async fn run(&self, chain: &[PostProcessorPlan], original: &Artifact) -> Made {
        let mut made = Made::default();
        let mut current = original.clone();
        for (position, plan) in chain.iter().enumerate() {
            let processed = match self.process_one(plan, &current).await {
                Ok(processed) => processed,
                Err(error) => {
                    made.error = Some(format!(
                        "post-processor `{}`: {}",
                        plan.component,
                        crate::chain_of(&error)
                    ));
                    return made;
                }
            };
            let keep = processed.must_keep_input || plan.keep_input_artifact.unwrap_or(processed.keep_input);
            match (position, keep) {
                (0, keep) => made.keeps_original = keep,
                (_, true) => made.artifacts.push(current.clone()),
                (_, false) => made.error = destroyed(&current).await,
            }
            match processed.artifact {
                Some(next) => current = next,
                None => return made,
            }
        }
        made.artifacts.push(current);
        made
    }

    async fn process_one(&self, plan: &PostProcessorPlan, artifact: &Artifact) -> Result<Processed, PostProcessError> {
        let bake = self.bake;
        bake.ui.say(header(plan));
        let Some(Make::PostProcessor(make)) = self.registry.make(ComponentKind::PostProcessor, &plan.component) else {
            return Err(PostProcessError::failed(format!(
                "there is no post-processor `{}`",
                plan.component
            )));
        };
        let ui = bake.ui.post_processor(&plan.component);
        let decoded = plan.options.decode(&artifact.data);
        let component = constructed(ComponentKind::PostProcessor, &plan.component, decoded, make, &ui)
            .map_err(PostProcessError::failed)?;
        let mut rendering = bake.rendering.clone();
        rendering.set_build_data(crate::texts_of(&artifact.data));
        let processing = PostProcessing {
            ui,
            cancel: bake.cancel.token().clone(),
            rendering,
            source_name: bake.source_name.clone(),
            builder: bake.builder.clone(),
            run: bake.run.clone(),
        };
        tokio::select! {
            biased;
            () = bake.cancel.token().cancelled() => Err(PostProcessError::failed("cancelled")),
            processed = component.process(&processing, artifact) => processed,
        }
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

async fn destroyed(artifact: &Artifact) -> Option<String> {
    let destroy = artifact.destroy.as_ref()?;
    let error = destroy.destroy().await.err()?;
    Some(format!("delete artifact `{}`: {error}", artifact.id))
}
