//! STS's Query API, version 2011-06-15: who the caller is, and assuming roles.

use std::time::Duration;

use crate::api_error::ApiError;
use crate::credential::Credential;
use crate::ids::random_hex;
use crate::moment::Moment;
use crate::query::Parameters;
use crate::state::ACCOUNT;
use crate::xml::Element;

/// The version of the API.
pub(crate) const VERSION: &str = "2011-06-15";
/// The namespace of answers.
pub(crate) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// What `DurationSeconds` of `AssumeRole` may be, and what it is when it is not given.
const DURATIONS: std::ops::RangeInclusive<u64> = 900..=43_200;
const DEFAULT_DURATION: u64 = 3600;

/// Does what a call asks for.
pub(crate) fn act(action: &str, mut parameters: Parameters, credential: &Credential) -> Result<Element, ApiError> {
    match action {
        "GetCallerIdentity" => {
            parameters.finish()?;
            let user = format!("arn:aws:iam::{ACCOUNT}:user/{}", credential.access_key);
            let result = Element::new("GetCallerIdentityResult")
                .text("Arn", user)
                .text("UserId", &credential.access_key)
                .text("Account", ACCOUNT);
            Ok(Element::body().child(result))
        }
        "AssumeRole" => assume_role(&mut parameters),
        unknown => Err(ApiError::new(
            "InvalidAction",
            format!("Could not find operation {unknown} for version {VERSION}"),
        )),
    }
}

/// Gives keys for any role: nobody is kept from anything here.
fn assume_role(parameters: &mut Parameters) -> Result<Element, ApiError> {
    let role = parameters.required("RoleArn")?;
    let session = parameters.required("RoleSessionName")?;
    let seconds = parameters.number("DurationSeconds")?.unwrap_or(DEFAULT_DURATION);
    for name in ["ExternalId", "Policy", "SerialNumber", "TokenCode", "SourceIdentity"] {
        let _ = parameters.text(name);
    }
    // Session policies, session tags and their keys restrict or label; both are without effect here.
    let _ = (
        parameters.group("PolicyArns"),
        parameters.group("Tags"),
        parameters.group("TransitiveTagKeys"),
    );
    parameters.finish()?;
    if !DURATIONS.contains(&seconds) {
        return Err(ApiError::new(
            "ValidationError",
            format!("DurationSeconds {seconds} is not between 900 and 43200"),
        ));
    }
    let role_name = role
        .strip_prefix("arn:aws:iam::")
        .and_then(|rest| rest.split_once(":role/"))
        .map(|(_, path)| path.rsplit('/').next().unwrap_or(path))
        .ok_or_else(|| ApiError::new("ValidationError", format!("{role} is invalid")))?;
    let role_id = format!("AROA{}", random_hex(16).to_uppercase());
    let credentials = Element::new("Credentials")
        .text("AccessKeyId", format!("ASIA{}", random_hex(16).to_uppercase()))
        .text("SecretAccessKey", random_hex(40))
        .text("SessionToken", random_hex(64))
        .text("Expiration", Moment::now().plus(Duration::from_secs(seconds)));
    let user = Element::new("AssumedRoleUser")
        .text("AssumedRoleId", format!("{role_id}:{session}"))
        .text(
            "Arn",
            format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role_name}/{session}"),
        );
    Ok(Element::body().child(Element::new("AssumeRoleResult").child(credentials).child(user)))
}
