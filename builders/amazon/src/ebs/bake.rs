//! One bake of an amazon-ebs source: what its steps share.

use aws_sdk_ec2::types::Image;

use super::options::Options;
use super::texts::Texts;
use crate::cloud::Cloud;
use crate::network::Network;

/// A bake whose source AMI and network are known.
pub(crate) struct Ebs<'a> {
    pub(crate) cloud: Cloud<'a>,
    pub(crate) options: &'a Options,
    pub(crate) source: Image,
    pub(crate) network: Network,
    pub(crate) texts: Texts,
}
