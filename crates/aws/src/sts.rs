//! STS: who the caller is, the credentials of roles and sessions, and what an encoded denial means.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Providing;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_sts::Client;
use aws_sdk_sts::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_sts::types::{PolicyDescriptorType, Tag};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bakelite_engine::chain_of;
use bakelite_engine::error::Explain;
use tokio::sync::{Mutex, OnceCell};

use crate::call::{call, client, pause};
use crate::error::AwsError;
use crate::mfa::{Device, MfaError};
use crate::retry::{Classifier, ErrorClass, Tries};

/// How long before their end credentials are renewed.
const MARGIN: Duration = Duration::from_mins(1);

/// How long a role's credentials are valid when nothing says it, as in AWS's tools.
const OF_A_ROLE: u32 = 900;

/// How long those of a session without a role are: the code is asked for once.
const OF_A_SESSION: u32 = 43_200;

/// How long AWS may take to know a user whom Vault has made.
const OF_A_NEW_USER: Duration = Duration::from_secs(30);

/// Why STS gave no credentials.
#[derive(Debug, thiserror::Error)]
pub enum StsError {
    /// The role is not for the caller.
    #[error("role `{arn}` of {by} cannot be assumed{}", .caller.as_ref().map(|caller| format!(" by `{caller}`")).unwrap_or_default())]
    Role {
        /// The role.
        arn: String,
        /// What names it.
        by: String,
        /// The ARN of who asked, where STS tells.
        caller: Option<String>,
        /// What STS answered.
        #[source]
        cause: Box<AwsError>,
    },
    /// There is no session for this device.
    #[error("no session for MFA device `{serial}`")]
    Session {
        /// The device.
        serial: String,
        /// What STS answered.
        #[source]
        cause: Box<AwsError>,
    },
    /// There is no code.
    #[error(transparent)]
    Mfa(#[from] MfaError),
    /// The token of a web identity cannot be read.
    #[error("failed to read the web identity's token in `{}`", file.display())]
    Token {
        /// The file.
        file: PathBuf,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
    /// A session tag that lacks its key or its value.
    #[error("session tags of role `{arn}` need a key and a value")]
    Tags {
        /// The role.
        arn: String,
        /// The cause.
        #[source]
        cause: BuildError,
    },
}

impl Explain for StsError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Role { cause, .. } if !cause.is_denied() => cause.help(),
            Self::Role { caller, .. } => Some(Cow::Owned(format!(
                "the role's trust policy must name {}, and its own policy must allow `sts:AssumeRole` on the role; check `external_id` \
                 and MFA if the trust policy has conditions on them",
                caller.as_deref().unwrap_or("the caller"),
            ))),
            Self::Session { .. } => Some(
                "check `mfa_serial` (`aws iam list-mfa-devices` lists those of a user) and that the code is new: each is accepted once"
                    .into(),
            ),
            Self::Mfa(MfaError::NoTerminal { .. }) => Some("give `mfa_code`, by a variable: `-var mfa_code=123456`".into()),
            Self::Mfa(MfaError::Used { .. }) => Some(
                "start it at a terminal, where each code is asked for; where a session has ended, `duration_seconds` makes it longer, up \
                 to what the role allows"
                    .into(),
            ),
            Self::Token { .. } | Self::Tags { .. } => None,
        }
    }
}

/// A client of STS with the credentials of this configuration, which has STS's endpoint.
pub(crate) fn client(sdk: &SdkConfig, credentials: Option<SharedCredentialsProvider>) -> Client {
    let mut config = sdk.clone().into_builder();
    config.set_credentials_provider(credentials);
    client!(aws_sdk_sts, config.build(), Classifier::default())
}

/// What makes credentials by a call, or a request to Vault.
#[async_trait]
pub(crate) trait Maker: fmt::Debug + Send + Sync + 'static {
    /// Why there are none.
    type Error: StdError + Send + Sync + 'static;

    /// Makes some.
    async fn make(&self) -> Result<Credentials, Self::Error>;
}

/// Credentials that are kept, and made again shortly before they end.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    maker: T,
    kept: Mutex<Credentials>,
}

impl<T: Maker> Kept<T> {
    /// Those of a maker, which makes the first now: an error is reported where they are looked for.
    pub(crate) async fn of(maker: T) -> Result<Self, T::Error> {
        let kept = Mutex::new(maker.make().await?);
        Ok(Self { maker, kept })
    }

    async fn current(&self) -> Result<Credentials, CredentialsError> {
        let mut kept = self.kept.lock().await;
        let lasts = |end: SystemTime| end > SystemTime::now() + MARGIN;
        if !kept.expiry().is_none_or(lasts) {
            *kept = self.maker.make().await.map_err(CredentialsError::provider_error)?;
        }
        Ok(kept.clone())
    }
}

impl<T: Maker> ProvideCredentials for Kept<T> {
    fn provide_credentials<'a>(&'a self) -> Providing<'a>
    where
        Self: 'a,
    {
        Providing::new(self.current())
    }
}

/// Credentials of another provider, which is asked once for as long as they last.
#[derive(Debug)]
pub(crate) struct Provided(pub(crate) SharedCredentialsProvider);

#[async_trait]
impl Maker for Provided {
    type Error = CredentialsError;

    async fn make(&self) -> Result<Credentials, CredentialsError> {
        self.0.provide_credentials().await
    }
}

/// STS, with the credentials of who asks.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) sts: Client,
    /// The credentials belong to a user whom Vault has made a moment ago: AWS does not know them everywhere yet.
    pub(crate) is_new: bool,
}

impl Asker {
    /// Makes a call. Credentials that are new are refused at first: that is waited out.
    async fn call<T, E, F>(&self, operation: &'static str, send: impl Fn() -> F) -> Result<T, AwsError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let mut tries = Tries::within(OF_A_NEW_USER);
        loop {
            let error = match call(operation, &send).await {
                Err(error) if self.is_new && error.class == ErrorClass::Credentials => error,
                answer => return answer,
            };
            match tries.after(ErrorClass::NotYet) {
                Some(length) => pause(length).await,
                None => return Err(error),
            }
        }
    }

    /// The caller's ARN.
    pub(crate) async fn caller(&self) -> Result<String, AwsError> {
        let answer = self
            .call("GetCallerIdentity", || self.sts.get_caller_identity().send())
            .await?;
        answer
            .arn
            .ok_or_else(|| AwsError::incomplete("GetCallerIdentity", "ARN"))
    }
}

/// A role that is assumed.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) asker: Asker,
    pub(crate) arn: String,
    /// What names it, for errors: "`assume_role`", "profile `ci`".
    pub(crate) by: String,
    pub(crate) duration: Option<u32>,
    pub(crate) external_id: Option<String>,
    pub(crate) policy: Option<String>,
    pub(crate) policy_arns: Vec<String>,
    pub(crate) session: Option<String>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) transitive_tag_keys: Vec<String>,
    pub(crate) device: Option<Device>,
}

#[async_trait]
impl Maker for Role {
    type Error = StsError;

    async fn make(&self) -> Result<Credentials, StsError> {
        let mut request = self
            .asker
            .sts
            .assume_role()
            .role_arn(&self.arn)
            .role_session_name(self.session.clone().unwrap_or_else(session_name))
            .duration_seconds(seconds(self.duration, OF_A_ROLE))
            .set_external_id(self.external_id.clone())
            .set_policy(self.policy.clone());
        for arn in &self.policy_arns {
            request = request.policy_arns(PolicyDescriptorType::builder().arn(arn).build());
        }
        for (key, value) in &self.tags {
            let tag = Tag::builder().key(key).value(value).build();
            let tag = tag.map_err(|cause| StsError::Tags {
                arn: self.arn.clone(),
                cause,
            })?;
            request = request.tags(tag);
        }
        for key in &self.transitive_tag_keys {
            request = request.transitive_tag_keys(key);
        }
        if let Some(device) = &self.device {
            request = request.serial_number(&device.serial).token_code(device.code().await?);
        }
        let made = self.asker.call("AssumeRole", || request.clone().send()).await;
        match made.and_then(|answer| temporary("AssumeRole", answer.credentials)) {
            Ok(credentials) => Ok(credentials),
            Err(cause) => Err(self.refused(cause).await),
        }
    }
}

impl Role {
    async fn refused(&self, cause: AwsError) -> StsError {
        let caller = if cause.is_denied() {
            self.asker.caller().await.ok()
        } else {
            None
        };
        StsError::Role {
            arn: self.arn.clone(),
            by: self.by.clone(),
            caller,
            cause: Box::new(cause),
        }
    }
}

/// A session without a role, with a multi-factor device.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) asker: Asker,
    pub(crate) device: Device,
}

#[async_trait]
impl Maker for Session {
    type Error = StsError;

    async fn make(&self) -> Result<Credentials, StsError> {
        let request = self
            .asker
            .sts
            .get_session_token()
            .duration_seconds(seconds(None, OF_A_SESSION))
            .serial_number(&self.device.serial)
            .token_code(self.device.code().await?);
        let made = self.asker.call("GetSessionToken", || request.clone().send()).await;
        let made = made.and_then(|answer| temporary("GetSessionToken", answer.credentials));
        made.map_err(|cause| StsError::Session {
            serial: self.device.serial.clone(),
            cause: Box::new(cause),
        })
    }
}

/// A role that a token of another identity provider is exchanged for.
#[derive(Debug)]
pub(crate) struct WebIdentity {
    /// STS, without credentials.
    pub(crate) sts: Client,
    pub(crate) token_file: PathBuf,
    pub(crate) role: String,
    /// What names it, for errors.
    pub(crate) by: String,
    pub(crate) session: Option<String>,
}

#[async_trait]
impl Maker for WebIdentity {
    type Error = StsError;

    /// The file is read each time: who writes it renews the token.
    async fn make(&self) -> Result<Credentials, StsError> {
        let token = tokio::fs::read_to_string(&self.token_file).await;
        let token = token.map_err(|cause| StsError::Token {
            file: self.token_file.clone(),
            cause,
        })?;
        let request = self
            .sts
            .assume_role_with_web_identity()
            .role_arn(&self.role)
            .role_session_name(self.session.clone().unwrap_or_else(session_name))
            .web_identity_token(token.trim());
        let made = call("AssumeRoleWithWebIdentity", || request.clone().send()).await;
        let made = made.and_then(|answer| temporary("AssumeRoleWithWebIdentity", answer.credentials));
        made.map_err(|cause| StsError::Role {
            arn: self.role.clone(),
            by: self.by.clone(),
            caller: None,
            cause: Box::new(cause),
        })
    }
}

/// What the transport asks of STS when a call is denied.
#[derive(Debug)]
pub(crate) struct Informant {
    /// STS, with the credentials of the calls.
    pub(crate) asker: Asker,
    /// `decode_authorization_messages`
    pub(crate) decodes: bool,
    pub(crate) caller: OnceCell<Option<String>>,
}

impl Informant {
    /// Whose call it was.
    pub(crate) async fn caller(&self) -> Option<&str> {
        let caller = self.caller.get_or_init(async || self.asker.caller().await.ok()).await;
        caller.as_deref()
    }

    /// What an encoded denial means, if it is to be known and STS tells.
    pub(crate) async fn decode(&self, message: &str) -> Option<String> {
        if !self.decodes {
            return None;
        }
        let request = self.asker.sts.decode_authorization_message().encoded_message(message);
        let answer = call("DecodeAuthorizationMessage", || request.clone().send()).await;
        answer.ok()?.decoded_message
    }
}

fn temporary(
    operation: &'static str,
    credentials: Option<aws_sdk_sts::types::Credentials>,
) -> Result<Credentials, AwsError> {
    let made = credentials.ok_or_else(|| AwsError::incomplete(operation, "credentials"))?;
    let end = SystemTime::try_from(made.expiration).map_err(|_| AwsError::incomplete(operation, "expiration"))?;
    let (key, secret, token) = (made.access_key_id, made.secret_access_key, made.session_token);
    Ok(Credentials::new(key, secret, Some(token), Some(end), "STS"))
}

fn seconds(given: Option<u32>, usual: u32) -> i32 {
    let seconds = given.filter(|seconds| *seconds > 0).unwrap_or(usual);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

fn session_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("bakelite-{}", now.as_millis())
}

/// An error of a provider of the SDK, without its layers of the same words.
pub(crate) fn told(error: &CredentialsError) -> String {
    error.source().map_or_else(|| error.to_string(), chain_of)
}
