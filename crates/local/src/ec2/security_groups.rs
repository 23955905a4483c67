//! Security groups: create, describe, delete. Their rules are in `security_rules.rs`.
//!
//! The rules are kept and answered, not enforced: an instance listens on a loopback address of this machine, where no
//! one else gets to anyway.

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::filters::{FilterTable, Filters};
use crate::ec2::page::Page;
use crate::ec2::security_rules::{self};
use crate::ec2::tags::{self, TagSpecifications};
use crate::ids::ResourceKind;
use crate::ids::absent;
use crate::network;
use crate::state::Tags;
use crate::state::instance::Instance;
use crate::state::security_group::Rule;
use crate::state::security_group::{DEFAULT_NAME, SecurityGroup};
use crate::state::{ACCOUNT, Region};
use crate::xml::Element;

/// Longest name and longest description, in characters.
const LONGEST_TEXT: usize = 255;

pub(crate) fn create_security_group(mut call: Call) -> Answer {
    let name = call.parameters.required("GroupName")?;
    let description = call.parameters.required("GroupDescription")?;
    let vpc_id = call.parameters.filled("VpcId");
    let tags =
        TagSpecifications::take(&mut call.parameters, &[ResourceKind::SecurityGroup])?.of(ResourceKind::SecurityGroup);
    call.accept()?;
    check_text("groupName", &name)?;
    check_text("groupDescription", &description)?;
    if name.starts_with("sg-") {
        return Err(ApiError::invalid_parameter("Group names may not be in the format sg-*"));
    }
    if let Some(id) = &vpc_id {
        network::check_vpc(&call.region, id)?;
    }
    let id = ResourceKind::SecurityGroup.new_id();
    let group = SecurityGroup {
        rules: vec![Rule::all_out(&id)],
        id: id.clone(),
        name,
        description,
        vpc_id: network::vpc_id(&call.region),
    };
    call.change(|region| {
        if region.security_groups.values().any(|other| other.name == group.name) {
            return Err(ApiError::new(
                "InvalidGroup.Duplicate",
                format!(
                    "The security group '{}' already exists for VPC '{}'",
                    group.name, group.vpc_id
                ),
            ));
        }
        region.tag(&group.id, &tags);
        region.security_groups.insert(group.id.clone(), group);
        Ok(())
    })?;
    Ok(Element::body()
        .yes()
        .text("groupId", &id)
        .with(tags::tag_set(&tags))
        .text(
            "securityGroupArn",
            format!("arn:aws:ec2:{}:{ACCOUNT}:security-group/{id}", call.region),
        ))
}

fn check_text(name: &str, text: &str) -> Result<(), ApiError> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(character);
    if text.chars().count() <= LONGEST_TEXT && text.chars().all(allowed) {
        Ok(())
    } else {
        Err(ApiError::invalid_value(name, text))
    }
}

const FILTERS: FilterTable<SecurityGroup> = &[
    ("group-id", |group| vec![group.id.clone()]),
    ("group-name", |group| vec![group.name.clone()]),
    ("description", |group| vec![group.description.clone()]),
    ("vpc-id", |group| vec![group.vpc_id.clone()]),
    ("owner-id", |_| vec![ACCOUNT.to_owned()]),
    ("ip-permission.cidr", |group| security_rules::cidrs(group, false)),
    ("ip-permission.from-port", |group| {
        security_rules::from_ports(group, false)
    }),
    ("ip-permission.to-port", |group| security_rules::to_ports(group, false)),
    ("ip-permission.protocol", |group| {
        security_rules::protocols(group, false)
    }),
    ("egress.ip-permission.cidr", |group| security_rules::cidrs(group, true)),
    ("egress.ip-permission.from-port", |group| {
        security_rules::from_ports(group, true)
    }),
    ("egress.ip-permission.to-port", |group| {
        security_rules::to_ports(group, true)
    }),
    ("egress.ip-permission.protocol", |group| {
        security_rules::protocols(group, true)
    }),
];

pub(crate) fn describe_security_groups(mut call: Call) -> Answer {
    let (ids, names) = (call.parameters.list("GroupId"), call.parameters.list("GroupName"));
    let filters = Filters::take(&mut call.parameters, FILTERS)?;
    let page = Page::take(&mut call.parameters)?;
    call.accept()?;
    let items = call.read(|region| {
        check_known(region, &ids, &names)?;
        Ok::<_, ApiError>(
            region
                .security_groups
                .values()
                .filter(|group| ids.is_empty() || ids.contains(&group.id))
                .filter(|group| names.is_empty() || names.contains(&group.name))
                .filter(|group| filters.match_item(FILTERS, group, region.tags_of(&group.id)))
                .map(|group| describe(&call.region, group, region.tags_of(&group.id)))
                .collect(),
        )
    })??;
    let (items, next) = page.cut(items);
    Ok(Element::body()
        .list("securityGroupInfo", items)
        .maybe("nextToken", next))
}

fn check_known(region: &Region, ids: &[String], names: &[String]) -> Result<(), ApiError> {
    for id in ids {
        region.security_group(id)?;
    }
    for name in names {
        region.security_group_named(name)?;
    }
    Ok(())
}

fn describe(region: &str, group: &SecurityGroup, tags: &Tags) -> Element {
    Element::body()
        .text("ownerId", ACCOUNT)
        .text("groupName", &group.name)
        .text("groupDescription", &group.description)
        .text("groupId", &group.id)
        .text("vpcId", &group.vpc_id)
        .list("ipPermissions", security_rules::permissions(group, false))
        .list("ipPermissionsEgress", security_rules::permissions(group, true))
        .text(
            "securityGroupArn",
            format!("arn:aws:ec2:{region}:{ACCOUNT}:security-group/{}", group.id),
        )
        .with(tags::tag_set(tags))
}

/// Returns the security groups of an instance as `groupId` and `groupName`.
pub(crate) fn group_set(region: &Region, instance: &Instance) -> Vec<Element> {
    let groups = instance.security_groups.iter().filter(|_| instance.exists());
    groups
        .map(|id| {
            let name = region.security_groups.get(id).map_or("", |group| group.name.as_str());
            Element::body().text("groupId", id).text("groupName", name)
        })
        .collect()
}

/// Returns the groups of a launch by id and name; without any, the default group.
pub(crate) fn resolve(region: &Region, ids: &[String], names: &[String]) -> Result<Vec<String>, ApiError> {
    let mut resolved = Vec::new();
    for id in ids {
        resolved.push(region.security_group(id)?.id.clone());
    }
    for name in names {
        resolved.push(region.security_group_named(name)?.id.clone());
    }
    if resolved.is_empty() {
        resolved.push(region.security_group_named(DEFAULT_NAME)?.id.clone());
    }
    resolved.dedup();
    Ok(resolved)
}

pub(crate) fn delete_security_group(mut call: Call) -> Answer {
    let (id, name) = (call.parameters.text("GroupId"), call.parameters.text("GroupName"));
    call.accept()?;
    let id = call.change(|region| {
        let group = match (&id, &name) {
            (Some(id), _) => region
                .security_groups
                .get(id)
                .ok_or_else(|| absent(ResourceKind::SecurityGroup, id))?,
            (None, Some(name)) => region.security_group_named(name)?,
            (None, None) => return Err(ApiError::missing_parameter("GroupId")),
        };
        let id = group.id.clone();
        if group.name == DEFAULT_NAME {
            return Err(ApiError::new(
                "CannotDelete",
                format!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user"),
            ));
        }
        let used = region
            .instances
            .values()
            .any(|instance| instance.exists() && instance.security_groups.contains(&id));
        let referred = region
            .security_groups
            .values()
            .any(|other| other.id != id && security_rules::refer_to(other, &id));
        if used || referred {
            return Err(ApiError::in_use(format!("resource {id} has a dependent object")));
        }
        region.security_groups.remove(&id);
        region.tags.remove(&id);
        Ok(id)
    })?;
    Ok(Element::body().yes().text("groupId", id))
}
