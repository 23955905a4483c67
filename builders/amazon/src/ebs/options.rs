//! Every option of an amazon-ebs source: the one declaration that decoding, validation and the reference read. Those that bakelite
//! does not do yet say so in `x-unsupported`, or in `check.rs` where only some of their values ask for something.

use bakelite_aws::access::AccessOptions;
use bakelite_aws::tag::Tags;
use bakelite_communicators::options::{CommunicatorOptions, Kind};
use bakelite_template::duration::GoDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use super::blocks::{
    AmiFilter, BlockDevice, DeregistrationProtection, FastLaunch, KeyValue, LicenseSpecification, MetadataOptions,
    NetworkFilter, Placement, PolicyDocument, SubnetFilter, VolumeTag,
};

/// The options of an amazon-ebs source.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// How AWS is reached.
    #[serde(flatten)]
    pub access: AccessOptions,
    /// How the instance is reached.
    #[serde(flatten)]
    pub communicator: CommunicatorOptions,

    /// The AMI's name, unique within account and region: 3 to 128 letters, digits, spaces and `()[]./-'@_`.
    pub ami_name: Option<String>,
    /// The AMI's description. `{{ .SourceAMI }}`, `{{ .BuildRegion }}` and the like are rendered when the source AMI is known.
    #[schemars(extend("x-late" = true))]
    pub ami_description: Option<String>,
    /// The virtualization type that the source AMI must have: `hvm` or `paravirtual`. An AMI always gets that of its instance.
    pub ami_virtualization_type: Option<String>,
    /// Accounts that may launch the AMI.
    pub ami_users: Vec<String>,
    /// Groups that may launch the AMI: `all` makes it public.
    pub ami_groups: Vec<String>,
    /// Organizations (ARNs) that may launch the AMI.
    pub ami_org_arns: Vec<String>,
    /// Organizational units (ARNs) that may launch the AMI.
    pub ami_ou_arns: Vec<String>,
    /// Product codes of the AMI.
    pub ami_product_codes: Vec<String>,
    /// Regions that the AMI is copied to.
    pub ami_regions: Vec<String>,
    /// Accepted for templates that have it: regions are not checked before they are used.
    pub skip_region_validation: Option<bool>,
    /// How long a snapshot copy may take.
    #[schemars(extend("x-unsupported" = "not supported yet"))]
    pub snapshot_copy_duration_minutes: Option<u32>,
    /// Tags of the AMI and its snapshots; `{{ .SourceAMI }}` and the like are rendered.
    #[schemars(extend("x-late" = true))]
    pub tags: Tags,
    /// One tag of the AMI and its snapshots; may be repeated.
    pub tag: Vec<KeyValue>,
    /// Set the AMI's enhanced networking (ENA) attribute.
    pub ena_support: Option<bool>,
    /// Set the AMI's enhanced networking (Intel 82599 VF) attribute.
    pub sriov_support: Option<bool>,
    /// Deregister an AMI of the same name before the new one is made.
    pub force_deregister: Option<bool>,
    /// Delete the snapshots of the AMI that `force_deregister` deregisters.
    pub force_delete_snapshot: Option<bool>,
    /// Encrypt the AMI's snapshots.
    pub encrypt_boot: Option<bool>,
    /// The KMS key for `encrypt_boot`: its id, ARN or alias.
    pub kms_key_id: Option<String>,
    /// The KMS key of each region that the AMI is copied to.
    pub region_kms_key_ids: Tags,
    /// Do not keep the AMI of the build region, only the copies.
    pub skip_save_build_region: Option<bool>,
    /// `v2.0`: instances of the AMI require session tokens for instance metadata.
    pub imds_support: Option<String>,
    /// When the AMI counts as deprecated (RFC 3339).
    #[schemars(extend("x-unsupported" = "not supported yet"))]
    pub deprecate_at: Option<String>,
    /// Tags of the snapshots, on top of `tags`.
    #[schemars(extend("x-late" = true))]
    pub snapshot_tags: Tags,
    /// One tag of the snapshots; may be repeated.
    pub snapshot_tag: Vec<KeyValue>,
    /// Accounts that may use the snapshots.
    pub snapshot_users: Vec<String>,
    /// Groups that may use the snapshots: `all` makes them public.
    pub snapshot_groups: Vec<String>,
    /// Protect the AMI from being deregistered.
    #[schemars(extend("x-unsupported" = "not supported yet"))]
    pub deregistration_protection: Option<DeregistrationProtection>,
    /// Do not make an AMI: the bake ends after provisioning.
    pub skip_create_ami: Option<bool>,
    /// The AMI does not get the instance's `run_tags` while it is made.
    pub skip_ami_run_tags: Option<bool>,
    /// Block devices of the AMI.
    pub ami_block_device_mappings: Vec<BlockDevice>,
    /// Block devices of the instance.
    pub launch_block_device_mappings: Vec<BlockDevice>,
    /// Keep the instance-store volumes of Windows AMIs from being mapped.
    pub no_ephemeral: Option<bool>,
    /// Fast launching of Windows AMIs.
    #[schemars(extend("x-unsupported" = "not supported yet"))]
    pub fast_launch: Option<FastLaunch>,

    /// The source AMI's id.
    pub source_ami: Option<String>,
    /// How the source AMI is found when its id is not given.
    pub source_ami_filter: Option<AmiFilter>,
    /// The instance's type: `t3.micro`.
    pub instance_type: Option<String>,
    /// Give the instance a public IP address, or none.
    pub associate_public_ip_address: Option<bool>,
    /// The zone that the instance runs in.
    pub availability_zone: Option<String>,
    /// The duration of a spot block.
    #[schemars(extend("x-unsupported" = "not supported by EC2 any more"))]
    pub block_duration_minutes: Option<u32>,
    /// `open` or `none`: may the instance run in a capacity reservation?
    pub capacity_reservation_preference: Option<String>,
    /// The capacity reservation to run in.
    pub capacity_reservation_id: Option<String>,
    /// The group (ARN) of capacity reservations to run in.
    pub capacity_reservation_group_arn: Option<String>,
    /// The template's last provisioner stops the instance (sysprep does): only wait for that.
    pub disable_stop_instance: Option<bool>,
    /// Launch an EBS-optimized instance.
    pub ebs_optimized: Option<bool>,
    /// Enable Nitro enclaves on the instance.
    pub enable_nitro_enclave: Option<bool>,
    /// The former name of `enable_unlimited_credits`.
    pub enable_t2_unlimited: Option<bool>,
    /// Let a T instance use more CPU than its credits allow, at extra cost.
    pub enable_unlimited_credits: Option<bool>,
    /// The instance profile's name.
    pub iam_instance_profile: Option<String>,
    /// Accepted for templates that have it: the profile is not checked before the launch.
    pub skip_profile_validation: Option<bool>,
    /// Make a temporary instance profile with this policy.
    #[schemars(extend("x-unsupported" = "not supported yet"))]
    pub temporary_iam_instance_profile_policy_document: Option<PolicyDocument>,
    /// What a shutdown from within does to the instance: `stop` (the default) or `terminate`.
    pub shutdown_behavior: Option<String>,
    /// The instance's existing security group.
    pub security_group_id: Option<String>,
    /// The instance's existing security groups.
    pub security_group_ids: Vec<String>,
    /// How the instance's existing security groups are found.
    pub security_group_filter: Option<NetworkFilter>,
    /// Tags of the instance and of everything temporary beside it; `{{ .SourceAMI }}` and the like are rendered.
    #[schemars(extend("x-late" = true))]
    pub run_tags: Tags,
    /// One tag of the instance; may be repeated.
    pub run_tag: Vec<KeyValue>,
    /// Tags of the instance's volumes.
    #[schemars(extend("x-late" = true))]
    pub run_volume_tags: Tags,
    /// One tag of the instance's volumes; may be repeated.
    pub run_volume_tag: Vec<VolumeTag>,
    /// Tags of the fleet that a spot instance is requested by.
    #[schemars(extend("x-late" = true, "x-unsupported" = "spot instances are not supported yet"))]
    pub fleet_tags: Tags,
    /// One tag of the fleet; may be repeated.
    #[schemars(extend("x-unsupported" = "spot instances are not supported yet"))]
    pub fleet_tag: Vec<KeyValue>,
    /// Which spot capacity is taken.
    #[schemars(extend("x-unsupported" = "spot instances are not supported yet"))]
    pub spot_allocation_strategy: Option<String>,
    /// Instance types of which a spot instance may be.
    #[schemars(extend("x-unsupported" = "spot instances are not supported yet"))]
    pub spot_instance_types: Vec<String>,
    /// The most to pay for a spot instance per hour; `0` or empty: no spot instance.
    pub spot_price: Option<String>,
    /// The product whose spot price `auto` follows.
    #[schemars(extend("x-unsupported" = "spot instances are not supported yet"))]
    pub spot_price_auto_product: Option<String>,
    /// Tags of the spot request.
    #[schemars(extend("x-late" = true, "x-unsupported" = "spot instances are not supported yet"))]
    pub spot_tags: Tags,
    /// One tag of the spot request; may be repeated.
    #[schemars(extend("x-unsupported" = "spot instances are not supported yet"))]
    pub spot_tag: Vec<KeyValue>,
    /// The subnet to launch in.
    pub subnet_id: Option<String>,
    /// How the subnet is found when its id is not given.
    pub subnet_filter: Option<SubnetFilter>,
    /// The VPC to launch in.
    pub vpc_id: Option<String>,
    /// How the VPC is found when its id is not given.
    pub vpc_filter: Option<NetworkFilter>,
    /// License configurations of the instance.
    pub license_specifications: Vec<LicenseSpecification>,
    /// Where the instance is placed.
    pub placement: Option<Placement>,
    /// `default`, `dedicated` or `host`.
    pub tenancy: Option<String>,
    /// Networks (CIDR) that the temporary security group lets in; default: all.
    pub temporary_security_group_source_cidrs: Vec<String>,
    /// Let only this machine's public address in.
    pub temporary_security_group_source_public_ip: Option<bool>,
    /// Data for the instance's first boot (cloud-init).
    pub user_data: Option<String>,
    /// The file with the data for the instance's first boot.
    pub user_data_file: Option<String>,
    /// How long to wait until EC2 has the password of a Windows instance, which is asked for when `winrm_password` is not given;
    /// default 20m.
    pub windows_password_timeout: Option<GoDuration>,
    /// The instance's metadata service.
    pub metadata_options: Option<MetadataOptions>,

    /// Which address of the instance is connected to: `public_ip`, `private_ip`, `public_dns`, `private_dns`, `ipv6`,
    /// `session_manager`; default: the public one, or the private one where there is none.
    pub ssh_interface: Option<String>,
    /// How long to wait before a Session Manager session is started.
    pub pause_before_ssm: Option<GoDuration>,
    /// Accepted for templates that have it: SSH goes through the session without a local port.
    pub session_manager_port: Option<u16>,
}

impl Options {
    /// The instance's type; checked to be given.
    pub(crate) fn instance_type(&self) -> &str {
        self.instance_type.as_deref().unwrap_or_default()
    }

    /// Is the instance reached through Session Manager?
    pub(crate) fn by_session_manager(&self) -> bool {
        self.ssh_interface.as_deref() == Some("session_manager") && self.communicator.kind() == Some(Kind::Ssh)
    }

    /// The AMI's name; checked to be given.
    pub(crate) fn ami_name(&self) -> &str {
        self.ami_name.as_deref().unwrap_or_default()
    }

    /// The existing security groups that are named by id.
    pub(crate) fn security_groups(&self) -> Vec<String> {
        self.security_group_id
            .iter()
            .filter(|id| !id.is_empty())
            .chain(&self.security_group_ids)
            .cloned()
            .collect()
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
