//! The block devices of an AMI that is made of an instance's further volumes.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{BlockDeviceMapping, VolumeType};

use super::options::Options;
use crate::block_device;

/// The devices as the AMI has them: those of `ami_block_device_mappings`, with those of the launch on top; the source device has the root
/// volume's name, and its figures where the template gives them. `snapshots` are by the device of the instance; where there is none, EC2
/// takes the volume itself.
pub(crate) fn of_ami(options: &Options, snapshots: &BTreeMap<String, String>) -> Vec<BlockDeviceMapping> {
    let mut devices = block_device::mappings(&options.image.ami_block_device_mappings);
    let (source, root) = options.root();
    for launch in options.kept() {
        let mut device = block_device::mappings(std::slice::from_ref(launch)).remove(0);
        if let Some(ebs) = &mut device.ebs {
            // A snapshot is as encrypted as its volume.
            (ebs.encrypted, ebs.kms_key_id) = (None, None);
            ebs.snapshot_id = snapshots.get(&launch.device_name).cloned();
        }
        if launch.device_name == source {
            device.device_name = Some(root.to_owned());
            if let (Some(ebs), Some(given)) = (&mut device.ebs, &options.ami_root_device) {
                let positive = |number: Option<i32>| number.filter(|number| *number > 0);
                ebs.volume_size = positive(given.volume_size).or(ebs.volume_size);
                ebs.volume_type = given
                    .volume_type
                    .as_deref()
                    .map(VolumeType::from)
                    .or(ebs.volume_type.take());
                ebs.iops = positive(given.iops).or(ebs.iops);
                ebs.delete_on_termination = Some(given.delete_on_termination);
            }
        }
        devices.retain(|known| known.device_name != device.device_name);
        devices.push(device);
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_device_becomes_the_root_and_omitted_ones_stay_out() {
        let options: Options = serde_json::from_value(serde_json::json!({
            "ami_name": "n", "instance_type": "m5.large",
            "ami_block_device_mappings": [{"device_name": "/dev/sdf", "volume_size": 1}, {"device_name": "/dev/sdg", "virtual_name": "ephemeral0"}],
            "launch_block_device_mappings": [
                {"device_name": "/dev/xvdf", "volume_size": 8, "encrypted": true, "kms_key_id": "alias/x"},
                {"device_name": "/dev/sdf", "volume_size": 2, "delete_on_termination": true},
                {"device_name": "/dev/sdo", "volume_size": 9, "omit_from_artifact": true}
            ],
            "ami_root_device": {"source_device_name": "/dev/xvdf", "device_name": "/dev/xvda", "volume_size": 10, "volume_type": "gp3", "delete_on_termination": true}
        }))
        .unwrap();
        let snapshots = ["/dev/xvdf", "/dev/sdf"].map(|device| (device.to_owned(), format!("snap-{}", &device[5..])));
        let devices = of_ami(&options, &snapshots.into());
        let shown: Vec<String> = devices
            .iter()
            .map(|device| {
                let ebs = device.ebs();
                format!(
                    "{} {:?} {:?} {:?} {:?}",
                    device.device_name().unwrap_or_default(),
                    ebs.and_then(|ebs| ebs.snapshot_id()),
                    ebs.and_then(aws_sdk_ec2::types::EbsBlockDevice::volume_size),
                    ebs.and_then(aws_sdk_ec2::types::EbsBlockDevice::delete_on_termination),
                    ebs.and_then(aws_sdk_ec2::types::EbsBlockDevice::encrypted)
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "/dev/sdg None None None None",
                "/dev/xvda Some(\"snap-xvdf\") Some(10) Some(true) None",
                "/dev/sdf Some(\"snap-sdf\") Some(2) Some(true) None",
            ]
        );
    }
}
