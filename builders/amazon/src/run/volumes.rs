//! The volumes of the instance: their options, and those that it has.

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{BlockDeviceMapping, Instance};
use bakelite_aws::describe;
use bakelite_aws::tag::{self, Tags};
use bakelite_engine::bake::BakeError;
use bakelite_engine::error::Explain;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::block_device::{self, BlockDevice};
use crate::tags::VolumeTag;

/// The volumes that an instance is launched with.
#[derive(Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct VolumeOptions {
    /// Block devices of the instance.
    #[serde(default)]
    pub launch_block_device_mappings: Vec<BlockDevice>,
    /// Keep the instance-store volumes of Windows AMIs from being mapped.
    #[serde(default)]
    pub no_ephemeral: bool,
    /// Tags of the instance's volumes.
    #[schemars(extend("x-late" = true))]
    #[serde(default)]
    pub run_volume_tags: Tags,
    /// One tag of the instance's volumes; may be repeated.
    #[serde(default)]
    pub run_volume_tag: Vec<VolumeTag>,
}

impl VolumeOptions {
    /// The devices as a request has them.
    pub(crate) fn mappings(&self) -> Vec<BlockDeviceMapping> {
        let mut devices = block_device::mappings(&self.launch_block_device_mappings);
        if self.no_ephemeral {
            devices.extend(block_device::without_ephemeral());
        }
        devices
    }
}

/// A volume that should be there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error("instance `{instance}` has no volume at `{device}`")]
    Missing { instance: String, device: String },
    #[error("instance `{0}` cannot be described")]
    NoInstance(String),
}

impl Explain for VolumeError {}

/// The instance's volumes, by device.
pub(crate) async fn attached_to(ec2: &Client, instance: &str) -> Result<BTreeMap<String, String>, BakeError> {
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
