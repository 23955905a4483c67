//! Instances, with the volumes that do not go with them.

use std::time::Duration;

use aws_sdk_ec2::types::{Instance, InstanceStateName, Volume, VolumeState};
use bakelite_engine::undo::UndoMode;

use super::kind::{By, Found, Kind, RemoveError, Scope, unless_gone};
use super::volume;
use crate::describe;
use crate::error::AwsError;
use crate::watch::WaitError;

/// An instance.
pub static INSTANCE: Kind = Kind {
    name: "instance",
    removing: "Terminating the source AWS instance",
    find: |scope, by| Box::pin(find(scope, by)),
    remove: |scope, id| Box::pin(remove(scope, id)),
};

/// How long the end of an instance is looked for that nobody can tell anything of.
const UNSEEN: Duration = Duration::from_secs(20);

/// A terminated instance is still described for an hour: it counts as gone.
async fn find(scope: &Scope<'_>, by: By<'_>) -> Result<Vec<Found>, AwsError> {
    let instances = describe::instances(scope.ec2(), by.filter()).await?.into_iter();
    Ok(instances
        .filter(|instance| state(instance) != Some(&InstanceStateName::Terminated))
        .filter_map(|instance| Found::new(instance.instance_id, instance.tags))
        .collect())
}

fn state(instance: &Instance) -> Option<&InstanceStateName> {
    instance.state()?.name()
}

async fn remove(scope: &Scope<'_>, id: &str) -> Result<(), RemoveError> {
    unless_gone(scope.aws.terminations.call(id.to_owned()).await)?;
    if scope.mode == UndoMode::NoWait && volumes_left(scope).await?.is_empty() {
        return Ok(());
    }
    let pace = scope.aws.pace(25, Duration::from_mins(15));
    let pace = pace.just_begun().unless_silent(UNSEEN);
    let terminated = |instance: Option<&Instance>| {
        let state = instance.and_then(state);
        matches!(state, None | Some(InstanceStateName::Terminated)).then_some(Ok::<(), WaitError>(()))
    };
    let what = format!("instance {id}");
    let wait = scope.aws.instances.until(id, pace, &what, "terminated", terminated);
    let ended = wait.await;
    // Volumes tell by themselves whether the instance still has them.
    if let Ok(()) | Err(WaitError::Unseen { .. }) = ended {
        for volume in volumes_left(scope).await? {
            volume::delete(scope.ec2(), &volume).await?;
        }
    }
    Ok(ended?)
}

/// The volumes that were made with the instance and are not deleted with it.
async fn volumes_left(scope: &Scope<'_>) -> Result<Vec<String>, AwsError> {
    let Some(token) = scope.token() else {
        return Ok(Vec::new());
    };
    let goes_with_instance = |volume: &Volume| {
        let mut attachments = volume.attachments().iter();
        attachments.any(|attachment| attachment.delete_on_termination() == Some(true))
    };
    let volumes = scope
        .aws
        .volumes_by_token
        .call(token.to_owned())
        .await?
        .unwrap_or_default();
    Ok(volumes
        .into_iter()
        .filter(|volume| !matches!(volume.state(), Some(VolumeState::Deleting | VolumeState::Deleted)))
        .filter(|volume| !goes_with_instance(volume))
        .filter_map(|volume| volume.volume_id)
        .collect())
}
