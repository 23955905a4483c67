//! The far end of an instance's TUN device: what the instance sends is read here, what it gets is written here.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::packet::{self, Refusal};
use crate::sandbox::awaitable;

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

    /// Tells the instance that its packet goes nowhere.
    pub(super) fn refuse(&self, about: &[u8], refusal: Refusal) {
        if let Some(message) = packet::refusal(about, refusal) {
            self.write(&message);
        }
    }

    /// Reads the next packet of the instance, if there is one.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0
            .try_io(Interest::READABLE, |device| Ok(rustix::io::read(device, buffer)?))
    }

    /// Waits for a packet of the instance.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await.map(drop)
    }
}
