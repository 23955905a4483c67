//! A launch: what its steps share, and how it is prepared.

use aws_sdk_ec2::types::{BlockDeviceMapping, Image, InstanceTypeInfo};
use bakelite_engine::bake::BakeError;

use super::network::{self, Network};
use super::options::RunOptions;
use super::source_ami::{self, Requirements, VirtualizationType};
use super::texts::RunTexts;
use super::volumes::VolumeOptions;
use super::{key_pair, profile, types};
use crate::cloud::Cloud;
use crate::findings::Findings;
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
    /// What EC2 says of the instance types, as far as this caller may ask.
    pub(crate) types: Vec<InstanceTypeInfo>,
}

impl<'a> Launch<'a> {
    /// Finds the source AMI, of this virtualization type, and the network, and renders what refers to the source AMI; `others` finds what
    /// does not depend on them. Without one of both there is nothing more to find: all that was found so far is the error then.
    pub(crate) async fn prepare(
        cloud: Cloud<'a>,
        options: &'a RunOptions,
        volumes: &VolumeOptions,
        virtualization: Option<VirtualizationType>,
        others: impl Future<Output = Vec<BakeError>>,
        findings: &mut Findings,
    ) -> Result<(Self, Renderer), BakeError> {
        cloud.say("Looking for the source AMI and the network...");
        let requirements = Requirements {
            virtualization,
            enhanced_networking: options.ena_support == Some(true) || options.sriov_support,
        };
        let look = look(&cloud, options, &requirements, findings);
        let ((source, network, types), others) = tokio::join!(look, others);
        findings.extend(others);
        let (Some(source), Some(network)) = (source, network) else {
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
            types: types.unwrap_or_default(),
        };
        Ok((launch, renderer))
    }
}

/// Looks for what the template names: the source AMI, the network, and what the instance is launched with.
async fn look(
    cloud: &Cloud<'_>,
    options: &RunOptions,
    requirements: &Requirements,
    findings: &mut Findings,
) -> (Option<Image>, Option<Network>, Option<Vec<InstanceTypeInfo>>) {
    let (ec2, types) = (cloud.ec2(), options.instance_types());
    let groups = async {
        match options.security_groups.named().as_slice() {
            [] => Ok(()),
            named => network::security_groups_exist(ec2, named).await,
        }
    };
    let (source, network, groups, key, profile, types) = tokio::join!(
        source_ami::find(&cloud.aws, &options.source, requirements),
        network::choose(&cloud.aws, &options.network, &types, &cloud.bake.ui),
        groups,
        key_pair::exists(ec2, &options.communicator),
        profile::exists(cloud, options),
        types::describe(cloud, &types),
    );
    let source = findings.take(source);
    let network = findings.take(network);
    findings.take(groups);
    findings.take(key);
    findings.take(profile);
    (source, network, findings.take(types))
}
