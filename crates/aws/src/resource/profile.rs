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
    removing: "Deleting temporary role",
    find: |scope, by| Box::pin(find_roles(scope, by)),
    remove: |scope, name| Box::pin(remove_role(scope, name)),
};

/// An instance profile, with the role that it holds.
pub static INSTANCE_PROFILE: Kind = Kind {
    name: "instance-profile",
    removing: "Deleting temporary instance profile",
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
fn listed<T>(result: Result<Vec<T>, AwsError>) -> Result<Vec<T>, AwsError> {
    match result {
        Err(error) if error.is_not_allowed() => Ok(Vec::new()),
        result => result,
    }
}

/// What is there of this name. What the caller may not look at counts as there when the name is ours alone: its removal shows whether it
/// is. A sweep leaves out what it may not look at.
fn looked_at(name: &str, by: By<'_>, tags: Result<Option<Vec<Tag>>, AwsError>) -> Result<Option<Found>, AwsError> {
    match tags {
        Ok(tags) => Ok(Some(found(name, tags)).filter(|found| is_of_a_run(found, by))),
        // The role and the profile have one name: that the one was made a moment ago says nothing of the other.
        Err(error) if error.is_not_found() || error.class == ErrorClass::NotYet => Ok(None),
        Err(error) if error.is_not_allowed() => Ok(matches!(by, By::Token(_)).then(|| found(name, None))),
        Err(error) => Err(error),
    }
}

async fn find_roles(scope: &Scope<'_>, by: By<'_>) -> Result<Vec<Found>, AwsError> {
    let iam = scope.aws.iam_of_a_part();
    let names = match by {
        By::Token(token) => vec![name(token)],
        By::AnyRun => {
            let pages = iam.list_roles().into_paginator().items().send();
            let roles = listed(all("ListRoles", pages).await)?.into_iter();
            roles
                .map(|role| role.role_name)
                .filter(|name| name.starts_with(PREFIX))
                .collect()
        }
    };
    let mut roles = Vec::new();
    for name in names {
        let answer = once("GetRole", iam.get_role().role_name(&name).send()).await;
        let tags = answer.map(|answer| answer.role.and_then(|role| role.tags));
        roles.extend(looked_at(&name, by, tags)?);
    }
    Ok(roles)
}

async fn find_profiles(scope: &Scope<'_>, by: By<'_>) -> Result<Vec<Found>, AwsError> {
    let iam = scope.aws.iam_of_a_part();
    let names = match by {
        By::Token(token) => vec![name(token)],
        By::AnyRun => {
            let pages = iam.list_instance_profiles().into_paginator().items().send();
            let profiles = listed(all("ListInstanceProfiles", pages).await)?.into_iter();
            let names = profiles.map(|profile| profile.instance_profile_name);
            names.filter(|name| name.starts_with(PREFIX)).collect()
        }
    };
    let mut profiles = Vec::new();
    for name in names {
        let request = iam.get_instance_profile().instance_profile_name(&name);
        let answer = once("GetInstanceProfile", request.send()).await;
        let tags = answer.map(|answer| answer.instance_profile.and_then(|profile| profile.tags));
        profiles.extend(looked_at(&name, by, tags)?);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_may_not_be_looked_at_is_not_gone() {
        let answer = |class| {
            let mut error = AwsError::incomplete("GetRole", "role");
            error.class = class;
            Err(error)
        };
        let of_token = By::Token("1");
        let there = looked_at("packer-1", of_token, answer(ErrorClass::Denied)).unwrap();
        assert_eq!(there.map(|found| found.id).as_deref(), Some("packer-1"));
        assert!(
            looked_at("packer-1", By::AnyRun, answer(ErrorClass::Denied))
                .unwrap()
                .is_none()
        );
        assert!(
            looked_at("packer-1", of_token, answer(ErrorClass::NotFound))
                .unwrap()
                .is_none()
        );
        assert!(looked_at("packer-1", of_token, answer(ErrorClass::Throttled)).is_err());
        // Somebody else's of that beginning is left alone by a sweep.
        assert!(looked_at("packer-users", By::AnyRun, Ok(None)).unwrap().is_none());
    }
}
