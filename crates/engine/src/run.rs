//! A plan becomes outcomes: one task per build under a semaphore, each with its own context; the exit decision is the caller's.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bakelite_template::component::ComponentKind;
use bakelite_template::plan::{BuildPlan, Plan};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::artifact::Artifact;
use crate::bake::{Bake, BakeError};
use crate::cancel::Cancel;
use crate::chain::{self, Chains};
use crate::event::{ArtifactSummary, BuildEvent, BuildSummary, RunEvent, What};
use crate::events::{Events, Ui};
use crate::journal::Journal;
use crate::notes::Notes;
use crate::options::{Unusable, constructed};
use crate::provision::Provisioners;
use crate::provisioner::RunContext;
use crate::registry::{Make, Registry};
use crate::unwind::UndoStack;

/// What to do with a bake that failed (`-on-error`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// Undo everything.
    #[default]
    CleanUp,
    /// Leave everything as it is; it stays in the journal for `gc`.
    Abort,
    /// Ask the user.
    Ask,
    /// Run the error-cleanup-provisioner, then leave everything as it is.
    RunCleanupProvisioner,
}

/// What the user answers when asked about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Undo everything.
    CleanUp,
    /// Leave everything as it is.
    Abort,
    /// Try the step again.
    Retry,
}

/// The user at a terminal. Without a terminal, failures are cleaned up and pauses skipped.
#[async_trait]
pub trait User: Send + Sync {
    /// Is somebody there?
    fn is_there(&self) -> bool;

    /// The next line from the user, who was asked something by an event already. Dropping it leaves the line to whoever asks next.
    /// `None` at the end of the terminal.
    async fn line(&self) -> Option<String>;
}

/// What happens on a failure.
#[derive(Clone)]
pub struct FailurePolicy {
    /// `-on-error`
    pub on_error: OnError,
    /// Who is asked.
    pub user: Arc<dyn User>,
}

/// How a run is made, apart from its plan.
pub struct Settings {
    /// How many builds at a time; 0: all.
    pub parallel_builds: usize,
    /// What happens on a failure.
    pub policy: FailurePolicy,
    /// The run's id, folders and flags.
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
    pub result: Result<Vec<Artifact>, String>,
    /// It was cancelled.
    pub cancelled: bool,
    /// Temporary resources that could not be removed.
    pub leftovers: Vec<String>,
}

/// Bakes a plan. The answer has an outcome for each of its builds, in the order of the plan.
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
    let permits = if settings.run.debug {
        1
    } else {
        settings.parallel_builds
    };
    let semaphore = Arc::new(Semaphore::new(if permits == 0 {
        Semaphore::MAX_PERMITS
    } else {
        permits
    }));
    let settings = Arc::new(settings);
    let mut tasks = JoinSet::new();
    for (index, build) in plan.builds.into_iter().enumerate() {
        let (registry, settings, semaphore, cancel) = (
            registry.clone(),
            Arc::clone(&settings),
            Arc::clone(&semaphore),
            cancel.clone(),
        );
        let ui = Ui::new(events.of(&build.name));
        tasks.spawn(async move {
            let _permit = semaphore.acquire_owned().await;
            (index, build_one(build, registry, &settings, ui, cancel).await)
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
            error: self.result.as_ref().err().cloned(),
            artifacts,
            leftovers: self.leftovers.clone(),
        }
    }
}

/// One build, from its options to its artifacts.
async fn build_one(build: BuildPlan, registry: Registry, settings: &Settings, ui: Ui, cancel: Cancel) -> Outcome {
    let started = Instant::now();
    ui.events().emit(What::Build(BuildEvent::Started));
    let name = build.name.clone();
    let (result, leftovers) = if cancel.is_cancelled() {
        (Err(BakeError::Cancelled.to_string()), Vec::new())
    } else {
        bake_one(build, registry, settings, &ui, &cancel).await
    };
    let took = started.elapsed();
    let ended = match &result {
        Ok(_) => BuildEvent::Finished { took },
        Err(error) => BuildEvent::Errored {
            took,
            error: error.clone(),
        },
    };
    ui.events().emit(What::Build(ended));
    let cancelled = result.is_err() && cancel.is_cancelled();
    Outcome {
        name,
        result,
        cancelled,
        leftovers,
    }
}

async fn bake_one(
    build: BuildPlan,
    registry: Registry,
    settings: &Settings,
    ui: &Ui,
    cancel: &Cancel,
) -> (Result<Vec<Artifact>, String>, Vec<String>) {
    let Some(Make::Builder(make)) = registry.make(ComponentKind::Builder, &build.builder) else {
        return (
            Err(Unusable::unknown(ComponentKind::Builder, &build.builder).to_string()),
            Vec::new(),
        );
    };
    let builder = match constructed(ComponentKind::Builder, &build.builder, Ok(build.options), make, ui) {
        Ok(builder) => builder,
        Err(error) => return (Err(error.to_string()), Vec::new()),
    };
    let rendering = build.rendering;
    let provisioners = Provisioners::new(
        build.provisioners,
        build.error_cleanup,
        registry.clone(),
        settings.policy.clone(),
    );
    let bake = Bake {
        name: build.name,
        source_name: build.source_name,
        builder: build.builder,
        run: settings.run.clone(),
        ui: ui.clone(),
        cancel: cancel.clone(),
        rendering,
        notes: Notes::default(),
        journal: Arc::clone(&settings.journal),
        stack: UndoStack::default(),
        calls: Arc::default(),
        provisioners,
    };
    let made = tokio::select! {
        biased;
        () = cancel.token().cancelled() => Err(BakeError::Cancelled),
        made = builder.bake(&bake) => made,
    };
    bake.settle().await;
    match made {
        Ok(mut artifact) => {
            artifact.state.extend(bake.notes.all());
            let leftovers = bake.stack.unwind(ui, cancel).await;
            let chains = Chains {
                plans: build.chains,
                registry,
                bake: &bake,
            };
            let result = if cancel.is_cancelled() {
                Ok(vec![artifact])
            } else {
                chain::process(chains, artifact).await
            };
            (result, leftovers)
        }
        Err(error) => after_failure(&bake, &settings.policy, crate::chain_of(&error)).await,
    }
}

/// The error-cleanup-provisioner and the undoing, as `-on-error` has it.
async fn after_failure(
    bake: &Bake,
    policy: &FailurePolicy,
    error: String,
) -> (Result<Vec<Artifact>, String>, Vec<String>) {
    let cancelled = bake.cancel.is_cancelled();
    let on_error = match policy.on_error {
        OnError::Ask if cancelled => OnError::CleanUp,
        OnError::Ask => {
            if let Some(answer) = bake.provisioners.answered() {
                answer.into()
            } else {
                tokio::select! {
                    () = bake.cancel.token().cancelled() => OnError::CleanUp,
                    answer = policy.ask(&bake.ui, &error, false) => answer.into(),
                }
            }
        }
        other => other,
    };
    let cancelled = bake.cancel.is_cancelled();
    let mut error = error;
    let clean_up = on_error != OnError::Abort && !cancelled;
    if clean_up && let Some(failed) = bake.provisioners.clean_up(bake).await {
        error = format!("{error} (and the error-cleanup-provisioner failed: {failed})");
    }
    if matches!(on_error, OnError::Abort | OnError::RunCleanupProvisioner) {
        bake.ui
            .error(format!("{error}: nothing is cleaned up, because of -on-error"));
        for step in bake.provisioners.steps_done() {
            bake.ui.error(format!("aborted: clean-up of step `{step}` is skipped"));
        }
        return (Err(error), bake.stack.abandon());
    }
    let leftovers = bake.stack.unwind(&bake.ui, &bake.cancel).await;
    (Err(error), leftovers)
}

impl From<Answer> for OnError {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Abort => OnError::Abort,
            Answer::CleanUp | Answer::Retry => OnError::CleanUp,
        }
    }
}

impl FailurePolicy {
    /// Asks until the answer is one of those offered; nobody there, or just Enter, means clean up.
    pub(crate) async fn ask(&self, ui: &Ui, error: &str, can_retry: bool) -> Answer {
        if !self.user.is_there() {
            return Answer::CleanUp;
        }
        ui.error(error);
        let retry = if can_retry { ", [r]etry" } else { "" };
        let question = format!("[c]lean up, [a]bort and leave everything as it is{retry}? Enter cleans up.");
        loop {
            ui.say(&question);
            let Some(answer) = self.user.line().await else {
                return Answer::CleanUp;
            };
            match answer.trim().to_lowercase().chars().next() {
                None | Some('c') => return Answer::CleanUp,
                Some('a') => return Answer::Abort,
                Some('r') if can_retry => return Answer::Retry,
                Some(_) => {}
            }
        }
    }

    /// Waits for Enter; not at all when nobody is there.
    pub(crate) async fn pause(&self, ui: &Ui, before: &str) {
        if self.user.is_there() {
            ui.say(format!("{before}. Press enter to continue."));
            let _ = self.user.line().await;
        }
    }
}
