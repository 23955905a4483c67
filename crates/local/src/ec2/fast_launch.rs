//! Fast launch of images. EC2 has it for images of Windows, which do not exist here: any own image may have it.

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::images::check_made_here;
use crate::ec2::launch_templates::{self, TemplateName};
use crate::ec2::page::Page;
use crate::moment::Moment;
use crate::query::Parameters;
use crate::state::{ACCOUNT, FastLaunch};
use crate::xml::Element;

/// Snapshots that EC2 keeps in advance when none are asked for; and the fewest that may launch at once.
const USUAL_SNAPSHOTS: u32 = 5;
const FEWEST_LAUNCHES: u32 = 6;

pub(crate) fn enable_fast_launch(mut call: Call) -> Answer {
    let parameters = &mut call.parameters;
    let id = parameters.required("ImageId")?;
    let _kind = parameters.word("ResourceType", &["snapshot"])?;
    let snapshots = parameters.number("SnapshotConfiguration.TargetResourceCount")?;
    let parallel_launches = parameters.number("MaxParallelLaunches")?.unwrap_or(FEWEST_LAUNCHES);
    let template = parameters.group("LaunchTemplate").map(take_template).transpose()?;
    call.accept()?;
    if parallel_launches < FEWEST_LAUNCHES {
        return Err(ApiError::invalid_parameter(format!(
            "MaxParallelLaunches must be {FEWEST_LAUNCHES} or greater"
        )));
    }
    let catalogue = call.catalogue();
    let fast = call.change(|region| {
        check_made_here(region, &catalogue, &id)?;
        let image = region.image_mut(&id)?;
        if image.state() != "available" {
            return Err(ApiError::new(
                "InvalidAMIID.Unavailable",
                format!("The image id '[{id}]' is not available"),
            ));
        }
        let launch_template = match &template {
            Some((named, version)) => {
                launch_templates::check_version(Some(version))?;
                Some((named.find(region)?.id.clone(), version.clone()))
            }
            None => None,
        };
        let fast = FastLaunch {
            snapshots: snapshots.unwrap_or(USUAL_SNAPSHOTS),
            parallel_launches,
            launch_template,
            since: Moment::now(),
        };
        region.fast_launches.insert(id.clone(), fast.clone());
        Ok(fast)
    })?;
    Ok(describe(&id, &fast, "enabling"))
}

/// Takes a template and its version.
fn take_template(mut group: Parameters) -> Result<(TemplateName, String), ApiError> {
    let named = TemplateName::take(&mut group);
    let version = group.required("Version")?;
    group.finish()?;
    Ok((named, version))
}

pub(crate) fn describe_fast_launch_images(mut call: Call) -> Answer {
    let ids = call.parameters.list("ImageId");
    let page = Page::take(&mut call.parameters)?;
    call.accept()?;
    let items = call.read(|region| {
        let wanted = region.fast_launches.iter();
        let wanted = wanted.filter(|(id, _)| ids.is_empty() || ids.contains(id));
        wanted.map(|(id, fast)| describe(id, fast, "enabled")).collect()
    })?;
    let (items, next) = page.cut(items);
    Ok(Element::body()
        .list("fastLaunchImageSet", items)
        .maybe("nextToken", next))
}

fn describe(id: &str, fast: &FastLaunch, state: &str) -> Element {
    let element = Element::body()
        .text("imageId", id)
        .text("resourceType", "snapshot")
        .child(Element::new("snapshotConfiguration").text("targetResourceCount", fast.snapshots));
    let element = match &fast.launch_template {
        Some((template, version)) => element.child(
            Element::new("launchTemplate")
                .text("launchTemplateId", template)
                .text("version", version),
        ),
        None => element,
    };
    element
        .text("maxParallelLaunches", fast.parallel_launches)
        .text("ownerId", ACCOUNT)
        .text("state", state)
        .text("stateTransitionReason", "Client.UserInitiated")
        .text("stateTransitionTime", fast.since)
}
