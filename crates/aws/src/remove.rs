//! How each kind of resource goes. What is gone already counts as done; what cannot be found by id is found by its token.

use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Image, InstanceStateName, VolumeState};
use bakelite_engine::undo::Patience;

use crate::class::{AwsError, ErrorClass};
use crate::client::Aws;
use crate::ssm;
use crate::tag;
use crate::tagged::tagged;
use crate::undo::{RemoveError, ResourceKind};
use crate::watch::{self, WaitError};

/// What is to be removed, and how.
pub(crate) struct Removal<'a> {
    pub(crate) aws: &'a Aws,
    pub(crate) ec2: Client,
    pub(crate) id: Option<String>,
    pub(crate) token: Option<&'a str>,
    pub(crate) patience: Patience,
    /// The instance of a session.
    pub(crate) instance: Option<&'a str>,
}

/// The detail of a session that says to which instance it goes.
pub const INSTANCE: &str = "instance";

/// Removes it; when this returns without error it is certainly not there.
pub(crate) async fn remove(kind: ResourceKind, removal: &Removal<'_>) -> Result<(), RemoveError> {
    match kind {
        ResourceKind::Session => Ok(session(removal).await?),
        ResourceKind::Instance => instance(removal).await,
        ResourceKind::KeyPair => Ok(key_pair(removal).await?),
        ResourceKind::SecurityGroup => Ok(security_group(removal).await?),
        ResourceKind::Volume => Ok(volume(removal).await?),
        ResourceKind::Image => Ok(image(removal).await?),
        ResourceKind::Snapshot => Ok(snapshot(removal).await?),
    }
}

impl Removal<'_> {
    /// The id, or that of the one thing of this kind that carries the token as a tag.
    async fn found(&self, kind: ResourceKind) -> Result<Option<String>, AwsError> {
        self.id_or(|token| async move {
            let found = tagged(kind, &self.ec2, tag::by_token(&token)).await?;
            Ok(found.into_iter().map(|found| found.id).next())
        })
        .await
    }

    /// The id, or what `find` finds by the token. A call whose answer was lost may take effect a moment later, so a token that finds
    /// nothing is looked for again.
    async fn id_or<F>(&self, mut find: impl FnMut(String) -> F) -> Result<Option<String>, AwsError>
    where
        F: Future<Output = Result<Option<String>, AwsError>>,
    {
        let (None, Some(token)) = (&self.id, self.token) else {
            return Ok(self.id.clone());
        };
        let pauses: &[u64] = if self.patience == Patience::Hasty {
            &[]
        } else {
            &[300, 1200]
        };
        let mut found = find(token.to_owned()).await?;
        for pause in pauses {
            if found.is_some() {
                break;
            }
            watch::pause(Duration::from_millis(*pause)).await;
            found = find(token.to_owned()).await?;
        }
        Ok(found)
    }
}

/// There is no such thing: then it is gone.
fn unless_gone<T>(result: Result<T, AwsError>) -> Result<(), AwsError> {
    match result {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

async fn session(removal: &Removal<'_>) -> Result<(), AwsError> {
    let ssm = removal.aws.ssm();
    let find = |token: String| async move {
        let found = ssm::find(ssm, removal.instance.unwrap_or_default(), &token).await;
        match found {
            // Who may start and terminate sessions may not always list them. A session ends with its instance, which is temporary, too,
            // and stands before it in the list of what has to go.
            Err(error) if error.class == ErrorClass::Denied => Ok(None),
            found => found,
        }
    };
    match removal.id_or(find).await? {
        Some(id) => ssm::terminate(ssm, &id).await,
        None => Ok(()),
    }
}

async fn instance(removal: &Removal<'_>) -> Result<(), RemoveError> {
    let ec2 = &removal.ec2;
    let Some(id) = removal.found(ResourceKind::Instance).await? else {
        return Ok(());
    };
    let answer = ec2.terminate_instances().instance_ids(&id).send().await;
    unless_gone(answer.map_err(|error| AwsError::of("TerminateInstances", &error)))?;
    if removal.patience == Patience::Hasty && volumes_left(removal).await?.is_empty() {
        return Ok(());
    }
    let pace = removal.aws.pace(20, Duration::from_mins(15));
    let what = format!("instance {id}");
    removal
        .aws
        .instances
        .until(&id, pace, &what, "terminated", |instance| {
            terminated(instance.and_then(|i| i.state()?.name()))
        })
        .await?;
    for volume in volumes_left(removal).await? {
        let answer = ec2.delete_volume().volume_id(&volume).send().await;
        unless_gone(answer.map_err(|error| AwsError::of("DeleteVolume", &error)))?;
    }
    Ok(())
}

fn terminated(state: Option<&InstanceStateName>) -> Option<Result<(), WaitError>> {
    matches!(state, None | Some(InstanceStateName::Terminated)).then_some(Ok(()))
}

/// The volumes that were made with the instance and do not go with it.
async fn volumes_left(removal: &Removal<'_>) -> Result<Vec<String>, AwsError> {
    let Some(token) = removal.token else {
        return Ok(Vec::new());
    };
    let answer = removal
        .ec2
        .describe_volumes()
        .filters(tag::by_token(token))
        .send()
        .await;
    let answer = answer.map_err(|error| AwsError::of("DescribeVolumes", &error))?;
    let stays = |volume: &&aws_sdk_ec2::types::Volume| {
        let going = matches!(volume.state(), Some(VolumeState::Deleting | VolumeState::Deleted));
        let goes_with_instance = volume
            .attachments()
            .iter()
            .any(|attachment| attachment.delete_on_termination() == Some(true));
        !going && !goes_with_instance
    };
    Ok(answer
        .volumes()
        .iter()
        .filter(stays)
        .filter_map(|volume| volume.volume_id().map(str::to_owned))
        .collect())
}

/// Deleting a key pair that does not exist is no error for EC2. One without an id is found by its tag, never by its name: a pair of
/// that name may be the user's own.
async fn key_pair(removal: &Removal<'_>) -> Result<(), AwsError> {
    let ec2 = &removal.ec2;
    if let Some(name) = removal.found(ResourceKind::KeyPair).await? {
        let answer = ec2.delete_key_pair().key_name(name).send().await;
        unless_gone(answer.map_err(|error| AwsError::of("DeleteKeyPair", &error)))?;
    }
    Ok(())
}

async fn security_group(removal: &Removal<'_>) -> Result<(), AwsError> {
    let ec2 = &removal.ec2;
    let Some(id) = removal.found(ResourceKind::SecurityGroup).await? else {
        return Ok(());
    };
    let answer = ec2.delete_security_group().group_id(&id).send().await;
    unless_gone(answer.map_err(|error| AwsError::of("DeleteSecurityGroup", &error)))
}

async fn volume(removal: &Removal<'_>) -> Result<(), AwsError> {
    let ec2 = &removal.ec2;
    let Some(id) = removal.found(ResourceKind::Volume).await? else {
        return Ok(());
    };
    let answer = ec2.delete_volume().volume_id(&id).send().await;
    unless_gone(answer.map_err(|error| AwsError::of("DeleteVolume", &error)))
}

async fn snapshot(removal: &Removal<'_>) -> Result<(), AwsError> {
    let ec2 = &removal.ec2;
    let Some(id) = removal.found(ResourceKind::Snapshot).await? else {
        return Ok(());
    };
    delete_snapshot(ec2, &id).await
}

/// An image of ours is found by its token as a tag, never by its name: one of that name may be somebody else's.
async fn image(removal: &Removal<'_>) -> Result<(), AwsError> {
    let ec2 = &removal.ec2;
    let Some(id) = removal.found(ResourceKind::Image).await? else {
        return Ok(());
    };
    deregister(ec2, &id, true).await
}

/// Deregisters an AMI, with its snapshots if that is wanted. One that is gone already is no error.
pub async fn deregister(ec2: &Client, id: &str, with_snapshots: bool) -> Result<(), AwsError> {
    let answer = ec2.describe_images().filters(tag::filter("image-id", id)).send().await;
    let answer = answer.map_err(|error| AwsError::of("DescribeImages", &error))?;
    let Some(image) = answer.images().first() else {
        return Ok(());
    };
    let snapshots = if with_snapshots {
        snapshots_of(ec2, image, id).await?
    } else {
        Vec::new()
    };
    let answer = ec2.deregister_image().image_id(id).send().await;
    unless_gone(answer.map_err(|error| AwsError::of("DeregisterImage", &error)))?;
    for snapshot in snapshots {
        delete_snapshot(ec2, &snapshot).await?;
    }
    Ok(())
}

/// The snapshots of an AMI. While it is pending its mappings do not name them yet, but their descriptions name the AMI.
async fn snapshots_of(ec2: &Client, image: &Image, id: &str) -> Result<Vec<String>, AwsError> {
    let named: Vec<String> = snapshot_ids(image);
    if !named.is_empty() {
        return Ok(named);
    }
    let described = tag::filter("description", &format!("Created by CreateImage(*) for {id}*"));
    let answer = ec2
        .describe_snapshots()
        .owner_ids("self")
        .filters(described)
        .send()
        .await;
    let answer = answer.map_err(|error| AwsError::of("DescribeSnapshots", &error))?;
    Ok(answer
        .snapshots()
        .iter()
        .filter_map(|snapshot| snapshot.snapshot_id().map(str::to_owned))
        .collect())
}

/// The snapshots that an AMI's mappings name.
pub fn snapshot_ids(image: &Image) -> Vec<String> {
    let mappings = image.block_device_mappings().iter();
    mappings
        .filter_map(|mapping| {
            mapping
                .ebs()?
                .snapshot_id()
                .filter(|id| !id.is_empty())
                .map(str::to_owned)
        })
        .collect()
}

async fn delete_snapshot(ec2: &Client, id: &str) -> Result<(), AwsError> {
    let answer = ec2.delete_snapshot().snapshot_id(id).send().await;
    unless_gone(answer.map_err(|error| AwsError::of("DeleteSnapshot", &error)))
}
