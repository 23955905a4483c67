//! One Describe call for many ids, as watches need it. Filters are used instead of ids: an id that EC2 does not know yet is then
//! missing from the answer, instead of failing the call for everybody.

use std::collections::HashMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Image, Instance, Snapshot};

use crate::class::AwsError;
use crate::watch::Describe;

/// Instances by id.
pub(crate) fn instances(ec2: Client) -> Describe<Instance> {
    Box::new(move |ids| {
        let request = ec2.describe_instances().filters(any("instance-id", ids));
        Box::pin(async move {
            let mut found = HashMap::new();
            let mut page = None;
            loop {
                let answer = request
                    .clone()
                    .set_next_token(page)
                    .send()
                    .await
                    .map_err(|error| AwsError::of("DescribeInstances", &error))?;
                let instances = answer
                    .reservations()
                    .iter()
                    .flat_map(|reservation| reservation.instances().iter().cloned());
                found.extend(instances.filter_map(|instance| Some((instance.instance_id.clone()?, instance))));
                match answer.next_token {
                    Some(next) if !next.is_empty() => page = Some(next),
                    _ => return Ok(found),
                }
            }
        })
    })
}

/// Images by id.
pub(crate) fn images(ec2: Client) -> Describe<Image> {
    Box::new(move |ids| {
        let request = ec2.describe_images().filters(any("image-id", ids));
        Box::pin(async move {
            let answer = request
                .send()
                .await
                .map_err(|error| AwsError::of("DescribeImages", &error))?;
            let images = answer.images.unwrap_or_default();
            Ok(images
                .into_iter()
                .filter_map(|image| Some((image.image_id.clone()?, image)))
                .collect())
        })
    })
}

/// Snapshots by id.
pub(crate) fn snapshots(ec2: Client) -> Describe<Snapshot> {
    Box::new(move |ids| {
        let request = ec2
            .describe_snapshots()
            .owner_ids("self")
            .filters(any("snapshot-id", ids));
        Box::pin(async move {
            let answer = request
                .send()
                .await
                .map_err(|error| AwsError::of("DescribeSnapshots", &error))?;
            let snapshots = answer.snapshots.unwrap_or_default();
            Ok(snapshots
                .into_iter()
                .filter_map(|snapshot| Some((snapshot.snapshot_id.clone()?, snapshot)))
                .collect())
        })
    })
}

fn any(name: &str, ids: Vec<String>) -> Filter {
    Filter::builder().name(name).set_values(Some(ids)).build()
}
