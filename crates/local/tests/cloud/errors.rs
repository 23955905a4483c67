//! Errors: every wrong call gets EC2's code for it, and changes nothing.

use crate::Test;
use crate::client::TestCloud;

pub(crate) const TESTS: &[Test] = &[
    ("have_the_codes_of_ec2", have_the_codes_of_ec2),
    ("of_launches_have_the_codes_of_ec2", of_launches_have_the_codes_of_ec2),
    ("of_authentication_come_first", of_authentication_come_first),
    (
        "of_the_protocol_have_their_own_form",
        of_the_protocol_have_their_own_form,
    ),
    ("leave_nothing_behind", leave_nothing_behind),
];

/// Calls that are wrong on an account with a key pair `k` and a security group `g`, and their codes.
const CASES: &[(&str, &str, &str)] = &[
    ("DescribeHosts", "", "InvalidAction"),
    ("DescribeInstances", "Flter.1.Name=x", "UnknownParameter"),
    (
        "DescribeInstances",
        "Filter.1.Name=nmae&Filter.1.Value.1=x",
        "InvalidParameterValue",
    ),
    ("DescribeInstances", "InstanceId.1=x", "InvalidInstanceID.Malformed"),
    (
        "DescribeInstances",
        "InstanceId.1=i-0123456789abcdef0",
        "InvalidInstanceID.NotFound",
    ),
    ("DescribeInstances", "NextToken=x", "InvalidNextToken"),
    ("StopInstances", "", "MissingParameter"),
    (
        "StopInstances",
        "InstanceId.1=i-0123456789abcdef0",
        "InvalidInstanceID.NotFound",
    ),
    ("DescribeImages", "ImageId.1=ami-x", "InvalidAMIID.Malformed"),
    ("DescribeImages", "ImageId.1=ami-01234567", "InvalidAMIID.NotFound"),
    (
        "DescribeSnapshots",
        "SnapshotId.1=snap-01234567",
        "InvalidSnapshot.NotFound",
    ),
    ("DescribeVolumes", "VolumeId.1=vol-01234567", "InvalidVolume.NotFound"),
    ("DescribeVpcs", "VpcId.1=vpc-01234567", "InvalidVpcID.NotFound"),
    (
        "DescribeSubnets",
        "SubnetId.1=subnet-01234567",
        "InvalidSubnetID.NotFound",
    ),
    ("DescribeKeyPairs", "KeyName.1=x", "InvalidKeyPair.NotFound"),
    ("CreateKeyPair", "KeyName=k", "InvalidKeyPair.Duplicate"),
    ("ImportKeyPair", "KeyName=x&PublicKeyMaterial=eA==", "InvalidKey.Format"),
    (
        "CreateSecurityGroup",
        "GroupName=g&GroupDescription=d",
        "InvalidGroup.Duplicate",
    ),
    (
        "DescribeSecurityGroups",
        "GroupId.1=sg-01234567",
        "InvalidGroup.NotFound",
    ),
    ("DeleteSecurityGroup", "GroupName=default", "CannotDelete"),
    (
        "CreateTags",
        "ResourceId.1=i-0123456789abcdef0&Tag.1.Key=a",
        "InvalidInstanceID.NotFound",
    ),
    ("CreateTags", "ResourceId.1=x&Tag.1.Key=a", "InvalidID"),
    ("CreateTags", "ResourceId.1=x&Tag.1.Key=aws:a", "InvalidParameterValue"),
    (
        "CreateImage",
        "InstanceId=i-0123456789abcdef0&Name=abc",
        "InvalidInstanceID.NotFound",
    ),
    (
        "CreateImage",
        "InstanceId=i-0123456789abcdef0&Name=a*c",
        "InvalidAMIName.Malformed",
    ),
    (
        "CopyImage",
        "SourceRegion=nowhere&SourceImageId=ami-01234567&Name=abc",
        "InvalidParameterValue",
    ),
];

fn have_the_codes_of_ec2() {
    let cloud = TestCloud::start();
    cloud.api.ok("CreateKeyPair", "KeyName=k&KeyType=ed25519");
    cloud.api.ok("CreateSecurityGroup", "GroupName=g&GroupDescription=d");
    for (action, parameters, code) in CASES {
        assert_eq!(cloud.api.error(action, parameters), *code, "{action} {parameters}");
    }
    let others = cloud.api.image("debian-12-amd64-*");
    let deregister = format!("ImageId={others}");
    assert_eq!(cloud.api.error("DeregisterImage", &deregister), "AuthFailure");
}

fn of_launches_have_the_codes_of_ec2() {
    let cloud = TestCloud::start();
    let image = cloud.api.image("debian-12-amd64-*");
    let arm = cloud.api.image("debian-12-arm64-*");
    let launch = format!("ImageId={image}&MinCount=1&MaxCount=1&InstanceType=t3.micro");
    for (launch, code) in [
        (launch.replace("t3.micro", "t3.huge"), "InvalidParameterValue"),
        (launch.replace(&image, &arm), "InvalidParameterValue"),
        (launch.replace("MinCount=1", "MinCount=2"), "InvalidParameterValue"),
        (launch.replace("MaxCount=1", "MaxCount=1000"), "InstanceLimitExceeded"),
        (launch.replace("MinCount=1&", ""), "MissingParameter"),
        (format!("{launch}&KeyName=x"), "InvalidKeyPair.NotFound"),
        (
            format!("{launch}&SecurityGroupId.1=sg-01234567"),
            "InvalidGroup.NotFound",
        ),
        (format!("{launch}&SubnetId=subnet-01234567"), "InvalidSubnetID.NotFound"),
        (
            format!("{launch}&Placement.AvailabilityZone=eu-west-1a"),
            "InvalidParameterValue",
        ),
        (format!("{launch}&UserData=%"), "InvalidParameterValue"),
        (format!("{launch}&DryRun=true"), "DryRunOperation"),
        (format!("{launch}&DryRun=true&Extra=1"), "UnknownParameter"),
    ] {
        assert_eq!(cloud.api.error("RunInstances", &launch), code, "{launch}");
    }
    let described = cloud.api.ok("DescribeInstances", "");
    assert!(described.values("instanceId").is_empty());
}

fn of_authentication_come_first() {
    let cloud = TestCloud::start();
    let form = "Action=Nothing&Version=2009-01-01";
    let unsigned = cloud.api.deliver(&cloud.api.request("POST /", form));
    assert_eq!(
        (unsigned.status, unsigned.value("Code").as_str()),
        (403, "MissingAuthenticationToken")
    );
    let elsewhere = cloud.api.in_region("nowhere-1").call("DescribeRegions", "");
    assert_eq!(
        (elsewhere.status, elsewhere.value("Code").as_str()),
        (401, "AuthFailure")
    );
}

fn of_the_protocol_have_their_own_form() {
    let cloud = TestCloud::start();
    for (service, form, code) in [
        ("ec2", "Action=DescribeRegions&Version=2009-01-01", "NoSuchVersion"),
        ("ec2", "Action=DescribeRegions", "MissingParameter"),
        ("ec2", "Version=2016-11-15", "MissingAction"),
        ("ec2", "Action=X&Action=Y&Version=2016-11-15", "MalformedQueryString"),
        ("ec2", "Action=GetCallerIdentity&Version=2016-11-15", "InvalidAction"),
        ("sts", "Action=Nothing&Version=2011-06-15", "InvalidAction"),
        ("s3", "", "InvalidAction"),
    ] {
        let answer = cloud.api.send(service, "POST /", form);
        assert_eq!(answer.value("Code"), code, "{form}");
    }
    assert_eq!(cloud.api.send("ec2", "PUT /", "").status, 405);
    assert_eq!(cloud.api.send("ec2", "POST /x", "").status, 404);
    let error = cloud
        .api
        .send("sts", "POST /", "Action=Nothing&Version=2011-06-15")
        .body;
    assert!(error.contains("<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"));
    let get = "GET /?Action=DescribeRegions&Version=2016-11-15";
    assert_eq!(cloud.api.send("ec2", get, "").status, 200);
}

fn leave_nothing_behind() {
    let cloud = TestCloud::start();
    let image = cloud.api.image("debian-12-amd64-*");
    let state = || std::fs::read(cloud.state_dir().join("state.json")).ok();
    let before = state();
    // The second group of tags is wrong: nothing of the call may stay.
    let launch = format!(
        "ImageId={image}&MinCount=1&MaxCount=1&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=a\
         &TagSpecification.2.ResourceType=snapshot&TagSpecification.2.Tag.1.Key=a"
    );
    assert_eq!(cloud.api.error("RunInstances", &launch), "InvalidParameterValue");
    let group = cloud.api.ok("DescribeSecurityGroups", "").value("groupId");
    let rules = format!(
        "GroupId={group}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=22&IpPermissions.1.ToPort=22\
         &IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8&IpPermissions.1.IpRanges.2.CidrIp=10.0.0.0/8"
    );
    let code = cloud.api.error("AuthorizeSecurityGroupIngress", &rules);
    assert_eq!(code, "InvalidPermission.Duplicate");
    assert_eq!(state(), before);
}
