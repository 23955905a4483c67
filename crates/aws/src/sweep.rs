//! Leftovers found by their tags, for `bakelite gc` without a journal (another machine's, a deleted one).

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{InstanceStateName, Tag};
use bakelite_engine::undo::Resource;

use crate::class::AwsError;
use crate::client::Aws;
use crate::tag;
use crate::undo::ResourceKind;

/// Everything in the region that a run of bakelite made and that still carries its tags, in the order in which it can be removed.
/// Details `run` and `created` tell which run and when: a run that still goes on has such things too.
pub async fn sweep(aws: &Aws) -> Result<Vec<Resource>, AwsError> {
    let mut found = Vec::new();
    for kind in ResourceKind::ALL {
        found.extend(
            tagged(kind, aws.ec2())
                .await?
                .into_iter()
                .map(|(id, tags)| resource(kind, aws, id, &tags)),
        );
    }
    Ok(found)
}

fn resource(kind: ResourceKind, aws: &Aws, id: String, tags: &[Tag]) -> Resource {
    let tags = tag::read(tags);
    let token = tags.get(tag::TOKEN).cloned().unwrap_or_default();
    let mut resource = kind.resource(aws, &token);
    resource.token = Some(token).filter(|token| !token.is_empty());
    resource.id = Some(id);
    for (name, key) in [("run", tag::RUN), ("created", tag::CREATED)] {
        if let Some(value) = tags.get(key) {
            resource = resource.detail(name, value);
        }
    }
    resource
}

/// Ids and tags of what carries the run's tag.
async fn tagged(kind: ResourceKind, ec2: &Client) -> Result<Vec<(String, Vec<Tag>)>, AwsError> {
    match kind {
        // A session has no tags, and ends with the instance that it goes to.
        ResourceKind::Session => Ok(Vec::new()),
        ResourceKind::Instance => {
            let answer = ec2.describe_instances().filters(tag::by_run_key()).send().await;
            let answer = answer.map_err(|error| AwsError::of("DescribeInstances", &error))?;
            let instances = answer
                .reservations()
                .iter()
                .flat_map(|reservation| reservation.instances().iter());
            let live = instances.filter(|instance| {
                instance.state().and_then(|state| state.name()) != Some(&InstanceStateName::Terminated)
            });
            Ok(live
                .filter_map(|instance| Some((instance.instance_id()?.to_owned(), instance.tags().to_vec())))
                .collect())
        }
        ResourceKind::KeyPair => {
            let answer = ec2.describe_key_pairs().filters(tag::by_run_key()).send().await;
            let answer = answer.map_err(|error| AwsError::of("DescribeKeyPairs", &error))?;
            Ok(answer
                .key_pairs()
                .iter()
                .filter_map(|pair| Some((pair.key_name()?.to_owned(), pair.tags().to_vec())))
                .collect())
        }
        ResourceKind::SecurityGroup => {
            let answer = ec2.describe_security_groups().filters(tag::by_run_key()).send().await;
            let answer = answer.map_err(|error| AwsError::of("DescribeSecurityGroups", &error))?;
            Ok(answer
                .security_groups()
                .iter()
                .filter_map(|group| Some((group.group_id()?.to_owned(), group.tags().to_vec())))
                .collect())
        }
        ResourceKind::Volume => {
            let answer = ec2.describe_volumes().filters(tag::by_run_key()).send().await;
            let answer = answer.map_err(|error| AwsError::of("DescribeVolumes", &error))?;
            Ok(answer
                .volumes()
                .iter()
                .filter_map(|volume| Some((volume.volume_id()?.to_owned(), volume.tags().to_vec())))
                .collect())
        }
        ResourceKind::Image => {
            let answer = ec2
                .describe_images()
                .owners("self")
                .filters(tag::by_run_key())
                .send()
                .await;
            let answer = answer.map_err(|error| AwsError::of("DescribeImages", &error))?;
            Ok(answer
                .images()
                .iter()
                .filter_map(|image| Some((image.image_id()?.to_owned(), image.tags().to_vec())))
                .collect())
        }
        ResourceKind::Snapshot => {
            let answer = ec2
                .describe_snapshots()
                .owner_ids("self")
                .filters(tag::by_run_key())
                .send()
                .await;
            let answer = answer.map_err(|error| AwsError::of("DescribeSnapshots", &error))?;
            Ok(answer
                .snapshots()
                .iter()
                .filter_map(|snapshot| Some((snapshot.snapshot_id()?.to_owned(), snapshot.tags().to_vec())))
                .collect())
        }
    }
}
