//! The address of the instance. It can have one before it runs.

use std::net::IpAddr;

use aws_sdk_ec2::types::{Instance, InstanceStateName};
use bakelite_aws::client::Aws;
use bakelite_aws::tag;
use bakelite_aws::watch::WaitError;
use bakelite_communicators::options::Kind;

use super::instance::{INSTANCE_LIMIT, lost};
use super::options::{RunOptions, SshInterface};

/// The address to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    /// The port of an instance of the local cloud: its instances share one address.
    pub(crate) ssh_port: Option<u16>,
}

/// Waits until the instance has an address on the interface that the options name.
pub(crate) async fn find(aws: &Aws, id: &str, options: &RunOptions) -> Result<Address, WaitError> {
    let what = format!("instance {id}");
    let pace = aws.pace(10, INSTANCE_LIMIT);
    if options.by_session_manager() {
        let running = |instance: Option<&Instance>| match instance?.state()?.name()? {
            InstanceStateName::Running => Some(Ok(Address {
                host: "localhost".into(),
                ssh_port: None,
            })),
            _ => lost(&what, instance?, "running").map(Err),
        };
        return aws.instances.until(id, pace, &what, "running", running).await;
    }
    if options.communicator.ssh_host.is_some() || options.communicator.kind() == Some(Kind::None) {
        return Ok(Address {
            host: String::new(),
            ssh_port: None,
        });
    }
    let interface = options.ssh_interface;
    aws.instances
        .until(id, pace, &what, "reachable (it has no such address)", |instance| {
            let instance = instance?;
            let found = host(instance, interface).map(|host| {
                Ok(Address {
                    ssh_port: ssh_port(instance, &host),
                    host,
                })
            });
            found.or_else(|| lost(&what, instance, "reachable").map(Err))
        })
        .await
}

/// The address on this interface, if there is one yet.
fn host(instance: &Instance, interface: Option<SshInterface>) -> Option<String> {
    let present = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let private = || present(instance.private_ip_address());
    match interface {
        Some(SshInterface::PublicIp) => present(instance.public_ip_address()),
        Some(SshInterface::PrivateIp) => private(),
        Some(SshInterface::PublicDns) => present(instance.public_dns_name()),
        Some(SshInterface::PrivateDns) => present(instance.private_dns_name()),
        Some(SshInterface::Ipv6) => present(instance.ipv6_address()),
        None | Some(SshInterface::SessionManager) => {
            // A public address may still come until the instance runs.
            let runs = instance.state().and_then(|state| state.name()) == Some(&InstanceStateName::Running);
            present(instance.public_ip_address()).or_else(|| private().filter(|_| runs))
        }
    }
}

/// The port that an instance of the local cloud names in its tags; only believed of this machine itself.
fn ssh_port(instance: &Instance, host: &str) -> Option<u16> {
    let here = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let tagged = instance.tags().iter().find(|tag| tag.key() == Some(tag::SSH_PORT));
    tagged.filter(|_| here)?.value()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{InstanceState, Tag};

    use super::*;

    fn instance(state: InstanceStateName, public: Option<&str>) -> Instance {
        let port = Tag::builder().key(tag::SSH_PORT).value("2201").build();
        Instance::builder()
            .state(InstanceState::builder().name(state).build())
            .private_ip_address("10.0.0.5")
            .set_public_ip_address(public.map(str::to_owned))
            .tags(port)
            .build()
    }

    #[test]
    fn the_private_address_is_taken_only_when_no_public_one_can_come() {
        assert_eq!(host(&instance(InstanceStateName::Pending, None), None), None);
        assert_eq!(
            host(&instance(InstanceStateName::Running, None), None).as_deref(),
            Some("10.0.0.5")
        );
        assert_eq!(
            host(&instance(InstanceStateName::Pending, Some("198.51.100.7")), None).as_deref(),
            Some("198.51.100.7")
        );
        assert_eq!(
            host(
                &instance(InstanceStateName::Pending, Some("198.51.100.7")),
                Some(SshInterface::PrivateIp)
            )
            .as_deref(),
            Some("10.0.0.5")
        );
        assert_eq!(
            host(
                &instance(InstanceStateName::Running, None),
                Some(SshInterface::PublicIp)
            ),
            None
        );
    }

    #[test]
    fn a_port_in_the_tags_counts_on_this_machine_only() {
        assert_eq!(
            ssh_port(&instance(InstanceStateName::Running, None), "127.0.0.1"),
            Some(2201)
        );
        assert_eq!(
            ssh_port(&instance(InstanceStateName::Running, None), "198.51.100.7"),
            None
        );
    }
}
