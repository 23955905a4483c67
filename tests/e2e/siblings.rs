//! What amazon-ebssurrogate and amazon-ebsvolume have beside the options of amazon-ebs: the calls that a bake makes, as they pass a
//! recorder on their way to the local cloud.

use crate::amazon_options::{USUAL, assert_sent, bake_template};

/// A template of a source of this builder with these lines.
fn template(builder: &str, source: &str) -> String {
    format!("source \"{builder}\" \"it\" {{\n{USUAL}\n{source}\n}}\nbuild {{ sources = [\"source.{builder}.it\"] }}\n")
}

/// The requests for an action, each from its name to its end.
fn requests_for<'r>(requests: &'r str, action: &str) -> Vec<&'r str> {
    let start = format!("Action={action}&");
    requests.lines().filter(|request| request.starts_with(&start)).collect()
}

#[test]
fn options_of_a_surrogate_are_parameters_of_its_registration() {
    let source = r#"
        ami_name                = "baked"
        ami_virtualization_type = "hvm"
        ami_architecture        = "x86_64"
        boot_mode               = "uefi"
        uefi_data               = "QU1aTlVFRkk="
        tpm_support             = "v2.0"
        ena_support             = true
        sriov_support           = true
        snapshot_description    = "the root"
        snapshot_tags           = { Disk = "root" }
        run_volume_tags         = { Stage = "filling" }
        launch_block_device_mappings {
          device_name           = "/dev/xvdf"
          volume_size           = 8
          volume_type           = "gp2"
          delete_on_termination = true
        }
        launch_block_device_mappings {
          device_name           = "/dev/xvdg"
          volume_size           = 4
          delete_on_termination = true
          omit_from_artifact    = true
        }
        ami_block_device_mappings {
          device_name  = "/dev/xvdh"
          virtual_name = "ephemeral0"
        }
        ami_root_device {
          source_device_name    = "/dev/xvdf"
          device_name           = "/dev/xvda"
          delete_on_termination = true
          volume_size           = 10
          volume_type           = "io1"
          iops                  = 400
        }
    "#;
    let (ran, requests) = bake_template(&template("amazon-ebssurrogate", source), &[]);
    let registrations = requests_for(&requests, "RegisterImage");
    let [registration] = registrations[..] else {
        panic!("registered {} times: {requests}\n{ran:?}", registrations.len())
    };
    for wanted in [
        "&Name=baked",
        "&VirtualizationType=hvm",
        "&Architecture=x86_64",
        "&BootMode=uefi",
        "&UefiData=QU1aTlVFRkk=",
        "&TpmSupport=v2.0",
        "&EnaSupport=true",
        "&SriovNetSupport=simple",
        "&RootDeviceName=/dev/xvda",
        "&BlockDeviceMapping.1.DeviceName=/dev/xvdh",
        "&BlockDeviceMapping.1.VirtualName=ephemeral0",
        "&BlockDeviceMapping.2.DeviceName=/dev/xvda",
        "&BlockDeviceMapping.2.Ebs.SnapshotId=snap-",
        "&BlockDeviceMapping.2.Ebs.DeleteOnTermination=true",
        "&BlockDeviceMapping.2.Ebs.VolumeSize=10",
        "&BlockDeviceMapping.2.Ebs.VolumeType=io1",
        "&BlockDeviceMapping.2.Ebs.Iops=400",
    ] {
        assert!(
            format!("&{registration}").contains(wanted),
            "{wanted} was not sent: {registration}"
        );
    }
    assert!(!registration.contains("/dev/xvdg"), "{registration}");
    let snapshots = requests_for(&requests, "CreateSnapshot");
    assert_eq!(snapshots.len(), 1, "{requests}");
    assert!(snapshots[0].contains("&Description=the root"), "{}", snapshots[0]);
    assert!(snapshots[0].contains("=Disk&"), "{}", snapshots[0]);
    assert_sent(&(ran, requests), &["=Stage&TagSpecification."]);
}

#[test]
fn a_surrogate_may_be_made_of_the_instance_whose_volumes_were_exchanged() {
    let source = r#"
        ami_name                = "baked"
        ami_virtualization_type = "hvm"
        use_create_image        = true
        launch_block_device_mappings {
          device_name           = "/dev/xvdf"
          volume_size           = 8
          delete_on_termination = true
        }
        ami_root_device {
          source_device_name = "/dev/xvdf"
          device_name        = "/dev/sda1"
        }
    "#;
    let (ran, requests) = bake_template(&template("amazon-ebssurrogate", source), &[]);
    let actions: Vec<&str> = requests
        .lines()
        .filter_map(|request| request.strip_prefix("Action=")?.split('&').next())
        .filter(|action| ["DetachVolume", "AttachVolume", "CreateImage", "RegisterImage"].contains(action))
        .collect();
    assert_eq!(
        actions,
        ["DetachVolume", "DetachVolume", "AttachVolume", "CreateImage"],
        "{requests}\n{ran:?}"
    );
    assert!(
        requests_for(&requests, "AttachVolume")[0].contains("&Device=/dev/sda1"),
        "{requests}"
    );
    let _ = ran.succeeds();
}

#[test]
fn options_of_volumes_are_parameters_of_the_launch_their_tags_and_their_snapshots() {
    let source = r#"
        run_volume_tags = { Stage = "filling" }
        run_volume_tag {
          key   = "Part"
          value = "one"
        }
        ebs_volumes {
          device_name           = "/dev/xvdf"
          volume_size           = 20
          volume_type           = "gp3"
          iops                  = 3200
          throughput            = 150
          encrypted             = true
          kms_key_id            = "alias/disks"
          delete_on_termination = false
          tags                  = { Base = "{{ .SourceAMIOwner }}" }
          tag {
            key   = "Name"
            value = "data"
          }
        }
        ebs_volumes {
          device_name           = "/dev/xvdg"
          snapshot_id           = "snap-0123456789abcdef0"
          volume_size           = 3
          delete_on_termination = true
          snapshot_volume       = true
          snapshot_description  = "saved"
          snapshot_tags         = { Kind = "saved" }
          snapshot_users        = ["111122223333"]
          snapshot_groups       = ["all"]
          snapshot_tag {
            key   = "Name"
            value = "snapshot"
          }
        }
        ebs_volumes {
          device_name = "/dev/xvdh"
          no_device   = true
        }
        ebs_volumes {
          device_name  = "/dev/xvdi"
          virtual_name = "ephemeral0"
        }
    "#;
    let text = template("amazon-ebsvolume", source);
    assert_sent(
        &bake_template(&text, &[]),
        &[
            "&BlockDeviceMapping.1.DeviceName=/dev/xvdf",
            "&BlockDeviceMapping.1.Ebs.DeleteOnTermination=false",
            "&BlockDeviceMapping.1.Ebs.VolumeSize=20",
            "&BlockDeviceMapping.1.Ebs.VolumeType=gp3",
            "&BlockDeviceMapping.1.Ebs.Iops=3200",
            "&BlockDeviceMapping.1.Ebs.Throughput=150",
            "&BlockDeviceMapping.1.Ebs.Encrypted=true",
            "&BlockDeviceMapping.1.Ebs.KmsKeyId=alias/disks",
            "&BlockDeviceMapping.2.Ebs.SnapshotId=snap-0123456789abcdef0",
            "&BlockDeviceMapping.3.NoDevice=",
            "&BlockDeviceMapping.4.VirtualName=ephemeral0",
            "Key=Stage&TagSpecification.2.Tag.2.Value=filling",
            "Key=Part&TagSpecification.2.Tag.1.Value=one",
        ],
    );
    let baked = text.replace("snapshot_id           = \"snap-0123456789abcdef0\"", "");
    let (ran, requests) = bake_template(&baked, &[]);
    assert_sent(
        &(ran, requests.clone()),
        &[
            "&Description=saved",
            "=Kind&",
            "=Name&",
            "&CreateVolumePermission.Add.1.UserId=111122223333",
            "&CreateVolumePermission.Add.2.Group=all",
            "Value=099720109477",
            "Value=data",
        ],
    );
    assert_eq!(requests_for(&requests, "CreateSnapshot").len(), 1, "{requests}");
}
