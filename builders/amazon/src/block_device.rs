//! Block devices: their options, the limits of EC2, and their form in a request.

use aws_sdk_ec2::types::{BlockDeviceMapping, EbsBlockDevice, VolumeType};
use bakelite_template::component::Complaint;
use schemars::JsonSchema;
use serde::Deserialize;

/// A block device of an instance or an AMI.
#[derive(Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct BlockDevice {
    /// Delete the volume with the instance. A volume of the bake's own instance is deleted in any case; this is what the AMI says.
    #[serde(default)]
    pub delete_on_termination: bool,
    /// The device's name: `/dev/sda1`.
    pub device_name: String,
    /// Encrypt the volume; default: as the snapshot or the account's settings have it.
    pub encrypted: Option<bool>,
    /// The volume's I/O operations per second, for `io1`, `io2` and `gp3`.
    pub iops: Option<i32>,
    /// Do not map this device.
    #[serde(default)]
    pub no_device: bool,
    /// The snapshot that the volume is made of.
    pub snapshot_id: Option<String>,
    /// The volume's throughput in MiB/s, for `gp3`.
    pub throughput: Option<i32>,
    /// The instance-store volume: `ephemeral0`.
    pub virtual_name: Option<String>,
    /// The volume's type: `gp2`, `gp3`, `io1`, `io2`, `st1`, `sc1`, `standard`.
    pub volume_type: Option<String>,
    /// The volume's size in GiB.
    pub volume_size: Option<i32>,
    /// The KMS key that the volume is encrypted with.
    pub kms_key_id: Option<String>,
}

/// I/O operations per second: the least, the most, and the most per GiB (EBS volume types, user guide).
const IOPS: [(&str, i32, i32, i32); 3] = [
    ("io1", 100, 64_000, 50),
    ("io2", 100, 256_000, 1_000),
    ("gp3", 3_000, 80_000, 500),
];
/// Throughput of `gp3` in MiB/s.
const THROUGHPUT: std::ops::RangeInclusive<i32> = 125..=2_000;

/// Complains about devices that EC2 would refuse. `option` is the list's name.
pub(crate) fn check(option: &str, devices: &[BlockDevice], complaints: &mut Vec<Complaint>) {
    for (index, device) in devices.iter().enumerate() {
        let mut complain = |field: &str, message: String| {
            complaints.push(Complaint::error(format!("{option}[{index}].{field}"), message));
        };
        if device.encrypted == Some(false) && device.kms_key_id.is_some() {
            complain(
                "kms_key_id",
                "a volume with a `kms_key_id` must not set `encrypted` to false".into(),
            );
        }
        check_speed(device, &mut complain);
    }
}

fn check_speed(device: &BlockDevice, complain: &mut impl FnMut(&str, String)) {
    let kind = device.volume_type.as_deref().unwrap_or_default();
    let limits = IOPS.iter().find(|(name, ..)| *name == kind);
    if let (Some(iops), Some((_, least, most, per_gib))) = (device.iops.filter(|iops| *iops > 0), limits) {
        // Without a size the snapshot decides: nothing can be checked.
        if let Some(size) = device.volume_size.filter(|size| *size > 0) {
            let most = (*most).min(size.saturating_mul(*per_gib).max(*least));
            if !(*least..=most).contains(&iops) {
                complain(
                    "iops",
                    format!("`iops` of a {size} GiB `{kind}` volume must be {least} to {most}"),
                );
            }
        }
    }
    if let Some(throughput) = device.throughput.filter(|throughput| *throughput != 0) {
        if kind != "gp3" {
            complain("throughput", "`throughput` is for `gp3` volumes only".into());
        } else if !THROUGHPUT.contains(&throughput) {
            complain(
                "throughput",
                format!(
                    "`throughput` must be {} to {} MiB/s",
                    THROUGHPUT.start(),
                    THROUGHPUT.end()
                ),
            );
        }
    }
}

/// The devices as a request has them.
pub(crate) fn mappings(devices: &[BlockDevice]) -> Vec<BlockDeviceMapping> {
    devices.iter().map(mapping).collect()
}

fn mapping(device: &BlockDevice) -> BlockDeviceMapping {
    let builder = BlockDeviceMapping::builder().device_name(&device.device_name);
    if device.no_device {
        return builder.no_device("").build();
    }
    if let Some(name) = device
        .virtual_name
        .as_ref()
        .filter(|name| name.starts_with("ephemeral"))
    {
        return builder.virtual_name(name).build();
    }
    let positive = |number: Option<i32>| number.filter(|number| *number > 0);
    let ebs = EbsBlockDevice::builder()
        .set_delete_on_termination(Some(device.delete_on_termination))
        .set_encrypted(device.encrypted)
        .set_iops(positive(device.iops))
        .set_throughput(positive(device.throughput))
        .set_volume_size(positive(device.volume_size))
        .set_volume_type(device.volume_type.as_deref().map(VolumeType::from))
        .set_snapshot_id(device.snapshot_id.clone())
        .set_kms_key_id(device.kms_key_id.clone())
        .build();
    builder.ebs(ebs).build()
}

/// Mappings that keep the instance-store volumes `/dev/sdca` … `/dev/sdcz` of a Windows AMI from being mapped.
pub(crate) fn without_ephemeral() -> Vec<BlockDeviceMapping> {
    ('a'..='z')
        .map(|letter| {
            BlockDeviceMapping::builder()
                .device_name(format!("/dev/sdc{letter}"))
                .no_device("")
                .build()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(json: &str) -> Vec<String> {
        let device: BlockDevice = serde_json::from_str(json).unwrap();
        let mut complaints = Vec::new();
        check("launch_block_device_mappings", &[device], &mut complaints);
        complaints.into_iter().map(|complaint| complaint.option).collect()
    }

    #[test]
    fn impossible_devices_are_refused() {
        let none: [&str; 0] = [];
        for (json, wanted) in [
            (
                r#"{"device_name": "a", "volume_type": "io1", "volume_size": 10, "iops": 50}"#,
                &["iops"][..],
            ),
            (
                r#"{"device_name": "a", "volume_type": "io1", "volume_size": 10, "iops": 1000}"#,
                &["iops"],
            ),
            (
                r#"{"device_name": "a", "volume_type": "io1", "volume_size": 10, "iops": 500}"#,
                &none,
            ),
            (r#"{"device_name": "a", "volume_type": "io1", "iops": 5}"#, &none),
            (
                r#"{"device_name": "a", "volume_type": "gp3", "throughput": 1}"#,
                &["throughput"],
            ),
            (
                r#"{"device_name": "a", "volume_type": "gp3", "throughput": 5000}"#,
                &["throughput"],
            ),
            (
                r#"{"device_name": "a", "volume_type": "gp2", "throughput": 125}"#,
                &["throughput"],
            ),
            (r#"{"device_name": "a", "kms_key_id": "alias/x"}"#, &none),
            (
                r#"{"device_name": "a", "kms_key_id": "alias/x", "encrypted": false}"#,
                &["kms_key_id"],
            ),
        ] {
            let wanted: Vec<String> = wanted
                .iter()
                .map(|field| format!("launch_block_device_mappings[0].{field}"))
                .collect();
            assert_eq!(complaints(json), wanted, "{json}");
        }
    }
}
