//! The other end of a session: what the agent on an instance does. The local cloud and the tests have it; it speaks to any client.

use std::io;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message as WebSocketMessage;

use crate::driver::send;
use crate::handshake::{self, AskError, Asking};
use crate::incoming::Message;
use crate::link::{Link, LinkError, Received};
use crate::message::{OpenDataChannel, flag, flag_payload, payload_type};
use crate::smux::{self, Decoder, Event, LONGEST_DATA};
use crate::socket::Socket;
use crate::streams::Streams;

/// How long the client's side may take to be notified of the end.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Connects to the session's port.
#[async_trait]
pub trait Connect: Send + Sync {
    /// A new connection.
    async fn connect(&self) -> io::Result<TcpStream>;
}

/// Reads the first message of a client on its websocket.
pub async fn read_opening(socket: &mut Socket) -> Option<OpenDataChannel> {
    loop {
        match socket.next().await?.ok()? {
            WebSocketMessage::Text(text) => return serde_json::from_str(&text).ok(),
            WebSocketMessage::Binary(bytes) => return serde_json::from_slice(&bytes).ok(),
            WebSocketMessage::Close(_) => return None,
            _ => {}
        }
    }
}

/// An agent in one session.
pub struct Agent<'a> {
    /// The session's id.
    pub session: &'a str,
    /// What it asks the client for.
    pub asking: Asking,
    /// The way to the session's port.
    pub connect: &'a dyn Connect,
}

/// Why the agent's part is over.
#[derive(Debug)]
enum End {
    /// The client asked for it.
    Terminated,
    /// Something is wrong; the client is notified.
    Failed(String),
    /// No websocket comes any more.
    Abandoned,
}

impl Agent<'_> {
    /// Serves the session: the first websocket that comes begins it, each further one takes the place of one that broke. It ends when
    /// the client ends it, when no more websockets can come, or when `ending` completes, with its reason.
    pub async fn serve(self, mut sockets: mpsc::Receiver<Socket>, ending: impl Future<Output = String>) {
        let mut ending = pin!(ending);
        let first = tokio::select! {
            biased;
            _ = &mut ending => None,
            first = sockets.recv() => first,
        };
        let Some(first) = first else { return };
        let mut link = Link::of_agent(first);
        let end = tokio::select! {
            biased;
            why = ending => End::Failed(why),
            end = self.work(&mut link, &mut sockets) => end,
        };
        let output = match end {
            End::Abandoned => return,
            End::Terminated => String::new(),
            End::Failed(output) => output,
        };
        link.send_closed(self.session, &output);
        let _ = tokio::time::timeout(CLOSE_LIMIT, link.close()).await;
    }

    async fn work(&self, link: &mut Link, sockets: &mut mpsc::Receiver<Socket>) -> End {
        let is_multiplexed = match handshake::ask(link, &self.asking).await {
            Ok(is_multiplexed) => is_multiplexed,
            Err(AskError::Refused(why)) => return End::Failed(why),
            Err(AskError::Link(_)) => return End::Abandoned,
        };
        let mut carrier = Carrier {
            link,
            streams: Streams::new(LONGEST_DATA),
            connect: self.connect,
            decoder: is_multiplexed.then(Decoder::default),
            present: 0,
        };
        // Without multiplexing the agent connects before it is asked to.
        if !is_multiplexed && let Err(why) = carrier.open_plain().await {
            return End::Failed(why);
        }
        loop {
            let error = match carrier.carry().await {
                Ok(end) => return end,
                Err(error) => error,
            };
            tracing::debug!(%error, session = self.session, "agent waits for the client to resume");
            match sockets.recv().await {
                Some(socket) => carrier.link.replace(socket),
                None => return End::Abandoned,
            }
        }
    }
}

/// Transfers bytes between the link and the connections to the port.
struct Carrier<'a> {
    link: &'a mut Link,
    streams: Streams,
    connect: &'a dyn Connect,
    /// With multiplexing.
    decoder: Option<Decoder>,
    /// Without multiplexing: the number of the present connection.
    present: u32,
}

impl Carrier<'_> {
    async fn carry(&mut self) -> Result<End, LinkError> {
        loop {
            let has_room = self.link.has_room();
            let (may_take, room) = (self.streams.has_room(), self.streams.room());
            let end = tokio::select! {
                received = self.link.next(may_take) => match received? {
                    Received::Message(message) => self.handle_message(message).await,
                    Received::Room => None,
                    Received::Closed(_) => Some(End::Terminated),
                },
                (stream, bytes) = self.streams.next(), if has_room => { self.say(stream, bytes); None }
                () = room, if !may_take => None,
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    async fn handle_message(&mut self, message: Message) -> Option<End> {
        match message.payload_type {
            payload_type::OUTPUT => match &mut self.decoder {
                Some(decoder) => {
                    decoder.push(&message.payload);
                    self.events().await
                }
                None => self.hear_plain(message.payload).await,
            },
            payload_type::FLAG if message.payload == flag_payload(flag::TERMINATE) => Some(End::Terminated),
            payload_type::FLAG if message.payload == flag_payload(flag::DISCONNECT) => {
                self.streams.close(self.present);
                None
            }
            _ => None,
        }
    }

    async fn events(&mut self) -> Option<End> {
        loop {
            let event = match self.decoder.as_mut()?.next() {
                Ok(event) => event?,
                Err(error) => return Some(End::Failed(error.to_string())),
            };
            match event {
                Event::Open(stream) if self.streams.is_open(stream) => {}
                Event::Open(stream) => {
                    if let Ok(connection) = self.connect.connect().await {
                        self.streams.add(stream, connection);
                    } else {
                        self.link.send(payload_type::FLAG, flag_payload(flag::CONNECT_ERROR));
                        send(self.link, &smux::finish(stream));
                    }
                }
                Event::Data(stream, data) => self.streams.deliver(stream, data),
                Event::Finish(stream) => {
                    self.streams.close(stream);
                }
            }
        }
    }

    /// The next data after a connection has ended opens another one.
    async fn hear_plain(&mut self, bytes: Bytes) -> Option<End> {
        if !self.streams.is_open(self.present)
            && let Err(why) = self.open_plain().await
        {
            return Some(End::Failed(why));
        }
        self.streams.deliver(self.present, bytes);
        None
    }

    async fn open_plain(&mut self) -> Result<(), String> {
        let connected = self.connect.connect().await;
        let connection = connected.map_err(|error| format!("Unable to connect to specified port: {error}"))?;
        self.present += 1;
        self.streams.add(self.present, connection);
        Ok(())
    }

    fn say(&mut self, stream: u32, bytes: Option<Bytes>) {
        if !self.streams.is_open(stream) {
            return;
        }
        match (&self.decoder, bytes) {
            (Some(_), Some(bytes)) => send(self.link, &smux::data(stream, &bytes)),
            (None, Some(bytes)) => send(self.link, &bytes),
            (is_multiplexed, None) => {
                self.streams.close(stream);
                if is_multiplexed.is_some() {
                    send(self.link, &smux::finish(stream));
                }
            }
        }
    }
}
