//! What reads the TUN device of one instance and decides for each packet: to smoltcp, to a socket of this machine, to another instance, or
//! nowhere.

use std::collections::HashSet;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Duration;

use super::echo::{self, Echoes};
use super::packet::{self, Content, Packet, Refusal};
use super::policy::Policy;
use super::switch::Switch;
use super::tcp::{self, Connections};
use super::tun::Tun;
use super::udp::{self, Datagrams};
use crate::inside::{GATEWAY, LARGEST_PACKET, NAME_SERVERS};

/// Packets that are read before what they led to is sent.
const BATCH: usize = 64;
/// Destinations whose refusal is reported; a scan of ports fills no console.
const MOST_REPORTS: usize = 100;

/// The network of one instance.
#[derive(Debug)]
pub(super) struct Stack {
    tun: Arc<Tun>,
    policy: Arc<Policy>,
    switch: Arc<Switch>,
    /// The instance's own.
    address: Ipv4Addr,
    connections: Arc<Connections>,
    datagrams: Arc<Datagrams>,
    echoes: Arc<Echoes>,
}

impl Stack {
    pub(super) fn new(tun: OwnedFd, address: Ipv4Addr, policy: Arc<Policy>, switch: Arc<Switch>) -> io::Result<Stack> {
        let tun = Arc::new(Tun::new(tun)?);
        Ok(Stack {
            connections: Arc::new(Connections::new(Arc::clone(&tun))),
            datagrams: Arc::new(Datagrams::new(Arc::clone(&tun))),
            echoes: Arc::new(Echoes::new(Arc::clone(&tun))),
            tun,
            policy,
            switch,
            address,
        })
    }

    /// Serves the instance until its device is gone.
    pub(super) async fn run(self, refused: impl Fn(&str) + Send + Sync) {
        let _seat = self.switch.join(self.address, Arc::clone(&self.tun));
        let mut tasks = JoinSet::new();
        let mut reported = HashSet::new();
        let mut report = |destination: String| {
            if reported.len() < MOST_REPORTS && !reported.contains(&destination) {
                refused(&destination);
                reported.insert(destination);
            }
        };
        let mut buffer = vec![0; LARGEST_PACKET as usize + 1];
        loop {
            for _ in 0..BATCH {
                match self.tun.read(&mut buffer) {
                    Ok(length) => self.handle(&buffer[..length], &mut tasks, &mut report),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return, // the instance's network is gone
                }
            }
            let next = self.send();
            tokio::select! {
                ready = self.tun.readable() => if ready.is_err() { return },
                () = self.connections.woken() => {}
                () = until(next) => {}
                Some(_) = tasks.join_next() => {}
            }
        }
    }

    /// Sends what connections have to send; answers when one has something to repeat.
    pub(super) fn send(&self) -> Option<Duration> {
        self.connections.lock().send()
    }

    /// Does with a packet of the instance what its content asks for.
    pub(super) fn handle(&self, bytes: &[u8], tasks: &mut JoinSet<()>, report: &mut impl FnMut(String)) {
        let Some(packet) = packet::read(bytes) else { return };
        if packet.to.is_loopback() {
            return self.pass_on(&packet, bytes);
        }
        match packet.content {
            Content::Tcp { ports, opens } => {
                let pair = packet.pair(ports);
                let mut connections = self.connections.lock();
                if !opens || connections.contains(&pair) || connections.is_full() {
                    connections.receive(bytes);
                } else if let Some(target) = self.policy.target(pair.to) {
                    if let Some(handle) = connections.open(pair, bytes) {
                        let quoted = bytes[..bytes.len().min(tcp::QUOTED)].to_vec();
                        tasks.spawn(Arc::clone(&self.connections).connect(pair, handle, target, quoted));
                    }
                } else {
                    self.tun.refuse(bytes, Refusal::Prohibited);
                    report(pair.to.to_string());
                }
            }
            Content::Udp { ports, payload } => {
                let pair = packet.pair(ports);
                match self.datagrams.send(pair, payload) {
                    udp::Sent::Known => {}
                    udp::Sent::New => {
                        if let Some(target) = self.policy.target(pair.to) {
                            self.datagrams.open(pair, target, payload, tasks);
                        } else {
                            self.tun.refuse(bytes, Refusal::Prohibited);
                            report(format!("{} (UDP)", pair.to));
                        }
                    }
                    udp::Sent::Refused => self.tun.refuse(bytes, Refusal::NoPort),
                }
            }
            Content::Echo {
                ident,
                sequence,
                payload,
            } => {
                let is_ours = packet.to == GATEWAY || NAME_SERVERS.contains(&packet.to);
                if is_ours && !self.policy.is_offline() {
                    if let Some(reply) = packet::echo_reply(packet.to, packet.from, ident, sequence, payload) {
                        self.tun.write(&reply);
                    }
                } else if self.policy.may_reach(packet.to, None) {
                    let request = echo::Request {
                        from: packet.from,
                        to: packet.to,
                        ident,
                    };
                    self.echoes.send(request, sequence, payload, tasks);
                } else {
                    self.tun.refuse(bytes, Refusal::Prohibited);
                    report(format!("{} (ICMP)", packet.to));
                }
            }
            Content::EchoReply { .. } | Content::Error { .. } | Content::Other => {}
        }
    }

    /// Passes a packet on to the instance that it is for.
    fn pass_on(&self, packet: &Packet<'_>, bytes: &[u8]) {
        // Who an instance is does not depend on what it says in its packets.
        if packet.from != self.address || self.policy.is_offline() {
            return;
        }
        if let Err(refusal) = self.switch.pass_on(packet, bytes) {
            self.tun.refuse(bytes, refusal);
        }
    }
}

/// Returns when a connection has something to repeat; never if none has.
#[expect(
    clippy::disallowed_methods,
    reason = "TCP's own clock, which ends with the instance's network"
)]
async fn until(delay: Option<Duration>) {
    match delay {
        Some(delay) => tokio::time::sleep(delay).await,
        None => std::future::pending().await,
    }
}
