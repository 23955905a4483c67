//! Launch templates and fleets, capacity, permissions and late visibility.

use std::time::{Duration, Instant};

use bakelite_local::{Latency, Refusals};

use crate::Test;
use crate::client::TestCloud;

pub(crate) const TESTS: &[Test] = &[
    (
        "fleets_launch_from_the_first_pool_with_capacity",
        fleets_launch_from_the_first_pool_with_capacity,
    ),
    ("are_left_out_of_launches", are_left_out_of_launches),
    ("denied_calls_change_nothing", denied_calls_change_nothing),
    ("are_seen_late", are_seen_late),
    ("roles_and_profiles_hold_each_other", roles_and_profiles_hold_each_other),
    ("volumes_are_exchanged", volumes_are_exchanged),
];

fn without(denied: &[&str], no_capacity: &[&str]) -> Refusals {
    Refusals {
        denied: denied.iter().map(|text| text.parse().unwrap()).collect(),
        no_capacity: no_capacity.iter().map(|text| text.parse().unwrap()).collect(),
        rate: None,
    }
}

fn fleets_launch_from_the_first_pool_with_capacity() {
    let cloud = TestCloud::refusing(without(&[], &["m5.large"]));
    let api = &cloud.api;
    let image = api.image("debian-12-amd64-*");
    let template = format!(
        "LaunchTemplateName=abc&LaunchTemplateData.ImageId={image}&LaunchTemplateData.InstanceMarketOptions.MarketType=spot\
         &LaunchTemplateData.TagSpecification.1.ResourceType=instance&LaunchTemplateData.TagSpecification.1.Tag.1.Key=a"
    );
    let id = api.ok("CreateLaunchTemplate", &template).value("launchTemplateId");
    let fleet = format!(
        "Type=instant&TargetCapacitySpecification.TotalTargetCapacity=1&TargetCapacitySpecification.DefaultTargetCapacityType=spot\
         &LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateId={id}\
         &LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version=1&ClientToken=t"
    );
    let pools = format!(
        "{fleet}&LaunchTemplateConfigs.1.Overrides.1.InstanceType=m5.large&LaunchTemplateConfigs.1.Overrides.2.InstanceType=m4.large"
    );
    let answer = api.ok("CreateFleet", &pools);
    assert_eq!(answer.values("errorCode"), ["InsufficientInstanceCapacity"]);
    let instances = answer.body.split("<instanceIds>").nth(1).unwrap();
    let again = api.ok("CreateFleet", &pools);
    assert!(again.body.contains(instances), "{again:?}");
    let described = api.ok("DescribeInstances", "");
    assert_eq!(described.values("instanceType"), ["m4.large"]);
    assert!(described.value("spotInstanceRequestId").starts_with("sir-"));
    for (wrong, code) in [
        (pools.replace("instant", "maintain"), "UnsupportedOperation"),
        (pools.replace("ClientToken=t", "ClientToken=t&X=1"), "UnknownParameter"),
        (pools.replace("m4.large", "c4.large"), "IdempotentParameterMismatch"),
        (
            pools.replace(&id, "lt-0123456789abcdef0").replace("ClientToken=t", ""),
            "InvalidLaunchTemplateId.NotFound",
        ),
        (
            pools.replace("Version=1", "Version=2").replace("ClientToken=t", ""),
            "InvalidLaunchTemplateId.VersionNotFound",
        ),
    ] {
        assert_eq!(api.error("CreateFleet", &wrong), code, "{wrong}");
    }
    for (wrong, code) in [
        (template.replace("ImageId", "ImgId"), "UnknownParameter"),
        (template.clone(), "InvalidLaunchTemplateName.AlreadyExistsException"),
    ] {
        assert_eq!(api.error("CreateLaunchTemplate", &wrong), code, "{wrong}");
    }
    api.ok("DeleteLaunchTemplate", &format!("LaunchTemplateId={id}"));
    assert!(
        api.ok("DescribeLaunchTemplates", "")
            .values("launchTemplateId")
            .is_empty()
    );
}

fn are_left_out_of_launches() {
    let cloud = TestCloud::refusing(without(&[], &["us-east-1a", "t3.small"]));
    let api = &cloud.api;
    let image = api.image("debian-12-amd64-*");
    let launch = |kind: &str, more: &str| {
        api.call(
            "RunInstances",
            &format!("ImageId={image}&MinCount=1&MaxCount=1&InstanceType={kind}{more}"),
        )
    };
    let free = launch("t3.micro", "");
    assert_eq!(free.value("availabilityZone"), "us-east-1b");
    for (kind, more) in [("t3.micro", "&Placement.AvailabilityZone=us-east-1a"), ("t3.small", "")] {
        let refused = launch(kind, more);
        assert_eq!(
            (refused.status, refused.value("Code").as_str()),
            (500, "InsufficientInstanceCapacity")
        );
    }
}

fn denied_calls_change_nothing() {
    let cloud = TestCloud::refusing(without(&["CreateTags", "iam:*", "ssm:GetParameter"], &[]));
    let api = &cloud.api;
    let tagged =
        "GroupName=g&GroupDescription=d&TagSpecification.1.ResourceType=security-group&TagSpecification.1.Tag.1.Key=a";
    let refused = api.call("CreateSecurityGroup", tagged);
    assert_eq!(
        (refused.status, refused.value("Code").as_str()),
        (403, "UnauthorizedOperation")
    );
    assert_eq!(api.ok("DescribeSecurityGroups", "").values("groupName"), ["default"]);
    let message = refused.value("Message");
    let encoded = message.rsplit(' ').next().unwrap();
    let form = format!("Action=DecodeAuthorizationMessage&Version=2011-06-15&EncodedMessage={encoded}");
    let decoded = api.send("sts", "POST /", &form).value("DecodedMessage");
    assert!(decoded.contains("ec2:CreateTags"), "{decoded}");
    let roles = api.send("iam", "POST /", "Action=ListRoles&Version=2010-05-08");
    assert_eq!((roles.status, roles.value("Code").as_str()), (403, "AccessDenied"));
    let parameter = api.json("ssm", "AmazonSSM.GetParameter", r#"{"Name":"a"}"#);
    assert!(parameter.body.contains("AccessDeniedException"), "{}", parameter.body);
}

fn are_seen_late() {
    let latency: Latency = "visible=1".parse().unwrap();
    let cloud = TestCloud::with(latency, Vec::new());
    let api = &cloud.api;
    let since = Instant::now();
    let group = api
        .ok("CreateSecurityGroup", "GroupName=g&GroupDescription=d")
        .value("groupId");
    let named = format!("GroupId.1={group}");
    let describe = || api.call("DescribeSecurityGroups", &named);
    if since.elapsed() < Duration::from_millis(500) {
        assert_eq!(describe().value("Code"), "InvalidGroup.NotFound");
        assert_eq!(api.ok("DescribeSecurityGroups", "").values("groupName"), ["default"]);
        let delete = format!("GroupId={group}");
        assert_eq!(api.error("DeleteSecurityGroup", &delete), "InvalidGroup.NotFound");
    }
    while describe().status != 200 {
        assert!(since.elapsed() < Duration::from_mins(1));
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert!(since.elapsed() >= Duration::from_secs(1));
}

fn roles_and_profiles_hold_each_other() {
    let cloud = TestCloud::start();
    let iam = |action: &str, more: &str| {
        let form = format!("Action={action}&Version=2010-05-08&{more}");
        cloud.api.send("iam", "POST /", &form)
    };
    let policy = "%7B%22Version%22:%222012-10-17%22,%22Statement%22:%5B%5D%7D";
    for (action, more, code) in [
        (
            "GetInstanceProfile",
            "InstanceProfileName=packer-a".to_owned(),
            "NoSuchEntity",
        ),
        (
            "GetInstanceProfile",
            "InstanceProfileName=of-the-account".to_owned(),
            "",
        ),
        (
            "CreateRole",
            format!("RoleName=packer-a&AssumeRolePolicyDocument={policy}&X=1"),
            "UnknownParameter",
        ),
        (
            "CreateRole",
            "RoleName=packer-a&AssumeRolePolicyDocument=x".to_owned(),
            "MalformedPolicyDocument",
        ),
        (
            "CreateRole",
            format!("RoleName=packer-a&AssumeRolePolicyDocument={policy}&Tags.member.1.Key=k&Tags.member.1.Value=v"),
            "",
        ),
        (
            "CreateRole",
            format!("RoleName=packer-a&AssumeRolePolicyDocument={policy}"),
            "EntityAlreadyExists",
        ),
        (
            "PutRolePolicy",
            format!("RoleName=packer-a&PolicyName=p&PolicyDocument={policy}"),
            "",
        ),
        ("CreateInstanceProfile", "InstanceProfileName=packer-a".to_owned(), ""),
        (
            "AddRoleToInstanceProfile",
            "InstanceProfileName=packer-a&RoleName=packer-a".to_owned(),
            "",
        ),
        (
            "AddRoleToInstanceProfile",
            "InstanceProfileName=packer-a&RoleName=packer-a".to_owned(),
            "LimitExceeded",
        ),
        (
            "DeleteInstanceProfile",
            "InstanceProfileName=packer-a".to_owned(),
            "DeleteConflict",
        ),
        ("DeleteRole", "RoleName=packer-a".to_owned(), "DeleteConflict"),
        ("DeleteRolePolicy", "RoleName=packer-a&PolicyName=p".to_owned(), ""),
        ("DeleteRole", "RoleName=packer-a".to_owned(), "DeleteConflict"),
        (
            "RemoveRoleFromInstanceProfile",
            "InstanceProfileName=packer-a&RoleName=packer-a".to_owned(),
            "",
        ),
        ("DeleteRole", "RoleName=packer-a".to_owned(), ""),
        ("DeleteInstanceProfile", "InstanceProfileName=packer-a".to_owned(), ""),
        (
            "DeleteInstanceProfile",
            "InstanceProfileName=packer-a".to_owned(),
            "NoSuchEntity",
        ),
    ] {
        let answer = iam(action, &more);
        let got = answer.values("Code").pop().unwrap_or_default();
        assert_eq!(got, code, "{action} {more}: {}", answer.body);
    }
}

fn volumes_are_exchanged() {
    let cloud = TestCloud::start();
    let api = &cloud.api;
    let id = api.launch(
        "BlockDeviceMapping.1.DeviceName=/dev/xvdf&BlockDeviceMapping.1.Ebs.VolumeSize=3&BlockDeviceMapping.1.Ebs.VolumeType=gp3",
    );
    api.wait_for(&id, "running");
    let volume = |device: &str| {
        let filter = format!(
            "Filter.1.Name=attachment.device&Filter.1.Value.1={device}&Filter.2.Name=attachment.instance-id&Filter.2.Value.1={id}"
        );
        api.ok("DescribeVolumes", &filter).value("volumeId")
    };
    let (root, data) = (volume("/dev/xvda"), volume("/dev/xvdf"));
    let detach = |volume: &str| format!("VolumeId={volume}");
    assert_eq!(api.error("DetachVolume", &detach(&root)), "OperationNotPermitted");
    let snapshot = api.ok("CreateSnapshot", &format!("VolumeId={data}&Description=d"));
    assert_eq!(snapshot.value("volumeSize"), "3");
    api.ok("DetachVolume", &detach(&data));
    assert_eq!(api.error("DetachVolume", &detach(&data)), "IncorrectState");
    let attach = |device: &str| format!("VolumeId={data}&InstanceId={id}&Device={device}");
    assert_eq!(api.error("AttachVolume", &attach("/dev/xvda")), "InvalidParameterValue");
    api.ok("AttachVolume", &attach("/dev/xvdg"));
    assert_eq!(api.error("AttachVolume", &attach("/dev/xvdh")), "VolumeInUse");
    let register = format!(
        "Name=surrogate&RootDeviceName=/dev/xvda&VirtualizationType=hvm&BootMode=uefi&TpmSupport=v2.0\
         &BlockDeviceMapping.1.DeviceName=/dev/xvda&BlockDeviceMapping.1.Ebs.SnapshotId={}",
        snapshot.value("snapshotId")
    );
    let bios = register.replace("BootMode=uefi", "BootMode=legacy-bios");
    assert_eq!(api.error("RegisterImage", &bios), "InvalidParameterCombination");
    let image = api.ok("RegisterImage", &register).value("imageId");
    let described = api.ok("DescribeImages", &format!("ImageId.1={image}"));
    assert_eq!(described.value("tpmSupport"), "v2.0");
    let launch = format!("ImageId={image}&MinCount=1&MaxCount=1&InstanceType=t3.micro");
    assert_eq!(api.error("RunInstances", &launch), "UnsupportedOperation");
}
