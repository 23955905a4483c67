//! What every instance finds at the same place of its network.

use std::net::Ipv4Addr;

/// The largest packet that an instance's interface takes, in bytes; large ones make few calls of much data.
pub(crate) const LARGEST_PACKET: u32 = 65_520;
/// Where the metadata service is, as on EC2.
pub(crate) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Stands in an instance for the loopback of this machine, as far as that is allowed.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 1);
/// The gateway's name in `/etc/hosts` of instances.
pub(crate) const GATEWAY_NAME: &str = "host.bakelite.internal";
/// Stand for the name servers of this machine, in turn; the first is where EC2 has its own.
pub(crate) const NAME_SERVERS: [Ipv4Addr; 3] = [
    Ipv4Addr::new(169, 254, 169, 253),
    Ipv4Addr::new(169, 254, 169, 252),
    Ipv4Addr::new(169, 254, 169, 251),
];
