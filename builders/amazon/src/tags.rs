//! Templates of strings that are rendered at run time, when the source AMI is known: `{{ .SourceAMI }}`, `{{ .BuildRegion }}` ….

use std::borrow::Cow;

use aws_sdk_ec2::types::Image;
use bakelite_aws::tag::{self, Tags};
use bakelite_engine::bake::Bake;
use bakelite_engine::error::Explain;
use bakelite_engine::events::Ui;
use bakelite_template::gotemplate::{self, RenderError, Rendering};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

/// A tag.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct KeyValue {
    /// The tag's key.
    #[schemars(extend("x-late" = true))]
    pub key: String,
    /// The tag's value.
    #[schemars(extend("x-late" = true))]
    pub value: String,
}

/// A tag of a volume, whose block names the key `name`.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct VolumeTag {
    /// The tag's key.
    #[schemars(extend("x-late" = true))]
    pub name: String,
    /// The tag's value.
    #[schemars(extend("x-late" = true))]
    pub value: String,
}

/// A string that cannot be rendered.
#[derive(Debug, thiserror::Error)]
#[error("failed to render `{option}`")]
pub(crate) struct TextError {
    option: String,
    #[source]
    cause: RenderError,
}

impl Explain for TextError {
    fn option(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.option))
    }
}

/// What a template writes for a tag that is not there.
const NO_VALUE: &str = "<no value>";

/// Renders what refers to the source AMI.
pub(crate) struct Renderer {
    rendering: Rendering,
    ui: Ui,
}

impl Renderer {
    /// What templates of the bake can refer to, with the source AMI added.
    pub(crate) fn new(bake: &Bake, source: &Image, region: &str) -> Self {
        let mut rendering = bake.rendering.clone();
        let tags = tag::read(source.tags()).into_iter();
        let tags = tags.map(|(key, value)| (key, Json::String(value))).collect();
        let text = |value: Option<&str>| Json::String(value.unwrap_or_default().into());
        for (name, value) in [
            ("BuildRegion", text(Some(region))),
            ("SourceAMI", text(source.image_id())),
            ("SourceAMIName", text(source.name())),
            ("SourceAMICreationDate", text(source.creation_date())),
            ("SourceAMIOwner", text(source.owner_id())),
            ("SourceAMIOwnerName", text(source.image_owner_alias())),
            ("SourceAMITags", Json::Object(tags)),
        ] {
            rendering.fields.insert(name.into(), value);
        }
        Self {
            rendering,
            ui: bake.ui.clone(),
        }
    }

    /// The value of an option.
    pub(crate) fn text(&self, option: &str, text: &str) -> Result<String, TextError> {
        let rendered = gotemplate::render(text, &self.rendering).map_err(|cause| TextError {
            option: option.to_owned(),
            cause,
        })?;
        if rendered.contains(NO_VALUE) && !text.contains(NO_VALUE) {
            let message =
                format!("`{option}` refers to a tag that the source AMI does not have: it becomes `{rendered}`");
            self.ui.warn(message);
        }
        Ok(rendered)
    }

    /// The tags of an option and of its repeatable block.
    pub(crate) fn tags<'b>(
        &self,
        option: &str,
        map: &'b Tags,
        blocks: impl IntoIterator<Item = (&'b String, &'b String)>,
    ) -> Result<Tags, TextError> {
        let all = map.iter().chain(blocks);
        let rendered = all.map(|(key, value)| {
            let of_value = format!("{option}.{key}");
            Ok((self.text(option, key)?, self.text(&of_value, value)?))
        });
        rendered.collect()
    }
}

/// The pairs of repeated blocks.
pub(crate) fn pairs(blocks: &[KeyValue]) -> impl Iterator<Item = (&String, &String)> {
    blocks.iter().map(|tag| (&tag.key, &tag.value))
}
