//! The making of an AMI: what its steps share, and their order.

use aws_sdk_ec2::types::BlockDeviceMapping;
use bakelite_aws::tag::Tags;
use bakelite_engine::bake::BakeError;
use futures::future::try_join_all;

use super::create::{Ami, Created};
use super::fast_launch::FastLaunches;
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
    pub(crate) fast_launches: FastLaunches,
    /// The instance's volumes were encrypted for `encrypt_boot`.
    pub(crate) encrypted_at_launch: bool,
}

impl Imaging<'_> {
    /// From the AMI of the build region, which can be used, to one in each of its regions, with all attributes and tags. An intermediary
    /// one is removed.
    pub(crate) async fn finish(&self, home: Created, ami: Ami) -> Result<Vec<Ami>, BakeError> {
        let bake = self.cloud.bake;
        let source = ami.id().to_owned();
        let regions = self.regions().into_iter();
        let regions: Vec<_> = match home {
            Created::Final => regions.filter(|region| region != ami.aws.region()).collect(),
            Created::Intermediary => regions.collect(),
        };
        let mut amis = Vec::new();
        let mut intermediary = None;
        match home {
            Created::Final => amis.push(ami),
            Created::Intermediary => intermediary = Some(ami),
        }
        if !regions.is_empty() {
            let copies = try_join_all(regions.iter().map(|region| self.copy(&source, region)));
            amis.extend(bake.step("copy", copies).await?);
        }
        if let Some(ami) = intermediary {
            self.cloud
                .say(format!("Deregistering the intermediary AMI {source}..."));
            // What fails now is undone at the end of the bake, with a report.
            let _ = ami.handle.destroy().await;
        }
        let finish = async {
            try_join_all(amis.iter().map(|ami| self.complete(ami))).await?;
            // Protection comes when nothing else can fail: a protected AMI cannot be removed.
            try_join_all(amis.iter().map(|ami| self.protect(ami))).await?;
            Ok::<_, BakeError>(())
        };
        bake.step("share and tag", finish).await?;
        for ami in &amis {
            ami.handle.keep().await?;
        }
        Ok(amis)
    }

    /// Gives an AMI everything but its protection.
    async fn complete(&self, ami: &Ami) -> Result<(), BakeError> {
        let complete = async {
            self.set_image_attributes(ami).await?;
            self.fast_launches.enable(&self.cloud, ami).await?;
            self.tag(ami).await
        };
        let at = || format!("AMI {} in {}", ami.id(), ami.aws.region());
        complete.await.map_err(|error: BakeError| error.during(at()))
    }
}
