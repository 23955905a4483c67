//! How `DescribeInstances` and its relatives show instances.

use std::net::Ipv4Addr;

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::filters::{FilterTable, Filters};
use crate::ec2::page::Page;
use crate::ec2::tags::{self};
use crate::ec2::{instance_types, security_groups};
use crate::ids::ResourceKind;
use crate::state::Tags;
use crate::state::instance::{Instance, MetadataOptions};
use crate::state::{ACCOUNT, Region};
use crate::xml::Element;

const FILTERS: FilterTable<Instance> = &[
    ("instance-id", |instance| vec![instance.id.clone()]),
    ("instance-state-name", |instance| vec![instance.state.name().to_owned()]),
    ("instance-state-code", |instance| {
        vec![instance.state.code().to_string()]
    }),
    ("instance-type", |instance| vec![instance.instance_type.clone()]),
    ("instance-lifecycle", |instance| {
        instance.is_spot.then(|| "spot".to_owned()).into_iter().collect()
    }),
    ("image-id", |instance| vec![instance.image_id.clone()]),
    ("key-name", |instance| instance.key_name.iter().cloned().collect()),
    ("reservation-id", |instance| vec![instance.reservation_id.clone()]),
    ("client-token", |instance| {
        instance.client_token.iter().cloned().collect()
    }),
    ("availability-zone", |instance| vec![instance.zone.clone()]),
    ("subnet-id", |instance| vec![instance.subnet_id.clone()]),
    ("vpc-id", |instance| vec![instance.vpc_id.clone()]),
    ("instance.group-id", |instance| instance.security_groups.clone()),
    ("group-id", |instance| instance.security_groups.clone()),
    ("network-interface.network-interface-id", |instance| {
        vec![instance.network_interface_id.clone()]
    }),
    ("ip-address", |instance| {
        instance
            .public_address()
            .map(|address| address.to_string())
            .into_iter()
            .collect()
    }),
    ("dns-name", |instance| {
        instance
            .public_address()
            .map(|address| address.to_string())
            .into_iter()
            .collect()
    }),
    ("private-ip-address", |instance| {
        instance
            .private_address()
            .map(|address| address.to_string())
            .into_iter()
            .collect()
    }),
    ("private-dns-name", |instance| {
        instance
            .private_address()
            .map(|address| address.to_string())
            .into_iter()
            .collect()
    }),
    ("architecture", |instance| vec![instance.architecture.clone()]),
    ("hypervisor", |_| vec!["xen".to_owned()]),
    ("virtualization-type", |_| vec!["hvm".to_owned()]),
    ("root-device-name", |instance| vec![instance.root_device.clone()]),
    ("root-device-type", |_| vec!["ebs".to_owned()]),
    ("tenancy", |instance| vec![instance.tenancy.clone()]),
    ("owner-id", |_| vec![ACCOUNT.to_owned()]),
    ("launch-time", |instance| vec![instance.launched.to_string()]),
    ("monitoring-state", |instance| vec![monitoring(instance).to_owned()]),
    ("iam-instance-profile.arn", |instance| {
        instance.instance_profile.iter().cloned().collect()
    }),
    ("state-reason-code", |instance| {
        instance.state_reason.iter().map(|(code, _)| code.clone()).collect()
    }),
    ("metadata-options.http-tokens", |instance| {
        vec![instance.metadata_options.http_tokens.clone()]
    }),
];

fn monitoring(instance: &Instance) -> &'static str {
    if instance.monitoring { "enabled" } else { "disabled" }
}

pub(crate) fn describe_instances(mut call: Call) -> Answer {
    let ids = call.parameters.list("InstanceId");
    let filters = Filters::take(&mut call.parameters, FILTERS)?;
    let page = Page::take(&mut call.parameters)?;
    call.accept()?;
    let found = call.read(|region| {
        region.check_instances(&ids)?;
        let mut found: Vec<(Instance, Element)> = Vec::new();
        for instance in region
            .instances
            .values()
            .filter(|instance| ids.is_empty() || ids.contains(&instance.id))
        {
            let tags = instance.shown_tags(region.tags_of(&instance.id));
            if filters.match_item(FILTERS, instance, &tags) {
                found.push((instance.clone(), describe(region, instance, &tags)));
            }
        }
        found.sort_by(|(one, _), (other, _)| {
            (one.launched, &one.reservation_id, one.launch_index).cmp(&(
                other.launched,
                &other.reservation_id,
                other.launch_index,
            ))
        });
        Ok::<_, ApiError>(found)
    })??;
    let (found, next) = page.cut(found);
    Ok(Element::body()
        .list("reservationSet", reservations(found))
        .maybe("nextToken", next))
}

/// Gathers instances by the launch that made them.
fn reservations(found: Vec<(Instance, Element)>) -> Vec<Element> {
    let mut reservations: Vec<(String, Vec<Element>)> = Vec::new();
    for (instance, item) in found {
        match reservations.last_mut() {
            Some((id, items)) if *id == instance.reservation_id => items.push(item),
            _ => reservations.push((instance.reservation_id, vec![item])),
        }
    }
    reservations
        .into_iter()
        .map(|(id, items)| reservation(&id, items))
        .collect()
}

/// Returns one reservation, as `DescribeInstances` and `RunInstances` answer it.
pub(crate) fn reservation(id: &str, instances: Vec<Element>) -> Element {
    Element::body()
        .text("reservationId", id)
        .text("ownerId", ACCOUNT)
        .list("groupSet", [])
        .list("instancesSet", instances)
}

/// Returns an instance as `RunInstances` and `DescribeInstances` answer it.
pub(crate) fn describe_with_tags(region: &Region, instance: &Instance) -> Element {
    describe(region, instance, &instance.shown_tags(region.tags_of(&instance.id)))
}

fn describe(region: &Region, instance: &Instance, tags: &Tags) -> Element {
    let interfaces: Vec<Element> = instance
        .exists()
        .then(|| network_interface(region, instance))
        .into_iter()
        .collect();
    Element::body()
        .text("instanceId", &instance.id)
        .text("imageId", &instance.image_id)
        .child(instance.state.describe("instanceState"))
        .text("privateDnsName", text_or_empty(instance.private_address()))
        .text("dnsName", text_or_empty(instance.public_address()))
        .text("reason", &instance.transition_reason)
        .maybe("keyName", instance.key_name.as_ref())
        .text("amiLaunchIndex", instance.launch_index)
        .list("productCodes", [])
        .text("instanceType", &instance.instance_type)
        .text("launchTime", instance.launched)
        .child(placement(instance))
        .child(Element::new("monitoring").text("state", monitoring(instance)))
        .maybe("subnetId", instance.exists().then_some(&instance.subnet_id))
        .maybe("vpcId", instance.exists().then_some(&instance.vpc_id))
        .maybe("privateIpAddress", instance.private_address())
        .maybe("ipAddress", instance.public_address())
        .text("sourceDestCheck", instance.source_dest_check)
        .list("groupSet", security_groups::group_set(region, instance))
        .with(state_reason(instance))
        .text("architecture", &instance.architecture)
        .text("rootDeviceType", "ebs")
        .text("rootDeviceName", &instance.root_device)
        .list("blockDeviceMapping", block_device_mapping(region, &instance.id))
        .text("virtualizationType", "hvm")
        .maybe("instanceLifecycle", instance.is_spot.then_some("spot"))
        .maybe("spotInstanceRequestId", instance.spot_request_id.as_ref())
        .text("clientToken", instance.client_token.as_deref().unwrap_or_default())
        .with(tags::tag_set(tags))
        .text("hypervisor", "xen")
        .list("networkInterfaceSet", interfaces)
        .with(instance_profile(instance))
        .text("ebsOptimized", instance.ebs_optimized)
        .text("enaSupport", instance.ena_support)
        .maybe("sriovNetSupport", instance.sriov_support.then_some("simple"))
        .child(cpu_options(instance))
        .child(metadata_options(&instance.metadata_options))
        .child(Element::new("enclaveOptions").text("enabled", instance.enclave))
        .maybe("bootMode", instance.boot_mode.as_ref())
        .maybe(
            "currentInstanceBootMode",
            instance.boot_mode.as_ref().map(|_| "legacy-bios"),
        )
        .text("platformDetails", "Linux/UNIX")
        .text("usageOperation", "RunInstances")
        .text("usageOperationUpdateTime", instance.launched)
}

fn text_or_empty(address: Option<Ipv4Addr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

fn placement(instance: &Instance) -> Element {
    Element::new("placement")
        .text("availabilityZone", &instance.zone)
        .text("groupName", "")
        .text("tenancy", &instance.tenancy)
}

fn cpu_options(instance: &Instance) -> Element {
    let cpus = instance_types::find(&instance.instance_type).map_or(1, |found| found.cpus);
    Element::new("cpuOptions")
        .text("coreCount", cpus.div_ceil(2))
        .text("threadsPerCore", cpus.min(2))
}

fn state_reason(instance: &Instance) -> Element {
    let Some((code, message)) = &instance.state_reason else {
        return Element::body();
    };
    Element::body().child(Element::new("stateReason").text("code", code).text("message", message))
}

fn instance_profile(instance: &Instance) -> Element {
    let Some(arn) = &instance.instance_profile else {
        return Element::body();
    };
    let id = format!(
        "AIPA{}",
        ResourceKind::Instance.stable_id(arn).to_uppercase().replace('-', "")
    );
    Element::body().child(Element::new("iamInstanceProfile").text("arn", arn).text("id", id))
}

pub(crate) fn metadata_options(options: &MetadataOptions) -> Element {
    Element::new("metadataOptions")
        .text("state", "applied")
        .text("httpTokens", &options.http_tokens)
        .text("httpPutResponseHopLimit", options.hop_limit)
        .text("httpEndpoint", &options.http_endpoint)
        .text("httpProtocolIpv6", &options.http_protocol_ipv6)
        .text("instanceMetadataTags", &options.instance_tags)
}

/// Returns the volumes that are attached to an instance, by device.
pub(crate) fn block_device_mapping(region: &Region, id: &str) -> Vec<Element> {
    let attached = region.volumes.values().filter_map(|volume| {
        let attachment = volume
            .attachment
            .as_ref()
            .filter(|attachment| attachment.instance_id == id)?;
        Some((attachment, volume))
    });
    let mut attached: Vec<_> = attached.collect();
    attached.sort_by(|(one, _), (other, _)| one.device.cmp(&other.device));
    attached
        .into_iter()
        .map(|(attachment, volume)| {
            let ebs = Element::new("ebs")
                .text("volumeId", &volume.id)
                .text("status", "attached")
                .text("attachTime", attachment.since)
                .text("deleteOnTermination", volume.ebs.delete_on_termination);
            Element::body().text("deviceName", &attachment.device).child(ebs)
        })
        .collect()
}

/// Returns an instance's network interface: each has one, which comes and goes with it.
fn network_interface(region: &Region, instance: &Instance) -> Element {
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
        .text("macAddress", instance.mac_address())
        .text("privateIpAddress", instance.address)
        .text("privateDnsName", instance.address)
        .text("sourceDestCheck", instance.source_dest_check)
        .list("groupSet", security_groups::group_set(region, instance))
        .list("privateIpAddressesSet", [private])
        .list("ipv6AddressesSet", [])
        .text("interfaceType", "interface")
        .child(attachment(instance))
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
