//! What instances may reach: the public Internet, and of this machine and its private networks only what was allowed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::str::FromStr;

use crate::inside::{GATEWAY, METADATA, NAME_SERVERS};

/// How instances reach networks outside of the cloud.
#[derive(Debug, Clone, Default)]
pub struct NetworkOptions {
    /// Cuts everything: other instances, too. Only the metadata service is left.
    pub offline: bool,
    /// What is reachable although it is this machine's or private.
    pub allowed: Vec<Allowance>,
    /// Variables that sessions and user data of instances find in their environment: the settings of a proxy.
    pub environment: Vec<(String, String)>,
}

/// An address, or a block of addresses, that instances may reach although it is this machine's or private: `10.0.0.7`,
/// `10.0.0.7:8080`, `10.1.0.0/16`, `10.1.0.0/16:443`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    address: Ipv4Addr,
    prefix: u8,
    port: Option<u16>,
}

/// Why a text is no [`Allowance`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not ADDRESS[/BITS][:PORT] with an IPv4 address, such as 10.0.0.7:8080")]
pub struct AllowanceError(String);

impl FromStr for Allowance {
    type Err = AllowanceError;

    fn from_str(text: &str) -> Result<Allowance, AllowanceError> {
        let parse = || {
            let (block, port) = match text.split_once(':') {
                Some((block, port)) => (block, Some(port.parse().ok().filter(|port| *port != 0)?)),
                None => (text, None),
            };
            let (address, prefix) = match block.split_once('/') {
                Some((address, prefix)) => (address, prefix.parse().ok().filter(|bits| *bits <= 32)?),
                None => (block, 32),
            };
            let address = address.parse().ok()?;
            Some(Allowance { address, prefix, port })
        };
        parse().ok_or_else(|| AllowanceError(text.to_owned()))
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.address)?;
        if self.prefix < 32 {
            write!(formatter, "/{}", self.prefix)?;
        }
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

impl Allowance {
    /// One port of one address.
    pub fn of(address: SocketAddrV4) -> Allowance {
        Allowance {
            address: *address.ip(),
            prefix: 32,
            port: Some(address.port()),
        }
    }

    /// `port` is none for what has no ports.
    fn covers(&self, address: Ipv4Addr, port: Option<u16>) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
        let is_inside = (u32::from(address) ^ u32::from(self.address)) & mask == 0;
        is_inside && (self.port.is_none() || self.port == port)
    }
}

/// Who decides where packets of instances go.
#[derive(Debug)]
pub(crate) struct Policy {
    options: NetworkOptions,
}

impl Policy {
    pub(crate) fn new(options: NetworkOptions) -> Policy {
        Policy { options }
    }

    /// Whether instances have no network at all.
    pub(crate) fn is_offline(&self) -> bool {
        self.options.offline
    }

    /// What sessions have in their environment.
    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.options.environment
    }

    /// The addresses that instances ask for names, one for each name server of this machine.
    pub(crate) fn name_servers() -> Vec<Ipv4Addr> {
        let count = host_name_servers().len();
        NAME_SERVERS.into_iter().take(count).collect()
    }

    /// Where this machine connects to for an instance that wants to reach `to`; nothing if it may not.
    pub(crate) fn target(&self, to: SocketAddrV4) -> Option<SocketAddr> {
        if self.options.offline || to.port() == 0 {
            return None;
        }
        let address = *to.ip();
        if let Some(number) = NAME_SERVERS.iter().position(|server| *server == address) {
            let server = host_name_servers().into_iter().nth(number);
            return server
                .filter(|_| to.port() == 53)
                .map(|server| SocketAddr::new(server, 53));
        }
        if address == GATEWAY {
            let on_loopback = |allowed: &&Allowance| allowed.address.is_loopback() && allowed.prefix >= 8;
            let mut allowed = self.options.allowed.iter().filter(on_loopback);
            let found = allowed.find(|allowed| allowed.port.is_none_or(|port| port == to.port()))?;
            let is_usual = found.covers(Ipv4Addr::LOCALHOST, Some(to.port()));
            let address = if is_usual { Ipv4Addr::LOCALHOST } else { found.address };
            return Some(SocketAddr::from((address, to.port())));
        }
        self.may_reach(address, Some(to.port())).then_some(to.into())
    }

    /// Whether an instance may send to an address; `port` is none for what has no ports.
    pub(crate) fn may_reach(&self, address: Ipv4Addr, port: Option<u16>) -> bool {
        if self.options.offline || is_never_reachable(address) {
            return false;
        }
        self.options.allowed.iter().any(|allowed| allowed.covers(address, port))
            || !(is_private(address) || is_of_this_machine(address))
    }
}

/// Addresses that mean something else in the instance, or nothing to the host's TCP: no allowance opens them. The host's loopback is among
/// them because it has the gateway's address in instances.
fn is_never_reachable(address: Ipv4Addr) -> bool {
    address.is_loopback()
        || address.octets()[0] == 0
        || address.is_multicast()
        || address.octets()[0] >= 240
        || address == METADATA
}

/// Addresses of networks that are not the public Internet: private (RFC 1918), of carriers (RFC 6598), of links (RFC 3927), of protocols
/// (RFC 6890) and for benchmarks (RFC 2544).
fn is_private(address: Ipv4Addr) -> bool {
    let [one, two, three, _] = address.octets();
    address.is_private()
        || address.is_link_local()
        || (one == 100 && two & 0xc0 == 64)
        || (one, two, three) == (192, 0, 0)
        || (one == 198 && two & 0xfe == 18)
}

/// Whether an address is one of this machine's own: a socket can be bound to it. Where that is allowed with every address, it is one to
/// which the kernel connects from itself; a datagram socket that connects sends nothing.
fn is_of_this_machine(address: Ipv4Addr) -> bool {
    if UdpSocket::bind((address, 0)).is_err() {
        return false;
    }
    let binds_others =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_nonlocal_bind").is_ok_and(|set| set.trim() == "1");
    !binds_others || source_for(address).is_ok_and(|source| source == address || source.is_loopback())
}

/// The address from which the kernel reaches another.
fn source_for(address: Ipv4Addr) -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((address, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// The name servers of this machine, as many as instances have addresses for.
fn host_name_servers() -> Vec<IpAddr> {
    let mut servers = name_servers_in(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    if servers.is_empty() {
        servers.push(Ipv4Addr::LOCALHOST.into()); // as the C library has it
    }
    servers
}

fn name_servers_in(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| line.trim().strip_prefix("nameserver")?.trim().parse().ok();
    text.lines().filter_map(server).take(NAME_SERVERS.len()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(allowed: &[&str]) -> Policy {
        let allowed = allowed.iter().map(|text| text.parse().unwrap()).collect();
        Policy::new(NetworkOptions {
            allowed,
            ..NetworkOptions::default()
        })
    }

    fn target(policy: &Policy, to: &str) -> Option<String> {
        policy.target(to.parse().unwrap()).map(|target| target.to_string())
    }

    #[test]
    fn private_addresses_are_closed_and_public_ones_open() {
        let policy = policy(&[]);
        for closed in [
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.64.0.4",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "198.19.255.255",
            "169.254.169.1",
        ] {
            assert_eq!(target(&policy, &format!("{closed}:80")), None, "{closed}");
            assert!(!policy.may_reach(closed.parse().unwrap(), None), "{closed}");
        }
        for open in [
            "1.1.1.1",
            "172.32.0.1",
            "172.15.0.1",
            "100.128.0.1",
            "198.20.0.1",
            "192.0.1.1",
            "223.255.255.255",
        ] {
            assert_eq!(target(&policy, &format!("{open}:80")), Some(format!("{open}:80")));
        }
        assert_eq!(target(&policy, "1.1.1.1:0"), None);
    }

    #[test]
    fn an_allowance_opens_what_it_names() {
        let narrow = policy(&["10.0.0.7:8080"]);
        assert_eq!(target(&narrow, "10.0.0.7:8080").as_deref(), Some("10.0.0.7:8080"));
        assert_eq!(target(&narrow, "10.0.0.7:8081"), None);
        assert_eq!(target(&narrow, "10.0.0.8:8080"), None);
        assert!(!narrow.may_reach(Ipv4Addr::new(10, 0, 0, 7), None));
        let wide = policy(&["10.1.0.0/16"]);
        assert!(target(&wide, "10.1.255.255:1").is_some());
        assert_eq!(target(&wide, "10.2.0.0:1"), None);
        assert!(wide.may_reach(Ipv4Addr::new(10, 1, 0, 0), None));
    }

    #[test]
    fn the_loopback_is_behind_the_gateway_and_only_when_it_is_named() {
        let one = policy(&["127.0.0.1:5000"]);
        assert_eq!(target(&one, "169.254.169.1:5000").as_deref(), Some("127.0.0.1:5000"));
        assert_eq!(target(&one, "169.254.169.1:5001"), None);
        assert_eq!(target(&one, "127.0.0.1:5000"), None);
        let block = policy(&["127.0.0.0/8:80"]);
        assert_eq!(target(&block, "169.254.169.1:80").as_deref(), Some("127.0.0.1:80"));
        let all = policy(&["0.0.0.0/0"]);
        assert_eq!(target(&all, "169.254.169.1:22"), None);
        assert_eq!(target(&all, "127.0.0.1:22"), None);
        assert!(target(&all, "192.168.0.1:22").is_some());
    }

    #[test]
    fn offline_closes_everything() {
        let offline = Policy::new(NetworkOptions {
            offline: true,
            allowed: vec!["1.1.1.1".parse().unwrap()],
            ..NetworkOptions::default()
        });
        for to in ["1.1.1.1:80", "169.254.169.253:53", "8.8.8.8:53"] {
            assert_eq!(target(&offline, to), None, "{to}");
        }
        assert!(!offline.may_reach(Ipv4Addr::new(1, 1, 1, 1), None));
    }

    #[test]
    fn addresses_of_this_machine_are_known() {
        assert!(is_of_this_machine(Ipv4Addr::LOCALHOST));
        assert!(is_of_this_machine(Ipv4Addr::new(127, 3, 4, 5)));
        assert!(!is_of_this_machine(Ipv4Addr::new(203, 0, 113, 80)));
        assert_eq!(source_for(Ipv4Addr::LOCALHOST).unwrap(), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn name_servers_answer_on_one_port() {
        assert_eq!(
            name_servers_in(
                "# nameserver 1.1.1.1\nsearch x\nnameserver 10.0.0.2\n nameserver fd00::1 \nnameserver x\noptions edns0"
            ),
            ["10.0.0.2".parse::<IpAddr>().unwrap(), "fd00::1".parse().unwrap()]
        );
        assert_eq!(target(&policy(&[]), "169.254.169.253:80"), None);
        assert!(target(&policy(&[]), "169.254.169.253:53").is_some());
    }

    #[test]
    fn what_is_no_allowance_is_refused() {
        for text in [
            "",
            "10.0.0.7:",
            "10.0.0.7:0",
            "10.0.0.7:65536",
            "10.0.0/8",
            "10.0.0.0/33",
            "example.org",
            "::1",
            "[::1]:80",
            "1.2.3.4/",
        ] {
            assert_eq!(
                text.parse::<Allowance>(),
                Err(AllowanceError(text.to_owned())),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn an_allowance_reads_what_it_prints(address: u32, prefix in 0..=32_u8, port: Option<u16>) {
            let allowance = Allowance { address: address.into(), prefix, port: port.filter(|port| *port != 0) };
            prop_assert_eq!(allowance.to_string().parse(), Ok(allowance));
            prop_assert!(allowance.covers(address.into(), allowance.port));
        }

        #[test]
        fn nothing_opens_the_loopback_or_what_is_no_host(address: u32, port: u16) {
            let address = Ipv4Addr::from(address);
            let open = policy(&["0.0.0.0/0"]).target(SocketAddrV4::new(address, port));
            if address.is_loopback() || address.is_multicast() || address.is_broadcast() || address.is_unspecified() {
                prop_assert_eq!(open, None);
            }
        }
    }
}
