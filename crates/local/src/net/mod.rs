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
mod udp;

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

pub(crate) use policy::Policy;
pub use policy::{Allowance, AllowanceError, NetworkOptions};
use switch::Switch;
pub(crate) use switch::{Admission, Opening};

/// The network that all machines of a cloud are on; a cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    policy: Arc<Policy>,
    switch: Arc<Switch>,
}

impl Network {
    pub(crate) fn new(options: NetworkOptions) -> Network {
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
