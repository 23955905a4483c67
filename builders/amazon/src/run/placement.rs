//! A launch where there is capacity: when a place has none, the next one is tried, each attempt said.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{CreditSpecificationRequest, InstanceNetworkInterfaceSpecification, InstanceType, Placement};
use bakelite_aws::call::call;
use bakelite_aws::client::Aws;
use bakelite_aws::error::AwsError;
use bakelite_aws::retry::ErrorClass;
use bakelite_engine::error::Explain;
use bakelite_engine::events::Ui;

use super::network::{Addresses, Place, zones_that_offer};

/// A launch with all places that it may go to.
pub(crate) struct Attempts {
    pub(crate) aws: Arc<Aws>,
    pub(crate) ui: Ui,
    /// The launch without its place.
    pub(crate) request: RunInstancesFluentBuilder,
    /// The types that it may have, in the order in which they are tried.
    pub(crate) types: Vec<String>,
    pub(crate) unlimited_credits: bool,
    pub(crate) security_groups: Vec<String>,
    pub(crate) addresses: Addresses,
    /// Makes each attempt idempotent.
    pub(crate) token: String,
    pub(crate) places: Vec<Place>,
    /// No zone was wished for: any that offers the type will do.
    pub(crate) any_zone: bool,
}

/// Why there is no instance.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// There is no capacity anywhere.
    #[error("no capacity for an instance of type `{kind}`:{attempts}")]
    NoCapacity { kind: String, attempts: String },
}

impl Explain for LaunchError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Aws(error) => error.help(),
            Self::NoCapacity { .. } => Some(
                "try again later, take another `instance_type`, or give a `subnet_filter` that matches subnets of several zones".into(),
            ),
        }
    }
}

impl Attempts {
    /// Launches in the first place that has capacity; answers the instance's id.
    pub(crate) async fn run(self) -> Result<(String, String), LaunchError> {
        let mut failed = Vec::new();
        for kind in &self.types {
            let mut places = VecDeque::from(self.places.clone());
            let mut is_first = true;
            while let Some(place) = places.pop_front() {
                let error = match self.attempt(kind, &place, failed.len()).await {
                    Ok(id) => return Ok((id.clone(), id)),
                    Err(error) if error.class == ErrorClass::Capacity => error,
                    Err(error) => return Err(error.into()),
                };
                self.ui
                    .say(format!("No capacity for {kind} in {place}: {}", error.message));
                if is_first && self.any_zone {
                    places.extend(self.other_zones(kind, &error.message).await);
                }
                is_first = false;
                failed.push((format!("{kind} in {place}"), error));
            }
        }
        if failed.len() == 1
            && let Some((_, error)) = failed.pop()
        {
            return Err(error.into());
        }
        let attempts = failed.iter().fold(String::new(), |mut list, (place, error)| {
            let _ = write!(list, "\n- {place}: {}", error.message);
            list
        });
        let kind = self.types.join("`, `");
        Err(LaunchError::NoCapacity { kind, attempts })
    }

    async fn attempt(&self, kind: &str, place: &Place, before: usize) -> Result<String, AwsError> {
        let token = match before {
            0 => self.token.clone(),
            before => format!("{}-{before}", self.token),
        };
        let request = at(self.request.clone(), place, self.addresses, &self.security_groups);
        let request = of_type(request, kind, self.unlimited_credits).client_token(token);
        let answer = call("RunInstances", || request.clone().send()).await?;
        let instance = answer.instances.unwrap_or_default().pop();
        let id = instance.and_then(|instance| instance.instance_id);
        id.ok_or_else(|| AwsError::incomplete("RunInstances", "instance"))
    }

    /// The zones that offer the type, but for that which the message is about.
    async fn other_zones(&self, kind: &str, message: &str) -> Vec<Place> {
        let zones = zones_that_offer(&self.aws, &[kind.to_owned()]).await;
        // EC2 names the zone that it chose behind these words, and further down those that have capacity.
        let chosen = message
            .split_once("Availability Zone you requested (")
            .map(|(_, rest)| rest);
        let is_other = |zone: &String| !chosen.is_some_and(|rest| rest.starts_with(zone.as_str()));
        let place = |zone| Place {
            subnet_id: None,
            availability_zone: Some(zone),
        };
        zones
            .unwrap_or_default()
            .into_iter()
            .filter(is_other)
            .map(place)
            .collect()
    }
}

/// The request for an instance of this type.
pub(crate) fn of_type(
    request: RunInstancesFluentBuilder,
    kind: &str,
    unlimited_credits: bool,
) -> RunInstancesFluentBuilder {
    let credits = cpu_credits(kind, unlimited_credits);
    let credits = credits.map(|credits| CreditSpecificationRequest::builder().cpu_credits(credits).build());
    request
        .instance_type(InstanceType::from(kind))
        .set_credit_specification(credits)
}

/// What an instance of this type does when its CPU credits are used up; nothing for types that have none.
pub(crate) fn cpu_credits(kind: &str, unlimited: bool) -> Option<&'static str> {
    let family = kind.split('.').next().unwrap_or_default();
    if unlimited {
        Some("unlimited")
    } else {
        BURSTABLE.contains(&family).then_some("standard")
    }
}

/// The families of instance types that have CPU credits.
pub(crate) const BURSTABLE: [&str; 4] = ["t2", "t3", "t3a", "t4g"];

/// The request in this place.
pub(crate) fn at(
    request: RunInstancesFluentBuilder,
    place: &Place,
    addresses: Addresses,
    security_groups: &[String],
) -> RunInstancesFluentBuilder {
    let groups = (!security_groups.is_empty()).then(|| security_groups.to_vec());
    let subnet = place.subnet_id.clone();
    // The subnet determines the zone already.
    let zone = place.availability_zone.clone().filter(|_| subnet.is_none());
    let request = match zone {
        Some(zone) => {
            let placement = request.get_placement().clone();
            let placement = placement.unwrap_or_else(|| Placement::builder().build());
            request.placement(zoned(&placement, zone))
        }
        None => request,
    };
    match addresses.public {
        Some(public) => request.network_interfaces(
            InstanceNetworkInterfaceSpecification::builder()
                .device_index(0)
                .associate_public_ip_address(public)
                .set_ipv6_address_count(addresses.ipv6)
                .set_subnet_id(subnet)
                .set_groups(groups)
                .delete_on_termination(true)
                .build(),
        ),
        None => request
            .set_subnet_id(subnet)
            .set_security_group_ids(groups)
            .set_ipv6_address_count(addresses.ipv6),
    }
}

fn zoned(placement: &Placement, zone: String) -> Placement {
    Placement::builder()
        .availability_zone(zone)
        .set_host_resource_group_arn(placement.host_resource_group_arn.clone())
        .set_host_id(placement.host_id.clone())
        .set_tenancy(placement.tenancy.clone())
        .build()
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.subnet_id, &self.availability_zone) {
            (Some(subnet), Some(zone)) => write!(f, "{subnet} ({zone})"),
            (Some(subnet), None) => f.write_str(subnet),
            (None, Some(zone)) => f.write_str(zone),
            (None, None) => f.write_str("the zone that EC2 chose"),
        }
    }
}
