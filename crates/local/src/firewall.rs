//! Which instances may connect to which: what the rules of their security groups say now.

use std::net::Ipv4Addr;
use std::sync::{Arc, Weak};

use crate::cloud::Cloud;
use crate::net::{Admission, Opening};
use crate::state::instance::Instance;
use crate::state::security_group::{Peer, Permission};
use crate::state::{Region, State};

/// The security groups of a cloud.
pub(crate) struct SecurityGroups(Weak<Cloud>);

impl SecurityGroups {
    pub(crate) fn of(cloud: &Arc<Cloud>) -> SecurityGroups {
        SecurityGroups(Arc::downgrade(cloud))
    }
}

impl Admission for SecurityGroups {
    fn admits(&self, opening: &Opening) -> bool {
        let Some(cloud) = self.0.upgrade() else { return false };
        cloud
            .directory
            .read(|state| admits(state, opening))
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "security groups");
                false
            })
    }
}

/// Whether one instance's groups let the connection out and the other's let it in. VPCs of two regions are not connected.
fn admits(state: &State, opening: &Opening) -> bool {
    state.regions.values().any(|region| {
        let find = |address| {
            region
                .instances
                .values()
                .find(|instance| instance.exists() && instance.address == address)
        };
        let (Some(from), Some(to)) = (find(opening.from), find(opening.to)) else {
            return false;
        };
        allow(region, from, to, true, opening) && allow(region, to, from, false, opening)
    })
}

/// Whether a rule of an instance's groups allows what another one opens or is asked for.
fn allow(region: &Region, of: &Instance, other: &Instance, egress: bool, opening: &Opening) -> bool {
    let groups = of
        .security_groups
        .iter()
        .filter_map(|id| region.security_groups.get(id));
    let mut rules = groups
        .flat_map(|group| &group.rules)
        .filter(|rule| rule.egress == egress);
    rules.any(|rule| covers(&rule.permission, opening) && is_peer(&rule.permission.peer, other))
}

fn covers(permission: &Permission, opening: &Opening) -> bool {
    let protocol = match permission.protocol.as_str() {
        "-1" => return true,
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        number => match number.parse() {
            Ok(number) => number,
            Err(_) => return false,
        },
    };
    let port = i32::from(opening.port);
    let (first, last) = (permission.from_port.unwrap_or(-1), permission.to_port.unwrap_or(-1));
    // ICMP has a type and a code instead of ports; -1 is any.
    let is_port = first == -1
        || if protocol == 1 {
            first == port
        } else {
            (first..=last).contains(&port)
        };
    protocol == opening.protocol && is_port
}

fn is_peer(peer: &Peer, other: &Instance) -> bool {
    match peer {
        Peer::V4(block) => contains(block, other.address),
        Peer::Group(id) => other.security_groups.contains(id),
        Peer::V6(_) | Peer::PrefixList(_) => false,
    }
}

fn contains(block: &str, address: Ipv4Addr) -> bool {
    let parse = || {
        let (first, bits) = block.split_once('/')?;
        let first: Ipv4Addr = first.parse().ok()?;
        let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32)?;
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        Some((u32::from(first) ^ u32::from(address)) & mask == 0)
    };
    parse().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::instance::example;
    use crate::state::security_group::{Rule, SecurityGroup};

    const FROM: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 4);
    const TO: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 5);

    fn opening(protocol: u8, port: u16) -> Opening {
        Opening {
            from: FROM,
            to: TO,
            protocol,
            port,
        }
    }

    fn permission(protocol: &str, ports: Option<(i32, i32)>, peer: Peer) -> Permission {
        Permission {
            protocol: protocol.to_owned(),
            from_port: ports.map(|ports| ports.0),
            to_port: ports.map(|ports| ports.1),
            peer,
        }
    }

    /// One instance in the group `one`, another in the group `two`, which has this rule for what comes in.
    fn admitted(rule: Permission, opening: &Opening) -> bool {
        let mut region = Region::new("us-east-1");
        for (id, rules) in [
            ("one", vec![Rule::all_out("one")]),
            ("two", vec![Rule::new(false, rule, None)]),
        ] {
            let group = SecurityGroup {
                id: id.to_owned(),
                rules,
                ..SecurityGroup::default_of("us-east-1")
            };
            region.security_groups.insert(id.to_owned(), group);
        }
        for (id, address, group) in [("i-1", FROM, "one"), ("i-2", TO, "two")] {
            let instance = Instance {
                id: id.to_owned(),
                address,
                security_groups: vec![group.to_owned()],
                ..example()
            };
            region.instances.insert(id.to_owned(), instance);
        }
        let mut state = State::default();
        state.regions.insert("us-east-1".to_owned(), region);
        admits(&state, opening)
    }

    #[test]
    fn rules_admit_what_they_name() {
        let anywhere = || Peer::V4("0.0.0.0/0".to_owned());
        let web = || permission("tcp", Some((80, 443)), anywhere());
        assert!(admitted(web(), &opening(6, 80)) && admitted(web(), &opening(6, 443)));
        assert!(!admitted(web(), &opening(6, 444)) && !admitted(web(), &opening(17, 80)));
        assert!(admitted(permission("-1", None, anywhere()), &opening(17, 5000)));
        assert!(admitted(permission("icmp", Some((-1, -1)), anywhere()), &opening(1, 8)));
        assert!(admitted(permission("icmp", Some((8, -1)), anywhere()), &opening(1, 8)));
        assert!(!admitted(permission("icmp", Some((3, -1)), anywhere()), &opening(1, 8)));
    }

    #[test]
    fn rules_admit_whom_they_name() {
        let all = |peer| permission("-1", None, peer);
        assert!(admitted(all(Peer::Group("one".into())), &opening(6, 1)));
        assert!(!admitted(all(Peer::Group("two".into())), &opening(6, 1)));
        assert!(admitted(all(Peer::V4("127.64.0.4/32".into())), &opening(6, 1)));
        assert!(!admitted(all(Peer::V4("127.64.0.5/32".into())), &opening(6, 1)));
        assert!(!admitted(all(Peer::V4("10.0.0.0/8".into())), &opening(6, 1)));
        assert!(!admitted(all(Peer::PrefixList("pl-1".into())), &opening(6, 1)));
    }

    #[test]
    fn nothing_is_admitted_back_or_to_nobody() {
        let all = || permission("-1", None, Peer::V4("0.0.0.0/0".to_owned()));
        let back = Opening {
            from: TO,
            to: FROM,
            protocol: 6,
            port: 80,
        };
        assert!(
            !admitted(all(), &back),
            "the group has no rule for what goes out, and the other none for what comes in"
        );
        let nobody = Opening {
            to: Ipv4Addr::new(127, 64, 0, 9),
            ..opening(6, 80)
        };
        assert!(!admitted(all(), &nobody));
    }
}
