//! The options of launching and reaching an instance, shared by all builders that do so.

use bakelite_aws::tag::Tags;
use bakelite_communicators::options::{CommunicatorOptions, Kind};
use bakelite_template::duration::GoDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use super::blocks::{LicenseSpecification, MetadataOptions, Placement, PolicyDocument, Tenancy};
use super::network::NetworkOptions;
use super::security_group::{Admitted, SecurityGroupOptions};
use super::source_ami::SourceAmiOptions;
use crate::tags::KeyValue;

/// The options of launching and reaching an instance.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the template")]
#[expect(dead_code, reason = "some options are refused, others accepted without effect")]
pub(crate) struct RunOptions {
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

    /// The instance's type: `t3.micro`. A spot instance may have one of several: `spot_instance_types`.
    pub instance_type: Option<String>,
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
    /// Do not look before the launch whether the profile of `iam_instance_profile` exists.
    #[serde(default)]
    pub skip_profile_validation: bool,
    /// Make a temporary instance profile with this policy.
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
    /// Tags of the fleet that a spot instance is requested by.
    #[schemars(extend("x-late" = true))]
    #[serde(default)]
    pub fleet_tags: Tags,
    /// One tag of the fleet; may be repeated.
    #[serde(default)]
    pub fleet_tag: Vec<KeyValue>,
    /// Which of several pools of spot capacity is taken; default: the cheapest.
    pub spot_allocation_strategy: Option<SpotAllocationStrategy>,
    /// Instance types that a spot instance may have, in place of `instance_type`.
    #[serde(default)]
    pub spot_instance_types: Vec<String>,
    /// Launch a spot instance, and pay at most this per hour; `auto`: the price on demand. `0` is no spot instance.
    pub spot_price: Option<String>,
    /// Accepted for templates that have it: `auto` needs no product any more.
    pub spot_price_auto_product: Option<String>,
    /// Tags of the spot request and of the launch template that it is made by.
    #[schemars(extend("x-late" = true))]
    #[serde(default)]
    pub spot_tags: Tags,
    /// One tag of the spot request; may be repeated.
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
    pub metadata_options: Option<MetadataOptions>,

    /// Which address of the instance is connected to; default: the public one, or the private one where there is none.
    pub ssh_interface: Option<SshInterface>,
    /// How long to wait before a Session Manager session is started.
    pub pause_before_ssm: Option<GoDuration>,
    /// Accepted for templates that have it: SSH goes through the session without a local port.
    pub session_manager_port: Option<u16>,
    /// Set the instance's, and with it the AMI's, enhanced networking (ENA) attribute.
    pub ena_support: Option<bool>,
    /// Set the instance's, and with it the AMI's, enhanced networking (Intel 82599 VF) attribute.
    #[serde(default)]
    pub sriov_support: bool,
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

/// Which of several pools of spot capacity is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SpotAllocationStrategy {
    /// The cheapest.
    LowestPrice,
    /// All of them.
    Diversified,
    /// The one with the most capacity.
    CapacityOptimized,
    /// The one with the most capacity, the first types of the list before others.
    CapacityOptimizedPrioritized,
    /// One with much capacity that is cheap.
    PriceCapacityOptimized,
}

/// A spot instance.
pub(crate) struct Spot<'a> {
    /// The most to pay per hour; absent: the price on demand.
    pub(crate) price: Option<&'a str>,
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

impl RunOptions {
    /// Whether the instance is reached through Session Manager.
    pub(crate) fn by_session_manager(&self) -> bool {
        self.ssh_interface == Some(SshInterface::SessionManager) && self.communicator.kind() == Some(Kind::Ssh)
    }

    /// Whether the instance may use more CPU than its credits allow.
    pub(crate) fn has_unlimited_credits(&self) -> bool {
        self.enable_unlimited_credits || self.enable_t2_unlimited
    }

    /// What a temporary security group lets in, where the communicator connects directly.
    pub(crate) fn admitted(&self) -> Option<Admitted> {
        let direct = self.communicator.kind() != Some(Kind::None) && !self.by_session_manager();
        direct.then(|| Admitted {
            port: self.communicator.port(),
            by_ipv6: self.ssh_interface == Some(SshInterface::Ipv6),
        })
    }

    /// The spot instance that is asked for.
    pub(crate) fn spot(&self) -> Option<Spot<'_>> {
        match self.spot_price.as_deref() {
            None | Some("0") => None,
            Some(price) => Some(Spot {
                price: Some(price).filter(|price| *price != "auto"),
            }),
        }
    }

    /// The types that the instance may have, the best first.
    pub(crate) fn instance_types(&self) -> Vec<String> {
        match &self.instance_type {
            Some(one) => vec![one.clone()],
            None => self.spot_instance_types.clone(),
        }
    }
}
