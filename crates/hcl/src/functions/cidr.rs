//! Functions on address ranges in CIDR notation, IPv4 and IPv6 alike.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::arguments::{failed, number, shown, text, wrong};
use super::{Call, Function, FunctionError, Run};
use crate::types::Type;
use crate::value::Value;

/// More bits than this are not added in one call; nobody numbers subnets beyond.
const MOST_NEW_BITS: i64 = 32;

/// Address ranges.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "cidrhost",
        doc: "The address of a number in a range; a negative number counts from the end.",
        parameters: &[text("prefix"), number("host_number")],
        variadic: None,
        result: "string",
        examples: &[
            ("cidrhost(\"10.0.0.0/16\", 256)", "10.0.1.0"),
            ("cidrhost(\"10.0.0.0/16\", -1)", "10.0.255.255"),
        ],
        run: Run::Plain(cidrhost),
    },
    Function {
        name: "cidrnetmask",
        doc: "The mask of a range's addresses.",
        parameters: &[text("prefix")],
        variadic: None,
        result: "string",
        examples: &[("cidrnetmask(\"10.0.0.0/12\")", "255.240.0.0")],
        run: Run::Plain(|call| {
            let network = Network::parse(call.text(0)?).map_err(failed)?;
            Ok(Value::string(network.show_address(network.mask())))
        }),
    },
    Function {
        name: "cidrsubnet",
        doc: "The subnet of a number in a range, when the prefix becomes that many bits longer (at most 32).",
        parameters: &[text("prefix"), number("new_bits"), number("subnet_number")],
        variadic: None,
        result: "string",
        examples: &[("cidrsubnet(\"10.0.0.0/16\", 8, 2)", "10.0.2.0/24")],
        run: Run::Plain(cidrsubnet),
    },
    Function {
        name: "cidrsubnets",
        doc: "Subnets of a range one after the other, each with a prefix that many bits longer than the range's.",
        parameters: &[text("prefix")],
        variadic: Some(&number("new_bits")),
        result: "list(string)",
        examples: &[(
            "jsonencode(cidrsubnets(\"10.0.0.0/16\", 4, 8, 4))",
            "[\"10.0.0.0/20\",\"10.0.16.0/24\",\"10.0.32.0/20\"]",
        )],
        run: Run::Plain(cidrsubnets),
    },
];

/// An address range: addresses are the lowest `width` bits of the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: u128,
    prefix: u32,
    /// 32 for IPv4, 128 for IPv6.
    width: u32,
}

impl Network {
    /// `ADDRESS/LENGTH`, cut down to the first address of the range.
    fn parse(written: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{} is not an address range in CIDR notation, like `10.0.0.0/16`",
                shown(written)
            )
        };
        let (address, length) = written.split_once('/').ok_or_else(wrong)?;
        let (address, width) = match address.parse().map_err(|_| wrong())? {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        if length.is_empty() || !length.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(wrong());
        }
        let prefix = length
            .parse()
            .ok()
            .filter(|prefix| *prefix <= width)
            .ok_or_else(wrong)?;
        let network = Self { address, prefix, width };
        Ok(Self {
            address: address & network.mask(),
            ..network
        })
    }

    /// The bits of an address that number hosts.
    fn host_bits(self) -> u32 {
        self.width - self.prefix
    }

    /// Ones where hosts are numbered.
    fn host_mask(self) -> u128 {
        low_ones(self.host_bits())
    }

    /// Ones where the range is named.
    fn mask(self) -> u128 {
        low_ones(self.width) & !self.host_mask()
    }

    fn last(self) -> u128 {
        self.address | self.host_mask()
    }

    fn show_address(self, address: u128) -> String {
        if self.width == 32 {
            Ipv4Addr::from(u32::try_from(address & low_ones(32)).unwrap_or(0)).to_string()
        } else {
            let address = Ipv6Addr::from(address);
            // An IPv4 address in IPv6's clothes is shown as what it is.
            address
                .to_ipv4_mapped()
                .map_or_else(|| address.to_string(), |address| address.to_string())
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.show_address(self.address), self.prefix)
    }
}

fn low_ones(count: u32) -> u128 {
    if count >= 128 { u128::MAX } else { (1 << count) - 1 }
}

fn cidrhost(call: &Call<'_>) -> Result<Value, FunctionError> {
    let network = Network::parse(call.text(0)?).map_err(failed)?;
    let host = call.number(1)?;
    let magnitude = host
        .integer_magnitude()
        .ok_or_else(|| failed(format!("a whole host number is required, not {host}")))?;
    let magnitude = u128::try_from(magnitude).ok();
    let beyond = || {
        failed(format!(
            "the range has no host number {host}: only {} bits number hosts",
            network.host_bits()
        ))
    };
    let from_end = host.signum() < 0;
    let place = magnitude.map(|magnitude| {
        if from_end {
            magnitude.saturating_sub(1)
        } else {
            magnitude
        }
    });
    let place = place.filter(|place| *place <= network.host_mask()).ok_or_else(beyond)?;
    let address = if from_end {
        network.last() - place
    } else {
        network.address | place
    };
    Ok(Value::string(network.show_address(address)))
}

fn cidrsubnet(call: &Call<'_>) -> Result<Value, FunctionError> {
    let network = Network::parse(call.text(0)?).map_err(failed)?;
    let (new_bits, subnet) = (call.integer(1)?, call.integer(2)?);
    if new_bits > MOST_NEW_BITS {
        return Err(failed(format!(
            "the prefix can become at most {MOST_NEW_BITS} bits longer at once, not {new_bits}"
        )));
    }
    let prefix = u32::try_from(i64::from(network.prefix).saturating_add(new_bits))
        .ok()
        .filter(|prefix| *prefix <= network.width)
        .ok_or_else(|| {
            failed(format!(
                "a prefix of {} bits does not fit into {}",
                network.prefix, network.width
            ))
        })?;
    let subnet = u128::try_from(subnet).map_err(|_| failed("the subnet number must not be negative"))?;
    // A shorter prefix has no subnet numbers of its own; whatever number is given is taken into the address.
    let highest = u32::try_from(new_bits).map_or(u128::MAX, low_ones);
    if subnet > highest {
        return Err(failed(format!("{new_bits} bits cannot number subnet {subnet}")));
    }
    let shift = network.width - prefix;
    if shift < 128 && subnet > low_ones(network.width) >> shift || shift == 128 && subnet > 0 {
        return Err(failed(format!(
            "subnet {subnet} does not fit into a prefix of {prefix} bits"
        )));
    }
    let placed = subnet.checked_shl(shift).unwrap_or(0);
    Ok(Value::string(
        Network {
            address: network.address | placed,
            prefix,
            ..network
        }
        .to_string(),
    ))
}

fn cidrsubnets(call: &Call<'_>) -> Result<Value, FunctionError> {
    let network = Network::parse(call.text(0)?).map_err(|message| wrong(0, message))?;
    // The first free address; none is free when the last one was taken.
    let mut free = Some(network.address);
    let mut subnets = Vec::new();
    for index in 1..call.arguments.len() {
        let new_bits = call
            .number(index)?
            .to_i64()
            .filter(|bits| (1..=MOST_NEW_BITS).contains(bits));
        let new_bits = new_bits.and_then(|bits| u32::try_from(bits).ok()).ok_or_else(|| {
            wrong(
                index,
                format!("the prefix must become 1 to {MOST_NEW_BITS} bits longer"),
            )
        })?;
        let prefix = network.prefix + new_bits;
        if prefix > network.width {
            return Err(wrong(
                index,
                format!("a prefix of {prefix} bits does not fit into {}", network.width),
            ));
        }
        let subnet = Network {
            address: 0,
            prefix,
            ..network
        };
        // A subnet starts at a multiple of its size.
        let address = free
            .and_then(|free| free.checked_add(subnet.host_mask()))
            .map(|address| address & !subnet.host_mask())
            .filter(|address| *address <= network.last())
            .ok_or_else(|| {
                wrong(
                    index,
                    format!("no room is left in {network} for a subnet with prefix {prefix}"),
                )
            })?;
        let subnet = Network { address, ..subnet };
        subnets.push(Value::string(subnet.to_string()));
        free = subnet.last().checked_add(1);
    }
    Ok(Value::list(Type::String, subnets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation() {
        assert_eq!(Network::parse("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(Network::parse("::/0").unwrap().last(), u128::MAX);
        for wrong in [
            "10.0.0.0",
            "10.0.0.0/33",
            "010.0.0.0/8",
            "10.0.0.0/+8",
            "10.0.0/8",
            "fd00::/129",
            "",
        ] {
            assert!(Network::parse(wrong).is_err(), "{wrong}");
        }
    }
}
