//! The exchange of a stopped instance's volumes: the source device takes the root volume's place, and what the AMI shall not have goes.

use std::time::Duration;

use aws_sdk_ec2::types::{
    EbsInstanceBlockDeviceSpecification, InstanceBlockDeviceMappingSpecification, Volume, VolumeAttachmentState,
    VolumeState,
};
use bakelite_aws::call::{call, once};
use bakelite_aws::error::AwsError;
use bakelite_aws::retry::ErrorClass;
use bakelite_aws::watch::WaitError;
use bakelite_engine::bake::BakeError;
use futures::future::try_join_all;

use super::options::Options;
use crate::cloud::Cloud;
use crate::run::volumes::{VolumeError, attached_to};

/// How long a volume may take to be attached or detached.
const LIMIT: Duration = Duration::from_mins(15);

/// Exchanges the volumes of the instance. Detached ones go with the instance: they carry its token.
pub(crate) async fn swap(cloud: &Cloud<'_>, instance: &str, options: &Options) -> Result<(), BakeError> {
    let volumes = attached_to(cloud.ec2(), instance).await?;
    let (source, root) = options.root();
    let Some(volume) = volumes.get(source) else {
        let (instance, device) = (instance.to_owned(), source.to_owned());
        return Err(VolumeError::Missing { instance, device }.into());
    };
    let omitted = options
        .launch_block_device_mappings
        .iter()
        .filter(|launch| launch.omit_from_artifact);
    let mut gone: Vec<&str> = omitted.map(|launch| launch.device.device_name.as_str()).collect();
    gone.extend([source, root, "/dev/sda1"]);
    let leaving = volumes.iter().filter(|(device, _)| gone.contains(&device.as_str()));
    try_join_all(leaving.map(|(device, volume)| detach(cloud, instance, device, volume))).await?;
    attach(cloud, instance, volume, root).await?;
    delete_with_instance(cloud, instance, root).await
}

async fn detach(cloud: &Cloud<'_>, instance: &str, device: &str, volume: &str) -> Result<(), BakeError> {
    cloud.say(format!("Detaching volume {volume} from {device}..."));
    let request = cloud.ec2().detach_volume().volume_id(volume);
    let request = request.instance_id(instance).device(device);
    under_way(once("DetachVolume", request.send()).await)?;
    let detached = |volume: &Volume| volume.state() == Some(&VolumeState::Available);
    until(cloud, volume, "detached", detached).await
}

async fn attach(cloud: &Cloud<'_>, instance: &str, volume: &str, device: &str) -> Result<(), BakeError> {
    cloud.say(format!("Attaching volume {volume} as the root volume {device}..."));
    let request = cloud
        .ec2()
        .attach_volume()
        .volume_id(volume)
        .instance_id(instance)
        .device(device);
    under_way(once("AttachVolume", request.send()).await)?;
    let attached = |volume: &Volume| {
        let attachment = volume.attachments().first();
        attachment.and_then(|attachment| attachment.state()) == Some(&VolumeAttachmentState::Attached)
    };
    until(cloud, volume, "attached", attached).await
}

/// Waits until a volume is as it is `wanted`.
async fn until(
    cloud: &Cloud<'_>,
    volume: &str,
    wanted: &'static str,
    is_so: impl Fn(&Volume) -> bool,
) -> Result<(), BakeError> {
    let what = format!("volume {volume}");
    let pace = cloud.aws.pace(10, LIMIT);
    let judge = |volume: Option<&Volume>| is_so(volume?).then_some(Ok::<(), WaitError>(()));
    let wait = cloud.aws.volumes.until(volume, pace, &what, wanted, judge);
    Ok(wait.await?)
}

/// A call whose answer was lost is repeated, and finds the volume where it shall be, or on its way.
fn under_way<T>(answer: Result<T, AwsError>) -> Result<(), AwsError> {
    match answer {
        Err(error) if error.class == ErrorClass::InUse => Ok(()),
        answer => answer.map(drop),
    }
}

/// A volume that was attached by hand stays when its instance goes, unless that is said.
async fn delete_with_instance(cloud: &Cloud<'_>, instance: &str, device: &str) -> Result<(), BakeError> {
    let ebs = EbsInstanceBlockDeviceSpecification::builder()
        .delete_on_termination(true)
        .build();
    let mapping = InstanceBlockDeviceMappingSpecification::builder()
        .device_name(device)
        .ebs(ebs)
        .build();
    let request = cloud
        .ec2()
        .modify_instance_attribute()
        .instance_id(instance)
        .block_device_mappings(mapping);
    call("ModifyInstanceAttribute", || request.clone().send()).await?;
    Ok(())
}
