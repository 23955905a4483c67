//! The snapshots that an AMI is registered from: one of each volume of the instance that the AMI has.

use std::collections::BTreeMap;

use bakelite_aws::tag::Tags;
use bakelite_engine::bake::{BakeError, Handle};
use futures::future::try_join_all;

use crate::cloud::Cloud;
use crate::image::snapshot;
use crate::run::volumes::{VolumeError, attached_to};

/// The snapshots of an instance's volumes.
#[derive(Default)]
pub(crate) struct Snapshots {
    /// By the device of the volume.
    pub(crate) ids: BTreeMap<String, String>,
    pub(crate) handles: Vec<Handle>,
    /// All of them are encrypted.
    pub(crate) are_encrypted: bool,
}

/// Takes snapshots of the volumes at these devices, all at once, and waits until they are complete.
pub(crate) async fn take(
    cloud: &Cloud<'_>,
    instance: &str,
    devices: &[String],
    description: &str,
    tags: &Tags,
) -> Result<Snapshots, BakeError> {
    let volumes = attached_to(cloud.ec2(), instance).await?;
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
