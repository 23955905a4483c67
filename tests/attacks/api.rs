//! The local cloud's API: it belongs to the user who started it. Others of the machine, web pages, and clients that ask for too much get
//! nothing from it.

use bakelite_test_support::eventually::until;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cloud::{CLIENT, Cloud};
use crate::host::{Host, Other, TIMEOUT, WAITING};
use crate::started::Started;
use crate::{Attack, Needs};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack("another_user_is_refused_every_call", Needs::BothHostsAndRoot, calls),
    Attack("another_user_is_refused_by_a_bake", Needs::BothHostsAndRoot, bakes),
    Attack(
        "another_user_runs_nothing_where_instances_are_not_isolated",
        Needs::BothHostsAndRoot,
        unisolated,
    ),
    Attack("another_user_opens_no_data_channel", Needs::BothHostsAndRoot, channels),
    Attack("what_is_changed_after_signing_is_refused", Needs::Nothing, tampering),
    Attack(
        "a_name_that_has_come_to_mean_this_machine_is_refused",
        Needs::Nothing,
        rebinding,
    ),
    Attack("slow_connections_are_closed", Needs::Nothing, slow_connections),
    Attack("many_connections_keep_nobody_out", Needs::Nothing, many_connections),
    Attack("long_names_take_no_memory", Needs::Nothing, long_names),
];

/// What the owner keeps in the cloud.
const SECRET: &str = "the-owners-secret-in-the-cloud";

/// What another user got from a cloud at this endpoint.
fn intrusion(other: &Other, endpoint: &str, key_id: &str, more: &[(&str, &str)]) -> String {
    let program = format!("{CLIENT}\n{}", include_str!("scripts/intruder.py"));
    let mut environment = vec![("AWS_ENDPOINT_URL", endpoint), ("KEY_ID", key_id)];
    environment.extend(more);
    other.runs(&program, &environment)
}

/// Every attempt was refused, and there were some.
#[track_caller]
fn all_refused(printed: &str) {
    let through: Vec<&str> = printed.lines().filter(|line| line.starts_with("LET THROUGH")).collect();
    assert!(
        through.is_empty(),
        "{} attempts got through:\n{}",
        through.len(),
        through
            .iter()
            .take(5)
            .map(|line| format!("{line:.200}"))
            .collect::<Vec<_>>()
            .join("\n")
    );
    assert!(printed.contains("refused") && printed.ends_with("tried\n"), "{printed}");
    assert!(!printed.contains("BROKEN"), "{printed}");
}

fn calls(host: Host) {
    let ground = host.ground();
    let other = Other::new();
    let cloud = Cloud::serve(&ground, &[]);
    let made = "succeeds('secretsmanager', 'CreateSecret', {'Name': 'db', 'SecretString': sys.argv[1]})";
    cloud.runs(made, &[SECRET]).succeeds();
    let printed = intrusion(
        &other,
        cloud.endpoint(),
        cloud.export("AWS_ACCESS_KEY_ID"),
        &[("IMAGE", &cloud.base_image())],
    );
    assert!(!printed.contains(SECRET), "{printed}");
    all_refused(&printed);
    // The owner's keys do what they should.
    let read = "print(succeeds('secretsmanager', 'GetSecretValue', {'SecretId': 'db'}))";
    assert!(cloud.runs(read, &[]).succeeds().contains(SECRET));
}

/// The TCP ports that a process listens on, as everyone reads them in /proc/net/tcp.
fn ports(process: u32) -> Vec<u16> {
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .filter_map(Result::ok);
    let sockets: Vec<String> = descriptors
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter_map(|to| Some(to.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[3] == "0A" && sockets.iter().any(|socket| socket == row[9]))
        .filter_map(|row| u16::from_str_radix(row[1].split_once(':')?.1, 16).ok())
        .collect()
}

/// A bake that waits for a file.
pub(crate) fn waiting(source: &str) -> String {
    format!(
        r#"
source "amazon-ebs" "a" {{
  region        = "us-east-1"
  ami_name      = "aaaa"
  instance_type = "t3.micro"
  ssh_username  = "admin"
  {source}
  source_ami_filter {{
    filters     = {{ name = "debian-12-amd64-*" }}
    owners      = ["136693071363"]
    most_recent = true
  }}
}}
build {{
  sources = ["source.amazon-ebs.a"]
  provisioner "shell-local" {{
    inline = ["{WAITING}"]
  }}
}}
"#
    )
}

fn bakes(host: Host) {
    let ground = host.ground();
    let other = Other::new();
    ground
        .context
        .template(&waiting(&format!("run_tags = {{ T = \"{SECRET}\" }}")));
    let mut bake = ground.start(["build", "-local", "t.pkr.hcl"]);
    bake.makes(&ground.context.work().join("reached"), TIMEOUT);
    for port in ports(bake.id()) {
        let printed = intrusion(&other, &format!("http://127.0.0.1:{port}"), "local", &[]);
        assert!(!printed.contains(SECRET), "port {port}: {printed}");
        all_refused(&printed);
    }
    ground.context.file("go", "");
    let _ = bake.end(TIMEOUT).succeeds();
}

fn unisolated(host: Host) {
    let ground = host.ground();
    let other = Other::new();
    let cloud = Cloud::serve(&ground, &["-local-unisolated"]);
    let target = ground.private_directory("target");
    let script = format!("#!/bin/sh\nid > {}\n", target.join("run-by-another").display());
    let encode = "print(base64.b64encode(sys.argv[1].encode()).decode(), end='')";
    let data = cloud.runs(encode, &[&script]).succeeds();
    let image = cloud.base_image();
    let more = [("IMAGE", image.as_str()), ("USER_DATA", &data)];
    let printed = intrusion(&other, cloud.endpoint(), cloud.export("AWS_ACCESS_KEY_ID"), &more);
    all_refused(&printed);
    // The owner does the same, and then it runs: so it would have.
    let launch = [
        ("ImageId", image.as_str()),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("UserData", &data),
    ];
    cloud.call("RunInstances", &launch);
    until("what the owner runs", TIMEOUT, || {
        target.join("run-by-another").exists().then_some(())
    });
}

fn channels(host: Host) {
    let ground = host.ground();
    let other = Other::new();
    let cloud = Cloud::serve(&ground, &[]);
    let image = cloud.base_image();
    let start = "
launched = succeeds('ec2', 'RunInstances', {'ImageId': sys.argv[1], 'MinCount': '1', 'MaxCount': '1', 'IamInstanceProfile.Name': 'p'})
instance = launched.split('<instanceId>')[1].split('<')[0]
for _ in range(200):
    if instance in call('ssm', 'DescribeInstanceInformation', {})[1]:
        break
    time.sleep(0.05)
asked = {'Target': instance, 'DocumentName': 'AWS-StartPortForwardingSession', 'Parameters': {'portNumber': ['22']}}
print(json.loads(succeeds('ssm', 'StartSession', asked))['SessionId'], end='')";
    let session = cloud.runs(start, &[&image]).succeeds();
    let program = format!("{CLIENT}\n{}", include_str!("scripts/channel.py"));
    let environment = [
        ("AWS_ENDPOINT_URL", cloud.endpoint()),
        ("KEY_ID", cloud.export("AWS_ACCESS_KEY_ID")),
        ("SESSION", &session),
    ];
    all_refused(&other.runs(&program, &environment));
}

fn tampering(host: Host) {
    let ground = host.ground();
    let cloud = Cloud::serve(&ground, &[]);
    all_refused(&cloud.runs(include_str!("scripts/tamper.py"), &[]).succeeds());
}

fn rebinding(host: Host) {
    let ground = host.ground();
    let cloud = Cloud::serve(&ground, &[]);
    all_refused(&cloud.runs(include_str!("scripts/rebinding.py"), &[]).succeeds());
}

const FLOOD: &str = include_str!("scripts/flood.py");

/// The flood, by a client without keys.
fn flood(endpoint: &str, arguments: &[&str]) -> Started {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", &format!("{CLIENT}\n{FLOOD}")]).args(arguments);
    command.env_clear().env("AWS_ENDPOINT_URL", endpoint).current_dir("/");
    Started::of(command)
}

fn slow_connections(host: Host) {
    let ground = host.ground();
    let cloud = Cloud::serve(&ground, &[]);
    let printed = flood(cloud.endpoint(), &["slow"])
        .end(Duration::from_secs(170))
        .succeeds();
    assert!(
        !printed.contains("STILL OPEN") && printed.matches("closed").count() == 3,
        "{printed}"
    );
}

/// The server may have 256 files open, as many systems let it have 1024.
fn many_connections(host: Host) {
    let ground = host.ground();
    let inner = ground.command(["local", "serve", "-listen", "127.0.0.1:0", "-ssh-port", "0"]);
    let mut words: Vec<PathBuf> = vec!["--nofile=256:256".into(), inner.get_program().into()];
    words.extend(inner.get_args().map(|argument| Path::new(argument).to_owned()));
    let cloud = Cloud::of(&ground, Started::of(ground.context.command_of("prlimit", words)));
    let mut flood = flood(cloud.endpoint(), &["many", "100"]);
    flood.prints("that it is ready", TIMEOUT, |line| {
        line.starts_with("ready").then_some(())
    });
    // It may be refused at first; it gets in while the flood still stands.
    let ask = "sys.exit(0 if call('ec2', 'DescribeInstances', {})[0] == 200 else 7)";
    until("an answer to the owner", TIMEOUT, || {
        (cloud.runs(ask, &[]).code == Some(0)).then_some(())
    });
    assert!(cloud.server().peak().unwrap() < 150);
}

fn long_names(host: Host) {
    let ground = host.ground();
    let cloud = Cloud::serve(&ground, &[]);
    let before = cloud.server().peak().unwrap();
    flood(cloud.endpoint(), &["names"]).end(TIMEOUT).succeeds();
    cloud.runs(FLOOD, &["names"]).succeeds();
    let grown = cloud.server().peak().unwrap() - before;
    assert!(grown < 100, "12 requests of 1 MB take {grown} MiB");
}
