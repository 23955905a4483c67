//! What an amazon-ebs bake yields.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bakelite_aws::client::Aws;
use bakelite_aws::resource::image::deregister;
use bakelite_engine::artifact::{Artifact, Destroy};
use bakelite_engine::error::Error;
use bakelite_template::plan::BuildData;

/// Post-processors and the manifest know AMIs by this id.
const BUILDER_ID: &str = "mitchellh.amazonebs";

/// The AMI as an artifact.
pub(crate) fn of(aws: &Arc<Aws>, ami: &str, data: BuildData) -> Artifact {
    let region = aws.region();
    Artifact {
        builder_id: BUILDER_ID.into(),
        id: format!("{region}:{ami}"),
        files: None,
        description: format!("AMIs were created:\n{region}: {ami}\n"),
        data,
        state: BTreeMap::new(),
        destroy: Some(Arc::new(Ami {
            aws: Arc::clone(aws),
            id: ami.to_owned(),
        })),
    }
}

/// The artifact of a bake that made no AMI on purpose.
pub(crate) fn none(data: BuildData) -> Artifact {
    Artifact {
        builder_id: BUILDER_ID.into(),
        id: String::new(),
        files: None,
        description: "No AMI was created, as `skip_create_ami` says".into(),
        data,
        state: BTreeMap::new(),
        destroy: None,
    }
}

struct Ami {
    aws: Arc<Aws>,
    id: String,
}

#[async_trait]
impl Destroy for Ami {
    async fn destroy(&self) -> Result<(), Error> {
        Ok(deregister(self.aws.ec2(), &self.id, true).await?)
    }
}
