//! Answers, whole, as clients read them: ids, addresses and times are replaced, everything else is as it was sent.

use crate::Test;
use crate::client::{Answer, TestCloud};

pub(crate) const TESTS: &[Test] = &[
    ("describe_instances", describe_instances),
    ("describe_images", describe_images),
    ("describe_network", describe_network),
    ("describe_security_groups", describe_security_groups),
    ("errors", errors),
    ("get_caller_identity", get_caller_identity),
];

/// What differs from run to run, and what stands for it.
const FILTERS: &[(&str, &str)] = &[
    (
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[uuid]",
    ),
    (r"\b(i|r|ami|snap|vol|sg|sgr|eni|eni-attach)-[0-9a-f]{17}", "$1-[id]"),
    (r"202\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "[time]"),
    (r"127\.\d+\.\d+\.\d+<", "[address]<"),
    (r"02(:[0-9a-f]{2}){5}", "[mac]"),
    (r"\bLOCAL[0-9A-F]{20}\b", "[key]"),
    (r"(ssh-port</key>\s*<value>)\d+", "$1[port]"),
];

/// Returns an answer with one element per line.
fn lines(answer: &Answer) -> String {
    answer.body.replace("><", ">\n<")
}

/// Compares with the snapshot of that name.
fn check(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cloud/snapshots"));
    for (pattern, replacement) in FILTERS {
        settings.add_filter(pattern, *replacement);
    }
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn describe_instances() {
    let cloud = TestCloud::start();
    let id = cloud.api.launch(
        "TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name\
         &TagSpecification.1.Tag.1.Value=a <b>&IamInstanceProfile.Name=p",
    );
    cloud.api.wait_for(&id, "running");
    check("describe_instances", &lines(&cloud.api.ok("DescribeInstances", "")));
}

fn describe_images() {
    let cloud = TestCloud::start();
    let image = cloud.api.image("al2023-ami-2023.*-kernel-6.1-x86_64");
    let answer = cloud.api.ok("DescribeImages", &format!("ImageId.1={image}"));
    check("describe_images", &lines(&answer));
}

fn describe_network() {
    let cloud = TestCloud::start();
    let texts = ["DescribeVpcs", "DescribeSubnets"].map(|action| lines(&cloud.api.ok(action, "")));
    check("describe_network", &texts.join("\n"));
}

fn describe_security_groups() {
    let cloud = TestCloud::start();
    let created = cloud.api.ok("CreateSecurityGroup", "GroupName=g&GroupDescription=d");
    let group = created.value("groupId");
    let rules = format!(
        "GroupId={group}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=22&IpPermissions.1.ToPort=22\
         &IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8&IpPermissions.1.IpRanges.1.Description=office\
         &IpPermissions.1.Ipv6Ranges.1.CidrIpv6=::/0&IpPermissions.1.Groups.1.GroupId={group}"
    );
    let authorized = cloud.api.ok("AuthorizeSecurityGroupIngress", &rules);
    let described = cloud.api.ok("DescribeSecurityGroups", &format!("GroupId.1={group}"));
    check(
        "describe_security_groups",
        &format!("{}\n{}", lines(&authorized), lines(&described)),
    );
}

fn errors() {
    let cloud = TestCloud::start();
    let answer = cloud.api.call("DescribeInstances", "InstanceId.1=i-0123456789abcdef0");
    assert_eq!(answer.status, 400);
    check("errors", &lines(&answer));
}

fn get_caller_identity() {
    let cloud = TestCloud::start();
    let form = "Action=GetCallerIdentity&Version=2011-06-15";
    let answer = cloud.api.send("sts", "POST /", form);
    check("get_caller_identity", &lines(&answer));
}
