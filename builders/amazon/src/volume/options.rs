//! Every option of an amazon-ebsvolume source.

use bakelite_aws::access::AccessOptions;
use bakelite_aws::tag::Tags;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::block_device::BlockDevice;
use crate::run::options::RunOptions;
use crate::run::volumes::VolumeOptions;
use crate::tags::{KeyValue, VolumeTag};

/// The options of an amazon-ebsvolume source.
#[derive(Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct Options {
    /// How AWS is reached.
    #[serde(flatten)]
    pub access: AccessOptions,
    /// How the instance is launched and reached.
    #[serde(flatten)]
    pub run: RunOptions,
    /// Tags of the instance's volumes while they are filled.
    #[schemars(extend("x-late" = true))]
    #[serde(default)]
    pub run_volume_tags: Tags,
    /// One tag of the instance's volumes; may be repeated.
    #[serde(default)]
    pub run_volume_tag: Vec<KeyValue>,
    /// The volumes to make. Those without `delete_on_termination` stay.
    #[serde(default)]
    pub ebs_volumes: Vec<EbsVolume>,
}

/// A volume to make.
#[derive(Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct EbsVolume {
    /// The device that it is of the instance.
    #[serde(flatten)]
    pub device: BlockDevice,
    /// Its tags; `{{ .SourceAMI }}` and the like are rendered.
    #[schemars(extend("x-late" = true))]
    #[serde(default)]
    pub tags: Tags,
    /// One tag of it; may be repeated.
    #[serde(default)]
    pub tag: Vec<KeyValue>,
    /// Take a snapshot of it.
    #[serde(default)]
    pub snapshot_volume: bool,
    /// The snapshot's description; default: `bakelite: ` and the device's name.
    pub snapshot_description: Option<String>,
    /// The snapshot's tags; `{{ .SourceAMI }}` and the like are rendered.
    #[schemars(extend("x-late" = true))]
    #[serde(default)]
    pub snapshot_tags: Tags,
    /// One tag of the snapshot; may be repeated.
    #[serde(default)]
    pub snapshot_tag: Vec<KeyValue>,
    /// Accounts that may use the snapshot.
    #[serde(default)]
    pub snapshot_users: Vec<String>,
    /// Groups that may use the snapshot: `all` makes it public.
    #[serde(default)]
    pub snapshot_groups: Vec<String>,
}

impl Options {
    /// The volumes of the instance, as every launch has them.
    pub(crate) fn volumes(&self) -> VolumeOptions {
        let of_launch = |tag: &KeyValue| VolumeTag {
            name: tag.key.clone(),
            value: tag.value.clone(),
        };
        VolumeOptions {
            launch_block_device_mappings: self.ebs_volumes.iter().map(|volume| volume.device.clone()).collect(),
            no_ephemeral: false,
            run_volume_tags: self.run_volume_tags.clone(),
            run_volume_tag: self.run_volume_tag.iter().map(of_launch).collect(),
        }
    }
}
