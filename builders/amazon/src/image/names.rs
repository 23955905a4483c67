//! The name of an AMI, which is unique in each region: whether it is free, and how the old AMI of that name makes room.

use std::borrow::Cow;

use aws_sdk_ec2::types::Image;
use bakelite_aws::describe;
use bakelite_aws::error::AwsError;
use bakelite_aws::resource::image::{deregister, is_protected};
use bakelite_engine::bake::BakeError;
use bakelite_engine::error::Explain;
use futures::future::join_all;

use super::imaging::Imaging;
use super::options::ImageOptions;
use crate::cloud::Cloud;

/// An AMI that stands in the way of the new one.
#[derive(Debug, thiserror::Error)]
enum InTheWay {
    #[error("AMI name `{name}` is taken by `{id}` in {region}")]
    Taken { name: String, id: String, region: String },
    #[error("`{id}` in {region}, the AMI of the same name, is protected from being deregistered")]
    Protected { id: String, region: String },
    #[error("`{region}` is not a region that this account has enabled; there are: {enabled}")]
    Unknown { region: String, enabled: String },
}

impl Explain for InTheWay {
    fn help(&self) -> Option<Cow<'_, str>> {
        let help = match self {
            InTheWay::Taken { .. } => {
                "`force_deregister = true`, or `-force`, replaces the AMI; `{{timestamp}}` in `ami_name` makes it unique"
            }
            InTheWay::Protected { .. } => {
                "`aws ec2 disable-image-deregistration-protection` lifts the protection; another `ami_name` needs no room"
            }
            InTheWay::Unknown { .. } => {
                "check the name; a region that has to be enabled is enabled in the account's settings; `skip_region_validation = true` skips this check"
            }
        };
        Some(help.into())
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        let option = match self {
            InTheWay::Taken { .. } => "ami_name",
            InTheWay::Protected { .. } => "force_deregister",
            InTheWay::Unknown { .. } => "ami_regions",
        };
        Some(option.into())
    }
}

/// What keeps the AMI from being made in its regions, found before anything is launched: regions that the account does not have, names
/// that are taken, and old AMIs that are to be replaced but protected.
pub(crate) async fn preflight(cloud: &Cloud<'_>, options: &ImageOptions) -> Vec<BakeError> {
    let home = cloud.aws.region();
    let mut regions = options.regions(home);
    let mut found = Vec::new();
    if !options.skip_region_validation && regions.iter().any(|region| region != home) {
        match describe::regions(cloud.ec2()).await {
            Ok(mut enabled) => {
                enabled.sort();
                let (known, unknown) = regions.into_iter().partition(|region| enabled.contains(region));
                regions = known;
                let unknown: Vec<String> = unknown;
                let enabled = enabled.join(", ");
                found.extend(unknown.into_iter().map(|region| {
                    let enabled = enabled.clone();
                    InTheWay::Unknown { region, enabled }.into()
                }));
            }
            Err(error) => found.push(error.into()),
        }
    }
    let names = regions.iter().map(|region| name_in(cloud, options, region));
    found.extend(join_all(names).await.into_iter().flatten());
    found
}

/// What is wrong with the name in a region.
async fn name_in(cloud: &Cloud<'_>, options: &ImageOptions, region: &str) -> Option<BakeError> {
    let there = cloud.in_region(region);
    let taken = match of_name(&there, &options.ami_name).await {
        Ok(images) => images.into_iter().next()?,
        // Whoever may copy to a region may not always look there; the copy itself tells then.
        Err(error) if error.is_denied() && region != cloud.aws.region() => return None,
        Err(error) => return Some(error.into()),
    };
    let (id, region) = (taken.image_id.clone().unwrap_or_default(), region.to_owned());
    let name = options.ami_name.clone();
    match may_replace(cloud, options) {
        false => Some(InTheWay::Taken { name, id, region }.into()),
        true if is_protected(&taken) => Some(InTheWay::Protected { id, region }.into()),
        true => None,
    }
}

/// Whether the old AMI of the same name may be deregistered.
fn may_replace(cloud: &Cloud<'_>, options: &ImageOptions) -> bool {
    cloud.bake.run.force || options.force_deregister
}

impl Imaging<'_> {
    /// Deregisters the old AMI of the same name in a region, when the template or `-force` allows it: right before the new one is made.
    pub(crate) async fn make_room(&self, there: &Cloud<'_>) -> Result<(), BakeError> {
        if !may_replace(&self.cloud, self.options) {
            return Ok(());
        }
        for image in of_name(there, &self.options.ami_name).await? {
            let id = image.image_id().unwrap_or_default();
            let region = there.aws.region();
            there.say(format!("Deregistering the AMI of the same name in {region}: {id}"));
            deregister(there.ec2(), id, self.options.force_delete_snapshot).await?;
        }
        Ok(())
    }
}

/// The account's AMIs of this name; there is at most one. A `*` or `?` in it matches itself only.
async fn of_name(there: &Cloud<'_>, name: &str) -> Result<Vec<Image>, AwsError> {
    Ok(there.aws.names.call(name.to_owned()).await?.unwrap_or_default())
}
