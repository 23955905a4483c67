//! The network of the instance: VPC, subnets and zones. Without options it is the account's default VPC, and nothing is looked up.

use std::borrow::Cow;
use std::collections::BTreeSet;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, LocationType, Subnet, Vpc};
use bakelite_aws::call::{all, call};
use bakelite_aws::client::Aws;
use bakelite_aws::describe;
use bakelite_aws::error::AwsError;
use bakelite_aws::tag;
use bakelite_engine::error::Explain;
use bakelite_engine::events::Ui;
use bakelite_template::component::Complaint;
use schemars::JsonSchema;
use serde::Deserialize;

use super::filters::{NetworkFilter, SubnetFilter, shown};

/// Where an instance is launched.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct NetworkOptions {
    /// Give the instance a public IP address, or none; default: as the subnet is configured.
    pub associate_public_ip_address: Option<bool>,
    /// How many IPv6 addresses of the subnet the instance gets; default: as the subnet is configured.
    pub ipv6_address_count: Option<u32>,
    /// The zone that the instance runs in.
    pub availability_zone: Option<String>,
    /// The subnet to launch in.
    pub subnet_id: Option<String>,
    /// How the subnet is found when its id is not given. Of several that match, further ones are tried when the first has no capacity.
    pub subnet_filter: Option<SubnetFilter>,
    /// The VPC to launch in. One that is not the default VPC needs `subnet_id` or `subnet_filter`.
    pub vpc_id: Option<String>,
    /// How the VPC is found when its id is not given.
    pub vpc_filter: Option<NetworkFilter>,
}

/// The network that was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) vpc_id: Option<String>,
    /// Where the instance may be launched, the best first; never empty.
    pub(crate) places: Vec<Place>,
    pub(crate) addresses: Addresses,
}

/// The addresses that the instance gets; absent: as the subnet is configured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Whether it gets a public address.
    pub(crate) public: Option<bool>,
    /// How many IPv6 addresses it gets.
    pub(crate) ipv6: Option<i32>,
}

/// A place to launch in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) subnet_id: Option<String>,
    pub(crate) availability_zone: Option<String>,
}

/// Why there is no network for the instance.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    #[error("failed to find the network of the instance")]
    Aws(#[from] AwsError),
    #[error("no {what} found: {filters}")]
    None { what: &'static str, filters: String },
    #[error("{count} {what}s match {filters}, and only one can be used")]
    Several {
        what: &'static str,
        count: usize,
        filters: String,
    },
    #[error("subnet `{subnet}` is in VPC `{is}`, not in `{wanted}`")]
    OtherVpc { subnet: String, is: String, wanted: String },
    #[error("VPC `{vpc}` is not the default VPC of its region, so the launch needs a subnet")]
    NoSubnet { vpc: String },
    #[error("subnet `{subnet}` has no free IP address")]
    Full { subnet: String },
}

impl Explain for NetworkError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Aws(error) => error.help(),
            Self::None { what, .. } => {
                Some(format!("check the filters and the region: a {what} belongs to one region").into())
            }
            Self::Several { what: "subnet", .. } => {
                Some("`most_free = true` takes the one with the most free addresses, `random = true` any".into())
            }
            Self::Several { .. } => Some("add a filter, or give the id".into()),
            Self::NoSubnet { .. } => Some("give `subnet_id` or `subnet_filter`".into()),
            Self::Full { .. } => Some("free an address of it, or give another subnet".into()),
            Self::OtherVpc { .. } => None,
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::OtherVpc { .. } => Some("subnet_id".into()),
            Self::NoSubnet { .. } => Some("vpc_id".into()),
            _ => None,
        }
    }
}

impl NetworkOptions {
    /// Complains about filters without effect.
    pub(crate) fn check(&self, complaints: &mut Vec<Complaint>) {
        if let Some(filter) = &self.vpc_filter {
            filter.check("vpc_filter", complaints);
        }
        if let Some(filter) = &self.subnet_filter {
            filter.check("subnet_filter", complaints);
        }
    }

    fn addresses(&self) -> Addresses {
        let ipv6 = self.ipv6_address_count.filter(|count| *count > 0);
        Addresses {
            public: self.associate_public_ip_address,
            ipv6: ipv6.map(|count| i32::try_from(count).unwrap_or(i32::MAX)),
        }
    }

    fn vpc_filter(&self) -> Option<&NetworkFilter> {
        self.vpc_filter.as_ref().filter(|filter| !filter.is_empty())
    }

    fn subnet_filter(&self) -> Option<&SubnetFilter> {
        self.subnet_filter.as_ref().filter(|filter| !filter.is_empty())
    }
}

/// A choice in the making.
struct Choice<'a> {
    aws: &'a Aws,
    options: &'a NetworkOptions,
    types: &'a [String],
    ui: &'a Ui,
}

/// Chooses the network for an instance of one of these types.
pub(crate) async fn choose(
    aws: &Aws,
    options: &NetworkOptions,
    types: &[String],
    ui: &Ui,
) -> Result<Network, NetworkError> {
    let choice = Choice {
        aws,
        options,
        types,
        ui,
    };
    let vpc = choice.vpc().await?;
    let vpc_id = vpc.as_ref().and_then(Vpc::vpc_id);
    let addresses = options.addresses();
    let subnets = match (&options.subnet_id, options.subnet_filter()) {
        (Some(id), _) => vec![subnet_by_id(aws, id).await?],
        (None, Some(filter)) => choice.by_filter(filter, vpc_id).await?,
        // An interface with or without a public address needs a subnet.
        (None, None) if addresses.public.is_some() => match choice.infer(vpc_id).await {
            Ok(subnets) => subnets,
            Err(error) if vpc.as_ref().is_none_or(is_default) => {
                let why = bakelite_engine::chain_of(&error);
                ui.warn(format!(
                    "no subnet could be inferred ({why}): `associate_public_ip_address` is ignored, and the default VPC decides on a public address"
                ));
                let public = None;
                return Ok(choice.default_vpc(vpc_id, Addresses { public, ..addresses }));
            }
            Err(error) => return Err(error),
        },
        (None, None) => match &vpc {
            Some(vpc) if !is_default(vpc) && options.vpc_id.is_some() => {
                let vpc = vpc.vpc_id().unwrap_or_default().to_owned();
                return Err(NetworkError::NoSubnet { vpc });
            }
            Some(vpc) if !is_default(vpc) => choice.infer(vpc.vpc_id()).await?,
            _ => return Ok(choice.default_vpc(vpc_id, addresses)),
        },
    };
    of_subnets(subnets, vpc_id, addresses)
}

fn is_default(vpc: &Vpc) -> bool {
    vpc.is_default == Some(true)
}

fn of_subnets(subnets: Vec<Subnet>, wanted: Option<&str>, addresses: Addresses) -> Result<Network, NetworkError> {
    let is = subnets.first().and_then(Subnet::vpc_id).unwrap_or_default().to_owned();
    let subnet = || {
        let first = subnets.first().and_then(Subnet::subnet_id);
        first.unwrap_or_default().to_owned()
    };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != is) {
        let (subnet, wanted) = (subnet(), wanted.to_owned());
        return Err(NetworkError::OtherVpc { subnet, is, wanted });
    }
    if subnets
        .iter()
        .all(|subnet| subnet.available_ip_address_count == Some(0))
    {
        return Err(NetworkError::Full { subnet: subnet() });
    }
    let places = subnets.into_iter().map(|subnet| Place {
        subnet_id: subnet.subnet_id,
        availability_zone: subnet.availability_zone,
    });
    Ok(Network {
        vpc_id: Some(is),
        places: places.collect(),
        addresses,
    })
}

impl Choice<'_> {
    /// The VPC, as far as the template names or finds one.
    async fn vpc(&self) -> Result<Option<Vpc>, NetworkError> {
        match (&self.options.vpc_id, self.options.vpc_filter()) {
            // A subnet tells its VPC by itself, and a filter for subnets names it.
            (Some(id), _) if self.options.subnet_id.is_some() || self.options.subnet_filter().is_some() => {
                Ok(Some(Vpc::builder().vpc_id(id).build()))
            }
            (Some(id), _) => vpc_by_id(self.aws, id).await.map(Some),
            (None, Some(filter)) => {
                let vpc = vpc_by_filter(self.aws, filter.list()).await?;
                self.ui.say(format!("VPC: {}", vpc.vpc_id().unwrap_or_default()));
                Ok(Some(vpc))
            }
            (None, None) => Ok(None),
        }
    }

    fn default_vpc(&self, vpc_id: Option<&str>, addresses: Addresses) -> Network {
        Network {
            vpc_id: vpc_id.map(str::to_owned),
            places: vec![Place {
                subnet_id: None,
                availability_zone: self.options.availability_zone.clone(),
            }],
            addresses,
        }
    }

    async fn by_filter(&self, filter: &SubnetFilter, vpc: Option<&str>) -> Result<Vec<Subnet>, NetworkError> {
        let added = [
            ("state", Some("available")),
            ("vpc-id", vpc),
            ("availability-zone", self.options.availability_zone.as_deref()),
        ];
        let filters = filter.list(&added);
        let mut subnets = subnets(self.aws, &filters).await?;
        let count = subnets.len();
        if filter.most_free {
            most_free_first(&mut subnets);
        } else if filter.random && count > 1 {
            // The clock is as good as any die here.
            let micros = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |now| now.subsec_micros());
            subnets.rotate_left(micros as usize % count);
        } else if count > 1 {
            let filters = shown(&filters);
            let what = "subnet";
            return Err(NetworkError::Several { what, count, filters });
        }
        // Further ones are for want of capacity: in another zone, but in the same VPC.
        let mut zones = BTreeSet::new();
        let vpc = subnets.first().and_then(|subnet| subnet.vpc_id.clone());
        subnets.retain(|subnet| subnet.vpc_id == vpc && zones.insert(subnet.availability_zone.clone()));
        self.chosen(subnets, &filters)
    }

    /// Reports which subnet is tried first; without any there is none.
    fn chosen(&self, subnets: Vec<Subnet>, filters: &[Filter]) -> Result<Vec<Subnet>, NetworkError> {
        let first = subnets.first().ok_or_else(|| none("subnet", filters))?;
        self.ui
            .say(format!("Subnet: {}", first.subnet_id().unwrap_or_default()));
        Ok(subnets)
    }

    /// The subnets of a VPC, or of the default one, in zones that offer the instance's types; the most free first.
    async fn infer(&self, vpc: Option<&str>) -> Result<Vec<Subnet>, NetworkError> {
        let vpc = if let Some(vpc) = vpc {
            vpc.to_owned()
        } else {
            let default = vpc_by_filter(self.aws, vec![tag::filter("is-default", "true")]).await?;
            default.vpc_id.unwrap_or_default()
        };
        let mut filters = vec![tag::filter("vpc-id", &vpc), tag::filter("state", "available")];
        let zone = self.options.availability_zone.as_deref();
        filters.extend(zone.map(|zone| tag::filter("availability-zone", zone)));
        let mut subnets = subnets(self.aws, &filters).await?;
        most_free_first(&mut subnets);
        let offering = zones_that_offer(self.aws, self.types).await.unwrap_or_default();
        let offers = |subnet: &Subnet| {
            let zone = subnet.availability_zone();
            zone.is_some_and(|zone| offering.contains(zone))
        };
        if subnets.iter().any(offers) {
            subnets.retain(offers);
        } else if !subnets.is_empty() {
            self.ui.warn(format!(
                "whether a zone offers {} is not known (`ec2:DescribeInstanceTypeOfferings`): the subnet with the most free addresses is taken",
                self.types.join(", ")
            ));
        }
        self.chosen(subnets, &filters)
    }
}

fn most_free_first(subnets: &mut [Subnet]) {
    subnets.sort_by_key(|subnet| std::cmp::Reverse(subnet.available_ip_address_count.unwrap_or_default()));
}

/// The zones of the region that offer one of these instance types.
///
/// # Errors
/// What EC2 answers.
pub(crate) async fn zones_that_offer(aws: &Aws, types: &[String]) -> Result<BTreeSet<String>, AwsError> {
    let named = Filter::builder().name("instance-type").set_values(Some(types.to_vec()));
    let request = aws
        .ec2()
        .describe_instance_type_offerings()
        .location_type(LocationType::AvailabilityZone)
        .filters(named.build());
    let ask = async {
        let pages = request.into_paginator().items().send();
        let offerings = all("DescribeInstanceTypeOfferings", pages).await?;
        Ok(offerings.into_iter().filter_map(|offering| offering.location).collect())
    };
    aws.asked.once(format!("zones {types:?}"), ask).await
}

/// The ids of the security groups that a filter finds.
pub(crate) async fn security_groups(
    ec2: &Client,
    filter: &NetworkFilter,
    vpc: Option<&str>,
) -> Result<Vec<String>, NetworkError> {
    let mut filters = filter.list();
    filters.extend(vpc.map(|vpc| tag::filter("vpc-id", vpc)));
    let groups = describe::security_groups(ec2, filters.clone()).await?;
    let ids: Vec<String> = groups.into_iter().filter_map(|group| group.group_id).collect();
    if ids.is_empty() {
        return Err(none("security group", &filters));
    }
    Ok(ids)
}

/// Makes sure that the security groups exist that the template names.
pub(crate) async fn security_groups_exist(ec2: &Client, ids: &[String]) -> Result<(), NetworkError> {
    let request = ec2.describe_security_groups().set_group_ids(Some(ids.to_vec()));
    match call("DescribeSecurityGroups", || request.clone().send()).await {
        Err(error) if error.is_not_found() => Err(NetworkError::None {
            what: "security group",
            filters: format!("`{}` ({})", ids.join("`, `"), error.message),
        }),
        // Whoever may not look at them may still use them.
        Err(error) if error.is_denied() => Ok(()),
        answer => Ok(answer.map(drop)?),
    }
}

fn none(what: &'static str, filters: &[Filter]) -> NetworkError {
    let filters = shown(filters);
    NetworkError::None { what, filters }
}

/// The subnets that pass all filters; alike bakes of a run ask once.
async fn subnets(aws: &Aws, filters: &[Filter]) -> Result<Vec<Subnet>, AwsError> {
    let ask = describe::subnets(aws.ec2(), filters.to_vec());
    aws.asked.once(format!("subnets {filters:?}"), ask).await
}

async fn vpc_by_id(aws: &Aws, id: &str) -> Result<Vpc, NetworkError> {
    let missing = || NetworkError::None {
        what: "VPC",
        filters: format!("`{id}`"),
    };
    let ask = async {
        let answer = call("DescribeVpcs", || aws.ec2().describe_vpcs().vpc_ids(id).send()).await?;
        Ok::<_, AwsError>(answer.vpcs.unwrap_or_default())
    };
    match aws.asked.once(format!("VPC {id}"), ask).await {
        Err(error) if error.is_not_found() => Err(missing()),
        answer => answer?.pop().ok_or_else(missing),
    }
}

async fn vpc_by_filter(aws: &Aws, filters: Vec<Filter>) -> Result<Vpc, NetworkError> {
    let ask = describe::vpcs(aws.ec2(), filters.clone());
    let mut vpcs = aws.asked.once(format!("VPCs {filters:?}"), ask).await?;
    let count = vpcs.len();
    if count > 1 {
        let filters = shown(&filters);
        let what = "VPC";
        return Err(NetworkError::Several { what, count, filters });
    }
    vpcs.pop().ok_or_else(|| none("VPC", &filters))
}

async fn subnet_by_id(aws: &Aws, id: &str) -> Result<Subnet, NetworkError> {
    let missing = || NetworkError::None {
        what: "subnet",
        filters: format!("`{id}`"),
    };
    let ask = async {
        let answer = call("DescribeSubnets", || aws.ec2().describe_subnets().subnet_ids(id).send()).await?;
        Ok::<_, AwsError>(answer.subnets.unwrap_or_default())
    };
    match aws.asked.once(format!("subnet {id}"), ask).await {
        Err(error) if error.is_not_found() => Err(missing()),
        answer => answer?.pop().ok_or_else(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subnet_with_the_most_free_addresses_goes_first() {
        let subnet = |id: &str, free| {
            let subnet = Subnet::builder().subnet_id(id);
            subnet.set_available_ip_address_count(free).build()
        };
        let mut subnets = [
            subnet("a", Some(10)),
            subnet("b", Some(251)),
            subnet("c", None),
            subnet("d", Some(4091)),
        ];
        most_free_first(&mut subnets);
        let order: Vec<_> = subnets.iter().filter_map(Subnet::subnet_id).collect();
        assert_eq!(order, ["d", "b", "a", "c"]);
    }
}
