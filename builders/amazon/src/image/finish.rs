//! From a pending AMI to finished ones in all regions.

use bakelite_engine::bake::BakeError;
use futures::future::try_join_all;

use super::ami::{Ami, Created, Pending, snapshots_taken};
use super::imaging::Imaging;
use crate::run::machine::Machine;

impl Imaging<'_> {
    /// From the pending AMI of the build region to one in each of its regions, with all attributes and tags. The instance is not needed
    /// any more once the AMI's snapshots are taken: it goes while the AMI is pending. An intermediary AMI is removed.
    pub(crate) async fn finish(&self, pending: Pending, machine: &Machine) -> Result<Vec<Ami>, BakeError> {
        let bake = self.cloud.bake;
        let (id, home) = (pending.id.clone(), pending.created);
        let taken = async { snapshots_taken(&self.cloud.aws, &id).await.is_ok() };
        let wait = async {
            tokio::try_join!(self.available(pending), async {
                machine.clean_up_after(&self.cloud, taken).await;
                Ok(())
            })
        };
        let (ami, ()) = bake.step("wait for the AMI", wait).await?;
        let source = ami.id().to_owned();
        let regions = self.options.regions(self.cloud.aws.region()).into_iter();
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
            // A sweep finds what is not finished, of all regions, until now.
            try_join_all(amis.iter().map(|ami| self.untag(ami))).await?;
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

    /// Gives an AMI everything that it is to have but its protection.
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
