//! An AMI in one region, and the waits for it.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::types::{Image, ImageState, Snapshot, SnapshotState};
use bakelite_aws::client::Aws;
use bakelite_aws::describe;
use bakelite_aws::made;
use bakelite_aws::resource::image::snapshot_ids;
use bakelite_aws::tag;
use bakelite_aws::watch::WaitError;
use bakelite_engine::bake::{BakeError, Handle};
use bakelite_engine::clock::{Paused, pause_unless};

use crate::cloud::Cloud;

/// How long an AMI may take at most, when the template does not limit it: large volumes take hours.
const IMAGE_LIMIT: Duration = Duration::from_hours(6);
/// How often a wait for an AMI is reported.
const REPORTED: Duration = Duration::from_mins(1);

/// An AMI that can be used.
pub(crate) struct Ami {
    /// AWS in its region.
    pub(crate) aws: Arc<Aws>,
    pub(crate) handle: Handle,
    pub(crate) image: Image,
    /// Its snapshots got their tags when they were made.
    pub(crate) snapshots_tagged: bool,
}

impl Ami {
    pub(crate) fn id(&self) -> &str {
        self.image.image_id().unwrap_or_default()
    }
}

/// What the AMI of the build region is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Created {
    /// The AMI of the template.
    Final,
    /// Only the source of copies.
    Intermediary,
}

/// The pending AMI of the build region.
pub(crate) struct Pending {
    pub(crate) id: String,
    pub(crate) created: Created,
    pub(super) handle: Handle,
    pub(super) snapshots_tagged: bool,
}

/// Waits until the AMI can be used, and reports how far it is.
pub(crate) async fn available(cloud: &Cloud<'_>, id: &str) -> Result<Image, BakeError> {
    let region = cloud.aws.region();
    cloud.say(format!("Waiting for AMI to become ready: {id} in {region}..."));
    let what = format!("AMI {id}");
    let pace = cloud.aws.pace(75, IMAGE_LIMIT).just_begun();
    let wait = cloud.aws.images.until(id, pace, &what, "available", |image| {
        let image = image?;
        match image.state()? {
            ImageState::Available => Some(Ok(image.clone())),
            state => lost(&what, image, state).map(Err),
        }
    });
    let report = async {
        while pause_unless(REPORTED, std::future::pending()).await == Paused::Elapsed {
            let progress = progress(&cloud.aws, id).await.unwrap_or_default();
            cloud.say(format!("AMI {id} in {region} is still pending{progress}"));
        }
    };
    let image = tokio::select! {
        biased;
        image = wait => image?,
        () = report => return Err(BakeError::cancelled()),
    };
    for snapshot in snapshot_ids(&image) {
        made::note(&snapshot);
    }
    Ok(image)
}

/// How far the snapshots of an AMI are, as far as EC2 tells and this caller may ask.
async fn progress(aws: &Aws, id: &str) -> Option<String> {
    let images = describe::own_images(aws.ec2(), tag::filter("image-id", id))
        .await
        .ok()?;
    let mut parts = Vec::new();
    for id in snapshot_ids(images.first()?) {
        let snapshots = describe::snapshots(aws.ec2(), tag::filter("snapshot-id", &id))
            .await
            .ok()?;
        let progress = snapshots.first()?.progress().unwrap_or("0%").to_owned();
        parts.push(format!("{id} {progress}"));
    }
    (!parts.is_empty()).then(|| format!(": {}", parts.join(", ")))
}

/// Waits until the AMI does not need the instance any more: its snapshots are complete, or it is available.
pub(crate) async fn snapshots_taken(aws: &Aws, id: &str) -> Result<(), WaitError> {
    let what = format!("AMI {id}");
    let pace = aws.pace(75, IMAGE_LIMIT).just_begun();
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
            .until(
                &snapshot,
                aws.pace(75, IMAGE_LIMIT),
                &format!("snapshot {snapshot}"),
                "complete",
                complete,
            )
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
    let why = image.state_reason().map(|reason| {
        let parts = [reason.code(), reason.message()].into_iter().flatten();
        parts.collect::<Vec<_>>().join(": ")
    });
    let hopeless = !matches!(state, ImageState::Pending | ImageState::Transient);
    hopeless.then(|| WaitError::Lost {
        what: what.to_owned(),
        state: state.as_str().to_owned(),
        wanted: "available",
        why,
    })
}
