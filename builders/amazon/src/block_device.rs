//! Block devices: their options, the limits of EC2, and their form in a request.

use std::ops::RangeInclusive;

use aws_sdk_ec2::types::{BlockDeviceMapping, EbsBlockDevice, VolumeType};
use bakelite_hcl::diagnostic::Severity;
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

/// What EC2 allows for the volumes of a type (EBS volume types, user guide).
struct Limits {
    kind: &'static str,
    iops: RangeInclusive<i32>,
    iops_per_gib: i32,
    /// What it allowed before: beyond, templates that are made for that are warned.
    former_iops: i32,
    former_iops_per_gib: i32,
}

const LIMITS: [Limits; 3] = [
    Limits {
        kind: "io1",
        iops: 100..=64_000,
        iops_per_gib: 50,
        former_iops: 64_000,
        former_iops_per_gib: 50,
    },
    Limits {
        kind: "io2",
        iops: 100..=256_000,
        iops_per_gib: 1_000,
        former_iops: 64_000,
        former_iops_per_gib: 500,
    },
    Limits {
        kind: "gp3",
        iops: 3_000..=80_000,
        iops_per_gib: 500,
        former_iops: 16_000,
        former_iops_per_gib: 500,
    },
];
/// Throughput of `gp3` in MiB/s.
const THROUGHPUT: RangeInclusive<i32> = 125..=2_000;
/// The most that it was.
const FORMER_THROUGHPUT: i32 = 1_000;

/// Complains about devices that EC2 would refuse, each with its first error, and about what has no effect or is not possible everywhere.
/// `option` is the list's name.
pub(crate) fn check(option: &str, devices: &[BlockDevice], complaints: &mut Vec<Complaint>) {
    for (index, device) in devices.iter().enumerate() {
        let mut found = [name_and_key(device), iops(device), throughput(device)];
        if device.volume_type.as_deref() == Some("gp3") {
            found.swap(1, 2);
        }
        let mut found: Vec<Complaint> = found.into_iter().flatten().collect();
        let is_error = |complaint: &Complaint| complaint.severity == Severity::Error;
        if let Some(first) = found.iter().position(is_error) {
            found = vec![found.swap_remove(first)];
        }
        complaints.extend(found.into_iter().map(|mut complaint| {
            complaint.option = format!("{option}[{index}].{}", complaint.option);
            if !device.device_name.is_empty() {
                complaint.message = format!("device `{}`: {}", device.device_name, complaint.message);
            }
            complaint
        }));
    }
}

fn name_and_key(device: &BlockDevice) -> Option<Complaint> {
    if device.device_name.is_empty() {
        return Some(Complaint::error("device_name", "`device_name` must not be empty"));
    }
    let is_contradiction = device.encrypted == Some(false) && device.kms_key_id.is_some();
    let message = "a volume with a `kms_key_id` must not set `encrypted` to false";
    is_contradiction.then(|| Complaint::error("kms_key_id", message))
}

fn iops(device: &BlockDevice) -> Option<Complaint> {
    let kind = device.volume_type.as_deref().unwrap_or_default();
    let iops = device.iops.filter(|iops| *iops != 0)?;
    let Some(limits) = LIMITS.iter().find(|limits| limits.kind == kind) else {
        let message = format!("`iops` has no effect: a `{kind}` volume has none of its own");
        return (!kind.is_empty()).then(|| Complaint::warning("iops", message));
    };
    let size = device.volume_size.filter(|size| *size > 0);
    // The size of an io1 or io2 volume without one is that of its snapshot, which is not known.
    if size.is_none() && kind != "gp3" {
        return None;
    }
    let (least, most) = (limits.iops.start(), limits.iops.end());
    let per_gib = size.map_or(0, |size| iops / size);
    let shown = size.map(|size| format!("{size} GiB ")).unwrap_or_default();
    // Those of a gp3 volume are its own up to a number, however small it is.
    if kind != "gp3" && per_gib > limits.iops_per_gib {
        let message = format!(
            "`iops` of a {shown}`{kind}` volume are {per_gib} for each GiB, more than {}",
            limits.iops_per_gib
        );
        return Some(Complaint::error("iops", message));
    }
    if !limits.iops.contains(&iops) {
        let message = format!("`iops` of a `{kind}` volume must be {least} to {most}");
        return Some(Complaint::error("iops", message));
    }
    let is_new = iops > limits.former_iops || (iops > *least && per_gib > limits.former_iops_per_gib);
    let message = format!("{iops} `iops` of a {shown}`{kind}` volume are not possible in every region");
    is_new.then(|| Complaint::warning("iops", message))
}

fn throughput(device: &BlockDevice) -> Option<Complaint> {
    let kind = device.volume_type.as_deref().unwrap_or_default();
    let throughput = device.throughput.filter(|throughput| *throughput != 0)?;
    let error = |message: String| Some(Complaint::error("throughput", message));
    if kind != "gp3" {
        return error("`throughput` is for `gp3` volumes only".into());
    }
    let (least, most) = (THROUGHPUT.start(), THROUGHPUT.end());
    if !THROUGHPUT.contains(&throughput) {
        return error(format!("`throughput` must be {least} to {most} MiB/s"));
    }
    let message = format!("`throughput` above {FORMER_THROUGHPUT} MiB/s is not possible in every region");
    (throughput > FORMER_THROUGHPUT).then(|| Complaint::warning("throughput", message))
}

impl BlockDevice {
    /// Whether it is a volume at all.
    pub(crate) fn has_volume(&self) -> bool {
        !self.no_device && self.virtual_name.is_none()
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
    let kind = device.volume_type.as_deref().unwrap_or_default();
    let positive = |number: Option<i32>| number.filter(|number| *number > 0);
    let ebs = EbsBlockDevice::builder()
        .set_delete_on_termination(Some(device.delete_on_termination))
        .set_encrypted(device.encrypted)
        .set_iops(positive(device.iops).filter(|_| has_iops(kind)))
        .set_throughput(positive(device.throughput).filter(|_| kind == "gp3"))
        .set_volume_size(positive(device.volume_size))
        .set_volume_type(device.volume_type.as_deref().map(VolumeType::from))
        .set_snapshot_id(device.snapshot_id.clone())
        .set_kms_key_id(device.kms_key_id.clone())
        .build();
    builder.ebs(ebs).build()
}

/// Whether a volume of this type has `iops` of its own.
fn has_iops(kind: &str) -> bool {
    LIMITS.iter().any(|limits| limits.kind == kind)
}

/// Mappings that keep the instance-store volumes `xvdca` … `xvdcz` of a Windows AMI from being mapped.
pub(crate) fn without_ephemeral() -> Vec<BlockDeviceMapping> {
    ('a'..='z')
        .map(|letter| {
            BlockDeviceMapping::builder()
                .device_name(format!("xvdc{letter}"))
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
    fn a_warning_hides_no_error_and_of_several_errors_the_first_is_reported() {
        let severities = |json: &str| {
            let device: BlockDevice = serde_json::from_str(json).unwrap();
            let mut complaints = Vec::new();
            check("ebs_volumes", &[device], &mut complaints);
            let shown = complaints.into_iter().map(|complaint| {
                let option = complaint.option.rsplit('.').next().unwrap_or_default().to_owned();
                (option, complaint.severity == Severity::Error)
            });
            shown.collect::<Vec<_>>()
        };
        for (json, option, is_error) in [
            (
                r#"{"device_name": "a", "volume_type": "gp2", "iops": 200, "throughput": 125}"#,
                "throughput",
                true,
            ),
            (
                r#"{"device_name": "a", "volume_type": "gp3", "iops": 20000, "throughput": 5000}"#,
                "throughput",
                true,
            ),
            (
                r#"{"device_name": "a", "volume_type": "gp3", "iops": 1, "throughput": 1500}"#,
                "iops",
                true,
            ),
            (
                r#"{"device_name": "a", "volume_type": "gp3", "iops": 1, "throughput": 1}"#,
                "throughput",
                true,
            ),
            (
                r#"{"device_name": "a", "volume_type": "gp3", "volume_size": 2, "iops": 3500}"#,
                "iops",
                false,
            ),
        ] {
            assert_eq!(severities(json), [(option.to_owned(), is_error)], "{json}");
        }
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
                r#"{"device_name": "a", "volume_type": "io1", "volume_size": 10, "iops": 509}"#,
                &none,
            ),
            (
                r#"{"device_name": "a", "volume_type": "io1", "volume_size": 1, "iops": 100}"#,
                &["iops"],
            ),
            (
                r#"{"device_name": "a", "volume_type": "gp3", "volume_size": 1, "iops": 3000}"#,
                &none,
            ),
            (r#"{"device_name": "a", "volume_type": "gp3", "iops": -1}"#, &["iops"]),
            (r#"{"device_name": "a", "volume_type": "io1", "iops": 5}"#, &none),
            (
                r#"{"device_name": "a", "volume_type": "gp3", "throughput": 1}"#,
                &["throughput"],
            ),
            (
                r#"{"device_name": "a", "volume_type": "gp3", "throughput": 1500}"#,
                &["throughput"],
            ),
            (
                r#"{"device_name": "a", "volume_type": "gp3", "iops": 20000}"#,
                &["iops"],
            ),
            (r#"{"device_name": "a", "volume_type": "gp2", "iops": 200}"#, &["iops"]),
            (r#"{"device_name": ""}"#, &["device_name"]),
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
