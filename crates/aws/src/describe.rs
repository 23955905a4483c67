//! The Describe operations, all pages of them.

use std::collections::HashMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Image, Instance, SecurityGroup, Snapshot, Subnet, Volume, Vpc};
use futures::future::try_join_all;

use crate::call::{all, call};
use crate::error::AwsError;
use crate::watch::Describe;

/// Values that EC2 takes in a filter (EC2 API reference, "Filtering").
pub(crate) const MOST_VALUES: usize = 200;

/// The instances that pass a filter.
///
/// # Errors
/// What EC2 answers.
pub async fn instances(ec2: &Client, by: Filter) -> Result<Vec<Instance>, AwsError> {
    let pages = ec2.describe_instances().filters(by).into_paginator().items().send();
    let reservations = all("DescribeInstances", pages).await?;
    let instances = reservations.into_iter().filter_map(|reservation| reservation.instances);
    Ok(instances.flatten().collect())
}

/// The volumes that pass a filter.
///
/// # Errors
/// What EC2 answers.
pub async fn volumes(ec2: &Client, by: Filter) -> Result<Vec<Volume>, AwsError> {
    let pages = ec2.describe_volumes().filters(by).into_paginator().items().send();
    all("DescribeVolumes", pages).await
}

/// The images that pass a filter, of any owner.
pub(crate) async fn images(ec2: &Client, by: Filter) -> Result<Vec<Image>, AwsError> {
    let pages = ec2.describe_images().filters(by).into_paginator().items().send();
    all("DescribeImages", pages).await
}

/// The account's own images that pass a filter.
///
/// # Errors
/// What EC2 answers.
pub async fn own_images(ec2: &Client, by: Filter) -> Result<Vec<Image>, AwsError> {
    let request = ec2.describe_images().owners("self").filters(by);
    all("DescribeImages", request.into_paginator().items().send()).await
}

/// The account's own snapshots that pass a filter.
///
/// # Errors
/// What EC2 answers.
pub async fn snapshots(ec2: &Client, by: Filter) -> Result<Vec<Snapshot>, AwsError> {
    let request = ec2.describe_snapshots().owner_ids("self").filters(by);
    all("DescribeSnapshots", request.into_paginator().items().send()).await
}

/// The security groups that pass all filters.
///
/// # Errors
/// What EC2 answers.
pub async fn security_groups(ec2: &Client, by: Vec<Filter>) -> Result<Vec<SecurityGroup>, AwsError> {
    let request = ec2.describe_security_groups().set_filters(Some(by));
    all("DescribeSecurityGroups", request.into_paginator().items().send()).await
}

/// The VPCs that pass all filters.
///
/// # Errors
/// What EC2 answers.
pub async fn vpcs(ec2: &Client, by: Vec<Filter>) -> Result<Vec<Vpc>, AwsError> {
    let request = ec2.describe_vpcs().set_filters(Some(by));
    all("DescribeVpcs", request.into_paginator().items().send()).await
}

/// The regions that the account has enabled.
///
/// # Errors
/// What EC2 answers.
pub async fn regions(ec2: &Client) -> Result<Vec<String>, AwsError> {
    let answer = call("DescribeRegions", || ec2.describe_regions().send()).await?;
    let regions = answer.regions.unwrap_or_default().into_iter();
    Ok(regions.filter_map(|region| region.region_name).collect())
}

/// The subnets that pass all filters.
///
/// # Errors
/// What EC2 answers.
pub async fn subnets(ec2: &Client, by: Vec<Filter>) -> Result<Vec<Subnet>, AwsError> {
    let request = ec2.describe_subnets().set_filters(Some(by));
    all("DescribeSubnets", request.into_paginator().items().send()).await
}

/// One description of many ids, as a watch needs it. It filters instead of naming ids: an id that EC2 does not know yet is then missing
/// from the answer, instead of failing the call for everybody.
pub(crate) fn by_ids<S, F>(
    ec2: &Client,
    filter: &'static str,
    describe: impl Fn(Client, Filter) -> F + Send + Sync + 'static,
    id: fn(&S) -> Option<&str>,
) -> Describe<S>
where
    S: Send + 'static,
    F: Future<Output = Result<Vec<S>, AwsError>> + Send + 'static,
{
    let ec2 = ec2.clone();
    Box::new(move |ids| {
        let parts = ids.chunks(MOST_VALUES).map(|ids| {
            let by = Filter::builder().name(filter).set_values(Some(ids.to_vec()));
            describe(ec2.clone(), by.build())
        });
        let described = try_join_all(parts);
        Box::pin(async move {
            let states = described.await?.into_iter().flatten();
            let known = states.filter_map(|state| Some((id(&state)?.to_owned(), state)));
            Ok(known.collect::<HashMap<_, _>>())
        })
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::config::{BehaviorVersion, Config};

    use super::*;

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "this client calls nobody")]
    async fn many_ids_are_described_in_as_many_calls_as_filters_take() {
        let ec2 = Client::from_conf(Config::builder().behavior_version(BehaviorVersion::latest()).build());
        // The endpoint, which tells with each id how many values came with it.
        let describe = |_, by: Filter| async move {
            let values = by.values();
            assert!(values.len() <= MOST_VALUES);
            Ok(values.iter().map(|id| (id.clone(), values.len())).collect())
        };
        let id: fn(&(String, usize)) -> Option<&str> = |(id, _)| Some(id);
        let ids: Vec<String> = (0..450).map(|number| format!("i-{number}")).collect();
        let known = by_ids(&ec2, "instance-id", describe, id)(ids.clone()).await.unwrap();
        assert!(ids.iter().all(|id| known.contains_key(id)));
        assert_eq!((known["i-0"].1, known["i-449"].1), (200, 50));
    }
}
