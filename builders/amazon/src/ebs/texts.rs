//! The strings and tags of an amazon-ebs bake that refer to the source AMI.

use aws_sdk_ec2::types::Image;
use bakelite_aws::tag::Tags;
use bakelite_template::gotemplate::Rendering;

use super::options::Options;
use crate::tags::{Renderer, TextError, pairs};

/// Everything that refers to the source AMI, rendered before anything is made, so that a mistake costs nothing.
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
    pub(crate) fn render(options: &Options, bake: &Rendering, source: &Image, region: &str) -> Result<Self, TextError> {
        let renderer = Renderer::new(bake, source, region);
        let of_volumes = options.run_volume_tag.iter().map(|tag| (&tag.name, &tag.value));
        let ami_tags = renderer.tags("tags", &options.tags, pairs(&options.tag))?;
        let own = renderer.tags("snapshot_tags", &options.snapshot_tags, pairs(&options.snapshot_tag))?;
        let mut snapshot_tags = ami_tags.clone();
        snapshot_tags.extend(own);
        Ok(Self {
            description: renderer.text(
                "ami_description",
                options.ami_description.as_deref().unwrap_or_default(),
            )?,
            run_tags: renderer.tags("run_tags", &options.run_tags, pairs(&options.run_tag))?,
            volume_tags: renderer.tags("run_volume_tags", &options.run_volume_tags, of_volumes)?,
            ami_tags,
            snapshot_tags,
        })
    }
}
