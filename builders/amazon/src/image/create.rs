//! The AMI: its name, its creation, the wait for it, and its tags.

use std::borrow::Cow;
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::create_image::builders::CreateImageFluentBuilder;
use aws_sdk_ec2::types::{Image, ImageState, ResourceType, Snapshot, SnapshotState, Tag};
use bakelite_aws::call::call;
use bakelite_aws::client::Aws;
use bakelite_aws::describe;
use bakelite_aws::error::AwsError;
use bakelite_aws::resource::image::{IMAGE, deregister, snapshot_ids};
use bakelite_aws::retry::ErrorClass;
use bakelite_aws::tag::{self, Tags};
use bakelite_aws::watch::WaitError;
use bakelite_engine::bake::{BakeError, Made};
use bakelite_engine::error::Explain;

use super::imaging::Imaging;
use super::options::ImageOptions;
use crate::cloud::Cloud;

/// How long an AMI may take at most, when the template does not limit it: large volumes take hours.
const IMAGE_LIMIT: Duration = Duration::from_hours(6);

/// An AMI of that name exists already.
#[derive(Debug, thiserror::Error)]
#[error("AMI name `{name}` is taken by `{id}`")]
struct NameTaken {
    name: String,
    id: String,
}

impl Explain for NameTaken {
    fn help(&self) -> Option<Cow<'_, str>> {
        Some(
            "`force_deregister = true`, or `-force`, replaces the AMI; `{{timestamp}}` in `ami_name` makes it unique"
                .into(),
        )
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        Some("ami_name".into())
    }
}

/// Whether the old AMI of the same name may be deregistered.
fn may_replace(cloud: &Cloud<'_>, options: &ImageOptions) -> bool {
    cloud.bake.run.force || options.force_deregister
}

/// Makes sure, before anything is launched, that the AMI's name is free or may be freed.
pub(crate) async fn name_is_free(cloud: &Cloud<'_>, options: &ImageOptions) -> Result<(), BakeError> {
    if may_replace(cloud, options) {
        return Ok(());
    }
    match of_name(cloud.ec2(), &options.ami_name).await?.pop() {
        Some(id) => Err(NameTaken {
            name: options.ami_name.clone(),
            id,
        }
        .into()),
        None => Ok(()),
    }
}

/// The ids of the account's AMIs of this name; there is at most one.
async fn of_name(ec2: &Client, name: &str) -> Result<Vec<String>, AwsError> {
    let images = describe::own_images(ec2, tag::filter("name", name)).await?.into_iter();
    // `*` and `?` in a filter match more than themselves.
    let same = images.filter(|image| image.name() == Some(name));
    Ok(same.filter_map(|image| image.image_id).collect())
}

/// Deregisters the old AMI of the same name, when the template or `-force` allows it.
pub(crate) async fn deregister_old(cloud: &Cloud<'_>, options: &ImageOptions) -> Result<(), BakeError> {
    if !may_replace(cloud, options) {
        return Ok(());
    }
    for id in of_name(cloud.ec2(), &options.ami_name).await? {
        cloud.say(format!("Deregistering the AMI of the same name: {id}"));
        deregister(cloud.ec2(), &id, options.force_delete_snapshot).await?;
    }
    Ok(())
}

impl Imaging<'_> {
    /// Makes the AMI of the stopped instance; answers its id. It is pending then.
    pub(crate) async fn create(&self, instance: &str) -> Result<Made<String>, BakeError> {
        let Self {
            cloud, options, texts, ..
        } = self;
        let mut tags = if options.skip_ami_run_tags {
            Tags::new()
        } else {
            self.run_tags.clone()
        };
        tags.extend(texts.ami_tags.clone());
        let temporary = cloud.temporary(&IMAGE);
        let tags = temporary.tags(&tags);
        let request = cloud
            .ec2()
            .create_image()
            .instance_id(instance)
            .name(&options.ami_name)
            .set_description((!texts.description.is_empty()).then(|| texts.description.clone()))
            .set_block_device_mappings((!self.devices.is_empty()).then(|| self.devices.clone()))
            // The snapshots get their tags later: not every endpoint accepts them here.
            .tag_specifications(tag::specification(ResourceType::Image, &tags));
        cloud.say(format!(
            "Creating the AMI `{}` of instance {instance}...",
            options.ami_name
        ));
        let call = make(cloud.ec2().clone(), request, temporary.token.clone());
        let made = cloud.create(temporary, call).await?;
        cloud.say(format!("AMI: {}", made.value));
        Ok(made)
    }

    /// Gives the finished AMI its attributes, its snapshots their tags, and makes it permanent.
    pub(crate) async fn finish(&self, image: &Image) -> Result<(), BakeError> {
        self.set_image_attributes(image).await?;
        tag_snapshots(&self.cloud, image, &self.texts.snapshot_tags).await?;
        Ok(remove_temporary_tags(self.cloud.ec2(), image).await?)
    }
}

/// Makes the call. When the name is taken by an AMI with our token, an earlier answer was lost: that one is it.
async fn make(ec2: Client, request: CreateImageFluentBuilder, token: String) -> Result<(String, String), AwsError> {
    let id = match call("CreateImage", || request.clone().send()).await {
        Err(error) if error.class == ErrorClass::Duplicate => {
            let found = describe::own_images(&ec2, tag::by_token(&token)).await?;
            Some(found.into_iter().find_map(|image| image.image_id).ok_or(error)?)
        }
        answer => answer?.image_id,
    };
    let id = id.ok_or_else(|| AwsError::incomplete("CreateImage", "image id"))?;
    Ok((id.clone(), id))
}

/// Waits until the AMI can be used.
pub(crate) async fn available(cloud: &Cloud<'_>, id: &str) -> Result<Image, BakeError> {
    cloud.say(format!("Waiting for AMI {id} to become available..."));
    let what = format!("AMI {id}");
    let pace = cloud.aws.pace(60, IMAGE_LIMIT);
    let wait = cloud.aws.images.until(id, pace, &what, "available", |image| {
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
async fn tag_snapshots(cloud: &Cloud<'_>, image: &Image, tags: &Tags) -> Result<(), AwsError> {
    let snapshots = snapshot_ids(image);
    if tags.is_empty() || snapshots.is_empty() {
        return Ok(());
    }
    cloud.say(format!("Tagging the snapshots {}...", snapshots.join(", ")));
    let request = cloud.ec2().create_tags().set_resources(Some(snapshots));
    let request = request.set_tags(Some(tag::list(tags)));
    call("CreateTags", || request.clone().send()).await.map(drop)
}

/// Removes the tags of temporary resources from the AMI, which stays.
async fn remove_temporary_tags(ec2: &Client, image: &Image) -> Result<(), AwsError> {
    let ours = [tag::RUN, tag::CREATED, tag::TOKEN].map(|key| Tag::builder().key(key).build());
    let request = ec2.delete_tags().resources(image.image_id().unwrap_or_default());
    let request = request.set_tags(Some(ours.to_vec()));
    call("DeleteTags", || request.clone().send()).await.map(drop)
}
