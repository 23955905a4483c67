//! The volumes of the instance: their options.

use aws_sdk_ec2::types::BlockDeviceMapping;
use bakelite_aws::tag::Tags;
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
