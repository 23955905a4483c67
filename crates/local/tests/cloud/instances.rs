//! Instances: launched, reached, stopped, started, terminated.

use bakelite_local::Latency;

use crate::Test;
use crate::client::TestCloud;

pub(crate) const TESTS: &[Test] = &[
    ("run_with_key_user_data_and_address", run_with_key_user_data_and_address),
    (
        "keep_their_disk_over_stop_and_start",
        keep_their_disk_over_stop_and_start,
    ),
    ("launch_once_per_client_token", launch_once_per_client_token),
    ("release_what_they_hold", release_what_they_hold),
    ("obey_their_shutdown_behaviour", obey_their_shutdown_behaviour),
    ("take_their_time_when_told_to", take_their_time_when_told_to),
    ("are_protected_from_termination", are_protected_from_termination),
    ("reboot_onto_the_same_disk", reboot_onto_the_same_disk),
    (
        "volumes_are_made_once_per_client_token",
        volumes_are_made_once_per_client_token,
    ),
];

fn run_with_key_user_data_and_address() {
    let cloud = TestCloud::start();
    let key = cloud.api.key_pair("k", cloud.state_dir());
    // #!/bin/sh\necho seen > /user-data\n
    let user_data = "IyEvYmluL3NoCmVjaG8gc2VlbiA+IC91c2VyLWRhdGEK";
    let image = cloud.api.image("ubuntu/images/*jammy*amd64*");
    let one = cloud
        .api
        .launch_image(&image, &format!("KeyName=k&UserData={user_data}"));
    let other = cloud.api.launch("KeyName=k");
    cloud.api.wait_for(&one, "running");
    cloud.api.wait_for(&other, "running");
    let address = |id: &str| cloud.api.describe(id).value("ipAddress");
    assert_ne!(address(&one), address(&other));
    assert_eq!(cloud.api.ssh(&one, "ubuntu", &key, "id -un"), "ubuntu\n");
    assert_eq!(cloud.api.ssh(&other, "admin", &key, "id -un"), "admin\n");
    let wait = "until [ -s /user-data ]; do sleep 0.05; done; cat /user-data";
    assert_eq!(cloud.api.ssh(&one, "ubuntu", &key, wait), "seen\n");
    let console = cloud.api.ok("GetConsoleOutput", &format!("InstanceId={one}"));
    assert_eq!(console.values("output").len(), 1);
}

fn keep_their_disk_over_stop_and_start() {
    let cloud = TestCloud::start();
    let key = cloud.api.key_pair("k", cloud.state_dir());
    let id = cloud.api.launch("KeyName=k");
    cloud.api.wait_for(&id, "running");
    cloud.api.ssh(&id, "admin", &key, "echo kept > ~/note");
    let stopping = cloud.api.ok("StopInstances", &format!("InstanceId.1={id}"));
    assert_eq!(stopping.values("name"), ["stopping", "running"]);
    cloud.api.wait_for(&id, "stopped");
    let starting = cloud.api.ok("StartInstances", &format!("InstanceId.1={id}"));
    assert_eq!(starting.values("name"), ["pending", "stopped"]);
    cloud.api.wait_for(&id, "running");
    assert_eq!(cloud.api.ssh(&id, "admin", &key, "cat ~/note"), "kept\n");
}

fn launch_once_per_client_token() {
    let cloud = TestCloud::start();
    let first = cloud.api.launch("ClientToken=t");
    assert_eq!(cloud.api.launch("ClientToken=t"), first);
    let image = cloud.api.image("debian-12-amd64-*");
    let different = format!("ImageId={image}&MinCount=1&MaxCount=1&InstanceType=t3.small&ClientToken=t");
    assert_eq!(
        cloud.api.error("RunInstances", &different),
        "IdempotentParameterMismatch"
    );
    assert_ne!(cloud.api.launch("ClientToken=u"), first);
    let described = cloud.api.ok("DescribeInstances", "");
    assert_eq!(described.values("reservationId").len(), 2);
}

fn release_what_they_hold() {
    let cloud = TestCloud::start();
    let created = cloud.api.ok("CreateSecurityGroup", "GroupName=g&GroupDescription=d");
    let group = created.value("groupId");
    let id = cloud.api.launch(&format!(
        "SecurityGroupId.1={group}&BlockDeviceMapping.1.DeviceName=/dev/sdb&BlockDeviceMapping.1.Ebs.VolumeSize=1\
         &BlockDeviceMapping.1.Ebs.DeleteOnTermination=false"
    ));
    cloud.api.wait_for(&id, "running");
    let delete = format!("GroupId={group}");
    assert_eq!(cloud.api.error("DeleteSecurityGroup", &delete), "DependencyViolation");
    assert_eq!(cloud.api.ok("DescribeVolumes", "").values("volumeType").len(), 2);
    cloud.api.ok("TerminateInstances", &format!("InstanceId.1={id}"));
    cloud.api.wait_for(&id, "terminated");
    cloud.api.ok("DeleteSecurityGroup", &delete);
    let left = cloud.api.ok("DescribeVolumes", "");
    assert_eq!(left.values("size"), ["1"]);
    assert_eq!(left.value("status"), "available");
    let ended = cloud.api.ok("DescribeInstances", "");
    assert!(ended.values("networkInterfaceId").is_empty());
}

fn obey_their_shutdown_behaviour() {
    let cloud = TestCloud::start();
    let key = cloud.api.key_pair("k", cloud.state_dir());
    let stops = cloud.api.launch("KeyName=k");
    let ends = cloud
        .api
        .launch("KeyName=k&InstanceInitiatedShutdownBehavior=terminate");
    for (id, state) in [(&stops, "stopped"), (&ends, "terminated")] {
        cloud.api.wait_for(id, "running");
        let power_off = "nohup sh -c 'sleep 0.1; sudo poweroff' >/dev/null 2>&1 &";
        cloud.api.ssh(id, "admin", &key, power_off);
        cloud.api.wait_for(id, state);
        let reason = "<code>Client.InstanceInitiatedShutdown</code>";
        assert!(cloud.api.describe(id).body.contains(reason));
    }
}

fn take_their_time_when_told_to() {
    let latency: Latency = "instance=3600,terminate=3600".parse().unwrap();
    let cloud = TestCloud::with(latency, Vec::new());
    let id = cloud.api.launch("");
    assert_eq!(cloud.api.state(&id), "pending");
    cloud.api.ok("TerminateInstances", &format!("InstanceId.1={id}"));
    assert_eq!(cloud.api.state(&id), "shutting-down");
}

fn are_protected_from_termination() {
    let cloud = TestCloud::start();
    let id = cloud.api.launch("DisableApiTermination=true");
    let terminate = format!("InstanceId.1={id}");
    assert_eq!(
        cloud.api.error("TerminateInstances", &terminate),
        "OperationNotPermitted"
    );
    let allow = format!("InstanceId={id}&DisableApiTermination.Value=false");
    cloud.api.ok("ModifyInstanceAttribute", &allow);
    cloud.api.ok("TerminateInstances", &terminate);
    cloud.api.wait_for(&id, "terminated");
}

fn reboot_onto_the_same_disk() {
    let cloud = TestCloud::start();
    let key = cloud.api.key_pair("k", cloud.state_dir());
    let id = cloud.api.launch("KeyName=k");
    cloud.api.wait_for(&id, "running");
    let before = "echo kept > ~/note; cat /proc/sys/kernel/random/uuid > /dev/shm/boot";
    cloud.api.ssh(&id, "admin", &key, before);
    cloud.api.ok("RebootInstances", &format!("InstanceId.1={id}"));
    let start = std::time::Instant::now();
    // What is in memory goes with a reboot; a connection that the reboot cuts is tried again.
    let after = "cat ~/note; test -e /dev/shm/boot && echo not yet || echo rebooted";
    while cloud.api.ssh_output(&id, "admin", &key, after).stdout != b"kept\nrebooted\n" {
        assert!(start.elapsed().as_secs() < 60, "not rebooted");
    }
    assert_eq!(cloud.api.state(&id), "running");
}

fn volumes_are_made_once_per_client_token() {
    let cloud = TestCloud::start();
    let create = "AvailabilityZone=us-east-1a&Size=4&ClientToken=t";
    let id = cloud.api.ok("CreateVolume", create).value("volumeId");
    assert_eq!(cloud.api.ok("CreateVolume", create).value("volumeId"), id);
    cloud.api.ok("DeleteVolume", &format!("VolumeId={id}"));
    assert_eq!(
        cloud.api.error("DeleteVolume", &format!("VolumeId={id}")),
        "InvalidVolume.NotFound"
    );
}
