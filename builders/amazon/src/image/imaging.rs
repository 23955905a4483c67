//! The making of an AMI: what its steps share, known before anything is made.

use aws_sdk_ec2::types::{BlockDeviceMapping, Image};
use bakelite_aws::tag::Tags;
use bakelite_engine::bake::BakeError;

use super::encryption;
use super::fast_launch::{FastLaunch, FastLaunches};
use super::options::ImageOptions;
use super::texts::ImageTexts;
use crate::cloud::Cloud;
use crate::findings::Findings;
use crate::run::launch::Launch;
use crate::tags::Renderer;

/// An AMI in the making.
pub(crate) struct Imaging<'a> {
    pub(crate) cloud: Cloud<'a>,
    pub(crate) options: &'a ImageOptions,
    /// The tags of the instance, which its AMI gets too.
    pub(crate) run_tags: Tags,
    pub(crate) texts: ImageTexts,
    pub(crate) fast_launches: FastLaunches,
    /// The instance is a spot instance, which is not stopped.
    pub(crate) is_running: bool,
    /// The instance's volumes were encrypted for `encrypt_boot`.
    pub(crate) encrypted_at_launch: bool,
}

impl<'a> Imaging<'a> {
    /// Renders what refers to the source AMI, and finds what fast launches need.
    pub(crate) async fn prepare(
        launch: &Launch<'a>,
        options: &'a ImageOptions,
        fast_launch: Option<&FastLaunch>,
        renderer: &Renderer,
        findings: &mut Findings,
    ) -> Result<Self, BakeError> {
        let cloud = launch.cloud.clone();
        let types = launch.options.instance_types();
        Ok(Self {
            texts: ImageTexts::render(options, renderer)?,
            run_tags: launch.texts.run_tags.clone(),
            is_running: launch.options.spot().is_some(),
            encrypted_at_launch: encryption::is_at_launch(options, &types),
            fast_launches: findings
                .take(FastLaunches::find(&cloud, fast_launch).await)
                .unwrap_or_default(),
            cloud,
            options,
        })
    }

    /// The devices of the launch, encrypted where that saves an encrypted copy: those of the template and those of `source`.
    pub(crate) fn devices_at_launch(
        &self,
        devices: Vec<BlockDeviceMapping>,
        source: &Image,
    ) -> Vec<BlockDeviceMapping> {
        if !self.encrypted_at_launch {
            return devices;
        }
        let home = self.cloud.aws.region();
        encryption::encrypted(devices, source, self.options.key_in(home, home))
    }
}
