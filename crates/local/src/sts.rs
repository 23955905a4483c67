//! STS's Query API, version 2011-06-15: who the caller is, and temporary keys.

use std::time::Duration;

use crate::access_keys::{AccessKeys, TemporaryKey};
use crate::api_error::ApiError;
use crate::credential::Credential;
use crate::ids::random_hex;
use crate::query::Parameters;
use crate::refusals;
use crate::state::ACCOUNT;
use crate::xml::Element;

/// The version of the API.
pub(crate) const VERSION: &str = "2011-06-15";
/// The namespace of answers.
pub(crate) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// What `DurationSeconds` may be, and what it is when it is not given: of `AssumeRole`, and of `GetSessionToken`.
const OF_ROLES: (std::ops::RangeInclusive<u64>, u64) = (900..=43_200, 3600);
const OF_SESSIONS: (std::ops::RangeInclusive<u64>, u64) = (900..=129_600, 43_200);

/// Does what a call asks for.
pub(crate) fn act(
    action: &str,
    mut parameters: Parameters,
    credential: &Credential,
    keys: &AccessKeys,
) -> Result<Element, ApiError> {
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
        "AssumeRole" => assume_role(&mut parameters, keys),
        "GetSessionToken" => get_session_token(&mut parameters, keys),
        "DecodeAuthorizationMessage" => {
            let message = parameters.required("EncodedMessage")?;
            parameters.finish()?;
            let result = Element::new("DecodeAuthorizationMessageResult");
            Ok(Element::body().child(result.text("DecodedMessage", refusals::decoded(&message)?)))
        }
        unknown => Err(ApiError::new(
            "InvalidAction",
            format!("Could not find operation {unknown} for version {VERSION}"),
        )),
    }
}

/// Gives temporary keys for any role: whoever may call at all is kept from nothing here.
fn assume_role(parameters: &mut Parameters, keys: &AccessKeys) -> Result<Element, ApiError> {
    let role = parameters.required("RoleArn")?;
    let session = parameters.required("RoleSessionName")?;
    let duration = duration(parameters, OF_ROLES)?;
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
    let role_name = role
        .strip_prefix("arn:aws:iam::")
        .and_then(|rest| rest.split_once(":role/"))
        .map(|(_, path)| path.rsplit('/').next().unwrap_or(path))
        .ok_or_else(|| ApiError::new("ValidationError", format!("{role} is invalid")))?;
    let role_id = format!("AROA{}", random_hex(16).to_uppercase());
    let user = Element::new("AssumedRoleUser")
        .text("AssumedRoleId", format!("{role_id}:{session}"))
        .text(
            "Arn",
            format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role_name}/{session}"),
        );
    let result = Element::new("AssumeRoleResult").child(describe(&keys.issue(duration)));
    Ok(Element::body().child(result.child(user)))
}

fn get_session_token(parameters: &mut Parameters, keys: &AccessKeys) -> Result<Element, ApiError> {
    let duration = duration(parameters, OF_SESSIONS)?;
    for name in ["SerialNumber", "TokenCode"] {
        let _ = parameters.text(name);
    }
    parameters.finish()?;
    let result = Element::new("GetSessionTokenResult").child(describe(&keys.issue(duration)));
    Ok(Element::body().child(result))
}

fn duration(
    parameters: &mut Parameters,
    (allowed, usual): (std::ops::RangeInclusive<u64>, u64),
) -> Result<Duration, ApiError> {
    let seconds = parameters.number("DurationSeconds")?.unwrap_or(usual);
    if allowed.contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    Err(ApiError::new(
        "ValidationError",
        format!(
            "DurationSeconds {seconds} is not between {} and {}",
            allowed.start(),
            allowed.end()
        ),
    ))
}

fn describe(issued: &TemporaryKey) -> Element {
    Element::new("Credentials")
        .text("AccessKeyId", &issued.key.id)
        .text("SecretAccessKey", &issued.key.secret)
        .text("SessionToken", &issued.token)
        .text("Expiration", issued.expires)
}
