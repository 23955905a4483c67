//! The temporary instance: launched with its tags in the same call, waited for, stopped.

use std::time::Duration;

use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    AttributeBooleanValue, AttributeValue, CapacityReservationPreference, CapacityReservationSpecification,
    CapacityReservationTarget, CreditSpecificationRequest, EnclaveOptionsRequest, HttpTokensState,
    IamInstanceProfileSpecification, Instance, InstanceMetadataEndpointState, InstanceMetadataOptionsRequest,
    InstanceMetadataTagsState, InstanceNetworkInterfaceSpecification, InstanceStateName, InstanceType,
    LicenseConfigurationRequest, Placement, ResourceType, ShutdownBehavior, Tenancy,
};
use bakelite_aws::call::call;
use bakelite_aws::error::AwsError;
use bakelite_aws::resource::instance::INSTANCE;
use bakelite_aws::tag;
use bakelite_aws::watch::WaitError;
use bakelite_engine::bake::{BakeError, Made};
use bakelite_engine::provisioner::RunContext;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::blocks::{self, HttpTokens, Switch};
use super::check::local_path;
use super::launch::Launch;
use super::network::Network;
use super::options::{self, RunOptions};
use crate::cloud::Cloud;

/// How long an instance may take to start or to stop.
pub(crate) const INSTANCE_LIMIT: Duration = Duration::from_mins(30);

impl Launch<'_> {
    /// Launches the instance; answers its id.
    pub(crate) async fn instance(
        &self,
        security_groups: &[String],
        key_name: Option<&str>,
    ) -> Result<Made<String>, BakeError> {
        let Self { cloud, options, .. } = self;
        let temporary = cloud.temporary(&INSTANCE);
        let mut instance_tags = self.texts.run_tags.clone();
        instance_tags
            .entry("Name".into())
            .or_insert_with(|| format!("bakelite {}", cloud.bake.name));
        let instance_tags = temporary.tags(&instance_tags);
        let volume_tags = temporary.tags(&self.texts.volume_tags);
        let request = self
            .request(security_groups)
            .set_key_name(key_name.map(str::to_owned))
            .set_user_data(user_data(options, &cloud.bake.run)?)
            .client_token(&temporary.token)
            .tag_specifications(tag::specification(ResourceType::Instance, &instance_tags))
            .tag_specifications(tag::specification(ResourceType::Volume, &volume_tags));
        cloud.say(format!("Launching an instance of type {}...", options.instance_type));
        let made = cloud.create(temporary, run(request)).await?;
        cloud.say(format!("Instance ID: {}", made.value));
        Ok(made)
    }

    fn request(&self, security_groups: &[String]) -> RunInstancesFluentBuilder {
        let Self { options, network, .. } = self;
        let devices = self.devices.clone();
        let unlimited = CreditSpecificationRequest::builder().cpu_credits("unlimited").build();
        let profile = options.iam_instance_profile.as_ref();
        let profile = profile.map(|name| IamInstanceProfileSpecification::builder().name(name).build());
        let licenses = licenses(options);
        let request = self
            .cloud
            .ec2()
            .run_instances()
            .min_count(1)
            .max_count(1)
            .image_id(self.source.image_id().unwrap_or_default())
            .instance_type(InstanceType::from(options.instance_type.as_str()))
            .set_ebs_optimized(options.ebs_optimized.then_some(true))
            .set_placement(placement(options, network))
            .set_metadata_options(metadata(options))
            .set_capacity_reservation_specification(capacity_reservation(options))
            .instance_initiated_shutdown_behavior(options.shutdown_behavior.into())
            .set_block_device_mappings((!devices.is_empty()).then_some(devices))
            .set_iam_instance_profile(profile)
            .set_credit_specification(options.has_unlimited_credits().then_some(unlimited))
            .set_enclave_options(
                options
                    .enable_nitro_enclave
                    .then(|| EnclaveOptionsRequest::builder().enabled(true).build()),
            )
            .set_license_specifications((!licenses.is_empty()).then_some(licenses));
        let (subnet, groups) = (network.subnet_id.clone(), Some(security_groups.to_vec()));
        match options.network.associate_public_ip_address {
            Some(public) => request.network_interfaces(
                InstanceNetworkInterfaceSpecification::builder()
                    .device_index(0)
                    .associate_public_ip_address(public)
                    .set_subnet_id(subnet)
                    .set_groups(groups)
                    .delete_on_termination(true)
                    .build(),
            ),
            None => request.set_subnet_id(subnet).set_security_group_ids(groups),
        }
    }

    /// Stops the instance, or only waits for it when the template stops it itself.
    pub(crate) async fn stop(&self, id: &str) -> Result<(), BakeError> {
        let Cloud { aws, .. } = &self.cloud;
        if self.options.disable_stop_instance {
            self.cloud.say("Waiting for the instance to be stopped from within...");
        } else {
            self.cloud.say("Stopping the instance...");
            call("StopInstances", || aws.ec2().stop_instances().instance_ids(id).send()).await?;
        }
        let what = format!("instance {id}");
        let stopped = |instance: Option<&Instance>| match state(instance?)? {
            InstanceStateName::Stopped => Some(Ok(())),
            InstanceStateName::Terminated | InstanceStateName::ShuttingDown => {
                lost(&what, instance?, "stopped").map(Err)
            }
            _ => None,
        };
        let pace = aws.pace(20, INSTANCE_LIMIT);
        Ok(aws.instances.until(id, pace, &what, "stopped", stopped).await?)
    }

    /// Sets the attributes of enhanced networking, which only a stopped instance accepts.
    pub(crate) async fn set_attributes(&self, id: &str) -> Result<(), BakeError> {
        let modify = || self.cloud.ec2().modify_instance_attribute().instance_id(id);
        if self.options.sriov_support {
            let simple = AttributeValue::builder().value("simple").build();
            let request = modify().sriov_net_support(simple);
            call("ModifyInstanceAttribute", || request.clone().send()).await?;
        }
        if let Some(ena) = self.options.ena_support {
            let ena = AttributeBooleanValue::builder().value(ena).build();
            let request = modify().ena_support(ena);
            call("ModifyInstanceAttribute", || request.clone().send()).await?;
        }
        Ok(())
    }
}

async fn run(request: RunInstancesFluentBuilder) -> Result<(String, String), AwsError> {
    let answer = call("RunInstances", || request.clone().send()).await?;
    let instance = answer.instances.unwrap_or_default().pop();
    let id = instance.and_then(|instance| instance.instance_id);
    let id = id.ok_or_else(|| AwsError::incomplete("RunInstances", "instance"))?;
    Ok((id.clone(), id))
}

fn licenses(options: &RunOptions) -> Vec<LicenseConfigurationRequest> {
    let requests = options.license_specifications.iter();
    let requests = requests.filter_map(|license| license.license_configuration_request.as_ref());
    requests
        .map(|license| {
            LicenseConfigurationRequest::builder()
                .set_license_configuration_arn(license.license_configuration_arn.clone())
                .build()
        })
        .collect()
}

fn placement(options: &RunOptions, network: &Network) -> Option<Placement> {
    let place = options.placement.clone().unwrap_or_default();
    let tenancy = place.tenancy.or(options.tenancy);
    // The subnet determines the zone already.
    let zone = network
        .availability_zone
        .clone()
        .filter(|_| network.subnet_id.is_none());
    let (group, host) = (place.host_resource_group_arn, place.host_id);
    let is_given = tenancy.is_some() || zone.is_some() || group.is_some() || host.is_some();
    is_given.then(|| {
        Placement::builder()
            .set_availability_zone(zone)
            .set_host_resource_group_arn(group)
            .set_host_id(host)
            .set_tenancy(tenancy.map(Tenancy::from))
            .build()
    })
}

fn metadata(options: &RunOptions) -> Option<InstanceMetadataOptionsRequest> {
    let wanted = options.metadata_options.as_ref()?;
    let request = InstanceMetadataOptionsRequest::builder()
        .set_http_endpoint(wanted.http_endpoint.map(|switch| match switch {
            Switch::Enabled => InstanceMetadataEndpointState::Enabled,
            Switch::Disabled => InstanceMetadataEndpointState::Disabled,
        }))
        .set_http_tokens(wanted.http_tokens.map(|tokens| match tokens {
            HttpTokens::Optional => HttpTokensState::Optional,
            HttpTokens::Required => HttpTokensState::Required,
        }))
        .set_http_put_response_hop_limit(wanted.http_put_response_hop_limit.filter(|hops| *hops > 0))
        .set_instance_metadata_tags(wanted.instance_metadata_tags.map(|switch| match switch {
            Switch::Enabled => InstanceMetadataTagsState::Enabled,
            Switch::Disabled => InstanceMetadataTagsState::Disabled,
        }));
    Some(request.build())
}

fn capacity_reservation(options: &RunOptions) -> Option<CapacityReservationSpecification> {
    let preference = options
        .capacity_reservation_preference
        .map(|preference| match preference {
            options::CapacityReservationPreference::Open => CapacityReservationPreference::Open,
            options::CapacityReservationPreference::None => CapacityReservationPreference::None,
        });
    let id = options.capacity_reservation_id.clone();
    let group = options.capacity_reservation_group_arn.clone();
    let target = (id.is_some() || group.is_some()).then(|| {
        CapacityReservationTarget::builder()
            .set_capacity_reservation_id(id)
            .set_capacity_reservation_resource_group_arn(group)
            .build()
    });
    (preference.is_some() || target.is_some()).then(|| {
        CapacityReservationSpecification::builder()
            .set_capacity_reservation_preference(preference)
            .set_capacity_reservation_target(target)
            .build()
    })
}

impl From<blocks::Tenancy> for Tenancy {
    fn from(tenancy: blocks::Tenancy) -> Self {
        match tenancy {
            blocks::Tenancy::Default => Self::Default,
            blocks::Tenancy::Dedicated => Self::Dedicated,
            blocks::Tenancy::Host => Self::Host,
        }
    }
}

impl From<options::ShutdownBehavior> for ShutdownBehavior {
    fn from(behavior: options::ShutdownBehavior) -> Self {
        match behavior {
            options::ShutdownBehavior::Stop => Self::Stop,
            options::ShutdownBehavior::Terminate => Self::Terminate,
        }
    }
}

/// The data for the first boot, in base64 as the API requires. Data that is base64 already is left as it is.
fn user_data(options: &RunOptions, run: &RunContext) -> Result<Option<String>, BakeError> {
    let data = match (&options.user_data, &options.user_data_file) {
        (Some(data), _) => data.clone().into_bytes(),
        (None, Some(file)) => {
            let path = local_path(file, run.home_directory.as_deref(), &run.working_directory);
            let failed = |cause| BakeError::failed(format!("failed to read user data `{}`: {cause}", path.display()));
            std::fs::read(&path).map_err(failed)?
        }
        (None, None) => return Ok(None),
    };
    let encoded = std::str::from_utf8(&data)
        .ok()
        .map(str::trim)
        .filter(|text| STANDARD.decode(text).is_ok());
    Ok(Some(encoded.map_or_else(|| STANDARD.encode(&data), str::to_owned)))
}

/// Waits until the instance runs.
pub(crate) async fn running(cloud: &Cloud<'_>, id: &str) -> Result<(), WaitError> {
    cloud.say(format!("Waiting for instance {id} to become ready..."));
    let what = format!("instance {id}");
    let runs = |instance: Option<&Instance>| match state(instance?)? {
        InstanceStateName::Running => Some(Ok(())),
        _ => lost(&what, instance?, "running").map(Err),
    };
    let pace = cloud.aws.pace(10, INSTANCE_LIMIT);
    cloud.aws.instances.until(id, pace, &what, "running", runs).await
}

fn state(instance: &Instance) -> Option<&InstanceStateName> {
    instance.state()?.name()
}

/// The error of an instance that is being stopped or terminated.
pub(crate) fn lost(what: &str, instance: &Instance, wanted: &'static str) -> Option<WaitError> {
    let state = state(instance)?;
    let going = [
        InstanceStateName::ShuttingDown,
        InstanceStateName::Terminated,
        InstanceStateName::Stopping,
        InstanceStateName::Stopped,
    ];
    let why = instance
        .state_reason()
        .and_then(|reason| reason.message().map(str::to_owned));
    going.contains(state).then(|| WaitError::Lost {
        what: what.to_owned(),
        state: state.as_str().to_owned(),
        wanted,
        why,
    })
}
