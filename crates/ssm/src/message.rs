//! What payloads hold: their types, and the JSON of the handshake, of acknowledgements and of the end.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::frame::Frame;

/// What a payload of stream data is.
pub mod payload_type {
    /// Bytes of the stream.
    pub const OUTPUT: u32 = 1;
    /// The agent asks what the client is able to do.
    pub const HANDSHAKE_REQUEST: u32 = 5;
    /// The client's answer.
    pub const HANDSHAKE_RESPONSE: u32 = 6;
    /// Data may flow from here on.
    pub const HANDSHAKE_COMPLETE: u32 = 7;
    /// One of [`flag`](super::flag).
    pub const FLAG: u32 = 10;
}

/// Payloads of type [`FLAG`](payload_type::FLAG): a big-endian number.
pub mod flag {
    /// The client's connection is over; the next data belongs to another one. Not with multiplexing.
    pub const DISCONNECT: u32 = 1;
    /// The client ends the session.
    pub const TERMINATE: u32 = 2;
    /// The agent could not connect to the port.
    pub const CONNECT_ERROR: u32 = 3;
}

/// A flag as a payload.
pub(crate) fn flag_payload(value: u32) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

/// The first message on the socket, a string: who opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OpenDataChannel {
    /// `1.0`.
    pub message_schema_version: String,
    /// A UUID of its own.
    pub request_id: String,
    /// The bearer's right to the session.
    pub token_value: String,
    /// The same for each socket of a session.
    pub client_id: String,
    /// See [`CLIENT_VERSION`](crate::version::CLIENT_VERSION).
    #[serde(default)]
    pub client_version: String,
}

/// That a frame has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Acknowledgement {
    acknowledged_message_type: String,
    acknowledged_message_id: String,
    #[serde(rename = "AcknowledgedMessageSequenceNumber")]
    pub(crate) sequence: i64,
    is_sequential_message: bool,
}

impl Acknowledgement {
    pub(crate) fn of(frame: &Frame) -> Self {
        Self {
            acknowledged_message_type: frame.message_type.name().to_owned(),
            acknowledged_message_id: frame.id.to_string(),
            sequence: frame.sequence,
            is_sequential_message: true,
        }
    }
}

/// What the agent requires of the client before data flows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HandshakeRequest {
    pub(crate) agent_version: String,
    #[serde(default)]
    pub(crate) requested_client_actions: Vec<RequestedAction>,
}

/// One action that the agent requires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RequestedAction {
    pub(crate) action_type: String,
    #[serde(default)]
    pub(crate) action_parameters: Value,
}

/// The parameters of the action `SessionType`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SessionType {
    pub(crate) session_type: String,
    #[serde(default)]
    pub(crate) properties: Option<BTreeMap<String, Value>>,
}

/// The parameters of the action `KMSEncryption`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct KmsEncryption {
    #[serde(rename = "KMSKeyId", default)]
    pub(crate) key: String,
}

/// The result of what the agent requires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HandshakeResponse {
    pub(crate) client_version: String,
    #[serde(default)]
    pub(crate) processed_client_actions: Vec<ProcessedAction>,
    #[serde(default)]
    pub(crate) errors: Option<Vec<String>>,
}

/// What became of one of those things.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ProcessedAction {
    pub(crate) action_type: String,
    pub(crate) action_status: u8,
    #[serde(default)]
    pub(crate) action_result: Value,
    #[serde(default)]
    pub(crate) error: String,
}

/// Values of `ActionStatus`.
pub(crate) mod status {
    pub(crate) const SUCCESS: u8 = 1;
    pub(crate) const FAILED: u8 = 2;
    pub(crate) const UNSUPPORTED: u8 = 3;
}

/// Data may flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct HandshakeComplete {
    /// Nanoseconds.
    pub(crate) handshake_time_to_complete: u64,
    pub(crate) customer_message: Option<String>,
}

/// The session is over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ChannelClosed {
    pub(crate) message_id: String,
    pub(crate) created_date: String,
    pub(crate) destination_id: String,
    pub(crate) session_id: String,
    pub(crate) message_type: String,
    pub(crate) schema_version: u32,
    /// Why, in words; empty where there is no error.
    pub(crate) output: String,
}

/// JSON of one of these.
pub(crate) fn json(message: &impl Serialize) -> Bytes {
    // Their keys are strings and their values plain: writing them cannot fail.
    serde_json::to_vec(message).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn acknowledgements_are_those_of_the_protocol() {
        let frame = Frame {
            id: Uuid::parse_str("00112233-4455-6677-8899-aabbccddeeff").unwrap(),
            ..Frame::new(crate::frame::MessageType::OutputStreamData, 5, 0, 1, Bytes::new())
        };
        assert_eq!(
            json(&Acknowledgement::of(&frame)),
            r#"{"AcknowledgedMessageType":"output_stream_data","AcknowledgedMessageId":"00112233-4455-6677-8899-aabbccddeeff","AcknowledgedMessageSequenceNumber":5,"IsSequentialMessage":true}"#
        );
    }

    #[test]
    fn a_request_of_a_real_agent_is_read() {
        let text = r#"{"AgentVersion":"3.3.1957.0","RequestedClientActions":[
            {"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"portNumber":"22","type":"LocalPortForwarding"}}},
            {"ActionType":"KMSEncryption","ActionParameters":{"KMSKeyId":"arn:aws:kms:x","Challenge":"eA=="}}]}"#;
        let request: HandshakeRequest = serde_json::from_str(text).unwrap();
        let of = |index: usize| request.requested_client_actions[index].action_parameters.clone();
        let session: SessionType = serde_json::from_value(of(0)).unwrap();
        assert_eq!(session.properties.unwrap()["type"], "LocalPortForwarding");
        let encryption: KmsEncryption = serde_json::from_value(of(1)).unwrap();
        assert_eq!(encryption.key, "arn:aws:kms:x");
    }
}
