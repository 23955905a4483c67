//! The attributes of the finished AMI and its snapshots: who may use them, product codes, and the metadata service of its instances.

use aws_sdk_ec2::types::builders::{CreateVolumePermissionBuilder, LaunchPermissionBuilder};
use aws_sdk_ec2::types::{
    AttributeValue, CreateVolumePermission, CreateVolumePermissionModifications, Image, LaunchPermission,
    LaunchPermissionModifications, PermissionGroup,
};
use bakelite_aws::call::call;
use bakelite_aws::error::AwsError;
use bakelite_aws::resource::image::snapshot_ids;

use super::imaging::Imaging;
use super::options::{ImageOptions, ImdsSupport};

impl Imaging<'_> {
    /// Sets the attributes that the options name.
    pub(crate) async fn set_image_attributes(&self, image: &Image) -> Result<(), AwsError> {
        let id = image.image_id().unwrap_or_default();
        let modify = || self.cloud.ec2().modify_image_attribute().image_id(id);
        let mut requests = Vec::new();
        let launch = launch_permissions(self.options);
        if !launch.is_empty() {
            self.cloud.say(format!("Sharing AMI {id}..."));
            let add = LaunchPermissionModifications::builder().set_add(Some(launch)).build();
            requests.push(modify().launch_permission(add));
        }
        let codes = &self.options.ami_product_codes;
        if !codes.is_empty() {
            requests.push(
                modify()
                    .attribute("productCodes")
                    .set_product_codes(Some(codes.clone())),
            );
        }
        if let Some(ImdsSupport::V2) = self.options.imds_support {
            requests.push(modify().imds_support(AttributeValue::builder().value("v2.0").build()));
        }
        for request in requests {
            call("ModifyImageAttribute", || request.clone().send()).await?;
        }
        self.share_snapshots(image).await
    }

    async fn share_snapshots(&self, image: &Image) -> Result<(), AwsError> {
        let users = self.options.snapshot_users.iter();
        let users = users.map(|user| CreateVolumePermission::builder().user_id(user));
        let groups = self.options.snapshot_groups.iter();
        let groups = groups.map(|name| CreateVolumePermission::builder().group(group(name)));
        let permissions: Vec<_> = users.chain(groups).map(CreateVolumePermissionBuilder::build).collect();
        if permissions.is_empty() {
            return Ok(());
        }
        let add = CreateVolumePermissionModifications::builder()
            .set_add(Some(permissions))
            .build();
        for snapshot in snapshot_ids(image) {
            let request = self.cloud.ec2().modify_snapshot_attribute().snapshot_id(snapshot);
            let request = request.create_volume_permission(add.clone());
            call("ModifySnapshotAttribute", || request.clone().send()).await?;
        }
        Ok(())
    }
}

fn group(name: &str) -> PermissionGroup {
    PermissionGroup::from(name)
}

fn launch_permissions(options: &ImageOptions) -> Vec<LaunchPermission> {
    let permission = LaunchPermission::builder;
    let users = options.ami_users.iter().map(|user| permission().user_id(user));
    let groups = options.ami_groups.iter().map(|name| permission().group(group(name)));
    let organizations = options
        .ami_org_arns
        .iter()
        .map(|arn| permission().organization_arn(arn));
    let units = options.ami_ou_arns.iter();
    let units = units.map(|arn| permission().organizational_unit_arn(arn));
    let all = users.chain(groups).chain(organizations).chain(units);
    all.map(LaunchPermissionBuilder::build).collect()
}
