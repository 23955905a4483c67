//! What a local cloud refuses on request: calls for want of a permission, launches for want of capacity, and with [`crate::throttle`] too many calls.

use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;

use crate::api_error::ApiError;
use crate::network::{ZONE_LETTERS, subnets};
use crate::pattern::matches;
use crate::query::Parameters;
use crate::state::ACCOUNT;
use crate::throttle::CallRate;

/// Refusals of a cloud. By default there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Actions that nobody may call.
    pub denied: Vec<Denial>,
    /// Instance types and zones of which none are left.
    pub no_capacity: Vec<Shortage>,
    /// How many calls of EC2 are taken; without it all are.
    pub rate: Option<CallRate>,
}

/// An action that nobody may call: `RunInstances`, `ec2:RunInstances`, or a pattern such as `iam:*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    service: Option<String>,
    action: String,
}

/// An instance type (`m5.large`) or a zone (`us-east-1a`) without capacity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage(String);

/// A refusal that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusalError {
    /// Not the name of an action.
    #[error("`{0}` is no action such as `RunInstances`, `ec2:RunInstances` or `iam:*`")]
    Action(String),
    /// Neither a type nor a zone that is there.
    #[error("`{0}` is neither an instance type nor an availability zone such as `us-east-1a`")]
    Pool(String),
}

impl FromStr for Denial {
    type Err = RefusalError;

    fn from_str(text: &str) -> Result<Denial, RefusalError> {
        let (service, action) = match text.split_once(':') {
            Some((service, action)) => (Some(service.to_owned()), action),
            None => (None, text),
        };
        let is_word = |word: &str| {
            let marks = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'*';
            !word.is_empty() && word.bytes().all(marks)
        };
        if !is_word(action) || !service.as_deref().is_none_or(is_word) {
            return Err(RefusalError::Action(text.to_owned()));
        }
        Ok(Denial {
            service,
            action: action.to_owned(),
        })
    }
}

impl FromStr for Shortage {
    type Err = RefusalError;

    fn from_str(text: &str) -> Result<Shortage, RefusalError> {
        let region = text.trim_end_matches(ZONE_LETTERS);
        let is_zone = region.ends_with(|last: char| last.is_ascii_digit())
            && subnets(region).iter().any(|subnet| subnet.zone == text);
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_type = text
            .split_once('.')
            .is_some_and(|(family, size)| is_word(family) && is_word(size));
        if is_zone || is_type {
            return Ok(Shortage(text.to_owned()));
        }
        Err(RefusalError::Pool(text.to_owned()))
    }
}

impl Refusals {
    /// Whether there are instances of a type in a zone.
    pub(crate) fn has_capacity(&self, kind: &str, zone: &str) -> bool {
        !self
            .no_capacity
            .iter()
            .any(|Shortage(none)| none == kind || none == zone)
    }

    /// The action that a call would need and that is denied, as policies name it.
    pub(crate) fn denied(&self, service: &str, action: &str, parameters: &Parameters) -> Option<String> {
        let has = |name: &str| parameters.iter().any(|(parameter, _)| parameter.starts_with(name));
        let mut needed = vec![(service, action)];
        if service == "ec2" && has("TagSpecification.") {
            needed.push(("ec2", "CreateTags"));
        }
        if service == "ec2" && has("IamInstanceProfile.") || action == "AddRoleToInstanceProfile" {
            needed.push(("iam", "PassRole"));
        }
        let is_denied = |(service, action): &&(&str, &str)| {
            self.denied.iter().any(|denial| {
                let of_service = |pattern: &String| matches(pattern, service);
                denial.service.as_ref().is_none_or(of_service) && matches(&denial.action, action)
            })
        };
        let denied = needed.iter().find(is_denied)?;
        Some(format!("{}:{}", denied.0, denied.1))
    }
}

/// The error of EC2 for an action that the caller may not call.
pub(crate) fn unauthorized(access_key: &str, action: &str) -> ApiError {
    let who = caller(access_key);
    let detail = json!({
        "allowed": false,
        "explicitDeny": false,
        "matchedStatements": { "items": [] },
        "context": { "principal": { "arn": who }, "action": action, "resource": "*" },
    });
    ApiError::with_status(
        403,
        "UnauthorizedOperation",
        format!(
            "You are not authorized to perform this operation. {} Encoded authorization failure message: {}",
            reason(&who, action),
            BASE64_URL_SAFE_NO_PAD.encode(detail.to_string())
        ),
    )
}

/// The message that `DecodeAuthorizationMessage` makes of an encoded one.
pub(crate) fn decoded(message: &str) -> Result<String, ApiError> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(message).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| ApiError::new("InvalidAuthorizationMessageException", "The message is not valid"))
}

/// The error of the other services.
pub(crate) fn access_denied(status: u16, code: &str, access_key: &str, action: &str) -> ApiError {
    ApiError::with_status(status, code, reason(&caller(access_key), action))
}

fn caller(access_key: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/{access_key}")
}

fn reason(who: &str, action: &str) -> String {
    format!(
        "User: {who} is not authorized to perform: {action} on resource: * because no identity-based policy allows the \
         {action} action"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_types_and_zones_are_checked() {
        for action in ["RunInstances", "ec2:RunInstances", "iam:*", "Describe*"] {
            assert!(action.parse::<Denial>().is_ok(), "{action}");
        }
        for action in ["", "ec2:", "Run Instances", "a:b:c"] {
            assert_eq!(
                action.parse::<Denial>(),
                Err(RefusalError::Action(action.into())),
                "{action}"
            );
        }
        for pool in ["m5.large", "us-east-1a", "eu-west-3c"] {
            assert!(pool.parse::<Shortage>().is_ok(), "{pool}");
        }
        for pool in ["", "m5.", "us-east-1", "us-east-1aa", "a"] {
            assert_eq!(pool.parse::<Shortage>(), Err(RefusalError::Pool(pool.into())), "{pool}");
        }
    }

    #[test]
    fn tags_and_profiles_need_permissions_of_their_own() {
        let refusals = |action: &str| Refusals {
            denied: vec![action.parse().unwrap()],
            ..Refusals::default()
        };
        let launch = Parameters::parse(b"TagSpecification.1.ResourceType=instance&IamInstanceProfile.Name=p").unwrap();
        for (denied, expected) in [
            ("RunInstances", Some("ec2:RunInstances")),
            ("iam:RunInstances", None),
            ("ec2:*", Some("ec2:RunInstances")),
            ("CreateTags", Some("ec2:CreateTags")),
            ("iam:PassRole", Some("iam:PassRole")),
        ] {
            let found = refusals(denied).denied("ec2", "RunInstances", &launch);
            assert_eq!(found.as_deref(), expected, "{denied}");
        }
        let plain = Parameters::parse(b"ImageId=ami-1").unwrap();
        assert_eq!(refusals("CreateTags").denied("ec2", "RunInstances", &plain), None);
    }
}
