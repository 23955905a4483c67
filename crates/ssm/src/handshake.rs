//! What agent and client exchange before data flows. The agent begins.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::timeout;

use crate::error::SessionError;
use crate::link::{Link, LinkError, Received};
use crate::message::{
    HandshakeComplete, HandshakeRequest, HandshakeResponse, KmsEncryption, ProcessedAction, RequestedAction,
    SessionType, json, payload_type, status,
};
use crate::version::{self, CLIENT_VERSION, LOCAL_PORT_FORWARDING};

/// The session type of port forwarding.
const PORT: &str = "Port";

/// How long to wait until the agent has our refusal.
const REFUSAL_LIMIT: Duration = Duration::from_secs(2);

/// What both sides know after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) agent_version: String,
    pub(crate) is_multiplexed: bool,
}

/// The client's part: answers what the agent asks, until data may flow.
pub(crate) async fn answer(link: &mut Link) -> Result<Agreed, SessionError> {
    let mut agreed = None;
    loop {
        let message = match link.next(true).await? {
            Received::Closed(output) => return Err(SessionError::Closed(output)),
            Received::Room => continue,
            Received::Message(message) => message,
        };
        match message.payload_type {
            payload_type::HANDSHAKE_REQUEST => {
                let request: HandshakeRequest = serde_json::from_slice(&message.payload)
                    .map_err(|_| SessionError::Handshake("the agent's request is malformed"))?;
                agreed = Some(respond(link, &request).await?);
            }
            payload_type::HANDSHAKE_COMPLETE => {
                let complete: HandshakeComplete = serde_json::from_slice(&message.payload).unwrap_or_default();
                if let Some(text) = complete.customer_message.filter(|text| !text.is_empty()) {
                    tracing::info!(text, "message of the session's agent");
                }
                return agreed.ok_or(SessionError::Handshake("the agent completed it before it started it"));
            }
            _ => return Err(SessionError::Handshake("the agent sent data before it")),
        }
    }
}

async fn respond(link: &mut Link, request: &HandshakeRequest) -> Result<Agreed, SessionError> {
    let mut refusal = None;
    let mut multiplexed = None;
    let processed = request.requested_client_actions.iter().map(|action| {
        let (action_status, error) = match action.action_type.as_str() {
            "SessionType" => match session_type(action) {
                Ok(wants_multiplexing) => {
                    multiplexed = Some(wants_multiplexing);
                    (status::SUCCESS, String::new())
                }
                Err(error) => {
                    refusal = Some(SessionError::Handshake(error));
                    (status::FAILED, error.to_owned())
                }
            },
            "KMSEncryption" => {
                let wanted = serde_json::from_value(action.action_parameters.clone());
                let KmsEncryption { key } = wanted.unwrap_or(KmsEncryption {
                    key: "(unnamed)".into(),
                });
                refusal = Some(SessionError::Encrypted { key });
                (status::FAILED, "this client has no KMS encryption".to_owned())
            }
            _ => {
                refusal = Some(SessionError::Handshake(
                    "the agent requires an action that is not supported",
                ));
                (
                    status::UNSUPPORTED,
                    format!("this client has no {}", action.action_type),
                )
            }
        };
        ProcessedAction {
            action_type: action.action_type.clone(),
            action_status,
            action_result: Value::Null,
            error,
        }
    });
    let response = HandshakeResponse {
        client_version: CLIENT_VERSION.into(),
        processed_client_actions: processed.collect(),
        errors: None,
    };
    link.send(payload_type::HANDSHAKE_RESPONSE, json(&response));
    if let Some(refusal) = refusal {
        let _ = timeout(REFUSAL_LIMIT, drained(link)).await;
        return Err(refusal);
    }
    let wanted = multiplexed.ok_or(SessionError::Handshake("the agent names no session type"))?;
    Ok(Agreed {
        agent_version: request.agent_version.clone(),
        is_multiplexed: wanted && version::client_multiplexes(&request.agent_version),
    })
}

/// Whether the session may be multiplexed.
fn session_type(action: &RequestedAction) -> Result<bool, &'static str> {
    let session: SessionType = serde_json::from_value(action.action_parameters.clone())
        .map_err(|_| "the agent's session type is malformed")?;
    if session.session_type != PORT {
        return Err("the session's document is not for port forwarding");
    }
    let kind = session.properties.unwrap_or_default().remove("type");
    Ok(kind.is_some_and(|kind| kind == LOCAL_PORT_FORWARDING))
}

/// Waits until everything that was sent has arrived.
pub(crate) async fn drained(link: &mut Link) -> Result<(), LinkError> {
    while !link.is_drained() {
        if let Received::Closed(_) = link.next(true).await? {
            break;
        }
    }
    Ok(())
}

/// What an agent asks for.
#[derive(Debug, Clone, Default)]
pub struct Asking {
    /// The agent's version, in four parts.
    pub agent_version: String,
    /// Properties of the session's document.
    pub properties: BTreeMap<String, String>,
    /// A KMS key that data is to be encrypted with.
    pub kms_key: Option<String>,
}

/// The agent's part: asks, waits for the answer, lets data flow. Answers whether the session is multiplexed.
pub(crate) async fn ask(link: &mut Link, asking: &Asking) -> Result<bool, AskError> {
    let properties = asking
        .properties
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.clone())));
    let session = SessionType {
        session_type: PORT.into(),
        properties: Some(properties.collect()),
    };
    let mut actions = vec![RequestedAction {
        action_type: "SessionType".into(),
        action_parameters: serde_json::to_value(session).unwrap_or_default(),
    }];
    actions.extend(asking.kms_key.as_ref().map(|key| RequestedAction {
        action_type: "KMSEncryption".into(),
        action_parameters: serde_json::json!({ "KMSKeyId": key }),
    }));
    let request = HandshakeRequest {
        agent_version: asking.agent_version.clone(),
        requested_client_actions: actions,
    };
    link.send(payload_type::HANDSHAKE_REQUEST, json(&request));
    let response = response(link).await?;
    let failed = response
        .processed_client_actions
        .iter()
        .find(|action| action.action_status != status::SUCCESS);
    if let Some(failed) = failed {
        let (action, error) = (&failed.action_type, &failed.error);
        return Err(AskError::Refused(format!("{action} failed on client: {error}")));
    }
    let complete = HandshakeComplete::default();
    link.send(payload_type::HANDSHAKE_COMPLETE, json(&complete));
    let kind = asking.properties.get("type");
    // Both sides decide by themselves, each by the other's version.
    Ok(kind.is_some_and(|kind| kind == LOCAL_PORT_FORWARDING)
        && version::agent_multiplexes(&response.client_version)
        && version::client_multiplexes(&asking.agent_version))
}

/// What comes before the answer is no data yet: the agent acknowledges and drops it.
async fn response(link: &mut Link) -> Result<HandshakeResponse, AskError> {
    let wait = async {
        loop {
            match link.next(true).await? {
                Received::Message(message) if message.payload_type == payload_type::HANDSHAKE_RESPONSE => {
                    return read(&message.payload);
                }
                Received::Message(_) | Received::Room => {}
                Received::Closed(_) => return Err(AskError::Refused("the client closed the connection".into())),
            }
        }
    };
    let waited = timeout(Duration::from_secs(15), wait).await;
    waited.unwrap_or_else(|_| Err(AskError::Refused("the client did not answer the handshake".into())))
}

fn read(payload: &Bytes) -> Result<HandshakeResponse, AskError> {
    serde_json::from_slice(payload)
        .map_err(|error| AskError::Refused(format!("the client's response is not JSON: {error}")))
}

/// Why an agent does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("{0}")]
    Refused(String),
}
