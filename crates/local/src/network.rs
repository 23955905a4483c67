//! The network of each region: one default VPC with a subnet per zone, derived from the region's name and never changed.
//!
//! Its addresses are loopback addresses of this machine (127.64.0.0/10), because that is where the instances are.

use std::net::Ipv4Addr;

use crate::api_error::ApiError;
use crate::ids::{ResourceKind, absent};

/// Zones that each region has here, by their last letter.
pub(crate) const ZONE_LETTERS: [char; 3] = ['a', 'b', 'c'];

/// The block of every region's VPC.
pub(crate) const VPC_CIDR: &str = "127.64.0.0/10";
/// Each zone's subnet is a sixteenth of it: 127.64.0.0/12, 127.80.0.0/12, 127.96.0.0/12.
const SUBNET_PREFIX_BITS: u32 = 12;
pub(crate) const SUBNET_ADDRESSES: u32 = 1 << (32 - SUBNET_PREFIX_BITS);
const FIRST_ADDRESS: u32 = u32::from_be_bytes([127, 64, 0, 0]);

/// A subnet of a default VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subnet {
    pub(crate) id: String,
    pub(crate) vpc_id: String,
    pub(crate) zone: String,
    first: u32,
}

impl Subnet {
    /// Returns its block of addresses.
    pub(crate) fn cidr(&self) -> String {
        format!("{}/{SUBNET_PREFIX_BITS}", Ipv4Addr::from(self.first))
    }

    /// Returns the address with that number, counted round the subnet; never its first or last addresses.
    pub(crate) fn address(&self, number: u32) -> Ipv4Addr {
        let usable = SUBNET_ADDRESSES - 8;
        Ipv4Addr::from(self.first + 4 + number % usable)
    }
}

/// Returns the id of a region's VPC.
pub(crate) fn vpc_id(region: &str) -> String {
    ResourceKind::Vpc.stable_id(region)
}

/// Returns a zone's id (`use1-az1` at AWS; here from the zone's full name, which is as stable).
pub(crate) fn zone_id(zone: &str) -> String {
    let (region, letter) = zone.split_at(zone.len().saturating_sub(1));
    let number = ZONE_LETTERS
        .iter()
        .position(|known| letter.starts_with(*known))
        .unwrap_or_default()
        + 1;
    let short: String = region
        .split('-')
        .map(|part| {
            part.chars()
                .take(if part.len() > 2 { 1 } else { 2 })
                .collect::<String>()
        })
        .collect();
    format!("{short}-az{number}")
}

/// Returns a region's subnets, one per zone.
pub(crate) fn subnets(region: &str) -> Vec<Subnet> {
    let subnet = |(number, letter): (u32, &char)| {
        let zone = format!("{region}{letter}");
        Subnet {
            id: ResourceKind::Subnet.stable_id(&zone),
            vpc_id: vpc_id(region),
            zone,
            first: FIRST_ADDRESS + number * SUBNET_ADDRESSES,
        }
    };
    (0..).zip(&ZONE_LETTERS).map(subnet).collect()
}

/// Returns the subnet of that id.
pub(crate) fn subnet(region: &str, id: &str) -> Result<Subnet, ApiError> {
    subnets(region)
        .into_iter()
        .find(|subnet| subnet.id == id)
        .ok_or_else(|| absent(ResourceKind::Subnet, id))
}

/// Returns the default subnet of a zone.
pub(crate) fn default_subnet(region: &str, zone: Option<&str>) -> Result<Subnet, ApiError> {
    let found = subnets(region)
        .into_iter()
        .find(|subnet| zone.is_none_or(|zone| zone == subnet.zone));
    found.ok_or_else(|| {
        ApiError::invalid_parameter(format!("Invalid availability zone: [{}]", zone.unwrap_or_default()))
    })
}

/// Checks that a VPC id is the region's.
pub(crate) fn check_vpc(region: &str, id: &str) -> Result<(), ApiError> {
    if id == vpc_id(region) {
        Ok(())
    } else {
        Err(absent(ResourceKind::Vpc, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_apart_and_inside_of_the_vpc() {
        let subnets = subnets("us-east-1");
        let cidrs: Vec<String> = subnets.iter().map(Subnet::cidr).collect();
        assert_eq!(cidrs, ["127.64.0.0/12", "127.80.0.0/12", "127.96.0.0/12"]);
        assert_eq!(subnets[1].address(0), Ipv4Addr::new(127, 80, 0, 4));
        assert_eq!(
            subnets[1].address(SUBNET_ADDRESSES - 9),
            Ipv4Addr::new(127, 95, 255, 251)
        );
        assert_eq!(subnets[1].address(u32::MAX).octets()[0], 127);
    }

    #[test]
    fn zone_ids_are_short() {
        assert_eq!(zone_id("us-east-1a"), "use1-az1");
        assert_eq!(zone_id("eu-central-2c"), "euc2-az3");
    }
}
