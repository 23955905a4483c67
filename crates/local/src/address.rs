//! Addresses of instances: each gets a loopback address of its own, so that each can have port 22.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::api_error::ApiError;
use crate::ec2::vpcs::Subnet;

/// Hands out addresses; starts at a different number in each process, so that processes rarely meet.
#[derive(Debug)]
pub(crate) struct Addresses {
    next: AtomicU32,
}

/// How many addresses are tried before giving up.
const MOST_TRIES: usize = 256;

/// Spreads consecutive process ids over the subnet; a prime, so that no two ids share a run of numbers.
const SPREAD: u32 = 4099;

impl Addresses {
    pub(crate) fn new() -> Addresses {
        Addresses {
            next: AtomicU32::new(std::process::id().wrapping_mul(SPREAD)),
        }
    }

    /// Returns an address of the subnet and a port on it where nobody listens: the wanted one, or any when that one is
    /// taken or needs rights that this process has not.
    pub(crate) fn reserve(
        &self,
        subnet: &Subnet,
        wanted_port: u16,
        taken: &HashSet<Ipv4Addr>,
    ) -> Result<(Ipv4Addr, u16), ApiError> {
        for _ in 0..MOST_TRIES {
            let address = subnet.address(self.next.fetch_add(1, Ordering::Relaxed));
            if taken.contains(&address) {
                continue;
            }
            if let Some(port) = free_port(address, wanted_port).or_else(|| free_port(address, 0)) {
                return Ok((address, port));
            }
        }
        Err(ApiError::with_status(
            500,
            "InsufficientInstanceCapacity",
            "no loopback address is free",
        ))
    }
}

fn free_port(address: Ipv4Addr, port: u16) -> Option<u16> {
    Some(TcpListener::bind((address, port)).ok()?.local_addr().ok()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ec2::vpcs;

    #[test]
    fn addresses_are_free_and_differ() {
        let addresses = Addresses::new();
        let subnet = vpcs::default_subnet("us-east-1", None).unwrap();
        let mut taken = HashSet::new();
        for _ in 0..20 {
            let (address, port) = addresses.reserve(&subnet, 0, &taken).unwrap();
            assert!(TcpListener::bind((address, port)).is_ok());
            assert!(taken.insert(address));
        }
    }

    #[test]
    fn a_taken_port_is_replaced() {
        let subnet = vpcs::default_subnet("us-east-1", None).unwrap();
        let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
        let wanted = everywhere.local_addr().unwrap().port();
        let (_, port) = Addresses::new().reserve(&subnet, wanted, &HashSet::new()).unwrap();
        assert_ne!(port, wanted);
    }
}
