//! The temporary instance: launched with its tags in the same call, waited for, stopped.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    AttributeBooleanValue, AttributeValue, CapacityReservationPreference, CapacityReservationSpecification,
    CapacityReservationTarget, CreditSpecificationRequest, EnclaveOptionsRequest, IamInstanceProfileSpecification,
    Image, Instance, InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification, InstanceStateName,
    InstanceType, LicenseConfigurationRequest, Placement, ResourceType, ShutdownBehavior, Tenancy,
};
use bakelite_aws::class::{AwsError, ErrorClass};
use bakelite_aws::client::Aws;
use bakelite_aws::tag;
use bakelite_aws::undo::ResourceKind;
use bakelite_aws::watch::WaitError;
use bakelite_engine::bake::{Bake, BakeError, Made};
use bakelite_engine::provisioner::RunContext;
use bakelite_engine::undo::Undo;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::INSTANCE_LIMIT;
use super::options::Options;
use crate::block_device;
use crate::network::Network;
use crate::tags::Texts;

/// What is launched.
pub(crate) struct Wanted<'a> {
    pub(crate) options: &'a Options,
    pub(crate) source: &'a Image,
    pub(crate) network: &'a Network,
    pub(crate) security_groups: &'a [String],
    pub(crate) key_name: Option<&'a str>,
}

/// Launches the instance; answers its id.
pub(crate) async fn launch(
    bake: &Bake,
    aws: &Arc<Aws>,
    undo: &Arc<dyn Undo>,
    wanted: &Wanted<'_>,
    texts: &Texts,
) -> Result<Made<String>, BakeError> {
    let token = uuid::Uuid::now_v7().to_string();
    let mut instance_tags = texts.run_tags.clone();
    instance_tags
        .entry("Name".into())
        .or_insert_with(|| format!("bakelite {}", bake.name));
    let instance_tags = tag::temporary(&bake.run.id, &token, &instance_tags);
    let volume_tags = tag::temporary(&bake.run.id, &token, &texts.volume_tags);
    let request = request(aws.ec2(), wanted, user_data(wanted.options, &bake.run)?)
        .client_token(&token)
        .tag_specifications(tag::specification(ResourceType::Instance, &instance_tags))
        .tag_specifications(tag::specification(ResourceType::Volume, &volume_tags));
    bake.ui.say(format!(
        "Launching an instance of type {}...",
        wanted.options.instance_type()
    ));
    let resource = ResourceKind::Instance.resource(aws, &token);
    let made = bake.create(Arc::clone(undo), resource, run(request)).await?;
    bake.ui.say(format!("Instance ID: {}", made.value));
    Ok(made)
}

/// Makes the call. A key pair or security group that was made a moment ago may not be known everywhere yet.
async fn run(request: RunInstancesFluentBuilder) -> Result<(String, String), AwsError> {
    let mut tries = 0;
    let answer = loop {
        let answer = request
            .clone()
            .send()
            .await
            .map_err(|error| AwsError::of("RunInstances", &error));
        tries += 1;
        match answer {
            Err(error) if error.class == ErrorClass::NotFound && tries < 5 && is_ours(&error) => {
                bakelite_aws::watch::pause(Duration::from_millis(250 << tries)).await;
            }
            answer => break answer?,
        }
    };
    let instance = answer
        .instances()
        .first()
        .and_then(|instance| instance.instance_id().map(str::to_owned));
    let id = instance.ok_or_else(|| AwsError::incomplete("RunInstances", "instance"))?;
    Ok((id.clone(), id))
}

fn is_ours(error: &AwsError) -> bool {
    matches!(
        error.code.as_deref(),
        Some("InvalidGroup.NotFound" | "InvalidKeyPair.NotFound")
    )
}

fn request(ec2: &Client, wanted: &Wanted<'_>, user_data: Option<String>) -> RunInstancesFluentBuilder {
    let options = wanted.options;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut request = ec2
        .run_instances()
        .min_count(1)
        .max_count(1)
        .image_id(wanted.source.image_id().unwrap_or_default())
        .instance_type(InstanceType::from(options.instance_type()))
        .set_key_name(wanted.key_name.map(str::to_owned))
        .set_user_data(user_data)
        .set_ebs_optimized(options.ebs_optimized)
        .set_placement(placement(wanted))
        .set_metadata_options(metadata(options))
        .set_capacity_reservation_specification(capacity_reservation(options))
        .instance_initiated_shutdown_behavior(ShutdownBehavior::from(
            options
                .shutdown_behavior
                .as_deref()
                .filter(|text| !text.is_empty())
                .unwrap_or("stop"),
        ));
    let devices = block_device::mappings(&options.launch_block_device_mappings);
    request = request.set_block_device_mappings((!devices.is_empty()).then_some(devices));
    request = match options.associate_public_ip_address {
        Some(public) => request.network_interfaces(
            InstanceNetworkInterfaceSpecification::builder()
                .device_index(0)
                .associate_public_ip_address(public)
                .set_subnet_id(wanted.network.subnet_id.clone())
                .set_groups(Some(wanted.security_groups.to_vec()))
                .delete_on_termination(true)
                .build(),
        ),
        None => request
            .set_subnet_id(wanted.network.subnet_id.clone())
            .set_security_group_ids(Some(wanted.security_groups.to_vec())),
    };
    if let Some(name) = given(&options.iam_instance_profile) {
        request = request.iam_instance_profile(IamInstanceProfileSpecification::builder().name(name).build());
    }
    if options.enable_unlimited_credits.or(options.enable_t2_unlimited) == Some(true) {
        request = request.credit_specification(CreditSpecificationRequest::builder().cpu_credits("unlimited").build());
    }
    if options.enable_nitro_enclave == Some(true) {
        request = request.enclave_options(EnclaveOptionsRequest::builder().enabled(true).build());
    }
    for license in options
        .license_specifications
        .iter()
        .filter_map(|license| license.license_configuration_request.as_ref())
    {
        let license = LicenseConfigurationRequest::builder()
            .set_license_configuration_arn(license.license_configuration_arn.clone());
        request = request.license_specifications(license.build());
    }
    request
}

fn placement(wanted: &Wanted<'_>) -> Option<Placement> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let place = wanted.options.placement.clone().unwrap_or_default();
    let tenancy = given(&place.tenancy).or_else(|| given(&wanted.options.tenancy));
    // The subnet says the zone already.
    let zone = wanted
        .network
        .availability_zone
        .clone()
        .filter(|_| wanted.network.subnet_id.is_none());
    let (group, host) = (given(&place.host_resource_group_arn), given(&place.host_id));
    if tenancy.is_none() && zone.is_none() && group.is_none() && host.is_none() {
        return None;
    }
    let placement = Placement::builder()
        .set_availability_zone(zone)
        .set_host_resource_group_arn(group)
        .set_host_id(host);
    Some(
        placement
            .set_tenancy(tenancy.map(|tenancy| Tenancy::from(tenancy.as_str())))
            .build(),
    )
}

fn metadata(options: &Options) -> Option<InstanceMetadataOptionsRequest> {
    let wanted = options.metadata_options.as_ref()?;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let request = InstanceMetadataOptionsRequest::builder()
        .set_http_endpoint(given(&wanted.http_endpoint).map(|text| text.as_str().into()))
        .set_http_tokens(given(&wanted.http_tokens).map(|text| text.as_str().into()))
        .set_http_put_response_hop_limit(wanted.http_put_response_hop_limit.filter(|hops| *hops > 0))
        .set_instance_metadata_tags(given(&wanted.instance_metadata_tags).map(|text| text.as_str().into()));
    Some(request.build())
}

fn capacity_reservation(options: &Options) -> Option<CapacityReservationSpecification> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let preference = given(&options.capacity_reservation_preference);
    let (id, group) = (
        given(&options.capacity_reservation_id),
        given(&options.capacity_reservation_group_arn),
    );
    if preference.is_none() && id.is_none() && group.is_none() {
        return None;
    }
    let mut specification = CapacityReservationSpecification::builder()
        .set_capacity_reservation_preference(preference.map(|text| CapacityReservationPreference::from(text.as_str())));
    if id.is_some() || group.is_some() {
        let target = CapacityReservationTarget::builder()
            .set_capacity_reservation_id(id)
            .set_capacity_reservation_resource_group_arn(group);
        specification = specification.capacity_reservation_target(target.build());
    }
    Some(specification.build())
}

/// The data for the first boot, as the API wants it. Data that is base64 already goes as it is.
fn user_data(options: &Options, run: &RunContext) -> Result<Option<String>, BakeError> {
    let data = match (&options.user_data, &options.user_data_file) {
        (Some(data), _) if !data.is_empty() => data.clone().into_bytes(),
        (_, Some(file)) if !file.is_empty() => {
            let path = super::check::local_path(file, run.home_folder.as_deref(), &run.working_folder);
            std::fs::read(&path)
                .map_err(|cause| BakeError::failed(format!("read user data `{}`: {cause}", path.display())))?
        }
        _ => return Ok(None),
    };
    let encoded = std::str::from_utf8(&data)
        .ok()
        .map(str::trim)
        .filter(|text| STANDARD.decode(text).is_ok());
    Ok(Some(encoded.map_or_else(|| STANDARD.encode(&data), str::to_owned)))
}

/// Waits until the instance runs.
pub(crate) async fn running(bake: &Bake, aws: &Aws, id: &str) -> Result<(), WaitError> {
    bake.ui.say(format!("Waiting for instance {id} to become ready..."));
    let what = format!("instance {id}");
    let runs = |instance: Option<&Instance>| match state(instance?)? {
        InstanceStateName::Running => Some(Ok(())),
        _ => lost(&what, instance?, "running").map(Err),
    };
    aws.instances
        .until(id, aws.pace(10, INSTANCE_LIMIT), &what, "running", runs)
        .await
}

/// Stops the instance, or only waits for it when the template stops it itself.
pub(crate) async fn stop(bake: &Bake, aws: &Aws, id: &str, options: &Options) -> Result<(), BakeError> {
    if options.disable_stop_instance == Some(true) {
        bake.ui.say("Waiting for the instance to be stopped from within...");
    } else {
        bake.ui.say("Stopping the instance...");
        let answer = aws.ec2().stop_instances().instance_ids(id).send().await;
        answer.map_err(|error| AwsError::of("StopInstances", &error))?;
    }
    let what = format!("instance {id}");
    let stopped = |instance: Option<&Instance>| match state(instance?)? {
        InstanceStateName::Stopped => Some(Ok(())),
        InstanceStateName::Terminated | InstanceStateName::ShuttingDown => lost(&what, instance?, "stopped").map(Err),
        _ => None,
    };
    aws.instances
        .until(id, aws.pace(20, INSTANCE_LIMIT), &what, "stopped", stopped)
        .await
        .map_err(BakeError::failed)
}

/// Sets the attributes of enhanced networking; a stopped instance takes them.
pub(crate) async fn set_attributes(ec2: &Client, id: &str, options: &Options) -> Result<(), BakeError> {
    let failed = |error| AwsError::of("ModifyInstanceAttribute", &error);
    if options.sriov_support == Some(true) {
        let simple = AttributeValue::builder().value("simple").build();
        ec2.modify_instance_attribute()
            .instance_id(id)
            .sriov_net_support(simple)
            .send()
            .await
            .map_err(failed)?;
    }
    if let Some(ena) = options.ena_support {
        let ena = AttributeBooleanValue::builder().value(ena).build();
        ec2.modify_instance_attribute()
            .instance_id(id)
            .ena_support(ena)
            .send()
            .await
            .map_err(failed)?;
    }
    Ok(())
}

fn state(instance: &Instance) -> Option<&InstanceStateName> {
    instance.state()?.name()
}

/// The error of an instance that is on its way out.
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
