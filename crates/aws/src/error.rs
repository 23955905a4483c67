//! A failed call to AWS as one error: the operation, the code, the request id, and a class that tells what can be done about it. No
//! other file reads the SDK's error types.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bakelite_engine::error::{Explain, chain_of};

use crate::retry::{ErrorClass, class_of};
use bakelite_net::DialError;
use bakelite_net::error::Cause;

/// A call that failed.
#[derive(Debug, Clone)]
pub struct AwsError {
    /// The API's name of the operation: `RunInstances`.
    pub operation: &'static str,
    /// The API's error code; absent when no answer came.
    pub code: Option<String>,
    /// What the service (or the transport) said.
    pub message: String,
    /// The request's id, for AWS support.
    pub request_id: Option<String>,
    /// What can be done about it.
    pub class: ErrorClass,
    /// The IAM action that is missing, when that is the cause.
    pub action: Option<String>,
    /// Who may not do it: an ARN.
    pub principal: Option<String>,
    /// What to check, when no connection was made.
    pub connection: Option<String>,
}

impl AwsError {
    /// The error of an operation.
    pub fn of<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let request_id = error
            .as_service_error()
            .and_then(|service| service.meta().request_id().map(str::to_owned));
        let noted = |name| {
            let note = error.raw_response().and_then(|response| response.headers().get(name));
            note.map(str::to_owned)
        };
        match error.code() {
            Some(code) => {
                let mut answered = Self::answered(operation, code, error.message().unwrap_or_default(), request_id);
                answered.principal = answered.principal.or_else(|| noted(PRINCIPAL));
                if let (Some(decoded), Some(at)) = (noted(DECODED), answered.message.find(ENCODED)) {
                    answered.message.replace_range(at.., &decoded);
                }
                answered
            }
            None => Self::unanswered(
                operation,
                error,
                error.raw_response().map(|response| response.status().as_u16()),
            ),
        }
    }

    /// The service said no.
    fn answered(operation: &'static str, code: &str, message: &str, request_id: Option<String>) -> Self {
        let class = match class_of(operation, code, message) {
            // The endpoint of a region that does not exist, or that another region's endpoint serves.
            ErrorClass::Credentials if message.contains(OTHER_REGION) => ErrorClass::Refused,
            class => class,
        };
        let is_denied = class == ErrorClass::Denied;
        let action = is_denied.then(|| missing_action(operation, message));
        let principal = principal_in(message).filter(|_| is_denied).map(str::to_owned);
        Self {
            operation,
            code: Some(code.to_owned()),
            message: message.trim_end_matches('.').to_owned(),
            request_id,
            class,
            action,
            principal,
            connection: None,
        }
    }

    /// No answer came, or none that can be read.
    fn unanswered(operation: &'static str, error: &(dyn StdError + 'static), status: Option<u16>) -> Self {
        let dial = DialError::among(error);
        let message = dial.map_or_else(|| innermost(error), |dial| chain_of(dial));
        let credentials = dial.is_none() && message.contains("credential");
        let class = match status {
            Some(400..=499) => ErrorClass::Refused,
            _ if credentials => ErrorClass::Credentials,
            _ => ErrorClass::Unavailable,
        };
        let message = status.map_or(message.clone(), |status| {
            format!("failed to read the answer with status {status}: {message}")
        });
        Self {
            class,
            connection: dial.map(help_for_connection),
            ..Self::incomplete_with(operation, message)
        }
    }

    /// An answer that lacks what it must have.
    pub fn incomplete(operation: &'static str, missing: &str) -> Self {
        Self::incomplete_with(operation, format!("answer has no {missing}"))
    }

    /// The same error with what it is about before its message.
    pub(crate) fn about(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// What was made a moment ago is missing from an answer.
    pub(crate) fn not_known_yet(operation: &'static str, id: &str) -> Self {
        Self {
            class: ErrorClass::NotYet,
            ..Self::incomplete(operation, id)
        }
    }

    fn incomplete_with(operation: &'static str, message: String) -> Self {
        Self {
            operation,
            code: None,
            message,
            request_id: None,
            class: ErrorClass::Unavailable,
            action: None,
            principal: None,
            connection: None,
        }
    }

    /// What the user can do, where that is known.
    fn remedy(&self) -> Option<String> {
        if self.connection.is_some() {
            return self.connection.clone();
        }
        match self.class {
            _ if self.message.contains(OTHER_REGION) => Some(
                "check the region (`region`, `AWS_REGION`): the endpoint belongs to another region, or the account has not enabled this one"
                    .into(),
            ),
            ErrorClass::Denied => self.action.as_ref().map(|action| {
                let principal = self.principal.as_ref().map(|principal| format!("`{principal}`"));
                format!(
                    "allow `{action}` in the IAM policy of {}; `bakelite iam-policy TEMPLATE` prints the policy that a template needs",
                    principal.as_deref().unwrap_or("the caller")
                )
            }),
            ErrorClass::Credentials => {
                Some("renew the credentials (`aws sts get-caller-identity` tells whether they are valid)".into())
            }
            _ if self.is_over_quota() => Some(
                "free some of it, or ask for a higher quota: `aws service-quotas list-service-quotas --service-code ec2` lists those of the \
                 region"
                    .into(),
            ),
            _ if self.code.as_deref() == Some("TargetNotConnected") => Some(
                "the instance needs the SSM agent, an instance profile that allows it to register (policy AmazonSSMManagedInstanceCore), and a way to Systems Manager's endpoints"
                    .into(),
            ),
            _ => None,
        }
    }

    /// A quota of the account keeps it from being made: `VcpuLimitExceeded`, `MaxSpotInstanceCountExceeded`, `VolumeLimitExceeded`.
    fn is_over_quota(&self) -> bool {
        let code = self.code.as_deref().unwrap_or_default();
        let is_quota = code.ends_with("LimitExceeded") || code.ends_with("CountExceeded");
        is_quota && self.class == ErrorClass::Refused
    }

    /// The caller may not do that.
    pub fn is_denied(&self) -> bool {
        self.class == ErrorClass::Denied
    }

    /// The caller may not do that, or the service refuses it as such: an endpoint may not have the operation.
    pub fn is_not_allowed(&self) -> bool {
        matches!(self.class, ErrorClass::Denied | ErrorClass::Refused)
    }

    /// There is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.class == ErrorClass::NotFound
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.operation)?;
        match &self.code {
            Some(code) => write!(f, " answered `{code}`")?,
            None if self.connection.is_some() => write!(f, " failed")?,
            None => write!(f, " got no answer")?,
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        let mut notes = vec![self.class.to_string()];
        notes.extend(
            self.action
                .as_ref()
                .map(|action| format!("IAM action `{action}` is missing")),
        );
        notes.extend(self.principal.as_ref().map(|principal| format!("caller `{principal}`")));
        notes.extend(self.request_id.as_ref().map(|id| format!("request id {id}")));
        write!(f, " ({})", notes.join(", "))
    }
}

impl StdError for AwsError {}

impl Explain for AwsError {
    fn help(&self) -> Option<Cow<'_, str>> {
        self.remedy().map(Cow::Owned)
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorClass::Throttled => "throttled",
            ErrorClass::Unavailable => "not reachable for now",
            ErrorClass::NotYet => "not known yet",
            ErrorClass::NotFound => "not found",
            ErrorClass::Capacity => "no capacity here",
            ErrorClass::InUse => "still in use",
            ErrorClass::Duplicate => "exists already",
            ErrorClass::Denied => "not allowed",
            ErrorClass::Credentials => "credentials not valid",
            ErrorClass::Refused => "refused",
        })
    }
}

/// Headers that the transport adds to the answer to a denied call: who made it, and what its encoded message means.
pub(crate) const PRINCIPAL: &str = "bakelite-principal";
pub(crate) const DECODED: &str = "bakelite-decoded";

/// What EC2 writes before an encoded message.
pub(crate) const ENCODED: &str = "Encoded authorization failure message: ";

/// The caller that the message names: `User: ARN is not authorized …`.
fn principal_in(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("User: ")?;
    rest.split(' ').next().filter(|name| name.starts_with("arn:"))
}

/// What services answer when a request is signed for a region that is not theirs.
const OTHER_REGION: &str = "valid region";

/// A region that does not exist has endpoints without an address.
fn help_for_connection(dial: &DialError) -> String {
    let region = dial
        .host
        .strip_suffix(".amazonaws.com")
        .and_then(|host| host.split_once('.'));
    match (&dial.cause, region) {
        (Cause::Lookup { .. }, Some((_, region))) => {
            format!("check that `{region}` is a region of AWS; {}", dial.help())
        }
        _ => dial.help(),
    }
}

/// The action that the message names (`… is not authorized to perform: ec2:RunInstances on …`), else the operation's own.
fn missing_action(operation: &str, message: &str) -> String {
    let named = message
        .split_once("to perform: ")
        .and_then(|(_, rest)| rest.split([' ', '.', ',']).next());
    named
        .filter(|action| action.contains(':'))
        .map_or_else(|| format!("{}:{operation}", service_of(operation)), str::to_owned)
}

/// The IAM name of the service that an operation belongs to.
fn service_of(operation: &str) -> &'static str {
    match operation {
        "DescribeSessions" | "GetParameter" | "ResumeSession" | "StartSession" | "TerminateSession" => "ssm",
        "GetSecretValue" => "secretsmanager",
        "SendSSHPublicKey" => "ec2-instance-connect",
        "CreateRole"
        | "GetRole"
        | "ListRoles"
        | "PutRolePolicy"
        | "DeleteRolePolicy"
        | "DeleteRole"
        | "CreateInstanceProfile"
        | "GetInstanceProfile"
        | "ListInstanceProfiles"
        | "AddRoleToInstanceProfile"
        | "RemoveRoleFromInstanceProfile"
        | "DeleteInstanceProfile" => "iam",
        "AssumeRole"
        | "AssumeRoleWithWebIdentity"
        | "DecodeAuthorizationMessage"
        | "GetCallerIdentity"
        | "GetSessionToken" => "sts",
        _ => "ec2",
    }
}

/// The innermost cause is what the user can act on: "connection refused", not "dispatch failure".
fn innermost(error: &(dyn StdError + 'static)) -> String {
    if let Some(unreached) = bakelite_net::DialError::among(error) {
        return bakelite_engine::chain_of(unreached);
    }
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        texts.push(cause.to_string());
        source = cause.source();
    }
    texts.dedup();
    // The outer layers say "dispatch failure", "other", "client error (Connect)": the last two tell it all.
    let from = texts.len().saturating_sub(2);
    texts.split_off(from).join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_call_names_the_missing_action() {
        let message = "You are not authorized to perform this operation. User: arn:aws:iam::1:user/x is not authorized to perform: \
                       ec2:RunInstances on resource: arn:aws:ec2:us-east-1:1:instance/*.";
        let error = AwsError::answered("RunInstances", "UnauthorizedOperation", message, Some("req-1".into()));
        assert_eq!(error.action.as_deref(), Some("ec2:RunInstances"));
        assert!(
            error
                .to_string()
                .ends_with("(not allowed, IAM action `ec2:RunInstances` is missing, caller `arn:aws:iam::1:user/x`, request id req-1)"),
            "{error}"
        );
        let error = AwsError::answered("StartSession", "AccessDeniedException", "", None);
        assert_eq!(error.action.as_deref(), Some("ssm:StartSession"));
        let error = AwsError::answered("GetSecretValue", "AccessDeniedException", "", None);
        assert_eq!(error.action.as_deref(), Some("secretsmanager:GetSecretValue"));
        let error = AwsError::answered("CreateTags", "UnauthorizedOperation", "You are not authorized", None);
        assert_eq!(
            error.help().as_deref(),
            Some(
                "allow `ec2:CreateTags` in the IAM policy of the caller; `bakelite iam-policy TEMPLATE` prints the policy that a template \
                 needs"
            )
        );
    }

    #[test]
    fn a_quota_that_is_used_up_is_named_as_such() {
        let help = |code| {
            AwsError::answered("RunInstances", code, "m", None)
                .help()
                .map(Cow::into_owned)
        };
        for code in [
            "VcpuLimitExceeded",
            "MaxSpotInstanceCountExceeded",
            "SnapshotLimitExceeded",
        ] {
            assert!(help(code).unwrap().contains("quota"), "{code}");
        }
        assert_eq!(help("RequestLimitExceeded"), None);
        assert_eq!(help("InvalidParameterValue"), None);
    }

    #[test]
    fn a_request_that_is_signed_for_another_region_is_no_matter_of_the_credentials() {
        let message = "Credential should be scoped to a valid region, not 'us-est-1'. ";
        let error = AwsError::answered("DescribeImages", "AuthFailure", message, None);
        let help = error.help().unwrap();
        assert!(
            help.starts_with("check the region") && !help.contains("renew"),
            "{help}"
        );
    }

    #[test]
    fn a_name_that_does_not_resolve_names_the_region() {
        let dial = DialError {
            host: "ec2.us-est-1.amazonaws.com".into(),
            port: 443,
            proxy: None,
            cause: Cause::Lookup {
                name: "ec2.us-est-1.amazonaws.com".into(),
                cause: std::io::Error::other("Name or service not known"),
            },
        };
        let error = AwsError::unanswered("DescribeImages", &dial, None);
        let text = error.to_string();
        assert!(
            text.starts_with("`DescribeImages` failed: connection to ec2.us-est-1.amazonaws.com:443 failed: "),
            "{text}"
        );
        assert!(
            error
                .help()
                .unwrap()
                .starts_with("check that `us-est-1` is a region of AWS; ")
        );
    }
}
