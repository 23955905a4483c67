//! The making of an AMI: what its steps share.

use aws_sdk_ec2::types::BlockDeviceMapping;
use bakelite_aws::tag::Tags;

use super::options::ImageOptions;
use super::texts::ImageTexts;
use crate::cloud::Cloud;

/// An AMI in the making.
pub(crate) struct Imaging<'a> {
    pub(crate) cloud: Cloud<'a>,
    pub(crate) options: &'a ImageOptions,
    /// The block devices that the template gives the AMI.
    pub(crate) devices: Vec<BlockDeviceMapping>,
    /// The tags of the instance, which its AMI gets too.
    pub(crate) run_tags: Tags,
    pub(crate) texts: ImageTexts,
}
