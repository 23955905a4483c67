//! What exists in the cloud: plain data, per region, as the state directory keeps it.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::api_error::ApiError;
use crate::ec2::images::Image;
use crate::ec2::instances::Instance;
use crate::ec2::key_pairs::KeyPair;
use crate::ec2::security_groups::SecurityGroup;
use crate::ec2::snapshots::Snapshot;
use crate::ec2::tags::Tags;
use crate::ec2::volumes::Volume;
use crate::ids::ResourceKind;
use crate::machine::RootId;
use crate::secrets_manager::Secret;

/// The account that owns everything made here.
pub(crate) const ACCOUNT: &str = "123456789012";

/// The form of the state file; a file of another form is refused, not guessed at.
pub(crate) const FORMAT: u32 = 1;

/// Everything that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) format: u32,
    pub(crate) regions: BTreeMap<String, Region>,
    /// Roots that bakes have left behind; each goes when no image, snapshot or instance refers to it any more.
    pub(crate) roots: Vec<RootId>,
}

/// What exists in one region, by id.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Region {
    pub(crate) instances: BTreeMap<String, Instance>,
    pub(crate) images: BTreeMap<String, Image>,
    pub(crate) snapshots: BTreeMap<String, Snapshot>,
    pub(crate) volumes: BTreeMap<String, Volume>,
    pub(crate) key_pairs: BTreeMap<String, KeyPair>,
    pub(crate) security_groups: BTreeMap<String, SecurityGroup>,
    /// Secrets, by name.
    #[serde(default)]
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// Tags by resource id, for every kind of resource.
    pub(crate) tags: BTreeMap<String, Tags>,
}

impl Default for State {
    fn default() -> State {
        State {
            format: FORMAT,
            regions: BTreeMap::new(),
            roots: Vec::new(),
        }
    }
}

impl State {
    /// Returns the roots that nothing refers to any more.
    pub(crate) fn unused_roots(&self) -> Vec<RootId> {
        let mut used: HashSet<&RootId> = HashSet::new();
        for region in self.regions.values() {
            used.extend(region.images.values().filter_map(|image| image.root.baked()));
            used.extend(region.snapshots.values().filter_map(|snapshot| snapshot.root.as_ref()));
            used.extend(
                region
                    .instances
                    .values()
                    .filter(|instance| instance.has_disk)
                    .map(|instance| &instance.root),
            );
        }
        self.roots.iter().filter(|root| !used.contains(root)).cloned().collect()
    }
}

impl Region {
    /// Returns a region in which only what AWS puts there exists.
    pub(crate) fn new(name: &str) -> Region {
        let group = SecurityGroup::default_of(name);
        Region {
            security_groups: BTreeMap::from([(group.id.clone(), group)]),
            ..Region::default()
        }
    }

    pub(crate) fn instance(&self, id: &str) -> Result<&Instance, ApiError> {
        find(&self.instances, ResourceKind::Instance, id)
    }

    pub(crate) fn instance_mut(&mut self, id: &str) -> Result<&mut Instance, ApiError> {
        find_mut(&mut self.instances, ResourceKind::Instance, id)
    }

    pub(crate) fn image_mut(&mut self, id: &str) -> Result<&mut Image, ApiError> {
        find_mut(&mut self.images, ResourceKind::Image, id)
    }

    pub(crate) fn snapshot(&self, id: &str) -> Result<&Snapshot, ApiError> {
        find(&self.snapshots, ResourceKind::Snapshot, id)
    }

    pub(crate) fn snapshot_mut(&mut self, id: &str) -> Result<&mut Snapshot, ApiError> {
        find_mut(&mut self.snapshots, ResourceKind::Snapshot, id)
    }

    pub(crate) fn volume(&self, id: &str) -> Result<&Volume, ApiError> {
        find(&self.volumes, ResourceKind::Volume, id)
    }

    pub(crate) fn security_group(&self, id: &str) -> Result<&SecurityGroup, ApiError> {
        find(&self.security_groups, ResourceKind::SecurityGroup, id)
    }

    pub(crate) fn security_group_mut(&mut self, id: &str) -> Result<&mut SecurityGroup, ApiError> {
        find_mut(&mut self.security_groups, ResourceKind::SecurityGroup, id)
    }

    /// Returns the tags of a resource.
    pub(crate) fn tags_of(&self, id: &str) -> &Tags {
        static NONE: Tags = Tags::new();
        self.tags.get(id).unwrap_or(&NONE)
    }

    /// Adds tags to a resource, replacing values of the same keys.
    pub(crate) fn tag(&mut self, id: &str, tags: &Tags) {
        if !tags.is_empty() {
            self.tags.entry(id.to_owned()).or_default().extend(tags.clone());
        }
    }
}

fn find<'a, T>(map: &'a BTreeMap<String, T>, kind: ResourceKind, id: &str) -> Result<&'a T, ApiError> {
    match map.get(id) {
        Some(found) => Ok(found),
        None => Err(absent(kind, id)),
    }
}

fn find_mut<'a, T>(map: &'a mut BTreeMap<String, T>, kind: ResourceKind, id: &str) -> Result<&'a mut T, ApiError> {
    match map.get_mut(id) {
        Some(found) => Ok(found),
        None => Err(absent(kind, id)),
    }
}

/// Returns the error for an id that leads nowhere: malformed, or unknown.
pub(crate) fn absent(kind: ResourceKind, id: &str) -> ApiError {
    match kind.check(id) {
        Ok(()) => ApiError::not_found(kind, id),
        Err(malformed) => malformed,
    }
}
