//! What can be asked and changed of an instance beyond its state: attributes, metadata options, console, password.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::describe_instances;
use crate::ec2::instance_types;
use crate::ec2::launch_request::check_user_data;
use crate::ec2::security_groups;
use crate::moment::Moment;
use crate::query::Parameters;
use crate::state::Region;
use crate::state::instance::{Instance, InstanceState};
use crate::xml::Element;

pub(crate) fn describe_instance_attribute(mut call: Call) -> Answer {
    let id = call.parameters.required("InstanceId")?;
    let attribute = call.parameters.required("Attribute")?;
    call.accept()?;
    call.read(|region| {
        let instance = region.instance(&id)?;
        let value = |name, text: Option<&str>| Element::body().child(Element::new(name).maybe("value", text));
        let switch = |name, on: bool| value(name, Some(if on { "true" } else { "false" }));
        let described = match attribute.as_str() {
            "instanceType" => value("instanceType", Some(&instance.instance_type)),
            "userData" => value("userData", instance.user_data.as_deref()),
            "disableApiTermination" => switch("disableApiTermination", instance.termination_protection),
            "disableApiStop" => switch("disableApiStop", instance.stop_protection),
            "ebsOptimized" => switch("ebsOptimized", instance.ebs_optimized),
            "enaSupport" => switch("enaSupport", instance.ena_support),
            "sourceDestCheck" => switch("sourceDestCheck", instance.source_dest_check),
            "sriovNetSupport" => value("sriovNetSupport", instance.sriov_support.then_some("simple")),
            "rootDeviceName" => value("rootDeviceName", Some(&instance.root_device)),
            "instanceInitiatedShutdownBehavior" => value(
                "instanceInitiatedShutdownBehavior",
                Some(if instance.shutdown_terminates {
                    "terminate"
                } else {
                    "stop"
                }),
            ),
            "groupSet" => Element::body().list("groupSet", security_groups::group_set(region, instance)),
            "blockDeviceMapping" => Element::body().list(
                "blockDeviceMapping",
                describe_instances::block_device_mapping(region, &instance.id),
            ),
            "enclaveOptions" => Element::body().child(Element::new("enclaveOptions").text("enabled", instance.enclave)),
            "productCodes" => Element::body().list("productCodes", []),
            "kernel" | "ramdisk" => Element::body(),
            other => return Err(ApiError::invalid_value("attribute", other)),
        };
        Ok(Element::body().text("instanceId", &id).with(described))
    })?
}

/// Changes of one call, by the name that `DescribeInstanceAttribute` uses.
#[derive(Default)]
struct AttributeChanges {
    values: Vec<(&'static str, String)>,
    groups: Vec<String>,
    /// Devices whose `DeleteOnTermination` changes.
    devices: Vec<(String, bool)>,
}

/// Attributes with one value: their names in the two forms of the call.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("instanceType", "InstanceType"),
    ("userData", "UserData"),
    ("disableApiTermination", "DisableApiTermination"),
    ("disableApiStop", "DisableApiStop"),
    ("ebsOptimized", "EbsOptimized"),
    ("enaSupport", "EnaSupport"),
    ("sourceDestCheck", "SourceDestCheck"),
    ("sriovNetSupport", "SriovNetSupport"),
    ("instanceInitiatedShutdownBehavior", "InstanceInitiatedShutdownBehavior"),
];

impl AttributeChanges {
    fn take(parameters: &mut Parameters) -> Result<AttributeChanges, ApiError> {
        let mut changes = AttributeChanges {
            groups: parameters.list("GroupId"),
            ..AttributeChanges::default()
        };
        let named = parameters.text("Attribute");
        for (name, parameter) in ATTRIBUTES {
            let long = parameters
                .text(&format!("{parameter}.Value"))
                .or_else(|| parameters.text(parameter));
            let short = if named.as_deref() == Some(name) {
                Some(parameters.required("Value")?)
            } else {
                None
            };
            changes.values.extend(long.or(short).map(|value| (*name, value)));
        }
        for mut mapping in parameters.items("BlockDeviceMapping") {
            let device = mapping.required("DeviceName")?;
            let delete = mapping.boolean("Ebs.DeleteOnTermination")?;
            let _volume = mapping.text("Ebs.VolumeId");
            mapping.finish()?;
            changes.devices.extend(delete.map(|delete| (device, delete)));
        }
        if let Some(unknown) = named.filter(|named| !ATTRIBUTES.iter().any(|(name, _)| name == named)) {
            return Err(ApiError::invalid_value("attribute", &unknown));
        }
        let count =
            changes.values.len() + usize::from(!changes.groups.is_empty()) + usize::from(!changes.devices.is_empty());
        match count {
            1 => Ok(changes),
            0 => Err(ApiError::invalid_combination("No attributes specified.")),
            _ => Err(ApiError::invalid_combination(
                "Fields for multiple attribute types specified",
            )),
        }
    }

    fn apply(self, region: &mut Region, id: &str) -> Result<(), ApiError> {
        if !self.groups.is_empty() {
            let groups = security_groups::resolve(region, &self.groups, &[])?;
            region.instance_mut(id)?.security_groups = groups;
        }
        for (device, delete) in self.devices {
            let volume = region.volumes.values_mut().find(|volume| {
                volume
                    .attachment
                    .as_ref()
                    .is_some_and(|at| at.instance_id == id && at.device == device)
            });
            let volume = volume.ok_or_else(|| {
                ApiError::new(
                    "InvalidInstanceAttributeValue",
                    format!("No device is currently mapped at {device}"),
                )
            })?;
            volume.ebs.delete_on_termination = delete;
        }
        let instance = region.instance_mut(id)?;
        self.values
            .into_iter()
            .try_for_each(|(name, value)| set(instance, name, &value))
    }
}

fn set(instance: &mut Instance, name: &str, value: &str) -> Result<(), ApiError> {
    let switch = || match value {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(ApiError::invalid_value(name, other)),
    };
    // These describe the virtual hardware, which can be changed only while it is off.
    let hardware = matches!(
        name,
        "instanceType" | "userData" | "ebsOptimized" | "enaSupport" | "sriovNetSupport"
    );
    if hardware && instance.state != InstanceState::Stopped {
        return Err(ApiError::new(
            "IncorrectInstanceState",
            format!("The instance '{}' is not in the 'stopped' state.", instance.id),
        ));
    }
    match name {
        "instanceType" => instance.instance_type = instance_types::required(value)?.name,
        "userData" => {
            check_user_data(value)?;
            instance.user_data = Some(value.to_owned()).filter(|text| !text.is_empty());
        }
        "disableApiTermination" => instance.termination_protection = switch()?,
        "disableApiStop" => instance.stop_protection = switch()?,
        "ebsOptimized" => instance.ebs_optimized = switch()?,
        "enaSupport" => instance.ena_support = switch()?,
        "sourceDestCheck" => instance.source_dest_check = switch()?,
        "sriovNetSupport" if value == "simple" => instance.sriov_support = true,
        "instanceInitiatedShutdownBehavior" if matches!(value, "stop" | "terminate") => {
            instance.shutdown_terminates = value == "terminate";
        }
        _ => return Err(ApiError::invalid_value(name, value)),
    }
    Ok(())
}

pub(crate) fn modify_instance_attribute(mut call: Call) -> Answer {
    let id = call.parameters.required("InstanceId")?;
    let changes = AttributeChanges::take(&mut call.parameters)?;
    call.accept()?;
    call.change(|region| {
        region.instance(&id)?;
        changes.apply(region, &id)
    })?;
    Ok(Element::body().yes())
}

/// Answers what the machine wrote while booting, as far as this process runs it.
pub(crate) async fn get_console_output(mut call: Call) -> Answer {
    let id = call.parameters.required("InstanceId")?;
    let _latest = call.parameters.boolean("Latest")?;
    call.accept()?;
    call.read(|region| region.instance(&id).map(|_| ()))??;
    let slot = call.cloud.slot(&id);
    let output = slot
        .lock()
        .await
        .as_ref()
        .map(|running| running.machine.console_output());
    Ok(Element::body()
        .text("instanceId", id)
        .text("timestamp", Moment::now())
        .maybe("output", output.map(|bytes| BASE64_STANDARD.encode(bytes))))
}

/// Answers an empty password: no instance here runs Windows.
pub(crate) fn get_password_data(mut call: Call) -> Answer {
    let id = call.parameters.required("InstanceId")?;
    call.accept()?;
    call.read(|region| region.instance(&id).map(|_| ()))??;
    Ok(Element::body()
        .text("instanceId", id)
        .text("timestamp", Moment::now())
        .text("passwordData", ""))
}
