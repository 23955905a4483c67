//! What can be changed of an image: permissions, description, IMDS support, deprecation, deregistration protection.

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::block_devices;
use crate::ec2::images::{self, check_made_here, check_own};
use crate::ec2::snapshots::check_accounts;
use crate::moment::Moment;
use crate::query::Parameters;
use crate::state::image::EVERYONE;
use crate::state::image::{Image, LaunchPermission};
use crate::xml::Element;

pub(crate) fn describe_image_attribute(mut call: Call) -> Answer {
    let id = call.parameters.required("ImageId")?;
    let attribute = call.parameters.required("Attribute")?;
    call.accept()?;
    let catalogue = call.catalogue();
    let image = call.read(|region| images::find(region, &catalogue, &id).cloned())??;
    check_own(&image)?;
    let value = |name, text: Option<String>| Element::body().child(Element::new(name).maybe("value", text));
    let described = match attribute.as_str() {
        "launchPermission" => Element::body().list(
            "launchPermission",
            image.launch_permission.iter().map(describe_permission),
        ),
        "description" => value("description", Some(image.description)),
        "blockDeviceMapping" => block_devices::mapping_of_image(&image.block_devices),
        "sriovNetSupport" => value("sriovNetSupport", image.sriov_support.then(|| "simple".to_owned())),
        "bootMode" => value("bootMode", image.boot_mode),
        "tpmSupport" => value("tpmSupport", image.tpm_support),
        "imdsSupport" => value("imdsSupport", image.imds_support),
        "deregistrationProtection" => value(
            "deregistrationProtection",
            Some(protection(image.deregistration_protection).to_owned()),
        ),
        "productCodes" => Element::body().list("productCodes", []),
        "kernel" | "ramdisk" | "uefiData" | "lastLaunchedTime" => Element::body(),
        other => return Err(ApiError::invalid_value("attribute", other)),
    };
    Ok(Element::body().text("imageId", id).with(described))
}

fn protection(enabled: bool) -> &'static str {
    if enabled {
        "enabled-without-cooldown"
    } else {
        "disabled"
    }
}

fn describe_permission(permission: &LaunchPermission) -> Element {
    match permission {
        LaunchPermission::Account(id) => Element::body().text("userId", id),
        LaunchPermission::Group(name) => Element::body().text("group", name),
        LaunchPermission::Organization(arn) => Element::body().text("organizationArn", arn),
        LaunchPermission::OrganizationalUnit(arn) => Element::body().text("organizationalUnitArn", arn),
    }
}

/// Permissions to add and to remove.
#[derive(Default)]
struct PermissionChanges {
    add: Vec<LaunchPermission>,
    remove: Vec<LaunchPermission>,
}

impl PermissionChanges {
    /// Takes both forms: `LaunchPermission.Add.N`, and lists with an `OperationType`.
    fn take(parameters: &mut Parameters) -> Result<PermissionChanges, ApiError> {
        let operation = parameters.word("OperationType", &["add", "remove"])?;
        let mut listed: Vec<LaunchPermission> = Vec::new();
        listed.extend(parameters.list("UserId").into_iter().map(LaunchPermission::Account));
        listed.extend(parameters.list("UserGroup").into_iter().map(LaunchPermission::Group));
        listed.extend(
            parameters
                .list("OrganizationArn")
                .into_iter()
                .map(LaunchPermission::Organization),
        );
        listed.extend(
            parameters
                .list("OrganizationalUnitArn")
                .into_iter()
                .map(LaunchPermission::OrganizationalUnit),
        );
        let mut changes = PermissionChanges {
            add: take_permissions(parameters, "LaunchPermission.Add")?,
            remove: take_permissions(parameters, "LaunchPermission.Remove")?,
        };
        match operation.as_deref() {
            Some("remove") => changes.remove.extend(listed),
            Some(_) => changes.add.extend(listed),
            // Some clients (Packer 1.6) repeat the permissions as a list without operation; the list alone is not a change.
            None if !listed.is_empty() && changes.is_empty() => {
                return Err(ApiError::missing_parameter("OperationType"));
            }
            None => {}
        }
        changes.check()?;
        Ok(changes)
    }

    fn check(&self) -> Result<(), ApiError> {
        for permission in self.add.iter().chain(&self.remove) {
            match permission {
                LaunchPermission::Account(id) if id == EVERYONE => {
                    return check_accounts([&"-".to_owned()].into_iter());
                }
                LaunchPermission::Account(id) => check_accounts([id].into_iter())?,
                LaunchPermission::Group(name) if name != EVERYONE => {
                    return Err(ApiError::new(
                        "InvalidAMIAttributeItemValue",
                        format!("Invalid attribute item value \"{name}\" for userGroup item type."),
                    ));
                }
                LaunchPermission::Organization(arn) | LaunchPermission::OrganizationalUnit(arn)
                    if !arn.starts_with("arn:") =>
                {
                    return Err(ApiError::invalid_parameter(format!("Invalid ARN: {arn}")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

fn take_permissions(parameters: &mut Parameters, name: &str) -> Result<Vec<LaunchPermission>, ApiError> {
    let mut permissions = Vec::new();
    for mut item in parameters.items(name) {
        permissions.extend(item.text("UserId").map(LaunchPermission::Account));
        permissions.extend(item.text("Group").map(LaunchPermission::Group));
        permissions.extend(item.text("OrganizationArn").map(LaunchPermission::Organization));
        permissions.extend(
            item.text("OrganizationalUnitArn")
                .map(LaunchPermission::OrganizationalUnit),
        );
        item.finish()?;
    }
    Ok(permissions)
}

pub(crate) fn modify_image_attribute(mut call: Call) -> Answer {
    let id = call.parameters.required("ImageId")?;
    let attribute = call.parameters.text("Attribute");
    let value = call.parameters.text("Value");
    let description = call
        .parameters
        .text("Description.Value")
        .or_else(|| call.parameters.text("Description"));
    let imds_support = call
        .parameters
        .text("ImdsSupport.Value")
        .or_else(|| call.parameters.text("ImdsSupport"));
    let permissions = PermissionChanges::take(&mut call.parameters)?;
    let product_codes = call.parameters.list("ProductCode");
    call.accept()?;
    if !product_codes.is_empty() {
        return Err(ApiError::unsupported("the local cloud does not support product codes"));
    }
    let (mut new_description, mut new_imds_support) = (description, imds_support);
    match (attribute.as_deref(), value) {
        (None | Some("launchPermission"), None) => {}
        (Some("description"), value) => new_description = value.or(new_description),
        (Some("imdsSupport"), value) => new_imds_support = value.or(new_imds_support),
        (Some(other), _) => return Err(ApiError::invalid_value("attribute", other)),
        (None, Some(_)) => return Err(ApiError::missing_parameter("Attribute")),
    }
    if new_description.is_none() && new_imds_support.is_none() && permissions.is_empty() {
        return Err(ApiError::invalid_combination("No attributes specified."));
    }
    if let Some(other) = new_imds_support.as_ref().filter(|value| *value != "v2.0") {
        return Err(ApiError::invalid_value("imdsSupport", other));
    }
    change_own(&call, &id, |image| {
        image.description = new_description.unwrap_or_else(|| image.description.clone());
        image.imds_support = new_imds_support.or_else(|| image.imds_support.clone());
        image.launch_permission.extend(permissions.add);
        image
            .launch_permission
            .retain(|permission| !permissions.remove.contains(permission));
        Ok(())
    })
}

pub(crate) fn enable_image_deprecation(mut call: Call) -> Answer {
    let id = call.parameters.required("ImageId")?;
    let text = call.parameters.required("DeprecateAt")?;
    call.accept()?;
    let deprecated = Moment::parse(&text).ok_or_else(|| ApiError::invalid_value("DeprecateAt", &text))?;
    if deprecated <= Moment::now() {
        return Err(ApiError::invalid_parameter(format!(
            "The deprecation time {text} is in the past"
        )));
    }
    change_own(&call, &id, |image| {
        image.deprecated = Some(deprecated);
        Ok(())
    })
}

pub(crate) fn disable_image_deprecation(mut call: Call) -> Answer {
    let id = call.parameters.required("ImageId")?;
    call.accept()?;
    change_own(&call, &id, |image| {
        image.deprecated = None;
        Ok(())
    })
}

pub(crate) fn enable_deregistration_protection(mut call: Call) -> Answer {
    let id = call.parameters.required("ImageId")?;
    let _with_cooldown = call.parameters.boolean("WithCooldown")?;
    call.accept()?;
    change_protection(&call, &id, true)
}

pub(crate) fn disable_deregistration_protection(mut call: Call) -> Answer {
    let id = call.parameters.required("ImageId")?;
    call.accept()?;
    change_protection(&call, &id, false)
}

fn change_protection(call: &Call, id: &str, enabled: bool) -> Answer {
    change_own(call, id, |image| {
        image.deregistration_protection = enabled;
        Ok(())
    })?;
    Ok(Element::body().text("return", protection(enabled)))
}

/// Changes an image that was made here. Those of the catalogue belong to others, those that the user named to him.
fn change_own(call: &Call, id: &str, change: impl FnOnce(&mut Image) -> Result<(), ApiError>) -> Answer {
    let catalogue = call.catalogue();
    call.change(|region| {
        check_made_here(region, &catalogue, id)?;
        change(region.image_mut(id)?)
    })?;
    Ok(Element::body().yes())
}
