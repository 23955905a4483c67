//! Regions and zones.

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::filters::{FilterTable, Filters};
use crate::network::{self, ZONE_LETTERS};
use crate::state::Tags;
use crate::xml::Element;

/// The regions of AWS's commercial partition that are enabled without opting in, and those that need it.
const REGIONS: &[(&str, bool)] = &[
    ("af-south-1", true),
    ("ap-east-1", true),
    ("ap-northeast-1", false),
    ("ap-northeast-2", false),
    ("ap-northeast-3", false),
    ("ap-south-1", false),
    ("ap-south-2", true),
    ("ap-southeast-1", false),
    ("ap-southeast-2", false),
    ("ap-southeast-3", true),
    ("ap-southeast-4", true),
    ("ca-central-1", false),
    ("ca-west-1", true),
    ("eu-central-1", false),
    ("eu-central-2", true),
    ("eu-north-1", false),
    ("eu-south-1", true),
    ("eu-south-2", true),
    ("eu-west-1", false),
    ("eu-west-2", false),
    ("eu-west-3", false),
    ("il-central-1", true),
    ("me-central-1", true),
    ("me-south-1", true),
    ("sa-east-1", false),
    ("us-east-1", false),
    ("us-east-2", false),
    ("us-west-1", false),
    ("us-west-2", false),
];

/// Returns whether there is such a region.
pub(crate) fn exists(region: &str) -> bool {
    REGIONS.iter().any(|(name, _)| *name == region)
}

const REGION_FILTERS: FilterTable<(&str, bool)> = &[
    ("region-name", |region| vec![region.0.to_owned()]),
    ("endpoint", |region| vec![endpoint(region.0)]),
    ("opt-in-status", |region| vec![opt_in(region.1).to_owned()]),
];

fn endpoint(region: &str) -> String {
    format!("ec2.{region}.amazonaws.com")
}

fn opt_in(needed: bool) -> &'static str {
    if needed { "opted-in" } else { "opt-in-not-required" }
}

pub(crate) fn describe_regions(mut call: Call) -> Answer {
    let names = call.parameters.list("RegionName");
    let filters = Filters::take(&mut call.parameters, REGION_FILTERS)?;
    let _all = call.parameters.boolean("AllRegions")?;
    call.accept()?;
    if let Some(unknown) = names.iter().find(|name| !exists(name)) {
        return Err(ApiError::invalid_parameter(format!(
            "Invalid region provided: {unknown}"
        )));
    }
    let wanted = REGIONS.iter().filter(|region| {
        let listed = names.is_empty() || names.iter().any(|name| name == region.0);
        listed && filters.match_item(REGION_FILTERS, region, &Tags::new())
    });
    let items = wanted.map(|(name, needed)| {
        Element::body()
            .text("regionName", name)
            .text("regionEndpoint", endpoint(name))
            .text("optInStatus", opt_in(*needed))
    });
    Ok(Element::body().list("regionInfo", items))
}

struct Zone {
    name: String,
    id: String,
    region: String,
}

const ZONE_FILTERS: FilterTable<Zone> = &[
    ("zone-name", |zone| vec![zone.name.clone()]),
    ("zone-id", |zone| vec![zone.id.clone()]),
    ("region-name", |zone| vec![zone.region.clone()]),
    ("state", |_| vec!["available".to_owned()]),
    ("zone-type", |_| vec!["availability-zone".to_owned()]),
    ("opt-in-status", |_| vec!["opt-in-not-required".to_owned()]),
    ("group-name", |zone| vec![zone.region.clone()]),
];

pub(crate) fn describe_availability_zones(mut call: Call) -> Answer {
    let (names, ids) = (call.parameters.list("ZoneName"), call.parameters.list("ZoneId"));
    let filters = Filters::take(&mut call.parameters, ZONE_FILTERS)?;
    let _all = call.parameters.boolean("AllAvailabilityZones")?;
    call.accept()?;
    let zones: Vec<Zone> = ZONE_LETTERS
        .iter()
        .map(|letter| {
            let name = format!("{}{letter}", call.region);
            Zone {
                id: network::zone_id(&name),
                name,
                region: call.region.clone(),
            }
        })
        .collect();
    if let Some(unknown) = names.iter().find(|name| !zones.iter().any(|zone| zone.name == **name)) {
        return Err(ApiError::invalid_parameter(format!(
            "Invalid availability zone: [{unknown}]"
        )));
    }
    let wanted = zones.iter().filter(|zone| {
        (names.is_empty() || names.contains(&zone.name))
            && (ids.is_empty() || ids.contains(&zone.id))
            && filters.match_item(ZONE_FILTERS, zone, &Tags::new())
    });
    let items = wanted.map(|zone| {
        Element::body()
            .text("zoneName", &zone.name)
            .text("zoneState", "available")
            .text("regionName", &zone.region)
            .list("messageSet", [])
            .text("zoneId", &zone.id)
            .text("optInStatus", "opt-in-not-required")
            .text("groupName", &zone.region)
            .text("networkBorderGroup", &zone.region)
            .text("zoneType", "availability-zone")
    });
    Ok(Element::body().list("availabilityZoneInfo", items))
}
