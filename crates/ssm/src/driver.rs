//! The task behind a session: it transfers bytes between the streams and the link, and has the link replaced when its websocket breaks.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::SessionError;
use crate::handshake::{Agreed, drained};
use crate::incoming::Message;
use crate::link::{Link, LinkError, Received};
use crate::message::{flag, flag_payload, payload_type};
use crate::opener::Opener;
use crate::smux::{self, Decoder, Event, FIRST_STREAM, LONGEST_DATA};
use crate::streams::{OpenedStream, PortError, StreamRequest, Streams};
use crate::version;

/// Bytes of a stream in one message. The official peers send no more; what the service would let pass is not documented.
pub(crate) const CHUNK: usize = 1024;

/// Bytes that may wait between a stream and the link, in each direction.
const STREAM_BUFFER: usize = 256 * 1024;

/// How often an old agent requires a keepalive of an idle stream.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// How long the agent may take to acknowledge the end.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Everything that a session is made of.
pub(crate) struct Driver {
    link: Link,
    opener: Opener,
    streams: Streams,
    requests: mpsc::Receiver<StreamRequest>,
    closing: CancellationToken,
    sends_terminate: bool,
    form: Form,
    keepalive: Option<Interval>,
    /// Streams on which nothing has arrived yet.
    unanswered: HashMap<u32, oneshot::Sender<Result<(), PortError>>>,
}

/// How streams share the session.
enum Form {
    /// Several at once, in frames.
    Multiplexed { decoder: Decoder, next: u32 },
    /// One after the other, as they are. The number is that of the present one.
    Plain { present: Option<u32>, next: u32 },
}

impl Driver {
    pub(crate) fn new(
        link: Link,
        opener: Opener,
        agreed: &Agreed,
        requests: mpsc::Receiver<StreamRequest>,
        closing: CancellationToken,
    ) -> Self {
        let form = if agreed.is_multiplexed {
            Form::Multiplexed {
                decoder: Decoder::default(),
                next: FIRST_STREAM,
            }
        } else {
            Form::Plain { present: None, next: 1 }
        };
        let wants_keepalive = agreed.is_multiplexed && version::needs_keepalive(&agreed.agent_version);
        let keepalive = wants_keepalive.then(|| {
            let mut ticks = interval(KEEPALIVE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self {
            link,
            opener,
            streams: Streams::new(LONGEST_DATA),
            requests,
            closing,
            sends_terminate: version::understands_terminate(&agreed.agent_version),
            form,
            keepalive,
            unanswered: HashMap::new(),
        }
    }

    /// Drives the session to its end, and returns why it ended.
    pub(crate) async fn run(mut self) -> SessionError {
        let closing = self.closing.clone();
        let ended = tokio::select! {
            biased;
            () = closing.cancelled() => SessionError::Terminated,
            error = self.carry() => error,
        };
        if matches!(ended, SessionError::Terminated) {
            self.terminate().await;
        }
        ended
    }

    async fn carry(&mut self) -> SessionError {
        loop {
            let has_room = self.link.has_room();
            let (may_take, room) = (self.streams.has_room(), self.streams.room());
            let may_open = has_room && !matches!(self.form, Form::Plain { present: Some(_), .. });
            let step = tokio::select! {
                received = self.link.next(may_take) => self.take(received).await,
                (stream, bytes) = self.streams.next(), if has_room => { self.send_stream(stream, bytes); Ok(()) }
                Some(request) = self.requests.recv(), if may_open => { self.open(request); Ok(()) }
                () = room, if !may_take => Ok(()),
                () = due(&mut self.keepalive), if has_room => { self.send(&smux::keepalive()); Ok(()) }
            };
            if let Err(error) = step {
                return error;
            }
        }
    }

    /// Handles what the link receives; replaces its websocket when that is its end.
    async fn take(&mut self, received: Result<Received, LinkError>) -> Result<(), SessionError> {
        match received {
            Ok(Received::Message(message)) => self.handle_message(message),
            Ok(Received::Room) => Ok(()),
            Ok(Received::Closed(output)) => Err(SessionError::Closed(output)),
            Err(error @ LinkError::Unacknowledged) => Err(error.into()),
            Err(broken) => {
                tracing::debug!(%broken, "session is resumed");
                self.link.replace(self.opener.open_again(broken).await?);
                Ok(())
            }
        }
    }

    /// Handles bytes or control from the agent.
    fn handle_message(&mut self, message: Message) -> Result<(), SessionError> {
        match message.payload_type {
            payload_type::OUTPUT => self.deliver(message.payload),
            payload_type::FLAG if message.payload == flag_payload(flag::CONNECT_ERROR) => {
                // It does not name the stream that it is about: the newest of those that were not answered.
                if let Some(newest) = self.unanswered.keys().max().copied() {
                    self.answered(newest, Err(PortError::Refused));
                }
                Ok(())
            }
            other => {
                tracing::debug!(payload_type = other, "message of the agent passed over");
                Ok(())
            }
        }
    }

    fn deliver(&mut self, bytes: Bytes) -> Result<(), SessionError> {
        let decoder = match &mut self.form {
            Form::Plain { present, .. } => {
                if let Some(stream) = *present {
                    self.streams.deliver(stream, bytes);
                }
                return Ok(());
            }
            Form::Multiplexed { decoder, .. } => decoder,
        };
        decoder.push(&bytes);
        let mut events = Vec::new();
        while let Some(event) = decoder.next()? {
            events.push(event);
        }
        for event in events {
            match event {
                Event::Data(stream, data) => {
                    self.answered(stream, Ok(()));
                    self.streams.deliver(stream, data);
                }
                Event::Finish(stream) => {
                    self.answered(stream, Err(PortError::Silent));
                    self.streams.close(stream);
                }
                // Only clients open streams.
                Event::Open(stream) => tracing::debug!(stream, "stream of the agent passed over"),
            }
        }
        Ok(())
    }

    fn answered(&mut self, stream: u32, answer: Result<(), PortError>) {
        if let Some(listener) = self.unanswered.remove(&stream) {
            let _ = listener.send(answer);
        }
    }

    /// What is written to a stream of ours.
    fn send_stream(&mut self, stream: u32, bytes: Option<Bytes>) {
        if !self.streams.is_open(stream) {
            return;
        }
        match (&mut self.form, bytes) {
            (Form::Multiplexed { .. }, Some(bytes)) => self.send(&smux::data(stream, &bytes)),
            (Form::Multiplexed { .. }, None) => {
                self.streams.close(stream);
                self.unanswered.remove(&stream);
                self.send(&smux::finish(stream));
            }
            (Form::Plain { .. }, Some(bytes)) => self.send(&bytes),
            (Form::Plain { present, .. }, None) => {
                *present = None;
                self.streams.close(stream);
                self.link.send(payload_type::FLAG, flag_payload(flag::DISCONNECT));
            }
        }
    }

    fn open(&mut self, request: StreamRequest) {
        let (ours, stream) = tokio::io::duplex(STREAM_BUFFER);
        let (answer, answered) = oneshot::channel();
        if request.send(OpenedStream { stream, answered }).is_err() {
            return;
        }
        match &mut self.form {
            Form::Multiplexed { next, .. } => {
                let number = *next;
                *next = next.wrapping_add(2);
                self.streams.add(number, ours);
                self.unanswered.insert(number, answer);
                self.send(&smux::open(number));
            }
            Form::Plain { present, next } => {
                *present = Some(*next);
                self.streams.add(*next, ours);
                *next = next.wrapping_add(1);
                let _ = answer.send(Ok(()));
            }
        }
    }

    fn send(&mut self, bytes: &Bytes) {
        send(&mut self.link, bytes);
    }

    /// Notifies the agent that the session is over. That it may not arrive is why `TerminateSession` is called as well.
    async fn terminate(mut self) {
        if self.sends_terminate {
            self.link.send(payload_type::FLAG, flag_payload(flag::TERMINATE));
        }
        let farewell = async {
            drained(&mut self.link).await?;
            self.link.close().await
        };
        let _ = timeout(CLOSE_LIMIT, farewell).await;
    }
}

/// Sends bytes of the session's stream.
pub(crate) fn send(link: &mut Link, bytes: &Bytes) {
    let mut start = 0;
    while start < bytes.len() {
        let end = bytes.len().min(start + CHUNK);
        link.send(payload_type::OUTPUT, bytes.slice(start..end));
        start = end;
    }
}

async fn due(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}
