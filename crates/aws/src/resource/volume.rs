//! Volumes.

use aws_sdk_ec2::Client;

use super::kind::{By, Found, Kind, RemoveError, Scope, unless_gone};
use crate::call::once;
use crate::describe;
use crate::error::AwsError;

/// A volume.
pub static VOLUME: Kind = Kind {
    name: "volume",
    removing: "Deleting volume",
    find: |scope, by| Box::pin(find(scope, by)),
    remove: |scope, id| Box::pin(remove(scope, id)),
};

async fn find(scope: &Scope<'_>, by: By<'_>) -> Result<Vec<Found>, AwsError> {
    let volumes = describe::volumes(scope.ec2(), by.filter()).await?.into_iter();
    Ok(volumes
        .filter_map(|volume| Found::new(volume.volume_id, volume.tags))
        .collect())
}

async fn remove(scope: &Scope<'_>, id: &str) -> Result<(), RemoveError> {
    Ok(delete(scope.ec2(), id).await?)
}

/// Deletes a volume. One that is gone already is no error.
///
/// # Errors
/// What EC2 answers.
pub async fn delete(ec2: &Client, id: &str) -> Result<(), AwsError> {
    unless_gone(once("DeleteVolume", ec2.delete_volume().volume_id(id).send()).await)
}
