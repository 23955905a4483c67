//! What describes the network of a region: VPCs and subnets.

use crate::call::{Answer, Call};
use crate::ec2::filters::{FilterTable, Filters};
use crate::ec2::page::Page;
use crate::ec2::tags::{self};
use crate::network::{SUBNET_ADDRESSES, Subnet, VPC_CIDR, check_vpc, subnet, subnets, vpc_id, zone_id};
use crate::state::ACCOUNT;
use crate::state::Tags;
use crate::xml::Element;

const VPC_FILTERS: FilterTable<String> = &[
    ("vpc-id", |id| vec![id.clone()]),
    ("is-default", |_| vec!["true".to_owned()]),
    ("isDefault", |_| vec!["true".to_owned()]),
    ("state", |_| vec!["available".to_owned()]),
    ("cidr", |_| vec![VPC_CIDR.to_owned()]),
    ("cidr-block-association.cidr-block", |_| vec![VPC_CIDR.to_owned()]),
    ("owner-id", |_| vec![ACCOUNT.to_owned()]),
    ("dhcp-options-id", |_| vec!["default".to_owned()]),
];

pub(crate) fn describe_vpcs(mut call: Call) -> Answer {
    let ids = call.parameters.list("VpcId");
    let filters = Filters::take(&mut call.parameters, VPC_FILTERS)?;
    let page = Page::take(&mut call.parameters)?;
    call.accept()?;
    for id in &ids {
        check_vpc(&call.region, id)?;
    }
    let id = vpc_id(&call.region);
    let tags = call.read(|region| region.tags_of(&id).clone())?;
    let found = filters
        .match_item(VPC_FILTERS, &id, &tags)
        .then(|| describe_vpc(&id, &tags));
    let (items, next) = page.cut(found.into_iter().collect());
    Ok(Element::body().list("vpcSet", items).maybe("nextToken", next))
}

fn describe_vpc(id: &str, tags: &Tags) -> Element {
    let association = Element::body()
        .text("cidrBlock", VPC_CIDR)
        .text("associationId", id.replacen("vpc-", "vpc-cidr-assoc-", 1))
        .child(Element::new("cidrBlockState").text("state", "associated"));
    Element::body()
        .text("vpcId", id)
        .text("ownerId", ACCOUNT)
        .text("state", "available")
        .text("cidrBlock", VPC_CIDR)
        .list("cidrBlockAssociationSet", [association])
        .text("dhcpOptionsId", "default")
        .text("instanceTenancy", "default")
        .text("isDefault", true)
        .with(tags::tag_set(tags))
}

const SUBNET_FILTERS: FilterTable<Subnet> = &[
    ("subnet-id", |subnet| vec![subnet.id.clone()]),
    ("vpc-id", |subnet| vec![subnet.vpc_id.clone()]),
    ("availability-zone", |subnet| vec![subnet.zone.clone()]),
    ("availabilityZone", |subnet| vec![subnet.zone.clone()]),
    ("availability-zone-id", |subnet| vec![zone_id(&subnet.zone)]),
    ("cidr", |subnet| vec![subnet.cidr()]),
    ("cidr-block", |subnet| vec![subnet.cidr()]),
    ("default-for-az", |_| vec!["true".to_owned()]),
    ("defaultForAz", |_| vec!["true".to_owned()]),
    ("map-public-ip-on-launch", |_| vec!["true".to_owned()]),
    ("state", |_| vec!["available".to_owned()]),
    ("owner-id", |_| vec![ACCOUNT.to_owned()]),
];

pub(crate) fn describe_subnets(mut call: Call) -> Answer {
    let ids = call.parameters.list("SubnetId");
    let filters = Filters::take(&mut call.parameters, SUBNET_FILTERS)?;
    let page = Page::take(&mut call.parameters)?;
    call.accept()?;
    for id in &ids {
        subnet(&call.region, id)?;
    }
    let items = call.read(|region| {
        let taken = |id: &str| {
            let count = region
                .instances
                .values()
                .filter(|instance| instance.subnet_id == id && instance.is_alive())
                .count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        subnets(&call.region)
            .into_iter()
            .filter(|subnet| ids.is_empty() || ids.contains(&subnet.id))
            .filter(|subnet| filters.match_item(SUBNET_FILTERS, subnet, region.tags_of(&subnet.id)))
            .map(|subnet| describe_subnet(&subnet, taken(&subnet.id), region.tags_of(&subnet.id)))
            .collect()
    })?;
    let (items, next) = page.cut(items);
    Ok(Element::body().list("subnetSet", items).maybe("nextToken", next))
}

fn describe_subnet(subnet: &Subnet, taken: u32, tags: &Tags) -> Element {
    Element::body()
        .text("subnetId", &subnet.id)
        .text(
            "subnetArn",
            format!("arn:aws:ec2:{}:{ACCOUNT}:subnet/{}", region_of(&subnet.zone), subnet.id),
        )
        .text("state", "available")
        .text("vpcId", &subnet.vpc_id)
        .text("ownerId", ACCOUNT)
        .text("cidrBlock", subnet.cidr())
        .text("availableIpAddressCount", (SUBNET_ADDRESSES - 5).saturating_sub(taken))
        .text("availabilityZone", &subnet.zone)
        .text("availabilityZoneId", zone_id(&subnet.zone))
        .text("defaultForAz", true)
        .text("mapPublicIpOnLaunch", true)
        .text("assignIpv6AddressOnCreation", false)
        .with(tags::tag_set(tags))
}

fn region_of(zone: &str) -> &str {
    zone.get(..zone.len().saturating_sub(1)).unwrap_or(zone)
}
