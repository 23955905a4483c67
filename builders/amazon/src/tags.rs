//! Texts and tags that speak of the source AMI: `{{ .SourceAMI }}`, `{{ .BuildRegion }}` …, rendered when it is known.

use aws_sdk_ec2::types::Image;
use bakelite_aws::tag::{self, Tags};
use bakelite_template::gotemplate::{self, RenderError, Rendering};
use serde_json::Value as Json;

use crate::ebs::blocks::{KeyValue, VolumeTag};

/// A text that cannot be rendered.
#[derive(Debug, thiserror::Error)]
#[error("render `{what}`")]
pub(crate) struct TagError {
    what: String,
    #[source]
    cause: RenderError,
}

/// What texts can refer to, with the source AMI added.
pub(crate) fn rendering(of_bake: &Rendering, source: &Image, region: &str) -> Rendering {
    let mut rendering = of_bake.clone();
    let mut add = |name: &str, value: Option<&str>| {
        rendering
            .fields
            .insert(name.into(), Json::String(value.unwrap_or_default().into()));
    };
    add("BuildRegion", Some(region));
    add("SourceAMI", source.image_id());
    add("SourceAMIName", source.name());
    add("SourceAMICreationDate", source.creation_date());
    add("SourceAMIOwner", source.owner_id());
    add("SourceAMIOwnerName", source.image_owner_alias());
    let tags = tag::read(source.tags())
        .into_iter()
        .map(|(key, value)| (key, Json::String(value)))
        .collect();
    rendering.fields.insert("SourceAMITags".into(), Json::Object(tags));
    rendering
}

/// One text.
pub(crate) fn text(what: &str, text: &str, rendering: &Rendering) -> Result<String, TagError> {
    gotemplate::render(text, rendering).map_err(|cause| TagError {
        what: what.to_owned(),
        cause,
    })
}

/// The tags of an option and of its repeatable block, which goes first.
pub(crate) fn tags(option: &str, map: &Tags, blocks: &[KeyValue], rendering: &Rendering) -> Result<Tags, TagError> {
    let blocks = blocks.iter().map(|tag| (&tag.key, &tag.value));
    render(option, map, blocks, rendering)
}

/// The same for volumes, whose block says `name` for `key`.
pub(crate) fn volume_tags(
    option: &str,
    map: &Tags,
    blocks: &[VolumeTag],
    rendering: &Rendering,
) -> Result<Tags, TagError> {
    let blocks = blocks.iter().map(|tag| (&tag.name, &tag.value));
    render(option, map, blocks, rendering)
}

fn render<'a>(
    option: &str,
    map: &'a Tags,
    blocks: impl Iterator<Item = (&'a String, &'a String)>,
    rendering: &Rendering,
) -> Result<Tags, TagError> {
    let mut tags = Tags::new();
    for (key, value) in map.iter().chain(blocks) {
        tags.insert(
            text(option, key, rendering)?,
            text(&format!("{option}.{key}"), value, rendering)?,
        );
    }
    Ok(tags)
}
