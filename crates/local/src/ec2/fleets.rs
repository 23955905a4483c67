//! `CreateFleet`: instant fleets of one instance, from the first of several pools that has capacity.

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::launch;
use crate::ec2::launch_request::Launch;
use crate::ec2::launch_templates::{self, TemplateName};
use crate::ec2::tags::TagSpecifications;
use crate::ids::ResourceKind;
use crate::query::Parameters;
use crate::state::{Fleet, Region};
use crate::xml::Element;

/// Where an instance may come from: a template, and what differs from it.
struct Pool {
    template: TemplateName,
    version: Option<String>,
    instance_type: Option<String>,
    subnet_id: Option<String>,
    zone: Option<String>,
}

/// A pool that has nothing, and why.
struct Failure {
    pool: usize,
    error: ApiError,
}

pub(crate) async fn create_fleet(mut call: Call) -> Answer {
    let parameters = &mut call.parameters;
    if parameters.text("Type").as_deref() != Some("instant") {
        return Err(ApiError::unsupported(
            "the local cloud has only fleets of the type instant",
        ));
    }
    let is_spot = take_capacity(parameters)?;
    take_strategies(parameters)?;
    let client_token = parameters.filled("ClientToken");
    let tags = TagSpecifications::take(parameters, &[ResourceKind::Fleet, ResourceKind::Instance])?;
    let pools = take_pools(parameters)?;
    call.accept()?;
    let token = client_token.unwrap_or_else(|| ResourceKind::Fleet.new_id());
    if let Some(fleet) = call.read(|region| region.fleets.get(&token).cloned())? {
        if fleet.request_digest != call.digest {
            return Err(ApiError::token_reused());
        }
        return answer(&call, &pools, &fleet, &[], is_spot);
    }
    // What is wrong with the request itself is no matter of a pool.
    call.read(|region| pools.iter().try_for_each(|pool| pool.check(region)))??;
    let id = ResourceKind::Fleet.new_id();
    let mut failures = Vec::new();
    let mut instance = None;
    for (index, pool) in pools.iter().enumerate() {
        match pool.launch(&call, &id, is_spot).await {
            Ok(instance_id) => {
                instance = Some((instance_id, index));
                break;
            }
            Err(error) => failures.push(Failure { pool: index, error }),
        }
    }
    let fleet = Fleet {
        id,
        request_digest: call.digest.clone(),
        instance,
    };
    call.change(|region| {
        region.tag(&fleet.id, &tags.of(ResourceKind::Fleet));
        if let Some((instance, _)) = &fleet.instance {
            region.tag(instance, &tags.of(ResourceKind::Instance));
        }
        region.fleets.insert(token, fleet.clone());
        Ok(())
    })?;
    answer(&call, &pools, &fleet, &failures, is_spot)
}

/// Takes the target, which is one instance, and answers whether it is a spot instance.
fn take_capacity(parameters: &mut Parameters) -> Result<bool, ApiError> {
    let mut target = parameters
        .group("TargetCapacitySpecification")
        .ok_or_else(|| ApiError::missing_parameter("TargetCapacitySpecification"))?;
    let total: u32 = target
        .number("TotalTargetCapacity")?
        .ok_or_else(|| ApiError::missing_parameter("TotalTargetCapacity"))?;
    let kind = target.word("DefaultTargetCapacityType", &["spot", "on-demand"])?;
    target.finish()?;
    if total != 1 {
        return Err(ApiError::unsupported("the local cloud's fleets have one instance"));
    }
    Ok(kind.as_deref() == Some("spot"))
}

/// Takes what orders the pools. Here they have the order of the request: there are no prices.
fn take_strategies(parameters: &mut Parameters) -> Result<(), ApiError> {
    let spot = [
        "lowest-price",
        "diversified",
        "capacity-optimized",
        "capacity-optimized-prioritized",
        "price-capacity-optimized",
    ];
    parameters.word("SpotOptions.AllocationStrategy", &spot)?;
    parameters.word("OnDemandOptions.AllocationStrategy", &["lowest-price", "prioritized"])?;
    Ok(())
}

fn take_pools(parameters: &mut Parameters) -> Result<Vec<Pool>, ApiError> {
    let mut pools = Vec::new();
    for mut config in parameters.items("LaunchTemplateConfigs") {
        let mut specification = config
            .group("LaunchTemplateSpecification")
            .ok_or_else(|| ApiError::missing_parameter("LaunchTemplateSpecification"))?;
        let template = TemplateName::take(&mut specification);
        let version = specification.text("Version");
        specification.finish()?;
        let pool = |instance_type, subnet_id, zone| Pool {
            template: template.clone(),
            version: version.clone(),
            instance_type,
            subnet_id,
            zone,
        };
        let overrides = config.items("Overrides");
        if overrides.is_empty() {
            pools.push(pool(None, None, None));
        }
        for mut over in overrides {
            pools.push(pool(
                over.filled("InstanceType"),
                over.filled("SubnetId"),
                over.filled("AvailabilityZone"),
            ));
            let _ = (over.text("MaxPrice"), over.number::<f64>("Priority")?);
            over.finish()?;
        }
        config.finish()?;
    }
    if pools.is_empty() {
        return Err(ApiError::missing_parameter("LaunchTemplateConfigs"));
    }
    Ok(pools)
}

impl Pool {
    fn check(&self, region: &Region) -> Result<(), ApiError> {
        self.template.find(region)?;
        launch_templates::check_version(self.version.as_deref())
    }

    /// Launches the fleet's instance from this pool; answers its id.
    async fn launch(&self, call: &Call, fleet: &str, is_spot: bool) -> Result<String, ApiError> {
        let template = call.read(|region| self.template.find(region).cloned())??;
        let given = [
            ("InstanceType", &self.instance_type),
            ("SubnetId", &self.subnet_id),
            ("Placement.AvailabilityZone", &self.zone),
        ];
        let given = given.into_iter();
        let given = given.filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        let mut parameters = launch_templates::launch(&template, given);
        call.cloud.fresh.check("RunInstances", &parameters, &call.region)?;
        parameters.set_default("ClientToken", fleet);
        let mut launch = Launch::take(&mut parameters)?;
        parameters.finish()?;
        launch.is_spot |= is_spot;
        let (ids, _) = launch::run(call, &launch).await?;
        let id = ids.into_iter().next();
        id.ok_or_else(|| ApiError::internal("a launch without an instance"))
    }

    fn describe(&self) -> Element {
        let specification = Element::new("launchTemplateSpecification")
            .maybe("launchTemplateId", self.template.id.as_ref())
            .maybe("launchTemplateName", self.template.name.as_ref())
            .text("version", self.version.as_deref().unwrap_or("1"));
        let overrides = Element::new("overrides")
            .maybe("instanceType", self.instance_type.as_ref())
            .maybe("subnetId", self.subnet_id.as_ref())
            .maybe("availabilityZone", self.zone.as_ref());
        Element::new("launchTemplateAndOverrides")
            .child(specification)
            .child(overrides)
    }
}

fn answer(call: &Call, pools: &[Pool], fleet: &Fleet, failures: &[Failure], is_spot: bool) -> Answer {
    let lifecycle = if is_spot { "spot" } else { "on-demand" };
    let errors = failures.iter().map(|failure| {
        Element::body()
            .child(pools[failure.pool].describe())
            .text("lifecycle", lifecycle)
            .text("errorCode", &failure.error.code)
            .text("errorMessage", &failure.error.message)
    });
    let instances = call.read(|region| {
        let instance = fleet.instance.iter().filter_map(|(id, pool)| {
            let known = region.instances.get(id)?;
            let item = Element::body()
                .child(pools.get(*pool)?.describe())
                .text("lifecycle", lifecycle)
                .list("instanceIds", [Element::leaf("item", id)])
                .text("instanceType", &known.instance_type)
                .text("availabilityZone", &known.zone)
                .text("subnetId", &known.subnet_id);
            Some(item)
        });
        instance.collect::<Vec<_>>()
    })?;
    Ok(Element::body()
        .text("fleetId", &fleet.id)
        .list("errorSet", errors)
        .list("fleetInstanceSet", instances))
}
