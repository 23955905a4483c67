//! Where the instance stands: VPC, subnet and zone. Nothing given means the account's default VPC, without asking for it.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Subnet};
use bakelite_aws::class::AwsError;
use bakelite_aws::tag;
use bakelite_engine::bake::BakeError;

use crate::ebs::blocks::{NameValue, NetworkFilter, SubnetFilter};
use crate::ebs::options::Options;

/// Where the instance stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) vpc_id: Option<String>,
    pub(crate) subnet_id: Option<String>,
    pub(crate) availability_zone: Option<String>,
}

/// Why there is no place for the instance.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    #[error("find the network of the instance")]
    Aws(#[from] AwsError),
    #[error("{what} is not found: {filters}")]
    None { what: &'static str, filters: String },
    #[error("{what} is not clear: {count} pass {filters}")]
    Several {
        what: &'static str,
        count: usize,
        filters: String,
    },
    #[error("subnet `{subnet}` is in VPC `{is}`, not in `{wanted}`")]
    OtherVpc { subnet: String, is: String, wanted: String },
}

impl From<NetworkError> for BakeError {
    fn from(error: NetworkError) -> Self {
        BakeError::failed(error)
    }
}

/// Chooses the network that the options ask for.
pub(crate) async fn choose(ec2: &Client, options: &Options) -> Result<Network, NetworkError> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let zone = given(&options.availability_zone);
    let vpc = match (given(&options.vpc_id), &options.vpc_filter) {
        (None, Some(filter)) => Some(vpc_by_filter(ec2, filters(&filter.filters, &filter.filter)).await?),
        (id, _) => id,
    };
    let subnet = match (given(&options.subnet_id), &options.subnet_filter) {
        (Some(id), _) => Some(subnet_by_id(ec2, &id).await?),
        (None, Some(filter)) => Some(subnet_by_filter(ec2, filter, vpc.as_deref(), zone.as_deref()).await?),
        // An interface with or without a public address needs a subnet, and so does a VPC that is not the default one.
        (None, None) if vpc.is_some() || options.associate_public_ip_address.is_some() => {
            let vpc = match vpc.clone() {
                Some(vpc) => vpc,
                None => vpc_by_filter(ec2, vec![tag::filter("is-default", "true")]).await?,
            };
            let freest = SubnetFilter {
                most_free: Some(true),
                ..SubnetFilter::default()
            };
            Some(subnet_by_filter(ec2, &freest, Some(&vpc), zone.as_deref()).await?)
        }
        (None, None) => None,
    };
    let Some(subnet) = subnet else {
        return Ok(Network {
            vpc_id: vpc,
            subnet_id: None,
            availability_zone: zone,
        });
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
    let answer = ec2
        .describe_security_groups()
        .set_filters(Some(filters.clone()))
        .send()
        .await;
    let answer = answer.map_err(|error| AwsError::of("DescribeSecurityGroups", &error))?;
    let ids: Vec<String> = answer
        .security_groups()
        .iter()
        .filter_map(|group| group.group_id().map(str::to_owned))
        .collect();
    if ids.is_empty() {
        return Err(NetworkError::None {
            what: "security group",
            filters: shown(&filters),
        });
    }
    Ok(ids)
}

async fn vpc_by_filter(ec2: &Client, filters: Vec<Filter>) -> Result<String, NetworkError> {
    let answer = ec2.describe_vpcs().set_filters(Some(filters.clone())).send().await;
    let answer = answer.map_err(|error| AwsError::of("DescribeVpcs", &error))?;
    let ids: Vec<&str> = answer.vpcs().iter().filter_map(|vpc| vpc.vpc_id()).collect();
    match ids.as_slice() {
        [id] => Ok((*id).to_owned()),
        [] => Err(NetworkError::None {
            what: "VPC",
            filters: shown(&filters),
        }),
        several => Err(NetworkError::Several {
            what: "VPC",
            count: several.len(),
            filters: shown(&filters),
        }),
    }
}

async fn subnet_by_id(ec2: &Client, id: &str) -> Result<Subnet, NetworkError> {
    let answer = ec2.describe_subnets().subnet_ids(id).send().await;
    let answer = match answer.map_err(|error| AwsError::of("DescribeSubnets", &error)) {
        Err(error) if error.is_not_found() => {
            return Err(NetworkError::None {
                what: "subnet",
                filters: format!("`{id}`"),
            });
        }
        answer => answer?,
    };
    let subnet = answer.subnets.unwrap_or_default().into_iter().next();
    subnet.ok_or_else(|| NetworkError::None {
        what: "subnet",
        filters: format!("`{id}`"),
    })
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
    let answer = ec2.describe_subnets().set_filters(Some(filters.clone())).send().await;
    let answer = answer.map_err(|error| AwsError::of("DescribeSubnets", &error))?;
    let mut subnets = answer.subnets.unwrap_or_default();
    let count = subnets.len();
    if filter.most_free == Some(true) {
        subnets.sort_by_key(|subnet| subnet.available_ip_address_count.unwrap_or_default());
    } else if filter.random == Some(true) && count > 1 {
        // The clock is as good as any die here.
        let micros = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.subsec_micros());
        subnets.rotate_left(micros as usize % count);
    } else if count > 1 {
        return Err(NetworkError::Several {
            what: "subnet",
            count,
            filters: shown(&filters),
        });
    }
    subnets.pop().ok_or_else(|| NetworkError::None {
        what: "subnet",
        filters: shown(&filters),
    })
}

fn filters(map: &std::collections::BTreeMap<String, String>, blocks: &[NameValue]) -> Vec<Filter> {
    let blocks = blocks.iter().map(|filter| (&filter.name, &filter.value));
    map.iter()
        .chain(blocks)
        .map(|(name, value)| tag::filter(name, value))
        .collect()
}

fn shown(filters: &[Filter]) -> String {
    let shown = filters.iter().map(|filter| {
        format!(
            "{} = `{}`",
            filter.name().unwrap_or_default(),
            filter.values().join(", ")
        )
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() {
        "an empty filter".into()
    } else {
        shown.join(", ")
    }
}
