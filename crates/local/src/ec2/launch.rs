//! RunInstances: what a launch asks for, checked against what exists, and the instances that come of it.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::block_devices::{self, BlockDevice, DeviceRequest};
use crate::ec2::images::{self, Image};
use crate::ec2::instance_types::{self, InstanceType};
use crate::ec2::instances::{self, Instance, InstanceState, MetadataOptions};
use crate::ec2::key_pairs;
use crate::ec2::power::{Boot, InstanceName, spawn_boot};
use crate::ec2::security_groups;
use crate::ec2::tags::{TagSpecifications, Tags};
use crate::ec2::volumes::{Attachment, Volume};
use crate::ec2::vpcs::{self, Subnet};
use crate::ids::ResourceKind;
use crate::machine::RootId;
use crate::moment::Moment;
use crate::query::Parameters;
use crate::state::{ACCOUNT, Region};

/// Most bytes of user data, before base64.
const MOST_USER_DATA: usize = 16_384;
/// Most instances that one call may ask for here; EC2's limit is the account's quota.
const MOST_INSTANCES: usize = 20;
/// The type that EC2 takes when none is named.
const DEFAULT_TYPE: &str = "m1.small";

/// A launch as it was asked for.
struct Launch {
    image_id: String,
    least: usize,
    most: usize,
    instance_type: InstanceType,
    key_name: Option<String>,
    network: Network,
    zone: Option<String>,
    tenancy: String,
    user_data: Option<String>,
    instance_profile: Option<String>,
    devices: Vec<DeviceRequest>,
    client_token: Option<String>,
    is_spot: bool,
    options: Options,
    tags: TagSpecifications,
}

/// Where a launch wants its interface, from the top level or from `NetworkInterface.1`.
#[derive(Default)]
struct Network {
    subnet_id: Option<String>,
    group_ids: Vec<String>,
    group_names: Vec<String>,
    public_address: Option<bool>,
}

/// Switches that are kept as they were asked for.
struct Options {
    monitoring: bool,
    ebs_optimized: bool,
    termination_protection: bool,
    stop_protection: bool,
    shutdown_terminates: bool,
    enclave: bool,
    cpu_credits: Option<String>,
    metadata: MetadataOptions,
}

/// What the launch's names stand for.
struct Resolved {
    image: Image,
    root: RootId,
    devices: Vec<BlockDevice>,
    authorized_keys: Vec<String>,
    subnet: Subnet,
    security_groups: Vec<String>,
}

pub(crate) async fn run_instances(mut call: Call) -> Answer {
    let launch = Launch::take(&mut call)?;
    call.accept()?;
    let catalogue = call.catalogue();
    if let Some(again) = call.read(|region| repeated(region, &launch, &call.digest))?.transpose()? {
        return Ok(again);
    }
    let image = call.read(|region| images::find(region, &catalogue, &launch.image_id).cloned())??;
    // Everything wrong with the request is told before the root is made, which may take time.
    let resolve = |region: &Region, root| launch.resolve(&call.region, region, &catalogue, image.clone(), root);
    call.read(|region| resolve(region, RootId(String::new())).map(|_| ()))??;
    let root = call.cloud.root_of(&image.root).await?;
    let (ids, answer) = call.change(|region| {
        if let Some(again) = repeated(region, &launch, &call.digest).transpose()? {
            return Ok((Vec::new(), again));
        }
        let resolved = resolve(region, root)?;
        let instances = launch.instances(&call, region, &resolved)?;
        let ids: Vec<String> = instances.iter().map(|instance| instance.id.clone()).collect();
        let reservation_id = instances.first().map(|instance| instance.reservation_id.clone()).unwrap_or_default();
        for instance in instances {
            launch.add(region, instance, &resolved.devices);
        }
        let items = ids.iter().filter_map(|id| region.instances.get(id));
        let items = items.map(|instance| instances::describe_with_tags(region, instance)).collect();
        Ok((ids, instances::reservation(&reservation_id, items)))
    })?;
    for id in ids {
        spawn_boot(&call.cloud, InstanceName { region: call.region.clone(), id }, Boot::First);
    }
    Ok(answer)
}

/// Returns the answer to a request that has been answered before: same client token, same parameters.
fn repeated(region: &Region, launch: &Launch, digest: &str) -> Option<Answer> {
    let token = launch.client_token.as_ref()?;
    let earlier: Vec<&Instance> =
        region.instances.values().filter(|instance| instance.client_token.as_ref() == Some(token)).collect();
    let first = earlier.first()?;
    if first.request_digest != digest {
        return Some(Err(ApiError::new(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
        )));
    }
    let items = earlier.iter().map(|instance| instances::describe_with_tags(region, instance)).collect();
    Some(Ok(instances::reservation(&first.reservation_id, items)))
}

impl Launch {
    fn take(call: &mut Call) -> Result<Launch, ApiError> {
        let parameters = &mut call.parameters;
        let image_id = parameters.required("ImageId")?;
        let least = parameters.number("MinCount")?.ok_or_else(|| ApiError::missing_parameter("MinCount"))?;
        let most = parameters.number("MaxCount")?.ok_or_else(|| ApiError::missing_parameter("MaxCount"))?;
        check_counts(least, most)?;
        let type_name = parameters.text("InstanceType").unwrap_or_else(|| DEFAULT_TYPE.to_owned());
        let client_token = parameters.text("ClientToken").filter(|token| !token.is_empty());
        if client_token.as_ref().is_some_and(|token| token.len() > 64 || !token.is_ascii()) {
            return Err(ApiError::invalid_parameter("The client token must be at most 64 ASCII characters"));
        }
        let (zone, tenancy) = take_placement(parameters);
        Ok(Launch {
            image_id,
            least,
            most,
            instance_type: instance_types::required(&type_name)?,
            key_name: parameters.text("KeyName").filter(|name| !name.is_empty()),
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
                &[ResourceKind::Instance, ResourceKind::Volume, ResourceKind::NetworkInterface],
            )?,
        })
    }

    fn resolve(
        &self,
        region_name: &str,
        region: &Region,
        catalogue: &[Image],
        image: Image,
        root: RootId,
    ) -> Result<Resolved, ApiError> {
        if image.state() != "available" {
            let message = format!("The image id '[{}]' is not available (its state is {})", image.id, image.state());
            return Err(ApiError::new("InvalidAMIID.Unavailable", message));
        }
        if image.architecture != self.instance_type.architecture {
            return Err(ApiError::invalid_parameter(format!(
                "The architecture '{}' of the specified instance type does not match the architecture '{}' of the \
                 specified AMI. Specify an instance type and an AMI that have matching architectures, and try again.",
                self.instance_type.architecture, image.architecture
            )));
        }
        let key = |name: &String| {
            region.key_pairs.get(name).map(|pair| pair.public_line.clone()).ok_or_else(|| key_pairs::unknown_name(name))
        };
        let devices = block_devices::merge(&image.block_devices, self.devices.clone(), |id| {
            let known = catalogue.iter().flat_map(|image| &image.block_devices).filter_map(|device| device.ebs.as_ref());
            match known.into_iter().find(|ebs| ebs.snapshot_id.as_deref() == Some(id)) {
                Some(ebs) => Ok(ebs.size_gib),
                None => Ok(region.snapshot(id)?.size_gib),
            }
        })?;
        let subnet = match &self.network.subnet_id {
            Some(id) => vpcs::subnet(region_name, id)?,
            None => vpcs::default_subnet(region_name, self.zone.as_deref())?,
        };
        if let Some(zone) = self.zone.as_ref().filter(|zone| **zone != subnet.zone) {
            return Err(ApiError::invalid_parameter(format!(
                "The availability zone '{zone}' does not match the zone '{}' of the subnet '{}'", subnet.zone, subnet.id
            )));
        }
        Ok(Resolved {
            root,
            devices,
            authorized_keys: self.key_name.as_ref().map(key).transpose()?.into_iter().collect(),
            subnet,
            security_groups: security_groups::resolve(region, &self.network.group_ids, &self.network.group_names)?,
            image,
        })
    }

    fn instances(&self, call: &Call, region: &Region, resolved: &Resolved) -> Result<Vec<Instance>, ApiError> {
        let reservation_id = format!("r-{}", crate::ids::random_hex(17));
        let alive = region.instances.values().filter(|instance| instance.exists());
        let mut taken: HashSet<Ipv4Addr> = alive.map(|instance| instance.address).collect();
        let mut instances = Vec::new();
        for launch_index in 0..self.most {
            let reserved = call.cloud.addresses.reserve(&resolved.subnet, call.cloud.ssh_port, &taken);
            let (address, ssh_port) = match reserved {
                Ok(reserved) => reserved,
                Err(_) if instances.len() >= self.least => break,
                Err(error) => return Err(error),
            };
            taken.insert(address);
            let owner = call.cloud.folder.owner().id();
            instances.push(self.instance(resolved, &reservation_id, launch_index, owner, &call.digest, (address, ssh_port)));
        }
        Ok(instances)
    }

    fn instance(
        &self,
        resolved: &Resolved,
        reservation_id: &str,
        launch_index: usize,
        owner: &str,
        digest: &str,
        (address, ssh_port): (Ipv4Addr, u16),
    ) -> Instance {
        let (image, options) = (&resolved.image, &self.options);
        Instance {
            id: ResourceKind::Instance.new_id(),
            reservation_id: reservation_id.to_owned(),
            launch_index,
            image_id: image.id.clone(),
            state: InstanceState::Pending,
            next: None,
            state_reason: None,
            transition_reason: String::new(),
            terminated: None,
            owner: Some(owner.to_owned()),
            client_token: self.client_token.clone(),
            request_digest: digest.to_owned(),
            instance_type: self.instance_type.name.clone(),
            key_name: self.key_name.clone(),
            authorized_keys: resolved.authorized_keys.clone(),
            launched: Moment::now(),
            zone: resolved.subnet.zone.clone(),
            tenancy: self.tenancy.clone(),
            subnet_id: resolved.subnet.id.clone(),
            vpc_id: resolved.subnet.vpc_id.clone(),
            security_groups: resolved.security_groups.clone(),
            network_interface_id: ResourceKind::NetworkInterface.new_id(),
            address,
            ssh_port,
            has_public_address: self.network.public_address.unwrap_or(true),
            architecture: image.architecture.clone(),
            boot_mode: image.boot_mode.clone(),
            root_device: image.root_device.clone(),
            root: resolved.root.clone(),
            has_disk: true,
            login_users: image.login_users.clone(),
            user_data: self.user_data.clone(),
            instance_profile: self.instance_profile.clone(),
            is_spot: self.is_spot,
            monitoring: options.monitoring,
            ebs_optimized: options.ebs_optimized,
            ena_support: image.ena_support,
            sriov_support: image.sriov_support,
            source_dest_check: true,
            termination_protection: options.termination_protection,
            stop_protection: options.stop_protection,
            shutdown_terminates: options.shutdown_terminates,
            enclave: options.enclave,
            cpu_credits: options.cpu_credits.clone(),
            metadata_options: options.metadata.clone(),
        }
    }

    /// Adds an instance with its volumes and all their tags.
    fn add(&self, region: &mut Region, instance: Instance, devices: &[BlockDevice]) {
        let volume_tags: Tags = self.tags.of(ResourceKind::Volume);
        for device in devices {
            let Some(ebs) = &device.ebs else { continue };
            let attachment = Attachment {
                instance_id: instance.id.clone(),
                device: device.device.clone(),
                since: instance.launched,
            };
            let volume = Volume {
                id: ResourceKind::Volume.new_id(),
                zone: instance.zone.clone(),
                created: instance.launched,
                ebs: ebs.clone(),
                attachment: Some(attachment),
            };
            region.tag(&volume.id, &volume_tags);
            region.volumes.insert(volume.id.clone(), volume);
        }
        region.tag(&instance.id, &self.tags.of(ResourceKind::Instance));
        region.tag(&instance.network_interface_id, &self.tags.of(ResourceKind::NetworkInterface));
        region.instances.insert(instance.id.clone(), instance);
    }
}

fn check_counts(least: usize, most: usize) -> Result<(), ApiError> {
    if least == 0 || most < least {
        return Err(ApiError::invalid_parameter(format!("Invalid value '{least}' for minCount, '{most}' for maxCount")));
    }
    if most > MOST_INSTANCES {
        return Err(ApiError::new(
            "InstanceLimitExceeded",
            format!("You have requested more instances ({most}) than the local cloud allows at once ({MOST_INSTANCES})"),
        ));
    }
    Ok(())
}

impl Network {
    fn take(parameters: &mut Parameters) -> Result<Network, ApiError> {
        let mut network = Network {
            subnet_id: parameters.text("SubnetId").filter(|id| !id.is_empty()),
            group_ids: parameters.list("SecurityGroupId"),
            group_names: parameters.list("SecurityGroup"),
            public_address: None,
        };
        let mut interfaces = parameters.items("NetworkInterface");
        if interfaces.len() > 1 {
            return Err(ApiError::unsupported("the local cloud's instances have one network interface"));
        }
        let Some(mut interface) = interfaces.pop() else { return Ok(network) };
        if network.subnet_id.is_some() || !network.group_ids.is_empty() || !network.group_names.is_empty() {
            return Err(ApiError::invalid_combination(
                "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request",
            ));
        }
        network.subnet_id = interface.text("SubnetId").filter(|id| !id.is_empty());
        network.group_ids = interface.list("SecurityGroupId");
        network.public_address = interface.boolean("AssociatePublicIpAddress")?;
        let index: Option<u32> = interface.number("DeviceIndex")?;
        let _ = (interface.boolean("DeleteOnTermination")?, interface.text("Description"));
        interface.finish()?;
        match index {
            Some(0) => Ok(network),
            _ => Err(ApiError::invalid_parameter("The first network interface must have device index 0")),
        }
    }
}

impl Options {
    fn take(parameters: &mut Parameters) -> Result<Options, ApiError> {
        let behavior = parameters.word("InstanceInitiatedShutdownBehavior", &["stop", "terminate"])?;
        // Reservations of capacity and licences concern the bill; there is none here.
        let _ = parameters.text("CapacityReservationSpecification.CapacityReservationPreference");
        let _ = parameters.text("CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId");
        let _ = parameters.text("CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationResourceGroupArn");
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
            metadata: take_metadata_options(parameters, "MetadataOptions.", None)?,
        })
    }
}

/// Takes options for the metadata service; those that are not given stay as they were, or take EC2's defaults.
pub(crate) fn take_metadata_options(
    parameters: &mut Parameters,
    prefix: &str,
    old: Option<&MetadataOptions>,
) -> Result<MetadataOptions, ApiError> {
    let mut word = |name: &str, allowed: &[&str], old: Option<&String>, default: &str| {
        let word = parameters.word(&format!("{prefix}{name}"), allowed)?;
        Ok::<_, ApiError>(word.or_else(|| old.cloned()).unwrap_or_else(|| default.to_owned()))
    };
    let switch = &["enabled", "disabled"];
    let options = MetadataOptions {
        http_tokens: word("HttpTokens", &["optional", "required"], old.map(|old| &old.http_tokens), "optional")?,
        http_endpoint: word("HttpEndpoint", switch, old.map(|old| &old.http_endpoint), "enabled")?,
        instance_tags: word("InstanceMetadataTags", switch, old.map(|old| &old.instance_tags), "disabled")?,
        http_protocol_ipv6: word("HttpProtocolIpv6", switch, old.map(|old| &old.http_protocol_ipv6), "disabled")?,
        hop_limit: old.map_or(1, |old| old.hop_limit),
    };
    let hop_limit = parameters.number(&format!("{prefix}HttpPutResponseHopLimit"))?.unwrap_or(options.hop_limit);
    if !(1..=64).contains(&hop_limit) {
        return Err(ApiError::invalid_value("HttpPutResponseHopLimit", &hop_limit.to_string()));
    }
    Ok(MetadataOptions { hop_limit, ..options })
}

fn take_placement(parameters: &mut Parameters) -> (Option<String>, String) {
    let zone = parameters.text("Placement.AvailabilityZone").filter(|zone| !zone.is_empty());
    let tenancy = parameters.text("Placement.Tenancy").filter(|tenancy| !tenancy.is_empty());
    // Hosts and groups have no meaning on one machine.
    for name in ["GroupName", "GroupId", "HostId", "HostResourceGroupArn", "Affinity", "PartitionNumber", "SpreadDomain"] {
        let _ = parameters.text(&format!("Placement.{name}"));
    }
    (zone, tenancy.unwrap_or_else(|| "default".to_owned()))
}

fn take_user_data(parameters: &mut Parameters) -> Result<Option<String>, ApiError> {
    let Some(text) = parameters.text("UserData").filter(|text| !text.is_empty()) else { return Ok(None) };
    check_user_data(&text)?;
    Ok(Some(text))
}

/// Checks that user data is base64 and not too long.
pub(crate) fn check_user_data(text: &str) -> Result<(), ApiError> {
    let data = BASE64_STANDARD
        .decode(text)
        .map_err(|_| ApiError::invalid_parameter("Invalid BASE64 encoding of user data."))?;
    if data.len() > MOST_USER_DATA {
        return Err(ApiError::invalid_parameter(format!("User data is limited to {MOST_USER_DATA} bytes")));
    }
    Ok(())
}

/// Takes a profile as its ARN. IAM is not here, so that any profile exists.
fn take_instance_profile(parameters: &mut Parameters) -> Option<String> {
    let arn = parameters.text("IamInstanceProfile.Arn").filter(|arn| !arn.is_empty());
    let name = parameters.text("IamInstanceProfile.Name").filter(|name| !name.is_empty());
    arn.or_else(|| Some(format!("arn:aws:iam::{ACCOUNT}:instance-profile/{}", name?)))
}

/// Takes the market options, and tells whether the instance is a spot instance. Spot capacity never ends here.
fn take_market(parameters: &mut Parameters) -> Result<bool, ApiError> {
    let market = parameters.word("InstanceMarketOptions.MarketType", &["spot"])?;
    for name in ["MaxPrice", "SpotInstanceType", "BlockDurationMinutes", "ValidUntil", "InstanceInterruptionBehavior"] {
        let _ = parameters.text(&format!("InstanceMarketOptions.SpotOptions.{name}"));
    }
    Ok(market.is_some())
}
