//! Addresses of instances: each gets a loopback address of its own, so that each can have port 22.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::api_error::ApiError;
use crate::network::Subnet;

/// Hands out addresses; starts at a different number in each process, so that processes rarely meet.
#[derive(Debug)]
pub(crate) struct Addresses {
    next: AtomicU32,
}

/// How many addresses are tried before giving up.
const MOST_TRIES: usize = 256;
/// How many addresses may have the wanted port taken before another port will do: when something listens on it at all
/// addresses, as this machine's own SSH server does, no number of tries helps.
const TRIES_FOR_PORT: usize = 16;

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
        for tried in 0..MOST_TRIES {
            let address = subnet.address(self.next.fetch_add(1, Ordering::Relaxed));
            if taken.contains(&address) {
                continue;
            }
            match free_port(address, wanted_port) {
                Ok(port) => return Ok((address, port)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tried < TRIES_FOR_PORT => {}
                Err(_) => {
                    if let Ok(port) = free_port(address, 0) {
                        return Ok((address, port));
                    }
                }
            }
        }
        Err(ApiError::with_status(
            500,
            "InsufficientInstanceCapacity",
            "no loopback address is free",
        ))
    }
}

fn free_port(address: Ipv4Addr, port: u16) -> io::Result<u16> {
    Ok(TcpListener::bind((address, port))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network;

    #[test]
    fn addresses_are_free_and_differ() {
        let addresses = Addresses::new();
        let subnet = network::default_subnet("us-east-1", None).unwrap();
        let mut taken = HashSet::new();
        for _ in 0..20 {
            let (address, port) = addresses.reserve(&subnet, 0, &taken).unwrap();
            assert!(TcpListener::bind((address, port)).is_ok());
            assert!(taken.insert(address));
        }
    }

    #[test]
    fn an_address_with_the_port_taken_is_passed_over() {
        let subnet = network::default_subnet("us-east-1", None).unwrap();
        let next = AtomicU32::new(1_000_000);
        let other = TcpListener::bind((subnet.address(1_000_000), 0)).unwrap();
        let wanted = other.local_addr().unwrap().port();
        let reserved = Addresses { next }.reserve(&subnet, wanted, &HashSet::new());
        assert_eq!(reserved, Ok((subnet.address(1_000_001), wanted)));
    }

    #[test]
    fn a_port_that_is_taken_everywhere_is_replaced() {
        let subnet = network::default_subnet("us-east-1", None).unwrap();
        let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
        let wanted = everywhere.local_addr().unwrap().port();
        let (_, port) = Addresses::new().reserve(&subnet, wanted, &HashSet::new()).unwrap();
        assert_ne!(port, wanted);
    }
}
