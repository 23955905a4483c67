//! IAM's Query API, version 2010-05-08: the roles and instance profiles of temporary instances. Policies are kept and restrict nothing.

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ids::random_hex;
use crate::moment::Moment;
use crate::query::Parameters;
use crate::state::{ACCOUNT, Iam, InstanceProfile, Role, Tags};
use crate::visibility::{no_profile, no_role};
use crate::xml::Element;

/// The version of the API.
pub(crate) const VERSION: &str = "2010-05-08";
/// The namespace of answers.
pub(crate) const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// Longest name of a role and of a profile, in characters.
const LONGEST_ROLE: usize = 64;
const LONGEST_PROFILE: usize = 128;

const ROLE_IN_PROFILE: &str = "Cannot delete entity, must remove roles from instance profile first.";

/// Does what a call asks for.
pub(crate) fn act(action: &str, call: Call) -> Answer {
    match action {
        "AddRoleToInstanceProfile" => add_role(call),
        "CreateInstanceProfile" => create_profile(call),
        "CreateRole" => create_role(call),
        "DeleteInstanceProfile" => delete_profile(call),
        "DeleteRole" => delete_role(call),
        "DeleteRolePolicy" => delete_role_policy(call),
        "GetInstanceProfile" => get_profile(call),
        "GetRole" => get_role(call),
        "ListInstanceProfiles" => list_profiles(call),
        "ListRoles" => list_roles(call),
        "PutRolePolicy" => put_role_policy(call),
        "RemoveRoleFromInstanceProfile" => remove_role(call),
        unknown => Err(ApiError::new(
            "InvalidAction",
            format!("Could not find operation {unknown} for version {VERSION}"),
        )),
    }
}

fn create_role(mut call: Call) -> Answer {
    let name = take_name(&mut call.parameters, "RoleName", LONGEST_ROLE)?;
    let trust = take_policy(&mut call.parameters, "AssumeRolePolicyDocument")?;
    let description = call.parameters.text("Description").unwrap_or_default();
    let tags = take_tags(&mut call.parameters)?;
    call.accept()?;
    let role = Role {
        id: format!("AROA{}", random_hex(16).to_uppercase()),
        created: Moment::now(),
        description,
        trust,
        policies: std::collections::BTreeMap::new(),
        tags,
    };
    let described = describe_role(&name, &role);
    change(&call, |iam| {
        if iam.roles.contains_key(&name) {
            return Err(exists(format!("Role with name {name} already exists.")));
        }
        iam.roles.insert(name.clone(), role);
        Ok(())
    })?;
    Ok(Element::body().child(Element::new("CreateRoleResult").child(described)))
}

fn get_role(mut call: Call) -> Answer {
    let name = call.parameters.required("RoleName")?;
    call.accept()?;
    let role = read(&call, |iam| iam.roles.get(&name).cloned())?.ok_or_else(|| no_role(&name))?;
    let role = describe_role(&name, &role).with(member_tags(&role.tags));
    Ok(Element::body().child(Element::new("GetRoleResult").child(role)))
}

fn list_roles(mut call: Call) -> Answer {
    let _page_size = call.parameters.number::<u32>("MaxItems")?;
    call.accept()?;
    let roles = read(&call, |iam| iam.roles.clone())?;
    let members = roles.iter().map(|(name, role)| describe_role(name, role));
    let result = Element::new("ListRolesResult").members("Roles", members);
    Ok(Element::body().child(result.text("IsTruncated", false)))
}

fn delete_role(mut call: Call) -> Answer {
    let name = call.parameters.required("RoleName")?;
    call.accept()?;
    change(&call, |iam| {
        let role = iam.roles.get(&name).ok_or_else(|| no_role(&name))?;
        if !role.policies.is_empty() {
            return Err(in_use("Cannot delete entity, must delete policies first."));
        }
        let holds = |profile: &InstanceProfile| profile.role.as_ref() == Some(&name);
        if iam.profiles.values().any(holds) {
            return Err(in_use(ROLE_IN_PROFILE));
        }
        iam.roles.remove(&name);
        Ok(())
    })
}

fn put_role_policy(mut call: Call) -> Answer {
    let name = call.parameters.required("RoleName")?;
    let policy_name = take_name(&mut call.parameters, "PolicyName", LONGEST_PROFILE)?;
    let policy = take_policy(&mut call.parameters, "PolicyDocument")?;
    call.accept()?;
    change(&call, |iam| {
        let role = iam.roles.get_mut(&name).ok_or_else(|| no_role(&name))?;
        role.policies.insert(policy_name, policy);
        Ok(())
    })
}

fn delete_role_policy(mut call: Call) -> Answer {
    let name = call.parameters.required("RoleName")?;
    let policy_name = call.parameters.required("PolicyName")?;
    call.accept()?;
    change(&call, |iam| {
        let role = iam.roles.get_mut(&name).ok_or_else(|| no_role(&name))?;
        let message = || format!("The role policy with name {policy_name} cannot be found.");
        let removed = role.policies.remove(&policy_name);
        removed
            .map(drop)
            .ok_or_else(|| ApiError::with_status(404, "NoSuchEntity", message()))
    })
}

fn create_profile(mut call: Call) -> Answer {
    let name = take_name(&mut call.parameters, "InstanceProfileName", LONGEST_PROFILE)?;
    let tags = take_tags(&mut call.parameters)?;
    call.accept()?;
    let profile = InstanceProfile {
        id: format!("AIPA{}", random_hex(16).to_uppercase()),
        created: Moment::now(),
        role: None,
        tags,
    };
    let described = change_with(&call, |iam| {
        if iam.profiles.contains_key(&name) {
            return Err(exists(format!("Instance Profile {name} already exists.")));
        }
        let described = describe_profile(iam, &name, &profile);
        iam.profiles.insert(name.clone(), profile);
        Ok(described)
    })?;
    Ok(Element::body().child(Element::new("CreateInstanceProfileResult").child(described)))
}

fn get_profile(mut call: Call) -> Answer {
    let name = call.parameters.required("InstanceProfileName")?;
    call.accept()?;
    let described = read(&call, |iam| {
        let given = || {
            Iam::is_given(&name).then(|| InstanceProfile {
                id: "AIPAGIVEN".to_owned(),
                created: Moment::now(),
                role: None,
                tags: Tags::new(),
            })
        };
        let profile = iam.profiles.get(&name).cloned().or_else(given)?;
        Some(describe_profile(iam, &name, &profile).with(member_tags(&profile.tags)))
    })?;
    let described = described.ok_or_else(|| no_profile(&name))?;
    Ok(Element::body().child(Element::new("GetInstanceProfileResult").child(described)))
}

fn list_profiles(mut call: Call) -> Answer {
    let _page_size = call.parameters.number::<u32>("MaxItems")?;
    call.accept()?;
    let members: Vec<Element> = read(&call, |iam| {
        let profiles = iam.profiles.iter();
        profiles
            .map(|(name, profile)| describe_profile(iam, name, profile))
            .collect()
    })?;
    let result = Element::new("ListInstanceProfilesResult").members("InstanceProfiles", members);
    Ok(Element::body().child(result.text("IsTruncated", false)))
}

fn delete_profile(mut call: Call) -> Answer {
    let name = call.parameters.required("InstanceProfileName")?;
    call.accept()?;
    change(&call, |iam| {
        let profile = iam.profiles.get(&name).ok_or_else(|| no_profile(&name))?;
        if profile.role.is_some() {
            return Err(in_use(ROLE_IN_PROFILE));
        }
        iam.profiles.remove(&name);
        Ok(())
    })
}

fn add_role(mut call: Call) -> Answer {
    let name = call.parameters.required("InstanceProfileName")?;
    let role = call.parameters.required("RoleName")?;
    call.accept()?;
    change(&call, |iam| {
        if !iam.roles.contains_key(&role) {
            return Err(no_role(&role));
        }
        let profile = iam.profiles.get_mut(&name).ok_or_else(|| no_profile(&name))?;
        if profile.role.is_some() {
            return Err(ApiError::with_status(
                409,
                "LimitExceeded",
                "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1",
            ));
        }
        profile.role = Some(role);
        Ok(())
    })
}

fn remove_role(mut call: Call) -> Answer {
    let name = call.parameters.required("InstanceProfileName")?;
    let role = call.parameters.required("RoleName")?;
    call.accept()?;
    change(&call, |iam| {
        let profile = iam.profiles.get_mut(&name).ok_or_else(|| no_profile(&name))?;
        if profile.role.as_ref() != Some(&role) {
            return Err(no_role(&role));
        }
        profile.role = None;
        Ok(())
    })
}

fn read<T>(call: &Call, look: impl FnOnce(&Iam) -> T) -> Result<T, ApiError> {
    Ok(call.cloud.directory.read(|state| look(&state.iam))?)
}

/// Changes what is here; the answer to such a call says nothing more.
fn change(call: &Call, change: impl FnOnce(&mut Iam) -> Result<(), ApiError>) -> Answer {
    change_with(call, change)?;
    Ok(Element::body())
}

fn change_with<T>(call: &Call, change: impl FnOnce(&mut Iam) -> Result<T, ApiError>) -> Result<T, ApiError> {
    call.cloud.change_all(|state| change(&mut state.iam))
}

fn take_name(parameters: &mut Parameters, parameter: &str, longest: usize) -> Result<String, ApiError> {
    let name = parameters.required(parameter)?;
    let fits = |character: char| character.is_ascii_alphanumeric() || "_+=,.@-".contains(character);
    if name.len() <= longest && name.chars().all(fits) {
        return Ok(name);
    }
    Err(ApiError::new(
        "ValidationError",
        format!("Value '{name}' at '{parameter}' must have at most {longest} letters, digits or characters of _+=,.@-"),
    ))
}

fn take_policy(parameters: &mut Parameters, parameter: &str) -> Result<String, ApiError> {
    let policy = parameters.required(parameter)?;
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&policy) {
        Ok(document) if document.contains_key("Statement") => Ok(policy),
        _ => Err(ApiError::new("MalformedPolicyDocument", "Syntax errors in policy.")),
    }
}

fn take_tags(parameters: &mut Parameters) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for mut tag in parameters.items("Tags.member") {
        tags.insert(tag.required("Key")?, tag.text("Value").unwrap_or_default());
        tag.finish()?;
    }
    Ok(tags)
}

fn member_tags(tags: &Tags) -> Element {
    let members = tags.iter();
    let members = members.map(|(key, value)| Element::body().text("Key", key).text("Value", value));
    Element::body().members("Tags", members)
}

fn describe_role(name: &str, role: &Role) -> Element {
    let encoded: String = form_urlencoded::byte_serialize(role.trust.as_bytes()).collect();
    Element::new("Role")
        .text("Path", "/")
        .text("RoleName", name)
        .text("RoleId", &role.id)
        .text("Arn", format!("arn:aws:iam::{ACCOUNT}:role/{name}"))
        .text("CreateDate", role.created)
        .text("AssumeRolePolicyDocument", encoded.replace('+', "%20"))
        .text("Description", &role.description)
}

fn describe_profile(iam: &Iam, name: &str, profile: &InstanceProfile) -> Element {
    let role = profile.role.as_ref();
    let roles = role.and_then(|role| Some(describe_role(role, iam.roles.get(role)?)));
    Element::new("InstanceProfile")
        .text("Path", "/")
        .text("InstanceProfileName", name)
        .text("InstanceProfileId", &profile.id)
        .text("Arn", format!("arn:aws:iam::{ACCOUNT}:instance-profile/{name}"))
        .text("CreateDate", profile.created)
        .members("Roles", roles)
}

fn exists(message: String) -> ApiError {
    ApiError::with_status(409, "EntityAlreadyExists", message)
}

fn in_use(message: &str) -> ApiError {
    ApiError::with_status(409, "DeleteConflict", message)
}
