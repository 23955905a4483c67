//! Functions on address ranges in CIDR notation, IPv4 and IPv6 alike.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::arguments::{failed, number, shown, text, wrong};
use super::{Call, Function, FunctionError, Returns, Run};
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
        result: Returns::STRING,
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
        result: Returns::STRING,
        examples: &[("cidrnetmask(\"10.0.0.0/12\")", "255.240.0.0")],
        run: Run::Plain(|call| {
            let network = range(call)?;
            Ok(Value::string(shown_address(network.netmask())))
        }),
    },
    Function {
        name: "cidrsubnet",
        doc: "The subnet of a number in a range, when the prefix becomes that many bits longer (at most 32).",
        parameters: &[text("prefix"), number("new_bits"), number("subnet_number")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("cidrsubnet(\"10.0.0.0/16\", 8, 2)", "10.0.2.0/24")],
        run: Run::Plain(cidrsubnet),
    },
    Function {
        name: "cidrsubnets",
        doc: "Subnets of a range one after the other, each with a prefix that many bits longer than the range's.",
        parameters: &[text("prefix")],
        variadic: Some(&number("new_bits")),
        result: Returns::STRINGS,
        examples: &[(
            "jsonencode(cidrsubnets(\"10.0.0.0/16\", 4, 8, 4))",
            "[\"10.0.0.0/20\",\"10.0.16.0/24\",\"10.0.32.0/20\"]",
        )],
        run: Run::Plain(cidrsubnets),
    },
];

/// The first argument as a range, cut down to its first address.
fn range(call: &Call<'_>) -> Result<IpNet, FunctionError> {
    let written = call.text(0)?;
    parse(written).ok_or_else(|| {
        let written = shown(written);
        wrong(
            0,
            format!("{written} is not an address range in CIDR notation, like `10.0.0.0/16`"),
        )
    })
}

/// `ADDRESS/LENGTH`, cut down to its first address. ipnet's own reader would take `010.0.0.0` for ten.
fn parse(written: &str) -> Option<IpNet> {
    let (address, length) = written.split_once('/')?;
    let length = length.bytes().all(|digit| digit.is_ascii_digit()).then_some(length)?;
    let network = IpNet::new(address.parse().ok()?, length.parse().ok()?).ok()?;
    Some(network.trunc())
}

/// An address as a number.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address of a number, as it is written in a range's family.
fn written_address(network: IpNet, bits: u128) -> String {
    shown_address(match network {
        IpNet::V4(_) => Ipv4Addr::from(u32::try_from(bits).unwrap_or(u32::MAX)).into(),
        IpNet::V6(_) => Ipv6Addr::from(bits).into(),
    })
}

/// An IPv4 address mapped into IPv6 is written as IPv4.
fn shown_address(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

fn cidrhost(call: &Call<'_>) -> Result<Value, FunctionError> {
    let network = range(call)?;
    let host = call.number(1)?;
    let magnitude = host
        .integer_magnitude()
        .ok_or_else(|| failed(format!("an integer is required as the host number, not {host}")))?;
    let from_end = host.signum() < 0;
    let place = u128::try_from(magnitude)
        .ok()
        .map(|magnitude| magnitude.saturating_sub(u128::from(from_end)))
        .filter(|place| *place <= bits(network.hostmask()))
        .ok_or_else(|| {
            let host_bits = network.max_prefix_len() - network.prefix_len();
            failed(format!(
                "the range has no host number {host}: only {host_bits} bits number hosts"
            ))
        })?;
    let address = if from_end {
        bits(network.broadcast()) - place
    } else {
        bits(network.network()) | place
    };
    Ok(Value::string(written_address(network, address)))
}

fn cidrsubnet(call: &Call<'_>) -> Result<Value, FunctionError> {
    let network = range(call)?;
    let (new_bits, subnet) = (call.integer(1)?, call.integer(2)?);
    if new_bits > MOST_NEW_BITS {
        return Err(failed(format!(
            "the prefix can become at most {MOST_NEW_BITS} bits longer at once, not {new_bits}"
        )));
    }
    let (length, width) = (network.prefix_len(), network.max_prefix_len());
    let prefix = u8::try_from(i64::from(length).saturating_add(new_bits))
        .ok()
        .filter(|prefix| *prefix <= width)
        .ok_or_else(|| failed(format!("a prefix of {length} bits does not fit into {width}")))?;
    let subnet = u128::try_from(subnet).map_err(|_| failed("the subnet number must not be negative"))?;
    // A shorter prefix has no subnet numbers of its own; whatever number is given is taken into the address.
    if new_bits >= 0 && subnet >= 1 << new_bits {
        return Err(failed(format!("{new_bits} bits cannot number subnet {subnet}")));
    }
    let shift = u32::from(width - prefix);
    let placed = subnet.checked_shl(shift).unwrap_or(0);
    if placed.checked_shr(shift).unwrap_or(0) != subnet || placed.checked_shr(width.into()).unwrap_or(0) != 0 {
        return Err(failed(format!(
            "subnet {subnet} does not fit into a prefix of {prefix} bits"
        )));
    }
    let address = written_address(network, bits(network.network()) | placed);
    Ok(Value::string(format!("{address}/{prefix}")))
}

fn cidrsubnets(call: &Call<'_>) -> Result<Value, FunctionError> {
    let network = range(call)?;
    // The first free address; none is free when the last one was taken.
    let mut free = Some(bits(network.network()));
    let mut subnets = Vec::new();
    for index in 1..call.arguments.len() {
        let new_bits = call
            .number(index)?
            .to_i64()
            .filter(|bits| (1..=MOST_NEW_BITS).contains(bits))
            .and_then(|bits| u8::try_from(bits).ok())
            .ok_or_else(|| {
                wrong(
                    index,
                    format!("the prefix must become 1 to {MOST_NEW_BITS} bits longer"),
                )
            })?;
        let prefix = network.prefix_len() + new_bits;
        let subnet = IpNet::new(network.network(), prefix).map_err(|_| {
            let width = network.max_prefix_len();
            wrong(index, format!("a prefix of {prefix} bits does not fit into {width}"))
        })?;
        let host_mask = bits(subnet.hostmask());
        // A subnet starts at a multiple of its size.
        let address = free
            .and_then(|free| free.checked_add(host_mask))
            .map(|address| address & !host_mask)
            .filter(|address| *address <= bits(network.broadcast()))
            .ok_or_else(|| {
                wrong(
                    index,
                    format!("no room is left in {network} for a subnet with prefix {prefix}"),
                )
            })?;
        subnets.push(Value::string(format!("{}/{prefix}", written_address(network, address))));
        free = (address | host_mask).checked_add(1);
    }
    Ok(Value::list(Type::String, subnets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation() {
        assert_eq!(parse("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(bits(parse("::/0").unwrap().broadcast()), u128::MAX);
        for wrong in [
            "10.0.0.0",
            "10.0.0.0/33",
            "010.0.0.0/8",
            "10.0.0.0/+8",
            "10.0.0/8",
            "fd00::/129",
            "",
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
