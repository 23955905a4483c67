//! What is found before anything is made that the bake cannot succeed with: everything at once, in one report. A look that AWS refuses,
//! or cannot answer, finds nothing.

use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{InstanceMarketOptionsRequest, MarketType, SpotMarketOptions};
use bakelite_aws::call::once;
use bakelite_aws::error::AwsError;
use bakelite_aws::retry::ErrorClass;
use bakelite_engine::error::Explain;
use futures::future::join_all;

use super::launch::Launch;
use super::network::{Network, zones_that_offer};
use super::options::Spot;
use super::placement::{at, of_type};
use super::types::{TypeError, architecture, boot_mode};
use crate::findings::Findings;

/// A finding about the launch.
#[derive(Debug, thiserror::Error)]
enum Finding {
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
            Self::Zone { offered, .. } => Some(format!("it is offered in {offered}").into()),
            Self::Launch(error) if error.message.contains("default VPC") => {
                Some("the account has no default VPC here: give `subnet_id` or `subnet_filter`".into())
            }
            Self::Launch(error) => error.help(),
        }
    }

    fn option(&self) -> Option<std::borrow::Cow<'_, str>> {
        (!matches!(self, Self::Launch(_))).then_some("instance_type".into())
    }
}

impl Launch<'_> {
    /// Looks at the launch to come: whether its types fit the source AMI and are offered where it goes, and whether EC2 would do it. What
    /// EC2 does not say before a launch (quotas of instances, keys of KMS) is left to the launch: its error says what to do.
    pub(crate) async fn preflight(&self, findings: &mut Findings) {
        self.judge(findings);
        let types = self.options.instance_types();
        let (offering, dry) = tokio::join!(zones_that_offer(&self.cloud.aws, &types), self.dry_run());
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
    fn judge(&self, findings: &mut Findings) {
        let unfit = self.types.iter().filter_map(|info| architecture(info, &self.source));
        let unfit: Vec<TypeError> = unfit.collect();
        let is_hopeless = unfit.len() == self.types.len();
        for finding in unfit {
            if is_hopeless {
                findings.found(finding);
            } else {
                self.cloud.bake.ui.warn(finding.to_string());
            }
        }
        for finding in self.types.iter().filter_map(|info| boot_mode(info, &self.source)) {
            self.cloud.bake.ui.warn(finding.to_string());
        }
    }

    /// Asks EC2 whether it would launch the instance, with what is there already of what the launch will have. Of several types one that
    /// it would launch is enough.
    async fn dry_run(&self) -> Result<(), AwsError> {
        let groups = self.options.security_groups.named();
        let profile = self.options.iam_instance_profile.as_deref();
        let key = self.options.communicator.ssh_keypair_name.as_deref();
        let request = match self.options.spot() {
            // A fleet cannot be asked without its launch template. An instance that is asked for as a spot instance is refused for the
            // same reasons: it has the same image, types, network, key and profile.
            Some(spot) => self.request(key, profile).map(|request| as_spot(request, &spot)),
            None => self.on_demand_request(key, profile),
        };
        let Ok(request) = request else {
            // User data that cannot be read is reported by the launch.
            return Ok(());
        };
        let place = self.network.places.first().cloned().unwrap_or_default();
        let request = at(request, &place, self.network.addresses, &groups).dry_run(true);
        let types = self.options.instance_types();
        let tries = types.iter().map(|kind| {
            let request = of_type(request.clone(), kind, self.options.has_unlimited_credits());
            // Whose launches differ in nothing but their tags are told the same.
            let alike = request.clone().set_tag_specifications(None);
            let ask = async {
                match once("RunInstances", request.send()).await {
                    Err(error) if is_final(&error) => Err(error),
                    _ => Ok(()),
                }
            };
            let question = format!("launch {:?}", alike.as_input());
            async { self.cloud.aws.asked.once(question, ask).await }
        });
        let mut refused = None;
        for answer in join_all(tries).await {
            match answer {
                Err(error) => refused = refused.or(Some(error)),
                Ok(()) => return Ok(()),
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

fn as_spot(request: RunInstancesFluentBuilder, spot: &Spot<'_>) -> RunInstancesFluentBuilder {
    let price = SpotMarketOptions::builder().set_max_price(spot.price.map(str::to_owned));
    let market = InstanceMarketOptionsRequest::builder()
        .market_type(MarketType::Spot)
        .spot_options(price.build());
    request.instance_market_options(market.build())
}

/// Whether the launch would be refused in the same way. What the caller may not do with a launch that lacks its temporary parts, or what
/// EC2 does not say for good, is left to the launch.
fn is_final(error: &AwsError) -> bool {
    let is_refusal = matches!(error.class, ErrorClass::Refused | ErrorClass::NotFound);
    is_refusal && error.code.as_deref().is_some_and(|code| !PASSED.contains(&code))
}

/// The codes of a launch that EC2 would do, or that it cannot judge.
const PASSED: [&str; 4] = [
    "DryRunOperation",
    "InvalidAction",
    "UnsupportedOperation",
    "SpotMaxPriceTooLow",
];

fn zones(network: &Network) -> Vec<&str> {
    let places = network.places.iter();
    places.filter_map(|place| place.availability_zone.as_deref()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_findings_are_one_report() {
        let mut findings = Findings::default();
        let no_type = |kind: &str| TypeError::Missing {
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
