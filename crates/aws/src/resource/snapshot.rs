//! Snapshots.

use aws_sdk_ec2::Client;

use super::kind::{By, Found, Kind, RemoveError, Scope, unless_gone};
use crate::call::{call, once};
use crate::describe;
use crate::error::AwsError;
use crate::made;

/// A snapshot.
pub static SNAPSHOT: Kind = Kind {
    name: "snapshot",
    removing: "Deleting snapshot",
    find: |scope, by| Box::pin(find(scope, by)),
    remove: |scope, id| Box::pin(remove(scope, id)),
};

async fn find(scope: &Scope<'_>, by: By<'_>) -> Result<Vec<Found>, AwsError> {
    let snapshots = describe::snapshots(scope.ec2(), by.filter()).await?.into_iter();
    Ok(snapshots
        .filter_map(|snapshot| Found::new(snapshot.snapshot_id, snapshot.tags))
        .collect())
}

async fn remove(scope: &Scope<'_>, id: &str) -> Result<(), RemoveError> {
    Ok(delete(scope.ec2(), id).await?)
}

/// Deletes a snapshot. One that is gone already is no error.
///
/// # Errors
/// What EC2 answers.
pub async fn delete(ec2: &Client, id: &str) -> Result<(), AwsError> {
    let delete = || ec2.delete_snapshot().snapshot_id(id).send();
    // What is not known yet is for the removal as a whole to repeat.
    let answer = if made::is_new(id) {
        once("DeleteSnapshot", delete()).await
    } else {
        call("DeleteSnapshot", delete).await
    };
    unless_gone(answer)?;
    made::forget(id);
    Ok(())
}
