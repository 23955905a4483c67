//! The tags of a launch that refer to the source AMI.

use bakelite_aws::tag::Tags;

use super::options::RunOptions;
use super::volumes::VolumeOptions;
use crate::tags::{Renderer, TextError, pairs};

/// The tags of a launch, rendered before anything is made, so that a mistake costs nothing.
#[expect(clippy::struct_field_names, reason = "they are named after their options")]
pub(crate) struct RunTexts {
    /// Tags of the instance and of what is temporary beside it.
    pub(crate) run_tags: Tags,
    /// Tags of the instance's volumes.
    pub(crate) volume_tags: Tags,
    /// Tags of a spot request and of its launch template.
    pub(crate) spot_tags: Tags,
    /// Tags of the fleet of a spot instance.
    pub(crate) fleet_tags: Tags,
}

impl RunTexts {
    pub(crate) fn render(
        options: &RunOptions,
        volumes: &VolumeOptions,
        renderer: &Renderer,
    ) -> Result<Self, TextError> {
        let of_volumes = volumes.run_volume_tag.iter().map(|tag| (&tag.name, &tag.value));
        Ok(Self {
            run_tags: renderer.tags("run_tags", &options.run_tags, pairs(&options.run_tag))?,
            volume_tags: renderer.tags("run_volume_tags", &volumes.run_volume_tags, of_volumes)?,
            spot_tags: renderer.tags("spot_tags", &options.spot_tags, pairs(&options.spot_tag))?,
            fleet_tags: renderer.tags("fleet_tags", &options.fleet_tags, pairs(&options.fleet_tag))?,
        })
    }
}
