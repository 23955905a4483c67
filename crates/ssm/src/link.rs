//! A reliable stream of messages over websockets that may break: what is sent arrives once and in order, also when a new websocket takes
//! the place of one that broke. Both ends of a session stand on it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message as WebSocketMessage};

use crate::frame::{Frame, FrameError, MessageType};
use crate::incoming::{Incoming, Message};
use crate::message::{Acknowledgement, ChannelClosed, json};
use crate::outgoing::Outgoing;
use crate::socket::Socket;

/// How often it is looked at what time has made due.
const TICK: Duration = Duration::from_millis(50);

/// How often the peer is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// A peer that sends nothing for this long is gone, whatever TCP thinks.
const SILENCE_LIMIT: Duration = Duration::from_secs(50);

/// Frames in a row that cannot be read before the websocket counts as broken.
const GARBLED_LIMIT: u32 = 100;

/// Flags of frames that belong to no sequence.
const OUT_OF_SEQUENCE: u64 = 3;

/// One end of the link.
pub(crate) struct Link {
    socket: Socket,
    /// What the peer sends as.
    theirs: MessageType,
    /// Messages for the socket. The windows of both directions bound it.
    queue: VecDeque<WebSocketMessage>,
    outgoing: Outgoing,
    incoming: Incoming,
    closed: Option<String>,
    is_paused: bool,
    ticks: Interval,
    last_received: Instant,
    pinged: Instant,
    garbled: u32,
}

/// What has arrived.
#[derive(Debug)]
pub(crate) enum Received {
    /// The next message in order.
    Message(Message),
    /// There is room for data again, or everything has arrived.
    Room,
    /// The session is over, for this reason.
    Closed(String),
}

/// Why the link cannot go on; another websocket may restore it.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The websocket broke.
    #[error("websocket of the data channel broke")]
    Broken(#[source] Box<WebSocketError>),
    /// The peer closed the websocket.
    #[error("websocket of the data channel was closed by the other side")]
    Ended,
    /// The peer has sent nothing.
    #[error("no message on the data channel for {} seconds", SILENCE_LIMIT.as_secs())]
    Silent,
    /// Nothing was acknowledged.
    #[error("nothing was acknowledged on the data channel for 5 minutes")]
    Unacknowledged,
    /// What comes cannot be read.
    #[error("frames of the data channel cannot be read")]
    Garbled(#[source] FrameError),
}

impl From<WebSocketError> for LinkError {
    fn from(error: WebSocketError) -> Self {
        match error {
            WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed => Self::Ended,
            error => Self::Broken(Box::new(error)),
        }
    }
}

impl Link {
    /// The client's end.
    pub(crate) fn of_client(socket: Socket) -> Self {
        Self::new(socket, MessageType::InputStreamData, MessageType::OutputStreamData)
    }

    /// The agent's end.
    pub(crate) fn of_agent(socket: Socket) -> Self {
        Self::new(socket, MessageType::OutputStreamData, MessageType::InputStreamData)
    }

    fn new(socket: Socket, ours: MessageType, theirs: MessageType) -> Self {
        let now = Instant::now();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            socket,
            theirs,
            queue: VecDeque::new(),
            outgoing: Outgoing::new(ours),
            incoming: Incoming::default(),
            closed: None,
            is_paused: false,
            ticks,
            last_received: now,
            pinged: now,
            garbled: 0,
        }
    }

    /// Goes on over another socket: everything that may have been lost with the old one is sent again.
    pub(crate) fn replace(&mut self, socket: Socket) {
        self.socket = socket;
        let now = Instant::now();
        (self.last_received, self.pinged) = (now, now);
        self.garbled = 0;
        self.is_paused = false;
        self.queue.clear();
        self.queue
            .extend(self.outgoing.all_again(now).into_iter().map(WebSocketMessage::Binary));
    }

    /// May data be sent? Control messages always may.
    pub(crate) fn has_room(&self) -> bool {
        self.outgoing.has_room() && !self.is_paused
    }

    /// Has everything that was sent arrived?
    pub(crate) fn is_drained(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Sends a message; it goes out while [`next`](Self::next) is waited for.
    pub(crate) fn send(&mut self, payload_type: u32, payload: Bytes) {
        let frame = self.outgoing.push(payload_type, payload, Instant::now());
        self.queue.push_back(WebSocketMessage::Binary(frame));
    }

    /// Tells the client that the session is over. Nobody acknowledges it.
    pub(crate) fn send_closed(&mut self, session: &str, output: &str) {
        let closed = ChannelClosed {
            message_id: uuid::Uuid::new_v4().to_string(),
            session_id: session.to_owned(),
            message_type: MessageType::ChannelClosed.name().to_owned(),
            schema_version: 1,
            output: output.to_owned(),
            ..ChannelClosed::default()
        };
        self.out_of_sequence(MessageType::ChannelClosed, json(&closed));
    }

    /// Waits until everything was written to the socket, and closes it.
    pub(crate) async fn close(&mut self) -> Result<(), LinkError> {
        while let Some(message) = self.queue.pop_front() {
            self.socket.feed(message).await?;
        }
        self.socket.flush().await?;
        Ok(self.socket.close(None).await?)
    }

    /// Waits for the next message, and does everything that the link needs meanwhile. When nothing may be taken and we wait for no
    /// acknowledgement either, nothing is read from the socket, so that the peer has to wait. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self, may_take: bool) -> Result<Received, LinkError> {
        let (had_room, was_drained) = (self.has_room(), self.is_drained());
        loop {
            if may_take && let Some(message) = self.incoming.next() {
                return Ok(Received::Message(message));
            }
            if let Some(output) = self.closed.take() {
                return Ok(Received::Closed(output));
            }
            if (!had_room && self.has_room()) || (!was_drained && self.is_drained()) {
                return Ok(Received::Room);
            }
            // Without our acknowledgements the peer could wait for us while we wait for it.
            let may_read = may_take || !self.outgoing.is_empty();
            let (socket, queue) = (&mut self.socket, &mut self.queue);
            tokio::select! {
                biased;
                _ = self.ticks.tick() => self.tick(Instant::now())?,
                message = poll_fn(|cx| poll_socket(socket, queue, may_read, cx)) => self.receive(message?)?,
            }
        }
    }

    /// What time makes due.
    fn tick(&mut self, now: Instant) -> Result<(), LinkError> {
        if self.is_paused {
            self.outgoing.hold(now);
        } else if let Some(frame) = self.outgoing.overdue(now) {
            self.queue.push_back(WebSocketMessage::Binary(frame));
        }
        if now.saturating_duration_since(self.last_received) > SILENCE_LIMIT {
            return Err(LinkError::Silent);
        }
        if self.outgoing.is_given_up(now) {
            return Err(LinkError::Unacknowledged);
        }
        if now.saturating_duration_since(self.pinged) > PING_INTERVAL {
            self.pinged = now;
            self.queue
                .push_back(WebSocketMessage::Ping(Bytes::from_static(b"keepalive")));
        }
        Ok(())
    }

    fn receive(&mut self, message: WebSocketMessage) -> Result<(), LinkError> {
        let now = Instant::now();
        self.last_received = now;
        let bytes = match message {
            WebSocketMessage::Binary(bytes) => bytes,
            WebSocketMessage::Text(text) => Bytes::from(text),
            WebSocketMessage::Close(_) => return Err(LinkError::Ended),
            _ => return Ok(()),
        };
        match Frame::parse(&bytes) {
            Ok(frame) => {
                self.garbled = 0;
                self.take(frame, now);
                Ok(())
            }
            // It is not acknowledged, so it comes again; a link on which nothing else arrives is of no use.
            Err(error) => {
                tracing::debug!(%error, "frame dropped");
                self.garbled += 1;
                if self.garbled < GARBLED_LIMIT {
                    Ok(())
                } else {
                    Err(LinkError::Garbled(error))
                }
            }
        }
    }

    fn take(&mut self, frame: Frame, now: Instant) {
        match frame.message_type {
            MessageType::Acknowledge => {
                self.is_paused = false;
                match serde_json::from_slice::<Acknowledgement>(&frame.payload) {
                    Ok(acknowledged) => {
                        let lost = self.outgoing.acknowledged(acknowledged.sequence, now);
                        self.queue.extend(lost.into_iter().map(WebSocketMessage::Binary));
                    }
                    Err(error) => tracing::debug!(%error, "acknowledgement dropped"),
                }
            }
            MessageType::ChannelClosed => {
                let closed: ChannelClosed = serde_json::from_slice(&frame.payload).unwrap_or_default();
                self.closed = Some(closed.output);
            }
            MessageType::StartPublication => self.is_paused = false,
            MessageType::PausePublication => self.is_paused = true,
            theirs if theirs == self.theirs => {
                self.is_paused = false;
                let acknowledgement = Acknowledgement::of(&frame);
                let message = Message {
                    payload_type: frame.payload_type,
                    payload: frame.payload,
                };
                if self.incoming.receive(frame.sequence, message) {
                    self.out_of_sequence(MessageType::Acknowledge, json(&acknowledgement));
                }
            }
            _ => {}
        }
    }

    fn out_of_sequence(&mut self, message_type: MessageType, payload: Bytes) {
        let frame = Frame::new(message_type, 0, OUT_OF_SEQUENCE, 0, payload);
        self.queue.push_back(WebSocketMessage::Binary(frame.bytes()));
    }
}

/// Writes what can be written and reads one message. What was written is flushed only when there is nothing to read, so that frames
/// and acknowledgements share system calls.
fn poll_socket(
    socket: &mut Socket,
    queue: &mut VecDeque<WebSocketMessage>,
    may_read: bool,
    cx: &mut Context<'_>,
) -> Poll<Result<WebSocketMessage, LinkError>> {
    while !queue.is_empty() {
        match socket.poll_ready_unpin(cx)? {
            Poll::Pending => break,
            Poll::Ready(()) => {
                if let Some(message) = queue.pop_front() {
                    socket.start_send_unpin(message)?;
                }
            }
        }
    }
    if may_read && let Poll::Ready(message) = socket.poll_next_unpin(cx)? {
        return Poll::Ready(message.ok_or(LinkError::Ended));
    }
    let _ = socket.poll_flush_unpin(cx)?;
    Poll::Pending
}
