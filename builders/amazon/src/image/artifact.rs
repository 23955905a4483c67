//! What a bake of AMIs yields.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bakelite_aws::client::Aws;
use bakelite_aws::resource::image::deregister;
use bakelite_engine::artifact::{Artifact, Destroy};
use bakelite_engine::error::Error;
use bakelite_template::plan::BuildData;

use super::ami::Ami;

/// The AMIs as an artifact. `builder_id` is how post-processors and the manifest know their builder.
pub(crate) fn of(builder_id: &str, amis: &[Ami], data: BuildData) -> Artifact {
    if amis.is_empty() {
        return none(
            builder_id,
            "No AMI was kept, as `skip_save_build_region` without `ami_regions` says",
            data,
        );
    }
    let mut pairs: Vec<_> = amis.iter().map(|ami| (ami.aws.region(), ami.id())).collect();
    pairs.sort_unstable();
    let ids: Vec<_> = pairs.iter().map(|(region, ami)| format!("{region}:{ami}")).collect();
    let lines: Vec<_> = pairs.iter().map(|(region, ami)| format!("{region}: {ami}\n")).collect();
    Artifact {
        builder_id: builder_id.into(),
        id: ids.join(","),
        files: None,
        description: format!("AMIs were created:\n{}", lines.concat()),
        data,
        state: BTreeMap::new(),
        destroy: Some(Arc::new(Amis(
            amis.iter()
                .map(|ami| (Arc::clone(&ami.aws), ami.id().to_owned()))
                .collect(),
        ))),
    }
}

/// The artifact of a bake that made no AMI on purpose.
pub(crate) fn none(builder_id: &str, why: &str, data: BuildData) -> Artifact {
    Artifact {
        builder_id: builder_id.into(),
        id: String::new(),
        files: None,
        description: why.into(),
        data,
        state: BTreeMap::new(),
        destroy: None,
    }
}

/// AMIs by the region that they are in.
struct Amis(Vec<(Arc<Aws>, String)>);

#[async_trait]
impl Destroy for Amis {
    /// All that can be removed is removed, even when one cannot.
    async fn destroy(&self) -> Result<(), Error> {
        let mut failed = Vec::new();
        for (aws, id) in &self.0 {
            if let Err(error) = deregister(aws.ec2(), id, true).await {
                failed.push(Error::from(error).during(format!("removal of AMI {id} in {}", aws.region())));
            }
        }
        crate::findings::all(failed)
    }
}
