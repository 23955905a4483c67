//! Echoes (`ping`), where this machine allows sockets for them: datagram sockets of ICMP by `net.ipv4.ping_group_range`, or raw ones to
//! root. Where it does not, nothing answers.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinSet;
use tokio::time::{Duration, timeout};

use super::packet;
use super::tun::Tun;
use crate::sandbox::awaitable;

/// Programs of one instance that wait for echoes at a time.
const MOST: usize = 64;
/// How long an echo is waited for.
const SILENCE: Duration = Duration::from_secs(10);

/// Who asks whom for echoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Request {
    pub(super) from: Ipv4Addr,
    pub(super) to: Ipv4Addr,
    pub(super) ident: u16,
}

/// What an instance waits for.
#[derive(Debug)]
pub(super) struct Echoes {
    tun: Arc<Tun>,
    open: Mutex<HashMap<Request, Arc<Socket>>>,
}

#[derive(Debug)]
struct Socket {
    file: AsyncFd<OwnedFd>,
    /// Its messages come with the header of their packet, and those of everybody else's.
    is_raw: bool,
}

impl Echoes {
    pub(super) fn new(tun: Arc<Tun>) -> Echoes {
        Echoes {
            tun,
            open: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Request, Arc<Socket>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request for an echo, and passes on what comes back.
    pub(super) fn send(self: &Arc<Echoes>, request: Request, sequence: u16, payload: &[u8], tasks: &mut JoinSet<()>) {
        let mut open = self.lock();
        if !open.contains_key(&request) {
            if open.len() >= MOST {
                return;
            }
            let Ok(socket) = Socket::connect(request.to) else {
                return;
            };
            let socket = Arc::new(socket);
            open.insert(request, Arc::clone(&socket));
            tasks.spawn(Arc::clone(self).answer(request, socket));
        }
        if let Some(socket) = open.get(&request) {
            let message = Icmpv4Repr::EchoRequest {
                ident: request.ident,
                seq_no: sequence,
                data: payload,
            };
            let mut bytes = vec![0; message.buffer_len()];
            message.emit(
                &mut Icmpv4Packet::new_unchecked(&mut bytes),
                &ChecksumCapabilities::default(),
            );
            rustix::net::send(socket.file.get_ref(), &bytes, SendFlags::empty()).ok(); // lost, as packets may be
        }
    }

    async fn answer(self: Arc<Echoes>, request: Request, socket: Arc<Socket>) {
        let mut buffer = vec![0; usize::from(u16::MAX)];
        while let Ok(Ok(length)) = timeout(SILENCE, socket.receive(&mut buffer)).await {
            let message = if socket.is_raw {
                without_header(&buffer[..length])
            } else {
                &buffer[..length]
            };
            let Ok(message) = Icmpv4Packet::new_checked(message) else {
                continue;
            };
            let Ok(Icmpv4Repr::EchoReply { ident, seq_no, data }) =
                Icmpv4Repr::parse(&message, &ChecksumCapabilities::ignored())
            else {
                continue;
            };
            // The kernel gives a datagram socket a number of its own instead, and sorts by it.
            if socket.is_raw && ident != request.ident {
                continue;
            }
            if let Some(reply) = packet::echo_reply(request.to, request.from, request.ident, seq_no, data) {
                self.tun.write(&reply);
            }
        }
        self.lock().remove(&request);
    }
}

impl Socket {
    fn connect(to: Ipv4Addr) -> io::Result<Socket> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let open = |kind| rustix::net::socket_with(AddressFamily::INET, kind, flags, Some(ipproto::ICMP));
        let (file, is_raw) = match open(SocketType::DGRAM) {
            Ok(file) => (file, false),
            Err(_) => (open(SocketType::RAW)?, true),
        };
        rustix::net::connect(file.as_fd(), &SocketAddrV4::new(to, 0))?;
        Ok(Socket {
            file: awaitable(file)?,
            is_raw,
        })
    }

    /// Waits for the next message of the other side.
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = |file: &OwnedFd| Ok(rustix::net::recv(file, &mut *buffer, RecvFlags::empty())?.0);
        self.file.async_io(Interest::READABLE, read).await
    }
}

fn without_header(packet: &[u8]) -> &[u8] {
    let length = usize::from(packet.first().copied().unwrap_or_default() & 0x0f) * 4;
    packet.get(length..).unwrap_or_default()
}
