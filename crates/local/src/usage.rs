//! What a cloud keeps on disk, and making room.

use crate::cloud::Cloud;
use crate::ec2::images;
use crate::ec2::power::{self, InstanceName};
use crate::ec2::snapshots;
use crate::layers::{Content, ContentKind};
use crate::local_cloud::{LocalCloud, own_images};
use crate::local_error::LocalError;
use crate::machine::RootId;
use crate::state::instance::InstanceState;
use crate::state::{Snapshot, State};

/// What a cloud keeps on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// What takes space, the largest first.
    pub used: Vec<Used>,
    /// What is free on the file system, in bytes.
    pub free: u64,
}

/// Something that takes space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// What it is.
    pub by: UsedBy,
    /// Its id; of a base root, the name of its layer.
    pub id: String,
    /// The name of an image.
    pub name: Option<String>,
    /// What only this takes, in bytes: an image takes what its bake has changed, and an image that shares all with another one nothing.
    pub bytes: u64,
}

/// What takes space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsedBy {
    /// An image that was baked.
    Image,
    /// A snapshot that no image uses.
    Snapshot,
    /// The disk of an instance.
    Instance,
    /// A volume of an instance besides its root.
    Volume,
    /// A volume that is attached to nothing.
    LooseVolume,
    /// A base root that instances or images stand on.
    Base,
    /// A base root that nothing stands on; the next launch makes it again.
    UnusedBase,
    /// What a removed image has changed, on which another image stands.
    Layer,
    /// What is being made or removed.
    Unfinished,
}

impl UsedBy {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            UsedBy::Image => "image",
            UsedBy::Snapshot => "snapshot",
            UsedBy::Instance => "instance",
            UsedBy::Volume => "volume",
            UsedBy::LooseVolume => "loose volume",
            UsedBy::Base => "base",
            UsedBy::UnusedBase => "unused base",
            UsedBy::Layer => "layer",
            UsedBy::Unfinished => "unfinished",
        }
    }
}

impl LocalCloud {
    /// Returns what the cloud keeps on disk.
    pub async fn usage(&self) -> Result<Usage, LocalError> {
        let contents = self.cloud.machines.contents().await?;
        let region = &self.region;
        let mut used = self.cloud.directory.read(|state| {
            let named = contents.iter().map(|content| used(state, region, content));
            named.chain(sharing(state, region, &contents)).collect::<Vec<_>>()
        })?;
        used.sort_by_key(|one| std::cmp::Reverse(one.bytes));
        Ok(Usage {
            used,
            free: self.cloud.machines.free(),
        })
    }

    /// Removes an image that was baked, by its id or name, with its snapshots; answers its id and how many bytes that has freed. What another
    /// image or an instance stands on stays until that is gone.
    pub async fn remove_image(&self, image: &str) -> Result<(String, u64), LocalError> {
        let before = self.cloud.machines.contents().await?;
        let found = self.cloud.directory.read(|state| {
            let known = own_images(state, &self.region).find(|(_, known)| known.id == image || known.name == image);
            known.map(|(region, known)| (region.clone(), known.id.clone()))
        })?;
        let Some((region, id)) = found else {
            let base = crate::catalogue::images(&self.region, &self.cloud.local_images);
            let is_base = base.iter().any(|known| known.id == image || known.name == image);
            let unknown = if is_base {
                LocalError::BaseImage
            } else {
                LocalError::UnknownImage
            };
            return Err(unknown(image.to_owned()));
        };
        self.cloud.change(&region, |region| {
            let image = images::deregister(region, &id)?;
            for snapshot in image.snapshot_ids() {
                // One that another image uses stays for it.
                let _ = snapshots::delete(region, snapshot);
            }
            Ok(())
        })?;
        self.cloud.remove_unused_roots().await;
        Ok((id, freed(&self.cloud, &before).await?))
    }

    /// Removes what no image needs: snapshots without an image, base roots that nothing stands on, and, when `stopped`, instances that nobody
    /// runs. With `dry_run` it is only listed. Base roots stay while other clouds run on the state directory, which may be about to use them.
    pub async fn prune(&self, stopped: bool, dry_run: bool) -> Result<Vec<Used>, LocalError> {
        let others = self.cloud.directory.owner().has_company();
        let mut needless = self.usage().await?.used;
        let stopped_ids: Vec<InstanceName> = self.cloud.directory.read(stopped_instances)?;
        needless.retain(|used| match used.by {
            UsedBy::Snapshot | UsedBy::LooseVolume => true,
            UsedBy::UnusedBase => !others,
            UsedBy::Instance => stopped && stopped_ids.iter().any(|name| name.id == used.id),
            _ => false,
        });
        if dry_run {
            return Ok(needless);
        }
        for name in stopped_ids.iter().filter(|_| stopped) {
            power::terminate_stopped(&self.cloud, name).await?;
        }
        self.cloud.change_all(|state| {
            for region in state.regions.values_mut() {
                let ids: Vec<String> = region.snapshots.keys().cloned().collect();
                for id in ids {
                    // One that an image uses stays for it.
                    let _ = snapshots::delete(region, &id);
                }
                let loose = needless.iter().filter(|used| used.by == UsedBy::LooseVolume);
                for id in loose.map(|used| &used.id) {
                    if region.volumes.get(id).is_some_and(|volume| volume.attachment.is_none()) {
                        region.volumes.remove(id);
                        region.tags.remove(id);
                    }
                }
            }
            Ok(())
        })?;
        self.cloud.remove_unused_roots().await;
        for base in needless.iter().filter(|used| used.by == UsedBy::UnusedBase) {
            self.cloud.machines.remove_root(&RootId(base.id.clone())).await?;
        }
        Ok(needless)
    }
}

/// The instances that are stopped and that no process runs.
fn stopped_instances(state: &State) -> Vec<InstanceName> {
    let regions = state.regions.iter();
    let instances = regions.flat_map(|(region, content)| content.instances.values().map(move |one| (region, one)));
    let stopped = instances.filter(|(_, one)| one.state == InstanceState::Stopped && one.owner.is_none());
    let names = stopped.map(|(region, one)| InstanceName {
        region: region.clone(),
        id: one.id.clone(),
    });
    names.collect()
}

/// What was there before and is gone, in bytes.
async fn freed(cloud: &Cloud, before: &[Content]) -> Result<u64, LocalError> {
    let left = cloud.machines.contents().await?;
    let gone = before.iter().filter(|one| {
        let is_left = left.iter().any(|left| left.directory == one.directory);
        one.kind != ContentKind::Unfinished && !is_left
    });
    Ok(gone.map(|one| one.bytes).sum())
}

/// What a part of the store is in the cloud.
fn used(state: &State, region: &str, content: &Content) -> Used {
    let (by, id, name) = match &content.kind {
        ContentKind::Base { root, in_use } => {
            let by = if *in_use { UsedBy::Base } else { UsedBy::UnusedBase };
            (by, root.0.clone(), None)
        }
        ContentKind::Machine(id) => (UsedBy::Instance, id.clone(), None),
        ContentKind::Volume(id) => {
            let mut volumes = state.regions.values().filter_map(|region| region.volumes.get(id));
            let is_attached = volumes.next().is_some_and(|volume| volume.attachment.is_some());
            let by = if is_attached {
                UsedBy::Volume
            } else {
                UsedBy::LooseVolume
            };
            (by, id.clone(), None)
        }
        ContentKind::Unfinished => (UsedBy::Unfinished, String::new(), None),
        ContentKind::Layer(root) => layer(state, region, root),
    };
    Used {
        by,
        id,
        name,
        bytes: content.bytes,
    }
}

/// Whose layer it is: an image's, a snapshot's, or nobody's any more.
fn layer(state: &State, region: &str, root: &RootId) -> (UsedBy, String, Option<String>) {
    if let Some((_, image)) = own_images(state, region).find(|(_, image)| image.root.baked() == Some(root)) {
        return (UsedBy::Image, image.id.clone(), Some(image.name.clone()));
    }
    let snapshots = state.regions.values().flat_map(|region| region.snapshots.values());
    let keeps = |snapshot: &&Snapshot| [&snapshot.root, &snapshot.data].contains(&&Some(root.clone()));
    let snapshots: Vec<&Snapshot> = snapshots.filter(keeps).collect();
    let of_image = own_images(state, region).find(|(_, image)| {
        image
            .snapshot_ids()
            .any(|id| snapshots.iter().any(|snapshot| snapshot.id == *id))
    });
    match (of_image, snapshots.first()) {
        (Some((_, image)), _) => (UsedBy::Image, image.id.clone(), Some(image.name.clone())),
        (None, Some(snapshot)) => (UsedBy::Snapshot, snapshot.id.clone(), None),
        (None, None) => (UsedBy::Layer, root.0.clone(), None),
    }
}

/// The images that share all of their data with one that is listed already.
fn sharing(state: &State, region: &str, contents: &[Content]) -> Vec<Used> {
    let mut listed: Vec<String> = contents.iter().map(|content| used(state, region, content).id).collect();
    let mut sharing = Vec::new();
    for (_, image) in own_images(state, region) {
        if !listed.contains(&image.id) {
            listed.push(image.id.clone());
            sharing.push(Used {
                by: UsedBy::Image,
                id: image.id.clone(),
                name: Some(image.name.clone()),
                bytes: 0,
            });
        }
    }
    sharing
}
