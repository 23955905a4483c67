//! Runs the provisioners of a build: meta-arguments, retries, timeouts, the error-cleanup-provisioner.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bakelite_template::component::ComponentKind;
use bakelite_template::duration::GoDuration;
use bakelite_template::plan::{BuildData, ProvisionerPlan};
use tokio::time::timeout;

use crate::bake::{Bake, Provisions};
use crate::clock::pause;
use crate::communicator::Communicator;
use crate::error::{Error, Explain, Kind};
use crate::options::{Unusable, constructed};
use crate::policy::{Answer, FailurePolicy, OnError};
use crate::provisioner::{Provisioner, Provisioning};
use crate::registry::{Make, Registry};
use crate::step::waiting_for;

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
    /// A provisioner failed.
    is_failed: bool,
}

/// A provisioner ran longer than its `timeout`.
#[derive(Debug, thiserror::Error)]
#[error("provisioner ran longer than its timeout of {0}")]
struct TimedOut(GoDuration);

impl Explain for TimedOut {
    fn kind(&self) -> Kind {
        Kind::TimedOut
    }
}

#[async_trait]
impl Provisions for Provisioners {
    /// Runs all of them in order; with `-on-error=ask` again from the first when the user says so.
    async fn run(&self, bake: &Bake, communicator: &Arc<dyn Communicator>, data: &BuildData) -> Result<(), Error> {
        loop {
            let Err(error) = self.run_once(bake, communicator, data).await else {
                return Ok(());
            };
            self.reached().is_failed = true;
            if self.policy.on_error != OnError::Ask || bake.cancel.is_cancelled() {
                return Err(error);
            }
            let answer = self.policy.ask(&bake.ui, &error, true).await;
            if answer != Answer::Retry {
                self.reached().answer = Some(answer);
                return Err(error);
            }
        }
    }

    fn keep_for_clean_up(&self, communicator: &Arc<dyn Communicator>, data: &BuildData) {
        self.reached().instance = Some((Arc::clone(communicator), data.clone()));
    }

    fn step_done(&self, name: &str) {
        self.reached().steps.push(name.to_owned());
    }
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

    fn reached(&self) -> MutexGuard<'_, Reached> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the user wants done about a provisioner that failed: asked once.
    pub(crate) fn answered(&self) -> Option<Answer> {
        self.reached().answer
    }

    /// The steps that were done, last first.
    pub(crate) fn steps_done(&self) -> Vec<String> {
        self.reached().steps.iter().rev().cloned().collect()
    }

    async fn run_once(&self, bake: &Bake, communicator: &Arc<dyn Communicator>, data: &BuildData) -> Result<(), Error> {
        for (index, plan) in self.plans.iter().enumerate() {
            if bake.cancel.is_cancelled() {
                return Err(Error::cancelled());
            }
            if bake.run.debug {
                self.policy.pause(&bake.ui, "Pausing before the next provisioner").await;
            }
            let (number, count) = (index + 1, self.plans.len());
            let waiting = waiting_for(format!("provisioner {} ({number} of {count})", plan.component), None);
            let provisioned = self.with_retries(plan, &provisioning(bake, communicator, data)).await;
            drop(waiting);
            match provisioned {
                Err(error) if plan.continue_on_error && !bake.cancel.is_cancelled() => {
                    let what = format!("provisioner `{}` failed", plan.component);
                    bake.ui.warn_of(&error.during(what));
                    bake.ui.say("continue_on_error is set: the build continues.");
                }
                result => result?,
            }
        }
        Ok(())
    }

    /// Runs the error-cleanup-provisioner, if there is one and an instance was reached.
    pub(crate) async fn clean_up(&self, bake: &Bake) -> Result<(), Error> {
        // These words begin the line in Packer, too: scripts look for them.
        const HEAD: &str = "Provisioning step had errors";
        let instance = self.reached().instance.clone();
        let (Some(plan), Some((communicator, data))) = (&self.error_cleanup, instance) else {
            if self.reached().is_failed {
                bake.ui.say(HEAD);
            }
            return Ok(());
        };
        bake.ui.say(format!("{HEAD}: running the error-cleanup-provisioner..."));
        self.with_retries(plan, &provisioning(bake, &communicator, &data)).await
    }

    /// Tries once and `max_retries` times more; the error is the last one's, at the provisioner's place.
    async fn with_retries(&self, plan: &ProvisionerPlan, provisioning: &Provisioning) -> Result<(), Error> {
        let mut left = plan.max_retries;
        loop {
            let Err(error) = self.try_once(plan, provisioning).await else {
                return Ok(());
            };
            let error = error.at(plan.options.location().as_ref());
            if left == 0 || provisioning.cancel.is_cancelled() {
                return Err(error);
            }
            let tries = if left == 1 {
                "1 try".into()
            } else {
                format!("{left} tries")
            };
            let what = format!("Provisioner `{}` failed, trying again ({tries} left)", plan.component);
            provisioning.ui.warn_of(&error.during(what));
            left -= 1;
        }
    }

    /// Options are evaluated right before each try, with what is known of the build then.
    async fn try_once(&self, plan: &ProvisionerPlan, provisioning: &Provisioning) -> Result<(), Error> {
        if let Some(span) = plan.pause_before {
            let span_text = GoDuration::from(span);
            provisioning
                .ui
                .say(format!("Pausing {span_text} before the next provisioner..."));
            pause(span, &provisioning.cancel).await;
        }
        let kind = ComponentKind::Provisioner;
        let Some(Make::Provisioner(make)) = self.registry.make(kind, &plan.component) else {
            return Err(Unusable::unknown(kind, &plan.component).into());
        };
        let decoded = plan.options.decode(&provisioning.data);
        let provisioner = constructed(kind, &plan.component, &decoded, make, &provisioning.ui)?;
        let limited = async {
            match plan.timeout {
                Some(limit) => within(limit, provisioning, &*provisioner).await,
                None => provisioner.provision(provisioning).await,
            }
        };
        let result = tokio::select! {
            biased;
            () = provisioning.cancel.cancelled() => Err(Error::cancelled()),
            result = limited => result,
        };
        result.map_err(|error| decoded.iter().fold(error, Error::at_option_of))
    }
}

fn provisioning(bake: &Bake, communicator: &Arc<dyn Communicator>, data: &BuildData) -> Provisioning {
    let mut rendering = bake.rendering.clone();
    rendering.set_build_data(crate::strings_of(data));
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

async fn within(limit: Duration, provisioning: &Provisioning, provisioner: &dyn Provisioner) -> Result<(), Error> {
    let limit_text = GoDuration::from(limit);
    provisioning
        .ui
        .say(format!("Setting a {limit_text} timeout for the next provisioner..."));
    let Ok(result) = timeout(limit, provisioner.provision(provisioning)).await else {
        provisioning.ui.error("Cancelling provisioner after a timeout...");
        // What it cannot clean up in time stays on the instance.
        let _ = timeout(CLEAN_UP_LIMIT, provisioner.clean_up_after_timeout(provisioning)).await;
        return Err(TimedOut(limit_text).into());
    };
    result
}
