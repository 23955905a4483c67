//! Interfaces, addresses and routes of the machine's network namespace, set by messages of rtnetlink.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Reaches as far as the link; loopback addresses must not be more than that to be used as a source.
pub(super) const SCOPE_LINK: u8 = 253;
/// Reaches everything.
const SCOPE_UNIVERSE: u8 = 0;
/// Stays within this machine.
pub(super) const SCOPE_HOST: u8 = 254;

/// The address family, as these messages write it.
const IPV4: u8 = libc::AF_INET.to_le_bytes()[0];
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const CREATE: u16 = 0x400;
const EXCLUSIVE: u16 = 0x200;
/// The answer to a request: an error number, 0 when it was carried out.
const ERROR: u16 = 2;
/// The length of the header of every message.
const HEADER: usize = 16;
/// The length of what a message about an interface begins with.
const INTERFACE_HEADER: usize = 16;

/// A conversation with the kernel about the current network namespace.
#[derive(Debug)]
pub(super) struct Netlink(OwnedFd);

impl Netlink {
    pub(super) fn open() -> io::Result<Netlink> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None, // protocol 0: NETLINK_ROUTE
        )?;
        Ok(Netlink(socket))
    }

    /// Returns the number of an interface.
    pub(super) fn index(&self, name: &str) -> io::Result<u32> {
        Ok(rustix::net::netdevice::name_to_index(self.0.as_fd(), name)?)
    }

    /// Switches an interface on, with packets of at most `largest` bytes.
    pub(super) fn switch_on(&self, interface: u32, largest: u32) -> io::Result<()> {
        const UP: u32 = 1;
        let mut body = vec![0_u8; 4];
        body.extend(interface.to_ne_bytes());
        body.extend(UP.to_ne_bytes());
        body.extend(UP.to_ne_bytes());
        attribute(&mut body, libc::IFLA_MTU, largest.to_ne_bytes());
        self.request(libc::RTM_NEWLINK, 0, &body)
    }

    /// Makes a pair of connected interfaces: one here, and its peer in another network namespace.
    pub(super) fn add_pair(&self, name: &str, peer: &str, namespace: BorrowedFd<'_>) -> io::Result<()> {
        const PEER: u16 = 1; // VETH_INFO_PEER, whose value begins as the message itself does
        let mut other = vec![0_u8; INTERFACE_HEADER];
        attribute_of(&mut other, libc::IFLA_IFNAME, &[peer.as_bytes(), b"\0"].concat());
        attribute(&mut other, libc::IFLA_NET_NS_FD, namespace.as_raw_fd().to_ne_bytes());
        let (mut data, mut kind, mut body) = (Vec::new(), Vec::new(), vec![0_u8; INTERFACE_HEADER]);
        attribute_of(&mut data, PEER, &other);
        attribute_of(&mut kind, libc::IFLA_INFO_KIND, b"veth\0");
        attribute_of(&mut kind, libc::IFLA_INFO_DATA, &data);
        attribute_of(&mut body, libc::IFLA_IFNAME, &[name.as_bytes(), b"\0"].concat());
        attribute_of(&mut body, libc::IFLA_LINKINFO, &kind);
        self.request(libc::RTM_NEWLINK, CREATE | EXCLUSIVE, &body)
    }

    /// Gives an interface an address, and its network of `prefix` bits a route.
    pub(super) fn add_address(&self, interface: u32, address: Ipv4Addr, prefix: u8, scope: u8) -> io::Result<()> {
        let body = address_message(interface, address, prefix, scope);
        self.request(libc::RTM_NEWADDR, CREATE | EXCLUSIVE, &body)
    }

    /// Takes an address from an interface again.
    pub(super) fn remove_address(&self, interface: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let body = address_message(interface, address, prefix, SCOPE_HOST);
        self.request(libc::RTM_DELADDR, 0, &body)
    }

    /// Sends through an interface what has no other route, from this address, by a gateway if there is one.
    pub(super) fn add_default_route(
        &self,
        interface: u32,
        source: Ipv4Addr,
        gateway: Option<Ipv4Addr>,
    ) -> io::Result<()> {
        const MAIN_TABLE: u8 = 254;
        const BOOT: u8 = 3;
        const UNICAST: u8 = 1;
        // Family, lengths of destination and source, type of service, table, protocol, scope, type; then flags.
        let scope = if gateway.is_some() { SCOPE_UNIVERSE } else { SCOPE_LINK };
        let mut body = vec![IPV4, 0, 0, 0, MAIN_TABLE, BOOT, scope, UNICAST, 0, 0, 0, 0];
        if let Some(gateway) = gateway {
            attribute(&mut body, libc::RTA_GATEWAY, gateway.octets());
        }
        attribute(&mut body, libc::RTA_OIF, interface.to_ne_bytes());
        attribute(&mut body, libc::RTA_PREFSRC, source.octets());
        self.request(libc::RTM_NEWROUTE, CREATE | EXCLUSIVE, &body)
    }

    fn request(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((REQUEST | ACKNOWLEDGE | flags).to_ne_bytes());
        message.extend([0; 8]); // sequence number and port
        message.extend(body);
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.0, &message, SendFlags::empty(), &kernel)?;
        let mut answer = [0_u8; 4096];
        let (length, _) = rustix::net::recv(&self.0, &mut answer[..], RecvFlags::empty())?;
        outcome(&answer[..length])
    }
}

/// What an answer says of the request.
fn outcome(answer: &[u8]) -> io::Result<()> {
    let kind = answer
        .get(4..6)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_ne_bytes);
    let code = answer.get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok());
    match (kind, code.map(i32::from_ne_bytes)) {
        (Some(ERROR), Some(0)) => Ok(()),
        (Some(ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn address_message(interface: u32, address: Ipv4Addr, prefix: u8, scope: u8) -> Vec<u8> {
    let mut body = vec![IPV4, prefix, 0, scope];
    body.extend(interface.to_ne_bytes());
    attribute(&mut body, libc::IFA_LOCAL, address.octets());
    attribute(&mut body, libc::IFA_ADDRESS, address.octets());
    body
}

/// Adds an attribute of four bytes.
fn attribute(message: &mut Vec<u8>, kind: u16, value: [u8; 4]) {
    attribute_of(message, kind, &value);
}

/// Adds an attribute, with its padding. Values are of a few dozen bytes.
fn attribute_of(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_error_number_or_no_answer() {
        let answer = |kind: u16, code: i32| {
            let mut bytes = vec![0_u8; 4];
            bytes.extend(kind.to_ne_bytes());
            bytes.resize(HEADER, 0);
            bytes.extend(code.to_ne_bytes());
            outcome(&bytes)
        };
        assert!(answer(ERROR, 0).is_ok());
        assert_eq!(
            answer(ERROR, -libc::EEXIST).unwrap_err().raw_os_error(),
            Some(libc::EEXIST)
        );
        assert_eq!(answer(3, 0).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(outcome(&[0; 7]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
