//! A launch: what its steps share.

use aws_sdk_ec2::types::{BlockDeviceMapping, Image};

use super::network::Network;
use super::options::RunOptions;
use super::texts::RunTexts;
use crate::cloud::Cloud;

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
