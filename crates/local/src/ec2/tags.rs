//! Tags: `CreateTags`, `DeleteTags`, `DescribeTags`, and the tags that come with a resource when it is made.

use std::collections::BTreeMap;

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::filters::{FilterTable, Filters};
use crate::ec2::page::Page;
use crate::ids::ResourceKind;
use crate::ids::absent;
use crate::query::Parameters;
use crate::state::Region;
use crate::state::Tags;
use crate::xml::Element;

/// Most tags that one resource may have.
const MOST_TAGS: usize = 50;
/// Longest key and longest value, in characters.
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

/// Takes `Tag.N.Key` and `Tag.N.Value`.
pub(crate) fn take(parameters: &mut Parameters) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for mut tag in parameters.items("Tag") {
        let key = tag.required("Key")?;
        let value = tag.text("Value").unwrap_or_default();
        tag.finish()?;
        check(&key, &value)?;
        if tags.insert(key.clone(), value).is_some() {
            return Err(ApiError::invalid_parameter(format!(
                "Duplicate tag key '{key}' specified."
            )));
        }
    }
    Ok(tags)
}

fn check(key: &str, value: &str) -> Result<(), ApiError> {
    if key.starts_with("aws:") {
        return Err(ApiError::invalid_parameter(
            "Tag keys starting with 'aws:' are reserved for internal use",
        ));
    }
    if key.chars().count() > LONGEST_KEY {
        return Err(ApiError::invalid_parameter(format!(
            "Tag key exceeds the maximum length of {LONGEST_KEY} characters"
        )));
    }
    if value.chars().count() > LONGEST_VALUE {
        return Err(ApiError::invalid_parameter(format!(
            "Tag value exceeds the maximum length of {LONGEST_VALUE} characters"
        )));
    }
    Ok(())
}

/// Tags by kind of resource, as `TagSpecification.N` gives them to a call that makes resources.
#[derive(Debug, Default)]
pub(crate) struct TagSpecifications(BTreeMap<&'static str, Tags>);

impl TagSpecifications {
    /// Takes the specifications of a call that makes resources of `kinds`.
    pub(crate) fn take(parameters: &mut Parameters, kinds: &[ResourceKind]) -> Result<TagSpecifications, ApiError> {
        let mut specifications = BTreeMap::new();
        for mut specification in parameters.items("TagSpecification") {
            let name = specification.required("ResourceType")?;
            let tags = take(&mut specification)?;
            specification.finish()?;
            let kind = match ResourceKind::named(&name) {
                Some(kind) if kinds.contains(&kind) => kind.tag_name(),
                _ => {
                    return Err(ApiError::invalid_parameter(format!(
                        "'{name}' is not a valid taggable resource type for this operation."
                    )));
                }
            };
            specifications.insert(kind, tags);
        }
        Ok(TagSpecifications(specifications))
    }

    /// Returns the tags for one kind.
    pub(crate) fn of(&self, kind: ResourceKind) -> Tags {
        self.0.get(kind.tag_name()).cloned().unwrap_or_default()
    }
}

/// Returns an answer's `tagSet`.
pub(crate) fn tag_set(tags: &Tags) -> Element {
    Element::body().list(
        "tagSet",
        tags.iter()
            .map(|(key, value)| Element::body().text("key", key).text("value", value)),
    )
}

pub(crate) fn create_tags(mut call: Call) -> Answer {
    let (ids, tags) = (call.parameters.list("ResourceId"), take(&mut call.parameters)?);
    call.accept()?;
    if ids.is_empty() {
        return Err(ApiError::missing_parameter("ResourceIdSet"));
    }
    if tags.is_empty() {
        return Err(ApiError::missing_parameter("TagSet"));
    }
    let catalogue = call.catalogue();
    call.change(|region| {
        for id in &ids {
            if !catalogue.iter().any(|image| image.id == *id) {
                check_exists(region, id)?;
            }
            region.tag(id, &tags);
            if region.tags_of(id).len() > MOST_TAGS {
                return Err(ApiError::new(
                    "TagLimitExceeded",
                    "The maximum number of Tags for a resource has been reached.",
                ));
            }
        }
        Ok(())
    })?;
    Ok(Element::body().yes())
}

pub(crate) fn delete_tags(mut call: Call) -> Answer {
    let ids = call.parameters.list("ResourceId");
    let mut wanted = Vec::new();
    for mut tag in call.parameters.items("Tag") {
        wanted.push((tag.required("Key")?, tag.text("Value")));
        tag.finish()?;
    }
    call.accept()?;
    call.change(|region| {
        for id in &ids {
            let Some(tags) = region.tags.get_mut(id) else { continue };
            // Without any tag given, all go; a tag with a value goes only when it has that value.
            tags.retain(|key, value| {
                let named = |(name, expected): &(String, Option<String>)| {
                    name == key && expected.as_ref().is_none_or(|expected| expected == value)
                };
                !wanted.is_empty() && !wanted.iter().any(named)
            });
            if tags.is_empty() {
                region.tags.remove(id);
            }
        }
        Ok(())
    })?;
    Ok(Element::body().yes())
}

/// One row of `DescribeTags`.
struct Row {
    id: String,
    kind: &'static str,
    key: String,
    value: String,
}

const FILTERS: FilterTable<Row> = &[
    ("key", |row| vec![row.key.clone()]),
    ("value", |row| vec![row.value.clone()]),
    ("resource-id", |row| vec![row.id.clone()]),
    ("resource-type", |row| vec![row.kind.to_owned()]),
];

pub(crate) fn describe_tags(mut call: Call) -> Answer {
    let filters = Filters::take(&mut call.parameters, FILTERS)?;
    let page = Page::take(&mut call.parameters)?;
    call.accept()?;
    let rows = call.read(|region| {
        let mut rows = Vec::new();
        for (id, tags) in &region.tags {
            let kind = ResourceKind::of(id).map_or("image", ResourceKind::tag_name);
            rows.extend(tags.iter().map(|(key, value)| Row {
                id: id.clone(),
                kind,
                key: key.clone(),
                value: value.clone(),
            }));
        }
        rows.retain(|row| {
            let own = Tags::from([(row.key.clone(), row.value.clone())]);
            filters.match_item(FILTERS, row, &own)
        });
        rows
    })?;
    let (rows, next) = page.cut(rows);
    let items = rows.into_iter().map(|row| {
        Element::body()
            .text("resourceId", row.id)
            .text("resourceType", row.kind)
            .text("key", row.key)
            .text("value", row.value)
    });
    Ok(Element::body().list("tagSet", items).maybe("nextToken", next))
}

fn check_exists(region: &Region, id: &str) -> Result<(), ApiError> {
    let Some(kind) = ResourceKind::of(id) else {
        return Err(ApiError::new("InvalidID", format!("The ID '{id}' is not valid")));
    };
    let exists = match kind {
        ResourceKind::Instance => region.instances.contains_key(id),
        ResourceKind::Image => region.images.contains_key(id),
        ResourceKind::Snapshot => region.snapshots.contains_key(id),
        ResourceKind::Volume => region.volumes.contains_key(id),
        ResourceKind::KeyPair => region.key_pairs.values().any(|pair| pair.id == id),
        ResourceKind::SecurityGroup => region.security_groups.contains_key(id),
        ResourceKind::SecurityGroupRule => region.security_groups.values().any(|group| group.rule(id).is_some()),
        ResourceKind::NetworkInterface => region
            .instances
            .values()
            .any(|instance| instance.network_interface_id == id),
        ResourceKind::LaunchTemplate => region.launch_templates.contains_key(id),
        ResourceKind::Fleet => region.fleets.values().any(|fleet| fleet.id == id),
        ResourceKind::SpotRequest => region
            .instances
            .values()
            .any(|instance| instance.spot_request_id.as_deref() == Some(id)),
        // The default network's parts have ids that are derived, not kept.
        ResourceKind::Subnet | ResourceKind::Vpc => true,
    };
    if exists { Ok(()) } else { Err(absent(kind, id)) }
}
