//! The options of an AMI and of what is done with it, shared by all builders that make one.

use bakelite_aws::tag::Tags;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::block_device::BlockDevice;
use crate::run::source_ami::VirtualizationType;
use crate::tags::KeyValue;

/// The options of an AMI.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the template")]
pub(crate) struct ImageOptions {
    /// The AMI's name, unique within account and region: 3 to 128 letters, digits, spaces and `()[]./-'@_`.
    pub ami_name: String,
    /// The AMI's description. `{{ .SourceAMI }}`, `{{ .BuildRegion }}` and the like are rendered when the source AMI is known.
    #[schemars(extend("x-late" = true))]
    pub ami_description: Option<String>,
    /// The virtualization type that the source AMI must have. An AMI always gets that of its instance.
    pub ami_virtualization_type: Option<VirtualizationType>,
    /// Accounts that may launch the AMI.
    #[serde(default)]
    pub ami_users: Vec<String>,
    /// Groups that may launch the AMI: `all` makes it public.
    #[serde(default)]
    pub ami_groups: Vec<String>,
    /// Organizations (ARNs) that may launch the AMI.
    #[serde(default)]
    pub ami_org_arns: Vec<String>,
    /// Organizational units (ARNs) that may launch the AMI.
    #[serde(default)]
    pub ami_ou_arns: Vec<String>,
    /// Product codes of the AMI.
    #[serde(default)]
    pub ami_product_codes: Vec<String>,
    /// Regions that the AMI is copied to; the build region among them means nothing.
    #[serde(default)]
    pub ami_regions: Vec<String>,
    /// Do not check whether the account has enabled the regions of `ami_regions`.
    #[serde(default)]
    pub skip_region_validation: bool,
    /// How many minutes the snapshots of each copy may take at most; EC2 charges for that. Default: as long as it takes.
    pub snapshot_copy_duration_minutes: Option<u32>,
    /// Tags of the AMI and its snapshots; `{{ .SourceAMI }}` and the like are rendered.
    #[schemars(extend("x-late" = true))]
    #[serde(default)]
    pub tags: Tags,
    /// One tag of the AMI and its snapshots; may be repeated.
    #[serde(default)]
    pub tag: Vec<KeyValue>,
    /// Deregister an AMI of the same name before the new one is made.
    #[serde(default)]
    pub force_deregister: bool,
    /// Delete the snapshots of the AMI that `force_deregister` deregisters.
    #[serde(default)]
    pub force_delete_snapshot: bool,
    /// Encrypt all of the AMI's snapshots: with `kms_key_id`, or the account's default key. `false` leaves copies as they are, which is
    /// also the default.
    pub encrypt_boot: Option<bool>,
    /// The KMS key for `encrypt_boot` in the build region: its id, ARN or alias.
    pub kms_key_id: Option<String>,
    /// The KMS key for `encrypt_boot` in each region that the AMI is copied to; an empty one is the account's default key.
    #[serde(default)]
    pub region_kms_key_ids: Tags,
    /// Do not keep the AMI of the build region, only the copies (`ami_regions`).
    #[serde(default)]
    pub skip_save_build_region: bool,
    /// What instances of the AMI require for instance metadata; default: as the source AMI.
    pub imds_support: Option<ImdsSupport>,
    /// When the AMI counts as deprecated (RFC 3339).
    pub deprecate_at: Option<String>,
    /// Tags of the snapshots, on top of `tags`.
    #[schemars(extend("x-late" = true))]
    #[serde(default)]
    pub snapshot_tags: Tags,
    /// One tag of the snapshots; may be repeated.
    #[serde(default)]
    pub snapshot_tag: Vec<KeyValue>,
    /// Accounts that may use the snapshots.
    #[serde(default)]
    pub snapshot_users: Vec<String>,
    /// Groups that may use the snapshots: `all` makes them public.
    #[serde(default)]
    pub snapshot_groups: Vec<String>,
    /// Protect the AMI from being deregistered.
    pub deregistration_protection: Option<DeregistrationProtection>,
    /// The AMI does not get the instance's `run_tags` while it is made.
    #[serde(default)]
    pub skip_ami_run_tags: bool,
    /// Make the AMI of a spot instance without rebooting it, so that it is as after a loss of power: `sync` or stop what writes before. An
    /// instance on demand is stopped in any case.
    #[serde(default)]
    pub no_reboot: bool,
    /// Block devices of the AMI.
    #[serde(default)]
    pub ami_block_device_mappings: Vec<BlockDevice>,
}

/// What instances of an AMI require for instance metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum ImdsSupport {
    /// Session tokens (IMDSv2).
    #[serde(rename = "v2.0")]
    V2,
}

/// Protection of an AMI from being deregistered.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct DeregistrationProtection {
    /// It is protected.
    pub enabled: bool,
    /// … and for 24 hours after the protection was taken away.
    pub with_cooldown: bool,
}

impl ImageOptions {
    /// Whether the AMI is protected, and then whether for 24 hours more than asked for.
    pub(crate) fn protection(&self) -> Option<bool> {
        let protection = self.deregistration_protection.as_ref()?;
        let with_cooldown = protection.with_cooldown;
        (protection.enabled || with_cooldown).then_some(with_cooldown)
    }
}
