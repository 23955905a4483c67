//! Launch templates of one version: parameters of a launch that are kept.

use std::collections::HashSet;

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::filters::{FilterTable, Filters};
use crate::ec2::launch_request::Launch;
use crate::ec2::page::Page;
use crate::ec2::tags::{self, TagSpecifications};
use crate::ids::{ResourceKind, absent};
use crate::moment::Moment;
use crate::query::Parameters;
use crate::state::{ACCOUNT, LaunchTemplate, Region, Tags};
use crate::xml::Element;

/// Shortest and longest name, in characters.
const NAME_LENGTHS: std::ops::RangeInclusive<usize> = 3..=128;

pub(crate) fn create_launch_template(mut call: Call) -> Answer {
    let name = call.parameters.required("LaunchTemplateName")?;
    let _version = call.parameters.text("VersionDescription");
    let client_token = call.parameters.filled("ClientToken");
    let data = call.parameters.group("LaunchTemplateData");
    let data = data.ok_or_else(|| ApiError::missing_parameter("LaunchTemplateData"))?;
    check(data.clone())?;
    let kinds = [ResourceKind::LaunchTemplate];
    let tags = TagSpecifications::take(&mut call.parameters, &kinds)?.of(ResourceKind::LaunchTemplate);
    call.accept()?;
    if !NAME_LENGTHS.contains(&name.chars().count()) {
        return Err(ApiError::new(
            "InvalidLaunchTemplateName.MalformedException",
            format!("The launch template name '{name}' must have between 3 and 128 characters"),
        ));
    }
    let template = LaunchTemplate {
        id: ResourceKind::LaunchTemplate.new_id(),
        name,
        created: Moment::now(),
        client_token,
        data: data.into_values(),
    };
    let template = call.change(|region| {
        let named = region
            .launch_templates
            .values()
            .find(|known| known.name == template.name);
        match named {
            Some(known) if known.client_token.is_some() && known.client_token == template.client_token => {
                Ok(known.clone())
            }
            Some(_) => Err(ApiError::new(
                "InvalidLaunchTemplateName.AlreadyExistsException",
                "Launch template name already in use.",
            )),
            None => {
                region.tag(&template.id, &tags);
                region.launch_templates.insert(template.id.clone(), template.clone());
                Ok(template)
            }
        }
    })?;
    Ok(Element::body().child(Element::new("launchTemplate").with(describe(&template, &tags))))
}

/// Checks that the data could be those of a launch; they may leave out what a launch needs.
fn check(mut data: Parameters) -> Result<(), ApiError> {
    for (name, value) in DEFAULTS {
        data.set_default(name, value);
    }
    Launch::take(&mut data)?;
    data.finish()
}

/// What a launch needs, where a template does not give it.
const DEFAULTS: [(&str, &str); 3] = [("ImageId", "ami-00000000"), ("MinCount", "1"), ("MaxCount", "1")];

/// The parameters of a launch of one instance from a template, with other values on top.
pub(super) fn launch(template: &LaunchTemplate, over: impl IntoIterator<Item = (String, String)>) -> Parameters {
    let mut values = template.data.clone();
    let counts = ["MinCount", "MaxCount"];
    values.extend(counts.map(|count| (count.to_owned(), "1".to_owned())));
    values.extend(over);
    // A subnet is at the interface when there is one.
    if values.keys().any(|name| name.starts_with("NetworkInterface."))
        && let Some(subnet) = values.remove("SubnetId")
    {
        values.insert("NetworkInterface.1.SubnetId".to_owned(), subnet);
    }
    Parameters::of(values)
}

/// How a call names a template.
#[derive(Clone)]
pub(super) struct TemplateName {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
}

impl TemplateName {
    /// Takes id or name, of which exactly one names a template.
    pub(super) fn take(parameters: &mut Parameters) -> TemplateName {
        TemplateName {
            id: parameters.filled("LaunchTemplateId"),
            name: parameters.filled("LaunchTemplateName"),
        }
    }

    pub(super) fn find<'a>(&self, region: &'a Region) -> Result<&'a LaunchTemplate, ApiError> {
        match (&self.id, &self.name) {
            (Some(id), None) => with_id(region, id),
            (None, Some(name)) => with_name(region, name),
            _ => Err(ApiError::invalid_combination(
                "Specify either the launch template ID or the launch template name",
            )),
        }
    }
}

fn with_id<'a>(region: &'a Region, id: &str) -> Result<&'a LaunchTemplate, ApiError> {
    let found = region.launch_templates.get(id);
    found.ok_or_else(|| absent(ResourceKind::LaunchTemplate, id))
}

fn with_name<'a>(region: &'a Region, name: &str) -> Result<&'a LaunchTemplate, ApiError> {
    let found = region.launch_templates.values().find(|template| template.name == name);
    found.ok_or_else(|| {
        ApiError::new(
            "InvalidLaunchTemplateName.NotFoundException",
            format!("At least one of the launch templates specified in the request does not exist: {name}"),
        )
    })
}

/// Checks the version of a template: there is one.
pub(super) fn check_version(version: Option<&str>) -> Result<(), ApiError> {
    match version {
        None | Some("" | "1" | "$Latest" | "$Default") => Ok(()),
        Some(other) => Err(ApiError::new(
            "InvalidLaunchTemplateId.VersionNotFound",
            format!("Could not find launch template version {other}"),
        )),
    }
}

const FILTERS: FilterTable<LaunchTemplate> = &[
    ("launch-template-name", |template| vec![template.name.clone()]),
    ("create-time", |template| vec![template.created.to_string()]),
];

pub(crate) fn describe_launch_templates(mut call: Call) -> Answer {
    let ids = call.parameters.list("LaunchTemplateId");
    let names = call.parameters.list("LaunchTemplateName");
    let filters = Filters::take(&mut call.parameters, FILTERS)?;
    let page = Page::take(&mut call.parameters)?;
    call.accept()?;
    let items = call.read(|region| {
        let by_id = ids.iter().map(|id| with_id(region, id));
        let by_name = names.iter().map(|name| with_name(region, name));
        let chosen = by_id.chain(by_name).map(|found| found.map(|template| &template.id));
        let chosen: HashSet<&String> = chosen.collect::<Result<_, ApiError>>()?;
        let wanted = region
            .launch_templates
            .values()
            .filter(|template| chosen.is_empty() || chosen.contains(&template.id))
            .filter(|template| filters.match_item(FILTERS, template, region.tags_of(&template.id)));
        let items = wanted.map(|template| describe(template, region.tags_of(&template.id)));
        Ok::<Vec<Element>, ApiError>(items.collect())
    })??;
    let (items, next) = page.cut(items);
    Ok(Element::body().list("launchTemplates", items).maybe("nextToken", next))
}

pub(crate) fn delete_launch_template(mut call: Call) -> Answer {
    let named = TemplateName::take(&mut call.parameters);
    call.accept()?;
    let template = call.change(|region| {
        let template = named.find(region)?.clone();
        region.launch_templates.remove(&template.id);
        region.tags.remove(&template.id);
        Ok(template)
    })?;
    Ok(Element::body().child(Element::new("launchTemplate").with(describe(&template, &Tags::new()))))
}

fn describe(template: &LaunchTemplate, tags: &Tags) -> Element {
    Element::body()
        .text("launchTemplateId", &template.id)
        .text("launchTemplateName", &template.name)
        .text("createTime", template.created)
        .text("createdBy", format!("arn:aws:iam::{ACCOUNT}:root"))
        .text("defaultVersionNumber", 1)
        .text("latestVersionNumber", 1)
        .with(tags::tag_set(tags))
}
