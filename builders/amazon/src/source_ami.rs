//! The source AMI: found by id or by filter, and checked for what the template wants of it.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Image, ImageState, VirtualizationType};
use bakelite_aws::class::AwsError;
use bakelite_aws::tag;
use bakelite_engine::bake::BakeError;

use crate::ebs::blocks::AmiFilter;
use crate::ebs::options::Options;

/// Why there is no source AMI.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceAmiError {
    /// It cannot be looked for.
    #[error("find the source AMI")]
    Aws(#[from] AwsError),
    /// There is none of this id.
    #[error("source AMI `{id}` does not exist, or may not be used by this account")]
    NoSuchId { id: String },
    /// No AMI passes the filter.
    #[error("source AMI is not found: none of {owners} passes {filters}")]
    None { owners: String, filters: String },
    /// Several AMIs pass the filter.
    #[error("source AMI is not clear: {count} pass {filters} (`most_recent = true` takes the newest)")]
    Several { count: usize, filters: String },
    /// It cannot do what the template wants.
    #[error("source AMI `{id}` cannot be used: {why}")]
    Unfit { id: String, why: String },
}

impl From<SourceAmiError> for BakeError {
    fn from(error: SourceAmiError) -> Self {
        BakeError::failed(error)
    }
}

/// The AMI that the template starts from. An id goes before a filter.
pub(crate) async fn find(ec2: &Client, options: &Options) -> Result<Image, SourceAmiError> {
    let image = match options.source_ami.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => by_id(ec2, id).await?,
        None => by_filter(ec2, options.source_ami_filter.as_ref().unwrap_or(&AmiFilter::default())).await?,
    };
    match unfit(&image, options) {
        None => Ok(image),
        Some(why) => Err(SourceAmiError::Unfit {
            id: image.image_id.unwrap_or_default(),
            why,
        }),
    }
}

async fn by_id(ec2: &Client, id: &str) -> Result<Image, SourceAmiError> {
    let none = || SourceAmiError::NoSuchId { id: id.to_owned() };
    let answer = ec2
        .describe_images()
        .image_ids(id)
        .include_deprecated(true)
        .send()
        .await;
    let answer = match answer.map_err(|error| AwsError::of("DescribeImages", &error)) {
        Err(error) if error.is_not_found() => return Err(none()),
        answer => answer?,
    };
    answer.images.unwrap_or_default().into_iter().next().ok_or_else(none)
}

/// The AMI that a filter finds; the newest of several when the filter says so.
pub(crate) async fn by_filter(ec2: &Client, filter: &AmiFilter) -> Result<Image, SourceAmiError> {
    let mut request = ec2.describe_images().set_owners(Some(filter.owners.clone()));
    if filter.include_deprecated == Some(true) {
        request = request.include_deprecated(true);
    }
    for (name, value) in &filter.filters {
        request = request.filters(tag::filter(name, value));
    }
    let answer = request
        .send()
        .await
        .map_err(|error| AwsError::of("DescribeImages", &error))?;
    let images = answer.images.unwrap_or_default();
    let filters = || {
        let filters: Vec<String> = filter
            .filters
            .iter()
            .map(|(name, value)| format!("{name} = `{value}`"))
            .collect();
        if filters.is_empty() {
            "an empty filter".to_owned()
        } else {
            filters.join(", ")
        }
    };
    if images.len() > 1 && filter.most_recent != Some(true) {
        return Err(SourceAmiError::Several {
            count: images.len(),
            filters: filters(),
        });
    }
    // ISO dates sort as text.
    let newest = images.into_iter().max_by(|a, b| a.creation_date.cmp(&b.creation_date));
    newest.ok_or_else(|| SourceAmiError::None {
        owners: filter.owners.join(", "),
        filters: filters(),
    })
}

/// Why an image cannot be the source AMI of these options.
fn unfit(image: &Image, options: &Options) -> Option<String> {
    let hvm = image
        .virtualization_type()
        .is_none_or(|kind| *kind == VirtualizationType::Hvm);
    let networking = options.ena_support == Some(true) || options.sriov_support == Some(true);
    let wanted = options
        .ami_virtualization_type
        .as_deref()
        .filter(|kind| !kind.is_empty());
    let is = image.virtualization_type().map(VirtualizationType::as_str);
    if image.state().is_some_and(|state| *state != ImageState::Available) {
        return Some(format!(
            "it is {}",
            image.state().map_or("not available", ImageState::as_str)
        ));
    }
    if networking && !hvm {
        return Some("`ena_support` and `sriov_support` need virtualization type `hvm`".into());
    }
    match (wanted, is) {
        (Some(wanted), Some(is)) if wanted != is => Some(format!("its virtualization type is `{is}`, not `{wanted}`")),
        _ => None,
    }
}
