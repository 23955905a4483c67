//! `DescribeImages` and `DeregisterImage`. Images are made in `create_image.rs`, and the well-known ones come from the catalogue.

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::block_devices::{self};
use crate::ec2::filters::{FilterTable, Filters};
use crate::ec2::page::Page;
use crate::ec2::snapshots::{self};
use crate::ec2::tags::{self};
use crate::ids::ResourceKind;
use crate::ids::absent;
use crate::state::Tags;
use crate::state::image::Image;
use crate::state::volume::EbsDevice;
use crate::state::{ACCOUNT, Region};
use crate::xml::Element;

const FILTERS: FilterTable<Image> = &[
    ("image-id", |image| vec![image.id.clone()]),
    ("name", |image| vec![image.name.clone()]),
    ("description", |image| vec![image.description.clone()]),
    ("architecture", |image| vec![image.architecture.clone()]),
    ("owner-id", |image| vec![image.owner_id.clone()]),
    ("owner-alias", |image| image.owner_alias.iter().cloned().collect()),
    ("state", |image| vec![image.state().to_owned()]),
    ("is-public", |image| vec![image.is_public().to_string()]),
    ("creation-date", |image| vec![image.created.to_string()]),
    ("root-device-type", |_| vec!["ebs".to_owned()]),
    ("root-device-name", |image| vec![image.root_device.clone()]),
    ("virtualization-type", |_| vec!["hvm".to_owned()]),
    ("hypervisor", |_| vec!["xen".to_owned()]),
    ("image-type", |_| vec!["machine".to_owned()]),
    ("image-allowed", |_| vec!["true".to_owned()]),
    ("ena-support", |image| vec![image.ena_support.to_string()]),
    ("boot-mode", |image| image.boot_mode.iter().cloned().collect()),
    ("imds-support", |image| image.imds_support.iter().cloned().collect()),
    ("tpm-support", |image| image.tpm_support.iter().cloned().collect()),
    ("sriov-net-support", |image| {
        image.sriov_support.then(|| "simple".to_owned()).into_iter().collect()
    }),
    ("manifest-location", |image| {
        vec![format!("{}/{}", image.owner_id, image.name)]
    }),
    // Neither Windows nor images of the marketplace exist here: these know nothing to match.
    ("platform", |_| Vec::new()),
    ("product-code", |_| Vec::new()),
    ("product-code.type", |_| Vec::new()),
    ("kernel-id", |_| Vec::new()),
    ("ramdisk-id", |_| Vec::new()),
    ("state-reason-code", |_| Vec::new()),
    ("source-instance-id", |image| {
        image.source_instance_id.iter().cloned().collect()
    }),
    ("source-image-id", |image| {
        image.source_image_id.iter().cloned().collect()
    }),
    ("source-image-region", |image| {
        image.source_image_region.iter().cloned().collect()
    }),
    ("block-device-mapping.device-name", |image| {
        image.block_devices.iter().map(|device| device.device.clone()).collect()
    }),
    ("block-device-mapping.snapshot-id", |image| {
        image.snapshot_ids().cloned().collect()
    }),
    ("block-device-mapping.volume-size", |image| {
        ebs_values(image, |ebs| ebs.size_gib.to_string())
    }),
    ("block-device-mapping.volume-type", |image| {
        ebs_values(image, |ebs| ebs.volume_type.clone())
    }),
    ("block-device-mapping.encrypted", |image| {
        ebs_values(image, |ebs| ebs.encrypted.to_string())
    }),
    ("block-device-mapping.delete-on-termination", |image| {
        ebs_values(image, |ebs| ebs.delete_on_termination.to_string())
    }),
];

fn ebs_values(image: &Image, pick: impl Fn(&EbsDevice) -> String) -> Vec<String> {
    image
        .block_devices
        .iter()
        .filter_map(|device| device.ebs.as_ref())
        .map(pick)
        .collect()
}

/// Finds an image by its id: an own one, or one of the catalogue.
pub(crate) fn find<'a>(region: &'a Region, catalogue: &'a [Image], id: &str) -> Result<&'a Image, ApiError> {
    let found = region
        .images
        .get(id)
        .or_else(|| catalogue.iter().find(|image| image.id == id));
    found.ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> ApiError {
    let error = absent(ResourceKind::Image, id);
    if error.code == ResourceKind::Image.not_found_code() {
        return ApiError {
            message: format!("The image id '[{id}]' does not exist"),
            ..error
        };
    }
    error
}

pub(crate) fn describe_images(mut call: Call) -> Answer {
    let ids = call.parameters.list("ImageId");
    let (owners, executable_by) = (call.parameters.list("Owner"), call.parameters.list("ExecutableBy"));
    let include_deprecated = call.parameters.boolean("IncludeDeprecated")?.unwrap_or(false);
    let _include_disabled = call.parameters.boolean("IncludeDisabled")?;
    let filters = Filters::take(&mut call.parameters, FILTERS)?;
    let page = Page::take(&mut call.parameters)?;
    call.accept()?;
    let catalogue = call.catalogue();
    let given = &catalogue[..call.cloud.local_images.len()];
    let is_given = |image: &Image| given.iter().any(|given| given.id == image.id);
    let items = call.read(|region| {
        for id in &ids {
            find(region, &catalogue, id)?;
        }
        let wanted = |image: &&Image| {
            (ids.is_empty() || ids.contains(&image.id))
                && (owners.is_empty() || is_given(image) || owners.iter().any(|owner| image.is_owned_by(owner)))
                && (executable_by.is_empty() || executable_by.iter().any(|who| image.is_executable_by(who)))
                // A deprecated image is shown to its owner, to whoever names it, and to whoever asks for such.
                && (include_deprecated || !image.is_deprecated() || image.owner_id == ACCOUNT || !ids.is_empty())
                && filters.match_item(FILTERS, *image, region.tags_of(&image.id))
        };
        let mut images: Vec<&Image> = region.images.values().chain(&catalogue).filter(wanted).collect();
        // One that the user gave goes before the well-known ones that the call would find, too.
        if images.iter().any(|image| is_given(image)) {
            let is_built_in = |id: &String| catalogue.iter().any(|known| known.id == *id);
            images.retain(|image| is_given(image) || !is_built_in(&image.id));
        }
        Ok::<_, ApiError>(
            images
                .into_iter()
                .map(|image| describe(image, region.tags_of(&image.id)))
                .collect(),
        )
    })??;
    let (items, next) = page.cut(items);
    Ok(Element::body().list("imagesSet", items).maybe("nextToken", next))
}

fn describe(image: &Image, tags: &Tags) -> Element {
    Element::body()
        .text("imageId", &image.id)
        .text(
            "imageLocation",
            format!(
                "{}/{}",
                image.owner_alias.as_ref().unwrap_or(&image.owner_id),
                image.name
            ),
        )
        .text("imageState", image.state())
        .text("imageOwnerId", &image.owner_id)
        .maybe("imageOwnerAlias", image.owner_alias.as_ref())
        .text("creationDate", image.created)
        .text("isPublic", image.is_public())
        .text("architecture", &image.architecture)
        .text("imageType", "machine")
        .maybe("sriovNetSupport", image.sriov_support.then_some("simple"))
        .text("enaSupport", image.ena_support)
        .text("name", &image.name)
        .text("description", &image.description)
        .text("rootDeviceType", "ebs")
        .text("rootDeviceName", &image.root_device)
        .with(block_devices::mapping_of_image(&image.block_devices))
        .text("virtualizationType", "hvm")
        .text("hypervisor", "xen")
        .text("platformDetails", "Linux/UNIX")
        .text("usageOperation", "RunInstances")
        .maybe("bootMode", image.boot_mode.as_ref())
        .maybe("tpmSupport", image.tpm_support.as_ref())
        .maybe("imdsSupport", image.imds_support.as_ref())
        .maybe("deprecationTime", image.deprecated)
        .maybe("sourceInstanceId", image.source_instance_id.as_ref())
        .maybe("sourceImageId", image.source_image_id.as_ref())
        .maybe("sourceImageRegion", image.source_image_region.as_ref())
        .text(
            "deregistrationProtection",
            if image.deregistration_protection {
                "enabled-without-cooldown"
            } else {
                "disabled"
            },
        )
        .text("imageAllowed", true)
        .with(tags::tag_set(tags))
}

pub(crate) async fn deregister_image(mut call: Call) -> Answer {
    let id = call.parameters.required("ImageId")?;
    let with_snapshots = call.parameters.boolean("DeleteAssociatedSnapshots")?.unwrap_or(false);
    call.accept()?;
    let catalogue = call.catalogue();
    let results = call.change(|region| {
        check_made_here(region, &catalogue, &id)?;
        let image = deregister(region, &id)?;
        let snapshots = image.snapshot_ids().filter(|_| with_snapshots);
        let results = snapshots.map(|snapshot| {
            let result = match snapshots::delete(region, snapshot) {
                Ok(()) => "success",
                Err(_) => "skipped",
            };
            Element::body().text("snapshotId", snapshot).text("returnCode", result)
        });
        Ok(results.collect::<Vec<_>>())
    })?;
    call.cloud.remove_unused_roots().await;
    let answer = Element::body().yes();
    Ok(if with_snapshots {
        answer.list("deleteSnapshotResultSet", results)
    } else {
        answer
    })
}

/// Removes an image that was made here and returns it; its snapshots stay.
pub(crate) fn deregister(region: &mut Region, id: &str) -> Result<Image, ApiError> {
    let image = region.image_mut(id)?.clone();
    if image.deregistration_protection {
        return Err(ApiError::new(
            "OperationNotPermitted",
            format!("You can't deregister the AMI {id} because deregistration protection is enabled"),
        ));
    }
    region.images.remove(id);
    region.fast_launches.remove(id);
    region.tags.remove(id);
    Ok(image)
}

/// Checks that an image belongs to this account.
pub(crate) fn check_own(image: &Image) -> Result<(), ApiError> {
    if image.owner_id == ACCOUNT {
        return Ok(());
    }
    Err(ApiError::new(
        "AuthFailure",
        format!("Not authorized for image:{}", image.id),
    ))
}

/// Checks that an image exists and was made here.
pub(crate) fn check_made_here(region: &Region, catalogue: &[Image], id: &str) -> Result<(), ApiError> {
    check_own(find(region, catalogue, id)?)?;
    if region.images.contains_key(id) {
        return Ok(());
    }
    Err(ApiError::new(
        "OperationNotPermitted",
        format!("The image '{id}' was given on the command line and cannot be changed"),
    ))
}
