//! What exists in the cloud: plain data, per region, as the state directory keeps it.

pub(crate) mod image;
pub(crate) mod instance;
mod lifecycle;
pub(crate) mod security_group;
pub(crate) mod volume;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use crate::api_error::ApiError;
use crate::ids::{ResourceKind, absent};
use crate::machine::RootId;
use crate::moment::Moment;
use image::Image;
use instance::Instance;
use security_group::SecurityGroup;
use volume::Volume;

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
    /// IAM knows no regions.
    #[serde(default)]
    pub(crate) iam: Iam,
}

/// Roles and instance profiles, by name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Iam {
    pub(crate) roles: BTreeMap<String, Role>,
    pub(crate) profiles: BTreeMap<String, InstanceProfile>,
}

impl Iam {
    /// Whether a profile exists that was not made here: those that templates name are the account's, but what has the prefix of temporary
    /// ones is there only as long as whoever made it keeps it.
    pub(crate) fn is_given(profile: &str) -> bool {
        !profile.starts_with("packer-")
    }
}

/// A role. Its policies are kept and restrict nothing: no instance gets its credentials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) id: String,
    pub(crate) created: Moment,
    pub(crate) description: String,
    pub(crate) trust: String,
    /// Policies by name.
    pub(crate) policies: BTreeMap<String, String>,
    pub(crate) tags: Tags,
}

/// An instance profile, which holds at most one role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct InstanceProfile {
    pub(crate) id: String,
    pub(crate) created: Moment,
    pub(crate) role: Option<String>,
    pub(crate) tags: Tags,
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
    /// Parameters of Systems Manager, by name.
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, Parameter>,
    #[serde(default)]
    pub(crate) launch_templates: BTreeMap<String, LaunchTemplate>,
    /// Instant fleets, by the client token of their call: nothing else is left of them but their instances.
    #[serde(default)]
    pub(crate) fleets: BTreeMap<String, Fleet>,
    /// What makes the instances of an image start faster, by the image's id.
    #[serde(default)]
    pub(crate) fast_launches: BTreeMap<String, FastLaunch>,
    /// Tags by resource id, for every kind of resource.
    pub(crate) tags: BTreeMap<String, Tags>,
}

/// Tags of one resource.
pub(crate) type Tags = BTreeMap<String, String>;

/// A snapshot of this account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) id: String,
    pub(crate) volume_id: String,
    pub(crate) size_gib: u32,
    pub(crate) description: String,
    pub(crate) started: Moment,
    pub(crate) completed: Moment,
    pub(crate) encrypted: bool,
    pub(crate) kms_key_id: Option<String>,
    /// The root that it keeps, when it is of a root device.
    pub(crate) root: Option<RootId>,
    /// What it keeps of a volume besides the root, unless that was never attached.
    #[serde(default)]
    pub(crate) data: Option<RootId>,
    /// Accounts that may make volumes from it, `all` for everyone.
    pub(crate) shared_with: BTreeSet<String>,
}

impl Snapshot {
    pub(crate) fn state(&self) -> &'static str {
        if Moment::now() >= self.completed {
            "completed"
        } else {
            "pending"
        }
    }

    pub(crate) fn progress(&self) -> &'static str {
        if Moment::now() >= self.completed { "100%" } else { "0%" }
    }
}

/// A key pair of one region, kept under its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyPair {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) key_type: String,
    pub(crate) fingerprint: String,
    /// An OpenSSH line, with the name as its comment.
    pub(crate) public_line: String,
    pub(crate) created: Moment,
}

/// A secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Secret {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) created: Moment,
    pub(crate) version: String,
    /// The secret, when it is a string.
    pub(crate) string: Option<String>,
    /// The secret in base64, when it is bytes.
    pub(crate) binary: Option<String>,
}

/// A parameter of Systems Manager.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parameter {
    pub(crate) kind: String,
    pub(crate) value: String,
    pub(crate) version: u64,
    pub(crate) modified: Moment,
}

/// A launch template of one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LaunchTemplate {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created: Moment,
    pub(crate) client_token: Option<String>,
    /// The parameters of `RunInstances` that it gives, as they came.
    pub(crate) data: BTreeMap<String, String>,
}

/// The answer to a call of `CreateFleet`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fleet {
    pub(crate) id: String,
    pub(crate) request_digest: String,
    /// Its instance, with the index of the pool that it came from.
    pub(crate) instance: Option<(String, usize)>,
}

/// Fast launch of an image, as it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FastLaunch {
    pub(crate) snapshots: u32,
    pub(crate) parallel_launches: u32,
    /// Id and version.
    pub(crate) launch_template: Option<(String, String)>,
    pub(crate) since: Moment,
}

impl Default for State {
    fn default() -> State {
        State {
            format: FORMAT,
            regions: BTreeMap::new(),
            roots: Vec::new(),
            iam: Iam::default(),
        }
    }
}

impl State {
    /// Returns a region, made when nothing has been changed in it yet.
    pub(crate) fn region_mut(&mut self, name: &str) -> &mut Region {
        self.regions.entry(name.to_owned()).or_insert_with(|| Region::new(name))
    }

    /// Returns the roots that nothing refers to any more.
    pub(crate) fn unused_roots(&self) -> Vec<RootId> {
        let mut used: HashSet<&RootId> = HashSet::new();
        for region in self.regions.values() {
            used.extend(region.images.values().filter_map(|image| image.root.baked()));
            let snapshots = region.snapshots.values();
            used.extend(snapshots.flat_map(|snapshot| snapshot.root.iter().chain(&snapshot.data)));
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

    pub(crate) fn volume_mut(&mut self, id: &str) -> Result<&mut Volume, ApiError> {
        find_mut(&mut self.volumes, ResourceKind::Volume, id)
    }

    pub(crate) fn security_group(&self, id: &str) -> Result<&SecurityGroup, ApiError> {
        find(&self.security_groups, ResourceKind::SecurityGroup, id)
    }

    pub(crate) fn security_group_mut(&mut self, id: &str) -> Result<&mut SecurityGroup, ApiError> {
        find_mut(&mut self.security_groups, ResourceKind::SecurityGroup, id)
    }

    /// Checks that all instances of a call exist.
    pub(crate) fn check_instances(&self, ids: &[String]) -> Result<(), ApiError> {
        let mut unknown = Vec::new();
        for id in ids {
            match self.instance(id) {
                Ok(_) => {}
                Err(error) if error.code == ResourceKind::Instance.not_found_code() => unknown.push(id.as_str()),
                Err(malformed) => return Err(malformed),
            }
        }
        match unknown.as_slice() {
            [] => Ok(()),
            [id] => Err(ApiError::not_found(ResourceKind::Instance, id)),
            several => Err(ApiError::new(
                ResourceKind::Instance.not_found_code(),
                format!("The instance IDs '{}' do not exist", several.join(", ")),
            )),
        }
    }

    /// Finds a security group by its name.
    pub(crate) fn security_group_named(&self, name: &str) -> Result<&SecurityGroup, ApiError> {
        let found = self.security_groups.values().find(|group| group.name == name);
        found.ok_or_else(|| {
            ApiError::new(
                ResourceKind::SecurityGroup.not_found_code(),
                format!("The security group '{name}' does not exist in default VPC"),
            )
        })
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
