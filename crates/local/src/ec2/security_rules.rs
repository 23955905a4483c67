//! Rules of security groups: `AuthorizeSecurityGroupIngress`, and the permissions that Describe answers.

use std::net::IpAddr;

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::tags::TagSpecifications;
use crate::ids::ResourceKind;
use crate::query::Parameters;
use crate::state::Tags;
use crate::state::security_group::SecurityGroup;
use crate::state::security_group::{Peer, Permission, Rule};
use crate::state::{ACCOUNT, Region};
use crate::xml::Element;

pub(crate) fn authorize_ingress(mut call: Call) -> Answer {
    let group = GroupName::take(&mut call.parameters);
    let permissions = take_permissions(&mut call.parameters)?;
    let tags = TagSpecifications::take(&mut call.parameters, &[ResourceKind::SecurityGroupRule])?
        .of(ResourceKind::SecurityGroupRule);
    call.accept()?;
    if permissions.is_empty() {
        return Err(ApiError::missing_parameter("ipPermissions"));
    }
    let (id, added) = call.change(|region| {
        let id = group.find(region)?;
        let mut added = Vec::new();
        for (permission, description) in permissions {
            check_peer(region, &permission.peer)?;
            let group = region.security_group_mut(&id)?;
            if group
                .rules
                .iter()
                .any(|rule| !rule.egress && rule.permission == permission)
            {
                return Err(ApiError::new(
                    "InvalidPermission.Duplicate",
                    format!("the specified rule \"{}\" already exists", permission.words()),
                ));
            }
            let rule = Rule::new(false, permission, description);
            group.rules.push(rule.clone());
            region.tag(&rule.id, &tags);
            added.push(rule);
        }
        Ok((id, added))
    })?;
    let items = added.iter().map(|rule| describe_rule(&id, rule, &tags));
    Ok(Element::body().yes().list("securityGroupRuleSet", items))
}

/// How a call names its group.
struct GroupName {
    id: Option<String>,
    name: Option<String>,
}

impl GroupName {
    fn take(parameters: &mut Parameters) -> GroupName {
        GroupName {
            id: parameters.text("GroupId"),
            name: parameters.text("GroupName"),
        }
    }

    fn find(&self, region: &Region) -> Result<String, ApiError> {
        match (&self.id, &self.name) {
            (Some(id), _) => Ok(region.security_group(id)?.id.clone()),
            (None, Some(name)) => Ok(region.security_group_named(name)?.id.clone()),
            (None, None) => Err(ApiError::missing_parameter("GroupId")),
        }
    }
}

type Wanted = Vec<(Permission, Option<String>)>;

/// Takes `IpPermissions.N`, and the older form of one permission (`IpProtocol`, `FromPort`, `ToPort`, `CidrIp`).
fn take_permissions(parameters: &mut Parameters) -> Result<Wanted, ApiError> {
    let mut wanted = Vec::new();
    for mut item in parameters.items("IpPermissions") {
        take_permission(&mut item, &mut wanted)?;
        item.finish()?;
    }
    if let Some(protocol) = parameters.text("IpProtocol") {
        let (from_port, to_port) = (parameters.number("FromPort")?, parameters.number("ToPort")?);
        let peer = v4(&parameters.required("CidrIp")?)?;
        wanted.push((permission(&protocol, from_port, to_port, peer)?, None));
    }
    Ok(wanted)
}

fn take_permission(item: &mut Parameters, wanted: &mut Wanted) -> Result<(), ApiError> {
    let protocol = item.required("IpProtocol")?;
    let (from_port, to_port) = (item.number("FromPort")?, item.number("ToPort")?);
    let mut peers = Vec::new();
    for mut range in item.items("IpRanges") {
        peers.push((v4(&range.required("CidrIp")?)?, range.text("Description")));
        range.finish()?;
    }
    for mut range in item.items("Ipv6Ranges") {
        peers.push((v6(&range.required("CidrIpv6")?)?, range.text("Description")));
        range.finish()?;
    }
    for mut group in item.items("Groups") {
        let id = group.required("GroupId")?;
        let (_owner, _vpc) = (group.text("UserId"), group.text("VpcId"));
        peers.push((Peer::Group(id), group.text("Description")));
        group.finish()?;
    }
    for mut list in item.items("PrefixListIds") {
        peers.push((
            Peer::PrefixList(list.required("PrefixListId")?),
            list.text("Description"),
        ));
        list.finish()?;
    }
    if peers.is_empty() {
        return Err(ApiError::invalid_parameter(
            "Must specify at least one source or destination in a rule",
        ));
    }
    for (peer, description) in peers {
        wanted.push((permission(&protocol, from_port, to_port, peer)?, description));
    }
    Ok(())
}

fn permission(
    protocol: &str,
    from_port: Option<i32>,
    to_port: Option<i32>,
    peer: Peer,
) -> Result<Permission, ApiError> {
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "6" => "tcp".to_owned(),
        "17" => "udp".to_owned(),
        "1" => "icmp".to_owned(),
        "58" => "icmpv6".to_owned(),
        "all" => "-1".to_owned(),
        known @ ("tcp" | "udp" | "icmp" | "icmpv6" | "-1") => known.to_owned(),
        number if number.parse::<u8>().is_ok() => number.to_owned(),
        other => return Err(ApiError::invalid_value("ipProtocol", other)),
    };
    if !matches!(protocol.as_str(), "tcp" | "udp") {
        let ports = protocol.starts_with("icmp");
        return Ok(Permission {
            from_port: from_port.filter(|_| ports),
            to_port: to_port.filter(|_| ports),
            protocol,
            peer,
        });
    }
    let (Some(from), Some(to)) = (from_port, to_port) else {
        return Err(ApiError::invalid_parameter(format!(
            "Invalid value 'Must specify both from and to ports with {protocol}'"
        )));
    };
    if !(0..=65_535).contains(&from) || !(from..=65_535).contains(&to) {
        return Err(ApiError::invalid_parameter(format!(
            "Invalid TCP/UDP port range ({from}:{to})"
        )));
    }
    Ok(Permission {
        protocol,
        from_port,
        to_port,
        peer,
    })
}

fn v4(cidr: &str) -> Result<Peer, ApiError> {
    if is_cidr(cidr, IpAddr::is_ipv4, 32) {
        Ok(Peer::V4(cidr.to_owned()))
    } else {
        Err(ApiError::invalid_parameter(format!("CIDR block {cidr} is malformed")))
    }
}

fn v6(cidr: &str) -> Result<Peer, ApiError> {
    if is_cidr(cidr, IpAddr::is_ipv6, 128) {
        Ok(Peer::V6(cidr.to_owned()))
    } else {
        Err(ApiError::invalid_parameter(format!("CIDR block {cidr} is malformed")))
    }
}

fn is_cidr(text: &str, family: impl Fn(&IpAddr) -> bool, most_bits: u8) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        address.parse::<IpAddr>().is_ok_and(|address| family(&address))
            && bits.parse::<u8>().is_ok_and(|bits| bits <= most_bits)
    })
}

fn check_peer(region: &Region, peer: &Peer) -> Result<(), ApiError> {
    match peer {
        Peer::Group(id) => region.security_group(id).map(|_| ()),
        _ => Ok(()),
    }
}

impl Permission {
    fn words(&self) -> String {
        let ports = match (self.from_port, self.to_port) {
            (Some(from), Some(to)) => format!("from port: {from}, to port: {to}"),
            _ => "all ports".to_owned(),
        };
        let (Peer::V4(peer) | Peer::V6(peer) | Peer::Group(peer) | Peer::PrefixList(peer)) = &self.peer;
        format!("peer: {peer}, {}, {ports}, ALLOW", self.protocol.to_uppercase())
    }

    /// Returns whether two permissions go into one item of an answer: all but the peer is the same.
    fn same_ports(&self, other: &Permission) -> bool {
        (&self.protocol, self.from_port, self.to_port) == (&other.protocol, other.from_port, other.to_port)
    }
}

/// Returns a group's rules of one direction as `IpPermission` items, one per protocol and ports.
pub(crate) fn permissions(group: &SecurityGroup, egress: bool) -> Vec<Element> {
    let mut bundles: Vec<Vec<&Rule>> = Vec::new();
    for rule in group.rules.iter().filter(|rule| rule.egress == egress) {
        match bundles
            .iter_mut()
            .find(|bundle| bundle.iter().all(|other| other.permission.same_ports(&rule.permission)))
        {
            Some(bundle) => bundle.push(rule),
            None => bundles.push(vec![rule]),
        }
    }
    bundles.iter().map(|bundle| describe_bundle(bundle)).collect()
}

fn describe_bundle(bundle: &[&Rule]) -> Element {
    let peers = |pick: &dyn Fn(&Rule) -> Option<Element>| -> Vec<Element> {
        bundle
            .iter()
            .filter_map(|rule| Some(pick(rule)?.maybe("description", rule.description.as_ref())))
            .collect()
    };
    let first = bundle.first().map(|rule| &rule.permission);
    Element::body()
        .maybe("ipProtocol", first.map(|permission| &permission.protocol))
        .maybe("fromPort", first.and_then(|permission| permission.from_port))
        .maybe("toPort", first.and_then(|permission| permission.to_port))
        .list(
            "groups",
            peers(&|rule: &Rule| match &rule.permission.peer {
                Peer::Group(id) => Some(Element::body().text("userId", ACCOUNT).text("groupId", id)),
                _ => None,
            }),
        )
        .list(
            "ipRanges",
            peers(&|rule: &Rule| match &rule.permission.peer {
                Peer::V4(cidr) => Some(Element::body().text("cidrIp", cidr)),
                _ => None,
            }),
        )
        .list(
            "ipv6Ranges",
            peers(&|rule: &Rule| match &rule.permission.peer {
                Peer::V6(cidr) => Some(Element::body().text("cidrIpv6", cidr)),
                _ => None,
            }),
        )
        .list(
            "prefixListIds",
            peers(&|rule: &Rule| match &rule.permission.peer {
                Peer::PrefixList(id) => Some(Element::body().text("prefixListId", id)),
                _ => None,
            }),
        )
}

fn describe_rule(group: &str, rule: &Rule, tags: &Tags) -> Element {
    let permission = &rule.permission;
    let item = Element::body()
        .text("securityGroupRuleId", &rule.id)
        .text("groupId", group)
        .text("groupOwnerId", ACCOUNT)
        .text("isEgress", rule.egress)
        .text("ipProtocol", &permission.protocol)
        .text("fromPort", permission.from_port.unwrap_or(-1))
        .text("toPort", permission.to_port.unwrap_or(-1))
        .maybe("description", rule.description.as_ref());
    let item = match &permission.peer {
        Peer::V4(cidr) => item.text("cidrIpv4", cidr),
        Peer::V6(cidr) => item.text("cidrIpv6", cidr),
        Peer::PrefixList(id) => item.text("prefixListId", id),
        Peer::Group(id) => item.child(
            Element::new("referencedGroupInfo")
                .text("groupId", id)
                .text("userId", ACCOUNT),
        ),
    };
    item.with(crate::ec2::tags::tag_set(tags))
}

/// Returns whether a group's rules name another group.
pub(crate) fn refer_to(group: &SecurityGroup, id: &str) -> bool {
    group
        .rules
        .iter()
        .any(|rule| matches!(&rule.permission.peer, Peer::Group(named) if named == id))
}

fn permissions_of(group: &SecurityGroup, egress: bool) -> impl Iterator<Item = &Permission> {
    group
        .rules
        .iter()
        .filter(move |rule| rule.egress == egress)
        .map(|rule| &rule.permission)
}

/// Returns the IPv4 blocks in a group's rules of one direction, for filters.
pub(crate) fn cidrs(group: &SecurityGroup, egress: bool) -> Vec<String> {
    let pick = |permission: &Permission| match &permission.peer {
        Peer::V4(cidr) => Some(cidr.clone()),
        _ => None,
    };
    permissions_of(group, egress).filter_map(pick).collect()
}

/// Returns the first ports in a group's rules of one direction, for filters.
pub(crate) fn from_ports(group: &SecurityGroup, egress: bool) -> Vec<String> {
    permissions_of(group, egress)
        .filter_map(|permission| Some(permission.from_port?.to_string()))
        .collect()
}

/// Returns the last ports in a group's rules of one direction, for filters.
pub(crate) fn to_ports(group: &SecurityGroup, egress: bool) -> Vec<String> {
    permissions_of(group, egress)
        .filter_map(|permission| Some(permission.to_port?.to_string()))
        .collect()
}

/// Returns the protocols in a group's rules of one direction, for filters.
pub(crate) fn protocols(group: &SecurityGroup, egress: bool) -> Vec<String> {
    permissions_of(group, egress)
        .map(|permission| permission.protocol.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(form: &str) -> Result<Wanted, ApiError> {
        let mut parameters = Parameters::parse(form.as_bytes()).unwrap();
        let wanted = take_permissions(&mut parameters)?;
        parameters.finish()?;
        Ok(wanted)
    }

    #[test]
    fn reads_lists_and_the_older_form() {
        let list = wanted(
            "IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=22&IpPermissions.1.ToPort=22\
             &IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8&IpPermissions.1.IpRanges.2.CidrIp=0.0.0.0/0\
             &IpPermissions.1.Ipv6Ranges.1.CidrIpv6=::/0",
        )
        .unwrap();
        assert_eq!(list.len(), 3);
        let older = wanted("IpProtocol=6&FromPort=22&ToPort=22&CidrIp=10.0.0.0/8").unwrap();
        assert_eq!(older[0].0, list[0].0);
    }

    #[test]
    fn refuses_rules_that_cannot_be() {
        for (form, code) in [
            ("IpProtocol=tcp&CidrIp=10.0.0.0/8", "InvalidParameterValue"),
            (
                "IpProtocol=tcp&FromPort=23&ToPort=22&CidrIp=10.0.0.0/8",
                "InvalidParameterValue",
            ),
            (
                "IpProtocol=tcp&FromPort=22&ToPort=70000&CidrIp=10.0.0.0/8",
                "InvalidParameterValue",
            ),
            (
                "IpProtocol=tcp&FromPort=22&ToPort=22&CidrIp=10.0.0.0",
                "InvalidParameterValue",
            ),
            (
                "IpProtocol=tcp&FromPort=22&ToPort=22&CidrIp=10.0.0.0/33",
                "InvalidParameterValue",
            ),
            (
                "IpProtocol=smtp&FromPort=22&ToPort=22&CidrIp=10.0.0.0/8",
                "InvalidParameterValue",
            ),
            ("IpPermissions.1.IpProtocol=-1", "InvalidParameterValue"),
            (
                "IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.Cidr=0.0.0.0/0",
                "MissingParameter",
            ),
        ] {
            assert_eq!(wanted(form).unwrap_err().code, code, "{form}");
        }
    }
}
