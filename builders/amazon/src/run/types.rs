//! The instance types of a launch: whether the region has them, and whether they can run the source AMI.

use std::borrow::Cow;

use aws_sdk_ec2::types::{ArchitectureType, BootModeType, BootModeValues, Image, InstanceType, InstanceTypeInfo};
use bakelite_aws::call::once;
use bakelite_aws::error::AwsError;
use bakelite_engine::error::Explain;

use crate::cloud::Cloud;

/// A type that will not do.
#[derive(Debug, thiserror::Error)]
pub(super) enum TypeError {
    #[error("instance type `{kind}` does not exist in region `{region}`")]
    Missing { kind: String, region: String },
    #[error("instance type `{kind}` has architecture {has}, the source AMI `{image}` needs {needs}")]
    Architecture {
        kind: String,
        has: String,
        image: String,
        needs: String,
    },
    #[error("instance type `{kind}` does not boot by {needs}, which the source AMI `{image}` needs")]
    BootMode { kind: String, image: String, needs: String },
}

impl Explain for TypeError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Missing { .. } => Some("`aws ec2 describe-instance-types` lists those of the region".into()),
            Self::Architecture { .. } => Some("take an instance type or a source AMI of the other architecture".into()),
            Self::BootMode { .. } => None,
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        Some("instance_type".into())
    }
}

/// What EC2 says of these types, which must all exist. Whoever may not ask may still launch them.
pub(super) async fn describe(cloud: &Cloud<'_>, types: &[String]) -> Result<Vec<InstanceTypeInfo>, TypeError> {
    let names = types.iter().map(|name| InstanceType::from(name.as_str())).collect();
    let request = cloud.ec2().describe_instance_types();
    let request = request.set_instance_types(Some(names));
    let ask = async {
        let answer = once("DescribeInstanceTypes", request.send()).await?;
        Ok::<_, AwsError>(answer.instance_types.unwrap_or_default())
    };
    match cloud.aws.asked.once(format!("types {types:?}"), ask).await {
        Ok(types) => Ok(types),
        Err(error) if error.code.as_deref() == Some("InvalidInstanceType") => Err(TypeError::Missing {
            kind: types.join("`, `"),
            region: cloud.aws.region().to_owned(),
        }),
        Err(_) => Ok(Vec::new()),
    }
}

/// What is wrong with the architecture of a type.
pub(super) fn architecture(info: &InstanceTypeInfo, source: &Image) -> Option<TypeError> {
    let has = info.processor_info()?.supported_architectures();
    let has: Vec<&str> = has.iter().map(ArchitectureType::as_str).collect();
    let needs = source.architecture()?.as_str();
    (!has.is_empty() && !has.contains(&needs)).then(|| TypeError::Architecture {
        kind: name(info),
        has: has.join(", "),
        image: source.image_id().unwrap_or_default().to_owned(),
        needs: needs.to_owned(),
    })
}

/// What is wrong with how instances of a type boot.
pub(super) fn boot_mode(info: &InstanceTypeInfo, source: &Image) -> Option<TypeError> {
    let needs = match source.boot_mode()? {
        BootModeValues::Uefi => BootModeType::Uefi,
        BootModeValues::LegacyBios => BootModeType::LegacyBios,
        _ => return None,
    };
    let modes = info.supported_boot_modes();
    (!modes.is_empty() && !modes.contains(&needs)).then(|| TypeError::BootMode {
        kind: name(info),
        image: source.image_id().unwrap_or_default().to_owned(),
        needs: needs.as_str().to_owned(),
    })
}

fn name(info: &InstanceTypeInfo) -> String {
    info.instance_type().map_or("", InstanceType::as_str).to_owned()
}
