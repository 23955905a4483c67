//! The rules of an amazon-ebssurrogate source, in the order in which they are reported.

use std::path::Path;

use bakelite_template::component::Complaint;

use super::options::{Architecture, BootMode, Options};
use crate::{block_device, image, run};

/// Complains about options that contradict each other or cannot work.
pub(crate) fn check(options: &Options, home: Option<&Path>, complaints: &mut Vec<Complaint>) {
    options.access.check(complaints);
    run::check::check(&options.run, home, complaints);
    image::check::check(&options.image, options.access.region.as_deref(), complaints);
    let devices = options.volumes().launch_block_device_mappings;
    block_device::check("launch_block_device_mappings", &devices, complaints);
    root_device(options, complaints);
    if options.image.ami_virtualization_type.is_none() {
        let message = "`ami_virtualization_type` is required: `hvm` or `paravirtual`";
        complaints.push(Complaint::error("ami_virtualization_type", message));
    }
    uefi_data(options, complaints);
    without_effect(options, complaints);
}

/// An image that is made of the instance has what the instance has.
fn without_effect(options: &Options, complaints: &mut Vec<Complaint>) {
    if !options.use_create_image {
        return;
    }
    for (option, is_given) in [
        ("ami_architecture", options.ami_architecture.is_some()),
        ("boot_mode", options.boot_mode.is_some()),
        ("uefi_data", options.uefi_data.is_some()),
        ("tpm_support", options.tpm_support.is_some()),
        ("snapshot_description", options.snapshot_description.is_some()),
    ] {
        if is_given {
            let message = format!("`{option}` has no effect with `use_create_image`: the AMI is as its instance");
            complaints.push(Complaint::warning(option, message));
        }
    }
}

fn root_device(options: &Options, complaints: &mut Vec<Complaint>) {
    let mut complain = |option: &str, message: String| complaints.push(Complaint::error(option, message));
    let (source, name) = options.root();
    if source.is_empty() {
        let message = "`ami_root_device` needs `source_device_name`, the device that becomes the root volume";
        complain("ami_root_device.source_device_name", message.into());
    }
    if name.is_empty() {
        let message = "`ami_root_device` needs `device_name`, the root volume's name in the AMI";
        complain("ami_root_device.device_name", message.into());
    }
    if let Some(root) = &options.ami_root_device {
        if root.iops.is_some() && root.volume_type.as_deref() == Some("gp2") {
            complain("ami_root_device.iops", "a `gp2` volume has no `iops` of its own".into());
        }
        for (field, number) in [("iops", root.iops), ("volume_size", root.volume_size)] {
            if number.is_some_and(|number| number < 0) {
                complain(
                    &format!("ami_root_device.{field}"),
                    format!("`{field}` must not be negative"),
                );
            }
        }
    }
    let found = options
        .launch_block_device_mappings
        .iter()
        .position(|launch| launch.device.device_name == source);
    match found {
        _ if source.is_empty() => {}
        None => {
            let message = format!(
                "`{source}`, the `source_device_name` of `ami_root_device`, is not in `launch_block_device_mappings`"
            );
            complain("ami_root_device.source_device_name", message);
        }
        Some(index) if options.launch_block_device_mappings[index].omit_from_artifact => {
            let message = format!("`{source}` becomes the root volume and cannot be left out of the AMI");
            complain(
                &format!("launch_block_device_mappings[{index}].omit_from_artifact"),
                message,
            );
        }
        Some(_) => {}
    }
}

fn uefi_data(options: &Options, complaints: &mut Vec<Complaint>) {
    let boots_bios = match (options.boot_mode, options.ami_architecture) {
        (Some(mode), _) => mode == BootMode::LegacyBios,
        (None, architecture) => architecture != Some(Architecture::Arm64),
    };
    if options.uefi_data.is_some() && boots_bios {
        let message = "`uefi_data` is for AMIs that boot with UEFI: `boot_mode = \"uefi\"`";
        complaints.push(Complaint::error("uefi_data", message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(more: &str) -> Vec<String> {
        let mut json = serde_json::json!({
            "region": "us-east-1", "ami_name": "gold-ami", "instance_type": "t3.micro", "source_ami": "ami-12345678", "ssh_username": "ec2-user",
            "ami_virtualization_type": "hvm", "launch_block_device_mappings": [{"device_name": "/dev/xvdf"}],
            "ami_root_device": {"source_device_name": "/dev/xvdf", "device_name": "/dev/xvda"}
        });
        let more: serde_json::Value = serde_json::from_str(more).unwrap();
        for (name, value) in more.as_object().unwrap() {
            json[name] = value.clone();
        }
        let mut complaints = Vec::new();
        check(&serde_json::from_value(json).unwrap(), None, &mut complaints);
        let shown = complaints
            .into_iter()
            .map(|complaint| format!("{}: {}", complaint.option, complaint.message));
        shown.collect()
    }

    #[test]
    fn each_complaint_names_its_options() {
        for more in [
            "{}",
            r#"{"boot_mode": "uefi", "uefi_data": "x", "tpm_support": "v2.0"}"#,
            r#"{"ami_architecture": "arm64", "uefi_data": "x"}"#,
        ] {
            assert_eq!(complaints(more), Vec::<String>::new(), "{more}");
        }
        for (more, wanted) in [
            (r#"{"ami_virtualization_type": null}"#, "ami_virtualization_type: "),
            (r#"{"uefi_data": "x"}"#, "uefi_data: "),
            (r#"{"uefi_data": "x", "boot_mode": "legacy-bios"}"#, "uefi_data: "),
            (
                r#"{"launch_block_device_mappings": []}"#,
                "`/dev/xvdf`, the `source_device_name`",
            ),
            (
                r#"{"launch_block_device_mappings": [{"device_name": "/dev/xvdf", "omit_from_artifact": true}]}"#,
                "launch_block_device_mappings[0].omit_from_artifact: ",
            ),
            (
                r#"{"ami_root_device": {"source_device_name": "/dev/xvdf", "device_name": "a", "volume_type": "gp2", "iops": 100}}"#,
                "ami_root_device.iops: ",
            ),
            (
                r#"{"ami_root_device": {"source_device_name": "/dev/xvdf", "device_name": "a", "volume_size": -1}}"#,
                "ami_root_device.volume_size: ",
            ),
            (r#"{"use_create_image": true, "boot_mode": "uefi"}"#, "boot_mode: "),
            (
                r#"{"use_create_image": true, "snapshot_description": "d"}"#,
                "snapshot_description: ",
            ),
            (
                r#"{"ami_root_device": {"source_device_name": "/dev/xvdf"}}"#,
                "ami_root_device.device_name: ",
            ),
        ] {
            let complaints = complaints(more);
            assert_eq!(complaints.len(), 1, "{more}: {complaints:?}");
            assert!(complaints[0].contains(wanted), "{more}: {complaints:?}");
        }
    }
}
