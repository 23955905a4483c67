//! How images come about: `CreateImage` from an instance, `CopyImage` from another region, `RegisterImage` from a snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::cloud::Cloud;
use crate::ec2::block_devices::{self, DeviceRequest};
use crate::ec2::images::{self};
use crate::ec2::power::{self, Boot, InstanceName};
use crate::ec2::regions;
use crate::ec2::snapshots;
use crate::ec2::tags::TagSpecifications;
use crate::ids::ResourceKind;
use crate::machine::RootId;
use crate::moment::Moment;
use crate::state::image::{Image, ImageRoot};
use crate::state::instance::{Instance, InstanceState};
use crate::state::volume::BlockDevice;
use crate::state::{ACCOUNT, Region};
use crate::state::{Snapshot, Tags};
use crate::xml::Element;

/// Shortest and longest name of an image, in characters.
const NAME_LENGTHS: std::ops::RangeInclusive<usize> = 3..=128;
/// Characters that a name may have besides letters and digits (EC2 API reference, `CreateImage`).
const NAME_MARKS: &str = "()[] ./-'@_";
/// Longest description of an image, in characters.
const LONGEST_DESCRIPTION: usize = 255;

/// What `CreateImage` was asked for.
struct Wish {
    instance_id: String,
    name: String,
    description: String,
    no_reboot: bool,
    devices: Vec<DeviceRequest>,
    tags: TagSpecifications,
}

pub(crate) async fn create_image(mut call: Call) -> Answer {
    let wish = Wish {
        instance_id: call.parameters.required("InstanceId")?,
        name: take_name(&mut call)?,
        description: take_description(&mut call)?,
        no_reboot: call.parameters.boolean("NoReboot")?.unwrap_or(false),
        devices: block_devices::take(&mut call.parameters)?,
        tags: TagSpecifications::take(&mut call.parameters, &[ResourceKind::Image, ResourceKind::Snapshot])?,
    };
    call.accept()?;
    call.read(|region| wish.check(&call.cloud, region))??;
    let name = InstanceName {
        region: call.region.clone(),
        id: wish.instance_id.clone(),
    };
    let frozen = freeze(&call.cloud, &name, wish.no_reboot).await?;
    let id = record(&call, frozen.layers(), |region| {
        check_name_free(region, &wish.name)?;
        wish.add(&call.cloud, region, &frozen)
    })
    .await?;
    Ok(Element::body().text("imageId", id))
}

/// What was frozen of an instance: its root, and what its further volumes hold, by their ids.
struct Frozen {
    root: RootId,
    volumes: BTreeMap<String, RootId>,
}

impl Frozen {
    fn layers(&self) -> impl Iterator<Item = &RootId> + Clone {
        std::iter::once(&self.root).chain(self.volumes.values())
    }
}

/// Records what keeps frozen layers. When that fails, nothing but the machines knows of them, and they are removed at once.
async fn record<T>(
    call: &Call,
    layers: impl Iterator<Item = &RootId> + Clone,
    change: impl FnOnce(&mut Region) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let recorded = call.cloud.change_all(|state| {
        state.roots.extend(layers.clone().cloned());
        change(state.region_mut(&call.region))
    });
    if recorded.is_err() {
        for layer in layers {
            if let Err(left) = call.cloud.machines.remove_root(layer).await {
                tracing::warn!(root = layer.0, error = %left, "root that nothing keeps not removed");
            }
        }
    }
    recorded
}

/// Freezes an instance's disks. A running instance is stopped for it, unless the user forbids.
async fn freeze(cloud: &Arc<Cloud>, name: &InstanceName, no_reboot: bool) -> Result<Frozen, ApiError> {
    let slot = cloud.slot(&name.id);
    let mut slot = slot.lock().await;
    match slot.take() {
        Some(running) if !no_reboot => {
            running.machine.stop().await;
            let frozen = freeze_disks(cloud, name).await;
            if let Err(error) = power::restart(cloud, name, &mut slot).await {
                // The snapshot is good all the same: the instance is what did not come back.
                power::fail(cloud, name, Boot::Again, &error);
            }
            frozen
        }
        running_or_none => {
            *slot = running_or_none;
            freeze_disks(cloud, name).await
        }
    }
}

/// Freezes the root of an instance as it is now.
async fn freeze_root(cloud: &Cloud, name: &InstanceName) -> Result<RootId, ApiError> {
    let slot = cloud.slot(&name.id);
    let _slot = slot.lock().await;
    Ok(cloud.machines.snapshot(&name.id).await?)
}

async fn freeze_disks(cloud: &Cloud, name: &InstanceName) -> Result<Frozen, ApiError> {
    let ids: Vec<String> = cloud.read(&name.region, |region| {
        let instance = region.instance(&name.id)?;
        let volumes = power::further_volumes(region, instance);
        Ok::<_, ApiError>(volumes.map(|(volume, _)| volume.id.clone()).collect())
    })??;
    let mut volumes = BTreeMap::new();
    for id in ids {
        if let Some(data) = cloud.machines.snapshot_volume(&id).await? {
            volumes.insert(id, data);
        }
    }
    let root = cloud.machines.snapshot(&name.id).await?;
    Ok(Frozen { root, volumes })
}

impl Wish {
    fn check(&self, cloud: &Cloud, region: &Region) -> Result<(), ApiError> {
        let instance = region.instance(&self.instance_id)?;
        cloud.check_owner(instance)?;
        if !matches!(instance.state, InstanceState::Running | InstanceState::Stopped) {
            return Err(ApiError::new(
                "IncorrectInstanceState",
                format!(
                    "The instance '{}' is not in the 'running' or 'stopped' state.",
                    self.instance_id
                ),
            ));
        }
        check_name_free(region, &self.name)
    }

    /// Adds the image with a snapshot for each of its volumes, and returns its id.
    fn add(&self, cloud: &Cloud, region: &mut Region, frozen: &Frozen) -> Result<String, ApiError> {
        let instance = region.instance(&self.instance_id)?.clone();
        let started = Moment::now();
        let completed = started.plus(cloud.latency.snapshot);
        let id = ResourceKind::Image.new_id();
        let (block_devices, snapshots) = self.devices(region, &instance, &id, frozen, (started, completed))?;
        let image = Image {
            id: id.clone(),
            name: self.name.clone(),
            description: self.description.clone(),
            owner_id: ACCOUNT.to_owned(),
            owner_alias: None,
            architecture: instance.architecture.clone(),
            created: started,
            available: started.plus(cloud.latency.image),
            root: ImageRoot::Baked(frozen.root.clone()),
            root_device: instance.root_device.clone(),
            block_devices,
            boot_mode: instance.boot_mode.clone(),
            tpm_support: None,
            imds_support: None,
            uefi_data: None,
            ena_support: instance.ena_support,
            sriov_support: instance.sriov_support,
            login_users: instance.login_users.clone(),
            launch_permission: BTreeSet::new(),
            deprecated: None,
            deregistration_protection: false,
            source_instance_id: Some(instance.id.clone()),
            source_image_id: None,
            source_image_region: None,
        };
        region.tag(&id, &self.tags.of(ResourceKind::Image));
        region.images.insert(id.clone(), image);
        let snapshot_tags = self.tags.of(ResourceKind::Snapshot);
        for snapshot in snapshots {
            region.tag(&snapshot.id, &snapshot_tags);
            region.snapshots.insert(snapshot.id.clone(), snapshot);
        }
        Ok(id)
    }

    /// Returns the image's devices: those of the instance with the request laid over them, each volume snapshotted.
    fn devices(
        &self,
        region: &Region,
        instance: &Instance,
        image_id: &str,
        frozen: &Frozen,
        (started, completed): (Moment, Moment),
    ) -> Result<(Vec<BlockDevice>, Vec<Snapshot>), ApiError> {
        let attached = attached_devices(region, &instance.id);
        let current: Vec<BlockDevice> = attached.iter().map(|(device, _)| device.clone()).collect();
        let mut devices = block_devices::merge(&current, self.devices.clone(), |id| Ok(region.snapshot(id)?.size_gib))?;
        let mut snapshots = Vec::new();
        for device in &mut devices {
            let volume = attached
                .iter()
                .find(|(known, _)| known.device == device.device)
                .map(|(_, volume)| volume);
            let (Some(ebs), Some(volume_id)) = (&mut device.ebs, volume) else {
                continue;
            };
            let is_root = device.device == instance.root_device;
            let snapshot = Snapshot {
                id: ResourceKind::Snapshot.new_id(),
                volume_id: volume_id.clone(),
                size_gib: ebs.size_gib,
                description: format!("Created by CreateImage({}) for {image_id}", instance.id),
                started,
                completed,
                encrypted: ebs.encrypted,
                kms_key_id: ebs.kms_key_id.clone(),
                root: is_root.then(|| frozen.root.clone()),
                data: frozen.volumes.get(volume_id).cloned(),
                shared_with: BTreeSet::new(),
            };
            ebs.snapshot_id = Some(snapshot.id.clone());
            snapshots.push(snapshot);
        }
        Ok((devices, snapshots))
    }
}

/// Returns the devices of an instance with the ids of their volumes, without what they were made from.
fn attached_devices(region: &Region, instance_id: &str) -> Vec<(BlockDevice, String)> {
    let attached = region.volumes.values().filter_map(|volume| {
        let attachment = volume
            .attachment
            .as_ref()
            .filter(|attachment| attachment.instance_id == instance_id)?;
        let mut ebs = volume.ebs.clone();
        ebs.snapshot_id = None;
        let device = BlockDevice {
            device: attachment.device.clone(),
            virtual_name: None,
            ebs: Some(ebs),
        };
        Some((device, volume.id.clone()))
    });
    attached.collect()
}

fn take_name(call: &mut Call) -> Result<String, ApiError> {
    let name = call.parameters.required("Name")?;
    check_name(&name)?;
    Ok(name)
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let fits = NAME_LENGTHS.contains(&name.chars().count())
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || NAME_MARKS.contains(character));
    if fits {
        return Ok(());
    }
    Err(ApiError::new(
        "InvalidAMIName.Malformed",
        "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '[', ']', \
         ' ', '.', '/', '-', ''', '@' and '_'",
    ))
}

fn take_description(call: &mut Call) -> Result<String, ApiError> {
    let description = call.parameters.text("Description").unwrap_or_default();
    if description.chars().count() > LONGEST_DESCRIPTION {
        return Err(ApiError::invalid_parameter(format!(
            "Character sets beyond ASCII or more than {LONGEST_DESCRIPTION} characters are not supported for descriptions"
        )));
    }
    Ok(description)
}

fn check_name_free(region: &Region, name: &str) -> Result<(), ApiError> {
    match region.images.values().find(|image| image.name == name) {
        None => Ok(()),
        Some(image) => Err(ApiError::new(
            "InvalidAMIName.Duplicate",
            format!("AMI name {name} is already in use by AMI {}", image.id),
        )),
    }
}

pub(crate) fn copy_image(mut call: Call) -> Answer {
    let source_region = call.parameters.required("SourceRegion")?;
    let source_id = call.parameters.required("SourceImageId")?;
    let name = take_name(&mut call)?;
    let description = call.parameters.text("Description");
    let encrypted = call.parameters.boolean("Encrypted")?.unwrap_or(false);
    let kms_key_id = call.parameters.filled("KmsKeyId");
    let copy_tags = call.parameters.boolean("CopyImageTags")?.unwrap_or(false);
    let token = call.parameters.text("ClientToken");
    let minutes = call.parameters.number::<u32>("SnapshotCopyCompletionDurationMinutes")?;
    let tags = TagSpecifications::take(&mut call.parameters, &[ResourceKind::Image, ResourceKind::Snapshot])?;
    call.accept()?;
    if minutes.is_some_and(|minutes| minutes % 15 != 0 || !(15..=2880).contains(&minutes)) {
        return Err(ApiError::invalid_parameter(
            "SnapshotCopyCompletionDurationMinutes must be a multiple of 15 between 15 and 2880",
        ));
    }
    if !regions::exists(&source_region) && source_region != call.region {
        return Err(ApiError::invalid_parameter(format!(
            "Invalid source region: {source_region}"
        )));
    }
    let catalogue = crate::catalogue::images(&source_region, &call.cloud.local_images);
    let found = call.cloud.read(&source_region, |region| {
        let image = images::find(region, &catalogue, &source_id).cloned()?;
        let held = image.snapshot_ids().filter_map(|id| {
            let data = region.snapshots.get(id)?.data.clone()?;
            Some((id.clone(), data))
        });
        let held: BTreeMap<String, RootId> = held.collect();
        Ok::<_, ApiError>((image, region.tags_of(&source_id).clone(), held))
    })?;
    let (source, source_tags, held) = found?;
    if source.state() != "available" {
        return Err(ApiError::new(
            "InvalidAMIID.Unavailable",
            format!("The image id '[{source_id}]' is not available"),
        ));
    }
    let encryption = (encrypted || kms_key_id.is_some()).then_some(kms_key_id);
    let mut image_tags = if copy_tags { source_tags } else { Tags::new() };
    image_tags.extend(tags.of(ResourceKind::Image));
    let id = call.change(|region| {
        if let Some(id) = repeated_copy(region, token.as_deref(), &source_id, &name) {
            return Ok(id);
        }
        check_name_free(region, &name)?;
        let mut image = copy(&source, &source_region, &name, call.cloud.latency.image);
        image.description = description.unwrap_or(image.description);
        for snapshot in copy_snapshots(&mut image, encryption.as_ref(), &source_region, &held) {
            region.tag(&snapshot.id, &tags.of(ResourceKind::Snapshot));
            region.snapshots.insert(snapshot.id.clone(), snapshot);
        }
        region.tag(&image.id, &image_tags);
        let id = image.id.clone();
        region.images.insert(id.clone(), image);
        Ok(id)
    })?;
    Ok(Element::body().text("imageId", id))
}

/// Returns the copy that an earlier call with a client token made: names are unique, so name and source tell it.
fn repeated_copy(region: &Region, token: Option<&str>, source_id: &str, name: &str) -> Option<String> {
    token.filter(|token| !token.is_empty())?;
    let same = |image: &&Image| image.name == name && image.source_image_id.as_deref() == Some(source_id);
    region.images.values().find(same).map(|image| image.id.clone())
}

fn copy(source: &Image, source_region: &str, name: &str, latency: std::time::Duration) -> Image {
    let created = Moment::now();
    Image {
        id: ResourceKind::Image.new_id(),
        name: name.to_owned(),
        description: format!("[Copied {} from {source_region}] {}", source.id, source.name),
        owner_id: ACCOUNT.to_owned(),
        owner_alias: None,
        created,
        available: created.plus(latency),
        launch_permission: BTreeSet::new(),
        deprecated: None,
        deregistration_protection: false,
        source_instance_id: None,
        source_image_id: Some(source.id.clone()),
        source_image_region: Some(source_region.to_owned()),
        ..source.clone()
    }
}

/// Gives a copied image snapshots of its own. `encryption` is the key for it, when the copy is to be encrypted; `held` is what the snapshots of
/// further volumes keep.
fn copy_snapshots(
    image: &mut Image,
    encryption: Option<&Option<String>>,
    source_region: &str,
    held: &BTreeMap<String, RootId>,
) -> Vec<Snapshot> {
    let mut snapshots = Vec::new();
    for device in &mut image.block_devices {
        let Some(ebs) = &mut device.ebs else { continue };
        if let Some(key) = encryption {
            ebs.encrypted = true;
            ebs.kms_key_id = key.clone().or_else(|| ebs.kms_key_id.take());
        }
        let Some(source) = ebs.snapshot_id.take() else { continue };
        let snapshot = Snapshot {
            id: ResourceKind::Snapshot.new_id(),
            volume_id: "vol-ffffffff".to_owned(),
            size_gib: ebs.size_gib,
            description: format!(
                "Copied for DestinationAmi {} from SourceAmi for SourceSnapshot {source} in {source_region}",
                image.id
            ),
            started: image.created,
            completed: image.available,
            encrypted: ebs.encrypted,
            kms_key_id: ebs.kms_key_id.clone(),
            root: image
                .root
                .baked()
                .filter(|_| device.device == image.root_device)
                .cloned(),
            data: held.get(&source).cloned(),
            shared_with: BTreeSet::new(),
        };
        ebs.snapshot_id = Some(snapshot.id.clone());
        snapshots.push(snapshot);
    }
    snapshots
}

pub(crate) async fn create_snapshot(mut call: Call) -> Answer {
    let volume_id = call.parameters.required("VolumeId")?;
    let description = take_description(&mut call)?;
    let kinds = [ResourceKind::Snapshot];
    let tags = TagSpecifications::take(&mut call.parameters, &kinds)?.of(ResourceKind::Snapshot);
    call.accept()?;
    let (volume, of_root) = call.read(|region| {
        let volume = region.volume(&volume_id)?.clone();
        let attached = volume.attachment.as_ref();
        let instance = attached.and_then(|at| region.instances.get(&at.instance_id));
        let of_root = instance.filter(|instance| {
            attached.is_some_and(|at| at.device == instance.root_device)
                && matches!(instance.state, InstanceState::Running | InstanceState::Stopped)
        });
        Ok::<_, ApiError>((volume.clone(), of_root.cloned()))
    })??;
    let root = match of_root {
        Some(instance) => {
            call.cloud.check_owner(&instance)?;
            let name = InstanceName {
                region: call.region.clone(),
                id: instance.id,
            };
            Some(freeze_root(&call.cloud, &name).await?)
        }
        None => None,
    };
    let data = call.cloud.machines.snapshot_volume(&volume_id).await?;
    let started = Moment::now();
    let snapshot = Snapshot {
        id: ResourceKind::Snapshot.new_id(),
        volume_id,
        size_gib: volume.ebs.size_gib,
        description,
        started,
        completed: started.plus(call.cloud.latency.snapshot),
        encrypted: volume.ebs.encrypted,
        kms_key_id: volume.ebs.kms_key_id,
        root,
        data,
        shared_with: BTreeSet::new(),
    };
    record(&call, snapshot.root.iter().chain(&snapshot.data), |region| {
        region.tag(&snapshot.id, &tags);
        region.snapshots.insert(snapshot.id.clone(), snapshot.clone());
        Ok(())
    })
    .await?;
    Ok(snapshots::describe(&snapshot, &tags))
}

pub(crate) fn register_image(mut call: Call) -> Answer {
    let name = take_name(&mut call)?;
    let description = take_description(&mut call)?;
    let root_device = call.parameters.required("RootDeviceName")?;
    let architecture = call
        .parameters
        .word("Architecture", &["x86_64", "arm64"])?
        .unwrap_or_else(|| "x86_64".to_owned());
    let virtualization = call.parameters.text("VirtualizationType");
    let ena_support = call.parameters.boolean("EnaSupport")?.unwrap_or(false);
    let sriov = call.parameters.word("SriovNetSupport", &["simple"])?;
    let boot_mode = call
        .parameters
        .word("BootMode", &["legacy-bios", "uefi", "uefi-preferred"])?;
    let uefi_data = call.parameters.filled("UefiData");
    let tpm_support = call.parameters.word("TpmSupport", &["v2.0"])?;
    let imds_support = call.parameters.word("ImdsSupport", &["v2.0"])?;
    let devices = block_devices::take(&mut call.parameters)?;
    let tags = TagSpecifications::take(&mut call.parameters, &[ResourceKind::Image])?.of(ResourceKind::Image);
    call.accept()?;
    if tpm_support.is_some() && boot_mode.as_deref() != Some("uefi") {
        return Err(ApiError::invalid_combination("TpmSupport requires the boot mode uefi"));
    }
    if uefi_data
        .as_ref()
        .is_some_and(|data| BASE64_STANDARD.decode(data).is_err())
    {
        return Err(ApiError::invalid_parameter("Invalid UEFI data"));
    }
    if virtualization.as_deref() != Some("hvm") {
        return Err(ApiError::unsupported(
            "the local cloud supports only the virtualization type hvm",
        ));
    }
    let id = call.change(|region| {
        check_name_free(region, &name)?;
        let block_devices = block_devices::merge(&[], devices, |id| Ok(region.snapshot(id)?.size_gib))?;
        let root = root_of_snapshot(region, &block_devices, &root_device)?;
        let created = Moment::now();
        let id = ResourceKind::Image.new_id();
        let image = Image {
            id: id.clone(),
            name,
            description,
            owner_id: ACCOUNT.to_owned(),
            owner_alias: None,
            architecture,
            created,
            available: created.plus(call.cloud.latency.image),
            root: root.map_or(ImageRoot::Unknown, ImageRoot::Baked),
            root_device,
            block_devices,
            boot_mode,
            tpm_support,
            imds_support,
            uefi_data,
            ena_support,
            sriov_support: sriov.is_some(),
            login_users: crate::catalogue::custom_users(),
            launch_permission: BTreeSet::new(),
            deprecated: None,
            deregistration_protection: false,
            source_instance_id: None,
            source_image_id: None,
            source_image_region: None,
        };
        region.tag(&id, &tags);
        region.images.insert(id.clone(), image);
        Ok(id)
    })?;
    Ok(Element::body().text("imageId", id))
}

/// The data that an image starts from: what the snapshot of its root device keeps, if it is one of a root device.
fn root_of_snapshot(region: &Region, devices: &[BlockDevice], root_device: &str) -> Result<Option<RootId>, ApiError> {
    let device = devices.iter().find(|device| device.device == root_device);
    let snapshot_id = device.and_then(|device| device.ebs.as_ref()?.snapshot_id.as_ref());
    let Some(snapshot_id) = snapshot_id else {
        return Err(ApiError::new(
            "InvalidBlockDeviceMapping",
            format!("Snapshot for the root device '{root_device}' must be specified"),
        ));
    };
    Ok(region.snapshot(snapshot_id)?.root.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_in_ec2() {
        for name in ["abc", "web-server 2026.11.21 (a/b) [c] 'd' @e_f", &"x".repeat(128)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["ab", "web:server", "näme", "a*c", &"x".repeat(129)] {
            assert_eq!(check_name(name).unwrap_err().code, "InvalidAMIName.Malformed", "{name}");
        }
    }
}
