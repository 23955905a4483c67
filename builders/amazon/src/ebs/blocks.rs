//! The nested blocks of an amazon-ebs source.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// How an AMI is found.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AmiFilter {
    /// Filters of `DescribeImages`, by name; `*` and `?` match any text and any character.
    pub filters: BTreeMap<String, String>,
    /// Accounts (or `self`, `amazon`, `aws-marketplace`) that may own it. Required.
    pub owners: Vec<String>,
    /// Of several, take the one that was made last; else several are an error.
    pub most_recent: Option<bool>,
    /// Deprecated AMIs count too.
    pub include_deprecated: Option<bool>,
}

/// How a VPC or security groups are found.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NetworkFilter {
    /// Filters of the Describe operation, by name.
    pub filters: BTreeMap<String, String>,
    /// One more filter; may be repeated.
    pub filter: Vec<NameValue>,
}

/// How a subnet is found.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SubnetFilter {
    /// Filters of `DescribeSubnets`, by name.
    pub filters: BTreeMap<String, String>,
    /// One more filter; may be repeated.
    pub filter: Vec<NameValue>,
    /// Of several, take the one with the most free addresses.
    pub most_free: Option<bool>,
    /// Of several, take any.
    pub random: Option<bool>,
}

/// A tag.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KeyValue {
    /// The tag's key.
    #[schemars(extend("x-late" = true))]
    pub key: String,
    /// The tag's value.
    #[schemars(extend("x-late" = true))]
    pub value: String,
}

/// A tag of a volume.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VolumeTag {
    /// The tag's key.
    #[schemars(extend("x-late" = true))]
    pub name: String,
    /// The tag's value.
    #[schemars(extend("x-late" = true))]
    pub value: String,
}

/// A filter of a Describe operation.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NameValue {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A block device of an instance or an AMI.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BlockDevice {
    /// The volume goes with the instance. A volume of the bake's own instance goes in any case; this is what the AMI says.
    pub delete_on_termination: Option<bool>,
    /// The device's name: `/dev/sda1`. Required.
    pub device_name: Option<String>,
    /// Encrypt the volume.
    pub encrypted: Option<bool>,
    /// The volume's I/O operations per second, for `io1`, `io2` and `gp3`.
    pub iops: Option<i32>,
    /// Do not map this device.
    pub no_device: Option<bool>,
    /// The snapshot that the volume is made of.
    pub snapshot_id: Option<String>,
    /// The volume's throughput in MiB/s, for `gp3`.
    pub throughput: Option<i32>,
    /// The instance-store volume: `ephemeral0`.
    pub virtual_name: Option<String>,
    /// The volume's type: `gp2`, `gp3`, `io1`, `io2`, `st1`, `sc1`, `standard`.
    pub volume_type: Option<String>,
    /// The volume's size in GiB.
    pub volume_size: Option<i32>,
    /// The KMS key that the volume is encrypted with.
    pub kms_key_id: Option<String>,
}

/// The instance's metadata service.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MetadataOptions {
    /// `enabled` or `disabled`.
    pub http_endpoint: Option<String>,
    /// `required` or `optional`: session tokens.
    pub http_tokens: Option<String>,
    /// How many network hops an answer may travel: 1 to 64.
    pub http_put_response_hop_limit: Option<i32>,
    /// `enabled` or `disabled`: tags among the metadata.
    pub instance_metadata_tags: Option<String>,
}

/// Where the instance is placed.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Placement {
    /// The host resource group's ARN.
    pub host_resource_group_arn: Option<String>,
    /// The dedicated host's id.
    pub host_id: Option<String>,
    /// `default`, `dedicated` or `host`.
    pub tenancy: Option<String>,
}

/// A license of the instance.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LicenseSpecification {
    /// The license.
    pub license_configuration_request: Option<LicenseConfigurationRequest>,
}

/// A license configuration.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LicenseConfigurationRequest {
    /// Its ARN.
    pub license_configuration_arn: Option<String>,
}

/// Protection of an AMI from being deregistered.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DeregistrationProtection {
    /// It is protected.
    pub enabled: Option<bool>,
    /// … and for 24 hours after the protection was taken away.
    pub with_cooldown: Option<bool>,
}

/// A policy of a temporary instance profile.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[expect(non_snake_case, reason = "IAM's names")]
pub struct PolicyDocument {
    /// The version of the policy language.
    pub Version: Option<String>,
    /// What it allows or denies; may be repeated.
    pub Statement: Vec<Statement>,
}

/// One statement of a policy.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[expect(non_snake_case, reason = "IAM's names")]
pub struct Statement {
    /// `Allow` or `Deny`.
    pub Effect: Option<String>,
    /// Actions.
    pub Action: Vec<String>,
    /// Resources.
    pub Resource: Vec<String>,
}

/// Fast launching of Windows AMIs.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FastLaunch {
    /// It is wanted.
    #[expect(clippy::struct_field_names, reason = "the option's name in templates")]
    pub enable_fast_launch: Option<bool>,
    /// The launch template's id.
    pub template_id: Option<String>,
    /// The launch template's name.
    pub template_name: Option<String>,
    /// The launch template's version.
    pub template_version: Option<u32>,
    /// The launch template of each region.
    pub region_launch_templates: Vec<FastLaunchTemplate>,
    /// How many instances make snapshots at the same time.
    pub max_parallel_launches: Option<u32>,
    /// How many snapshots are kept ready.
    pub target_resource_count: Option<u32>,
}

/// The launch template for fast launching in a region.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FastLaunchTemplate {
    /// It is wanted in this region.
    pub enable_fast_launch: Option<bool>,
    /// The region.
    pub region: Option<String>,
    /// The launch template's id.
    pub template_id: Option<String>,
    /// The launch template's name.
    pub template_name: Option<String>,
    /// The launch template's version.
    pub template_version: Option<u32>,
}
