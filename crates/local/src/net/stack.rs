//! What reads the TUN device of one instance and decides for each packet: to smoltcp, to a socket of this machine, to another instance, or
//! nowhere.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Duration;

use super::packet::{self, Content, Packet, Refusal};
use super::policy::Policy;
use super::switch::Switch;
use super::tcp::{Connections, Pair};
use super::udp::Datagrams;
use super::{echo, tcp, udp};
use crate::inside::{GATEWAY, LARGEST_PACKET, NAME_SERVERS};
use crate::sandbox::awaitable;

/// Packets that are read before what they led to is sent.
const BATCH: usize = 64;
/// Destinations whose refusal is reported; a scan of ports fills no console.
const MOST_REPORTS: usize = 100;

/// The far end of an instance's TUN device.
#[derive(Debug)]
pub(super) struct Tun(AsyncFd<OwnedFd>);

impl Tun {
    pub(super) fn new(device: OwnedFd) -> io::Result<Tun> {
        rustix::io::ioctl_fionbio(&device, true)?;
        Ok(Tun(awaitable(device)?))
    }

    /// Gives the instance a packet. One that its kernel does not take is lost, as packets may be.
    pub(super) fn write(&self, packet: &[u8]) {
        rustix::io::write(self.0.get_ref(), packet).ok();
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0
            .try_io(Interest::READABLE, |device| Ok(rustix::io::read(device, buffer)?))
    }
}

/// What the tasks of an instance's network share.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) tun: Arc<Tun>,
    pub(super) policy: Arc<Policy>,
    switch: Arc<Switch>,
    /// The instance's own.
    address: Ipv4Addr,
    connections: Mutex<Connections>,
    pub(super) datagrams: Datagrams,
    pub(super) echoes: echo::Echoes,
    /// Something was given to a connection that has to be sent.
    pub(super) wake: Notify,
}

impl Stack {
    pub(super) fn new(
        tun: OwnedFd,
        address: Ipv4Addr,
        policy: Arc<Policy>,
        switch: Arc<Switch>,
    ) -> io::Result<Arc<Stack>> {
        let tun = Arc::new(Tun::new(tun)?);
        Ok(Arc::new(Stack {
            connections: Mutex::new(Connections::new(Arc::clone(&tun))),
            tun,
            policy,
            switch,
            address,
            datagrams: Datagrams::default(),
            echoes: echo::Echoes::default(),
            wake: Notify::new(),
        }))
    }

    pub(super) fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the instance until its device is gone.
    pub(super) async fn run(self: Arc<Stack>, refused: impl Fn(&str) + Send + Sync) {
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
            let next = self.connections().send();
            tokio::select! {
                ready = self.tun.0.readable() => if ready.is_err() { return },
                () = self.wake.notified() => {}
                () = until(next) => {}
                Some(_) = tasks.join_next() => {}
            }
        }
    }

    /// Does with a packet of the instance what its content asks for.
    pub(super) fn handle(self: &Arc<Stack>, bytes: &[u8], tasks: &mut JoinSet<()>, report: &mut impl FnMut(String)) {
        let Some(packet) = packet::read(bytes) else { return };
        if packet.to.is_loopback() {
            return self.pass_on(&packet, bytes);
        }
        match packet.content {
            Content::Tcp { ports, opens } => {
                let pair = pair(&packet, ports);
                let mut connections = self.connections();
                if !opens || connections.contains(&pair) || connections.is_full() {
                    connections.receive(bytes);
                } else if let Some(target) = self.policy.target(pair.to) {
                    if let Some(handle) = connections.open(pair, bytes) {
                        let quoted = bytes[..bytes.len().min(tcp::QUOTED)].to_vec();
                        tasks.spawn(tcp::connect(Arc::clone(self), pair, handle, target, quoted));
                    }
                } else {
                    self.refuse(bytes, Refusal::Prohibited);
                    report(pair.to.to_string());
                }
            }
            Content::Udp { ports, payload } => {
                let pair = pair(&packet, ports);
                match self.datagrams.send(pair, payload) {
                    udp::Sent::Known => {}
                    udp::Sent::New => {
                        if let Some(target) = self.policy.target(pair.to) {
                            udp::open(self, pair, target, payload, tasks);
                        } else {
                            self.refuse(bytes, Refusal::Prohibited);
                            report(format!("{} (UDP)", pair.to));
                        }
                    }
                    udp::Sent::Refused => self.refuse(bytes, Refusal::NoPort),
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
                    echo::send(self, request, sequence, payload, tasks);
                } else {
                    self.refuse(bytes, Refusal::Prohibited);
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
            self.refuse(bytes, refusal);
        }
    }

    /// Tells the instance that its packet goes nowhere.
    pub(super) fn refuse(&self, about: &[u8], refusal: Refusal) {
        if let Some(message) = packet::refusal(about, refusal) {
            self.tun.write(&message);
        }
    }
}

fn pair(packet: &Packet<'_>, (from, to): (u16, u16)) -> Pair {
    Pair {
        from: SocketAddrV4::new(packet.from, from),
        to: SocketAddrV4::new(packet.to, to),
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
