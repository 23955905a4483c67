//! The cloud behind the API: its state, its machines, and the work that goes on after an answer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::access_keys::AccessKeys;
use crate::address::Addresses;
use crate::api_error::ApiError;
use crate::catalogue::LocalImage;
pub(crate) use crate::causes::with_causes;
use crate::keys::RsaKeys;
use crate::latency::Latency;
use crate::machine::{Machine, MachineError, Machines, RootId};
use crate::owner;
use crate::refusals::Refusals;
use crate::sessions::Sessions;
use crate::state::image::{Image, ImageRoot};
use crate::state::instance::Instance;
use crate::state::{Iam, Region, State};
use crate::state_directory::{StateDirectory, StateError};
use crate::throttle::Throttle;
use crate::userland::Userlands;
use crate::visibility::{self, Fresh};
use crate::wishes::Wishes;

/// The machine of one instance. Whoever starts, stops or freezes it holds the lock, so that such things come in turn.
pub(crate) type MachineSlot = Arc<AsyncMutex<Option<RunningMachine>>>;

/// A machine, and the task that notices when it powers itself off; taking the machine away ends the task.
pub(crate) struct RunningMachine {
    pub(crate) machine: Machine,
    pub(crate) _watch: AbortOnDropHandle<()>,
}

/// Everything that calls share.
pub(crate) struct Cloud {
    pub(crate) directory: StateDirectory,
    pub(crate) machines: Machines,
    pub(crate) latency: Latency,
    /// What no call finds yet.
    pub(crate) fresh: Fresh,
    pub(crate) refusals: Refusals,
    pub(crate) throttle: Throttle,
    pub(crate) ssh_port: u16,
    pub(crate) sessions: Sessions,
    /// Where the API is, and who may call it.
    pub(crate) address: SocketAddr,
    pub(crate) keys: AccessKeys,
    /// A region besides AWS's own.
    pub(crate) region: String,
    pub(crate) local_images: Vec<LocalImage>,
    pub(crate) userlands: Userlands,
    pub(crate) addresses: Addresses,
    pub(crate) rsa_keys: RsaKeys,
    /// Starting, stopping and removing machines; shutting down waits for all of it.
    pub(crate) tasks: TaskTracker,
    /// Ends waits that only imitate EC2's latency.
    pub(crate) closing: CancellationToken,
    pub(crate) slots: Mutex<HashMap<String, MachineSlot>>,
    /// What other processes have asked this one for.
    pub(crate) wishes: Wishes,
    /// An OpenSSH line of the key that may log in to every instance.
    pub(crate) operator_key: String,
}

impl From<StateError> for ApiError {
    fn from(error: StateError) -> ApiError {
        if error.is_full() {
            return ApiError::disk_full(error);
        }
        ApiError::internal(error)
    }
}

impl From<MachineError> for ApiError {
    fn from(error: MachineError) -> ApiError {
        let message = with_causes(&error);
        if error.is_full() {
            return ApiError::disk_full(message);
        }
        ApiError::internal(message)
    }
}

impl Cloud {
    /// Reads a region as it is now.
    pub(crate) fn read<T>(&self, region: &str, look: impl FnOnce(&Region) -> T) -> Result<T, ApiError> {
        Ok(self.directory.read(|state| match state.regions.get(region) {
            Some(region) => look(region),
            None => look(&Region::new(region)),
        })?)
    }

    /// Changes a region, wholly or not at all.
    pub(crate) fn change<T>(
        &self,
        region: &str,
        change: impl FnOnce(&mut Region) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.change_all(|state| change(state.region_mut(region)))
    }

    /// Changes the whole state, wholly or not at all.
    pub(crate) fn change_all<T>(&self, change: impl FnOnce(&mut State) -> Result<T, ApiError>) -> Result<T, ApiError> {
        if self.latency.visible.is_zero() {
            return self.directory.change(change);
        }
        self.directory.change(|state| {
            let before = visibility::names(state);
            let made = change(state)?;
            let names = visibility::names(state);
            self.fresh.note(names.difference(&before).cloned());
            Ok(made)
        })
    }

    /// Checks that no other process runs the instance: only the one that does can reach its machine.
    pub(crate) fn check_owner(&self, instance: &Instance) -> Result<(), ApiError> {
        match instance.owner.as_deref() {
            Some(owner) if owner != self.directory.owner().id() => {
                let process = owner::process(owner).unwrap_or_default();
                Err(ApiError::new(
                    "IncorrectInstanceState",
                    format!(
                        "The instance '{}' is run by another process (pid {process}); use the endpoint of that process",
                        instance.id
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Checks that an instance profile exists, which a launch names by its ARN.
    pub(crate) fn check_profile(&self, arn: Option<&str>) -> Result<(), ApiError> {
        let Some(name) = arn.and_then(|arn| arn.rsplit('/').next()) else {
            return Ok(());
        };
        let exists = self
            .directory
            .read(|state| state.iam.profiles.contains_key(name) || Iam::is_given(name))?;
        if exists {
            Ok(())
        } else {
            Err(visibility::invalid_profile(name))
        }
    }

    /// Returns the slot of an instance's machine.
    pub(crate) fn slot(&self, id: &str) -> MachineSlot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(id.to_owned()).or_default().clone()
    }

    /// Forgets the slot of an instance that never has a machine again.
    pub(crate) fn forget_slot(&self, id: &str) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Returns the root that an image's instances start from, making it when this is the first; `None` when it has to be pulled from a
    /// registry first ([`Userlands::pulled`]).
    pub(crate) async fn root_of(&self, image: &Image) -> Result<Option<RootId>, ApiError> {
        let root = &image.root;
        if let ImageRoot::Distribution(distribution) = root {
            return Ok(self
                .userlands
                .at_once(&self.machines, distribution, &image.name)
                .await?);
        }
        match (root.baked(), root.base()) {
            (Some(baked), _) => Ok(Some(baked.clone())),
            (None, Some(base)) => Ok(Some(self.machines.base(&base).await?)),
            (None, None) => Err(ApiError::unsupported(
                "the image is of a further volume, of which the local cloud keeps no data: its instances cannot start",
            )),
        }
    }

    /// Removes the roots that nothing refers to any more; what cannot be removed now is tried again next time.
    pub(crate) async fn remove_unused_roots(&self) {
        let unused = self.directory.read(State::unused_roots).unwrap_or_default();
        for root in unused {
            match self.machines.remove_root(&root).await {
                Ok(()) => {
                    let forget = self.change_all(|state| {
                        state.roots.retain(|known| *known != root);
                        Ok(())
                    });
                    if let Err(error) = forget {
                        tracing::warn!(root = root.0, %error, "root removed but not forgotten");
                    }
                }
                Err(error) => tracing::warn!(root = root.0, error = with_causes(&error), "root not removed"),
            }
        }
    }

    /// Waits for that long after `since`, or until the cloud shuts down.
    #[expect(
        clippy::disallowed_methods,
        reason = "an EC2 state takes time; this is where the cloud's own time passes"
    )]
    pub(crate) async fn wait(&self, since: Instant, duration: Duration) {
        if duration.is_zero() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep_until(since + duration) => {}
            () = self.closing.cancelled() => {}
        }
    }
}
