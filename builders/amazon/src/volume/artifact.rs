//! What an amazon-ebsvolume bake yields.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bakelite_aws::client::Aws;
use bakelite_aws::resource::{snapshot, volume};
use bakelite_engine::artifact::{Artifact, Destroy};
use bakelite_engine::error::Error;
use bakelite_template::plan::BuildData;

use crate::findings;

/// Post-processors and the manifest know volumes by this id.
const BUILDER_ID: &str = "mitchellh.amazon.ebsvolume";

/// The volumes and snapshots as an artifact.
pub(crate) fn of(aws: &Arc<Aws>, volumes: Vec<String>, snapshots: Vec<String>, data: BuildData) -> Artifact {
    let region = aws.region();
    let mut ids: Vec<_> = volumes
        .iter()
        .chain(&snapshots)
        .map(|id| format!("{region}:{id}"))
        .collect();
    ids.sort_unstable();
    let lines: Vec<_> = ids
        .iter()
        .map(|id| format!("{}\n", id.replacen(':', ": ", 1)))
        .collect();
    Artifact {
        builder_id: BUILDER_ID.into(),
        id: ids.join(","),
        files: None,
        description: format!("EBS Volumes were created:\n\n{}", lines.concat()),
        data,
        state: BTreeMap::new(),
        destroy: Some(Arc::new(Made {
            aws: Arc::clone(aws),
            volumes,
            snapshots,
        })),
    }
}

struct Made {
    aws: Arc<Aws>,
    volumes: Vec<String>,
    snapshots: Vec<String>,
}

#[async_trait]
impl Destroy for Made {
    /// All that can be removed is removed, even when one cannot.
    async fn destroy(&self) -> Result<(), Error> {
        let ec2 = self.aws.ec2();
        let mut failed = Vec::new();
        for id in &self.volumes {
            failed.extend(volume::delete(ec2, id).await.err().map(Error::from));
        }
        for id in &self.snapshots {
            failed.extend(snapshot::delete(ec2, id).await.err().map(Error::from));
        }
        findings::all(failed)
    }
}
