//! EC2's Query API, version 2016-11-15: the table of actions. What exists is in `crate::state`, the actions on each kind in a file here.

pub(crate) mod block_devices;
pub(crate) mod create_image;
pub(crate) mod describe_instances;
pub(crate) mod fast_launch;
pub(crate) mod filters;
pub(crate) mod fleets;
pub(crate) mod image_attributes;
pub(crate) mod images;
pub(crate) mod instance_attributes;
pub(crate) mod instance_types;
pub(crate) mod key_pairs;
pub(crate) mod launch;
pub(crate) mod launch_request;
pub(crate) mod launch_templates;
pub(crate) mod page;
pub(crate) mod power;
pub(crate) mod regions;
pub(crate) mod security_groups;
pub(crate) mod security_rules;
pub(crate) mod snapshots;
pub(crate) mod tags;
pub(crate) mod volumes;
pub(crate) mod vpcs;

use crate::api_error::ApiError;
use crate::call::{Answer, Call};

/// The only version of the API that is spoken here; all clients of the last ten years send it.
pub(crate) const VERSION: &str = "2016-11-15";
/// The namespace of answers.
pub(crate) const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// Does what a call asks for.
pub(crate) async fn act(action: &str, call: Call) -> Answer {
    match action {
        "AttachVolume" => volumes::attach_volume(call),
        "AuthorizeSecurityGroupIngress" => security_rules::authorize_ingress(call),
        "CopyImage" => create_image::copy_image(call),
        "CreateFleet" => fleets::create_fleet(call).await,
        "CreateImage" => create_image::create_image(call).await,
        "CreateKeyPair" => key_pairs::create_key_pair(call).await,
        "CreateLaunchTemplate" => launch_templates::create_launch_template(call),
        "CreateSecurityGroup" => security_groups::create_security_group(call),
        "CreateSnapshot" => create_image::create_snapshot(call).await,
        "CreateTags" => tags::create_tags(call),
        "CreateVolume" => volumes::create_volume(call).await,
        "DeleteKeyPair" => key_pairs::delete_key_pair(call),
        "DeleteLaunchTemplate" => launch_templates::delete_launch_template(call),
        "DeleteSecurityGroup" => security_groups::delete_security_group(call),
        "DeleteSnapshot" => snapshots::delete_snapshot(call).await,
        "DeleteTags" => tags::delete_tags(call),
        "DeleteVolume" => volumes::delete_volume(call).await,
        "DeregisterImage" => images::deregister_image(call).await,
        "DescribeAvailabilityZones" => regions::describe_availability_zones(call),
        "DescribeFastLaunchImages" => fast_launch::describe_fast_launch_images(call),
        "DescribeImageAttribute" => image_attributes::describe_image_attribute(call),
        "DescribeImages" => images::describe_images(call),
        "DescribeInstanceAttribute" => instance_attributes::describe_instance_attribute(call),
        "DescribeInstanceTypeOfferings" => instance_types::describe_instance_type_offerings(call),
        "DescribeInstanceTypes" => instance_types::describe_instance_types(call),
        "DescribeInstances" => describe_instances::describe_instances(call),
        "DescribeKeyPairs" => key_pairs::describe_key_pairs(call),
        "DescribeLaunchTemplates" => launch_templates::describe_launch_templates(call),
        "DescribeRegions" => regions::describe_regions(call),
        "DescribeSecurityGroups" => security_groups::describe_security_groups(call),
        "DescribeSnapshotAttribute" => snapshots::describe_snapshot_attribute(call),
        "DescribeSnapshots" => snapshots::describe_snapshots(call),
        "DescribeSubnets" => vpcs::describe_subnets(call),
        "DescribeTags" => tags::describe_tags(call),
        "DescribeVolumes" => volumes::describe_volumes(call),
        "DescribeVpcs" => vpcs::describe_vpcs(call),
        "DetachVolume" => volumes::detach_volume(call),
        "DisableImageDeprecation" => image_attributes::disable_image_deprecation(call),
        "DisableImageDeregistrationProtection" => image_attributes::disable_deregistration_protection(call),
        "EnableFastLaunch" => fast_launch::enable_fast_launch(call),
        "EnableImageDeprecation" => image_attributes::enable_image_deprecation(call),
        "EnableImageDeregistrationProtection" => image_attributes::enable_deregistration_protection(call),
        "GetConsoleOutput" => instance_attributes::get_console_output(call).await,
        "GetPasswordData" => instance_attributes::get_password_data(call),
        "ImportKeyPair" => key_pairs::import_key_pair(call),
        "ModifyImageAttribute" => image_attributes::modify_image_attribute(call),
        "ModifyInstanceAttribute" => instance_attributes::modify_instance_attribute(call),
        "ModifySnapshotAttribute" => snapshots::modify_snapshot_attribute(call),
        "RebootInstances" => power::reboot_instances(call),
        "RegisterImage" => create_image::register_image(call),
        "RunInstances" => launch::run_instances(call).await,
        "StartInstances" => power::start_instances(call),
        "StopInstances" => power::stop_instances(call),
        "TerminateInstances" => power::terminate_instances(call),
        unknown => Err(ApiError::new(
            "InvalidAction",
            format!("The action {unknown} is not valid for this web service."),
        )),
    }
}
