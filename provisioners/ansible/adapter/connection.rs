//! One connection of Ansible's to the adapter: who may log in, and what a channel may ask for.

use std::collections::HashMap;
use std::sync::Arc;

use russh::keys::PublicKey;
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelWriteHalf, Pty};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::stream::{Feeder, Streams, open};
use super::{Door, command, scp, sftp};

/// The state of one connection.
pub(super) struct Connection {
    door: Arc<Door>,
    channels: HashMap<ChannelId, SessionChannel>,
    /// What runs on the channels; it ends with the connection.
    work: JoinSet<()>,
}

/// A channel before and while something runs on it.
struct SessionChannel {
    writer: Option<ChannelWriteHalf<Msg>>,
    feeder: Option<Feeder>,
    /// Dropped with the channel, which tells its work that the client has closed it.
    open: Option<oneshot::Sender<()>>,
}

/// What a channel asks for.
enum Request {
    Command(String),
    Transfer(scp::Transfer),
    Sftp,
}

impl Connection {
    pub(super) fn new(door: Arc<Door>) -> Self {
        Self {
            door,
            channels: HashMap::new(),
            work: JoinSet::new(),
        }
    }

    fn admits(&self, user: &str, key: &PublicKey) -> bool {
        user == self.door.user && key.key_data() == self.door.key.key_data()
    }

    /// Starts what a channel asks for; only once per channel (RFC 4254 §6.5).
    fn start(&mut self, id: ChannelId, request: Request, session: &mut Session) -> Result<(), russh::Error> {
        let Some(channel) = self.channels.get_mut(&id) else {
            return session.channel_failure(id);
        };
        let Some(writer) = channel.writer.take() else {
            return session.channel_failure(id);
        };
        let (feeder, streams) = open(&writer);
        channel.feeder = Some(feeder);
        let (open, closed) = oneshot::channel();
        channel.open = Some(open);
        session.channel_success(id)?;
        let (handle, door) = (session.handle(), Arc::clone(&self.door));
        self.work.spawn(async move {
            let status = tokio::select! {
                status = request.carry_out(&door, streams) => status,
                // Whatever runs for a client that has closed the channel ends here.
                _ = closed => return,
            };
            // The client may have gone; then nobody wants to know.
            let _ = handle.exit_status_request(id, status).await;
            let _ = handle.eof(id).await;
            let _ = handle.close(id).await;
        });
        while self.work.try_join_next().is_some() {}
        Ok(())
    }
}

impl Request {
    /// Does it and answers its exit status.
    async fn carry_out(self, door: &Door, streams: Streams) -> u32 {
        match self {
            Request::Command(text) => command::run(&door.instance, &text, streams).await,
            Request::Transfer(transfer) => scp::run(&door.instance, &transfer, streams).await,
            Request::Sftp => sftp::run(&door.instance, streams).await,
        }
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(if self.admits(user, offer.public_key) {
            Auth::Accept
        } else {
            Auth::reject()
        })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(if self.admits(user, key.public_key) {
            Auth::Accept
        } else {
            Auth::reject()
        })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let id = channel.id();
        // Input comes through `data`; the reading half would only queue it a second time.
        let (_, writer) = channel.split();
        self.channels.insert(
            id,
            SessionChannel {
                writer: Some(writer),
                feeder: None,
                open: None,
            },
        );
        reply.accept().await;
        Ok(())
    }

    /// Granted and without effect: Ansible asks for a terminal wherever it might have to type a password.
    async fn pty_request(
        &mut self,
        id: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(id)
    }

    /// Granted and without effect: the language of this machine is not that of the instance.
    async fn env_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(id)
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        let Ok(command) = std::str::from_utf8(command) else {
            return session.channel_failure(id);
        };
        let request = match scp::parse(command) {
            Some(transfer) => Request::Transfer(transfer),
            None => Request::Command(command.to_owned()),
        };
        self.start(id, request, session)
    }

    async fn subsystem_request(&mut self, id: ChannelId, name: &str, session: &mut Session) -> Result<(), Self::Error> {
        if name != "sftp" {
            return session.channel_failure(id);
        }
        self.start(id, Request::Sftp, session)
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _session: &mut Session) -> Result<(), Self::Error> {
        if let Some(feeder) = self.channels.get(&id).and_then(|channel| channel.feeder.as_ref()) {
            return tokio::select! {
                () = feeder.feed(data) => Ok(()),
                () = self.door.closing.cancelled() => Err(russh::Error::Disconnect),
            };
        }
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.feeder = None;
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.channels.remove(&id);
        Ok(())
    }
}
