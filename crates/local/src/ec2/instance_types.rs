//! Instance types: families times sizes. They are names with figures; a machine here uses what this computer has.

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::filters::{FilterTable, Filters};
use crate::ec2::page::Page;
use crate::network;
use crate::state::Tags;
use crate::xml::Element;

/// An instance type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstanceType {
    pub(crate) name: String,
    pub(crate) architecture: &'static str,
    pub(crate) cpus: u32,
    pub(crate) memory_mib: u32,
    pub(crate) burstable: bool,
    /// Built on Nitro: such need ENA.
    pub(crate) nitro: bool,
}

/// A family: its name, architecture, MiB of memory per CPU from `large` on, whether it is burstable, whether Nitro.
struct Family(&'static str, &'static str, u32, bool, bool);

#[rustfmt::skip]
const FAMILIES: &[Family] = &[
    Family("t2", "x86_64", 4096, true, false),
    Family("t3", "x86_64", 4096, true, true),
    Family("t3a", "x86_64", 4096, true, true),
    Family("t4g", "arm64", 4096, true, true),
    Family("m4", "x86_64", 4096, false, false),
    Family("m5", "x86_64", 4096, false, true),
    Family("m5a", "x86_64", 4096, false, true),
    Family("m5d", "x86_64", 4096, false, true),
    Family("m5n", "x86_64", 4096, false, true),
    Family("m6a", "x86_64", 4096, false, true),
    Family("m6g", "arm64", 4096, false, true),
    Family("m6gd", "arm64", 4096, false, true),
    Family("m6i", "x86_64", 4096, false, true),
    Family("m7a", "x86_64", 4096, false, true),
    Family("m7g", "arm64", 4096, false, true),
    Family("m7i", "x86_64", 4096, false, true),
    Family("m7i-flex", "x86_64", 4096, false, true),
    Family("m8g", "arm64", 4096, false, true),
    Family("c4", "x86_64", 1920, false, false),
    Family("c5", "x86_64", 2048, false, true),
    Family("c5a", "x86_64", 2048, false, true),
    Family("c5d", "x86_64", 2048, false, true),
    Family("c5n", "x86_64", 2688, false, true),
    Family("c6a", "x86_64", 2048, false, true),
    Family("c6g", "arm64", 2048, false, true),
    Family("c6i", "x86_64", 2048, false, true),
    Family("c7a", "x86_64", 2048, false, true),
    Family("c7g", "arm64", 2048, false, true),
    Family("c7i", "x86_64", 2048, false, true),
    Family("c8g", "arm64", 2048, false, true),
    Family("r4", "x86_64", 7808, false, false),
    Family("r5", "x86_64", 8192, false, true),
    Family("r6a", "x86_64", 8192, false, true),
    Family("r6g", "arm64", 8192, false, true),
    Family("r6i", "x86_64", 8192, false, true),
    Family("r7g", "arm64", 8192, false, true),
    Family("r7i", "x86_64", 8192, false, true),
    Family("i3", "x86_64", 7808, false, false),
    Family("g4dn", "x86_64", 4096, false, true),
    Family("g5", "x86_64", 4096, false, true),
    Family("p3", "x86_64", 7808, false, false),
];

/// Sizes from `large` on, with their CPUs; the burstable families have four smaller ones.
const SIZES: &[(&str, u32)] = &[
    ("large", 2),
    ("xlarge", 4),
    ("2xlarge", 8),
    ("4xlarge", 16),
    ("8xlarge", 32),
    ("12xlarge", 48),
    ("16xlarge", 64),
    ("24xlarge", 96),
];
const SMALL_SIZES: &[(&str, u32)] = &[("nano", 512), ("micro", 1024), ("small", 2048), ("medium", 4096)];

/// Types that follow no family's rule: the first generation's default, and single-CPU Graviton sizes.
const SINGLE: &[(&str, &str, u32, u32)] = &[
    ("m1.small", "x86_64", 1, 1740),
    ("m1.medium", "x86_64", 1, 3788),
    ("m3.medium", "x86_64", 1, 3840),
    ("m3.large", "x86_64", 2, 7680),
    ("t1.micro", "x86_64", 1, 627),
    ("a1.medium", "arm64", 1, 2048),
    ("a1.large", "arm64", 2, 4096),
    ("c6g.medium", "arm64", 1, 2048),
    ("c7g.medium", "arm64", 1, 2048),
    ("m6g.medium", "arm64", 1, 4096),
    ("m7g.medium", "arm64", 1, 4096),
];

/// Returns the type of that name.
pub(crate) fn find(name: &str) -> Option<InstanceType> {
    if let Some((_, architecture, cpus, memory_mib)) = SINGLE.iter().find(|row| row.0 == name) {
        let nitro = *architecture == "arm64";
        return Some(InstanceType {
            name: name.to_owned(),
            architecture,
            cpus: *cpus,
            memory_mib: *memory_mib,
            burstable: false,
            nitro,
        });
    }
    let (family, size) = name.split_once('.')?;
    let Family(_, architecture, memory_per_cpu, burstable, nitro) = FAMILIES.iter().find(|row| row.0 == family)?;
    let (cpus, memory_mib) = if let Some((_, cpus)) = SIZES.iter().find(|row| row.0 == size) {
        (*cpus, cpus * memory_per_cpu)
    } else {
        let (_, memory) = SMALL_SIZES.iter().find(|row| row.0 == size).filter(|_| *burstable)?;
        (if family == "t2" && size != "medium" { 1 } else { 2 }, *memory)
    };
    Some(InstanceType {
        name: name.to_owned(),
        architecture,
        cpus,
        memory_mib,
        burstable: *burstable,
        nitro: *nitro,
    })
}

/// Returns the type of that name, or EC2's error for an unknown one.
pub(crate) fn required(name: &str) -> Result<InstanceType, ApiError> {
    find(name).ok_or_else(|| ApiError::invalid_parameter(format!("Invalid value '{name}' for InstanceType.")))
}

fn all() -> Vec<InstanceType> {
    let mut names: Vec<String> = SINGLE.iter().map(|row| row.0.to_owned()).collect();
    for family in FAMILIES {
        let small = SMALL_SIZES.iter().map(|size| size.0).filter(|_| family.3);
        let sizes = small.chain(
            SIZES
                .iter()
                .map(|size| size.0)
                .filter(|size| !family.3 || matches!(*size, "large" | "xlarge" | "2xlarge")),
        );
        names.extend(sizes.map(|size| format!("{}.{size}", family.0)));
    }
    names.sort();
    names.iter().filter_map(|name| find(name)).collect()
}

const FILTERS: FilterTable<InstanceType> = &[
    ("instance-type", |found| vec![found.name.clone()]),
    ("processor-info.supported-architecture", |found| {
        vec![found.architecture.to_owned()]
    }),
    ("vcpu-info.default-vcpus", |found| vec![found.cpus.to_string()]),
    ("memory-info.size-in-mib", |found| vec![found.memory_mib.to_string()]),
    ("burstable-performance-supported", |found| {
        vec![found.burstable.to_string()]
    }),
    ("current-generation", |_| vec!["true".to_owned()]),
    ("bare-metal", |_| vec!["false".to_owned()]),
    ("hypervisor", |found| vec![hypervisor(found).to_owned()]),
    ("supported-virtualization-type", |_| vec!["hvm".to_owned()]),
    ("supported-root-device-type", |_| vec!["ebs".to_owned()]),
    ("supported-usage-class", |_| {
        vec!["on-demand".to_owned(), "spot".to_owned()]
    }),
];

fn hypervisor(found: &InstanceType) -> &'static str {
    if found.nitro { "nitro" } else { "xen" }
}

pub(crate) fn describe_instance_types(mut call: Call) -> Answer {
    let names = call.parameters.list("InstanceType");
    let filters = Filters::take(&mut call.parameters, FILTERS)?;
    let page = Page::take(&mut call.parameters)?;
    call.accept()?;
    let types = if names.is_empty() {
        all()
    } else {
        let found = names.iter().map(|name| find(name).ok_or(name));
        found.collect::<Result<Vec<_>, _>>().map_err(|name| {
            ApiError::new(
                "InvalidInstanceType",
                format!("The following supplied instance types do not exist: [{name}]"),
            )
        })?
    };
    let wanted = types
        .iter()
        .filter(|found| filters.match_item(FILTERS, *found, &Tags::new()));
    let (items, next) = page.cut(wanted.map(describe).collect());
    Ok(Element::body().list("instanceTypeSet", items).maybe("nextToken", next))
}

fn describe(found: &InstanceType) -> Element {
    let words = |words: &[&'static str]| words.iter().map(|word| Element::leaf("item", word)).collect::<Vec<_>>();
    Element::body()
        .text("instanceType", &found.name)
        .text("currentGeneration", true)
        .text(
            "freeTierEligible",
            matches!(found.name.as_str(), "t2.micro" | "t3.micro"),
        )
        .list("supportedUsageClasses", words(&["on-demand", "spot"]))
        .list("supportedRootDeviceTypes", words(&["ebs"]))
        .list("supportedVirtualizationTypes", words(&["hvm"]))
        .text("bareMetal", false)
        .text("hypervisor", hypervisor(found))
        .child(Element::new("processorInfo").list("supportedArchitectures", words(&[found.architecture])))
        .child(
            Element::new("vCpuInfo")
                .text("defaultVCpus", found.cpus)
                .text("defaultCores", found.cpus.div_ceil(2))
                .text("defaultThreadsPerCore", found.cpus.min(2)),
        )
        .child(Element::new("memoryInfo").text("sizeInMiB", found.memory_mib))
        .text("instanceStorageSupported", false)
        .child(
            Element::new("ebsInfo")
                .text("ebsOptimizedSupport", if found.nitro { "default" } else { "supported" })
                .text("encryptionSupport", "supported")
                .text("nvmeSupport", if found.nitro { "required" } else { "unsupported" }),
        )
        .child(
            Element::new("networkInfo")
                .text("maximumNetworkInterfaces", 2)
                .text("enaSupport", if found.nitro { "required" } else { "supported" })
                .text("ipv6Supported", true),
        )
        .text("burstablePerformanceSupported", found.burstable)
        .text("dedicatedHostsSupported", !found.burstable)
        .text("hibernationSupported", false)
        .list("supportedBootModes", words(&["legacy-bios", "uefi"]))
}

struct Offering {
    instance_type: String,
    location: String,
}

const OFFERING_FILTERS: FilterTable<Offering> = &[
    ("instance-type", |offering| vec![offering.instance_type.clone()]),
    ("location", |offering| vec![offering.location.clone()]),
];

pub(crate) fn describe_instance_type_offerings(mut call: Call) -> Answer {
    let location_type = call
        .parameters
        .word("LocationType", &["region", "availability-zone", "availability-zone-id"])?
        .unwrap_or_else(|| "region".to_owned());
    let filters = Filters::take(&mut call.parameters, OFFERING_FILTERS)?;
    let page = Page::take(&mut call.parameters)?;
    call.accept()?;
    let zones = network::subnets(&call.region).into_iter().map(|subnet| subnet.zone);
    let locations: Vec<String> = match location_type.as_str() {
        "region" => vec![call.region.clone()],
        "availability-zone" => zones.collect(),
        _ => zones.map(|zone| network::zone_id(&zone)).collect(),
    };
    let mut items = Vec::new();
    for found in all() {
        for location in &locations {
            let offering = Offering {
                instance_type: found.name.clone(),
                location: location.clone(),
            };
            if filters.match_item(OFFERING_FILTERS, &offering, &Tags::new()) {
                items.push(
                    Element::body()
                        .text("instanceType", offering.instance_type)
                        .text("locationType", &location_type)
                        .text("location", offering.location),
                );
            }
        }
    }
    let (items, next) = page.cut(items);
    Ok(Element::body()
        .list("instanceTypeOfferingSet", items)
        .maybe("nextToken", next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_family_and_size() {
        let found = |name: &str| find(name).map(|found| (found.architecture, found.cpus, found.memory_mib));
        assert_eq!(found("t3.micro"), Some(("x86_64", 2, 1024)));
        assert_eq!(found("t2.micro"), Some(("x86_64", 1, 1024)));
        assert_eq!(found("t4g.small"), Some(("arm64", 2, 2048)));
        assert_eq!(found("m5.xlarge"), Some(("x86_64", 4, 16_384)));
        assert_eq!(found("m1.small"), Some(("x86_64", 1, 1740)));
        for unknown in ["", "t3", "t3.", "t3.huge", "m5.micro", "z9.large"] {
            assert_eq!(found(unknown), None, "{unknown}");
        }
        assert!(all().len() > 200);
    }
}
