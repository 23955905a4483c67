//! The temporary instance: launched with its tags in the same call, waited for, stopped.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    AttributeBooleanValue, AttributeValue, CapacityReservationPreference, CapacityReservationSpecification,
    CapacityReservationTarget, EnclaveOptionsRequest, HttpTokensState, IamInstanceProfileSpecification, Instance,
    InstanceMetadataEndpointState, InstanceMetadataOptionsRequest, InstanceMetadataTagsState, InstanceStateName,
    LicenseConfigurationRequest, Placement, ResourceType, ShutdownBehavior, TagSpecification, Tenancy,
};
use bakelite_aws::call::call;
use bakelite_aws::resource::instance::INSTANCE;
use bakelite_aws::tag::{self, Tags};
use bakelite_aws::watch::WaitError;
use bakelite_engine::bake::{BakeError, Made};
use bakelite_engine::error::Explain;
use bakelite_engine::provisioner::RunContext;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::blocks::{self, HttpTokens, Switch};
use super::check::local_path;
use super::launch::Launch;
use super::network::Place;
use super::options::{self, RunOptions};
use super::placement::Attempts;
use crate::cloud::{Cloud, Temporary};

/// How long an instance may take to start or to stop.
pub(crate) const INSTANCE_LIMIT: Duration = Duration::from_mins(30);

impl Launch<'_> {
    /// Launches the instance, on demand or as a spot instance; answers its id.
    pub(crate) async fn instance(&self, access: &Access) -> Result<Made<String>, BakeError> {
        let cloud = &self.cloud;
        let temporary = cloud.temporary(&INSTANCE);
        let tags = LaunchTags::of(self, &temporary);
        let made = match self.options.spot() {
            Some(spot) => self.spot_instance(access, &spot, temporary, &tags).await?,
            None => self.on_demand(access, temporary, &tags).await?,
        };
        cloud.say(format!("Instance ID: {}", made.value));
        Ok(made)
    }

    async fn on_demand(
        &self,
        access: &Access,
        temporary: Temporary,
        tags: &LaunchTags,
    ) -> Result<Made<String>, BakeError> {
        let Self { cloud, network, .. } = self;
        let request = self.on_demand_request(access.key_name.as_deref(), access.profile.as_deref())?;
        let types = self.options.instance_types();
        let attempts = Attempts {
            aws: Arc::clone(&cloud.aws),
            ui: cloud.bake.ui.clone(),
            request: request.set_tag_specifications(Some(tags.specifications())),
            types: types.clone(),
            unlimited_credits: self.options.has_unlimited_credits(),
            security_groups: access.security_groups.clone(),
            addresses: network.addresses,
            token: temporary.token.clone(),
            places: network.places.clone(),
            any_zone: network.places.iter().all(|place| *place == Place::default()),
        };
        cloud.say(format!(
            "Launching a source AWS instance of type {}...",
            types.join(", ")
        ));
        cloud.create(temporary, attempts.run()).await
    }

    /// The launch on demand without its type, its place, its security groups and its tags.
    pub(crate) fn on_demand_request(
        &self,
        key_name: Option<&str>,
        profile: Option<&str>,
    ) -> Result<RunInstancesFluentBuilder, UserDataError> {
        let options = self.options;
        let enclave = || EnclaveOptionsRequest::builder().enabled(true).build();
        let licenses = licenses(options);
        let request = self.request(key_name, profile)?;
        Ok(request
            .set_placement(placement(options))
            .capacity_reservation_specification(capacity_reservation(options))
            .instance_initiated_shutdown_behavior(options.shutdown_behavior.into())
            .set_enclave_options(options.enable_nitro_enclave.then(enclave))
            .set_license_specifications((!licenses.is_empty()).then_some(licenses)))
    }

    /// The part of a launch that spot instances have, too.
    pub(crate) fn request(
        &self,
        key_name: Option<&str>,
        profile: Option<&str>,
    ) -> Result<RunInstancesFluentBuilder, UserDataError> {
        let options = self.options;
        let profile = profile.map(|name| IamInstanceProfileSpecification::builder().name(name).build());
        let request = self
            .cloud
            .ec2()
            .run_instances()
            .min_count(1)
            .max_count(1)
            .image_id(self.source.image_id().unwrap_or_default())
            .set_ebs_optimized(options.ebs_optimized.then_some(true))
            .set_metadata_options(metadata(options))
            .set_block_device_mappings((!self.devices.is_empty()).then(|| self.devices.clone()))
            .set_iam_instance_profile(profile)
            .set_key_name(key_name.map(str::to_owned));
        Ok(request.set_user_data(user_data(options, &self.cloud.bake.run)?))
    }

    /// Stops the instance, or only waits for it when the template stops it itself.
    pub(crate) async fn stop(&self, id: &str) -> Result<(), BakeError> {
        let Cloud { aws, .. } = &self.cloud;
        if self.options.spot().is_some() {
            self.cloud.say("A spot instance is not stopped");
            return Ok(());
        }
        if self.options.disable_stop_instance {
            self.cloud.say("Waiting for the instance to be stopped from within...");
        } else {
            self.cloud.say("Stopping the source instance...");
            aws.stops.call(id.to_owned()).await?;
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
        let pace = if self.options.disable_stop_instance {
            pace
        } else {
            pace.just_begun()
        };
        Ok(aws.instances.until(id, pace, &what, "stopped", stopped).await?)
    }

    /// Sets the attributes of enhanced networking, which only a stopped instance accepts.
    pub(crate) async fn set_attributes(&self, id: &str) -> Result<(), BakeError> {
        if self.options.spot().is_some() {
            return Ok(());
        }
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

/// What lets the bake into the instance, and the instance into AWS.
pub(crate) struct Access {
    pub(crate) security_groups: Vec<String>,
    pub(crate) key_name: Option<String>,
    /// The instance profile's name.
    pub(crate) profile: Option<String>,
}

/// The tags of what a launch makes.
pub(crate) struct LaunchTags {
    instance: Tags,
    volume: Tags,
    /// Only where the user gives tags: whoever gives none may not have the permission.
    interface: Option<Tags>,
}

impl LaunchTags {
    fn of(launch: &Launch<'_>, temporary: &Temporary) -> Self {
        let users = &launch.texts.run_tags;
        let mut instance = users.clone();
        instance
            .entry("Name".into())
            .or_insert_with(|| format!("bakelite {}", launch.cloud.bake.name));
        Self {
            instance: temporary.tags(&instance),
            volume: temporary.tags(&launch.texts.volume_tags),
            interface: (!users.is_empty()).then(|| temporary.tags(users)),
        }
    }

    /// What is tagged, and with what.
    pub(crate) fn by_type(&self) -> impl Iterator<Item = (ResourceType, &Tags)> {
        let always = [
            (ResourceType::Instance, &self.instance),
            (ResourceType::Volume, &self.volume),
        ];
        let interface = self.interface.as_ref();
        always
            .into_iter()
            .chain(interface.map(|tags| (ResourceType::NetworkInterface, tags)))
    }

    fn specifications(&self) -> Vec<TagSpecification> {
        self.by_type()
            .map(|(kind, tags)| tag::specification(kind, tags))
            .collect()
    }
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

fn placement(options: &RunOptions) -> Option<Placement> {
    let place = options.placement.clone().unwrap_or_default();
    let tenancy = place.tenancy.or(options.tenancy);
    let (group, host) = (place.host_resource_group_arn, place.host_id);
    let is_given = tenancy.is_some() || group.is_some() || host.is_some();
    is_given.then(|| {
        Placement::builder()
            .set_host_resource_group_arn(group)
            .set_host_id(host)
            .set_tenancy(tenancy.map(Tenancy::from))
            .build()
    })
}

/// The options of the metadata service, as far as they are given, in the API's words.
pub(crate) struct MetadataWords {
    pub(crate) endpoint: Option<&'static str>,
    pub(crate) tokens: Option<&'static str>,
    pub(crate) hops: Option<i32>,
    pub(crate) tags: Option<&'static str>,
}

/// Absent when the template gives none: then the account's defaults count.
pub(crate) fn metadata_words(options: &RunOptions) -> Option<MetadataWords> {
    let wanted = options.metadata_options.as_ref()?;
    let switch = |switch: Switch| match switch {
        Switch::Enabled => "enabled",
        Switch::Disabled => "disabled",
    };
    let words = MetadataWords {
        endpoint: wanted.http_endpoint.map(switch),
        tokens: wanted.http_tokens.map(|tokens| match tokens {
            HttpTokens::Optional => "optional",
            HttpTokens::Required => "required",
        }),
        hops: wanted.http_put_response_hop_limit.filter(|hops| *hops > 0),
        tags: wanted.instance_metadata_tags.map(switch),
    };
    let is_given = words.endpoint.is_some() || words.tokens.is_some() || words.hops.is_some() || words.tags.is_some();
    is_given.then_some(words)
}

fn metadata(options: &RunOptions) -> Option<InstanceMetadataOptionsRequest> {
    let words = metadata_words(options)?;
    let request = InstanceMetadataOptionsRequest::builder()
        .set_http_endpoint(words.endpoint.map(InstanceMetadataEndpointState::from))
        .set_http_tokens(words.tokens.map(HttpTokensState::from))
        .set_http_put_response_hop_limit(words.hops)
        .set_instance_metadata_tags(words.tags.map(InstanceMetadataTagsState::from));
    Some(request.build())
}

/// The reservation that the template asks for; without one, the bake takes nobody's.
fn capacity_reservation(options: &RunOptions) -> CapacityReservationSpecification {
    let id = options.capacity_reservation_id.clone();
    let group = options.capacity_reservation_group_arn.clone();
    if id.is_some() || group.is_some() {
        let target = CapacityReservationTarget::builder()
            .set_capacity_reservation_id(id)
            .set_capacity_reservation_resource_group_arn(group)
            .build();
        return CapacityReservationSpecification::builder()
            .capacity_reservation_target(target)
            .build();
    }
    let preference = match options.capacity_reservation_preference {
        Some(options::CapacityReservationPreference::Open) => CapacityReservationPreference::Open,
        Some(options::CapacityReservationPreference::None) | None => CapacityReservationPreference::None,
    };
    CapacityReservationSpecification::builder()
        .capacity_reservation_preference(preference)
        .build()
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

/// The file of the data for the first boot cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read user data `{}`", path.display())]
pub(crate) struct UserDataError {
    path: PathBuf,
    #[source]
    cause: std::io::Error,
}

impl Explain for UserDataError {
    fn option(&self) -> Option<Cow<'_, str>> {
        Some("user_data_file".into())
    }
}

/// The data for the first boot, in base64 as the API requires.
pub(crate) fn user_data(options: &RunOptions, run: &RunContext) -> Result<Option<String>, UserDataError> {
    let data = match (&options.user_data, &options.user_data_file) {
        (Some(data), _) => data.clone().into_bytes(),
        (None, Some(file)) => {
            let path = local_path(file, run.home_directory.as_deref(), &run.working_directory);
            std::fs::read(&path).map_err(|cause| UserDataError { path, cause })?
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(encoded(&data)))
}

/// Data that is base64 already, and of something that the first boot understands, is left as it is.
fn encoded(data: &[u8]) -> String {
    let text = std::str::from_utf8(data).ok().map(str::trim);
    let is_encoded = |text: &&str| STANDARD.decode(text).is_ok_and(|decoded| is_user_data(&decoded));
    text.filter(is_encoded)
        .map_or_else(|| STANDARD.encode(data), str::to_owned)
}

/// Scripts, cloud-config and the like begin with `#`, those of Windows with `<`; the rest is MIME or compressed.
fn is_user_data(data: &[u8]) -> bool {
    let head = data.trim_ascii_start();
    let begins = |text: &str| {
        let begin = head.get(..text.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(text.as_bytes()))
    };
    data.starts_with(&[0x1f, 0x8b]) || ["#", "<", "content-type:", "mime-version:"].into_iter().any(begins)
}

/// Waits until the instance runs.
pub(crate) async fn running(cloud: &Cloud<'_>, id: &str) -> Result<(), WaitError> {
    cloud.say(format!("Waiting for instance ({id}) to become ready..."));
    let what = format!("instance {id}");
    let runs = |instance: Option<&Instance>| match state(instance?)? {
        InstanceStateName::Running => Some(Ok(())),
        _ => lost(&what, instance?, "running").map(Err),
    };
    let pace = cloud.aws.pace(12, INSTANCE_LIMIT).just_begun();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_decodes_to_user_data_counts_as_encoded() {
        let script = STANDARD.encode("#!/bin/sh\n");
        assert_eq!(encoded(script.as_bytes()), script);
        assert_eq!(encoded(format!("{script}\n").as_bytes()), script);
        for text in ["test", "", "#!/bin/sh\n"] {
            assert_eq!(encoded(text.as_bytes()), STANDARD.encode(text), "{text}");
        }
        for data in [&b"<powershell>"[..], b"Content-Type: multipart/mixed", b"\x1f\x8b\x08"] {
            let data = STANDARD.encode(data);
            assert_eq!(encoded(data.as_bytes()), data);
        }
    }
}
