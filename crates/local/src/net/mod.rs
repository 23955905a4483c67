//! The networks of instances: a user-space stack behind the TUN device of each, which opens sockets of this machine for what the policy
//! lets out, and a switch between the instances of one cloud.
//!
//! TCP is smoltcp's, between the instance's kernel and us; beyond us it is the host's. What an instance sends is never forwarded as it is,
//! but between instances, where both ends are instances' kernels and the switch tracks connections.

mod echo;
mod packet;
mod policy;
mod proxies;
mod stack;
mod switch;
mod tcp;
mod tun;
mod udp;

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::inside::{GATEWAY, METADATA};
pub(crate) use policy::Policy;
pub use policy::{Allowance, AllowanceError, NetworkOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use switch::Switch;
pub(crate) use switch::{Admission, Opening};

/// Lets this process have more open files, as far as it may: each connection of an instance takes one.
fn allow_files() {
    const WANTED: u64 = 16_384;
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(WANTED).min(WANTED);
    if limit.current.is_some_and(|current| current < most) {
        let raised = Rlimit {
            current: Some(most),
            ..limit
        };
        setrlimit(Resource::Nofile, raised).ok(); // with fewer, connections beyond them fail
    }
}

/// Gives the network of an instance the packets that bytes are cut into, as if the instance had sent them: the first two bytes are a
/// packet's length. They are sent to the gateway, behind which one closed port is allowed, to other instances, or nowhere: nothing reaches
/// a network. For the fuzzers.
pub(crate) async fn take_packets(input: &[u8]) -> std::io::Result<()> {
    const PLACES: [Ipv4Addr; 4] = [
        GATEWAY,
        METADATA,
        Ipv4Addr::new(127, 64, 0, 9),
        Ipv4Addr::new(10, 0, 0, 1),
    ];
    let closed = Allowance::of(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));
    let network = Network::new(NetworkOptions {
        allowed: vec![closed],
        ..NetworkOptions::default()
    });
    // What is written for the instance is lost.
    let (ours, _theirs) = std::os::unix::net::UnixDatagram::pair()?;
    let stack = stack::Stack::new(
        ours.into(),
        Ipv4Addr::new(127, 64, 0, 4),
        network.policy,
        network.switch,
    )?;
    let mut tasks = tokio::task::JoinSet::new();
    let mut rest = input;
    while let [one, two, after @ ..] = rest {
        let (packet, next) = after.split_at(usize::from(u16::from_be_bytes([*one, *two])).min(after.len()));
        let mut packet = packet.to_vec();
        if let Some(to) = packet.get_mut(16..20) {
            let place = PLACES[usize::from(to[0]) % PLACES.len()];
            to.copy_from_slice(&place.octets());
        }
        stack.handle(&packet, &mut tasks, &mut |_| {});
        stack.send();
        rest = next;
    }
    tasks.shutdown().await;
    Ok(())
}

/// The network that all machines of a cloud are on; a cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    policy: Arc<Policy>,
    switch: Arc<Switch>,
}

impl Network {
    pub(crate) fn new(options: NetworkOptions) -> Network {
        allow_files();
        Network {
            policy: Arc::new(Policy::new(options)),
            switch: Arc::new(Switch::default()),
        }
    }

    /// What instances may reach.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Lets this decide from now on which connections between instances may be opened; until then none may.
    pub(crate) fn admit_by(&self, admission: Arc<dyn Admission>) {
        self.switch.admit_by(admission);
    }

    /// Serves the TUN device of the machine at this address, until that machine is gone. `refused` is called with what the policy keeps
    /// from it, each destination once.
    pub(crate) async fn serve(&self, tun: OwnedFd, address: Ipv4Addr, refused: impl Fn(&str) + Send + Sync) {
        match stack::Stack::new(tun, address, Arc::clone(&self.policy), Arc::clone(&self.switch)) {
            Ok(stack) => stack.run(refused).await,
            Err(error) => tracing::warn!(%address, %error, "network of an instance"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use smoltcp::wire::{IpProtocol, Ipv4Packet, TcpPacket};

    use super::*;

    /// A packet of one of the protocols, as right as the arguments leave it.
    fn packet(protocol: IpProtocol, flags: u16, ports: (u16, u16), mut body: Vec<u8>) -> Vec<u8> {
        if protocol == IpProtocol::Tcp {
            body.resize(body.len().max(20), 0);
            let mut segment = TcpPacket::new_unchecked(&mut body);
            segment.set_src_port(ports.0);
            segment.set_dst_port(ports.1);
            segment.clear_flags();
            segment.set_header_len(20);
            segment.set_syn(flags & 1 != 0);
            segment.set_ack(flags & 2 != 0);
            segment.set_fin(flags & 4 != 0);
            segment.set_rst(flags & 8 != 0);
        }
        let mut bytes = vec![0; 20 + body.len()];
        bytes[20..].copy_from_slice(&body);
        let length = u16::try_from(bytes.len()).unwrap();
        let mut packet = Ipv4Packet::new_unchecked(&mut bytes);
        packet.set_version(4);
        packet.set_header_len(20);
        packet.set_total_len(length);
        packet.set_hop_limit(64);
        packet.set_next_header(protocol);
        packet.set_src_addr(Ipv4Addr::new(127, 64, 0, 4));
        bytes[16] = u8::try_from(flags >> 8).unwrap_or_default();
        bytes
    }

    fn packets() -> impl Strategy<Value = Vec<u8>> {
        let right = (
            0..3_usize,
            0..1024_u16,
            0..4_u16,
            proptest::collection::vec(any::<u8>(), 0..64),
        );
        let right = right.prop_map(|(protocol, flags, port, body)| {
            let protocol = [IpProtocol::Tcp, IpProtocol::Udp, IpProtocol::Icmp][protocol];
            packet(protocol, flags, (1000, port), body)
        });
        let bytes = prop_oneof![4 => right, 1 => proptest::collection::vec(any::<u8>(), 0..100)];
        proptest::collection::vec(bytes, 0..20).prop_map(|packets| {
            let framed = packets.into_iter().flat_map(|packet| {
                let length = u16::try_from(packet.len()).unwrap_or_default();
                [length.to_be_bytes().to_vec(), packet].concat()
            });
            framed.collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_packets_end_the_network(input in packets()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(take_packets(&input)).unwrap();
        }
    }
}
