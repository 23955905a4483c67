//! IPv4 packets as instances send them, and those that we make for them. Whatever an instance sends is read here first.

use std::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet, Icmpv4Repr, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr,
    TcpPacket, UdpPacket, UdpRepr,
};

const HOPS: u8 = 64;

/// What a packet is, as far as its way depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) from: Ipv4Addr,
    pub(crate) to: Ipv4Addr,
    pub(crate) content: Content<'a>,
}

/// Both ends of a connection or of datagrams, as the instance sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    /// The instance's.
    pub(crate) from: SocketAddrV4,
    pub(crate) to: SocketAddrV4,
}

impl Packet<'_> {
    /// The ends of a packet with these ports.
    pub(crate) fn pair(&self, (from, to): (u16, u16)) -> Pair {
        Pair {
            from: SocketAddrV4::new(self.from, from),
            to: SocketAddrV4::new(self.to, to),
        }
    }
}

/// What a packet carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// A segment; `opens` if it asks for a connection.
    Tcp { ports: (u16, u16), opens: bool },
    /// A datagram.
    Udp { ports: (u16, u16), payload: &'a [u8] },
    /// A request for an echo.
    Echo {
        ident: u16,
        sequence: u16,
        payload: &'a [u8],
    },
    /// The answer to one.
    EchoReply { ident: u16 },
    /// An error about a packet that was received: its sender, receiver, protocol and ports.
    Error {
        from: SocketAddrV4,
        to: SocketAddrV4,
        protocol: u8,
    },
    /// Something that nobody handles here.
    Other,
}

/// Why a packet is not passed on, as its sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The policy forbids it.
    Prohibited,
    /// Nothing is there.
    NoHost,
    /// Nothing listens there.
    NoPort,
}

/// Reads a packet; nothing if it is not a whole packet of IPv4 between two hosts. Fragments are not: an instance's interface takes packets
/// of 64 KiB, so that only forged ones come.
pub(crate) fn read(bytes: &[u8]) -> Option<Packet<'_>> {
    let packet = Ipv4Packet::new_checked(bytes).ok()?;
    if packet.version() != 4 || packet.more_frags() || packet.frag_offset() != 0 {
        return None;
    }
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    if from.is_unspecified() || from.is_multicast() || from.is_broadcast() || to.is_unspecified() {
        return None;
    }
    let payload = packet.payload();
    let content = match packet.next_header() {
        IpProtocol::Tcp => read_tcp(payload)?,
        IpProtocol::Udp => {
            let datagram = UdpPacket::new_checked(payload).ok()?;
            Content::Udp {
                ports: (datagram.src_port(), datagram.dst_port()),
                payload: datagram.payload(),
            }
        }
        IpProtocol::Icmp => read_icmp(payload)?,
        _ => Content::Other,
    };
    Some(Packet { from, to, content })
}

fn read_tcp(payload: &[u8]) -> Option<Content<'_>> {
    let segment = TcpPacket::new_checked(payload).ok()?;
    Some(Content::Tcp {
        ports: (segment.src_port(), segment.dst_port()),
        opens: segment.syn() && !segment.ack() && !segment.rst(),
    })
}

fn read_icmp(payload: &[u8]) -> Option<Content<'_>> {
    let message = Icmpv4Packet::new_checked(payload).ok()?;
    Some(match message.msg_type() {
        Icmpv4Message::EchoRequest => Content::Echo {
            ident: message.echo_ident(),
            sequence: message.echo_seq_no(),
            payload: message.data(),
        },
        Icmpv4Message::EchoReply => Content::EchoReply {
            ident: message.echo_ident(),
        },
        Icmpv4Message::DstUnreachable | Icmpv4Message::TimeExceeded => {
            // The packet that the error is about, of which no more than eight bytes need to follow the header.
            let about = Ipv4Packet::new_unchecked(payload.get(8..)?);
            if payload.len() < 8 + 20 {
                return Some(Content::Other);
            }
            let header = usize::from(about.header_len());
            let ports = payload.get(8 + header..8 + header + 4);
            let Some(&[one, two, three, four]) = ports.filter(|_| header >= 20) else {
                return Some(Content::Other);
            };
            Content::Error {
                from: SocketAddrV4::new(about.src_addr(), u16::from_be_bytes([one, two])),
                to: SocketAddrV4::new(about.dst_addr(), u16::from_be_bytes([three, four])),
                protocol: about.next_header().into(),
            }
        }
        _ => Content::Other,
    })
}

/// A datagram; nothing if it is too long for one packet.
pub(crate) fn datagram(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Option<Vec<u8>> {
    let repr = UdpRepr {
        src_port: from.port(),
        dst_port: to.port(),
    };
    packet(
        *from.ip(),
        *to.ip(),
        IpProtocol::Udp,
        repr.header_len() + payload.len(),
        |body| {
            repr.emit(
                &mut UdpPacket::new_unchecked(body),
                &IpAddress::Ipv4(*from.ip()),
                &IpAddress::Ipv4(*to.ip()),
                payload.len(),
                |to| to.copy_from_slice(payload),
                &ChecksumCapabilities::default(),
            );
        },
    )
}

/// The answer to a request for an echo.
pub(crate) fn echo_reply(from: Ipv4Addr, to: Ipv4Addr, ident: u16, sequence: u16, payload: &[u8]) -> Option<Vec<u8>> {
    let repr = Icmpv4Repr::EchoReply {
        ident,
        seq_no: sequence,
        data: payload,
    };
    icmp(from, to, &repr)
}

/// A message that a packet was not passed on, from where it was going to.
pub(crate) fn refusal(about: &[u8], refusal: Refusal) -> Option<Vec<u8>> {
    /// The header without options and what follows it of the packet.
    const QUOTED: usize = 8;
    let original = Ipv4Packet::new_checked(about).ok()?;
    let header = Ipv4Repr {
        src_addr: original.src_addr(),
        dst_addr: original.dst_addr(),
        next_header: original.next_header(),
        payload_len: original.payload().len(),
        hop_limit: original.hop_limit(),
    };
    let repr = Icmpv4Repr::DstUnreachable {
        reason: match refusal {
            Refusal::Prohibited => Icmpv4DstUnreachable::CommProhibited,
            Refusal::NoHost => Icmpv4DstUnreachable::HostUnreachable,
            Refusal::NoPort => Icmpv4DstUnreachable::PortUnreachable,
        },
        header,
        data: original.payload().get(..QUOTED)?,
    };
    icmp(header.dst_addr, header.src_addr, &repr)
}

fn icmp(from: Ipv4Addr, to: Ipv4Addr, repr: &Icmpv4Repr<'_>) -> Option<Vec<u8>> {
    packet(from, to, IpProtocol::Icmp, repr.buffer_len(), |body| {
        repr.emit(&mut Icmpv4Packet::new_unchecked(body), &ChecksumCapabilities::default());
    })
}

fn packet(
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: IpProtocol,
    payload_len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Option<Vec<u8>> {
    let header = Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: protocol,
        payload_len,
        hop_limit: HOPS,
    };
    let length = header.buffer_len() + payload_len;
    if length > usize::from(u16::MAX) {
        return None;
    }
    let mut bytes = vec![0; length];
    header.emit(
        &mut Ipv4Packet::new_unchecked(&mut bytes),
        &ChecksumCapabilities::default(),
    );
    fill(&mut bytes[header.buffer_len()..]);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 64, 0, 4), 40_000);
    const OTHER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 9), 53);

    #[test]
    fn a_datagram_reads_as_it_was_made() {
        let bytes = datagram(ONE, OTHER, b"question").unwrap();
        let read = read(&bytes).unwrap();
        assert_eq!((read.from, read.to), (*ONE.ip(), *OTHER.ip()));
        let ports = (40_000, 53);
        assert_eq!(
            read.content,
            Content::Udp {
                ports,
                payload: b"question"
            }
        );
        assert!(Ipv4Packet::new_unchecked(&bytes).verify_checksum());
        assert_eq!(datagram(ONE, OTHER, &vec![0; 65_508]), None);
        assert!(datagram(ONE, OTHER, &vec![0; 65_507]).is_some());
    }

    #[test]
    fn a_refusal_names_the_packet_that_it_is_about() {
        let bytes = datagram(ONE, OTHER, b"question").unwrap();
        for kind in [Refusal::Prohibited, Refusal::NoHost, Refusal::NoPort] {
            let refusal = refusal(&bytes, kind).unwrap();
            let read = read(&refusal).unwrap();
            assert_eq!((read.from, read.to), (*OTHER.ip(), *ONE.ip()));
            let expected = Content::Error {
                from: ONE,
                to: OTHER,
                protocol: 17,
            };
            assert_eq!(read.content, expected);
        }
    }

    #[test]
    fn echoes_keep_what_was_sent() {
        let bytes = echo_reply(*OTHER.ip(), *ONE.ip(), 7, 9, b"ping").unwrap();
        assert_eq!(read(&bytes).unwrap().content, Content::EchoReply { ident: 7 });
    }

    #[test]
    fn fragments_and_packets_of_nobody_are_not_read() {
        let whole = datagram(ONE, OTHER, b"question").unwrap();
        let changed = |change: &dyn Fn(&mut Ipv4Packet<&mut Vec<u8>>)| {
            let mut bytes = whole.clone();
            change(&mut Ipv4Packet::new_unchecked(&mut bytes));
            read(&bytes).is_some()
        };
        assert!(changed(&|_| {}));
        assert!(!changed(&|packet| packet.set_more_frags(true)));
        assert!(!changed(&|packet| packet.set_frag_offset(8)));
        assert!(!changed(&|packet| packet.set_version(6)));
        assert!(!changed(&|packet| packet.set_src_addr(Ipv4Addr::UNSPECIFIED)));
        assert!(!changed(&|packet| packet.set_src_addr(Ipv4Addr::new(224, 0, 0, 1))));
        assert!(!changed(&|packet| packet.set_total_len(u16::MAX)));
    }

    proptest! {
        #[test]
        fn no_packet_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), whole: bool, protocol in 0..4_usize) {
            if let (true, Some(first)) = (whole, bytes.first_mut()) {
                *first = 0x45;
                let length = u16::try_from(bytes.len()).unwrap();
                if bytes.len() >= 20 {
                    bytes[2..4].copy_from_slice(&length.to_be_bytes());
                    bytes[6..8].fill(0);
                    bytes[9] = [1, 6, 17, 47][protocol];
                }
            }
            if let Some(packet) = read(&bytes) {
                prop_assert!(!packet.from.is_unspecified());
            }
            for kind in [Refusal::Prohibited, Refusal::NoHost, Refusal::NoPort] {
                if let Some(made) = refusal(&bytes, kind) {
                    prop_assert!(made.len() <= 576);
                }
            }
        }
    }
}
