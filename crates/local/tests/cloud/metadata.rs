//! What instances learn at 169.254.169.254, and whom they reach.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use bakelite_test_support::signer::Key;

use crate::Test;
use crate::client::{Api, TestCloud};

pub(crate) const TESTS: &[Test] = &[
    ("an_instance_learns_about_itself", an_instance_learns_about_itself),
    ("options_close_what_they_say", options_close_what_they_say),
    (
        "the_sdk_and_the_cli_find_credentials",
        the_sdk_and_the_cli_find_credentials,
    ),
    (
        "security_groups_hold_between_instances",
        security_groups_hold_between_instances,
    ),
];

/// A program for instances that sends requests and prints the status of each answer and its body: METHOD PATH NAME:VALUE… are its
/// arguments, for further requests after `--`. `minimum=N` refuses packets with fewer hops left; no answer within two seconds is `none`.
const ASK: &str = r#"
use strict; use Socket; use IO::Socket::INET; local $| = 1;
my $minimum = 0; my @asked = ([]);
for (@ARGV) { if (/^minimum=(\d+)/) { $minimum = $1 } elsif ($_ eq "--") { push @asked, [] } else { push @{$asked[-1]}, $_ } }
my $token = "";
for my $asked (@asked) {
  my ($method, $path, @headers) = @$asked;
  my $s = IO::Socket::INET->new(PeerAddr => "169.254.169.254", PeerPort => 80) or do { print "$!\n"; next };
  setsockopt($s, 0, 21, pack "i", $minimum) or die $! if $minimum;
  s/TOKEN/$token/ for @headers;
  print $s join "\r\n", "$method $path HTTP/1.1", "Host: 169.254.169.254", "Connection: close", @headers, "", "";
  my $answer = "";
  eval { local $SIG{ALRM} = sub { die }; alarm 2; local $/; $answer = <$s>; alarm 0; };
  if ($answer eq "") { print "none\n"; next }
  my ($status) = $answer =~ m{^HTTP/1.1 (\d+)}; my ($body) = $answer =~ /\r\n\r\n(.*)/s;
  $token = $body if $method eq "PUT";
  print "$status ", $method eq "PUT" ? length $body : $body, "\n";
}
"#;

/// A cloud with instances that ask.
struct Asking {
    cloud: TestCloud,
    key: PathBuf,
}

impl Asking {
    fn start() -> Asking {
        let cloud = TestCloud::start();
        let key = cloud.api.key_pair("mine", cloud.state_dir());
        Asking { cloud, key }
    }

    fn launch(&self, parameters: &str) -> String {
        let id = self.cloud.api.launch(&format!("KeyName=mine&{parameters}"));
        self.cloud.api.wait_for(&id, "running");
        id
    }

    fn run(&self, id: &str, command: &str) -> String {
        self.cloud.api.ssh(id, "admin", &self.key, command)
    }

    fn ask(&self, id: &str, requests: &str) -> String {
        self.run(id, &format!("perl -e '{ASK}' -- {requests}"))
    }

    /// The text of a document, by version 1.
    fn document(&self, id: &str, path: &str) -> String {
        let answer = self.ask(id, &format!("GET /latest/{path}"));
        let text = answer
            .strip_prefix("200 ")
            .unwrap_or_else(|| panic!("{path}: {answer}"));
        text.trim_end().to_owned()
    }
}

fn an_instance_learns_about_itself() {
    let asking = Asking::start();
    let id = asking.launch(
        "UserData=c29tZSBkYXRh&IamInstanceProfile.Name=app&MetadataOptions.InstanceMetadataTags=enabled\
         &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Role&TagSpecification.1.Tag.1.Value=web",
    );
    let described = asking.cloud.api.describe(&id);
    for (path, expected) in [
        ("meta-data/instance-id", id.clone()),
        ("meta-data/ami-id", described.value("imageId")),
        ("meta-data/instance-type", "t3.micro".to_owned()),
        ("meta-data/local-ipv4", described.value("privateIpAddress")),
        ("meta-data/mac", described.value("macAddress")),
        (
            "meta-data/placement/availability-zone",
            described.value("availabilityZone"),
        ),
        ("meta-data/placement/region", "us-east-1".to_owned()),
        ("meta-data/tags/instance/Role", "web".to_owned()),
        ("meta-data/public-keys/", "0=mine".to_owned()),
        ("meta-data/security-groups", "default".to_owned()),
        ("meta-data/iam/security-credentials/", "app".to_owned()),
        ("user-data", "some data".to_owned()),
    ] {
        assert_eq!(asking.document(&id, path), expected, "{path}");
    }
    let local = asking.document(&id, "meta-data/local-ipv4");
    assert_eq!(
        asking.document(&id, "meta-data/hostname"),
        format!("ip-{}.ec2.internal", local.replace('.', "-"))
    );
    let identity: serde_json::Value =
        serde_json::from_str(&asking.document(&id, "dynamic/instance-identity/document")).unwrap();
    assert_eq!(identity["instanceId"], id.as_str());
    assert!(
        asking
            .document(&id, "meta-data/iam/info")
            .contains(":instance-profile/app\"")
    );

    // What changes is seen at once.
    asking.cloud.api.ok(
        "CreateTags",
        &format!("ResourceId.1={id}&Tag.1.Key=Role&Tag.1.Value=db"),
    );
    assert_eq!(asking.document(&id, "meta-data/tags/instance/Role"), "db");

    let issued: serde_json::Value =
        serde_json::from_str(&asking.document(&id, "meta-data/iam/security-credentials/app")).unwrap();
    let field = |name: &str| issued[name].as_str().unwrap().to_owned();
    assert_eq!(
        (field("Code").as_str(), field("Type").as_str()),
        ("Success", "AWS-HMAC")
    );
    let key = |token| Key {
        id: field("AccessKeyId"),
        secret: field("SecretAccessKey"),
        token,
    };
    let call = |key| {
        Api {
            key,
            ..asking.cloud.api.clone()
        }
        .call("DescribeInstances", "")
        .status
    };
    assert_eq!(call(key(Some(field("Token")))), 200);
    assert_ne!(call(key(None)), 200);
    // They stay the same until they come to their end.
    let again = asking.document(&id, "meta-data/iam/security-credentials/app");
    assert!(again.contains(&field("AccessKeyId")));
}

fn options_close_what_they_say() {
    let asking = Asking::start();
    let strict = asking.launch("MetadataOptions.HttpTokens=required&MetadataOptions.HttpPutResponseHopLimit=1");
    let path = "/latest/meta-data/instance-id";
    let (put, life) = ("PUT /latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds");
    let with = "X-aws-ec2-metadata-token:TOKEN";
    let answers = asking.ask(
        &strict,
        &format!(
            "GET {path} -- {put} {life}:60 -- GET {path} {with} -- GET {path} {with}x -- POST {path} {with} -- \
             {put} -- {put} {life}:21601 -- {put} {life}:60 X-Forwarded-For:10.0.0.1 -- GET /latest/meta-data/nothing X-aws-ec2-metadata-token:bad"
        ),
    );
    let statuses: Vec<&str> = answers
        .lines()
        .filter_map(|line| line.get(..4).filter(|start| start.ends_with(' ')))
        .collect();
    assert_eq!(
        statuses,
        ["401 ", "200 ", "200 ", "401 ", "405 ", "400 ", "400 ", "403 ", "401 "],
        "{answers}"
    );
    assert!(answers.contains(&format!("200 {strict}")), "{answers}");

    // Who is two hops away gets no token of an instance with a limit of one; other answers come from afar.
    let token = format!("minimum=2 {put} {life}:60");
    assert_eq!(asking.ask(&strict, &token), "none\n");
    assert!(
        asking
            .ask(&strict, &format!("minimum=2 GET {path}"))
            .starts_with("401 ")
    );
    let lax = asking.launch("MetadataOptions.HttpPutResponseHopLimit=2");
    assert_eq!(asking.ask(&lax, &token), "200 40\n");
    assert_eq!(asking.ask(&lax, &format!("GET {path}")), format!("200 {lax}\n"));
    assert!(
        asking
            .ask(&lax, "GET /latest/meta-data/tags/instance/")
            .starts_with("404 ")
    );

    let closed = asking.launch("MetadataOptions.HttpEndpoint=disabled");
    let answers = asking.ask(&closed, &format!("GET {path} -- {put} {life}:60"));
    assert_eq!(
        answers.lines().filter(|line| line.starts_with("403 ")).count(),
        2,
        "{answers}"
    );
}

/// With the AWS CLI and boto3 themselves inside, copied from where the tests have them.
fn the_sdk_and_the_cli_find_credentials() {
    let asking = Asking::start();
    let id = asking.launch("IamInstanceProfile.Name=app&MetadataOptions.HttpTokens=required");
    let libraries = bakelite_test_support::tools::directory().join("lib");
    let packages = std::fs::read_dir(&libraries)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
        .join("site-packages");
    let names = "awscli boto3 botocore s3transfer urllib3 jmespath dateutil six.py colorama docutils yaml pyasn1 rsa";
    let mut copy = Command::new("sh")
        .args([
            "-c",
            &format!("tar -c --ignore-failed-read {names} 2> /dev/null | gzip -1"),
        ])
        .current_dir(&packages)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = asking
        .cloud
        .api
        .ssh_command(&id, "admin", &asking.key, "tar -xz -C ~")
        .stdin(copy.stdout.take().unwrap())
        .output();
    assert!(output.unwrap().status.success());
    assert!(copy.wait().unwrap().success());
    let script = "import boto3; from botocore.utils import InstanceMetadataRegionFetcher as Region; \
        found = boto3.Session().get_credentials(); \
        print(found.method, found.get_frozen_credentials().access_key, Region().retrieve_region())";
    let found = asking.run(&id, &format!("timeout 60 /usr/bin/python3 -c '{script}'"));
    let words: Vec<&str> = found.split_whitespace().collect();
    assert_eq!((words[0], words[2]), ("iam-role", "us-east-1"), "{found}");
    assert!(words[1].starts_with("ASIA"), "{found}");
    let listed = asking.run(&id, "timeout 60 /usr/bin/python3 -m awscli configure list");
    assert!(listed.contains("iam-role"), "{listed}");
    let shown = listed.lines().find(|line| line.contains("access_key")).unwrap();
    assert!(shown.contains(&words[1][words[1].len() - 4..]), "{shown} {found}");
}

fn security_groups_hold_between_instances() {
    let asking = Asking::start();
    if asking
        .cloud
        .ask(async |cloud| cloud.limits().iter().any(|limit| limit.contains("/dev/net/tun")))
    {
        return;
    }
    let group = |name: &str| {
        asking
            .cloud
            .api
            .ok("CreateSecurityGroup", &format!("GroupName={name}&GroupDescription=x"))
            .value("groupId")
    };
    let (servers, clients, others) = (group("servers"), group("clients"), group("others"));
    let rule = format!(
        "GroupId={servers}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=8080&IpPermissions.1.ToPort=8080&IpPermissions.1.Groups.1.GroupId={clients}"
    );
    let launch = |group: &str| asking.launch(&format!("SecurityGroupId.1={group}"));
    let (server, client, other) = (launch(&servers), launch(&clients), launch(&others));
    let serve = r#"perl -MIO::Socket::INET -e 'for my $port (8080, 8081) { my $l = IO::Socket::INET->new(LocalPort => $port, Listen => 5, ReuseAddr => 1) or die $!;
        if (fork == 0) { while (my $s = $l->accept) { print $s $s->peerhost, "\n"; close $s } } }'"#;
    asking.run(&server, &format!("{serve} > /dev/null 2>&1 < /dev/null"));
    let address = |id: &str| asking.cloud.api.describe(id).value("privateIpAddress");
    let dial = |from: &str, port: u16| {
        let to = address(&server);
        asking.run(
            from,
            &format!(r#"perl -MErrno -MIO::Socket::INET -e 'alarm 30; my $s = IO::Socket::INET->new(PeerAddr => "{to}", PeerPort => {port}); print $s ? <$s> : (grep {{ $!{{$_}} }} keys %!)[0]'"#),
        )
    };
    // A rule holds from the moment on at which it is made.
    assert_eq!(dial(&client, 8080), "EHOSTUNREACH");
    asking.cloud.api.ok("AuthorizeSecurityGroupIngress", &rule);
    assert_eq!(dial(&client, 8080).trim_end(), address(&client));
    assert_eq!(dial(&client, 8081), "EHOSTUNREACH");
    assert_eq!(dial(&other, 8080), "EHOSTUNREACH");
}
