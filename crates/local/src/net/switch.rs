//! The way between instances of one cloud: packets go from one's TUN device to another's if the connection that they belong to may be
//! opened, as security groups allow. Like those it tracks connections, so that answers pass.

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::time::{Duration, Instant};

use super::packet::{Content, Packet, Refusal};
use super::tun::Tun;

/// Tracked connections of a cloud at a time.
const MOST: usize = 65_536;
/// How long a connection is tracked without a packet: one of TCP is, or anything else.
const SILENCE_OF_TCP: Duration = Duration::from_hours(1);
const SILENCE: Duration = Duration::from_mins(3);

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;

/// A connection that an instance wants to open to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) from: Ipv4Addr,
    pub(crate) to: Ipv4Addr,
    /// Its number in the IP header.
    pub(crate) protocol: u8,
    /// The port of the other instance; for ICMP the type of the message.
    pub(crate) port: u16,
}

/// Who decides which instances may connect to which.
pub(crate) trait Admission: Send + Sync {
    /// Whether the connection may be opened.
    fn admits(&self, opening: &Opening) -> bool;
}

/// Connects the instances of a cloud.
#[derive(Default)]
pub(crate) struct Switch {
    instances: Mutex<HashMap<Ipv4Addr, Arc<Tun>>>,
    tracked: Mutex<HashMap<Tracked, Instant>>,
    admission: OnceLock<Arc<dyn Admission>>,
}

impl fmt::Debug for Switch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Switch").finish_non_exhaustive()
    }
}

/// A connection by its protocol and ends, the opener's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Tracked {
    protocol: u8,
    from: SocketAddrV4,
    to: SocketAddrV4,
}

impl Tracked {
    fn reversed(self) -> Tracked {
        Tracked {
            from: self.to,
            to: self.from,
            ..self
        }
    }

    fn silence(&self) -> Duration {
        if self.protocol == TCP { SILENCE_OF_TCP } else { SILENCE }
    }
}

/// An instance's place on the switch, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    switch: Arc<Switch>,
    address: Ipv4Addr,
    tun: Arc<Tun>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut instances = self.switch.instances();
        // A machine that was started again may have the address already.
        if instances
            .get(&self.address)
            .is_some_and(|tun| Arc::ptr_eq(tun, &self.tun))
        {
            instances.remove(&self.address);
        }
    }
}

impl Switch {
    fn instances(&self) -> MutexGuard<'_, HashMap<Ipv4Addr, Arc<Tun>>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn admit_by(&self, admission: Arc<dyn Admission>) {
        self.admission.set(admission).ok(); // the first one stays
    }

    /// Puts an instance on the switch.
    pub(super) fn join(self: &Arc<Switch>, address: Ipv4Addr, tun: Arc<Tun>) -> Seat {
        self.instances().insert(address, Arc::clone(&tun));
        Seat {
            switch: Arc::clone(self),
            address,
            tun,
        }
    }

    /// Passes a packet on to the instance that it is for.
    pub(super) fn pass_on(&self, packet: &Packet<'_>, bytes: &[u8]) -> Result<(), Refusal> {
        let to = self.instances().get(&packet.to).cloned().ok_or(Refusal::NoHost)?;
        if self.may_pass(packet) {
            to.write(bytes);
            Ok(())
        } else {
            Err(Refusal::Prohibited)
        }
    }

    fn may_pass(&self, packet: &Packet<'_>) -> bool {
        let tracked = |protocol, (from, to): (u16, u16)| Tracked {
            protocol,
            from: SocketAddrV4::new(packet.from, from),
            to: SocketAddrV4::new(packet.to, to),
        };
        match packet.content {
            Content::Tcp { ports, opens } => self.admit(tracked(TCP, ports), opens, ports.1),
            Content::Udp { ports, .. } => self.admit(tracked(UDP, ports), true, ports.1),
            // An echo has a number instead of ports, which its answer repeats; type 8 is the request.
            Content::Echo { ident, .. } => self.admit(tracked(ICMP, (ident, ident)), true, 8),
            Content::EchoReply { ident } => self.admit(tracked(ICMP, (ident, ident)), false, 0),
            Content::Error { from, to, protocol } => {
                // It comes back to who sent the packet that it is about.
                *from.ip() == packet.to && self.is_tracked(Tracked { protocol, from, to })
            }
            Content::Other => false,
        }
    }

    /// Whether a packet belongs to a tracked connection, or opens one that is admitted.
    fn admit(&self, tracked: Tracked, opens: bool, port: u16) -> bool {
        if self.is_tracked(tracked) {
            return true;
        }
        let opening = Opening {
            from: *tracked.from.ip(),
            to: *tracked.to.ip(),
            protocol: tracked.protocol,
            port,
        };
        let is_admitted = opens && self.admission.get().is_some_and(|admission| admission.admits(&opening));
        is_admitted && self.track(tracked)
    }

    fn is_tracked(&self, wanted: Tracked) -> bool {
        let now = Instant::now();
        let mut tracked = self.tracked();
        [wanted, wanted.reversed()]
            .into_iter()
            .any(|wanted| match tracked.get_mut(&wanted) {
                Some(last) if now.duration_since(*last) < wanted.silence() => {
                    *last = now;
                    true
                }
                _ => false,
            })
    }

    fn track(&self, wanted: Tracked) -> bool {
        let now = Instant::now();
        let mut tracked = self.tracked();
        if tracked.len() >= MOST {
            tracked.retain(|known, last| now.duration_since(*last) < known.silence());
        }
        let has_room = tracked.len() < MOST;
        if has_room {
            tracked.insert(wanted, now);
        }
        has_room
    }

    fn tracked(&self) -> MutexGuard<'_, HashMap<Tracked, Instant>> {
        self.tracked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::packet;

    const ONE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 64, 0, 4), 40_000);
    const OTHER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 64, 0, 5), 80);

    /// Admits port 80.
    struct Web;

    impl Admission for Web {
        fn admits(&self, opening: &Opening) -> bool {
            opening.port == 80
        }
    }

    fn passes(switch: &Switch, from: SocketAddrV4, to: SocketAddrV4, opens: bool) -> bool {
        let ports = (from.port(), to.port());
        let (from, to) = (*from.ip(), *to.ip());
        let content = Content::Tcp { ports, opens };
        switch.may_pass(&Packet { from, to, content })
    }

    #[test]
    fn answers_pass_and_openings_need_admission() {
        let switch = Switch::default();
        assert!(!passes(&switch, ONE, OTHER, true), "nobody admits anything yet");
        switch.admit_by(Arc::new(Web));
        assert!(!passes(&switch, OTHER, ONE, false), "nothing to answer");
        assert!(!passes(&switch, ONE, OTHER, false), "not opened");
        assert!(passes(&switch, ONE, OTHER, true));
        assert!(passes(&switch, OTHER, ONE, false));
        assert!(passes(&switch, ONE, OTHER, false));
        assert!(!passes(&switch, OTHER, SocketAddrV4::new(*ONE.ip(), 22), true));
    }

    #[test]
    fn errors_pass_to_who_sent_what_they_are_about() {
        let switch = Switch::default();
        switch.admit_by(Arc::new(Web));
        let sent = packet::datagram(ONE, OTHER, b"hello").unwrap();
        let refusal = packet::refusal(&sent, Refusal::NoPort).unwrap();
        let error = packet::read(&refusal).unwrap();
        assert!(!switch.may_pass(&error), "about nothing that was sent");
        assert!(switch.may_pass(&packet::read(&sent).unwrap()));
        assert!(switch.may_pass(&error));
        let to_another = Packet {
            to: Ipv4Addr::new(127, 64, 0, 6),
            ..error
        };
        assert!(!switch.may_pass(&to_another));
    }
}
