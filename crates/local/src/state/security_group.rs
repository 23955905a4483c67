//! Security groups and their rules.

use serde::{Deserialize, Serialize};

use crate::ids::ResourceKind;
use crate::network::vpc_id;

/// The name of the group that every VPC has from the start and that cannot be deleted.
pub(crate) const DEFAULT_NAME: &str = "default";
/// A security group of a region's VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecurityGroup {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) vpc_id: String,
    pub(crate) rules: Vec<Rule>,
}

impl SecurityGroup {
    /// Returns the group that a region's VPC has from the start.
    pub(crate) fn default_of(region: &str) -> SecurityGroup {
        let id = ResourceKind::SecurityGroup.stable_id(region);
        SecurityGroup {
            rules: vec![Rule::from_group(&id), Rule::all_out(&id)],
            id,
            name: DEFAULT_NAME.to_owned(),
            description: "default VPC security group".to_owned(),
            vpc_id: vpc_id(region),
        }
    }

    /// Returns the rule of that id.
    pub(crate) fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }
}

/// One rule: a protocol, ports, and one source or destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) egress: bool,
    pub(crate) permission: Permission,
    pub(crate) description: Option<String>,
}

/// What makes a rule the same as another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Permission {
    /// `tcp`, `udp`, `icmp`, `icmpv6`, a protocol number, or `-1` for all.
    pub(crate) protocol: String,
    pub(crate) from_port: Option<i32>,
    pub(crate) to_port: Option<i32>,
    pub(crate) peer: Peer,
}

/// Where traffic may come from or go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Peer {
    V4(String),
    V6(String),
    Group(String),
    PrefixList(String),
}

impl Rule {
    /// Returns a rule with an id of its own.
    pub(crate) fn new(egress: bool, permission: Permission, description: Option<String>) -> Rule {
        Rule {
            id: ResourceKind::SecurityGroupRule.new_id(),
            egress,
            permission,
            description,
        }
    }

    /// Returns the rule that every new group has: everything may go out.
    pub(crate) fn all_out(group: &str) -> Rule {
        let id = ResourceKind::SecurityGroupRule.stable_id(&format!("{group} out"));
        Rule {
            id,
            ..Rule::new(true, Permission::all(Peer::V4("0.0.0.0/0".to_owned())), None)
        }
    }

    /// Returns the default group's rule: everything may come in from the group itself.
    pub(crate) fn from_group(group: &str) -> Rule {
        let id = ResourceKind::SecurityGroupRule.stable_id(&format!("{group} in"));
        Rule {
            id,
            ..Rule::new(false, Permission::all(Peer::Group(group.to_owned())), None)
        }
    }
}

impl Permission {
    fn all(peer: Peer) -> Permission {
        Permission {
            protocol: "-1".to_owned(),
            from_port: None,
            to_port: None,
            peer,
        }
    }
}
