//! TCP: smoltcp speaks with the instance's kernel, sockets of this machine with the rest of the world. An instance sees a connection
//! accepted when this machine has made it, and refused when this machine was refused.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use rustix::process::{Resource, getrlimit};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr, IpListenEndpoint};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Duration;

use super::packet::{Pair, Refusal};
use super::tun::Tun;
use crate::ids::random_hex;
use crate::inside::{GATEWAY, LARGEST_PACKET};

/// Connections of one instance at a time, and the part of this process's files that they take at most; more are refused.
const MOST: usize = 3000;
const PART_OF_FILES: u64 = 4;
/// As much of a packet as an error about it needs: the longest header and what follows.
pub(super) const QUOTED: usize = 80;
/// What a connection holds of data that its reader has not taken: of the instance's, and for it.
const RECEIVED: usize = 128 * 1024;
const TO_SEND: usize = 256 * 1024;
/// How long an instance may leave data without an answer.
const SILENCE: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(120);

/// The connections of one instance.
#[derive(Debug)]
pub(super) struct Connections {
    table: Mutex<Table>,
    tun: Arc<Tun>,
    /// Something was given to a connection that has to be sent.
    wake: Notify,
}

/// The state of all connections.
pub(super) struct Table {
    interface: Interface,
    sockets: SocketSet<'static>,
    open: HashMap<Pair, SocketHandle>,
    tun: Arc<Tun>,
    sending: Vec<u8>,
    most: usize,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Table")
            .field("open", &self.open.len())
            .finish_non_exhaustive()
    }
}

impl Connections {
    pub(super) fn new(tun: Arc<Tun>) -> Connections {
        Connections {
            table: Mutex::new(Table::new(Arc::clone(&tun))),
            tun,
            wake: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when a connection has something to send.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Connects for the instance, accepts its connection then, and carries what both sides send until both are done.
    pub(super) async fn connect(
        self: Arc<Connections>,
        pair: Pair,
        handle: SocketHandle,
        target: SocketAddr,
        quoted: Vec<u8>,
    ) {
        match TcpStream::connect(target).await {
            Ok(stream) => {
                stream.set_nodelay(true).ok(); // slower, but no less right
                self.lock().socket(handle).pause_synack(false);
                self.wake.notify_one();
                let mut carried = Carried::default();
                std::future::poll_fn(|context| carried.carry(context, &self, handle, &stream)).await;
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.lock().socket(handle).abort();
            }
            Err(_) => self.tun.refuse(&quoted, Refusal::NoHost),
        }
        let mut table = self.lock();
        table.send(); // what an aborted one has to say
        table.remove(&pair);
    }
}

impl Table {
    fn new(tun: Arc<Tun>) -> Table {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = u64::from_str_radix(&random_hex(16), 16).unwrap_or_default();
        let mut sending = Vec::new();
        let mut line = Line {
            received: None,
            tun: &tun,
            sending: &mut sending,
        };
        let mut interface = Interface::new(config, &mut line, Instant::now());
        // Every address is answered for: all routes lead to the interface itself.
        interface.set_any_ip(true);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(GATEWAY.into(), 32)).ok(); // there is room for the first one
        });
        interface.routes_mut().add_default_ipv4_route(GATEWAY).ok(); // and for the first route
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Table {
            interface,
            sockets: SocketSet::new(Vec::new()),
            open: HashMap::new(),
            tun,
            sending,
            most: usize::try_from(files / PART_OF_FILES).unwrap_or(MOST).min(MOST),
        }
    }

    pub(super) fn contains(&self, pair: &Pair) -> bool {
        self.open.contains_key(pair)
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= self.most
    }

    /// Begins a connection with the segment that asks for it; it is accepted by `accept`.
    pub(super) fn open(&mut self, pair: Pair, packet: &[u8]) -> Option<SocketHandle> {
        let mut socket = Socket::new(
            SocketBuffer::new(vec![0; RECEIVED]),
            SocketBuffer::new(vec![0; TO_SEND]),
        );
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        socket.set_timeout(Some(SILENCE));
        socket.pause_synack(true);
        let endpoint = IpListenEndpoint {
            addr: Some((*pair.to.ip()).into()),
            port: pair.to.port(),
        };
        socket.listen(endpoint).ok()?;
        let handle = self.sockets.add(socket);
        self.receive(packet);
        if self.socket(handle).state() != State::SynReceived {
            self.sockets.remove(handle);
            return None;
        }
        self.open.insert(pair, handle);
        Some(handle)
    }

    /// Takes a segment of the instance.
    pub(super) fn receive(&mut self, packet: &[u8]) {
        let mut line = Line {
            received: Some(packet),
            tun: &self.tun,
            sending: &mut self.sending,
        };
        self.interface
            .poll_ingress_single(Instant::now(), &mut line, &mut self.sockets);
    }

    /// Sends what there is to send; returns after what time there is more, without anything happening.
    pub(super) fn send(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let mut line = Line {
            received: None,
            tun: &self.tun,
            sending: &mut self.sending,
        };
        while self.interface.poll_egress(now, &mut line, &mut self.sockets)
            == smoltcp::iface::PollResult::SocketStateChanged
        {}
        let delay = self.interface.poll_delay(now, &self.sockets)?;
        Some(Duration::from_micros(delay.total_micros()))
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut::<Socket<'static>>(handle)
    }

    fn remove(&mut self, pair: &Pair) {
        if let Some(handle) = self.open.remove(pair) {
            self.sockets.remove(handle);
        }
    }
}

/// The device as smoltcp sees it for the time of one call.
struct Line<'a> {
    received: Option<&'a [u8]>,
    tun: &'a Tun,
    sending: &'a mut Vec<u8>,
}

struct Received<'a>(&'a [u8]);

struct Sending<'a> {
    tun: &'a Tun,
    buffer: &'a mut Vec<u8>,
}

impl phy::Device for Line<'_> {
    type RxToken<'a>
        = Received<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Sending<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        let received = Received(self.received.take()?);
        let sending = Sending {
            tun: self.tun,
            buffer: self.sending,
        };
        Some((received, sending))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending {
            tun: self.tun,
            buffer: self.sending,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = LARGEST_PACKET as usize;
        // What came through memory only is whole; the instance's kernel checks what it gets.
        capabilities.checksum = ChecksumCapabilities::default();
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities
    }
}

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        // Every byte is written by who fills it; what an earlier packet left needs no clearing.
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        let packet = &mut self.buffer[..length];
        let filled = fill(packet);
        self.tun.write(packet);
        filled
    }
}

/// What has been carried to its end.
#[derive(Debug, Default)]
struct Carried {
    out: bool,
    back: bool,
}

impl Carried {
    /// Moves what can be moved now; ready when the connection has ended.
    fn carry(
        &mut self,
        context: &mut Context<'_>,
        all: &Connections,
        handle: SocketHandle,
        stream: &TcpStream,
    ) -> Poll<()> {
        let mut table = all.lock();
        let socket = table.socket(handle);
        let moved = self
            .carry_out(context, socket, stream)
            .and_then(|out| Ok(self.carry_back(context, socket, stream)? | out));
        if moved.is_err() {
            socket.abort();
        }
        let ended = matches!(socket.state(), State::Closed | State::TimeWait | State::Listen);
        drop(table);
        if matches!(moved, Ok(true)) {
            all.wake.notify_one();
        }
        if ended { Poll::Ready(()) } else { Poll::Pending }
    }

    /// From the instance to the world; whether anything was moved.
    fn carry_out(
        &mut self,
        context: &mut Context<'_>,
        socket: &mut Socket<'_>,
        stream: &TcpStream,
    ) -> io::Result<bool> {
        let mut moved = false;
        while !self.out {
            if socket.can_recv() {
                if stream.poll_write_ready(context)?.is_pending() {
                    break;
                }
                let written = socket.recv(|bytes| match stream.try_write(bytes) {
                    Ok(length) => (length, Ok(())),
                    Err(error) => (0, Err(error)),
                });
                match written {
                    Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Ok(outcome) => {
                        outcome?;
                        moved = true;
                    }
                    Err(_) => return Err(io::ErrorKind::ConnectionReset.into()),
                }
            } else if socket.may_recv() || is_opening(socket) {
                socket.register_recv_waker(context.waker());
                break;
            } else {
                rustix::net::shutdown(stream.as_fd(), rustix::net::Shutdown::Write)?;
                self.out = true;
            }
        }
        if self.out {
            socket.register_recv_waker(context.waker()); // the end of the connection
        }
        Ok(moved)
    }

    /// From the world to the instance; whether anything was moved.
    fn carry_back(
        &mut self,
        context: &mut Context<'_>,
        socket: &mut Socket<'_>,
        stream: &TcpStream,
    ) -> io::Result<bool> {
        let mut moved = false;
        while !self.back {
            if socket.can_send() {
                if stream.poll_read_ready(context)?.is_pending() {
                    break;
                }
                let read = socket.send(|room| match stream.try_read(room) {
                    Ok(length) => (length, Ok(length)),
                    Err(error) => (0, Err(error)),
                });
                match read {
                    Ok(Ok(0)) => {
                        socket.close();
                        self.back = true;
                        moved = true;
                    }
                    Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Ok(outcome) => {
                        outcome?;
                        moved = true;
                    }
                    Err(_) => return Err(io::ErrorKind::ConnectionReset.into()),
                }
            } else if socket.may_send() || is_opening(socket) {
                socket.register_send_waker(context.waker());
                break;
            } else {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
        if self.back {
            socket.register_send_waker(context.waker()); // the end of the connection
        }
        Ok(moved)
    }
}

/// Whether the instance has not yet heard that it is connected.
fn is_opening(socket: &Socket<'_>) -> bool {
    socket.state() == State::SynReceived
}
