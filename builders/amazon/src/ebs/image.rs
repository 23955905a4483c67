//! The AMI: its name, its creation, the wait for it, and its tags.

use std::sync::Arc;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::create_image::builders::CreateImageFluentBuilder;
use aws_sdk_ec2::types::{Image, ImageState, ResourceType, Snapshot, SnapshotState, Tag};
use bakelite_aws::class::{AwsError, ErrorClass};
use bakelite_aws::client::Aws;
use bakelite_aws::remove::{deregister, snapshot_ids};
use bakelite_aws::tag::{self, Tags};
use bakelite_aws::undo::ResourceKind;
use bakelite_aws::watch::WaitError;
use bakelite_engine::bake::{Bake, BakeError, Made};
use bakelite_engine::undo::Undo;

use super::IMAGE_LIMIT;
use super::options::Options;
use crate::block_device;
use crate::tags::Texts;

/// An AMI of that name exists already.
#[derive(Debug, thiserror::Error)]
#[error("AMI name `{name}` is taken by `{id}` (`force_deregister = true` replaces it)")]
struct NameTaken {
    name: String,
    id: String,
}

impl From<NameTaken> for BakeError {
    fn from(error: NameTaken) -> Self {
        BakeError::failed(error)
    }
}

/// The old AMI of the same name may go.
fn may_replace(bake: &Bake, options: &Options) -> bool {
    bake.run.force || options.force_deregister == Some(true)
}

/// Makes sure, before anything is launched, that the AMI's name is free or may be freed.
pub(crate) async fn name_is_free(bake: &Bake, ec2: &Client, options: &Options) -> Result<(), BakeError> {
    if options.skip_create_ami == Some(true) || may_replace(bake, options) {
        return Ok(());
    }
    let name = options.ami_name();
    match of_name(ec2, name).await?.first() {
        Some(id) => Err(BakeError::failed(NameTaken {
            name: name.to_owned(),
            id: id.clone(),
        })),
        None => Ok(()),
    }
}

/// The ids of the account's AMIs of this name; there is at most one.
async fn of_name(ec2: &Client, name: &str) -> Result<Vec<String>, AwsError> {
    let answer = ec2
        .describe_images()
        .owners("self")
        .filters(tag::filter("name", name))
        .send()
        .await;
    let answer = answer.map_err(|error| AwsError::of("DescribeImages", &error))?;
    // `*` and `?` in a filter match more than themselves.
    let same = answer.images().iter().filter(|image| image.name() == Some(name));
    Ok(same.filter_map(|image| image.image_id().map(str::to_owned)).collect())
}

/// Deregisters the old AMI of the same name, when the template or `-force` allows it.
pub(crate) async fn deregister_old(bake: &Bake, ec2: &Client, options: &Options) -> Result<(), BakeError> {
    if !may_replace(bake, options) {
        return Ok(());
    }
    for id in of_name(ec2, options.ami_name()).await? {
        bake.ui.say(format!("Deregistering the AMI of the same name: {id}"));
        deregister(ec2, &id, options.force_delete_snapshot == Some(true)).await?;
    }
    Ok(())
}

/// Makes the AMI of the stopped instance; answers its id. It is pending then.
pub(crate) async fn create(
    bake: &Bake,
    aws: &Arc<Aws>,
    undo: &Arc<dyn Undo>,
    instance: &str,
    options: &Options,
    texts: &Texts,
) -> Result<Made<String>, BakeError> {
    let name = options.ami_name();
    let mut tags = if options.skip_ami_run_tags == Some(true) {
        Tags::new()
    } else {
        texts.run_tags.clone()
    };
    tags.extend(texts.ami_tags.clone());
    let token = uuid::Uuid::now_v7().to_string();
    let tags = tag::temporary(&bake.run.id, &token, &tags);
    let mut devices = block_device::mappings(&options.ami_block_device_mappings);
    if options.no_ephemeral == Some(true) {
        devices.extend(block_device::without_ephemeral());
    }
    let request = aws
        .ec2()
        .create_image()
        .instance_id(instance)
        .name(name)
        .set_description((!texts.description.is_empty()).then(|| texts.description.clone()))
        .set_block_device_mappings((!devices.is_empty()).then_some(devices))
        // The snapshots get their tags later: not every endpoint takes them here.
        .tag_specifications(tag::specification(ResourceType::Image, &tags));
    bake.ui
        .say(format!("Creating the AMI `{name}` of instance {instance}..."));
    let resource = ResourceKind::Image.resource(aws, &token);
    let made = bake
        .create(Arc::clone(undo), resource, make(aws.ec2().clone(), request, token))
        .await?;
    bake.ui.say(format!("AMI: {}", made.value));
    Ok(made)
}

/// Makes the call. When the name is taken by an AMI with our token, an earlier answer was lost: that one is it.
async fn make(ec2: Client, request: CreateImageFluentBuilder, token: String) -> Result<(String, String), AwsError> {
    let answer = request
        .send()
        .await
        .map_err(|error| AwsError::of("CreateImage", &error));
    let id = match answer {
        Err(error) if error.class == ErrorClass::Duplicate => {
            let found = ec2
                .describe_images()
                .owners("self")
                .filters(tag::by_token(&token))
                .send()
                .await;
            let found = found.map_err(|error| AwsError::of("DescribeImages", &error))?;
            Some(
                found
                    .images()
                    .first()
                    .and_then(|image| image.image_id().map(str::to_owned))
                    .ok_or(error)?,
            )
        }
        answer => answer?.image_id,
    };
    let id = id.ok_or_else(|| AwsError::incomplete("CreateImage", "image id"))?;
    Ok((id.clone(), id))
}

/// Waits until the AMI can be used.
pub(crate) async fn available(bake: &Bake, aws: &Aws, id: &str) -> Result<Image, BakeError> {
    bake.ui.say(format!("Waiting for AMI {id} to become available..."));
    let what = format!("AMI {id}");
    let wait = aws
        .images
        .until(id, aws.pace(60, IMAGE_LIMIT), &what, "available", |image| {
            let image = image?;
            match image.state()? {
                ImageState::Available => Some(Ok(image.clone())),
                state => lost(&what, image, state).map(Err),
            }
        });
    Ok(wait.await?)
}

/// Waits until the AMI does not need the instance any more: its snapshots are complete, or it is available.
pub(crate) async fn snapshots_taken(aws: &Aws, id: &str) -> Result<(), WaitError> {
    let what = format!("AMI {id}");
    let pace = aws.pace(60, IMAGE_LIMIT);
    let snapshots = aws
        .images
        .until(id, pace, &what, "snapshotted", |image| {
            let image = image?;
            let snapshots = snapshot_ids(image);
            match image.state()? {
                ImageState::Available => Some(Ok(Vec::new())),
                ImageState::Pending if snapshots.len() == ebs_devices(image) && !snapshots.is_empty() => {
                    Some(Ok(snapshots))
                }
                state => lost(&what, image, state).map(Err),
            }
        })
        .await?;
    let complete = |snapshot: Option<&Snapshot>| (*snapshot?.state()? == SnapshotState::Completed).then_some(Ok(()));
    for snapshot in snapshots {
        aws.snapshots
            .until(&snapshot, pace, &format!("snapshot {snapshot}"), "complete", complete)
            .await?;
    }
    Ok(())
}

fn ebs_devices(image: &Image) -> usize {
    image
        .block_device_mappings()
        .iter()
        .filter(|mapping| mapping.ebs().is_some())
        .count()
}

fn lost(what: &str, image: &Image, state: &ImageState) -> Option<WaitError> {
    let why = image
        .state_reason()
        .and_then(|reason| reason.message().map(str::to_owned));
    let hopeless = !matches!(state, ImageState::Pending | ImageState::Transient);
    hopeless.then(|| WaitError::Lost {
        what: what.to_owned(),
        state: state.as_str().to_owned(),
        wanted: "available",
        why,
    })
}

/// Tags the AMI's snapshots.
pub(crate) async fn tag_snapshots(bake: &Bake, ec2: &Client, image: &Image, tags: &Tags) -> Result<(), AwsError> {
    let snapshots = snapshot_ids(image);
    if tags.is_empty() || snapshots.is_empty() {
        return Ok(());
    }
    bake.ui
        .say(format!("Tagging the snapshots {}...", snapshots.join(", ")));
    let answer = ec2
        .create_tags()
        .set_resources(Some(snapshots))
        .set_tags(Some(tag::list(tags)))
        .send()
        .await;
    answer.map(drop).map_err(|error| AwsError::of("CreateTags", &error))
}

/// Takes the tags of temporary things off the AMI: it stays.
pub(crate) async fn take_our_tags_off(ec2: &Client, image: &Image) -> Result<(), AwsError> {
    let ours = [tag::RUN, tag::CREATED, tag::TOKEN]
        .map(|key| Tag::builder().key(key).build())
        .to_vec();
    let answer = ec2
        .delete_tags()
        .resources(image.image_id().unwrap_or_default())
        .set_tags(Some(ours))
        .send()
        .await;
    answer.map(drop).map_err(|error| AwsError::of("DeleteTags", &error))
}
