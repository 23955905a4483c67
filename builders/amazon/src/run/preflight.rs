//! What is found before anything is made that the bake cannot succeed with: everything at once, in one report. A look that AWS refuses,
//! or cannot answer, finds nothing.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{BootModeType, BootModeValues, InstanceType, InstanceTypeInfo};
use bakelite_aws::call::once;
use bakelite_aws::error::AwsError;
use bakelite_aws::retry::ErrorClass;
use bakelite_engine::error::Explain;

use super::launch::Launch;
use super::network::{Network, zones_that_offer};
use super::placement::{at, of_type};
use crate::findings::Findings;

/// A finding about the launch.
#[derive(Debug, thiserror::Error)]
enum Finding {
    #[error("instance type `{kind}` does not exist in region `{region}`")]
    NoType { kind: String, region: String },
    #[error("instance type `{kind}` has architecture {has}, the source AMI `{image}` needs {needs}")]
    Architecture {
        kind: String,
        has: String,
        image: String,
        needs: String,
    },
    #[error("instance type `{kind}` does not boot by {needs}, which the source AMI `{image}` needs")]
    BootMode { kind: String, image: String, needs: String },
    #[error("instance type `{kind}` is not offered in zone {zones}")]
    Zone {
        kind: String,
        zones: String,
        offered: String,
    },
    #[error("the instance cannot be launched")]
    Launch(#[source] AwsError),
}

impl Explain for Finding {
    fn help(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::NoType { .. } => Some("`aws ec2 describe-instance-types` lists those of the region".into()),
            Self::Architecture { .. } => Some("take an instance type or a source AMI of the other architecture".into()),
            Self::Zone { offered, .. } => Some(format!("it is offered in {offered}").into()),
            Self::Launch(error) if error.message.contains("default VPC") => {
                Some("the account has no default VPC here: give `subnet_id` or `subnet_filter`".into())
            }
            Self::Launch(error) => error.help(),
            Self::BootMode { .. } => None,
        }
    }

    fn option(&self) -> Option<std::borrow::Cow<'_, str>> {
        (!matches!(self, Self::Launch(_))).then_some("instance_type".into())
    }
}

impl Launch<'_> {
    /// Looks at the launch to come: whether its types exist, fit the source AMI and are offered where it goes, and whether EC2 would do it.
    pub(crate) async fn preflight(&self, findings: &mut Findings) {
        let ec2 = self.cloud.ec2();
        let types = self.options.instance_types();
        let (infos, offering, dry) =
            tokio::join!(describe(ec2, &types), zones_that_offer(ec2, &types), self.dry_run(),);
        match infos {
            Ok(infos) => self.judge(&infos, findings),
            Err(error) if error.code.as_deref() == Some("InvalidInstanceType") => findings.found(Finding::NoType {
                kind: types.join("`, `"),
                region: self.cloud.aws.region().to_owned(),
            }),
            Err(_) => {}
        }
        let zones = zones(&self.network);
        let offering = offering.unwrap_or_default();
        if !zones.is_empty() && !offering.is_empty() && !zones.iter().any(|zone| offering.contains(*zone)) {
            findings.found(Finding::Zone {
                kind: types.join("`, `"),
                zones: zones.join(", "),
                offered: offering.into_iter().collect::<Vec<_>>().join(", "),
            });
        } else if let Err(error) = dry {
            findings.found(Finding::Launch(error));
        }
    }

    /// Whether instances of these types can run the source AMI. One of several types that cannot, and a boot mode, of which AMIs do not
    /// always tell the truth, are no more than warnings.
    fn judge(&self, infos: &[InstanceTypeInfo], findings: &mut Findings) {
        let unfit: Vec<Finding> = infos.iter().filter_map(|info| self.architecture(info)).collect();
        let is_hopeless = unfit.len() == infos.len();
        for finding in unfit {
            if is_hopeless {
                findings.found(finding);
            } else {
                self.cloud.bake.ui.warn(finding.to_string());
            }
        }
        for finding in infos.iter().filter_map(|info| self.boot_mode(info)) {
            self.cloud.bake.ui.warn(finding.to_string());
        }
    }

    fn architecture(&self, info: &InstanceTypeInfo) -> Option<Finding> {
        let has = info.processor_info()?.supported_architectures();
        let has: Vec<&str> = has.iter().map(aws_sdk_ec2::types::ArchitectureType::as_str).collect();
        let needs = self.source.architecture()?.as_str();
        (!has.is_empty() && !has.contains(&needs)).then(|| Finding::Architecture {
            kind: type_of(info),
            has: has.join(", "),
            image: self.source.image_id().unwrap_or_default().to_owned(),
            needs: needs.to_owned(),
        })
    }

    fn boot_mode(&self, info: &InstanceTypeInfo) -> Option<Finding> {
        let needs = match self.source.boot_mode()? {
            BootModeValues::Uefi => BootModeType::Uefi,
            BootModeValues::LegacyBios => BootModeType::LegacyBios,
            _ => return None,
        };
        let modes = info.supported_boot_modes();
        (!modes.is_empty() && !modes.contains(&needs)).then(|| Finding::BootMode {
            kind: type_of(info),
            image: self.source.image_id().unwrap_or_default().to_owned(),
            needs: needs.as_str().to_owned(),
        })
    }

    /// Asks EC2 whether it would launch the instance, with what is there already of what the launch will have.
    async fn dry_run(&self) -> Result<(), AwsError> {
        if self.options.spot().is_some() {
            return Ok(());
        }
        let groups = self.options.security_groups.named();
        let profile = self.options.iam_instance_profile.as_deref();
        let key = self.options.communicator.ssh_keypair_name.as_deref();
        let Ok(request) = self.request(key, profile) else {
            // User data that cannot be read is reported by the launch.
            return Ok(());
        };
        let place = self.network.places.first().cloned().unwrap_or_default();
        let types = self.options.instance_types();
        let kind = types.first().map_or("", String::as_str);
        let request = of_type(request, kind, self.options.has_unlimited_credits());
        let request = at(request, &place, self.network.public_address, &groups).dry_run(true);
        match once("RunInstances", request.send()).await {
            Err(error) if is_final(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether the launch would be refused in the same way. What the caller may not do with a launch that lacks its temporary parts, or what
/// EC2 does not say for good, is left to the launch.
fn is_final(error: &AwsError) -> bool {
    let is_refusal = matches!(error.class, ErrorClass::Refused | ErrorClass::NotFound);
    is_refusal && error.code.as_deref().is_some_and(|code| !PASSED.contains(&code))
}

/// The codes of a launch that EC2 would do, or that it cannot judge.
const PASSED: [&str; 3] = ["DryRunOperation", "InvalidAction", "UnsupportedOperation"];

fn type_of(info: &InstanceTypeInfo) -> String {
    info.instance_type().map_or("", InstanceType::as_str).to_owned()
}

fn zones(network: &Network) -> Vec<&str> {
    let places = network.places.iter();
    places.filter_map(|place| place.availability_zone.as_deref()).collect()
}

async fn describe(ec2: &Client, types: &[String]) -> Result<Vec<InstanceTypeInfo>, AwsError> {
    let names = types.iter().map(|name| InstanceType::from(name.as_str())).collect();
    let request = ec2.describe_instance_types().set_instance_types(Some(names));
    let answer = once("DescribeInstanceTypes", request.send()).await?;
    Ok(answer.instance_types.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_findings_are_one_report() {
        let mut findings = Findings::default();
        let no_type = |kind: &str| Finding::NoType {
            kind: kind.to_owned(),
            region: "us-east-1".into(),
        };
        findings.found(no_type("m9.huge"));
        findings.found(no_type("m9.tiny"));
        let report = findings.settle().unwrap_err().report();
        assert!(
            report.text.starts_with("2 problems:\n  - instance type `m9.huge`"),
            "{}",
            report.text
        );
        assert!(report.text.contains("\n  - instance type `m9.tiny`"), "{}", report.text);
        let mut findings = Findings::default();
        findings.found(no_type("m9.huge"));
        let report = findings.settle().unwrap_err().report();
        assert_eq!(
            report.text,
            "instance type `m9.huge` does not exist in region `us-east-1`"
        );
        assert!(Findings::default().settle().is_ok());
    }
}
