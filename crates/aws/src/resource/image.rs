//! AMIs, with their snapshots.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Image};

use super::kind::{By, Found, Kind, RemoveError, Scope, unless_gone};
use super::snapshot;
use crate::call::once;
use crate::describe;
use crate::error::AwsError;
use crate::made;
use crate::tag;

/// An AMI. One of ours is found by its token as a tag, never by its name: one of that name may be somebody else's.
pub static IMAGE: Kind = Kind {
    name: "image",
    removing: "Deregistering AMI",
    find: |scope, by| Box::pin(find(scope, by)),
    remove: |scope, id| Box::pin(remove(scope, id)),
};

async fn find(scope: &Scope<'_>, by: By<'_>) -> Result<Vec<Found>, AwsError> {
    let images = describe::own_images(scope.ec2(), by.filter()).await?.into_iter();
    Ok(images
        .filter_map(|image| Found::new(image.image_id, image.tags))
        .collect())
}

/// An AMI of a bake that failed in the end may be protected already.
async fn remove(scope: &Scope<'_>, id: &str) -> Result<(), RemoveError> {
    let Ok(image) = described(scope.ec2(), id).await else {
        return Ok(deregister_unseen(scope.ec2(), id).await?);
    };
    if image.as_ref().is_some_and(is_protected) {
        let call = scope
            .ec2()
            .disable_image_deregistration_protection()
            .image_id(id)
            .send();
        once("DisableImageDeregistrationProtection", call).await?;
    }
    Ok(deregister_described(scope.ec2(), id, image.as_ref(), true).await?)
}

async fn described(ec2: &Client, id: &str) -> Result<Option<Image>, AwsError> {
    Ok(describe::images(ec2, tag::filter("image-id", id)).await?.pop())
}

/// Deregisters an AMI, and deletes its snapshots if that is wanted. One that is gone already is no error; its snapshots still go.
///
/// # Errors
/// What EC2 answers; the AMI may be deregistered then, with some of its snapshots left.
pub async fn deregister(ec2: &Client, id: &str, with_snapshots: bool) -> Result<(), AwsError> {
    let image = described(ec2, id).await?;
    deregister_described(ec2, id, image.as_ref(), with_snapshots).await
}

/// Deregisters an AMI that cannot be described, with its snapshots, which tell what they were made for. As long as nobody tells what they
/// are it stays as well: it is by the AMI that they are found.
async fn deregister_unseen(ec2: &Client, id: &str) -> Result<(), AwsError> {
    let snapshots = snapshots_made_for(ec2, id).await?;
    unless_gone(once("DeregisterImage", ec2.deregister_image().image_id(id).send()).await)?;
    made::forget(id);
    delete(ec2, snapshots).await
}

async fn deregister_described(
    ec2: &Client,
    id: &str,
    image: Option<&Image>,
    with_snapshots: bool,
) -> Result<(), AwsError> {
    if image.is_none() && made::is_new(id) {
        return Err(AwsError::not_known_yet("DescribeImages", id));
    }
    let snapshots = match image {
        _ if !with_snapshots => Vec::new(),
        Some(image) if !snapshot_ids(image).is_empty() => snapshot_ids(image),
        // While it is pending its mappings do not name them yet, and once it is gone they never do again.
        _ => snapshots_made_for(ec2, id).await?,
    };
    if image.is_some() {
        // It is known by now: when it is not found any more, it is gone.
        made::forget(id);
        unless_gone(once("DeregisterImage", ec2.deregister_image().image_id(id).send()).await)?;
    }
    delete(ec2, snapshots).await
}

/// Deletes the snapshots of an AMI that is gone; the error names those that stay, since whoever removes them has to know them.
async fn delete(ec2: &Client, snapshots: Vec<String>) -> Result<(), AwsError> {
    let mut failed = Vec::new();
    for id in snapshots {
        if let Err(error) = snapshot::delete(ec2, &id).await {
            failed.push((id, error));
        }
    }
    let left: Vec<&str> = failed.iter().map(|(id, _)| id.as_str()).collect();
    let left = left.join(", ");
    failed
        .into_iter()
        .next()
        .map_or(Ok(()), |(_, error)| Err(error.about(&left)))
}

/// The snapshots whose descriptions name the AMI that they were made for.
async fn snapshots_made_for(ec2: &Client, id: &str) -> Result<Vec<String>, AwsError> {
    let made_for = Filter::builder()
        .name("description")
        .values(format!("Created by CreateImage(*) for {id}*"))
        .values(format!("Copied for DestinationAmi {id}*"))
        .build();
    let snapshots = describe::snapshots(ec2, made_for).await?.into_iter();
    Ok(snapshots.filter_map(|snapshot| snapshot.snapshot_id).collect())
}

/// Whether an AMI cannot be deregistered before its protection is lifted.
pub fn is_protected(image: &Image) -> bool {
    let protection = image.deregistration_protection();
    protection.is_some_and(|protection| protection.starts_with("enabled"))
}

/// The snapshots that an AMI's mappings name.
pub fn snapshot_ids(image: &Image) -> Vec<String> {
    let mappings = image.block_device_mappings().iter();
    let ids = mappings.filter_map(|mapping| mapping.ebs()?.snapshot_id());
    ids.filter(|id| !id.is_empty()).map(str::to_owned).collect()
}
