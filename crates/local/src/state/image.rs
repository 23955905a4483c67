//! Images: those of the catalogue, and those that were made here.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::distribution::Distribution;
use crate::machine::{BaseRoot, RootId};
use crate::moment::Moment;
use crate::state::ACCOUNT;
use crate::state::volume::BlockDevice;

/// The group of all accounts in permissions.
pub(crate) const EVERYONE: &str = "all";

/// An image: one of the catalogue, or one that was made here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) owner_id: String,
    /// `amazon` for Amazon's own images.
    pub(crate) owner_alias: Option<String>,
    pub(crate) architecture: String,
    pub(crate) created: Moment,
    /// When it changes from `pending` to `available`.
    pub(crate) available: Moment,
    pub(crate) root: ImageRoot,
    pub(crate) root_device: String,
    pub(crate) block_devices: Vec<BlockDevice>,
    pub(crate) boot_mode: Option<String>,
    pub(crate) tpm_support: Option<String>,
    pub(crate) imds_support: Option<String>,
    /// Variables of the UEFI firmware, in base64.
    #[serde(default)]
    pub(crate) uefi_data: Option<String>,
    pub(crate) ena_support: bool,
    pub(crate) sriov_support: bool,
    /// The login users of the image's instances.
    pub(crate) login_users: Vec<String>,
    pub(crate) launch_permission: BTreeSet<LaunchPermission>,
    pub(crate) deprecated: Option<Moment>,
    pub(crate) deregistration_protection: bool,
    pub(crate) source_instance_id: Option<String>,
    pub(crate) source_image_id: Option<String>,
    pub(crate) source_image_region: Option<String>,
}

/// Where an image's root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ImageRoot {
    /// This machine's own system directories.
    Host,
    /// What this distribution has: this machine's own system where it is of it, else an image of a public registry.
    Distribution(Distribution),
    /// A directory or tarball that the user gave.
    Given(PathBuf),
    /// What an instance left behind.
    Baked(RootId),
    /// What is on a further volume of an instance, of which the local cloud keeps only the figures: nothing can start from it.
    Unknown,
}

/// Who else may launch an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum LaunchPermission {
    Account(String),
    Group(String),
    Organization(String),
    OrganizationalUnit(String),
}

impl ImageRoot {
    /// Returns the root that a bake left.
    pub(crate) fn baked(&self) -> Option<&RootId> {
        match self {
            ImageRoot::Baked(root) => Some(root),
            ImageRoot::Host | ImageRoot::Distribution(_) | ImageRoot::Given(_) | ImageRoot::Unknown => None,
        }
    }

    /// Returns the base of which a root has still to be made; a baked one is there already.
    pub(crate) fn base(&self) -> Option<BaseRoot> {
        match self {
            ImageRoot::Host | ImageRoot::Distribution(_) => Some(BaseRoot::Host),
            ImageRoot::Given(path) if path.is_dir() => Some(BaseRoot::Directory(path.clone())),
            ImageRoot::Given(path) => Some(BaseRoot::Tarball(path.clone())),
            ImageRoot::Baked(_) | ImageRoot::Unknown => None,
        }
    }
}

impl Image {
    pub(crate) fn state(&self) -> &'static str {
        if Moment::now() >= self.available {
            "available"
        } else {
            "pending"
        }
    }

    pub(crate) fn is_public(&self) -> bool {
        self.launch_permission
            .contains(&LaunchPermission::Group(EVERYONE.to_owned()))
    }

    pub(crate) fn is_deprecated(&self) -> bool {
        self.deprecated.is_some_and(|moment| moment <= Moment::now())
    }

    /// Returns the ids of the snapshots that it is made of.
    pub(crate) fn snapshot_ids(&self) -> impl Iterator<Item = &String> {
        self.block_devices
            .iter()
            .filter_map(|device| device.ebs.as_ref()?.snapshot_id.as_ref())
    }

    pub(crate) fn is_owned_by(&self, owner: &str) -> bool {
        match owner {
            "self" => self.owner_id == ACCOUNT,
            alias if self.owner_alias.as_deref() == Some(alias) => true,
            id => self.owner_id == id,
        }
    }

    pub(crate) fn is_executable_by(&self, who: &str) -> bool {
        match who {
            "self" => self
                .launch_permission
                .contains(&LaunchPermission::Account(ACCOUNT.to_owned())),
            EVERYONE => self.is_public(),
            account => self
                .launch_permission
                .contains(&LaunchPermission::Account(account.to_owned())),
        }
    }
}
