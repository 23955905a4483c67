//! A launch: what its steps share, and how it is prepared.

use aws_sdk_ec2::types::{BlockDeviceMapping, Image};
use bakelite_engine::bake::BakeError;

use super::network::Network;
use super::options::RunOptions;
use super::preflight::{self, Findings};
use super::source_ami::{Requirements, VirtualizationType};
use super::texts::RunTexts;
use super::volumes::VolumeOptions;
use crate::cloud::Cloud;
use crate::tags::Renderer;

/// A launch whose source AMI and network are known.
pub(crate) struct Launch<'a> {
    pub(crate) cloud: Cloud<'a>,
    pub(crate) options: &'a RunOptions,
    /// The block devices that the template gives the instance.
    pub(crate) devices: Vec<BlockDeviceMapping>,
    pub(crate) source: Image,
    pub(crate) network: Network,
    pub(crate) texts: RunTexts,
}

impl<'a> Launch<'a> {
    /// Finds the source AMI, of this virtualization type, and the network, and renders what refers to the source AMI. Without one of both
    /// there is nothing more to find: all that was found so far is the error then.
    pub(crate) async fn prepare(
        cloud: Cloud<'a>,
        options: &'a RunOptions,
        volumes: &VolumeOptions,
        virtualization: Option<VirtualizationType>,
        findings: &mut Findings,
    ) -> Result<(Self, Renderer), BakeError> {
        cloud.say("Looking for the source AMI and the network...");
        let requirements = Requirements {
            virtualization,
            enhanced_networking: options.ena_support == Some(true) || options.sriov_support,
        };
        let (Some(source), Some(network)) = preflight::look(&cloud, options, &requirements, findings).await else {
            std::mem::take(findings).settle()?;
            return Err(BakeError::cancelled());
        };
        let id = source.image_id().unwrap_or_default();
        cloud.say(format!("Found Image ID: {id} ({})", source.name().unwrap_or("no name")));
        let renderer = Renderer::new(cloud.bake, &source, cloud.aws.region());
        let launch = Self {
            devices: volumes.mappings(),
            texts: RunTexts::render(options, volumes, &renderer)?,
            cloud,
            options,
            source,
            network,
        };
        Ok((launch, renderer))
    }
}
