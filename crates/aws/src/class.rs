//! What AWS answers when it refuses, as one error: the operation, the code, the request id, and a class that says what can be done
//! about it. No other file reads the SDK's error types.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bakelite_engine::bake::BakeError;

/// What can be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Too many calls: the same call works later.
    Throttled,
    /// The service or the way to it fails for now.
    Unavailable,
    /// What was asked for does not exist, or not yet everywhere.
    NotFound,
    /// Something else still needs it.
    InUse,
    /// There is one of this name already.
    Duplicate,
    /// The caller may not do that.
    Denied,
    /// The credentials are not, or no longer, valid.
    Credentials,
    /// The request itself is refused.
    Refused,
}

/// A call that failed.
#[derive(Debug)]
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
    /// The IAM action that is missing, when that is the trouble.
    pub action: Option<String>,
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
        match error.code() {
            Some(code) => Self::answered(operation, code, error.message().unwrap_or_default(), request_id),
            None => Self::unanswered(
                operation,
                error,
                error.raw_response().map(|response| response.status().as_u16()),
            ),
        }
    }

    /// The service said no.
    fn answered(operation: &'static str, code: &str, message: &str, request_id: Option<String>) -> Self {
        let class = class_of(code);
        let action = (class == ErrorClass::Denied).then(|| missing_action(operation, message));
        Self {
            operation,
            code: Some(code.to_owned()),
            message: message.trim_end_matches('.').to_owned(),
            request_id,
            class,
            action,
        }
    }

    /// No answer came, or none that can be read.
    fn unanswered(operation: &'static str, error: &(dyn StdError + 'static), status: Option<u16>) -> Self {
        let message = innermost(error);
        let credentials = message.contains("credential");
        let class = match status {
            Some(400..=499) => ErrorClass::Refused,
            _ if credentials => ErrorClass::Credentials,
            _ => ErrorClass::Unavailable,
        };
        let message = status.map_or(message.clone(), |status| {
            format!("answer with status {status} cannot be read: {message}")
        });
        Self {
            operation,
            code: None,
            message,
            request_id: None,
            class,
            action: None,
        }
    }

    /// An answer that lacks what it must have.
    pub fn incomplete(operation: &'static str, missing: &str) -> Self {
        let message = format!("answer has no {missing}");
        Self {
            operation,
            code: None,
            message,
            request_id: None,
            class: ErrorClass::Unavailable,
            action: None,
        }
    }

    /// What the user can do, where that is known.
    pub fn help(&self) -> Option<String> {
        match self.class {
            ErrorClass::Denied => self
                .action
                .as_ref()
                .map(|action| format!("allow `{action}` in the IAM policy of the caller")),
            ErrorClass::Credentials => {
                Some("renew the credentials (`aws sts get-caller-identity` tells whether they are valid)".into())
            }
            _ if self.code.as_deref() == Some("TargetNotConnected") => Some(
                "the instance needs the SSM agent, an instance profile that allows it to register (policy AmazonSSMManagedInstanceCore), and a way to Systems Manager's endpoints"
                    .into(),
            ),
            _ => None,
        }
    }

    /// What the user can do about an error that an AWS error caused.
    pub fn help_for(error: &(dyn StdError + 'static)) -> Option<String> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(help) = error.downcast_ref::<Self>().and_then(Self::help) {
                return Some(help);
            }
            cause = error.source();
        }
        None
    }

    /// The same call may work later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.class,
            ErrorClass::Throttled | ErrorClass::Unavailable | ErrorClass::InUse
        )
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
        notes.extend(self.request_id.as_ref().map(|id| format!("request id {id}")));
        write!(f, " ({})", notes.join(", "))
    }
}

impl StdError for AwsError {}

impl From<AwsError> for BakeError {
    fn from(error: AwsError) -> Self {
        BakeError::failed(error)
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorClass::Throttled => "throttled",
            ErrorClass::Unavailable => "not reachable for now",
            ErrorClass::NotFound => "not found",
            ErrorClass::InUse => "still in use",
            ErrorClass::Duplicate => "exists already",
            ErrorClass::Denied => "not allowed",
            ErrorClass::Credentials => "credentials not valid",
            ErrorClass::Refused => "refused",
        })
    }
}

/// The class of an EC2 or STS error code (EC2 API reference, "Error codes").
pub fn class_of(code: &str) -> ErrorClass {
    match code {
        "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "EC2ThrottledException"
        | "RequestThrottled"
        | "SnapshotCreationPerVolumeRateExceeded" => ErrorClass::Throttled,
        "InternalError" | "InternalFailure" | "ServiceUnavailable" | "Unavailable" | "ServerInternal" => {
            ErrorClass::Unavailable
        }
        "DependencyViolation"
        | "ResourceInUse"
        | "VolumeInUse"
        | "InvalidGroup.InUse"
        | "InvalidSnapshot.InUse"
        | "IncorrectState"
        | "IncorrectInstanceState" => ErrorClass::InUse,
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" | "Client.UnauthorizedOperation" => {
            ErrorClass::Denied
        }
        "AuthFailure"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => ErrorClass::Credentials,
        "InvalidAMIID.Unavailable" | "DoesNotExistException" => ErrorClass::NotFound,
        // `InvalidInstanceID.NotFound`, `InvalidAMIID.NotFound`, `InvalidKeyPair.NotFound`, `InvalidGroup.NotFound` …
        code if code.ends_with("NotFound") => ErrorClass::NotFound,
        // `InvalidKeyPair.Duplicate`, `InvalidGroup.Duplicate`, `InvalidAMIName.Duplicate`
        code if code.ends_with(".Duplicate") => ErrorClass::Duplicate,
        _ => ErrorClass::Refused,
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
        "StartSession" | "ResumeSession" | "TerminateSession" | "DescribeSessions" => "ssm",
        "AssumeRole" | "GetCallerIdentity" => "sts",
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
    fn codes_fall_into_classes() {
        for (code, class) in [
            ("RequestLimitExceeded", ErrorClass::Throttled),
            ("InvalidInstanceID.NotFound", ErrorClass::NotFound),
            ("InvalidAMIName.Duplicate", ErrorClass::Duplicate),
            ("DependencyViolation", ErrorClass::InUse),
            ("UnauthorizedOperation", ErrorClass::Denied),
            ("ExpiredToken", ErrorClass::Credentials),
            ("InternalError", ErrorClass::Unavailable),
            ("InvalidParameterValue", ErrorClass::Refused),
        ] {
            assert_eq!(class_of(code), class, "{code}");
        }
    }

    #[test]
    fn a_denied_call_names_the_missing_action() {
        let message = "You are not authorized to perform this operation. User: arn:aws:iam::1:user/x is not authorized to perform: \
                       ec2:RunInstances on resource: arn:aws:ec2:us-east-1:1:instance/*.";
        let error = AwsError::answered("RunInstances", "UnauthorizedOperation", message, Some("req-1".into()));
        assert_eq!(error.action.as_deref(), Some("ec2:RunInstances"));
        assert!(
            error
                .to_string()
                .ends_with("(not allowed, IAM action `ec2:RunInstances` is missing, request id req-1)"),
            "{error}"
        );
        let error = AwsError::answered("StartSession", "AccessDeniedException", "", None);
        assert_eq!(error.action.as_deref(), Some("ssm:StartSession"));
        let error = AwsError::answered("CreateTags", "UnauthorizedOperation", "You are not authorized", None);
        assert_eq!(
            error.help().as_deref(),
            Some("allow `ec2:CreateTags` in the IAM policy of the caller")
        );
    }
}
