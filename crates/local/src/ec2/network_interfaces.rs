//! Network interfaces: each instance has one, which comes and goes with it.

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::filters::{FilterTable, Filters};
use crate::ec2::page::Page;
use crate::ec2::security_groups::group_set;
use crate::ec2::tags;
use crate::ids::ResourceKind;
use crate::ids::absent;
use crate::state::instance::Instance;
use crate::state::{ACCOUNT, Region};
use crate::xml::Element;

const FILTERS: FilterTable<Instance> = &[
    ("network-interface-id", |instance| {
        vec![instance.network_interface_id.clone()]
    }),
    ("attachment.instance-id", |instance| vec![instance.id.clone()]),
    ("attachment.status", |_| vec!["attached".to_owned()]),
    ("status", |_| vec!["in-use".to_owned()]),
    ("subnet-id", |instance| vec![instance.subnet_id.clone()]),
    ("vpc-id", |instance| vec![instance.vpc_id.clone()]),
    ("group-id", |instance| instance.security_groups.clone()),
    ("availability-zone", |instance| vec![instance.zone.clone()]),
    ("private-ip-address", |instance| vec![instance.address.to_string()]),
    ("addresses.private-ip-address", |instance| {
        vec![instance.address.to_string()]
    }),
    ("association.public-ip", |instance| {
        instance.public_address().iter().map(ToString::to_string).collect()
    }),
    ("interface-type", |_| vec!["interface".to_owned()]),
    ("owner-id", |_| vec![ACCOUNT.to_owned()]),
];

pub(crate) fn describe_network_interfaces(mut call: Call) -> Answer {
    let ids = call.parameters.list("NetworkInterfaceId");
    let filters = Filters::take(&mut call.parameters, FILTERS)?;
    let page = Page::take(&mut call.parameters)?;
    call.accept()?;
    let items = call.read(|region| {
        let existing = || region.instances.values().filter(|instance| instance.exists());
        if let Some(id) = ids
            .iter()
            .find(|id| !existing().any(|instance| instance.network_interface_id == **id))
        {
            return Err(absent(ResourceKind::NetworkInterface, id));
        }
        let wanted = existing()
            .filter(|instance| ids.is_empty() || ids.contains(&instance.network_interface_id))
            .filter(|instance| filters.match_item(FILTERS, instance, region.tags_of(&instance.network_interface_id)));
        Ok::<_, ApiError>(wanted.map(|instance| describe(region, instance)).collect())
    })??;
    let (items, next) = page.cut(items);
    Ok(Element::body()
        .list("networkInterfaceSet", items)
        .maybe("nextToken", next))
}

/// Returns what an instance's interface has both as part of the instance and alone.
fn shared(region: &Region, instance: &Instance) -> Element {
    let association = instance.public_address().map(|address| {
        Element::new("association")
            .text("publicIp", address)
            .text("publicDnsName", address)
            .text("ipOwnerId", "amazon")
    });
    let private = Element::body()
        .text("privateIpAddress", instance.address)
        .text("privateDnsName", instance.address)
        .text("primary", true);
    let (private, base) = match association {
        Some(association) => (private.child(association.clone()), Element::body().child(association)),
        None => (private, Element::body()),
    };
    base.text("networkInterfaceId", &instance.network_interface_id)
        .text("subnetId", &instance.subnet_id)
        .text("vpcId", &instance.vpc_id)
        .text("description", "")
        .text("ownerId", ACCOUNT)
        .text("status", "in-use")
        .text("macAddress", mac_address(instance))
        .text("privateIpAddress", instance.address)
        .text("privateDnsName", instance.address)
        .text("sourceDestCheck", instance.source_dest_check)
        .list("groupSet", group_set(region, instance))
        .list("privateIpAddressesSet", [private])
        .list("ipv6AddressesSet", [])
        .text("interfaceType", "interface")
}

fn attachment(instance: &Instance) -> Element {
    Element::new("attachment")
        .text(
            "attachmentId",
            instance.network_interface_id.replacen("eni-", "eni-attach-", 1),
        )
        .text("deviceIndex", 0)
        .text("status", "attached")
        .text("attachTime", instance.launched)
        .text("deleteOnTermination", true)
        .text("networkCardIndex", 0)
}

/// Returns the interface as part of its instance.
pub(crate) fn of_instance(region: &Region, instance: &Instance) -> Element {
    shared(region, instance).child(attachment(instance))
}

fn describe(region: &Region, instance: &Instance) -> Element {
    let attachment = attachment(instance)
        .text("instanceId", &instance.id)
        .text("instanceOwnerId", ACCOUNT);
    shared(region, instance)
        .text("availabilityZone", &instance.zone)
        .text("requesterManaged", false)
        .child(attachment)
        .with(tags::tag_set(region.tags_of(&instance.network_interface_id)))
}

/// Returns a locally administered address that follows from the IPv4 address.
fn mac_address(instance: &Instance) -> String {
    let [one, two, three, four] = instance.address.octets();
    format!("02:00:{one:02x}:{two:02x}:{three:02x}:{four:02x}")
}
