//! What the fuzzers throw bytes at: either side of a data channel, whose peer sends the bytes. Public for them alone.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as WebSocketMessage;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::agent::{Agent, Connect, read_opening};
use crate::frame::{Frame, MessageType};
use crate::handshake::{self, Asking};
use crate::link::{Link, Received};
use crate::message::payload_type;
use crate::smux::{self, Decoder};
use crate::socket::{Socket, Wire};

/// Bytes that are under way at once.
const BUFFER: usize = 64 << 10;

/// Payload types that a message of the peer has, by its first byte.
const PAYLOADS: [u32; 6] = [
    payload_type::OUTPUT,
    payload_type::HANDSHAKE_REQUEST,
    payload_type::HANDSHAKE_RESPONSE,
    payload_type::HANDSHAKE_COMPLETE,
    payload_type::FLAG,
    99,
];

/// The first byte of the messages of a conversation that makes sense.
const OF_OUTPUT: u8 = 7;

/// Lets a client read the peer; returns how far it came.
pub async fn client(input: &[u8]) -> String {
    let (ours, theirs) = sockets(Role::Client, Role::Server).await;
    let receive = async {
        let mut link = Link::of_client(ours);
        let agreed = match handshake::answer(&mut link).await {
            Ok(agreed) => agreed,
            Err(error) => return error.to_string(),
        };
        let mut decoder = Decoder::default();
        loop {
            match link.next(true).await {
                Ok(Received::Message(message)) if agreed.is_multiplexed => {
                    decoder.push(&message.payload);
                    while let Ok(Some(_)) = decoder.next() {}
                }
                Ok(Received::Message(_) | Received::Room) => {}
                Ok(Received::Closed(output)) => return format!("closed, {} characters", output.len().min(1)),
                Err(error) => return format!("{} {error}", agreed.is_multiplexed),
            }
        }
    };
    tokio::join!(receive, speak(theirs, MessageType::OutputStreamData, input)).0
}

/// Lets an agent read the peer, after what opens a data channel; returns how far it came.
pub async fn agent(input: &[u8]) -> String {
    let (mut ours, theirs) = sockets(Role::Server, Role::Client).await;
    let receive = async {
        let opening = read_opening(&mut ours).await;
        let (sender, receiver) = mpsc::channel(1);
        let _ = sender.send(ours).await;
        drop(sender);
        let agent = Agent {
            session: "session",
            asking: Asking {
                agent_version: "3.3.1957.0".into(),
                properties: BTreeMap::new(),
                kms_key: None,
            },
            connect: &Nowhere,
        };
        agent.serve(receiver, pending()).await;
        format!("opened: {}", opening.is_some())
    };
    tokio::join!(receive, speak(theirs, MessageType::InputStreamData, input)).0
}

/// Conversations that make sense, for a client and for an agent.
pub fn conversations() -> [Vec<u8>; 2] {
    let sent = |kind: u8, text: &[u8]| {
        let mut bytes = vec![kind, u8::try_from(text.len().div_ceil(4)).unwrap_or(u8::MAX)];
        bytes.extend_from_slice(text);
        // JSON may be followed by spaces, and frames of smux by the next one.
        bytes.resize(2 + text.len().div_ceil(4) * 4, b' ');
        bytes
    };
    let request = br#"{"AgentVersion":"3.3.1957.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"portNumber":"22"}}}]}"#;
    let response = br#"{"ClientVersion":"1.2.0.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1,"ActionResult":null,"Error":""}],"Errors":null}"#;
    let opening = br#"{"MessageSchemaVersion":"1.0","RequestId":"x","TokenValue":"t","ClientId":"x"}"#;
    let stream = [smux::open(1), smux::data(1, b"1234"), smux::finish(1)].concat();
    let of_agent = [
        sent(OF_OUTPUT + 1, request),
        sent(OF_OUTPUT + 3, b"{}"),
        sent(OF_OUTPUT, &stream),
        sent(3, br#"{"Output":"bye"}"#),
    ];
    let of_client = [
        sent(1, opening),
        sent(OF_OUTPUT + 2, response),
        sent(OF_OUTPUT, &stream),
        sent(OF_OUTPUT + 4, &[0, 0, 0, 2]),
    ];
    [of_agent.concat(), of_client.concat()]
}

async fn sockets(ours: Role, theirs: Role) -> (Socket, Socket) {
    let (one, other) = tokio::io::duplex(BUFFER);
    let (one, other): (Box<dyn Wire>, Box<dyn Wire>) = (Box::new(one), Box::new(other));
    let config = Some(crate::socket::config());
    (
        WebSocketStream::from_raw_socket(one, ours, config).await,
        WebSocketStream::from_raw_socket(other, theirs, config).await,
    )
}

/// Sends everything, reads the rest, and is gone.
async fn speak(socket: Socket, stream: MessageType, mut input: &[u8]) {
    let (mut sink, mut incoming) = socket.split();
    let say = async {
        let mut sequence = 0;
        while let [kind, quarters, rest @ ..] = input {
            let (payload, after) = rest.split_at((usize::from(*quarters) * 4).min(rest.len()));
            input = after;
            if sink.send(message(*kind, payload, stream, &mut sequence)).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    };
    let receive = async { while let Some(Ok(_)) = incoming.next().await {} };
    tokio::join!(say, receive);
}

/// What a message of the peer is: anything at all, or a frame that is right but for its content.
fn message(kind: u8, payload: &[u8], stream: MessageType, sequence: &mut i64) -> WebSocketMessage {
    let bytes = Bytes::copy_from_slice(payload);
    let control = |message_type| Frame::new(message_type, 0, 0, 0, bytes.clone());
    let frame = match kind & 0x1f {
        0 => return WebSocketMessage::Binary(bytes),
        1 => return WebSocketMessage::text(String::from_utf8_lossy(payload).into_owned()),
        2 => control(MessageType::Acknowledge),
        3 => control(MessageType::ChannelClosed),
        4 => control(MessageType::PausePublication),
        5 => control(MessageType::StartPublication),
        6 => control(MessageType::Other),
        other => {
            let payload_type = PAYLOADS.get(usize::from(other - 7) % PAYLOADS.len()).copied();
            let place = *sequence;
            *sequence += 1;
            // Some come out of order, or from nowhere.
            let place = match kind >> 5 {
                0..5 => place,
                5 => place + 1,
                6 => place - 1,
                _ => i64::MAX,
            };
            Frame::new(stream, place, 0, payload_type.unwrap_or_default(), bytes)
        }
    };
    WebSocketMessage::Binary(frame.bytes())
}

/// Nothing listens.
struct Nowhere;

#[async_trait]
impl Connect for Nowhere {
    async fn connect(&self) -> io::Result<TcpStream> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}
