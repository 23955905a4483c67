//! The machine's network interfaces: its loopback, one towards the metadata service, and `eth0`, a TUN device whose other end the parent
//! holds.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::thread::UnshareFlags;

use super::failure::{Failure, Step as _};
use super::kernel;
use super::netlink::{Netlink, SCOPE_HOST, SCOPE_LINK};
use super::wire::{MachineStart, NetworkStart, Report, Request, receive, send};
use crate::inside::{LARGEST_PACKET, METADATA};

/// Where TUN devices come from.
pub(crate) const TUN: &str = "/dev/net/tun";
/// The name of the machine's interface.
const NAME: &str = "eth0";
/// The machine's interface towards the metadata service, and its address there.
const METADATA_NAME: &str = "metadata";
const METADATA_PEER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 255);

/// Finds the host's device while the host's root is still there; it is opened when the machine's network is.
pub(super) fn find_device(machine: &MachineStart) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    machine.network.as_ref()?;
    rustix::fs::open(TUN, flags, Mode::empty()).ok()
}

/// Sets up the interfaces and hands their far ends to the parent. A machine that gets no TUN device has the metadata service only.
pub(super) fn set_up(control: &OwnedFd, machine: &MachineStart, device: Option<OwnedFd>) -> Result<(), Failure> {
    kernel::loopback_up().step("switch the loopback interface on")?;
    let netlink = Netlink::open().step("configure the network")?;
    let metadata = serve_metadata(&netlink).step("listen for the metadata service")?;
    let Some(network) = &machine.network else {
        let report = Report::Network { wants_device: false };
        return send(control.as_fd(), &report, &[], &[metadata.as_fd()]).step("hand over the network");
    };
    let tun = device.and_then(|device| attach(&device).ok());
    let (file, wants_device) = match tun {
        Some(tun) => (tun, false),
        // Who is root outside may open what is closed to us: the parent does it in this namespace.
        None => (
            fs::File::open("/proc/self/ns/net")
                .step("open the network namespace")?
                .into(),
            true,
        ),
    };
    let report = Report::Network { wants_device };
    send(control.as_fd(), &report, &[], &[metadata.as_fd(), file.as_fd()]).step("hand over the network")?;
    drop((file, metadata));
    let answer = receive::<Request>(control.as_fd()).step("wait for the network")?;
    match answer.map(|answer| answer.content) {
        Some(Request::Attached { device: true }) => configure(&netlink, network).step(format!("configure `{NAME}`")),
        Some(Request::Attached { device: false }) => Ok(()),
        _ => kernel::leave(1),
    }
}

/// Opens the device and makes it the interface of this network namespace.
fn attach(device: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let path = format!("/proc/self/fd/{}", device.as_raw_fd());
    let tun = rustix::fs::open(path, flags, Mode::empty())?;
    kernel::attach_tun(tun.as_fd(), NAME)?;
    Ok(tun)
}

/// Opens the host's device for the network namespace of a machine; takes root of the host.
pub(super) fn attach_in(namespace: OwnedFd) -> io::Result<OwnedFd> {
    let attach = move || -> io::Result<OwnedFd> {
        let kind = rustix::thread::LinkNameSpaceType::Network;
        rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(kind))?;
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let tun = rustix::fs::open(TUN, flags, Mode::empty())?;
        kernel::attach_tun(tun.as_fd(), NAME)?;
        Ok(tun)
    };
    // A thread of its own, which ends: no other code ever runs in the machine's network.
    let thread = std::thread::Builder::new().name("tun".into()).spawn(attach)?;
    thread
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread ended early")))
}

/// Has the metadata service's address answered in the machine: the socket goes to the parent.
///
/// It listens in a network namespace of its own, beside the machine's: a socket in that would take port 80 from web servers that listen
/// at all addresses. Where the kernel has no pairs of interfaces it does so all the same.
fn serve_metadata(netlink: &Netlink) -> io::Result<TcpListener> {
    let own = fs::File::open("/proc/self/ns/net")?;
    kernel::unshare(UnshareFlags::NEWNET)?;
    let listener = listen_beside(netlink);
    rustix::thread::move_into_link_name_space(own.as_fd(), Some(rustix::thread::LinkNameSpaceType::Network))?;
    let connected = listener.and_then(|listener| {
        let interface = netlink.index(METADATA_NAME)?;
        netlink.switch_on(interface, LARGEST_PACKET)?;
        netlink.add_address(interface, METADATA_PEER, 31, SCOPE_LINK)?;
        Ok(listener)
    });
    connected.or_else(|_| {
        netlink.add_address(netlink.index("lo")?, METADATA, 32, SCOPE_HOST)?;
        TcpListener::bind(SocketAddrV4::new(METADATA, 80))
    })
}

/// Connects the new network namespace that this process is in with the machine's, and listens there.
fn listen_beside(machine: &Netlink) -> io::Result<TcpListener> {
    let here = fs::File::open("/proc/self/ns/net")?;
    machine.add_pair(METADATA_NAME, NAME, here.as_fd())?;
    let netlink = Netlink::open()?;
    let interface = netlink.index(NAME)?;
    netlink.switch_on(interface, LARGEST_PACKET)?;
    netlink.add_address(interface, METADATA, 31, SCOPE_LINK)?;
    netlink.add_default_route(interface, METADATA, Some(METADATA_PEER))?;
    TcpListener::bind(SocketAddrV4::new(METADATA, 80))
}

/// Gives `eth0` the machine's address. Addresses of instances are loopback addresses of the host, so that the host reaches their SSH
/// servers; here they are those of other machines, and only what lies below them is this machine's own loopback.
fn configure(netlink: &Netlink, network: &NetworkStart) -> io::Result<()> {
    let loopback = netlink.index("lo")?;
    netlink.add_address(loopback, Ipv4Addr::LOCALHOST, 10, SCOPE_HOST)?;
    netlink.remove_address(loopback, Ipv4Addr::LOCALHOST, 8)?;
    fs::write(format!("/proc/sys/net/ipv4/conf/{NAME}/route_localnet"), "1")?;
    let interface = netlink.index(NAME)?;
    netlink.switch_on(interface, LARGEST_PACKET)?;
    netlink.add_address(interface, network.address, 10, SCOPE_LINK)?;
    netlink.add_default_route(interface, network.address, None)
}
