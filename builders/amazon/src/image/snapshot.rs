//! A snapshot of a volume.

use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::create_snapshot::builders::CreateSnapshotFluentBuilder;
use aws_sdk_ec2::types::{ResourceType, Snapshot, SnapshotState};
use bakelite_aws::call::{once, pause, without_retries};
use bakelite_aws::describe;
use bakelite_aws::error::AwsError;
use bakelite_aws::resource::snapshot::SNAPSHOT;
use bakelite_aws::retry::{ErrorClass, Tries};
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
    let call = create(cloud.ec2().clone(), request, temporary.token.clone());
    let made = cloud.create(temporary, call).await?;
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

/// Makes the call, which has no client token: when its answer is lost, a snapshot with our token is looked for before it is made again.
async fn create(
    ec2: Client,
    request: CreateSnapshotFluentBuilder,
    token: String,
) -> Result<(String, String), AwsError> {
    let mut tries = None;
    loop {
        let request = request.clone().customize().config_override(without_retries());
        let error = match once("CreateSnapshot", request.send()).await {
            Ok(answer) => {
                let id = answer.snapshot_id;
                let id = id.ok_or_else(|| AwsError::incomplete("CreateSnapshot", "snapshot id"))?;
                return Ok((id.clone(), id));
            }
            Err(error) => error,
        };
        // Counted from the first failure: a call that hangs takes as long as all of its repetitions may.
        let Some(length) = tries.get_or_insert_with(Tries::new).after(error.class) else {
            return Err(error);
        };
        pause(length).await;
        if error.class == ErrorClass::Unavailable {
            let mut found = describe::snapshots(&ec2, tag::by_token(&token)).await?.into_iter();
            if let Some(id) = found.find_map(|snapshot| snapshot.snapshot_id) {
                return Ok((id.clone(), id));
            }
        }
    }
}
