//! The calls that start, resume, list and terminate sessions.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::channel;
use super::instances::Managed;
use super::unsupported;
use crate::api_error::ApiError;
use crate::call::JsonCall;
use crate::ids::random_hex;
use crate::moment::Moment;
use crate::sessions::{Session, Token};
use crate::state::ACCOUNT;

/// Hexadecimal digits of a session's id.
const ID_DIGITS: usize = 17;

/// Documents that forward a port, with the port that they forward when none is given.
const DOCUMENTS: [(&str, u16, bool); 2] = [
    ("AWS-StartPortForwardingSession", 80, true),
    ("AWS-StartSSHSession", 22, false),
];

/// Websockets that wait for an agent to accept them.
const WAITING_SOCKETS: usize = 4;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StartSession {
    target: String,
    document_name: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, Vec<String>>,
}

pub(super) fn start_session(call: &JsonCall<'_>) -> Result<Value, ApiError> {
    let input: StartSession = call.input()?;
    let document = input.document_name.unwrap_or_default();
    let Some((_, usual_port, is_forwarding)) = DOCUMENTS.iter().find(|(name, ..)| *name == document) else {
        return Err(unsupported(&format!("session document `{document}`")));
    };
    let port = port(&input.parameters, *usual_port)?;
    let region = &call.credential.region;
    let managed = Managed::of(call.cloud, region, &input.target)?;

    let mut properties = BTreeMap::from([("portNumber".to_owned(), port.to_string())]);
    if *is_forwarding {
        properties.insert("type".into(), "LocalPortForwarding".into());
    }
    let id = format!("local-{}", random_hex(ID_DIGITS));
    let token = Token::new();
    let answer = opening(call, &id, &token.text);
    let (sender, sockets) = mpsc::channel(WAITING_SOCKETS);
    let ending = CancellationToken::new();
    let session = Session {
        region: region.clone(),
        target: input.target,
        document,
        reason: input.reason,
        owner: format!("arn:aws:iam::{ACCOUNT}:user/{}", call.credential.access_key),
        started: Moment::now(),
        token: Some(token),
        sockets: sender,
        ending: ending.clone(),
    };
    call.cloud.sessions.lock().insert(id.clone(), session);
    channel::serve(call.cloud, id.clone(), managed, port, properties, sockets, ending);
    Ok(answer)
}

fn port(parameters: &BTreeMap<String, Vec<String>>, usual: u16) -> Result<u16, ApiError> {
    let invalid = |message: String| ApiError::new("InvalidParameters", message);
    if let Some(other) = parameters
        .keys()
        .find(|name| !matches!(name.as_str(), "portNumber" | "localPortNumber"))
    {
        return Err(invalid(format!("The document has no parameter {other}")));
    }
    match parameters.get("portNumber").map(Vec::as_slice) {
        None => Ok(usual),
        Some([port]) => port
            .parse()
            .map_err(|_| invalid(format!("{port} is not a port number"))),
        Some(_) => Err(invalid("portNumber must be a single port number".into())),
    }
}

/// The data channel is where the API is.
fn opening(call: &JsonCall<'_>, id: &str, token: &str) -> Value {
    json!({
        "SessionId": id,
        "StreamUrl": format!("ws://{}{}{id}?role=publish_subscribe", call.cloud.address, channel::PATH),
        "TokenValue": token,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OneSession {
    session_id: String,
}

fn does_not_exist(id: &str) -> ApiError {
    ApiError::new("DoesNotExistException", format!("Session {id} does not exist"))
}

pub(super) fn resume_session(call: &JsonCall<'_>) -> Result<Value, ApiError> {
    let OneSession { session_id: id } = call.input()?;
    let mut sessions = call.cloud.sessions.lock();
    let session = sessions
        .get_mut(&id)
        .filter(|session| session.region == call.credential.region)
        .ok_or_else(|| does_not_exist(&id))?;
    let token = session.token.insert(Token::new());
    Ok(opening(call, &id, &token.text))
}

pub(super) fn terminate_session(call: &JsonCall<'_>) -> Result<Value, ApiError> {
    let OneSession { session_id: id } = call.input()?;
    let mut sessions = call.cloud.sessions.lock();
    let session = sessions.remove(&id).ok_or_else(|| does_not_exist(&id))?;
    session.ending.cancel();
    Ok(json!({ "SessionId": id }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeSessions {
    state: String,
    #[serde(default)]
    filters: Vec<SessionFilter>,
    #[serde(default, rename = "MaxResults")]
    _max_results: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionFilter {
    key: String,
    value: String,
}

/// Lists the sessions that are active; those of the past are not kept.
pub(super) fn describe_sessions(call: &JsonCall<'_>) -> Result<Value, ApiError> {
    let input: DescribeSessions = call.input()?;
    if let Some(other) = input
        .filters
        .iter()
        .find(|filter| !matches!(filter.key.as_str(), "Target" | "Owner" | "SessionId"))
    {
        return Err(unsupported(&format!("filter `{}` in DescribeSessions", other.key)));
    }
    let sessions = call.cloud.sessions.lock();
    let shown = sessions.iter().filter(|(id, session)| {
        let passes = |filter: &SessionFilter| {
            let value = match filter.key.as_str() {
                "Target" => &session.target,
                "Owner" => &session.owner,
                _ => *id,
            };
            *value == filter.value
        };
        input.state == "Active" && session.region == call.credential.region && input.filters.iter().all(passes)
    });
    let list: Vec<Value> = shown.map(|(id, session)| describe(id, session)).collect();
    Ok(json!({ "Sessions": list }))
}

fn describe(id: &str, session: &Session) -> Value {
    let mut described = json!({
        "SessionId": id,
        "Target": session.target,
        "Status": "Connected",
        "StartDate": session.started.seconds(),
        "DocumentName": session.document,
        "Owner": session.owner,
    });
    if let (Some(reason), Some(fields)) = (&session.reason, described.as_object_mut()) {
        fields.insert("Reason".into(), json!(reason));
    }
    described
}
