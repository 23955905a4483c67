//! The strings and tags of an AMI that refer to the source AMI.

use bakelite_aws::tag::Tags;

use super::options::ImageOptions;
use crate::tags::{Renderer, TextError, pairs};

/// What refers to the source AMI, rendered before anything is made, so that a mistake costs nothing.
pub(crate) struct ImageTexts {
    /// The AMI's description; may be empty.
    pub(crate) description: String,
    /// Tags of the AMI.
    pub(crate) ami_tags: Tags,
    /// Tags of the AMI's snapshots: those of the AMI, with the snapshots' own on top.
    pub(crate) snapshot_tags: Tags,
}

impl ImageTexts {
    pub(crate) fn render(options: &ImageOptions, renderer: &Renderer) -> Result<Self, TextError> {
        let ami_tags = renderer.tags("tags", &options.tags, pairs(&options.tag))?;
        let own = renderer.tags("snapshot_tags", &options.snapshot_tags, pairs(&options.snapshot_tag))?;
        let mut snapshot_tags = ami_tags.clone();
        snapshot_tags.extend(own);
        let description = options.ami_description.as_deref().unwrap_or_default();
        Ok(Self {
            description: renderer.text("ami_description", description)?,
            ami_tags,
            snapshot_tags,
        })
    }
}
