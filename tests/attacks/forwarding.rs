//! Session Manager's forwarding leads to ports of the instance, never to what listens on this machine.

use bakelite_test_support::eventually::until;
use std::io::ErrorKind;
use std::net::TcpListener;

use crate::cloud::{Cloud, between};
use crate::host::{Host, TIMEOUT};
use crate::started::Started;
use crate::{Attack, Needs};

pub(crate) const ATTACKS: &[Attack] = &[Attack(
    "forwarding_reaches_no_port_of_the_host",
    Needs::BothHosts,
    ports_of_the_host,
)];

/// A template whose instance is reached at a port on which nothing listens in it.
fn template(port: u16) -> String {
    format!(
        r#"
source "amazon-ebs" "a" {{
  region               = "us-east-1"
  ami_name             = "aaaa"
  instance_type        = "t3.micro"
  ssh_username         = "admin"
  ssh_interface        = "session_manager"
  iam_instance_profile = "p"
  ssh_port             = {port}
  ssh_timeout          = "6s"
  source_ami_filter {{
    filters     = {{ name = "debian-12-amd64-*" }}
    owners      = ["136693071363"]
    most_recent = true
  }}
}}
build {{
  sources = ["source.amazon-ebs.a"]
}}
"#
    )
}

/// A service of the host that listens on all addresses listens on the one that stands for the instance as well. The test's listens on
/// that one alone.
fn ports_of_the_host(host: Host) {
    let ground = host.ground();
    let cloud = Cloud::serve(&ground, &[]);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    ground.context.template(&template(port));
    let mut command = ground.command(["build", "t.pkr.hcl"]);
    command.envs(cloud.exports());
    let bake = Started::of(command);
    let address = until("the instance of the bake", TIMEOUT, || {
        let described = cloud.call("DescribeInstances", &[]);
        Some(between(&described, "<privateIpAddress>", "</privateIpAddress>").to_owned())
            .filter(|found| !found.is_empty())
    });
    let service = TcpListener::bind((address.as_str(), port)).unwrap();
    service.set_nonblocking(true).unwrap();
    let ran = bake.end(TIMEOUT);
    match service.accept() {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        accepted => panic!("the host's service on {address}:{port} was reached: {accepted:?}"),
    }
    let printed = ran.fails_with(1);
    assert!(
        printed.contains("Session ID: "),
        "the session was never made: {printed}"
    );
}
