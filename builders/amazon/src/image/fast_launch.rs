//! Fast launching of Windows AMIs: EC2 keeps snapshots ready that have booted once.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    DescribeFastLaunchImagesSuccessItem, FastLaunchLaunchTemplateSpecificationRequest,
    FastLaunchSnapshotConfigurationRequest, FastLaunchStateCode,
};
use bakelite_aws::call::{all, call};
use bakelite_aws::error::AwsError;
use bakelite_aws::watch::{WaitError, Watch};
use bakelite_engine::bake::BakeError;
use bakelite_engine::error::Explain;
use bakelite_template::component::Complaint;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ami::Ami;
use crate::cloud::Cloud;

/// How long enabling may take at most: EC2 launches and stops instances for it.
const LIMIT: Duration = Duration::from_hours(2);

/// Fast launching of Windows AMIs.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct FastLaunch {
    /// It is wanted; default: when anything else is set here.
    #[expect(clippy::struct_field_names, reason = "the option's name in templates")]
    pub enable_fast_launch: Option<bool>,
    /// The id of the launch template in the build region.
    pub template_id: Option<String>,
    /// The name of the launch template in the build region.
    pub template_name: Option<String>,
    /// The launch template's version; default: the latest.
    pub template_version: Option<i64>,
    /// The launch template of each region. A region without one launches as EC2 does by itself.
    pub region_launch_templates: Vec<FastLaunchTemplate>,
    /// How many instances make snapshots at the same time; at least 6, which is also the default.
    pub max_parallel_launches: Option<i32>,
    /// How many snapshots are kept ready; default 5.
    pub target_resource_count: Option<i32>,
}

/// The launch template for fast launching in a region.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct FastLaunchTemplate {
    /// `false`: not in this region.
    pub enable_fast_launch: Option<bool>,
    /// The region.
    pub region: Option<String>,
    /// The launch template's id.
    pub template_id: Option<String>,
    /// The launch template's name.
    pub template_name: Option<String>,
    /// The launch template's version; default: the latest.
    pub template_version: Option<i64>,
}

impl FastLaunch {
    /// The launch template of the build region, as far as one is set.
    fn of_home(&self, home: &str) -> Option<FastLaunchTemplate> {
        let is_set = self.template_id.is_some() || self.template_name.is_some() || self.template_version.is_some();
        is_set.then(|| FastLaunchTemplate {
            enable_fast_launch: None,
            region: Some(home.to_owned()),
            template_id: self.template_id.clone(),
            template_name: self.template_name.clone(),
            template_version: self.template_version,
        })
    }

    fn is_wanted(&self) -> bool {
        self.enable_fast_launch.unwrap_or(
            self.of_home("").is_some()
                || !self.region_launch_templates.is_empty()
                || self.max_parallel_launches.is_some()
                || self.target_resource_count.is_some(),
        )
    }
}

/// Complains about options that contradict each other. `home` is the build region, where the template gives it; `copies` the others.
pub(crate) fn check(options: &FastLaunch, home: Option<&str>, copies: &[String], complaints: &mut Vec<Complaint>) {
    if !options.is_wanted() {
        return;
    }
    let mut complain = |field: &str, message: String| complaints.push(Complaint::error(field, message));
    if options.max_parallel_launches.is_some_and(|launches| launches < 6) {
        let message = "`max_parallel_launches` must be at least 6".to_owned();
        complain("fast_launch.max_parallel_launches", message);
    }
    if options.target_resource_count.is_some_and(|count| count < 1) {
        complain(
            "fast_launch.target_resource_count",
            "`target_resource_count` must be at least 1".into(),
        );
    }
    // The build region has no name where the environment gives it.
    let of_home = options.of_home(home.unwrap_or_default());
    let mut seen = Vec::new();
    if let Some(template) = &of_home {
        check_template("fast_launch", "the build region", template, &mut complain);
        seen.push(home.unwrap_or_default());
    }
    for (index, template) in options.region_launch_templates.iter().enumerate() {
        let path = format!("fast_launch.region_launch_templates[{index}]");
        let Some(region) = template.region.as_deref() else {
            complain(&path, "a block `region_launch_templates` needs its `region`".into());
            continue;
        };
        if seen.contains(&region) {
            complain(
                &format!("{path}.region"),
                format!("`{region}` has a launch template already"),
            );
        }
        seen.push(region);
        if home.is_some_and(|home| home != region) && !copies.iter().any(|copy| copy == region) {
            let message = format!("`{region}` is neither the build region (`region`) nor in `ami_regions`");
            complain(&format!("{path}.region"), message);
        }
        check_template(&path, region, template, &mut complain);
    }
}

fn check_template(path: &str, region: &str, template: &FastLaunchTemplate, complain: &mut impl FnMut(&str, String)) {
    if template.enable_fast_launch == Some(false) {
        return;
    }
    let named = (template.template_id.is_some(), template.template_name.is_some());
    if named == (true, true) {
        let message = format!("only one of `template_id` and `template_name` can be given for {region}");
        complain(&format!("{path}.template_name"), message);
    }
    let at = format!("{path}.template_version");
    match template.template_version {
        Some(version) if version < 0 => complain(&at, format!("`template_version` for {region} must not be negative")),
        Some(_) if named == (false, false) => {
            complain(
                &at,
                format!("`template_version` for {region} needs `template_id` or `template_name`"),
            );
        }
        _ => {}
    }
}

/// A launch template that cannot be used.
#[derive(Debug, thiserror::Error)]
enum TemplateError {
    #[error("there is no launch template `{name}` in {region}")]
    Missing { name: String, region: String },
    #[error("launch template `{name}` in {region} has no version {wanted}; its latest is {latest}")]
    Version {
        name: String,
        region: String,
        wanted: i64,
        latest: i64,
    },
}

impl Explain for TemplateError {
    fn option(&self) -> Option<Cow<'_, str>> {
        Some("fast_launch".into())
    }
}

/// What is launched fast, and how: known before anything is launched.
#[derive(Default)]
pub(crate) struct FastLaunches {
    is_wanted: bool,
    max_parallel_launches: Option<i32>,
    target_resource_count: Option<i32>,
    /// The launch template of each region that has one: its id and version.
    templates: BTreeMap<String, (String, i64)>,
    /// Where it is switched off.
    off: Vec<String>,
}

impl FastLaunches {
    /// Finds the launch templates that the options name.
    pub(crate) async fn find(cloud: &Cloud<'_>, options: Option<&FastLaunch>) -> Result<Self, BakeError> {
        let Some(options) = options.filter(|options| options.is_wanted()) else {
            return Ok(Self::default());
        };
        let mut found = Self {
            is_wanted: true,
            max_parallel_launches: options.max_parallel_launches,
            target_resource_count: options.target_resource_count,
            ..Self::default()
        };
        let home = options.of_home(cloud.aws.region());
        for template in home.iter().chain(&options.region_launch_templates) {
            let region = template.region.clone().unwrap_or_default();
            if template.enable_fast_launch == Some(false) {
                found.off.push(region);
            } else if template.template_id.is_some() || template.template_name.is_some() {
                let there = cloud.in_region(&region);
                let known = launch_template(there.ec2(), &region, template).await?;
                found.templates.insert(region, known);
            }
        }
        Ok(found)
    }

    /// Enables fast launching of an AMI, and waits until it is.
    pub(crate) async fn enable(&self, cloud: &Cloud<'_>, ami: &Ami) -> Result<(), BakeError> {
        let (id, region) = (ami.id(), ami.aws.region());
        if !self.is_wanted || self.off.iter().any(|off| off == region) {
            return Ok(());
        }
        cloud.say(format!("Enabling fast launching of AMI {id} in {region}..."));
        let count = self.target_resource_count;
        let snapshots = FastLaunchSnapshotConfigurationRequest::builder().set_target_resource_count(count);
        let template = self.templates.get(region).map(|(template, version)| {
            let template = FastLaunchLaunchTemplateSpecificationRequest::builder().launch_template_id(template);
            template.version(version.to_string()).build()
        });
        let request = ami
            .aws
            .ec2()
            .enable_fast_launch()
            .image_id(id)
            .set_max_parallel_launches(self.max_parallel_launches)
            .set_snapshot_configuration(count.map(|_| snapshots.build()))
            .set_launch_template(template);
        call("EnableFastLaunch", || request.clone().send()).await?;
        Ok(enabled(ami).await?)
    }
}

/// The id of a launch template, with the version that is wanted of it.
async fn launch_template(
    ec2: &Client,
    region: &str,
    template: &FastLaunchTemplate,
) -> Result<(String, i64), BakeError> {
    let request = ec2
        .describe_launch_templates()
        .set_launch_template_ids(template.template_id.clone().map(|id| vec![id]))
        .set_launch_template_names(template.template_name.clone().map(|name| vec![name]));
    let named = template.template_id.as_ref().or(template.template_name.as_ref());
    let (name, region) = (named.cloned().unwrap_or_default(), region.to_owned());
    let found = match call("DescribeLaunchTemplates", || request.clone().send()).await {
        Err(error) if error.is_not_found() => None,
        answer => answer?.launch_templates.unwrap_or_default().pop(),
    };
    let Some(id) = found.as_ref().and_then(|found| found.launch_template_id.clone()) else {
        return Err(TemplateError::Missing { name, region }.into());
    };
    let latest = found.and_then(|found| found.latest_version_number).unwrap_or_default();
    match template.template_version.filter(|version| *version > 0) {
        None => Ok((id, latest)),
        Some(wanted) if wanted <= latest => Ok((id, wanted)),
        Some(wanted) => Err(TemplateError::Version {
            name,
            region,
            wanted,
            latest,
        }
        .into()),
    }
}

/// Waits until fast launching is enabled.
async fn enabled(ami: &Ami) -> Result<(), WaitError> {
    let ec2 = ami.aws.ec2().clone();
    let describe = Box::new(move |ids| {
        let ec2 = ec2.clone();
        Box::pin(async move { describe(&ec2, ids).await }) as BoxFuture<'static, _>
    });
    let states = Watch::new(describe, ami.aws.times());
    let what = format!("fast launching of AMI {}", ami.id());
    let pace = ami.aws.pace(300, LIMIT).just_begun();
    let judge = |item: Option<&DescribeFastLaunchImagesSuccessItem>| match item?.state()? {
        FastLaunchStateCode::Enabled => Some(Ok(())),
        FastLaunchStateCode::Enabling => None,
        state => Some(Err(WaitError::Lost {
            what: what.clone(),
            state: state.as_str().to_owned(),
            wanted: "enabled",
            why: item?.state_transition_reason().map(str::to_owned),
        })),
    };
    states.until(ami.id(), pace, &what, "enabled", judge).await
}

async fn describe(
    ec2: &Client,
    ids: Vec<String>,
) -> Result<HashMap<String, DescribeFastLaunchImagesSuccessItem>, AwsError> {
    let request = ec2.describe_fast_launch_images().set_image_ids(Some(ids));
    let items = all("DescribeFastLaunchImages", request.into_paginator().items().send()).await?;
    let by_id = items
        .into_iter()
        .filter_map(|item| Some((item.image_id.clone()?, item)));
    Ok(by_id.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_on_unless_it_is_switched_off() {
        let is_wanted = |json| serde_json::from_value::<FastLaunch>(json).unwrap().is_wanted();
        assert!(!is_wanted(serde_json::json!({})));
        assert!(!is_wanted(
            serde_json::json!({"enable_fast_launch": false, "max_parallel_launches": 8})
        ));
        assert!(is_wanted(serde_json::json!({"enable_fast_launch": true})));
        assert!(is_wanted(serde_json::json!({"target_resource_count": 3})));
    }

    #[test]
    fn each_rule_names_region_and_field() {
        let shown = |json: &str, home: Option<&str>| {
            let mut complaints = Vec::new();
            let options = serde_json::from_str(json).unwrap();
            check(&options, home, &["us-west-2".to_owned()], &mut complaints);
            let line = |complaint: Complaint| format!("    {}: {}\n", complaint.option, complaint.message);
            format!("{json}\n{}", complaints.into_iter().map(line).collect::<String>())
        };
        insta::assert_snapshot!([
            (r#"{"max_parallel_launches": 5, "target_resource_count": 0}"#, Some("us-east-1")),
            (r#"{"template_id": "lt-1", "template_name": "n", "template_version": -1}"#, None),
            (r#"{"template_version": 2}"#, None),
            (r#"{"template_id": "lt-1", "region_launch_templates": [{"region": "us-east-1"}, {"region": "us-west-2"}]}"#, Some("us-east-1")),
            (r#"{"region_launch_templates": [{"template_id": "lt-1"}, {"region": "eu-west-1"}]}"#, Some("us-east-1")),
            (r#"{"region_launch_templates": [{"region": "eu-west-1"}]}"#, None),
            (r#"{"region_launch_templates": [{"region": "us-west-2", "enable_fast_launch": false, "template_version": 3}]}"#, None),
            (r#"{"enable_fast_launch": false, "max_parallel_launches": 1}"#, None),
        ].map(|(json, home)| shown(json, home)).concat());
    }
}
