//! Who may use the AMI and its snapshots, and how its instances reach their metadata.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::builders::{CreateVolumePermissionBuilder, LaunchPermissionBuilder};
use aws_sdk_ec2::types::{
    AttributeValue, CreateVolumePermission, CreateVolumePermissionModifications, Image, LaunchPermission,
    LaunchPermissionModifications, PermissionGroup,
};
use bakelite_aws::class::AwsError;
use bakelite_aws::remove::snapshot_ids;
use bakelite_engine::bake::Bake;

use super::options::Options;

/// Sets what the options say of the AMI and of its snapshots.
pub(crate) async fn share(bake: &Bake, ec2: &Client, image: &Image, options: &Options) -> Result<(), AwsError> {
    let id = image.image_id().unwrap_or_default();
    let launch = launch_permissions(options);
    let failed = |error| AwsError::of("ModifyImageAttribute", &error);
    if !launch.is_empty() {
        bake.ui.say(format!("Letting others launch AMI {id}..."));
        let add = LaunchPermissionModifications::builder().set_add(Some(launch)).build();
        ec2.modify_image_attribute()
            .image_id(id)
            .launch_permission(add)
            .send()
            .await
            .map_err(failed)?;
    }
    if !options.ami_product_codes.is_empty() {
        let codes = Some(options.ami_product_codes.clone());
        let request = ec2
            .modify_image_attribute()
            .image_id(id)
            .attribute("productCodes")
            .set_product_codes(codes);
        request.send().await.map_err(failed)?;
    }
    if let Some(version) = options.imds_support.as_deref().filter(|version| !version.is_empty()) {
        let version = AttributeValue::builder().value(version).build();
        ec2.modify_image_attribute()
            .image_id(id)
            .imds_support(version)
            .send()
            .await
            .map_err(failed)?;
    }
    share_snapshots(ec2, image, options).await
}

fn launch_permissions(options: &Options) -> Vec<LaunchPermission> {
    let users = options
        .ami_users
        .iter()
        .map(|user| LaunchPermission::builder().user_id(user));
    let groups = options
        .ami_groups
        .iter()
        .map(|group| LaunchPermission::builder().group(PermissionGroup::from(group.as_str())));
    let organizations = options
        .ami_org_arns
        .iter()
        .map(|arn| LaunchPermission::builder().organization_arn(arn));
    let units = options
        .ami_ou_arns
        .iter()
        .map(|arn| LaunchPermission::builder().organizational_unit_arn(arn));
    users
        .chain(groups)
        .chain(organizations)
        .chain(units)
        .map(LaunchPermissionBuilder::build)
        .collect()
}

async fn share_snapshots(ec2: &Client, image: &Image, options: &Options) -> Result<(), AwsError> {
    let users = options
        .snapshot_users
        .iter()
        .map(|user| CreateVolumePermission::builder().user_id(user));
    let groups = options
        .snapshot_groups
        .iter()
        .map(|group| CreateVolumePermission::builder().group(PermissionGroup::from(group.as_str())));
    let permissions: Vec<_> = users.chain(groups).map(CreateVolumePermissionBuilder::build).collect();
    if permissions.is_empty() {
        return Ok(());
    }
    let add = CreateVolumePermissionModifications::builder()
        .set_add(Some(permissions))
        .build();
    for snapshot in snapshot_ids(image) {
        let request = ec2
            .modify_snapshot_attribute()
            .snapshot_id(snapshot)
            .create_volume_permission(add.clone());
        request
            .send()
            .await
            .map_err(|error| AwsError::of("ModifySnapshotAttribute", &error))?;
    }
    Ok(())
}
