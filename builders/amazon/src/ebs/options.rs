//! Every option of an amazon-ebs source: the one declaration that decoding, validation and the reference read. Those that are not
//! supported yet carry `x-unsupported`, with the values that ask for nothing in `x-harmless`.

use bakelite_aws::access::AccessOptions;
use bakelite_aws::tag::Tags;
use bakelite_communicators::options::{CommunicatorOptions, Kind};
use bakelite_template::duration::GoDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use super::blocks::{
    DeregistrationProtection, FastLaunch, LicenseSpecification, MetadataOptions, Placement, PolicyDocument, Tenancy,
};
use crate::block_device::BlockDevice;
use crate::network::NetworkOptions;
use crate::security_group::SecurityGroupOptions;
use crate::source_ami::{SourceAmiOptions, VirtualizationType};
use crate::tags::{KeyValue, VolumeTag};

/// The options of an amazon-ebs source.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the template")]
#[expect(dead_code, reason = "some options are refused, others accepted without effect")]
pub(crate) struct Options {
    /// How AWS is reached.
    #[serde(flatten)]
    pub access: AccessOptions,
    /// How the instance is reached.
    #[serde(flatten)]
    pub communicator: CommunicatorOptions,
    /// What the instance is launched from.
    #[serde(flatten)]
    pub source: SourceAmiOptions,
    /// Where the instance is launched.
    #[serde(flatten)]
    pub network: NetworkOptions,
    /// Who may connect to the instance.
    #[serde(flatten)]
    pub security_groups: SecurityGroupOptions,

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
    /// Regions that the AMI is copied to. Not supported yet, but the build's own region is accepted.
    #[serde(default)]
    pub ami_regions: Vec<String>,
    /// Accepted for templates that have it: regions are not checked before they are used.
    #[serde(default)]
    pub skip_region_validation: bool,
    /// How long a snapshot copy may take.
    #[schemars(extend("x-unsupported" = "not supported yet"))]
    pub snapshot_copy_duration_minutes: Option<u32>,
    /// Tags of the AMI and its snapshots; `{{ .SourceAMI }}` and the like are rendered.
    #[schemars(extend("x-late" = true))]
    #[serde(default)]
    pub tags: Tags,
    /// One tag of the AMI and its snapshots; may be repeated.
    #[serde(default)]
    pub tag: Vec<KeyValue>,
    /// Set the AMI's enhanced networking (ENA) attribute.
    pub ena_support: Option<bool>,
    /// Set the AMI's enhanced networking (Intel 82599 VF) attribute.
    #[serde(default)]
    pub sriov_support: bool,
    /// Deregister an AMI of the same name before the new one is made.
    #[serde(default)]
    pub force_deregister: bool,
    /// Delete the snapshots of the AMI that `force_deregister` deregisters.
    #[serde(default)]
    pub force_delete_snapshot: bool,
    /// Encrypt the AMI's snapshots; default: as the instance's volumes are.
    #[schemars(extend("x-unsupported" = "encryption of the AMI, with `kms_key_id` or `region_kms_key_ids`, is not supported yet; `encrypted = true` of `launch_block_device_mappings` encrypts the instance's volumes, and with them the AMI", "x-harmless" = [false]))]
    pub encrypt_boot: Option<bool>,
    /// The KMS key for `encrypt_boot`: its id, ARN or alias.
    #[schemars(extend("x-unsupported" = "`encrypt_boot` is not supported yet; block devices have a `kms_key_id` of their own"))]
    pub kms_key_id: Option<String>,
    /// The KMS key of each region that the AMI is copied to.
    #[schemars(extend("x-unsupported" = "`encrypt_boot` and copies to other regions (`ami_regions`) are not supported yet", "x-harmless" = [{}]))]
    #[serde(default)]
    pub region_kms_key_ids: Tags,
    /// Do not keep the AMI of the build region, only the copies.
    #[schemars(extend("x-unsupported" = "copies to other regions (`ami_regions`) are not supported yet", "x-harmless" = [false]))]
    #[serde(default)]
    pub skip_save_build_region: bool,
    /// What instances of the AMI require for instance metadata; default: as the source AMI.
    pub imds_support: Option<ImdsSupport>,
    /// When the AMI counts as deprecated (RFC 3339).
    #[schemars(extend("x-unsupported" = "not supported yet"))]
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
    #[schemars(extend("x-unsupported" = "not supported yet"))]
    pub deregistration_protection: Option<DeregistrationProtection>,
    /// Do not make an AMI: the bake ends after provisioning.
    #[serde(default)]
    pub skip_create_ami: bool,
    /// The AMI does not get the instance's `run_tags` while it is made.
    #[serde(default)]
    pub skip_ami_run_tags: bool,
    /// Block devices of the AMI.
    #[serde(default)]
    pub ami_block_device_mappings: Vec<BlockDevice>,
    /// Block devices of the instance.
    #[serde(default)]
    pub launch_block_device_mappings: Vec<BlockDevice>,
    /// Keep the instance-store volumes of Windows AMIs from being mapped.
    #[serde(default)]
    pub no_ephemeral: bool,
    /// Fast launching of Windows AMIs.
    #[schemars(extend("x-unsupported" = "not supported yet"))]
    pub fast_launch: Option<FastLaunch>,

    /// The instance's type: `t3.micro`.
    pub instance_type: String,
    /// The duration of a spot block.
    #[schemars(extend("x-unsupported" = "not supported by EC2 any more"))]
    pub block_duration_minutes: Option<u32>,
    /// Whether the instance may run in a capacity reservation.
    pub capacity_reservation_preference: Option<CapacityReservationPreference>,
    /// The capacity reservation to run in.
    pub capacity_reservation_id: Option<String>,
    /// The group (ARN) of capacity reservations to run in.
    pub capacity_reservation_group_arn: Option<String>,
    /// The template's last provisioner stops the instance (sysprep does): only wait for that.
    #[serde(default)]
    pub disable_stop_instance: bool,
    /// Launch an EBS-optimized instance.
    #[serde(default)]
    pub ebs_optimized: bool,
    /// Enable Nitro enclaves on the instance.
    #[serde(default)]
    pub enable_nitro_enclave: bool,
    /// The former name of `enable_unlimited_credits`.
    #[serde(default)]
    pub enable_t2_unlimited: bool,
    /// Let a T instance use more CPU than its credits allow, at extra cost.
    #[serde(default)]
    pub enable_unlimited_credits: bool,
    /// The instance profile's name.
    pub iam_instance_profile: Option<String>,
    /// Accepted for templates that have it: the profile is not checked before the launch.
    #[serde(default)]
    pub skip_profile_validation: bool,
    /// Make a temporary instance profile with this policy.
    #[schemars(extend("x-unsupported" = "not supported yet"))]
    pub temporary_iam_instance_profile_policy_document: Option<PolicyDocument>,
    /// What a shutdown from within does to the instance.
    #[serde(default)]
    pub shutdown_behavior: ShutdownBehavior,
    /// Tags of the instance and of everything temporary beside it; `{{ .SourceAMI }}` and the like are rendered.
    #[schemars(extend("x-late" = true))]
    #[serde(default)]
    pub run_tags: Tags,
    /// One tag of the instance; may be repeated.
    #[serde(default)]
    pub run_tag: Vec<KeyValue>,
    /// Tags of the instance's volumes.
    #[schemars(extend("x-late" = true))]
    #[serde(default)]
    pub run_volume_tags: Tags,
    /// One tag of the instance's volumes; may be repeated.
    #[serde(default)]
    pub run_volume_tag: Vec<VolumeTag>,
    /// Tags of the fleet that a spot instance is requested by.
    #[schemars(extend("x-late" = true, "x-unsupported" = "spot instances are not supported yet"))]
    #[serde(default)]
    pub fleet_tags: Tags,
    /// One tag of the fleet; may be repeated.
    #[schemars(extend("x-unsupported" = "spot instances are not supported yet"))]
    #[serde(default)]
    pub fleet_tag: Vec<KeyValue>,
    /// Which spot capacity is taken.
    #[schemars(extend("x-unsupported" = "spot instances are not supported yet"))]
    pub spot_allocation_strategy: Option<String>,
    /// Instance types of which a spot instance may be.
    #[schemars(extend("x-unsupported" = "spot instances are not supported yet"))]
    #[serde(default)]
    pub spot_instance_types: Vec<String>,
    /// The most to pay for a spot instance per hour; `0`: no spot instance.
    #[schemars(extend("x-unsupported" = "spot instances (for which `ena_support` and `sriov_support` cannot be set) are not supported yet", "x-harmless" = ["0"]))]
    pub spot_price: Option<String>,
    /// The product whose spot price `auto` follows.
    #[schemars(extend("x-unsupported" = "spot instances are not supported yet"))]
    pub spot_price_auto_product: Option<String>,
    /// Tags of the spot request.
    #[schemars(extend("x-late" = true, "x-unsupported" = "spot instances are not supported yet"))]
    #[serde(default)]
    pub spot_tags: Tags,
    /// One tag of the spot request; may be repeated.
    #[schemars(extend("x-unsupported" = "spot instances are not supported yet"))]
    #[serde(default)]
    pub spot_tag: Vec<KeyValue>,
    /// License configurations of the instance.
    #[serde(default)]
    pub license_specifications: Vec<LicenseSpecification>,
    /// Where the instance is placed.
    pub placement: Option<Placement>,
    /// Which hardware the instance shares with others.
    pub tenancy: Option<Tenancy>,
    /// Data for the instance's first boot (cloud-init).
    pub user_data: Option<String>,
    /// The file with the data for the instance's first boot.
    pub user_data_file: Option<String>,
    /// How long to wait until EC2 has the password of a Windows instance, which is requested when `winrm_password` is not given;
    /// default 20m.
    pub windows_password_timeout: Option<GoDuration>,
    /// The instance's metadata service.
    #[expect(clippy::struct_field_names, reason = "the option's name in templates")]
    pub metadata_options: Option<MetadataOptions>,

    /// Which address of the instance is connected to; default: the public one, or the private one where there is none.
    pub ssh_interface: Option<SshInterface>,
    /// How long to wait before a Session Manager session is started.
    pub pause_before_ssm: Option<GoDuration>,
    /// Accepted for templates that have it: SSH goes through the session without a local port.
    pub session_manager_port: Option<u16>,
}

/// What instances of an AMI require for instance metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum ImdsSupport {
    /// Session tokens (IMDSv2).
    #[serde(rename = "v2.0")]
    V2,
}

/// Whether an instance may run in a capacity reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CapacityReservationPreference {
    /// In any open reservation that matches.
    Open,
    /// In none.
    None,
}

/// What a shutdown from within does to the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ShutdownBehavior {
    /// It is stopped.
    #[default]
    Stop,
    /// It is terminated.
    Terminate,
}

/// An address of the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SshInterface {
    /// The public IPv4 address.
    PublicIp,
    /// The private IPv4 address.
    PrivateIp,
    /// The public DNS name.
    PublicDns,
    /// The private DNS name.
    PrivateDns,
    /// The IPv6 address.
    Ipv6,
    /// A session of Session Manager.
    SessionManager,
}

impl Options {
    /// Whether the instance is reached through Session Manager.
    pub(crate) fn by_session_manager(&self) -> bool {
        self.ssh_interface == Some(SshInterface::SessionManager) && self.communicator.kind() == Some(Kind::Ssh)
    }

    /// Whether the instance may use more CPU than its credits allow.
    pub(crate) fn has_unlimited_credits(&self) -> bool {
        self.enable_unlimited_credits || self.enable_t2_unlimited
    }

    /// The port of the instance that the communicator connects to, where it does so directly.
    pub(crate) fn open_port(&self) -> Option<u16> {
        let direct = self.communicator.kind() != Some(Kind::None) && !self.by_session_manager();
        direct.then(|| self.communicator.port())
    }
}

#[cfg(test)]
mod tests {
    use bakelite_template::schema::{Field, FieldKind, Schema};

    use super::*;

    fn lines(fields: &[Field], indent: &str, lines: &mut Vec<String>) {
        for field in fields {
            let (kind, nested) = match &field.kind {
                FieldKind::Attribute(kind) => (format!("{kind}"), None),
                FieldKind::Block(schema) => ("block".into(), Some(schema)),
                FieldKind::Blocks(schema) => ("blocks".into(), Some(schema)),
            };
            let late = if field.late { " late" } else { "" };
            let sensitive = if field.sensitive { " sensitive" } else { "" };
            let unsupported = field
                .unsupported
                .as_ref()
                .map(|reason| format!(" [{reason}]"))
                .unwrap_or_default();
            lines.push(format!("{indent}{}: {kind}{late}{sensitive}{unsupported}", field.name));
            assert!(!field.doc.is_empty(), "{} has no doc", field.name);
            if let Some(schema) = nested {
                self::lines(&schema.fields, &format!("{indent}  "), lines);
            }
        }
    }

    #[test]
    fn the_options_are_these() {
        let mut shown = Vec::new();
        lines(&Schema::of::<Options>().fields, "", &mut shown);
        insta::assert_snapshot!(shown.join("\n"));
    }
}
