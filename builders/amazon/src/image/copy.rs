//! Copies of the AMI: to other regions, and encrypted ones to the build region.

use aws_sdk_ec2::operation::copy_image::builders::CopyImageFluentBuilder;
use bakelite_aws::call::call;
use bakelite_aws::error::AwsError;
use bakelite_aws::resource::image::IMAGE;
use bakelite_engine::bake::BakeError;

use super::ami::{Ami, available};
use super::imaging::Imaging;

impl Imaging<'_> {
    /// Copies the AMI of the build region to a region, and waits until the copy can be used.
    pub(crate) async fn copy(&self, ami: &str, region: &str) -> Result<Ami, BakeError> {
        let copy = self.make_copy(ami, region).await;
        copy.map_err(|error| error.during(format!("copy of AMI {ami} to {region}")))
    }

    async fn make_copy(&self, ami: &str, region: &str) -> Result<Ami, BakeError> {
        let Self { options, texts, .. } = self;
        let there = self.cloud.in_region(region);
        self.make_room(&there).await?;
        let temporary = there.temporary(&IMAGE);
        let minutes = options.snapshot_copy_duration_minutes.filter(|minutes| *minutes > 0);
        let request = there
            .ec2()
            .copy_image()
            .source_region(self.cloud.aws.region())
            .source_image_id(ami)
            .name(&options.ami_name)
            .client_token(&temporary.token)
            .set_description((!texts.description.is_empty()).then(|| texts.description.clone()))
            .set_encrypted(options.encrypt_boot)
            .set_kms_key_id(self.key_in(region).map(str::to_owned))
            .set_snapshot_copy_completion_duration_minutes(minutes.map(i64::from))
            .set_tag_specifications(self.specifications(&there, &temporary));
        there.say(format!("Copying AMI {ami} to {region}..."));
        let made = there.create(temporary, make(request)).await?;
        there.say(format!("AMI in {region}: {}", made.value));
        let image = available(&there, &made.value).await?;
        Ok(Ami {
            aws: there.aws,
            handle: made.handle,
            image,
            // Some endpoints take the tags of snapshots without an error and without effect.
            snapshots_tagged: false,
        })
    }
}

/// The client token makes a repeated call answer the same copy.
async fn make(request: CopyImageFluentBuilder) -> Result<(String, String), AwsError> {
    let answer = call("CopyImage", || request.clone().send()).await?;
    let id = answer
        .image_id
        .ok_or_else(|| AwsError::incomplete("CopyImage", "image id"))?;
    Ok((id.clone(), id))
}
