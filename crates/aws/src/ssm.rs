//! Systems Manager's calls: a session of Session Manager is started, resumed, found and terminated (what goes through it is
//! bakelite-ssm's to know), and a parameter of Parameter Store is read.

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::{ParameterType, SessionFilter, SessionFilterKey, SessionState};

use crate::call::call;
use crate::error::AwsError;

/// Forwards one port of the instance. Agents after 3.0.196.0 multiplex its streams.
const DOCUMENT: &str = "AWS-StartPortForwardingSession";

/// A session that was started.
pub struct StartedSession {
    /// Its id.
    pub id: String,
    /// Where its data channel is.
    pub stream_url: String,
    /// The right to use it, as good as a password.
    pub token: String,
}

/// Starts a session to a port of an instance. The token of its [`Resource`](bakelite_engine::undo::Resource) becomes its reason, by
/// which it is found when the answer was lost.
pub async fn start(ssm: &Client, instance: &str, port: u16, token: &str) -> Result<StartedSession, AwsError> {
    let answer = ssm
        .start_session()
        .target(instance)
        .document_name(DOCUMENT)
        .parameters("portNumber", vec![port.to_string()])
        .reason(reason(token))
        .send()
        .await;
    let answer = answer.map_err(|error| AwsError::of("StartSession", &error))?;
    let text = |text: Option<String>, name| {
        text.filter(|text| !text.is_empty())
            .ok_or_else(|| AwsError::incomplete("StartSession", name))
    };
    Ok(StartedSession {
        id: text(answer.session_id, "session id")?,
        stream_url: text(answer.stream_url, "stream URL")?,
        token: text(answer.token_value, "token")?,
    })
}

/// Asks for another token, after the websocket broke; `None`: the session is over.
pub async fn resume(ssm: &Client, session: &str) -> Result<Option<String>, AwsError> {
    let answer = ssm.resume_session().session_id(session).send().await;
    match answer.map_err(|error| AwsError::of("ResumeSession", &error)) {
        Err(error) if error.is_not_found() => Ok(None),
        answer => Ok(answer?.token_value.filter(|token| !token.is_empty())),
    }
}

/// Terminates a session. One that is over already is no error.
pub async fn terminate(ssm: &Client, session: &str) -> Result<(), AwsError> {
    let answer = ssm.terminate_session().session_id(session).send().await;
    match answer.map_err(|error| AwsError::of("TerminateSession", &error)) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Finds the session that was started with this token.
pub async fn find(ssm: &Client, instance: &str, token: &str) -> Result<Option<String>, AwsError> {
    let target = SessionFilter::builder()
        .key(SessionFilterKey::TargetId)
        .value(instance)
        .build()
        .map_err(|_| AwsError::incomplete("DescribeSessions", "filter"))?;
    let mut pages = ssm
        .describe_sessions()
        .state(SessionState::Active)
        .filters(target)
        .into_paginator()
        .send();
    let reason = reason(token);
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| AwsError::of("DescribeSessions", &error))?;
        let ours = page.sessions().iter().find(|one| one.reason() == Some(&reason));
        if let Some(id) = ours.and_then(|session| session.session_id()) {
            return Ok(Some(id.to_owned()));
        }
    }
    Ok(None)
}

/// The instance's agent has not registered, or not yet: it does so some seconds after the boot.
pub fn is_not_connected(error: &AwsError) -> bool {
    error.code.as_deref() == Some("TargetNotConnected")
}

/// A parameter of Parameter Store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its value; that of a `SecureString` that was not decrypted is encrypted.
    pub value: String,
    /// The value is that of a `SecureString`, decrypted.
    pub is_secret: bool,
    /// The number of its version.
    pub version: i64,
    /// Its ARN.
    pub arn: String,
}

/// A parameter by its name or ARN, with `:VERSION` or `:LABEL` behind it for one that is not the newest.
pub async fn parameter(ssm: &Client, name: &str, decrypt: bool) -> Result<Parameter, AwsError> {
    let request = ssm.get_parameter().name(name).with_decryption(decrypt);
    let answer = call("GetParameter", || request.clone().send()).await?;
    let missing = || AwsError::incomplete("GetParameter", "parameter");
    let parameter = answer.parameter.ok_or_else(missing)?;
    Ok(Parameter {
        value: parameter.value.unwrap_or_default(),
        is_secret: decrypt && parameter.r#type == Some(ParameterType::SecureString),
        version: parameter.version,
        arn: parameter.arn.unwrap_or_default(),
    })
}

fn reason(token: &str) -> String {
    format!("bakelite {token}")
}
