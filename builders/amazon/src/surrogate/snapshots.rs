//! The snapshots that an AMI is registered from: one of each volume of the instance that the AMI has.

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::Instance;
use bakelite_aws::describe;
use bakelite_aws::tag::{self, Tags};
use bakelite_engine::bake::{BakeError, Handle};
use bakelite_engine::error::Explain;
use futures::future::try_join_all;

use crate::cloud::Cloud;
use crate::image::snapshot;

/// A volume that should be there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error("instance `{instance}` has no volume at `{device}`")]
    Missing { instance: String, device: String },
    #[error("instance `{0}` cannot be described")]
    NoInstance(String),
}

impl Explain for VolumeError {}

/// The snapshots of an instance's volumes.
#[derive(Default)]
pub(crate) struct Snapshots {
    /// By the device of the volume.
    pub(crate) ids: BTreeMap<String, String>,
    pub(crate) handles: Vec<Handle>,
    /// All of them are encrypted.
    pub(crate) are_encrypted: bool,
}

/// The instance's volumes, by device.
pub(crate) async fn volumes(ec2: &Client, instance: &str) -> Result<BTreeMap<String, String>, BakeError> {
    let described = describe::instances(ec2, tag::filter("instance-id", instance)).await?;
    let Some(described) = described.first() else {
        return Err(VolumeError::NoInstance(instance.to_owned()).into());
    };
    Ok(attached(described))
}

fn attached(instance: &Instance) -> BTreeMap<String, String> {
    let mappings = instance.block_device_mappings().iter();
    let volumes = mappings.filter_map(|mapping| Some((mapping.device_name()?, mapping.ebs()?.volume_id()?)));
    volumes
        .map(|(device, volume)| (device.to_owned(), volume.to_owned()))
        .collect()
}

/// Takes snapshots of the volumes at these devices, all at once, and waits until they are complete.
pub(crate) async fn take(
    cloud: &Cloud<'_>,
    instance: &str,
    devices: &[String],
    description: &str,
    tags: &Tags,
) -> Result<Snapshots, BakeError> {
    let volumes = volumes(cloud.ec2(), instance).await?;
    let taken = devices.iter().map(|device| async {
        let volume = volumes.get(device).ok_or_else(|| VolumeError::Missing {
            instance: instance.to_owned(),
            device: device.clone(),
        })?;
        let made = snapshot::take(cloud, volume, description, tags).await?;
        Ok::<_, BakeError>((device.clone(), made))
    });
    let mut snapshots = Snapshots {
        are_encrypted: true,
        ..Snapshots::default()
    };
    for (device, (made, is_encrypted)) in try_join_all(taken).await? {
        snapshots.are_encrypted &= is_encrypted;
        snapshots.ids.insert(device, made.value);
        snapshots.handles.push(made.handle);
    }
    Ok(snapshots)
}
