//! What `RunInstances` can be asked for: its parameters, checked as far as that needs nothing but themselves.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::api_error::ApiError;
use crate::ec2::block_devices::{self, DeviceRequest};
use crate::ec2::instance_types::{self, InstanceType};
use crate::ec2::tags::TagSpecifications;
use crate::ids::ResourceKind;
use crate::query::Parameters;
use crate::state::ACCOUNT;
use crate::state::instance::MetadataOptions;

/// Most bytes of user data, before base64.
const MOST_USER_DATA: usize = 16_384;
/// Most instances that one call may ask for here; EC2's limit is the account's quota.
const MOST_INSTANCES: usize = 20;
/// The type that EC2 takes when none is named.
const DEFAULT_TYPE: &str = "m1.small";

/// A launch as it was asked for.
pub(super) struct Launch {
    pub(super) image_id: String,
    pub(super) least: usize,
    pub(super) most: usize,
    pub(super) instance_type: InstanceType,
    pub(super) key_name: Option<String>,
    pub(super) network: Network,
    pub(super) zone: Option<String>,
    pub(super) tenancy: String,
    pub(super) user_data: Option<String>,
    pub(super) instance_profile: Option<String>,
    pub(super) devices: Vec<DeviceRequest>,
    pub(super) client_token: Option<String>,
    pub(super) is_spot: bool,
    pub(super) options: Options,
    pub(super) tags: TagSpecifications,
}

/// Where a launch wants its interface, from the top level or from `NetworkInterface.1`.
#[derive(Default)]
pub(super) struct Network {
    pub(super) subnet_id: Option<String>,
    pub(super) group_ids: Vec<String>,
    pub(super) group_names: Vec<String>,
    pub(super) public_address: Option<bool>,
}

/// Switches that are kept as they were asked for.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an attribute of its own in EC2's API"
)]
pub(super) struct Options {
    pub(super) monitoring: bool,
    pub(super) ebs_optimized: bool,
    pub(super) termination_protection: bool,
    pub(super) stop_protection: bool,
    pub(super) shutdown_terminates: bool,
    pub(super) enclave: bool,
    pub(super) cpu_credits: Option<String>,
    pub(super) metadata: MetadataOptions,
}

impl Launch {
    pub(super) fn take(parameters: &mut Parameters) -> Result<Launch, ApiError> {
        let image_id = parameters.required("ImageId")?;
        let least = parameters
            .number("MinCount")?
            .ok_or_else(|| ApiError::missing_parameter("MinCount"))?;
        let most = parameters
            .number("MaxCount")?
            .ok_or_else(|| ApiError::missing_parameter("MaxCount"))?;
        check_counts(least, most)?;
        let type_name = parameters
            .text("InstanceType")
            .unwrap_or_else(|| DEFAULT_TYPE.to_owned());
        let client_token = parameters.filled("ClientToken");
        if client_token
            .as_ref()
            .is_some_and(|token| token.len() > 64 || !token.is_ascii())
        {
            return Err(ApiError::invalid_parameter(
                "The client token must be at most 64 ASCII characters",
            ));
        }
        let (zone, tenancy) = take_placement(parameters);
        Ok(Launch {
            image_id,
            least,
            most,
            instance_type: instance_types::required(&type_name)?,
            key_name: parameters.filled("KeyName"),
            network: Network::take(parameters)?,
            zone,
            tenancy,
            user_data: take_user_data(parameters)?,
            instance_profile: take_instance_profile(parameters),
            devices: block_devices::take(parameters)?,
            client_token,
            is_spot: take_market(parameters)?,
            options: Options::take(parameters)?,
            tags: TagSpecifications::take(
                parameters,
                &[
                    ResourceKind::Instance,
                    ResourceKind::Volume,
                    ResourceKind::NetworkInterface,
                    ResourceKind::SpotRequest,
                ],
            )?,
        })
    }
}

fn check_counts(least: usize, most: usize) -> Result<(), ApiError> {
    if least == 0 || most < least {
        return Err(ApiError::invalid_parameter(format!(
            "Invalid value '{least}' for minCount, '{most}' for maxCount"
        )));
    }
    if most > MOST_INSTANCES {
        return Err(ApiError::new(
            "InstanceLimitExceeded",
            format!(
                "You have requested more instances ({most}) than the local cloud allows at once ({MOST_INSTANCES})"
            ),
        ));
    }
    Ok(())
}

impl Network {
    fn take(parameters: &mut Parameters) -> Result<Network, ApiError> {
        let mut network = Network {
            subnet_id: parameters.filled("SubnetId"),
            group_ids: parameters.list("SecurityGroupId"),
            group_names: parameters.list("SecurityGroup"),
            public_address: None,
        };
        let mut interfaces = parameters.items("NetworkInterface");
        if interfaces.len() > 1 {
            return Err(ApiError::unsupported(
                "the local cloud's instances have one network interface",
            ));
        }
        let Some(mut interface) = interfaces.pop() else {
            return Ok(network);
        };
        if network.subnet_id.is_some() || !network.group_ids.is_empty() || !network.group_names.is_empty() {
            return Err(ApiError::invalid_combination(
                "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request",
            ));
        }
        network.subnet_id = interface.filled("SubnetId");
        network.group_ids = interface.list("SecurityGroupId");
        network.public_address = interface.boolean("AssociatePublicIpAddress")?;
        let index: Option<u32> = interface.number("DeviceIndex")?;
        let _ = (interface.boolean("DeleteOnTermination")?, interface.text("Description"));
        interface.finish()?;
        match index {
            Some(0) => Ok(network),
            _ => Err(ApiError::invalid_parameter(
                "The first network interface must have device index 0",
            )),
        }
    }
}

impl Options {
    fn take(parameters: &mut Parameters) -> Result<Options, ApiError> {
        let behavior = parameters.word("InstanceInitiatedShutdownBehavior", &["stop", "terminate"])?;
        // Reservations of capacity and licences concern the bill; there is none here.
        let _ = parameters.text("CapacityReservationSpecification.CapacityReservationPreference");
        let _ = parameters.text("CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId");
        let _ = parameters
            .text("CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationResourceGroupArn");
        for mut license in parameters.items("LicenseSpecification") {
            license.required("LicenseConfigurationArn")?;
            license.finish()?;
        }
        Ok(Options {
            monitoring: parameters.boolean("Monitoring.Enabled")?.unwrap_or(false),
            ebs_optimized: parameters.boolean("EbsOptimized")?.unwrap_or(false),
            termination_protection: parameters.boolean("DisableApiTermination")?.unwrap_or(false),
            stop_protection: parameters.boolean("DisableApiStop")?.unwrap_or(false),
            shutdown_terminates: behavior.as_deref() == Some("terminate"),
            enclave: parameters.boolean("EnclaveOptions.Enabled")?.unwrap_or(false),
            cpu_credits: parameters.word("CreditSpecification.CpuCredits", &["standard", "unlimited"])?,
            metadata: take_metadata_options(parameters)?,
        })
    }
}

/// Takes options for the metadata service; those that are not given take EC2's defaults.
fn take_metadata_options(parameters: &mut Parameters) -> Result<MetadataOptions, ApiError> {
    let mut word = |name: &str, allowed: &[&str], default: &str| {
        let word = parameters.word(&format!("MetadataOptions.{name}"), allowed)?;
        Ok::<_, ApiError>(word.unwrap_or_else(|| default.to_owned()))
    };
    let switch = &["enabled", "disabled"];
    let options = MetadataOptions {
        http_tokens: word("HttpTokens", &["optional", "required"], "optional")?,
        http_endpoint: word("HttpEndpoint", switch, "enabled")?,
        instance_tags: word("InstanceMetadataTags", switch, "disabled")?,
        http_protocol_ipv6: word("HttpProtocolIpv6", switch, "disabled")?,
        hop_limit: parameters
            .number("MetadataOptions.HttpPutResponseHopLimit")?
            .unwrap_or(1),
    };
    if !(1..=64).contains(&options.hop_limit) {
        return Err(ApiError::invalid_value(
            "HttpPutResponseHopLimit",
            &options.hop_limit.to_string(),
        ));
    }
    Ok(options)
}

fn take_placement(parameters: &mut Parameters) -> (Option<String>, String) {
    let zone = parameters.filled("Placement.AvailabilityZone");
    let tenancy = parameters.filled("Placement.Tenancy");
    // Hosts and groups have no meaning on one machine.
    for name in [
        "GroupName",
        "GroupId",
        "HostId",
        "HostResourceGroupArn",
        "Affinity",
        "PartitionNumber",
        "SpreadDomain",
    ] {
        let _ = parameters.text(&format!("Placement.{name}"));
    }
    (zone, tenancy.unwrap_or_else(|| "default".to_owned()))
}

fn take_user_data(parameters: &mut Parameters) -> Result<Option<String>, ApiError> {
    let Some(text) = parameters.filled("UserData") else {
        return Ok(None);
    };
    check_user_data(&text)?;
    Ok(Some(text))
}

/// Checks that user data is base64 and not too long.
pub(crate) fn check_user_data(text: &str) -> Result<(), ApiError> {
    let data = BASE64_STANDARD
        .decode(text)
        .map_err(|_| ApiError::invalid_parameter("Invalid BASE64 encoding of user data."))?;
    if data.len() > MOST_USER_DATA {
        return Err(ApiError::invalid_parameter(format!(
            "User data is limited to {MOST_USER_DATA} bytes"
        )));
    }
    Ok(())
}

/// Takes a profile as its ARN.
fn take_instance_profile(parameters: &mut Parameters) -> Option<String> {
    let arn = parameters.filled("IamInstanceProfile.Arn");
    let name = parameters.filled("IamInstanceProfile.Name");
    arn.or_else(|| Some(format!("arn:aws:iam::{ACCOUNT}:instance-profile/{}", name?)))
}

/// Takes the market options, and tells whether the instance is a spot instance. Spot capacity never ends here.
fn take_market(parameters: &mut Parameters) -> Result<bool, ApiError> {
    let market = parameters.word("InstanceMarketOptions.MarketType", &["spot"])?;
    for name in [
        "MaxPrice",
        "SpotInstanceType",
        "BlockDurationMinutes",
        "ValidUntil",
        "InstanceInterruptionBehavior",
    ] {
        let _ = parameters.text(&format!("InstanceMarketOptions.SpotOptions.{name}"));
    }
    Ok(market.is_some())
}
