//! The instance profile: the one that the template names, or a temporary one with the policy that the template gives.

use std::borrow::Cow;

use aws_sdk_iam::Client;
use bakelite_aws::call::call;
use bakelite_aws::error::AwsError;
use bakelite_aws::made;
use bakelite_aws::resource::profile::{self, INSTANCE_PROFILE, ROLE};
use bakelite_aws::retry::ErrorClass;
use bakelite_aws::tag::Tags;
use bakelite_engine::bake::BakeError;
use bakelite_engine::error::Explain;

use super::blocks::PolicyDocument;
use super::options::RunOptions;
use crate::cloud::Cloud;

/// Lets instances of EC2 have the role.
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// Why the profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileError {
    #[error("instance profile `{name}` does not exist")]
    Missing { name: String },
    #[error(transparent)]
    Aws(#[from] AwsError),
}

impl Explain for ProfileError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Missing { .. } => Some("`aws iam list-instance-profiles` lists those of the account".into()),
            Self::Aws(error) => error.help(),
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        Some("iam_instance_profile".into())
    }
}

/// Makes sure that the profile exists that the template names. Whoever may not look at it may still use it.
pub(crate) async fn exists(cloud: &Cloud<'_>, options: &RunOptions) -> Result<(), ProfileError> {
    let Some(name) = options
        .iam_instance_profile
        .as_deref()
        .filter(|_| !options.skip_profile_validation)
    else {
        return Ok(());
    };
    let iam = cloud.aws.iam();
    let answer = call("GetInstanceProfile", || {
        iam.get_instance_profile().instance_profile_name(name).send()
    });
    match answer.await {
        Err(error) if error.is_not_found() => Err(ProfileError::Missing { name: name.to_owned() }),
        Err(error) if error.is_not_allowed() => Ok(()),
        answer => Ok(answer.map(drop)?),
    }
}

/// The name of the profile for the launch: the template's, or that of a temporary one that is made now.
pub(crate) async fn make(cloud: &Cloud<'_>, options: &RunOptions, tags: &Tags) -> Result<Option<String>, BakeError> {
    let policy = match (
        &options.iam_instance_profile,
        &options.temporary_iam_instance_profile_policy_document,
    ) {
        (Some(name), _) => return Ok(Some(name.clone())),
        (None, None) => return Ok(None),
        (None, Some(policy)) => policy,
    };
    // The role is made before the profile, so that the profile, which holds it, is removed before it. Both have the same name.
    let role = cloud.temporary(&ROLE);
    let token = role.token.clone();
    let name = profile::name(&token);
    cloud.say(format!("Creating temporary role `{name}`..."));
    let of_role = role.tags(tags);
    let call = create_role(cloud.aws.iam(), name.clone(), of_role.clone(), text_of(policy));
    let _role = cloud.create(role, call).await?;
    cloud.say(format!("Creating temporary instance profile `{name}`..."));
    let of_profile = cloud.temporary_as(&INSTANCE_PROFILE, &token);
    let tags = of_profile.tags(tags);
    let call = create_profile(cloud.aws.iam(), name.clone(), tags);
    let _profile = cloud.create(of_profile, call).await?;
    Ok(Some(name))
}

async fn create_role(iam: Client, name: String, tags: Tags, policy: String) -> Result<(String, ()), AwsError> {
    let request = iam
        .create_role()
        .role_name(&name)
        .assume_role_policy_document(TRUST)
        .description("Temporary role of an image being baked")
        .set_tags(Some(profile::tags(&tags)?));
    unless_made(call("CreateRole", || request.clone().send()).await)?;
    made::note(&name);
    let request = iam.put_role_policy().role_name(&name).policy_name(&name);
    let request = request.policy_document(policy);
    call("PutRolePolicy", || request.clone().send()).await?;
    Ok((name, ()))
}

async fn create_profile(iam: Client, name: String, tags: Tags) -> Result<(String, ()), AwsError> {
    let request = iam.create_instance_profile().instance_profile_name(&name);
    let request = request.set_tags(Some(profile::tags(&tags)?));
    unless_made(call("CreateInstanceProfile", || request.clone().send()).await)?;
    made::note(&name);
    let request = iam.add_role_to_instance_profile();
    let request = request.instance_profile_name(&name).role_name(&name);
    match call("AddRoleToInstanceProfile", || request.clone().send()).await {
        // A profile holds one role: the answer to the first try was lost.
        Err(error) if error.code.as_deref() == Some("LimitExceeded") => {}
        answer => answer.map(drop)?,
    }
    Ok((name, ()))
}

/// What has our name exists because an earlier answer was lost.
fn unless_made<T>(result: Result<T, AwsError>) -> Result<(), AwsError> {
    match result {
        Err(error) if error.class == ErrorClass::Duplicate => Ok(()),
        answer => answer.map(drop),
    }
}

/// The policy as IAM reads it.
fn text_of(policy: &PolicyDocument) -> String {
    let statements = policy.Statement.iter().map(|statement| {
        serde_json::json!({
            "Effect": statement.Effect,
            "Action": statement.Action,
            "Resource": statement.Resource,
        })
    });
    let statements: Vec<_> = statements.collect();
    serde_json::json!({ "Version": policy.Version, "Statement": statements }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_keeps_its_statements() {
        let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["*"]}]}"#;
        let policy: PolicyDocument = serde_json::from_str(policy).unwrap();
        let text: serde_json::Value = serde_json::from_str(&text_of(&policy)).unwrap();
        assert_eq!(
            text,
            serde_json::json!({
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["*"]}],
            })
        );
    }
}
