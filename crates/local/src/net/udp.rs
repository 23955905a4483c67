//! UDP: one socket of this machine for each pair of ends that an instance uses, until it has been silent for a while.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Duration, timeout};

use super::packet::{self, Pair};
use super::tun::Tun;

/// Pairs of one instance at a time; datagrams of more are lost.
const MOST: usize = 512;
/// How long a pair is kept in silence: longer than questions for names take.
const SILENCE: Duration = Duration::from_secs(30);

/// The pairs that an instance uses.
#[derive(Debug)]
pub(super) struct Datagrams {
    tun: Arc<Tun>,
    open: Mutex<HashMap<Pair, Flow>>,
}

#[derive(Debug, Clone)]
struct Flow {
    socket: Arc<UdpSocket>,
    /// Something was sent since this was last looked at.
    is_used: Arc<AtomicBool>,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It went, or was lost, as datagrams may be.
    Known,
    /// Nothing was sent between these ends yet.
    New,
    /// The other end does not listen.
    Refused,
}

impl Datagrams {
    pub(super) fn new(tun: Arc<Tun>) -> Datagrams {
        Datagrams {
            tun,
            open: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Pair, Flow>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a datagram between ends that are known.
    pub(super) fn send(&self, pair: Pair, payload: &[u8]) -> Sent {
        let open = self.lock();
        let Some(flow) = open.get(&pair) else { return Sent::New };
        flow.is_used.store(true, Ordering::Relaxed);
        match flow.socket.try_send(payload) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Sent::Refused,
            _ => Sent::Known,
        }
    }

    /// Sends the first datagram between two ends, and passes on what comes back.
    pub(super) fn open(self: &Arc<Datagrams>, pair: Pair, target: SocketAddr, payload: &[u8], tasks: &mut JoinSet<()>) {
        let mut open = self.lock();
        if open.len() >= MOST {
            return;
        }
        let Ok(socket) = connect(target, payload) else { return };
        let flow = Flow {
            socket: Arc::new(socket),
            is_used: Arc::default(),
        };
        open.insert(pair, flow.clone());
        tasks.spawn(Arc::clone(self).answer(pair, flow));
    }

    async fn answer(self: Arc<Datagrams>, pair: Pair, flow: Flow) {
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            match timeout(SILENCE, flow.socket.recv(&mut buffer)).await {
                Ok(Ok(length)) => {
                    if let Some(packet) = packet::datagram(pair.to, pair.from, &buffer[..length]) {
                        self.tun.write(&packet);
                    }
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    if let Some(about) = packet::datagram(pair.from, pair.to, &[]) {
                        self.tun.refuse(&about, packet::Refusal::NoPort);
                    }
                }
                Err(_) if flow.is_used.swap(false, Ordering::Relaxed) => {}
                Ok(Err(_)) | Err(_) => break,
            }
        }
        self.lock().remove(&pair);
    }
}

fn connect(target: SocketAddr, first: &[u8]) -> io::Result<UdpSocket> {
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(target)?;
    socket.set_nonblocking(true)?;
    socket.send(first).ok(); // lost, as datagrams may be
    UdpSocket::from_std(socket)
}
