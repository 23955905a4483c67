//! How things are found by their tags, kind by kind: by the run's for a sweep, by the token of one whose id is not known.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, InstanceStateName, Tag};

use crate::class::AwsError;
use crate::undo::ResourceKind;

/// Something that was found.
pub(crate) struct Tagged {
    /// Its id; a key pair's is its name.
    pub(crate) id: String,
    pub(crate) tags: Vec<Tag>,
    /// A terminated instance is still described for an hour.
    pub(crate) is_gone: bool,
}

impl Tagged {
    /// What is there, if the answer names it.
    fn new(id: Option<&str>, tags: &[Tag]) -> Option<Self> {
        Some(Self {
            id: id?.to_owned(),
            tags: tags.to_vec(),
            is_gone: false,
        })
    }
}

/// Everything of a kind that a filter on tags finds.
pub(crate) async fn tagged(kind: ResourceKind, ec2: &Client, by: Filter) -> Result<Vec<Tagged>, AwsError> {
    match kind {
        // A session has no tags, and ends with the instance that it goes to.
        ResourceKind::Session => Ok(Vec::new()),
        ResourceKind::Instance => {
            let answer = ec2.describe_instances().filters(by).send().await;
            let answer = answer.map_err(|error| AwsError::of("DescribeInstances", &error))?;
            let instances = answer
                .reservations()
                .iter()
                .flat_map(|reservation| reservation.instances().iter());
            let found = instances.filter_map(|instance| {
                let state = instance.state().and_then(|state| state.name());
                Some(Tagged {
                    is_gone: state == Some(&InstanceStateName::Terminated),
                    ..Tagged::new(instance.instance_id(), instance.tags())?
                })
            });
            Ok(found.collect())
        }
        ResourceKind::KeyPair => {
            let answer = ec2.describe_key_pairs().filters(by).send().await;
            let answer = answer.map_err(|error| AwsError::of("DescribeKeyPairs", &error))?;
            Ok(answer
                .key_pairs()
                .iter()
                .filter_map(|pair| Tagged::new(pair.key_name(), pair.tags()))
                .collect())
        }
        ResourceKind::SecurityGroup => {
            let answer = ec2.describe_security_groups().filters(by).send().await;
            let answer = answer.map_err(|error| AwsError::of("DescribeSecurityGroups", &error))?;
            Ok(answer
                .security_groups()
                .iter()
                .filter_map(|group| Tagged::new(group.group_id(), group.tags()))
                .collect())
        }
        ResourceKind::Volume => {
            let answer = ec2.describe_volumes().filters(by).send().await;
            let answer = answer.map_err(|error| AwsError::of("DescribeVolumes", &error))?;
            Ok(answer
                .volumes()
                .iter()
                .filter_map(|volume| Tagged::new(volume.volume_id(), volume.tags()))
                .collect())
        }
        ResourceKind::Image => {
            let answer = ec2.describe_images().owners("self").filters(by).send().await;
            let answer = answer.map_err(|error| AwsError::of("DescribeImages", &error))?;
            Ok(answer
                .images()
                .iter()
                .filter_map(|image| Tagged::new(image.image_id(), image.tags()))
                .collect())
        }
        ResourceKind::Snapshot => {
            let answer = ec2.describe_snapshots().owner_ids("self").filters(by).send().await;
            let answer = answer.map_err(|error| AwsError::of("DescribeSnapshots", &error))?;
            Ok(answer
                .snapshots()
                .iter()
                .filter_map(|snapshot| Tagged::new(snapshot.snapshot_id(), snapshot.tags()))
                .collect())
        }
    }
}
