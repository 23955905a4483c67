//! A snapshot of a volume.

use std::time::Duration;

use aws_sdk_ec2::operation::create_snapshot::builders::CreateSnapshotFluentBuilder;
use aws_sdk_ec2::types::{ResourceType, Snapshot, SnapshotState};
use bakelite_aws::call::call;
use bakelite_aws::error::AwsError;
use bakelite_aws::resource::snapshot::SNAPSHOT;
use bakelite_aws::tag::{self, Tags};
use bakelite_aws::watch::WaitError;
use bakelite_engine::bake::{BakeError, Made};

use crate::cloud::Cloud;

/// How long a snapshot may take at most, when the template does not limit it: large volumes take hours.
const LIMIT: Duration = Duration::from_hours(6);

/// Takes a snapshot of a volume, waits until it is complete, and answers its id and whether it is encrypted.
pub(crate) async fn take(
    cloud: &Cloud<'_>,
    volume: &str,
    description: &str,
    tags: &Tags,
) -> Result<(Made<String>, bool), BakeError> {
    let temporary = cloud.temporary(&SNAPSHOT);
    let tags = (!cloud.aws.is_in_china()).then(|| tag::specification(ResourceType::Snapshot, &temporary.tags(tags)));
    let request = cloud.ec2().create_snapshot().volume_id(volume).description(description);
    let request = request.set_tag_specifications(tags.map(|tags| vec![tags]));
    cloud.say(format!("Taking a snapshot of volume {volume}..."));
    let made = cloud.create(temporary, create(request)).await?;
    let id = &made.value;
    cloud.say(format!("Snapshot: {id}"));
    let what = format!("snapshot {id}");
    let complete = |snapshot: Option<&Snapshot>| {
        let snapshot = snapshot?;
        match snapshot.state()? {
            SnapshotState::Completed => Some(Ok(snapshot.encrypted() == Some(true))),
            SnapshotState::Error => Some(Err(WaitError::Lost {
                what: what.clone(),
                state: "error".into(),
                wanted: "complete",
                why: snapshot.state_message().map(str::to_owned),
            })),
            _ => None,
        }
    };
    let pace = cloud.aws.pace(60, LIMIT);
    let is_encrypted = cloud.aws.snapshots.until(id, pace, &what, "complete", complete).await?;
    Ok((made, is_encrypted))
}

async fn create(request: CreateSnapshotFluentBuilder) -> Result<(String, String), AwsError> {
    let answer = call("CreateSnapshot", || request.clone().send()).await?;
    let id = answer
        .snapshot_id
        .ok_or_else(|| AwsError::incomplete("CreateSnapshot", "snapshot id"))?;
    Ok((id.clone(), id))
}
