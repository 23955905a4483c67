//! Runs the provisioners of a build: meta-arguments, retries, timeouts, the error-cleanup-provisioner (language.md §5).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bakelite_template::component::ComponentKind;
use bakelite_template::duration::GoDuration;
use bakelite_template::plan::{BuildData, ProvisionerPlan};

use crate::bake::Bake;
use crate::communicator::Communicator;
use crate::options::{Unusable, constructed};
use crate::provisioner::{ProvisionError, Provisioner, Provisioning};
use crate::registry::{Make, Registry};
use crate::run::{Answer, FailurePolicy, OnError};

/// What may be tried to clean up after a provisioner that ran too long.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(30);

/// The provisioners of a build, and what is needed to run the clean-up one after a failure.
pub(crate) struct Provisioners {
    plans: Vec<ProvisionerPlan>,
    error_cleanup: Option<ProvisionerPlan>,
    registry: Registry,
    policy: FailurePolicy,
    reached: Mutex<Reached>,
}

/// How far a bake came.
#[derive(Default)]
struct Reached {
    instance: Option<(Arc<dyn Communicator>, BuildData)>,
    steps: Vec<String>,
    answer: Option<Answer>,
}

/// A provisioner failed, and the bake with it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failed {
    message: String,
}

impl Provisioners {
    pub(crate) fn new(
        plans: Vec<ProvisionerPlan>,
        error_cleanup: Option<ProvisionerPlan>,
        registry: Registry,
        policy: FailurePolicy,
    ) -> Self {
        Self {
            plans,
            error_cleanup,
            registry,
            policy,
            reached: Mutex::default(),
        }
    }

    /// Remembers a step for what `-on-error=abort` reports.
    pub(crate) fn step_done(&self, name: &str) {
        self.reached
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .steps
            .push(name.to_owned());
    }

    /// What the user wants done about a provisioner that failed: asked once.
    pub(crate) fn answered(&self) -> Option<Answer> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).answer
    }

    /// The steps that were done, last first.
    pub(crate) fn steps_done(&self) -> Vec<String> {
        self.reached
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .steps
            .iter()
            .rev()
            .cloned()
            .collect()
    }

    /// Remembers the instance for the error-cleanup-provisioner.
    pub(crate) fn keep_for_clean_up(&self, communicator: &Arc<dyn Communicator>, data: &BuildData) {
        let reached = Some((Arc::clone(communicator), data.clone()));
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).instance = reached;
    }

    /// Runs all of them in order; with `-on-error=ask` again from the first when the user says so.
    pub(crate) async fn run(
        &self,
        bake: &Bake,
        communicator: &Arc<dyn Communicator>,
        data: &BuildData,
    ) -> Result<(), Failed> {
        loop {
            let Err(error) = self.run_once(bake, communicator, data).await else {
                return Ok(());
            };
            if self.policy.on_error != OnError::Ask || bake.cancel.is_cancelled() {
                return Err(error);
            }
            let answer = self.policy.ask(&bake.ui, &error.message, true).await;
            if answer != Answer::Retry {
                self.reached.lock().unwrap_or_else(PoisonError::into_inner).answer = Some(answer);
                return Err(error);
            }
        }
    }

    async fn run_once(
        &self,
        bake: &Bake,
        communicator: &Arc<dyn Communicator>,
        data: &BuildData,
    ) -> Result<(), Failed> {
        for plan in &self.plans {
            if bake.cancel.is_cancelled() {
                return Err(Failed {
                    message: "cancelled".into(),
                });
            }
            if bake.run.debug {
                self.policy.pause(&bake.ui, "Pausing before the next provisioner").await;
            }
            let provisioning = Self::provisioning(bake, communicator, data);
            match self.with_retries(plan, &provisioning).await {
                Ok(()) => {}
                Err(error) if plan.continue_on_error && !bake.cancel.is_cancelled() => {
                    let text = crate::chain_of(&error);
                    bake.ui.error(format!(
                        "Warning: provisioner `{}` failed ({text}); continue_on_error is set, so the build goes on.",
                        plan.component
                    ));
                }
                Err(error) => {
                    return Err(Failed {
                        message: crate::chain_of(&error),
                    });
                }
            }
        }
        Ok(())
    }

    /// Runs the error-cleanup-provisioner, if there is one and an instance was reached. Returns what it failed with.
    pub(crate) async fn clean_up(&self, bake: &Bake) -> Option<String> {
        let plan = self.error_cleanup.as_ref()?;
        let (communicator, data) = self
            .reached
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .instance
            .clone()?;
        bake.ui.say("The bake failed: running the error-cleanup-provisioner...");
        let provisioning = Self::provisioning(bake, &communicator, &data);
        self.with_retries(plan, &provisioning)
            .await
            .err()
            .map(|error| crate::chain_of(&error))
    }

    fn provisioning(bake: &Bake, communicator: &Arc<dyn Communicator>, data: &BuildData) -> Provisioning {
        let mut rendering = bake.rendering.clone();
        rendering.set_build_data(crate::texts_of(data));
        Provisioning {
            communicator: Arc::clone(communicator),
            ui: bake.ui.clone(),
            cancel: bake.cancel.token().clone(),
            data: data.clone(),
            rendering,
            notes: bake.notes.clone(),
            run: bake.run.clone(),
        }
    }

    /// Tries once and `max_retries` times more; the error is the last one's.
    async fn with_retries(&self, plan: &ProvisionerPlan, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        let mut left = plan.max_retries;
        loop {
            let Err(error) = self.try_once(plan, provisioning).await else {
                return Ok(());
            };
            if left == 0 || provisioning.cancel.is_cancelled() {
                return Err(error);
            }
            let tries = if left == 1 {
                "1 try".into()
            } else {
                format!("{left} tries")
            };
            provisioning.ui.error(format!(
                "Provisioner `{}` failed ({}), trying again: {tries} left",
                plan.component,
                crate::chain_of(&error)
            ));
            left -= 1;
        }
    }

    async fn try_once(&self, plan: &ProvisionerPlan, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        if let Some(pause) = plan.pause_before {
            provisioning.ui.say(format!(
                "Pausing {} before the next provisioner...",
                GoDuration::from(pause)
            ));
            let _ = tokio::time::timeout(pause, provisioning.cancel.cancelled()).await;
        }
        let provisioner = self.construct(plan, provisioning)?;
        let limited = async {
            match plan.timeout {
                Some(limit) => Self::within(limit, provisioning, &*provisioner).await,
                None => provisioner.provision(provisioning).await,
            }
        };
        tokio::select! {
            biased;
            () = provisioning.cancel.cancelled() => Err(ProvisionError::Cancelled),
            result = limited => result,
        }
    }

    async fn within(
        limit: Duration,
        provisioning: &Provisioning,
        provisioner: &dyn Provisioner,
    ) -> Result<(), ProvisionError> {
        let limit_text = GoDuration::from(limit).to_string();
        provisioning
            .ui
            .say(format!("Setting a {limit_text} timeout for the next provisioner..."));
        let Ok(result) = tokio::time::timeout(limit, provisioner.provision(provisioning)).await else {
            provisioning.ui.error("Cancelling provisioner after a timeout...");
            let cleaning = provisioner.clean_up_after_timeout(provisioning);
            let _ = tokio::time::timeout(CLEAN_UP_LIMIT, cleaning).await;
            return Err(ProvisionError::TimedOut { limit: limit_text });
        };
        result
    }

    /// Options are evaluated right before each try, with what is known of the build then.
    fn construct(
        &self,
        plan: &ProvisionerPlan,
        provisioning: &Provisioning,
    ) -> Result<Box<dyn Provisioner>, ProvisionError> {
        let Some(Make::Provisioner(make)) = self.registry.make(ComponentKind::Provisioner, &plan.component) else {
            return Err(ProvisionError::failed(Unusable::unknown(
                ComponentKind::Provisioner,
                &plan.component,
            )));
        };
        let decoded = plan.options.decode(&provisioning.data);
        constructed(
            ComponentKind::Provisioner,
            &plan.component,
            decoded,
            make,
            &provisioning.ui,
        )
        .map_err(ProvisionError::failed)
    }
}
