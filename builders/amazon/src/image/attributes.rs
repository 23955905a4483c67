//! The attributes of the finished AMI and its snapshots: who may use them, product codes, the metadata service of its instances, when it
//! is deprecated, and its protection.

use aws_sdk_ec2::primitives::DateTime;
use aws_sdk_ec2::types::builders::{CreateVolumePermissionBuilder, LaunchPermissionBuilder};
use aws_sdk_ec2::types::{
    AttributeValue, CreateVolumePermission, CreateVolumePermissionModifications, LaunchPermission,
    LaunchPermissionModifications, PermissionGroup,
};
use bakelite_aws::call::call;
use bakelite_aws::client::Aws;
use bakelite_aws::error::AwsError;
use bakelite_aws::resource::image::snapshot_ids;
use bakelite_engine::bake::BakeError;
use jiff::Timestamp;

use super::ami::Ami;
use super::imaging::Imaging;
use super::options::{ImageOptions, ImdsSupport};

impl Imaging<'_> {
    /// Sets the attributes that the options name, but for the protection.
    pub(crate) async fn set_image_attributes(&self, ami: &Ami) -> Result<(), AwsError> {
        let (id, region) = (ami.id(), ami.aws.region());
        let modify = || ami.aws.ec2().modify_image_attribute().image_id(id);
        let mut requests = Vec::new();
        let launch = launch_permissions(self.options);
        if !launch.is_empty() {
            self.cloud.say(format!("Sharing AMI {id} in {region}..."));
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
        self.share_snapshots(ami).await?;
        self.deprecate(ami).await
    }

    async fn share_snapshots(&self, ami: &Ami) -> Result<(), AwsError> {
        let (users, groups) = (&self.options.snapshot_users, &self.options.snapshot_groups);
        if users.is_empty() && groups.is_empty() {
            return Ok(());
        }
        for snapshot in snapshot_ids(&ami.image) {
            self.cloud
                .say(format!("Sharing snapshot {snapshot} in {}...", ami.aws.region()));
            share_snapshot(&ami.aws, &snapshot, users, groups).await?;
        }
        Ok(())
    }

    async fn deprecate(&self, ami: &Ami) -> Result<(), AwsError> {
        let Some(at) = self.options.deprecate_at.as_deref().and_then(moment) else {
            return Ok(());
        };
        let (id, region) = (ami.id(), ami.aws.region());
        self.cloud
            .say(format!("AMI {id} in {region} will be deprecated at {at}"));
        let at = DateTime::from_secs(at.as_second());
        let request = ami.aws.ec2().enable_image_deprecation().image_id(id).deprecate_at(at);
        call("EnableImageDeprecation", || request.clone().send())
            .await
            .map(drop)
    }

    /// Protects the AMI from being deregistered, if the options say so.
    pub(crate) async fn protect(&self, ami: &Ami) -> Result<(), BakeError> {
        let Some(cooldown) = self.options.protection() else {
            return Ok(());
        };
        let (id, region) = (ami.id(), ami.aws.region());
        self.cloud
            .say(format!("Protecting AMI {id} in {region} from being deregistered..."));
        let request = ami.aws.ec2().enable_image_deregistration_protection().image_id(id);
        let request = request.with_cooldown(cooldown);
        call("EnableImageDeregistrationProtection", || request.clone().send()).await?;
        Ok(())
    }
}

/// Lets accounts and groups make volumes of a snapshot, if there are any.
pub(crate) async fn share_snapshot(
    aws: &Aws,
    snapshot: &str,
    users: &[String],
    groups: &[String],
) -> Result<(), AwsError> {
    let users = users.iter().map(|user| CreateVolumePermission::builder().user_id(user));
    let groups = groups
        .iter()
        .map(|name| CreateVolumePermission::builder().group(group(name)));
    let permissions: Vec<_> = users.chain(groups).map(CreateVolumePermissionBuilder::build).collect();
    if permissions.is_empty() {
        return Ok(());
    }
    let add = CreateVolumePermissionModifications::builder()
        .set_add(Some(permissions))
        .build();
    let request = aws.ec2().modify_snapshot_attribute().snapshot_id(snapshot);
    let request = request.create_volume_permission(add);
    call("ModifySnapshotAttribute", || request.clone().send())
        .await
        .map(drop)
}

/// The moment that `deprecate_at` names; absent when it is not one.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok()
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
