//! A spot instance: a launch template that says what is launched, and a fleet of one instance that says where it may come from.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use aws_sdk_ec2::operation::create_fleet::builders::CreateFleetFluentBuilder;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, CreateFleetError, CreditSpecificationRequest, DefaultTargetCapacityType,
    FleetLaunchTemplateConfigRequest, FleetLaunchTemplateOverridesRequest, FleetLaunchTemplateSpecificationRequest,
    FleetType, InstanceType, LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest,
    LaunchTemplateHttpTokensState, LaunchTemplateIamInstanceProfileSpecificationRequest,
    LaunchTemplateInstanceMarketOptionsRequest, LaunchTemplateInstanceMetadataEndpointState,
    LaunchTemplateInstanceMetadataOptionsRequest, LaunchTemplateInstanceMetadataTagsState,
    LaunchTemplateInstanceNetworkInterfaceSpecificationRequest, LaunchTemplatePlacementRequest,
    LaunchTemplateSpotMarketOptionsRequest, LaunchTemplateTagSpecificationRequest, MarketType,
    RequestLaunchTemplateData, ResourceType, SpotAllocationStrategy, SpotOptionsRequest,
    TargetCapacitySpecificationRequest,
};
use bakelite_aws::call::{call, pause};
use bakelite_aws::error::AwsError;
use bakelite_aws::made;
use bakelite_aws::resource::launch_template::LAUNCH_TEMPLATE;
use bakelite_aws::tag;
use bakelite_engine::bake::{BakeError, Made};
use bakelite_engine::error::Explain;
use bakelite_engine::events::Ui;

use super::instance::{Access, LaunchTags, UserDataError, metadata_words, user_data};
use super::launch::Launch;
use super::network::{Addresses, Place};
use super::options::{self, Spot};
use super::placement::cpu_credits;
use crate::cloud::Temporary;

/// Why there is no spot instance.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpotError {
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The fleet has no instance.
    #[error("fleet `{fleet}` got no spot instance:{pools}")]
    NoInstance { fleet: String, pools: String },
}

impl Explain for SpotError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Aws(error) => error.help(),
            Self::NoInstance { .. } => Some(
                "more types in `spot_instance_types`, a higher `spot_price` (or `auto`), or a `subnet_filter` that matches several zones make it more likely"
                    .into(),
            ),
        }
    }
}

impl Launch<'_> {
    /// Launches a spot instance; answers its id.
    pub(super) async fn spot_instance(
        &self,
        access: &Access,
        spot: &Spot<'_>,
        temporary: Temporary,
        tags: &LaunchTags,
    ) -> Result<Made<String>, BakeError> {
        let cloud = &self.cloud;
        let types = self.options.instance_types();
        cloud.say(format!(
            "Launching a spot AWS source instance of type {}...",
            types.join(" or ")
        ));
        let data = self.template_data(access, spot, tags)?;
        let of_template = cloud.temporary(&LAUNCH_TEMPLATE);
        let name = format!("packer-fleet-launch-template-{}", of_template.token);
        let template_tags = of_template.tags(&self.texts.spot_tags);
        let request = cloud
            .ec2()
            .create_launch_template()
            .launch_template_name(&name)
            .version_description("Temporary template of an image being baked")
            .client_token(&of_template.token)
            .launch_template_data(data)
            .tag_specifications(tag::specification(ResourceType::LaunchTemplate, &template_tags));
        let create = async move {
            let answer = call("CreateLaunchTemplate", || request.clone().send()).await?;
            let id = answer.launch_template.and_then(|template| template.launch_template_id);
            let id = id.ok_or_else(|| AwsError::incomplete("CreateLaunchTemplate", "template"))?;
            Ok::<_, AwsError>((id.clone(), id))
        };
        let template = cloud.create(of_template, create).await?;
        cloud.say(format!("Launch template ID: {}", template.value));
        made::note(&name);
        let request = self.fleet(&template.value);
        let call = run(request, temporary.token.clone(), cloud.bake.ui.clone());
        let instance = cloud.create(temporary, call).await?;
        self.tag_request(&instance.value).await?;
        Ok(instance)
    }

    /// The fleet of one instance.
    fn fleet(&self, template: &str) -> CreateFleetFluentBuilder {
        let specification = FleetLaunchTemplateSpecificationRequest::builder()
            .launch_template_id(template)
            .version("1")
            .build();
        let overrides = self.overrides();
        let config = FleetLaunchTemplateConfigRequest::builder()
            .launch_template_specification(specification)
            .set_overrides((!overrides.is_empty()).then_some(overrides))
            .build();
        let capacity = TargetCapacitySpecificationRequest::builder()
            .total_target_capacity(1)
            .default_target_capacity_type(DefaultTargetCapacityType::Spot)
            .build();
        let strategy = self.options.spot_allocation_strategy.map(|strategy| {
            let strategy = SpotAllocationStrategy::from(strategy);
            SpotOptionsRequest::builder().allocation_strategy(strategy).build()
        });
        let tags = &self.texts.fleet_tags;
        let tags = (!tags.is_empty()).then(|| vec![tag::specification(ResourceType::Fleet, tags)]);
        self.cloud
            .ec2()
            .create_fleet()
            .r#type(FleetType::Instant)
            .target_capacity_specification(capacity)
            .launch_template_configs(config)
            .set_spot_options(strategy)
            .set_tag_specifications(tags)
    }

    /// The pools besides what the template says: each type, and each place if there are several.
    fn overrides(&self) -> Vec<FleetLaunchTemplateOverridesRequest> {
        let places: &[Place] = match self.network.places.as_slice() {
            [] | [_] => &[],
            several => several,
        };
        let types = &self.options.spot_instance_types;
        let kinds: Vec<Option<&String>> = if types.is_empty() {
            vec![None]
        } else {
            types.iter().map(Some).collect()
        };
        let of_place = |kind: Option<&String>, place: Option<&Place>| {
            FleetLaunchTemplateOverridesRequest::builder()
                .set_instance_type(kind.map(|kind| InstanceType::from(kind.as_str())))
                .set_subnet_id(place.and_then(|place| place.subnet_id.clone()))
                .build()
        };
        let kinds = kinds.into_iter();
        match (places, types.is_empty()) {
            ([], true) => Vec::new(),
            ([], false) => kinds.map(|kind| of_place(kind, None)).collect(),
            (places, _) => kinds
                .flat_map(|kind| places.iter().map(move |place| of_place(kind, Some(place))))
                .collect(),
        }
    }

    fn template_data(
        &self,
        access: &Access,
        spot: &Spot<'_>,
        tags: &LaunchTags,
    ) -> Result<RequestLaunchTemplateData, UserDataError> {
        let options = self.options;
        let market = LaunchTemplateSpotMarketOptionsRequest::builder();
        let market = spot.price.map(|price| market.max_price(price).build());
        let market = LaunchTemplateInstanceMarketOptionsRequest::builder()
            .market_type(MarketType::Spot)
            .set_spot_options(market)
            .build();
        let profile = access.profile.as_ref().map(|name| {
            LaunchTemplateIamInstanceProfileSpecificationRequest::builder()
                .name(name)
                .build()
        });
        let kind = options.instance_type.as_deref();
        let credits = cpu_credits(kind.unwrap_or_default(), options.has_unlimited_credits());
        let credits = credits.map(|credits| CreditSpecificationRequest::builder().cpu_credits(credits).build());
        let tags = tags.by_type().map(|(kind, tags)| {
            LaunchTemplateTagSpecificationRequest::builder()
                .resource_type(kind)
                .set_tags(Some(tag::list(tags)))
                .build()
        });
        let devices: Vec<_> = self.devices.iter().map(device).collect();
        let data = RequestLaunchTemplateData::builder()
            .image_id(self.source.image_id().unwrap_or_default())
            .set_instance_type(kind.map(InstanceType::from))
            .instance_market_options(market)
            .set_ebs_optimized(options.ebs_optimized.then_some(true))
            .set_iam_instance_profile(profile)
            .set_credit_specification(credits)
            .set_key_name(access.key_name.clone())
            .set_user_data(user_data(options, &self.cloud.bake.run)?)
            .set_metadata_options(metadata(options))
            .set_block_device_mappings((!devices.is_empty()).then_some(devices))
            .set_tag_specifications(Some(tags.collect()));
        let (interface, placement) = self.template_network(access);
        let groups = interface.is_none().then(|| access.security_groups.clone());
        Ok(data
            .set_placement(placement)
            .set_security_group_ids(groups.filter(|groups| !groups.is_empty()))
            .set_network_interfaces(interface.map(|interface| vec![interface]))
            .build())
    }

    /// A template has a subnet only in an interface.
    fn template_network(
        &self,
        access: &Access,
    ) -> (
        Option<LaunchTemplateInstanceNetworkInterfaceSpecificationRequest>,
        Option<LaunchTemplatePlacementRequest>,
    ) {
        let Addresses { public, ipv6 } = self.network.addresses;
        let place = match self.network.places.as_slice() {
            [only] => only.clone(),
            _ => Place::default(),
        };
        let zone = place.availability_zone.filter(|_| place.subnet_id.is_none());
        let placement = zone.map(|zone| {
            LaunchTemplatePlacementRequest::builder()
                .availability_zone(zone)
                .build()
        });
        let interface = (place.subnet_id.is_some() || public.is_some() || ipv6.is_some()).then(|| {
            LaunchTemplateInstanceNetworkInterfaceSpecificationRequest::builder()
                .device_index(0)
                .set_associate_public_ip_address(public)
                .set_ipv6_address_count(ipv6)
                .set_subnet_id(place.subnet_id)
                .set_groups(Some(access.security_groups.clone()).filter(|groups| !groups.is_empty()))
                .delete_on_termination(true)
                .build()
        });
        (interface, placement)
    }

    /// Tags the request that the instance came from, which only its description names.
    async fn tag_request(&self, instance: &str) -> Result<(), BakeError> {
        let tags = &self.texts.spot_tags;
        if tags.is_empty() {
            return Ok(());
        }
        let aws = &self.cloud.aws;
        let what = format!("instance {instance}");
        let pace = aws.pace(5, Duration::from_mins(3));
        let request = aws
            .instances
            .until(instance, pace, &what, "described with its spot request", |instance| {
                instance?.spot_instance_request_id().map(|id| Ok(id.to_owned()))
            })
            .await?;
        made::note(&request);
        Ok(tag::set(aws.ec2(), vec![request], tags).await?)
    }
}

/// How often a fleet is asked for when there is no capacity: it may come back within seconds.
const TRIES: u32 = 4;

/// Asks for the fleet, again when there is no capacity; answers the instance's id.
async fn run(request: CreateFleetFluentBuilder, token: String, ui: Ui) -> Result<(String, String), SpotError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let request = request.clone().client_token(format!("{token}-{tries}"));
        let answer = call("CreateFleet", || request.clone().send()).await?;
        let instances = answer.instances.unwrap_or_default().into_iter();
        let mut ids = instances.filter_map(|fleet| fleet.instance_ids).flatten();
        if let Some(id) = ids.next() {
            return Ok((id.clone(), id));
        }
        let errors = answer.errors.unwrap_or_default();
        let pools = pools(&errors);
        let may_pass = errors.iter().any(may_pass);
        if tries == TRIES || !may_pass {
            let fleet = answer.fleet_id.unwrap_or_default();
            return Err(SpotError::NoInstance { fleet, pools });
        }
        ui.say(format!("No spot capacity yet:{pools}"));
        pause(Duration::from_secs(1 << tries)).await;
    }
}

/// Whether a fleet that is asked for again may get an instance: there is no capacity now, or what was just made for it is not known yet.
fn may_pass(error: &CreateFleetError) -> bool {
    let code = error.error_code().unwrap_or_default();
    let message = error.error_message().unwrap_or_default();
    ["InsufficientInstanceCapacity", "RequestLimitExceeded", "InternalError"].contains(&code)
        || code.contains("NotFound")
        || message.to_ascii_lowercase().contains("iam instance profile")
}

/// Why each pool gave nothing, a line each.
fn pools(errors: &[CreateFleetError]) -> String {
    if errors.is_empty() {
        return " EC2 gives no reason".into();
    }
    errors.iter().fold(String::new(), |mut pools, error| {
        let overrides = error.launch_template_and_overrides().and_then(|pool| pool.overrides());
        let kind = overrides
            .and_then(|pool| pool.instance_type())
            .map(InstanceType::as_str);
        let place = overrides.and_then(|pool| pool.subnet_id().or(pool.availability_zone()));
        let pool: Vec<&str> = kind.into_iter().chain(place).collect();
        let pool = if pool.is_empty() {
            "the template's type".to_owned()
        } else {
            pool.join(" in ")
        };
        let (code, message) = (
            error.error_code().unwrap_or_default(),
            error.error_message().unwrap_or_default(),
        );
        let _ = write!(pools, "\n- {pool}: {code}: {message}");
        pools
    })
}

fn device(device: &BlockDeviceMapping) -> LaunchTemplateBlockDeviceMappingRequest {
    let ebs = device.ebs().map(|ebs| {
        LaunchTemplateEbsBlockDeviceRequest::builder()
            .set_delete_on_termination(ebs.delete_on_termination)
            .set_encrypted(ebs.encrypted)
            .set_iops(ebs.iops)
            .set_throughput(ebs.throughput)
            .set_volume_size(ebs.volume_size)
            .set_volume_type(ebs.volume_type.clone())
            .set_snapshot_id(ebs.snapshot_id.clone())
            .set_kms_key_id(ebs.kms_key_id.clone())
            .build()
    });
    LaunchTemplateBlockDeviceMappingRequest::builder()
        .set_device_name(device.device_name.clone())
        .set_no_device(device.no_device.clone())
        .set_virtual_name(device.virtual_name.clone())
        .set_ebs(ebs)
        .build()
}

fn metadata(options: &options::RunOptions) -> Option<LaunchTemplateInstanceMetadataOptionsRequest> {
    let words = metadata_words(options)?;
    let request = LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .set_http_endpoint(words.endpoint.map(LaunchTemplateInstanceMetadataEndpointState::from))
        .set_http_tokens(words.tokens.map(LaunchTemplateHttpTokensState::from))
        .set_http_put_response_hop_limit(words.hops)
        .set_instance_metadata_tags(words.tags.map(LaunchTemplateInstanceMetadataTagsState::from));
    Some(request.build())
}

impl From<options::SpotAllocationStrategy> for SpotAllocationStrategy {
    fn from(strategy: options::SpotAllocationStrategy) -> Self {
        use options::SpotAllocationStrategy as Wanted;
        match strategy {
            Wanted::LowestPrice => Self::LowestPrice,
            Wanted::Diversified => Self::Diversified,
            Wanted::CapacityOptimized => Self::CapacityOptimized,
            Wanted::CapacityOptimizedPrioritized => Self::CapacityOptimizedPrioritized,
            Wanted::PriceCapacityOptimized => Self::PriceCapacityOptimized,
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{FleetLaunchTemplateOverrides, LaunchTemplateAndOverridesResponse};

    use super::*;

    #[test]
    fn each_pool_gives_its_reason() {
        let pool = |kind: &str, subnet: Option<&str>| {
            let overrides = FleetLaunchTemplateOverrides::builder()
                .instance_type(InstanceType::from(kind))
                .set_subnet_id(subnet.map(str::to_owned))
                .build();
            let pool = LaunchTemplateAndOverridesResponse::builder()
                .overrides(overrides)
                .build();
            CreateFleetError::builder()
                .launch_template_and_overrides(pool)
                .error_code("InsufficientInstanceCapacity")
                .error_message("none left")
                .build()
        };
        assert_eq!(
            pools(&[pool("m5.large", Some("subnet-1")), pool("m4.large", None)]),
            "\n- m5.large in subnet-1: InsufficientInstanceCapacity: none left\n- m4.large: InsufficientInstanceCapacity: none left"
        );
    }
}
