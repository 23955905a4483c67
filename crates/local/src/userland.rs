//! What an instance of a well-known AMI starts from: its distribution, or this machine's own system in its stead.

use std::sync::{Arc, Mutex, PoisonError};

use bakelite_net::proxies::Environment;

use crate::distribution::{Distribution, Host};
use crate::given_image::GivenImageError;
use crate::machine::{BaseRoot, MachineError, Machines, RootId};
use crate::notice::{Notice, Notices, StandIn};
use crate::pulled_images::{Freshness, PulledImages};

/// How images of registries are pulled.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// The environment: proxies, certificates, and where Docker keeps credentials.
    pub environment: Arc<Environment>,
    /// Never pull the distribution of a well-known AMI: this machine's own system stands in for it. Images that the user gives are pulled
    /// all the same.
    pub given_images_only: bool,
    /// Who is told of progress, and of what stands in for what.
    pub notices: Notices,
}

/// The tag of an instance that says what it starts from, whatever its AMI is: with the value `host`, from this machine's own system.
pub(crate) const USERLAND_TAG: &str = "bakelite:userland";

/// Roots of distributions.
#[derive(Debug)]
pub(crate) struct Userlands {
    pub(crate) images: PulledImages,
    host: Host,
    given_images_only: bool,
    notices: Notices,
    /// Distributions that could not be pulled: they are not tried again in this process.
    missing: Mutex<Vec<Distribution>>,
}

impl Userlands {
    pub(crate) fn new(images: PulledImages, options: &PullOptions) -> Userlands {
        Userlands {
            images,
            host: Host::detect(),
            given_images_only: options.given_images_only,
            notices: options.notices.clone(),
            missing: Mutex::default(),
        }
    }

    /// The root of a distribution when it needs no registry; `None` when it has to be pulled first.
    pub(crate) async fn at_once(
        &self,
        machines: &Machines,
        distribution: &Distribution,
        ami: &str,
    ) -> Result<Option<RootId>, MachineError> {
        let is_missing = || {
            self.missing
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(distribution)
        };
        let is_host = machines.is_unisolated() || distribution.is_of(&self.host) || is_missing();
        let reference = distribution.image().and_then(|image| image.parse().ok());
        let Some(reference) = reference.filter(|_| !is_host) else {
            return machines.base(&BaseRoot::Host).await.map(Some);
        };
        let present = self.images.present(machines, &reference);
        if present.is_none() && self.given_images_only {
            return self
                .stand_in(machines, distribution, ami, "pulling it is switched off".to_owned())
                .await
                .map(Some);
        }
        Ok(present)
    }

    /// Passes a notice to whoever started the cloud.
    pub(crate) fn notify(&self, notice: Notice) {
        self.notices.send(notice);
    }

    fn give_up(&self, distribution: &Distribution) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if !missing.contains(distribution) {
            missing.push(distribution.clone());
        }
    }

    /// The root of a distribution, pulled where that is possible. `ami` is the name of the image that is launched.
    pub(crate) async fn pulled(
        &self,
        machines: &Machines,
        distribution: &Distribution,
        ami: &str,
    ) -> Result<RootId, MachineError> {
        let image = distribution.image().unwrap_or_default();
        let pulled = match image.parse() {
            Ok(reference) => self.images.root(machines, &reference, Freshness::Present).await,
            Err(error) => Err(GivenImageError::Oci(bakelite_oci::OciError::from(error))),
        };
        match pulled {
            Ok(root) => Ok(root),
            Err(error) => {
                self.stand_in(machines, distribution, ami, crate::causes::with_causes(&error))
                    .await
            }
        }
    }

    async fn stand_in(
        &self,
        machines: &Machines,
        distribution: &Distribution,
        ami: &str,
        why: String,
    ) -> Result<RootId, MachineError> {
        self.give_up(distribution);
        self.notices.send(Notice::StandsIn(StandIn {
            wanted: distribution.to_string(),
            host: self.host.title.clone(),
            why,
            image: distribution.image().unwrap_or_default(),
            ami: ami.to_owned(),
        }));
        machines.base(&BaseRoot::Host).await
    }
}
