//! Launch templates.

use super::kind::{By, Found, Kind, RemoveError, Scope, unless_gone};
use crate::call::{all, once};
use crate::error::AwsError;

/// A launch template.
pub static LAUNCH_TEMPLATE: Kind = Kind {
    name: "launch-template",
    removing: "Deleting temporary launch template",
    find: |scope, by| Box::pin(find(scope, by)),
    remove: |scope, id| Box::pin(remove(scope, id)),
};

async fn find(scope: &Scope<'_>, by: By<'_>) -> Result<Vec<Found>, AwsError> {
    let request = scope.ec2().describe_launch_templates().filters(by.filter());
    let pages = request.into_paginator().items().send();
    let templates = match (all("DescribeLaunchTemplates", pages).await, by) {
        // Whoever makes none may not look for them either, and a sweep is no reason to fail.
        (Err(error), By::AnyRun) if error.is_not_allowed() => Vec::new(),
        (templates, _) => templates?,
    };
    Ok(templates
        .into_iter()
        .filter_map(|template| Found::new(template.launch_template_id, template.tags))
        .collect())
}

async fn remove(scope: &Scope<'_>, id: &str) -> Result<(), RemoveError> {
    let call = scope.ec2().delete_launch_template().launch_template_id(id).send();
    Ok(unless_gone(once("DeleteLaunchTemplate", call).await)?)
}
