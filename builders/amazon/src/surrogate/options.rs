//! Every option of an amazon-ebssurrogate source.

use aws_sdk_ec2::types::{ArchitectureValues, BootModeValues, TpmSupportValues};
use bakelite_aws::access::AccessOptions;
use bakelite_aws::tag::Tags;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::block_device::BlockDevice;
use crate::image::options::ImageOptions;
use crate::run::options::RunOptions;
use crate::run::volumes::VolumeOptions;
use crate::tags::VolumeTag;

/// The options of an amazon-ebssurrogate source.
#[derive(Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct Options {
    /// How AWS is reached.
    #[serde(flatten)]
    pub access: AccessOptions,
    /// How the instance is launched and reached.
    #[serde(flatten)]
    pub run: RunOptions,
    /// The AMI.
    #[serde(flatten)]
    pub image: ImageOptions,
    /// Tags of the instance's volumes.
    #[schemars(extend("x-late" = true))]
    #[serde(default)]
    pub run_volume_tags: Tags,
    /// One tag of the instance's volumes; may be repeated.
    #[serde(default)]
    pub run_volume_tag: Vec<VolumeTag>,
    /// Block devices of the instance; among them the one that becomes the AMI's root volume.
    #[serde(default)]
    pub launch_block_device_mappings: Vec<LaunchDevice>,
    /// The AMI's root volume.
    pub ami_root_device: Option<RootDevice>,
    /// The AMI's architecture; default: `x86_64`.
    pub ami_architecture: Option<Architecture>,
    /// How instances of the AMI boot; default: as EC2 has it for the architecture and the instance type.
    pub boot_mode: Option<BootMode>,
    /// The AMI's UEFI variable store, in base64.
    pub uefi_data: Option<String>,
    /// Give instances of the AMI a TPM (`v2.0`).
    pub tpm_support: Option<TpmSupport>,
    /// The description of the snapshots that the AMI is registered from; default: `bakelite: ` and the AMI's name.
    pub snapshot_description: Option<String>,
    /// Exchange the volumes of the stopped instance and make an image of it, instead of registering the AMI from snapshots. It keeps what
    /// EC2 knows of the source AMI: product codes, licenses.
    #[serde(default)]
    pub use_create_image: bool,
}

/// A block device of the instance.
#[derive(Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct LaunchDevice {
    /// The device.
    #[serde(flatten)]
    pub device: BlockDevice,
    /// The AMI does not have it.
    #[serde(default)]
    pub omit_from_artifact: bool,
}

/// The AMI's root volume.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct RootDevice {
    /// The device of `launch_block_device_mappings` that it is made of.
    pub source_device_name: Option<String>,
    /// Its name in the AMI: `/dev/xvda`.
    pub device_name: Option<String>,
    /// Delete it with the instance.
    pub delete_on_termination: bool,
    /// Its type; default: that of the source device.
    pub volume_type: Option<String>,
    /// Its size in GiB; default: that of the source device.
    pub volume_size: Option<i32>,
    /// Its I/O operations per second; default: those of the source device.
    pub iops: Option<i32>,
}

/// The architecture of an AMI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Architecture {
    /// 64-bit Arm.
    Arm64,
    /// Apple silicon.
    Arm64Mac,
    /// 32-bit x86.
    I386,
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86,
    /// Intel Macs.
    #[serde(rename = "x86_64_mac")]
    X86Mac,
}

/// How instances of an AMI boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BootMode {
    /// UEFI.
    Uefi,
    /// BIOS.
    LegacyBios,
    /// UEFI where the instance type has it, else BIOS.
    UefiPreferred,
}

/// The TPM of instances of an AMI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum TpmSupport {
    /// TPM 2.0.
    #[serde(rename = "v2.0")]
    V2,
}

impl Options {
    /// The volumes of the instance, as every launch has them.
    pub(crate) fn volumes(&self) -> VolumeOptions {
        VolumeOptions {
            launch_block_device_mappings: self
                .launch_block_device_mappings
                .iter()
                .map(|launch| launch.device.clone())
                .collect(),
            no_ephemeral: false,
            run_volume_tags: self.run_volume_tags.clone(),
            run_volume_tag: self.run_volume_tag.clone(),
        }
    }

    /// The device that becomes the root volume, and its name in the AMI.
    pub(crate) fn root(&self) -> (&str, &str) {
        let Some(root) = &self.ami_root_device else {
            return ("", "");
        };
        (
            root.source_device_name.as_deref().unwrap_or_default(),
            root.device_name.as_deref().unwrap_or_default(),
        )
    }

    /// The devices of the instance that the AMI has.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &BlockDevice> {
        let kept = self
            .launch_block_device_mappings
            .iter()
            .filter(|launch| !launch.omit_from_artifact);
        kept.map(|launch| &launch.device)
    }
}

impl From<Architecture> for ArchitectureValues {
    fn from(architecture: Architecture) -> Self {
        match architecture {
            Architecture::Arm64 => ArchitectureValues::Arm64,
            Architecture::Arm64Mac => ArchitectureValues::Arm64Mac,
            Architecture::I386 => ArchitectureValues::I386,
            Architecture::X86 => ArchitectureValues::X8664,
            Architecture::X86Mac => ArchitectureValues::X8664Mac,
        }
    }
}

impl From<BootMode> for BootModeValues {
    fn from(mode: BootMode) -> Self {
        match mode {
            BootMode::Uefi => BootModeValues::Uefi,
            BootMode::LegacyBios => BootModeValues::LegacyBios,
            BootMode::UefiPreferred => BootModeValues::UefiPreferred,
        }
    }
}

impl From<TpmSupport> for TpmSupportValues {
    fn from(TpmSupport::V2: TpmSupport) -> Self {
        TpmSupportValues::V20
    }
}
