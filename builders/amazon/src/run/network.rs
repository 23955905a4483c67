//! The network of the instance: VPC, subnet and zone. Without options it is the account's default VPC, and nothing is looked up.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Subnet};
use bakelite_aws::call::call;
use bakelite_aws::describe;
use bakelite_aws::error::AwsError;
use bakelite_aws::tag;
use bakelite_engine::error::Explain;
use schemars::JsonSchema;
use serde::Deserialize;

/// Where an instance is launched.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct NetworkOptions {
    /// Give the instance a public IP address, or none; default: as the subnet is configured.
    pub associate_public_ip_address: Option<bool>,
    /// The zone that the instance runs in.
    pub availability_zone: Option<String>,
    /// The subnet to launch in.
    pub subnet_id: Option<String>,
    /// How the subnet is found when its id is not given.
    pub subnet_filter: Option<SubnetFilter>,
    /// The VPC to launch in.
    pub vpc_id: Option<String>,
    /// How the VPC is found when its id is not given.
    pub vpc_filter: Option<NetworkFilter>,
}

/// How a VPC or security groups are found.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct NetworkFilter {
    /// Filters of the Describe operation, by name.
    pub filters: BTreeMap<String, String>,
    /// One more filter; may be repeated.
    pub filter: Vec<NameValue>,
}

/// How a subnet is found.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct SubnetFilter {
    /// Filters of `DescribeSubnets`, by name.
    pub filters: BTreeMap<String, String>,
    /// One more filter; may be repeated.
    pub filter: Vec<NameValue>,
    /// Of several, take the one with the most free addresses.
    pub most_free: bool,
    /// Of several, take any.
    pub random: bool,
}

/// A filter of a Describe operation.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct NameValue {
    /// The filter's name, as in the API reference of EC2: `tag:Name`.
    pub name: String,
    /// The value to match; `*` and `?` are wildcards.
    pub value: String,
}

/// The network that was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) vpc_id: Option<String>,
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
            Self::OtherVpc { .. } => None,
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        matches!(self, Self::OtherVpc { .. }).then_some("subnet_id".into())
    }
}

/// Chooses the network.
pub(crate) async fn choose(ec2: &Client, options: &NetworkOptions) -> Result<Network, NetworkError> {
    let zone = options.availability_zone.as_deref();
    let vpc = match (&options.vpc_id, &options.vpc_filter) {
        (None, Some(filter)) => Some(vpc_by_filter(ec2, filters(&filter.filters, &filter.filter)).await?),
        (id, _) => id.clone(),
    };
    let subnet = match (&options.subnet_id, &options.subnet_filter) {
        (Some(id), _) => subnet_by_id(ec2, id).await?,
        (None, Some(filter)) => subnet_by_filter(ec2, filter, vpc.as_deref(), zone).await?,
        // An interface with or without a public address needs a subnet, and so does a VPC that is not the default one.
        (None, None) if vpc.is_some() || options.associate_public_ip_address.is_some() => {
            let vpc = match vpc.clone() {
                Some(vpc) => vpc,
                None => vpc_by_filter(ec2, vec![tag::filter("is-default", "true")]).await?,
            };
            let freest = SubnetFilter {
                most_free: true,
                ..SubnetFilter::default()
            };
            subnet_by_filter(ec2, &freest, Some(&vpc), zone).await?
        }
        (None, None) => {
            return Ok(Network {
                vpc_id: vpc,
                subnet_id: None,
                availability_zone: options.availability_zone.clone(),
            });
        }
    };
    let is = subnet.vpc_id.unwrap_or_default();
    if let Some(wanted) = vpc.filter(|vpc| *vpc != is) {
        return Err(NetworkError::OtherVpc {
            subnet: subnet.subnet_id.unwrap_or_default(),
            is,
            wanted,
        });
    }
    Ok(Network {
        vpc_id: Some(is),
        subnet_id: subnet.subnet_id,
        availability_zone: subnet.availability_zone,
    })
}

/// The ids of the security groups that a filter finds.
pub(crate) async fn security_groups(
    ec2: &Client,
    filter: &NetworkFilter,
    vpc: Option<&str>,
) -> Result<Vec<String>, NetworkError> {
    let mut filters = filters(&filter.filters, &filter.filter);
    filters.extend(vpc.map(|vpc| tag::filter("vpc-id", vpc)));
    let groups = describe::security_groups(ec2, filters.clone()).await?;
    let ids: Vec<String> = groups.into_iter().filter_map(|group| group.group_id).collect();
    if ids.is_empty() {
        return Err(none("security group", shown(&filters)));
    }
    Ok(ids)
}

fn none(what: &'static str, filters: String) -> NetworkError {
    NetworkError::None { what, filters }
}

fn several(what: &'static str, count: usize, filters: &[Filter]) -> NetworkError {
    NetworkError::Several {
        what,
        count,
        filters: shown(filters),
    }
}

async fn vpc_by_filter(ec2: &Client, filters: Vec<Filter>) -> Result<String, NetworkError> {
    let vpcs = describe::vpcs(ec2, filters.clone()).await?.into_iter();
    let mut ids: Vec<String> = vpcs.filter_map(|vpc| vpc.vpc_id).collect();
    if ids.len() > 1 {
        return Err(several("VPC", ids.len(), &filters));
    }
    ids.pop().ok_or_else(|| none("VPC", shown(&filters)))
}

async fn subnet_by_id(ec2: &Client, id: &str) -> Result<Subnet, NetworkError> {
    let missing = || none("subnet", format!("`{id}`"));
    match call("DescribeSubnets", || ec2.describe_subnets().subnet_ids(id).send()).await {
        Err(error) if error.is_not_found() => Err(missing()),
        answer => answer?.subnets.unwrap_or_default().pop().ok_or_else(missing),
    }
}

async fn subnet_by_filter(
    ec2: &Client,
    filter: &SubnetFilter,
    vpc: Option<&str>,
    zone: Option<&str>,
) -> Result<Subnet, NetworkError> {
    let mut filters = filters(&filter.filters, &filter.filter);
    filters.extend(vpc.map(|vpc| tag::filter("vpc-id", vpc)));
    filters.extend(zone.map(|zone| tag::filter("availability-zone", zone)));
    let mut subnets = describe::subnets(ec2, filters.clone()).await?;
    let count = subnets.len();
    if filter.most_free {
        subnets.sort_by_key(|subnet| subnet.available_ip_address_count.unwrap_or_default());
    } else if filter.random && count > 1 {
        // The clock is as good as any die here.
        let micros = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.subsec_micros());
        subnets.rotate_left(micros as usize % count);
    } else if count > 1 {
        return Err(several("subnet", count, &filters));
    }
    subnets.pop().ok_or_else(|| none("subnet", shown(&filters)))
}

fn filters(map: &BTreeMap<String, String>, blocks: &[NameValue]) -> Vec<Filter> {
    let blocks = blocks.iter().map(|filter| (&filter.name, &filter.value));
    map.iter()
        .chain(blocks)
        .map(|(name, value)| tag::filter(name, value))
        .collect()
}

fn shown(filters: &[Filter]) -> String {
    let shown = filters.iter().map(|filter| {
        let name = filter.name().unwrap_or_default();
        format!("{name} = `{}`", filter.values().join(", "))
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() {
        "an empty filter".into()
    } else {
        shown.join(", ")
    }
}
