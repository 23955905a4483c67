//! Texts and tags that speak of the source AMI: `{{ .SourceAMI }}`, `{{ .BuildRegion }}` …, rendered when it is known.

use aws_sdk_ec2::types::Image;
use bakelite_aws::tag::{self, Tags};
use bakelite_engine::bake::BakeError;
use bakelite_template::gotemplate::{self, RenderError, Rendering};
use serde_json::Value as Json;

use crate::ebs::blocks::KeyValue;
use crate::ebs::options::Options;

/// A text that cannot be rendered.
#[derive(Debug, thiserror::Error)]
#[error("render `{what}`")]
pub(crate) struct TagError {
    what: String,
    #[source]
    cause: RenderError,
}

impl From<TagError> for BakeError {
    fn from(error: TagError) -> Self {
        BakeError::failed(error)
    }
}

/// Everything that speaks of the source AMI, rendered before anything is made, so that a bad text costs nothing.
pub(crate) struct Texts {
    /// The AMI's description; may be empty.
    pub(crate) description: String,
    /// Tags of the instance and of what is temporary beside it.
    pub(crate) run_tags: Tags,
    /// Tags of the instance's volumes.
    pub(crate) volume_tags: Tags,
    /// Tags of the AMI.
    pub(crate) ami_tags: Tags,
    /// Tags of the AMI's snapshots: those of the AMI, with the snapshots' own on top.
    pub(crate) snapshot_tags: Tags,
}

impl Texts {
    /// Renders the options' texts.
    pub(crate) fn render(
        options: &Options,
        of_bake: &Rendering,
        source: &Image,
        region: &str,
    ) -> Result<Self, TagError> {
        let rendering = rendering(of_bake, source, region);
        let tags = |option, map, blocks: &[KeyValue]| {
            let blocks = blocks.iter().map(|tag| (&tag.key, &tag.value));
            tags(option, map, blocks, &rendering)
        };
        // The block of volume tags says `name` for `key`.
        let of_volumes = options.run_volume_tag.iter().map(|tag| (&tag.name, &tag.value));
        let ami_tags = tags("tags", &options.tags, &options.tag)?;
        let mut snapshot_tags = ami_tags.clone();
        snapshot_tags.extend(tags("snapshot_tags", &options.snapshot_tags, &options.snapshot_tag)?);
        Ok(Self {
            description: text(
                "ami_description",
                options.ami_description.as_deref().unwrap_or_default(),
                &rendering,
            )?,
            run_tags: tags("run_tags", &options.run_tags, &options.run_tag)?,
            volume_tags: self::tags("run_volume_tags", &options.run_volume_tags, of_volumes, &rendering)?,
            ami_tags,
            snapshot_tags,
        })
    }
}

/// What texts can refer to, with the source AMI added.
fn rendering(of_bake: &Rendering, source: &Image, region: &str) -> Rendering {
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

fn text(what: &str, text: &str, rendering: &Rendering) -> Result<String, TagError> {
    gotemplate::render(text, rendering).map_err(|cause| TagError {
        what: what.to_owned(),
        cause,
    })
}

/// The tags of an option and of its repeatable block.
fn tags<'a>(
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
