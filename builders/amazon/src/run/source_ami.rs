//! The source AMI: found by id or by filter, and checked for what the template requires of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{DeviceType, Image, ImageState};
use bakelite_aws::call::{all, call};
use bakelite_aws::client::Aws;
use bakelite_aws::error::AwsError;
use bakelite_engine::error::Explain;
use bakelite_template::component::Complaint;
use schemars::JsonSchema;
use serde::Deserialize;

use super::filters;

/// Which AMI a bake starts from.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct SourceAmiOptions {
    /// The source AMI's id.
    pub source_ami: Option<String>,
    /// How the source AMI is found when its id is not given.
    pub source_ami_filter: Option<AmiFilter>,
}

/// How an AMI is found.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct AmiFilter {
    /// Filters of `DescribeImages`, by name; `*` and `?` match any text and any character.
    pub filters: BTreeMap<String, String>,
    /// Accounts (or `self`, `amazon`, `aws-marketplace`) that may own it; at least one.
    pub owners: Vec<String>,
    /// Of several, take the one that was made last; else several are an error.
    pub most_recent: bool,
    /// Deprecated AMIs count too.
    pub include_deprecated: bool,
}

/// A virtualization type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VirtualizationType {
    /// Hardware virtualization: all current instance types.
    Hvm,
    /// Paravirtualization: instance types before 2014.
    Paravirtual,
}

/// What the source AMI must be like.
#[derive(Default)]
pub(crate) struct Requirements {
    pub(crate) virtualization: Option<VirtualizationType>,
    /// `ena_support` or `sriov_support` is set.
    pub(crate) enhanced_networking: bool,
}

/// Why there is no source AMI.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceAmiError {
    #[error("failed to find the source AMI")]
    Aws(#[from] AwsError),
    #[error("source AMI `{id}` does not exist, or may not be used by this account")]
    NoSuchId { id: String },
    #[error("no AMI of {owners} matches {filters}")]
    None { owners: String, filters: String },
    #[error("{count} AMIs match {filters}, and only one can be the source AMI")]
    Several { count: usize, filters: String },
    #[error("source AMI `{id}` cannot be used: {why}")]
    Unfit { id: String, why: String },
}

impl Explain for SourceAmiError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Aws(error) => error.help(),
            Self::NoSuchId { id } => Some(Cow::Owned(format!(
                "an AMI belongs to a region: check that `{id}` is in the build's; for the local cloud, `-local-image \
                 {id}=oci:IMAGE` (or `=dir:DIRECTORY`, `=tar:FILE`) gives it one of this id"
            ))),
            Self::None { .. } => Some(
                "check the filters, the owners and the region: `aws ec2 describe-images` with the same ones lists what there is; \
                 deprecated AMIs are found with `include_deprecated = true`"
                    .into(),
            ),
            Self::Several { .. } => Some("`most_recent = true` takes the newest".into()),
            Self::Unfit { .. } => None,
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::NoSuchId { .. } | Self::Unfit { .. } => Some("source_ami".into()),
            Self::None { .. } | Self::Several { .. } => Some("source_ami_filter".into()),
            Self::Aws(_) => None,
        }
    }
}

impl SourceAmiOptions {
    /// Complains about options that name no AMI, or anybody's.
    pub(crate) fn check(&self, complaints: &mut Vec<Complaint>) {
        match (&self.source_ami, &self.source_ami_filter) {
            (None, None) => {
                complaints.push(Complaint::error(
                    "",
                    "`source_ami` or `source_ami_filter` must be given",
                ));
            }
            (None, Some(filter)) => filter.check("source_ami_filter", complaints),
            (Some(_), _) => {}
        }
    }
}

impl AmiFilter {
    /// Complains about a filter that anybody's AMI may match. `option` is the block that it stands in; empty: none.
    pub(crate) fn check(&self, option: &str, complaints: &mut Vec<Complaint>) {
        if self.owners.is_empty() {
            let message = "`owners` must name at least one account, so that nobody else's AMI is found";
            let help = "`self`, `amazon`, or the account's id";
            complaints.push(Complaint::error(option, message).help(help));
        }
        filters::check(option, &self.filters, complaints);
    }
}

/// The AMI that the template starts from. With an id and a filter, both must fit. Bakes of a run that look for the same one find the same.
pub(crate) async fn find(
    aws: &Aws,
    options: &SourceAmiOptions,
    requirements: &Requirements,
) -> Result<Image, SourceAmiError> {
    let find = async {
        match (&options.source_ami, &options.source_ami_filter) {
            (Some(id), filter) => by_id(aws.ec2(), id, filter.as_ref()).await,
            (None, filter) => by_filter(aws.ec2(), &filter.clone().unwrap_or_default()).await,
        }
    };
    let image = aws.asked.once(format!("source {options:?}"), find).await?;
    match requirements.unmet_by(&image) {
        None => Ok(image),
        Some(why) => Err(SourceAmiError::Unfit {
            id: image.image_id.unwrap_or_default(),
            why,
        }),
    }
}

async fn by_id(ec2: &Client, id: &str, filter: Option<&AmiFilter>) -> Result<Image, SourceAmiError> {
    let none = || SourceAmiError::NoSuchId { id: id.to_owned() };
    let mut request = ec2.describe_images().image_ids(id).include_deprecated(true);
    if let Some(filter) = filter {
        request = request
            .set_owners(Some(filter.owners.clone()).filter(|owners| !owners.is_empty()))
            .set_filters(Some(filters::list(&filter.filters)).filter(|filters| !filters.is_empty()));
    }
    match call("DescribeImages", || request.clone().send()).await {
        Err(error) if error.is_not_found() => Err(none()),
        answer => answer?.images.unwrap_or_default().pop().ok_or_else(none),
    }
}

/// The AMI that a filter finds; the newest of several when `most_recent` is set.
pub(crate) async fn by_filter(ec2: &Client, filter: &AmiFilter) -> Result<Image, SourceAmiError> {
    let request = ec2
        .describe_images()
        .set_owners(Some(filter.owners.clone()))
        .set_include_deprecated(filter.include_deprecated.then_some(true))
        .set_filters(Some(filters::list(&filter.filters)));
    let images = all("DescribeImages", request.into_paginator().items().send()).await?;
    if images.len() > 1 && !filter.most_recent {
        return Err(SourceAmiError::Several {
            count: images.len(),
            filters: filter.shown(),
        });
    }
    // ISO dates sort as strings.
    let newest = images.into_iter().max_by(|a, b| a.creation_date.cmp(&b.creation_date));
    newest.ok_or_else(|| SourceAmiError::None {
        owners: filter.owners.join(", "),
        filters: filter.shown(),
    })
}

impl AmiFilter {
    fn shown(&self) -> String {
        let filters = self.filters.iter().map(|(name, value)| format!("{name} = `{value}`"));
        let filters: Vec<String> = filters.collect();
        if filters.is_empty() {
            "an empty filter".to_owned()
        } else {
            filters.join(", ")
        }
    }
}

impl VirtualizationType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hvm => "hvm",
            Self::Paravirtual => "paravirtual",
        }
    }
}

impl Requirements {
    /// Why an image does not meet them.
    fn unmet_by(&self, image: &Image) -> Option<String> {
        if let Some(state) = image.state().filter(|state| **state != ImageState::Available) {
            return Some(format!("it is {}", state.as_str()));
        }
        if let Some(device) = image.root_device_type().filter(|device| **device != DeviceType::Ebs) {
            return Some(format!("its root device is of type `{}`, not `ebs`", device.as_str()));
        }
        let is = image.virtualization_type()?.as_str();
        if self.enhanced_networking && is != "hvm" {
            return Some("`ena_support` and `sriov_support` need virtualization type `hvm`".into());
        }
        let wanted = self.virtualization?.as_str();
        (wanted != is).then(|| format!("its virtualization type is `{is}`, not `{wanted}`"))
    }
}
