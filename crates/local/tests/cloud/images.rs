//! Images: made of instances, launched, copied, shared, removed.

use std::path::Path;

use bakelite_local::ImageSource;

use crate::Test;
use crate::client::TestCloud;

pub(crate) const TESTS: &[Test] = &[
    ("hold_what_was_baked", hold_what_was_baked),
    (
        "of_running_instances_catch_their_disk",
        of_running_instances_catch_their_disk,
    ),
    ("go_with_their_snapshots_and_roots", go_with_their_snapshots_and_roots),
    ("live_on_in_copies", live_on_in_copies),
    ("refused_ones_leave_no_root", refused_ones_leave_no_root),
    ("take_tags_when_made", take_tags_when_made),
    (
        "are_shared_and_changed_by_attributes",
        are_shared_and_changed_by_attributes,
    ),
    ("given_by_the_user_have_name_and_id", given_by_the_user_have_name_and_id),
    ("run_commands", run_commands),
    ("are_pending_when_told_to", are_pending_when_told_to),
];

/// Bakes an image with a note in it, and leaves nothing else.
fn bake(cloud: &TestCloud, name: &str, key: &Path) -> String {
    let id = cloud.api.launch("KeyName=k");
    cloud.api.wait_for(&id, "running");
    let write = format!("echo {name} | sudo tee /opt/note");
    cloud.api.ssh(&id, "admin", key, &write);
    cloud.api.ok("StopInstances", &format!("InstanceId.1={id}"));
    cloud.api.wait_for(&id, "stopped");
    let create = format!("InstanceId={id}&Name={name}");
    let image = cloud.api.ok("CreateImage", &create).value("imageId");
    cloud.api.ok("TerminateInstances", &format!("InstanceId.1={id}"));
    cloud.api.wait_for(&id, "terminated");
    image
}

fn hold_what_was_baked() {
    let mut cloud = TestCloud::start();
    let key = cloud.api.key_pair("k", cloud.state_dir());
    let image = bake(&cloud, "first", &key);
    let described = cloud.api.ok("DescribeImages", "Owner.1=self");
    assert_eq!(described.value("imageId"), image);
    assert_eq!(described.value("imageState"), "available");
    cloud.restart();
    let id = cloud.api.launch_image(&image, "KeyName=k");
    cloud.api.wait_for(&id, "running");
    assert_eq!(cloud.api.ssh(&id, "admin", &key, "cat /opt/note"), "first\n");
}

fn of_running_instances_catch_their_disk() {
    let cloud = TestCloud::start();
    let key = cloud.api.key_pair("k", cloud.state_dir());
    let source = cloud.api.launch("KeyName=k");
    cloud.api.wait_for(&source, "running");
    cloud.api.ssh(&source, "admin", &key, "echo live | sudo tee /opt/note");
    for (name, how) in [("rebooted", ""), ("untouched", "&NoReboot=true")] {
        let create = format!("InstanceId={source}&Name={name}{how}");
        let image = cloud.api.ok("CreateImage", &create).value("imageId");
        assert_eq!(cloud.api.state(&source), "running");
        let id = cloud.api.launch_image(&image, "KeyName=k");
        cloud.api.wait_for(&id, "running");
        assert_eq!(cloud.api.ssh(&id, "admin", &key, "cat /opt/note"), "live\n", "{name}");
    }
    assert_eq!(cloud.api.ssh(&source, "admin", &key, "cat /opt/note"), "live\n");
}

fn go_with_their_snapshots_and_roots() {
    let cloud = TestCloud::start();
    let key = cloud.api.key_pair("k", cloud.state_dir());
    let directory = cloud.state_dir().join("machines/layers");
    let layers = || std::fs::read_dir(&directory).unwrap().count();
    let image = bake(&cloud, "gone", &key);
    let with_image = layers();
    let described = cloud.api.ok("DescribeImages", &format!("ImageId.1={image}"));
    let snapshot = described.value("snapshotId");
    let delete = format!("SnapshotId={snapshot}");
    assert_eq!(cloud.api.error("DeleteSnapshot", &delete), "InvalidSnapshot.InUse");
    cloud.api.ok("DeregisterImage", &format!("ImageId={image}"));
    let describe = format!("ImageId.1={image}");
    assert_eq!(cloud.api.error("DescribeImages", &describe), "InvalidAMIID.NotFound");
    assert_eq!(layers(), with_image, "the snapshot still keeps the root");
    let register = format!(
        "Name=again&RootDeviceName=/dev/xvda&VirtualizationType=hvm&BlockDeviceMapping.1.DeviceName=/dev/xvda\
         &BlockDeviceMapping.1.Ebs.SnapshotId={snapshot}"
    );
    let again = cloud.api.ok("RegisterImage", &register).value("imageId");
    let deregister = format!("ImageId={again}&DeleteAssociatedSnapshots=true");
    let deregistered = cloud.api.ok("DeregisterImage", &deregister);
    assert_eq!(deregistered.value("returnCode"), "success");
    assert_eq!(layers(), with_image - 1);
    let left = cloud.api.ok("DescribeSnapshots", "Owner.1=self");
    assert!(left.values("snapshotId").is_empty());
}

fn refused_ones_leave_no_root() {
    let cloud = TestCloud::start();
    let id = cloud.api.launch("");
    cloud.api.wait_for(&id, "running");
    let described = cloud.api.ok("DescribeVolumes", "");
    let volume = described.value("volumeId");
    let directory = cloud.state_dir().join("machines/layers");
    let layers = || std::fs::read_dir(&directory).unwrap().count();
    let before = layers();
    // The state cannot be saved: its new file is a directory.
    let blocked = cloud.state_dir().join("state.json.new");
    std::fs::create_dir(&blocked).unwrap();
    let snapshot = format!("VolumeId={volume}");
    assert_eq!(cloud.api.error("CreateSnapshot", &snapshot), "InternalError");
    let image = format!("InstanceId={id}&Name=refused&NoReboot=true");
    assert_eq!(cloud.api.error("CreateImage", &image), "InternalError");
    std::fs::remove_dir(&blocked).unwrap();
    assert_eq!(layers(), before);
}

fn live_on_in_copies() {
    let cloud = TestCloud::start();
    let key = cloud.api.key_pair("k", cloud.state_dir());
    let image = bake(&cloud, "origin", &key);
    let abroad = cloud.api.in_region("eu-west-1");
    let copy = format!("SourceRegion=us-east-1&SourceImageId={image}&Name=copy&Encrypted=true&ClientToken=c");
    let copied = abroad.ok("CopyImage", &copy).value("imageId");
    let repeated = abroad.ok("CopyImage", &copy).value("imageId");
    assert_eq!(repeated, copied, "same token, same copy");
    let deregister = format!("ImageId={image}&DeleteAssociatedSnapshots=true");
    cloud.api.ok("DeregisterImage", &deregister);
    let described = abroad.ok("DescribeImages", &format!("ImageId.1={copied}"));
    assert_eq!(described.value("encrypted"), "true");
    assert_eq!(described.value("sourceImageId"), image);
    let key = abroad.key_pair("abroad", cloud.state_dir());
    let id = abroad.launch_image(&copied, "KeyName=abroad");
    abroad.wait_for(&id, "running");
    assert_eq!(abroad.ssh(&id, "admin", &key, "cat /opt/note"), "origin\n");
}

fn take_tags_when_made() {
    let cloud = TestCloud::start();
    let id = cloud.api.launch("");
    cloud.api.wait_for(&id, "running");
    let tags = |number: u8, kind: &str| {
        format!(
            "&TagSpecification.{number}.ResourceType={kind}&TagSpecification.{number}.Tag.1.Key=of\
             &TagSpecification.{number}.Tag.1.Value={kind}"
        )
    };
    let create = format!("InstanceId={id}&Name=tagged{}{}", tags(1, "image"), tags(2, "snapshot"));
    cloud.api.ok("CreateImage", &create);
    let find = "Owner.1=self&Filter.1.Name=tag:of&Filter.1.Value.1=";
    let images = cloud.api.ok("DescribeImages", &format!("{find}image"));
    let snapshots = cloud.api.ok("DescribeSnapshots", &format!("{find}snapshot"));
    assert_eq!(images.values("imageId").len(), 1);
    assert_eq!(snapshots.values("snapshotId").len(), 1);
    assert_eq!(cloud.api.error("CreateImage", &create), "InvalidAMIName.Duplicate");
}

fn are_shared_and_changed_by_attributes() {
    let cloud = TestCloud::start();
    let source = cloud.api.image("debian-12-amd64-*");
    let copy = format!("SourceRegion=us-east-1&SourceImageId={source}&Name=mine");
    let image = cloud.api.ok("CopyImage", &copy).value("imageId");
    let of_image = format!("ImageId={image}");
    let modify = |change: &str| cloud.api.ok("ModifyImageAttribute", &format!("{of_image}&{change}"));
    modify("LaunchPermission.Add.1.UserId=111122223333&LaunchPermission.Add.2.Group=all");
    modify("Description.Value=new");
    modify("ImdsSupport.Value=v2.0");
    let shared = cloud
        .api
        .ok("DescribeImages", "Owner.1=self&ExecutableBy.1=111122223333");
    assert_eq!(shared.value("isPublic"), "true");
    assert_eq!(shared.value("imdsSupport"), "v2.0");
    assert_eq!(shared.value("description"), "new");
    modify("Attribute=launchPermission&OperationType=remove&UserGroup.1=all&UserId.1=111122223333");
    let private = cloud.api.ok("DescribeImages", "Owner.1=self");
    assert_eq!(private.value("isPublic"), "false");
    cloud.api.ok("EnableImageDeregistrationProtection", &of_image);
    assert_eq!(cloud.api.error("DeregisterImage", &of_image), "OperationNotPermitted");
    cloud.api.ok("DisableImageDeregistrationProtection", &of_image);
    let deprecate = format!("{of_image}&DeprecateAt=2099-01-01T00:00:00Z");
    cloud.api.ok("EnableImageDeprecation", &deprecate);
    let deprecated = cloud.api.ok("DescribeImages", "Owner.1=self");
    assert_eq!(deprecated.value("deprecationTime"), "2099-01-01T00:00:00.000Z");
    cloud.api.ok("DeregisterImage", &of_image);
}

fn given_by_the_user_have_name_and_id() {
    let root = tempfile::tempdir().unwrap();
    let given =
        ["base", "ami-0123456789abcdef0"].map(|name| (name.to_owned(), ImageSource::of_path(root.path().to_owned())));
    let cloud = TestCloud::with("none".parse().unwrap(), given.to_vec());
    let by_name = "Owner.1=self&Filter.1.Name=name&Filter.1.Value.1=ba*";
    assert_eq!(cloud.api.ok("DescribeImages", by_name).value("name"), "base");
    let by_id = "ImageId.1=ami-0123456789abcdef0";
    let found = cloud.api.ok("DescribeImages", by_id);
    assert_eq!(found.value("name"), "ami-0123456789abcdef0");
    let deregister = "ImageId=ami-0123456789abcdef0";
    assert_eq!(cloud.api.error("DeregisterImage", deregister), "OperationNotPermitted");
}

fn run_commands() {
    let cloud = TestCloud::start();
    let key = cloud.api.key_pair("k", cloud.state_dir());
    let image = bake(&cloud, "tool", &key);
    let run = |image: &str, script: &str| {
        let command = ["sh", "-c", script].map(str::to_owned);
        cloud.ask(async |local| local.run(image, &command).await)
    };
    assert_eq!(run(&image, "test \"$(cat /opt/note)\" = tool").unwrap(), 0);
    assert_eq!(run("tool", "exit 3").unwrap(), 3);
    let unknown = run("ami-none", "true").unwrap_err().to_string();
    assert_eq!(unknown, "image `ami-none` does not exist in the local cloud");
    let listed = cloud.ask(async |local| local.images().await).unwrap();
    let baked = listed.iter().filter(|image| !image.is_base);
    let baked: Vec<&str> = baked.map(|image| image.name.as_str()).collect();
    assert_eq!(baked, ["tool"]);
}

fn are_pending_when_told_to() {
    let cloud = TestCloud::with("image=3600".parse().unwrap(), Vec::new());
    let id = cloud.api.launch("");
    cloud.api.wait_for(&id, "running");
    let create = format!("InstanceId={id}&Name=slow");
    let image = cloud.api.ok("CreateImage", &create).value("imageId");
    let described = cloud.api.ok("DescribeImages", &format!("ImageId.1={image}"));
    assert_eq!(described.value("imageState"), "pending");
    let snapshots = cloud.api.ok("DescribeSnapshots", "Owner.1=self");
    assert_eq!(snapshots.value("status"), "pending");
    let launch = format!("ImageId={image}&MinCount=1&MaxCount=1");
    assert_eq!(cloud.api.error("RunInstances", &launch), "InvalidAMIID.Unavailable");
}
