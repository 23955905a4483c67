//! Temporary roles and instance profiles. Both are found by their name, which the token makes unique: IAM has no filters for tags.

use aws_sdk_iam::types::Tag;

use super::kind::{By, Found, Kind, RemoveError, Scope, unless_gone};
use crate::call::{all, once};
use crate::error::AwsError;
use crate::retry::ErrorClass;
use crate::tag::{self, Tags};

/// A role, with the policy of the same name in it.
pub static ROLE: Kind = Kind {
    name: "role",
    find: |scope, by| Box::pin(find_roles(scope, by)),
    remove: |scope, name| Box::pin(remove_role(scope, name)),
};

/// An instance profile, with the role that it holds.
pub static INSTANCE_PROFILE: Kind = Kind {
    name: "instance-profile",
    find: |scope, by| Box::pin(find_profiles(scope, by)),
    remove: |scope, name| Box::pin(remove_profile(scope, name)),
};

/// What the names of temporary roles and profiles begin with.
const PREFIX: &str = "packer-";

/// The name of the temporary role, policy and profile with this token.
pub fn name(token: &str) -> String {
    format!("{PREFIX}{token}")
}

/// Tags as IAM wants them.
///
/// # Errors
/// None in practice: keys and values are all there.
pub fn tags(tags: &Tags) -> Result<Vec<Tag>, AwsError> {
    let tags = tags
        .iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build());
    let tags: Result<Vec<Tag>, _> = tags.collect();
    tags.map_err(|_| AwsError::incomplete("CreateRole", "key of a tag"))
}

fn found(name: &str, tags: Option<Vec<Tag>>) -> Found {
    let tags = tags.unwrap_or_default().into_iter();
    Found {
        id: name.to_owned(),
        tags: tags.map(|tag| (tag.key, tag.value)).collect(),
    }
}

/// Whoever may make and remove roles may not always look at them, and a sweep is no reason to fail.
fn unless_denied<T: Default>(result: Result<T, AwsError>) -> Result<T, AwsError> {
    match result {
        Err(error) if error.is_not_found() || matches!(error.class, ErrorClass::Denied | ErrorClass::Refused) => {
            Ok(T::default())
        }
        result => result,
    }
}

async fn find_roles(scope: &Scope<'_>, by: By<'_>) -> Result<Vec<Found>, AwsError> {
    let iam = scope.aws.iam_of_a_part();
    let names = match by {
        By::Token(token) => vec![name(token)],
        By::AnyRun => {
            let pages = iam.list_roles().into_paginator().items().send();
            let roles = unless_denied(all("ListRoles", pages).await)?.into_iter();
            roles
                .map(|role| role.role_name)
                .filter(|name| name.starts_with(PREFIX))
                .collect()
        }
    };
    let mut roles = Vec::new();
    for name in names {
        let answer = once("GetRole", iam.get_role().role_name(&name).send()).await;
        let role = unless_denied(answer.map(|answer| answer.role))?;
        roles.extend(role.map(|role| found(&name, role.tags)));
    }
    roles.retain(|role| is_of_a_run(role, by));
    Ok(roles)
}

async fn find_profiles(scope: &Scope<'_>, by: By<'_>) -> Result<Vec<Found>, AwsError> {
    let iam = scope.aws.iam_of_a_part();
    let names = match by {
        By::Token(token) => vec![name(token)],
        By::AnyRun => {
            let pages = iam.list_instance_profiles().into_paginator().items().send();
            let profiles = unless_denied(all("ListInstanceProfiles", pages).await)?.into_iter();
            let names = profiles.map(|profile| profile.instance_profile_name);
            names.filter(|name| name.starts_with(PREFIX)).collect()
        }
    };
    let mut profiles = Vec::new();
    for name in names {
        let request = iam.get_instance_profile().instance_profile_name(&name);
        let answer = once("GetInstanceProfile", request.send()).await;
        let profile = unless_denied(answer.map(|answer| answer.instance_profile))?;
        profiles.extend(profile.map(|profile| found(&name, profile.tags)));
    }
    profiles.retain(|profile| is_of_a_run(profile, by));
    Ok(profiles)
}

/// A name of that beginning may be somebody else's.
fn is_of_a_run(found: &Found, by: By<'_>) -> bool {
    matches!(by, By::Token(_)) || found.tags.contains_key(tag::RUN)
}

async fn remove_role(scope: &Scope<'_>, name: &str) -> Result<(), RemoveError> {
    let iam = scope.aws.iam_of_a_part();
    let policy = iam.delete_role_policy().role_name(name).policy_name(name);
    unless_gone(once("DeleteRolePolicy", policy.send()).await)?;
    Ok(unless_gone(
        once("DeleteRole", iam.delete_role().role_name(name).send()).await,
    )?)
}

async fn remove_profile(scope: &Scope<'_>, name: &str) -> Result<(), RemoveError> {
    let iam = scope.aws.iam_of_a_part();
    let role = iam.remove_role_from_instance_profile();
    let role = role.instance_profile_name(name).role_name(name);
    unless_gone(once("RemoveRoleFromInstanceProfile", role.send()).await)?;
    let profile = iam.delete_instance_profile().instance_profile_name(name);
    Ok(unless_gone(once("DeleteInstanceProfile", profile.send()).await)?)
}
