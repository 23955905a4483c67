//! A plan becomes outcomes: one task per build, so many at a time, each with its own context; the exit decision is the caller's.

use std::sync::Arc;
use std::time::Instant;

use bakelite_template::component::ComponentKind;
use bakelite_template::plan::{BuildPlan, Plan};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::artifact::Artifact;
use crate::bake::Bake;
use crate::cancel::Cancel;
use crate::chain::Chains;
use crate::error::Error;
use crate::event::{ArtifactSummary, BuildEvent, BuildSummary, RunEvent, What};
use crate::events::{Events, Ui};
use crate::journal::Journal;
use crate::notes::Notes;
use crate::options::{Unusable, constructed};
use crate::policy::{FailurePolicy, OnError};
use crate::provision::Provisioners;
use crate::provisioner::RunContext;
use crate::registry::{Make, Registry};
use crate::step::{self, Step};
use crate::unwind::Creation;

/// How a run is made, apart from its plan.
pub struct Settings {
    /// How many builds at a time; 0: all.
    pub parallel_builds: usize,
    /// What happens on a failure.
    pub policy: FailurePolicy,
    /// The run's id, directories and flags.
    pub run: RunContext,
    /// Where temporary resources are noted.
    pub journal: Arc<Journal>,
}

/// How one build ended.
#[derive(Debug)]
pub struct Outcome {
    /// Full name.
    pub name: String,
    /// What it made, or why not.
    pub result: Result<Vec<Artifact>, Error>,
    /// Temporary resources that could not be removed.
    pub leftovers: Vec<String>,
}

/// Bakes a plan. The answer has an outcome for each of its builds, in the order of the plan, which is also the order in which they start.
pub async fn run(
    plan: Plan,
    registry: &Registry,
    settings: Settings,
    events: &Events,
    cancel: &Cancel,
) -> Vec<Outcome> {
    let started = Instant::now();
    let names: Vec<String> = plan.builds.iter().map(|build| build.name.clone()).collect();
    events.emit(What::Run(RunEvent::Started { builds: names }));
    let permits = match settings.parallel_builds {
        _ if settings.run.debug => 1,
        0 => Semaphore::MAX_PERMITS,
        some => some,
    };
    let semaphore = Arc::new(Semaphore::new(permits));
    let settings = Arc::new(settings);
    let mut tasks = JoinSet::new();
    for (index, build) in plan.builds.into_iter().enumerate() {
        let permit = Arc::clone(&semaphore).acquire_owned().await;
        let one = One {
            name: build.name.clone(),
            registry: registry.clone(),
            settings: Arc::clone(&settings),
            ui: Ui::new(events.of(&build.name)),
            cancel: cancel.clone(),
        };
        tasks.spawn(async move {
            let _permit = permit;
            let events = one.ui.events().clone();
            (index, step::bake(events, one.build(build)).await)
        });
    }
    let mut outcomes = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(outcome) => outcomes.push(outcome),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
    outcomes.sort_by_key(|(index, _)| *index);
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    let summaries = outcomes.iter().map(Outcome::summary).collect();
    let finished = RunEvent::Finished {
        took: started.elapsed(),
        outcomes: summaries,
        cancelled: cancel.is_cancelled(),
    };
    events.emit(What::Run(finished));
    outcomes
}

impl Outcome {
    fn summary(&self) -> BuildSummary {
        let artifacts = self.result.iter().flatten().map(|artifact| ArtifactSummary {
            builder_id: artifact.builder_id.clone(),
            id: artifact.id.clone(),
            description: artifact.description.clone(),
            files: artifact.files.clone().unwrap_or_default(),
        });
        let artifacts = artifacts.collect();
        BuildSummary {
            name: self.name.clone(),
            error: self.result.as_ref().err().map(Error::report),
            artifacts,
            leftovers: self.leftovers.clone(),
        }
    }
}

/// One build of a run.
struct One {
    name: String,
    registry: Registry,
    settings: Arc<Settings>,
    ui: Ui,
    cancel: Cancel,
}

/// How a bake ended.
struct Ended {
    /// What it made, or why not.
    result: Result<Vec<Artifact>, Error>,
    /// Temporary resources that could not be removed.
    leftovers: Vec<String>,
}

impl Ended {
    /// It failed before it made anything.
    fn early(error: Error) -> Self {
        Self {
            result: Err(error),
            leftovers: Vec::new(),
        }
    }
}

impl One {
    /// From its options to its artifacts.
    async fn build(self, plan: BuildPlan) -> Outcome {
        let events = self.ui.events();
        if self.cancel.is_cancelled() {
            events.emit(What::Build(BuildEvent::Skipped));
            return Outcome {
                name: self.name,
                result: Err(Error::cancelled()),
                leftovers: Vec::new(),
            };
        }
        let started = Instant::now();
        events.emit(What::Build(BuildEvent::Started));
        let location = plan.location();
        let Ended { result, leftovers } = self.bake(plan).await;
        let result = result.map_err(|error| error.at(location.as_ref()));
        let took = started.elapsed();
        events.emit(What::Build(match &result {
            Ok(_) => BuildEvent::Finished { took },
            Err(error) => BuildEvent::Errored {
                took,
                error: error.report(),
            },
        }));
        Outcome {
            name: self.name,
            result,
            leftovers,
        }
    }

    async fn bake(&self, plan: BuildPlan) -> Ended {
        let Some(Make::Builder(make)) = self.registry.make(ComponentKind::Builder, &plan.builder) else {
            let unknown = Unusable::unknown(ComponentKind::Builder, &plan.builder);
            return Ended::early(unknown.into());
        };
        let options = Ok(plan.options);
        let builder = match constructed(ComponentKind::Builder, &plan.builder, &options, make, &self.ui) {
            Ok(builder) => builder,
            Err(error) => return Ended::early(error),
        };
        let settings = &self.settings;
        let provisioners = Arc::new(Provisioners::new(
            plan.provisioners,
            plan.error_cleanup,
            self.registry.clone(),
            settings.policy.clone(),
        ));
        let bake = Bake {
            name: plan.name,
            source_name: plan.source_name,
            builder: plan.builder,
            run: settings.run.clone(),
            ui: self.ui.clone(),
            cancel: self.cancel.clone(),
            rendering: plan.rendering,
            notes: Notes::default(),
            creation: Creation::new(&self.name, Arc::clone(&settings.journal), self.cancel.clone()),
            provisioning: Arc::clone(&provisioners) as _,
        };
        let made = tokio::select! {
            biased;
            () = self.cancel.token().cancelled() => Err(Error::cancelled()),
            made = builder.bake(&bake) => made,
        };
        bake.creation.settle().await;
        match made {
            Ok(mut artifact) => {
                artifact.state.extend(bake.notes.all());
                let leftovers = bake.creation.unwind(&self.ui).await;
                if self.cancel.is_cancelled() {
                    let result = Ok(vec![artifact]);
                    return Ended { result, leftovers };
                }
                let has_chains = plan.chains.iter().any(|chain| !chain.is_empty());
                let chains = Chains {
                    plans: plan.chains,
                    registry: &self.registry,
                    bake: &bake,
                };
                let step = has_chains.then(|| Step::begin(self.ui.events(), "post-process"));
                let result = chains.process(artifact).await;
                if let Some(step) = step {
                    step.end(result.is_ok());
                }
                Ended { result, leftovers }
            }
            Err(error) => {
                let error = options.iter().fold(error, Error::at_option_of);
                let leftovers = after_failure(&bake, &settings.policy, &provisioners, &error).await;
                let result = Err(error);
                Ended { result, leftovers }
            }
        }
    }
}

/// The error-cleanup-provisioner and the undoing, as `-on-error` has it. Returns what is left.
async fn after_failure(bake: &Bake, policy: &FailurePolicy, provisioners: &Provisioners, error: &Error) -> Vec<String> {
    let on_error = match policy.on_error {
        OnError::Ask if bake.cancel.is_cancelled() => OnError::CleanUp,
        OnError::Ask => {
            if let Some(answer) = provisioners.answered() {
                answer.into()
            } else {
                tokio::select! {
                    () = bake.cancel.token().cancelled() => OnError::CleanUp,
                    answer = policy.ask(&bake.ui, error, false) => answer.into(),
                }
            }
        }
        other => other,
    };
    if on_error != OnError::Abort
        && !bake.cancel.is_cancelled()
        && let Err(failed) = provisioners.clean_up(bake).await
    {
        bake.ui.fail(&failed.during("error-cleanup-provisioner failed"));
    }
    if matches!(on_error, OnError::Abort | OnError::RunCleanupProvisioner) {
        bake.ui.fail(error);
        bake.ui
            .error("Cleanup is skipped because of -on-error; `bakelite gc` removes what is left.");
        for step in provisioners.steps_done() {
            bake.ui.error(format!("aborted: skipping cleanup of step \"{step}\""));
        }
        return bake.creation.abandon();
    }
    bake.creation.unwind(&bake.ui).await
}
