//! Block device mappings: of images, and as `RunInstances`, `CreateImage` and `RegisterImage` are asked for them.

use crate::api_error::ApiError;
use crate::query::Parameters;
use crate::state::volume::{BlockDevice, EbsDevice};
use crate::xml::Element;

/// One device in a request: everything optional, `None` keeps what the image has.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeviceRequest {
    device: String,
    no_device: bool,
    virtual_name: Option<String>,
    ebs: Option<EbsRequest>,
}

#[derive(Debug, Clone, Default)]
struct EbsRequest {
    snapshot_id: Option<String>,
    size_gib: Option<u32>,
    volume_type: Option<String>,
    iops: Option<u32>,
    throughput: Option<u32>,
    encrypted: Option<bool>,
    kms_key_id: Option<String>,
    delete_on_termination: Option<bool>,
}

/// The volume types of EBS, each with its smallest and largest size in GiB.
const VOLUME_TYPES: &[(&str, u32, u32)] = &[
    ("gp2", 1, 16_384),
    ("gp3", 1, 65_536),
    ("io1", 4, 16_384),
    ("io2", 4, 65_536),
    ("st1", 125, 16_384),
    ("sc1", 125, 16_384),
    ("standard", 1, 1_024),
];

/// The size of a volume that neither the request nor a snapshot gives, in GiB.
const DEFAULT_SIZE_GIB: u32 = 8;

/// Takes `BlockDeviceMapping.N`.
pub(crate) fn take(parameters: &mut Parameters) -> Result<Vec<DeviceRequest>, ApiError> {
    let mut requests = Vec::new();
    for mut mapping in parameters.items("BlockDeviceMapping") {
        let ebs = match mapping.group("Ebs") {
            Some(mut group) => Some(take_ebs(&mut group)?),
            None => None,
        };
        requests.push(DeviceRequest {
            device: mapping.required("DeviceName")?,
            no_device: mapping.text("NoDevice").is_some_and(|text| text != "false"),
            virtual_name: mapping.filled("VirtualName"),
            ebs,
        });
        mapping.finish()?;
    }
    Ok(requests)
}

fn take_ebs(group: &mut Parameters) -> Result<EbsRequest, ApiError> {
    let request = EbsRequest {
        snapshot_id: group.filled("SnapshotId"),
        size_gib: group.number("VolumeSize")?,
        volume_type: group.filled("VolumeType"),
        iops: group.number("Iops")?,
        throughput: group.number("Throughput")?,
        encrypted: group.boolean("Encrypted")?,
        kms_key_id: group.filled("KmsKeyId"),
        delete_on_termination: group.boolean("DeleteOnTermination")?,
    };
    group.finish()?;
    Ok(request)
}

/// Returns the image's devices with the request laid over them, device by device.
pub(crate) fn merge(
    devices: &[BlockDevice],
    requests: Vec<DeviceRequest>,
    size_of_snapshot: impl Fn(&str) -> Result<u32, ApiError>,
) -> Result<Vec<BlockDevice>, ApiError> {
    let mut merged = devices.to_vec();
    for request in requests {
        let old = merged.iter().position(|device| device.device == request.device);
        let old = old.map(|position| merged.remove(position));
        if request.no_device {
            continue;
        }
        let new = BlockDevice {
            ebs: match (request.ebs, &request.virtual_name) {
                (Some(ebs), _) => Some(merge_ebs(
                    old.as_ref().and_then(|old| old.ebs.as_ref()),
                    ebs,
                    &size_of_snapshot,
                )?),
                (None, Some(_)) => None,
                (None, None) => old.and_then(|old| old.ebs),
            },
            device: request.device,
            virtual_name: request.virtual_name,
        };
        merged.push(new);
    }
    merged.sort_by(|one, other| one.device.cmp(&other.device));
    Ok(merged)
}

fn merge_ebs(
    old: Option<&EbsDevice>,
    request: EbsRequest,
    size_of_snapshot: impl Fn(&str) -> Result<u32, ApiError>,
) -> Result<EbsDevice, ApiError> {
    let snapshot_id = request
        .snapshot_id
        .or_else(|| old.and_then(|old| old.snapshot_id.clone()));
    let snapshot_size = match (&snapshot_id, old) {
        (Some(id), Some(old)) if old.snapshot_id.as_ref() == Some(id) => Some(old.size_gib),
        (Some(id), _) => Some(size_of_snapshot(id)?),
        (None, _) => None,
    };
    let size_gib = request
        .size_gib
        .or(snapshot_size)
        .or(old.map(|old| old.size_gib))
        .unwrap_or(DEFAULT_SIZE_GIB);
    if let (Some(snapshot_size), Some(id)) = (snapshot_size.filter(|size| *size > size_gib), &snapshot_id) {
        return Err(ApiError::new(
            "InvalidBlockDeviceMapping",
            format!("Volume of size {size_gib}GB is smaller than snapshot '{id}', expect size >= {snapshot_size}GB"),
        ));
    }
    let volume_type = request
        .volume_type
        .or_else(|| old.map(|old| old.volume_type.clone()))
        .unwrap_or_else(|| "gp2".to_owned());
    check_volume(&volume_type, size_gib, request.iops, request.throughput)?;
    let encrypted = request.encrypted.or(old.map(|old| old.encrypted)).unwrap_or(false) || request.kms_key_id.is_some();
    Ok(EbsDevice {
        snapshot_id,
        size_gib,
        iops: request.iops.or_else(|| default_iops(&volume_type, size_gib)),
        throughput: request.throughput.or((volume_type == "gp3").then_some(125)),
        volume_type,
        encrypted,
        kms_key_id: request
            .kms_key_id
            .or_else(|| old.and_then(|old| old.kms_key_id.clone())),
        delete_on_termination: request
            .delete_on_termination
            .or(old.map(|old| old.delete_on_termination))
            .unwrap_or(true),
    })
}

/// Checks a volume's type, size and speed against what EBS has.
pub(crate) fn check_volume(
    volume_type: &str,
    size_gib: u32,
    iops: Option<u32>,
    throughput: Option<u32>,
) -> Result<(), ApiError> {
    let Some((_, smallest, largest)) = VOLUME_TYPES.iter().find(|(name, ..)| *name == volume_type) else {
        return Err(ApiError::invalid_parameter(format!(
            "Invalid volume type: {volume_type}"
        )));
    };
    if !(*smallest..=*largest).contains(&size_gib) {
        return Err(ApiError::invalid_parameter(format!(
            "Volume of {size_gib}GiB is invalid; a volume of type {volume_type} has between {smallest} and {largest}GiB"
        )));
    }
    let provisioned = matches!(volume_type, "io1" | "io2");
    if provisioned && iops.is_none() {
        return Err(ApiError::missing_parameter("iops"));
    }
    if iops.is_some() && !provisioned && volume_type != "gp3" {
        return Err(ApiError::invalid_combination(format!(
            "The parameter iops is not supported for {volume_type} volumes."
        )));
    }
    if throughput.is_some() && volume_type != "gp3" {
        return Err(ApiError::invalid_combination(format!(
            "The parameter throughput is not supported for {volume_type} volumes."
        )));
    }
    Ok(())
}

/// Returns the IOPS that a volume has when none are asked for (EBS user guide, "volume types").
pub(crate) fn default_iops(volume_type: &str, size_gib: u32) -> Option<u32> {
    match volume_type {
        "gp2" => Some(size_gib.saturating_mul(3).clamp(100, 16_000)),
        "gp3" => Some(3_000),
        _ => None,
    }
}

/// Returns `blockDeviceMapping` as images have it.
pub(crate) fn mapping_of_image(devices: &[BlockDevice]) -> Element {
    Element::body().list("blockDeviceMapping", devices.iter().map(describe))
}

fn describe(device: &BlockDevice) -> Element {
    let item = Element::body()
        .text("deviceName", &device.device)
        .maybe("virtualName", device.virtual_name.as_ref());
    let Some(ebs) = &device.ebs else { return item };
    item.child(
        Element::new("ebs")
            .maybe("snapshotId", ebs.snapshot_id.as_ref())
            .text("volumeSize", ebs.size_gib)
            .text("deleteOnTermination", ebs.delete_on_termination)
            .text("volumeType", &ebs.volume_type)
            .maybe("iops", ebs.iops.filter(|_| ebs.volume_type != "gp2"))
            .maybe("throughput", ebs.throughput)
            .text("encrypted", ebs.encrypted)
            .maybe("kmsKeyId", ebs.kms_key_id.as_ref()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> BlockDevice {
        BlockDevice {
            device: "/dev/xvda".into(),
            virtual_name: None,
            ebs: Some(EbsDevice {
                snapshot_id: Some("snap-1".into()),
                size_gib: 8,
                volume_type: "gp3".into(),
                iops: Some(3000),
                throughput: Some(125),
                encrypted: false,
                kms_key_id: None,
                delete_on_termination: true,
            }),
        }
    }

    fn merged(form: &str) -> Result<Vec<BlockDevice>, ApiError> {
        let requests = take(&mut Parameters::parse(form.as_bytes()).unwrap())?;
        merge(&[root()], requests, |_| Ok(4))
    }

    #[test]
    fn a_request_changes_only_what_it_names() {
        assert_eq!(merged("").unwrap(), [root()]);
        let grown = merged(
            "BlockDeviceMapping.1.DeviceName=/dev/xvda&BlockDeviceMapping.1.Ebs.VolumeSize=20\
             &BlockDeviceMapping.2.DeviceName=/dev/xvdb&BlockDeviceMapping.2.Ebs.VolumeSize=5",
        )
        .unwrap();
        let root_ebs = grown[0].ebs.as_ref().unwrap();
        assert_eq!(
            (root_ebs.size_gib, root_ebs.snapshot_id.as_deref()),
            (20, Some("snap-1"))
        );
        let added = grown[1].ebs.as_ref().unwrap();
        assert_eq!(
            (added.size_gib, added.snapshot_id.as_deref(), added.volume_type.as_str()),
            (5, None, "gp2")
        );
    }

    #[test]
    fn no_device_removes_and_virtual_names_have_no_volume() {
        assert_eq!(
            merged("BlockDeviceMapping.1.DeviceName=/dev/xvda&BlockDeviceMapping.1.NoDevice=").unwrap(),
            []
        );
        let store =
            merged("BlockDeviceMapping.1.DeviceName=/dev/sdb&BlockDeviceMapping.1.VirtualName=ephemeral0").unwrap();
        assert_eq!(
            (store[0].virtual_name.as_deref(), &store[0].ebs),
            (Some("ephemeral0"), &None)
        );
    }

    #[test]
    fn impossible_volumes_are_refused() {
        for (ebs, code) in [
            ("VolumeSize=4", "InvalidBlockDeviceMapping"),
            ("VolumeType=gp9", "InvalidParameterValue"),
            ("VolumeType=io2", "MissingParameter"),
            (
                "VolumeType=gp2&BlockDeviceMapping.1.Ebs.Iops=300",
                "InvalidParameterCombination",
            ),
            (
                "VolumeType=gp2&BlockDeviceMapping.1.Ebs.Throughput=300",
                "InvalidParameterCombination",
            ),
            ("VolumeSize=99999999", "InvalidParameterValue"),
            ("Size=1", "UnknownParameter"),
        ] {
            let form = format!("BlockDeviceMapping.1.DeviceName=/dev/xvda&BlockDeviceMapping.1.Ebs.{ebs}");
            assert_eq!(merged(&form).unwrap_err().code, code, "{ebs}");
        }
    }
}
