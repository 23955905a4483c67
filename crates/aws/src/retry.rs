//! The one retry policy: which error codes of AWS pass with time, for how long and with what pauses. Calls of ours ([`crate::call`]),
//! waits ([`crate::watch`]), the removal of resources (through `UndoError`) and the SDK's own retries all read the table [`CODES`]: to
//! retry on one more code, add a row.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use bakelite_engine::clock::Backoff;
use bakelite_net::DialError;
use bakelite_net::error::Cause;
use tokio::time::Instant;

use crate::made::{self, SETTLES};

/// What can be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Too many calls: the same call works later.
    Throttled,
    /// The service or the connection to it fails for now.
    Unavailable,
    /// Something that was made a moment ago is not known everywhere yet (eventual consistency; [`crate::made`] knows what it can be).
    NotYet,
    /// Something else still uses it.
    InUse,
    /// What was asked for does not exist.
    NotFound,
    /// There is no capacity, or no such instance type, at this place: another zone or type may work.
    Capacity,
    /// There is one of this name already.
    Duplicate,
    /// The caller may not do that.
    Denied,
    /// The credentials are not, or no longer, valid.
    Credentials,
    /// The request itself is refused.
    Refused,
}

impl ErrorClass {
    /// How a call that failed in this way is repeated; absent when the same call cannot work later.
    pub const fn retry(self) -> Option<Backoff> {
        let (limit, first, longest) = match self {
            ErrorClass::Throttled => (600, 500, 20_000),
            ErrorClass::Unavailable => (60, 250, 20_000),
            ErrorClass::NotYet => (SETTLES.as_secs(), 250, 4_000),
            ErrorClass::InUse => (120, 250, 10_000),
            ErrorClass::NotFound
            | ErrorClass::Capacity
            | ErrorClass::Duplicate
            | ErrorClass::Denied
            | ErrorClass::Credentials
            | ErrorClass::Refused => return None,
        };
        Some(Backoff {
            limit: Duration::from_secs(limit),
            first: Duration::from_millis(first),
            longest: Duration::from_millis(longest),
        })
    }
}

/// How often a resource is looked for whose create call got no answer: the call may take effect a moment later.
pub(crate) const LOST_ANSWER: Backoff = Backoff {
    limit: Duration::from_secs(2),
    first: Duration::from_millis(300),
    longest: Duration::from_millis(1200),
};

/// A row of the table.
struct Row {
    /// The error code; `*` at its beginning stands for any text.
    code: &'static str,
    /// The operations that it is meant for; none: all.
    operations: &'static [&'static str],
    /// What the message contains.
    message: &'static str,
    class: ErrorClass,
}

const fn row(code: &'static str, class: ErrorClass) -> Row {
    during(&[], code, class)
}

const fn during(operations: &'static [&'static str], code: &'static str, class: ErrorClass) -> Row {
    Row {
        code,
        operations,
        message: "",
        class,
    }
}

const fn with_message(code: &'static str, message: &'static str, class: ErrorClass) -> Row {
    Row {
        code,
        operations: &[],
        message,
        class,
    }
}

/// The class of each error code of EC2, IAM, STS, Systems Manager, Secrets Manager and EC2 Instance Connect (their API references, "Error
/// codes"). The first row that fits counts; a code without a row is a refusal.
static CODES: &[Row] = &[
    row("RequestLimitExceeded", ErrorClass::Throttled),
    row("Throttling", ErrorClass::Throttled),
    row("ThrottlingException", ErrorClass::Throttled),
    row("EC2ThrottledException", ErrorClass::Throttled),
    row("RequestThrottled", ErrorClass::Throttled),
    row("SnapshotCreationPerVolumeRateExceeded", ErrorClass::Throttled),
    row("InternalError", ErrorClass::Unavailable),
    row("InternalFailure", ErrorClass::Unavailable),
    row("ServiceUnavailable", ErrorClass::Unavailable),
    row("Unavailable", ErrorClass::Unavailable),
    row("ServerInternal", ErrorClass::Unavailable),
    // The agent of an instance registers some seconds after the boot.
    during(&["StartSession"], "TargetNotConnected", ErrorClass::NotYet),
    row("InsufficientInstanceCapacity", ErrorClass::Capacity),
    row("InsufficientHostCapacity", ErrorClass::Capacity),
    row("InsufficientReservedInstanceCapacity", ErrorClass::Capacity),
    row("InsufficientCapacityOnHost", ErrorClass::Capacity),
    row("InsufficientCapacity", ErrorClass::Capacity),
    row("InsufficientFreeAddressesInSubnet", ErrorClass::Capacity),
    with_message("Unsupported", "Availability Zone", ErrorClass::Capacity),
    // IAM knows a new instance profile some seconds before EC2 does.
    with_message("InvalidParameterValue", "IAM Instance Profile", ErrorClass::NotFound),
    with_message("InvalidParameterValue", "iamInstanceProfile", ErrorClass::NotFound),
    with_message("InvalidParameterValue", "Instance is not in state", ErrorClass::InUse),
    row("DependencyViolation", ErrorClass::InUse),
    row("ResourceInUse", ErrorClass::InUse),
    row("VolumeInUse", ErrorClass::InUse),
    row("InvalidGroup.InUse", ErrorClass::InUse),
    row("InvalidSnapshot.InUse", ErrorClass::InUse),
    // IAM: `DeleteConflict`.
    row("*Conflict", ErrorClass::InUse),
    row("IncorrectState", ErrorClass::InUse),
    row("IncorrectInstanceState", ErrorClass::InUse),
    row("UnauthorizedOperation", ErrorClass::Denied),
    row("AccessDenied", ErrorClass::Denied),
    row("AccessDeniedException", ErrorClass::Denied),
    row("Client.UnauthorizedOperation", ErrorClass::Denied),
    row("AuthFailure", ErrorClass::Credentials),
    row("ExpiredToken", ErrorClass::Credentials),
    row("ExpiredTokenException", ErrorClass::Credentials),
    row("RequestExpired", ErrorClass::Credentials),
    row("InvalidClientTokenId", ErrorClass::Credentials),
    row("SignatureDoesNotMatch", ErrorClass::Credentials),
    row("UnrecognizedClientException", ErrorClass::Credentials),
    row("InvalidAMIID.Unavailable", ErrorClass::NotFound),
    row("DoesNotExistException", ErrorClass::NotFound),
    row("NoSuchEntity", ErrorClass::NotFound),
    row("*.NotFoundException", ErrorClass::NotFound),
    // `InvalidInstanceID.NotFound`, `InvalidAMIID.NotFound`, `InvalidKeyPair.NotFound`, `InvalidGroup.NotFound` …
    row("*NotFound", ErrorClass::NotFound),
    // `InvalidKeyPair.Duplicate`, `InvalidGroup.Duplicate`, `InvalidAMIName.Duplicate` …
    row("*.Duplicate", ErrorClass::Duplicate),
    row("EntityAlreadyExists", ErrorClass::Duplicate),
    row(
        "InvalidLaunchTemplateName.AlreadyExistsException",
        ErrorClass::Duplicate,
    ),
];

/// The class of what an operation answered.
pub fn class_of(operation: &str, code: &str, message: &str) -> ErrorClass {
    match class_in(CODES, operation, code, message) {
        ErrorClass::NotFound if made::is_about_new(message) => ErrorClass::NotYet,
        class => class,
    }
}

fn class_in(codes: &[Row], operation: &str, code: &str, message: &str) -> ErrorClass {
    let fits = |row: &&Row| {
        let same = match row.code.strip_prefix('*') {
            Some(end) => code.ends_with(end),
            None => code == row.code,
        };
        let meant = row.operations.is_empty() || row.operations.contains(&operation);
        same && meant && message.contains(row.message)
    };
    codes.iter().find(fits).map_or(ErrorClass::Refused, |row| row.class)
}

/// Whether an answer may deny the call: a code of a denial is somewhere in its body, whatever the service's format.
pub(crate) fn may_deny(body: &str) -> bool {
    let mut denials = CODES.iter().filter(|row| row.class == ErrorClass::Denied);
    denials.any(|row| body.contains(row.code))
}

/// How many tries fit into the limit of a policy.
fn tries_in(policy: Backoff) -> u32 {
    let mut left = policy.limit;
    let mut tries = 1;
    while let Some(rest) = left.checked_sub(policy.pause(tries)) {
        left = rest;
        tries += 1;
    }
    tries
}

/// The tries of one call, or of one round of them.
#[derive(Debug)]
pub struct Tries {
    since: Instant,
    count: u32,
    limit: Option<Duration>,
}

impl Tries {
    /// None yet.
    pub fn new() -> Self {
        Self {
            since: Instant::now(),
            count: 0,
            limit: None,
        }
    }

    /// None yet, with a limit of the caller's in place of the policy's.
    pub fn within(limit: Duration) -> Self {
        Self {
            limit: Some(limit),
            ..Self::new()
        }
    }

    /// After a failed try: the pause before the next one; absent when it is not, or no longer, worth another.
    pub fn after(&mut self, class: ErrorClass) -> Option<Duration> {
        self.next(class.retry()?)
    }

    /// None yet, counted from the beginning of what failed first.
    pub(crate) fn since(begun: Instant) -> Self {
        Self {
            since: begun,
            ..Self::new()
        }
    }

    /// The same for a policy that belongs to no error class.
    pub(crate) fn next(&mut self, policy: Backoff) -> Option<Duration> {
        self.count += 1;
        let pause = policy.pause(self.count);
        let limit = self.limit.unwrap_or(policy.limit);
        (self.since.elapsed() + pause <= limit).then_some(pause)
    }
}

impl Default for Tries {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a call of ours is repeated after this class: the others are final, or the SDK has repeated them already. What is throttled
/// passes, and the SDK's attempts are too few for it.
pub(crate) fn is_ours(class: ErrorClass) -> bool {
    class.retry().is_some() && class != ErrorClass::Unavailable
}

/// How often the SDK makes a call of something that is repeated as a whole: a look of a wait, a removal.
const ATTEMPTS_OF_A_PART: u32 = 3;

/// How long a call may take with all that the SDK repeats.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(150);

/// The same configuration for calls of what is repeated as a whole.
pub(crate) fn of_a_part(config: SdkConfig) -> SdkConfig {
    let whole = config.retry_config().cloned().unwrap_or_else(|| of_sdk(None));
    let attempts = whole.max_attempts().min(ATTEMPTS_OF_A_PART);
    config
        .into_builder()
        .retry_config(whole.with_max_attempts(attempts))
        .build()
}

/// The policy as the SDK knows it.
pub(crate) fn of_sdk(max_retries: Option<u32>) -> RetryConfig {
    let policy = ErrorClass::Unavailable.retry();
    let usual = policy.map_or(1, tries_in);
    let attempts = max_retries.map_or(usual, |retries| retries.saturating_add(1));
    let config = RetryConfig::adaptive().with_max_attempts(attempts);
    match policy {
        Some(policy) => config
            .with_initial_backoff(policy.first)
            .with_max_backoff(policy.longest),
        None => config,
    }
}

/// Tells the SDK what this table says of an answer.
#[derive(Default)]
pub(crate) struct Classifier {
    /// The service has answered before.
    reached: AtomicBool,
}

impl ClassifyRetry for Classifier {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        if let Some(response) = context.response() {
            self.reached.store(true, Ordering::Relaxed);
            let code = response.body().bytes().and_then(code_in);
            // What depends on the operation is not the SDK's.
            return match code.map(|code| class_of("", code, "")) {
                Some(ErrorClass::Throttled) => RetryAction::throttling_error(),
                Some(ErrorClass::Unavailable) => RetryAction::server_error(),
                // It comes as a server's error (500), which the SDK would repeat in the same place.
                Some(ErrorClass::Capacity) => RetryAction::RetryForbidden,
                _ => RetryAction::NoActionIndicated,
            };
        }
        // A host that was never reached is more likely misspelt than away.
        let error = context.output_or_error().and_then(Result::err);
        let connection = error.and_then(|error| DialError::among(error.as_connector_error()?));
        match connection {
            Some(error) if is_lasting(error) && !self.reached.load(Ordering::Relaxed) => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "bakelite's error codes"
    }
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Classifier")
    }
}

/// Trying again soon hardly helps: the name has no address, nobody listens there, or the configuration is wrong.
fn is_lasting(error: &DialError) -> bool {
    match &error.cause {
        Cause::Lookup { .. } => true,
        Cause::Connect(cause) => cause.kind() == std::io::ErrorKind::ConnectionRefused,
        Cause::Unreached(proxy) => is_lasting(proxy),
        _ => error.is_final(),
    }
}

/// The error code in an answer of EC2, IAM or STS: `<Code>…</Code>`. The SDK's own classifier knows the codes of the JSON services.
fn code_in(body: &[u8]) -> Option<&str> {
    let (_, rest) = std::str::from_utf8(body).ok()?.split_once("<Code>")?;
    Some(rest.split_once("</Code>")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_fall_into_classes() {
        for (operation, code, class) in [
            ("RunInstances", "RequestLimitExceeded", ErrorClass::Throttled),
            ("TerminateInstances", "InvalidInstanceID.NotFound", ErrorClass::NotFound),
            ("RunInstances", "InsufficientInstanceCapacity", ErrorClass::Capacity),
            ("CreateRole", "NoSuchEntity", ErrorClass::NotFound),
            ("DeleteSecurityGroup", "InvalidGroup.NotFound", ErrorClass::NotFound),
            ("CreateImage", "InvalidAMIName.Duplicate", ErrorClass::Duplicate),
            ("DeleteSecurityGroup", "DependencyViolation", ErrorClass::InUse),
            ("RunInstances", "UnauthorizedOperation", ErrorClass::Denied),
            ("RunInstances", "ExpiredToken", ErrorClass::Credentials),
            ("RunInstances", "InternalError", ErrorClass::Unavailable),
            ("RunInstances", "InvalidParameterValue", ErrorClass::Refused),
        ] {
            assert_eq!(class_of(operation, code, ""), class, "{operation} {code}");
        }
    }

    #[test]
    fn what_the_run_made_is_not_known_yet_and_what_the_user_named_is_not_there() {
        made::note("sg-0ours");
        for (code, message, class) in [
            (
                "InvalidGroup.NotFound",
                "The security group 'sg-0ours' does not exist",
                ErrorClass::NotYet,
            ),
            (
                "InvalidGroup.NotFound",
                "The security group 'sg-0theirs' does not exist",
                ErrorClass::NotFound,
            ),
            (
                "InvalidParameterValue",
                "Value (p) for parameter iamInstanceProfile.name is invalid",
                ErrorClass::NotFound,
            ),
            ("InvalidParameterValue", "sg-0ours is no address", ErrorClass::Refused),
        ] {
            assert_eq!(class_of("RunInstances", code, message), class, "{message}");
        }
    }

    #[test]
    fn a_row_is_all_that_a_new_code_takes() {
        let codes = [
            row("NewCode", ErrorClass::InUse),
            during(&["RunInstances"], "*Other", ErrorClass::NotYet),
        ];
        assert_eq!(class_in(&codes, "RunInstances", "NewCode", ""), ErrorClass::InUse);
        assert_eq!(class_in(&codes, "RunInstances", "AnOther", ""), ErrorClass::NotYet);
        assert_eq!(class_in(&codes, "StopInstances", "AnOther", ""), ErrorClass::Refused);
        assert_eq!(class_in(&codes, "RunInstances", "Unheard", ""), ErrorClass::Refused);
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_the_limit() {
        let policy = ErrorClass::NotYet.retry().unwrap();
        let pauses: Vec<u128> = (1..=6).map(|tries| policy.pause(tries).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 4000]);
        assert_eq!(Tries::new().after(ErrorClass::NotYet), Some(policy.first));
        assert_eq!(Tries::within(Duration::ZERO).after(ErrorClass::NotYet), None);
        assert_eq!(Tries::new().after(ErrorClass::Refused), None);
        assert_eq!(of_sdk(None).max_attempts(), 9);
        assert_eq!(of_sdk(Some(0)).max_attempts(), 1);
    }

    #[test]
    fn the_code_of_an_answer_is_read() {
        let body =
            "<Response><Errors><Error><Code>InternalError</Code><Message>m</Message></Error></Errors></Response>";
        assert_eq!(code_in(body.as_bytes()), Some("InternalError"));
        assert_eq!(code_in(b"{}"), None);
    }
}
