//! One SSH connection: who it is, and its channels.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use russh::keys::PublicKey;
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty, Sig};
use tokio::task::JoinSet;

use super::channel::{self, SessionChannel};
use crate::connection_slots::Slot;
use crate::sandbox::{Program, Sandbox, Terminal};

/// The state of one connection.
pub(super) struct Connection {
    sandbox: Arc<Sandbox>,
    authorized: Arc<[PublicKey]>,
    peer: SocketAddr,
    address: SocketAddr,
    slot: Slot,
    user: String,
    channels: HashMap<ChannelId, SessionChannel>,
    /// What carries the channels' streams; ends with the connection.
    tasks: JoinSet<()>,
}

impl Connection {
    pub(super) fn new(
        sandbox: Arc<Sandbox>,
        authorized: Arc<[PublicKey]>,
        peer: SocketAddr,
        address: SocketAddr,
        slot: Slot,
    ) -> Connection {
        let tasks = JoinSet::new();
        Connection {
            sandbox,
            authorized,
            peer,
            address,
            slot,
            user: String::new(),
            channels: HashMap::new(),
            tasks,
        }
    }

    fn admits(&self, key: &PublicKey) -> bool {
        self.authorized
            .iter()
            .any(|authorized| authorized.key_data() == key.key_data())
    }

    /// Starts what a channel asks for and answers the request.
    async fn start(
        &mut self,
        id: ChannelId,
        program: Program,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let environment = self.environment();
        let started = match self.channels.get_mut(&id) {
            Some(channel) => {
                channel
                    .start(&self.sandbox, &self.user, program, command, environment)
                    .await
            }
            None => return session.channel_failure(id),
        };
        match started {
            Ok(work) => {
                session.channel_success(id)?;
                self.tasks
                    .spawn(work.carry(Arc::clone(&self.sandbox), session.handle()));
                while self.tasks.try_join_next().is_some() {}
                Ok(())
            }
            Err(error) => {
                tracing::debug!("SSH: {error}");
                session.channel_failure(id)
            }
        }
    }

    fn environment(&self) -> Vec<(String, String)> {
        let (peer, own) = (self.peer, self.address);
        vec![
            (
                "SSH_CLIENT".into(),
                format!("{} {} {}", peer.ip(), peer.port(), own.port()),
            ),
            (
                "SSH_CONNECTION".into(),
                format!("{} {} {} {}", peer.ip(), peer.port(), own.ip(), own.port()),
            ),
        ]
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(if self.admits(offer.public_key) {
            Auth::Accept
        } else {
            Auth::reject()
        })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        if !self.admits(key.public_key) || !self.sandbox.knows(user).await.unwrap_or(false) {
            return Ok(Auth::reject());
        }
        user.clone_into(&mut self.user);
        self.slot.authenticated();
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), SessionChannel::new(channel));
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _host: &str,
        _port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        _width: u32,
        _height: u32,
        modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(channel) = self.channels.get_mut(&id) else {
            return session.channel_failure(id);
        };
        channel.terminal = Some(Terminal {
            term: term.to_owned(),
            columns: channel::size(columns),
            rows: channel::size(rows),
            modes: modes.iter().map(|(mode, value)| (*mode as u8, *value)).collect(),
        });
        session.channel_success(id)
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        columns: u32,
        rows: u32,
        _width: u32,
        _height: u32,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(channel) = self.channels.get(&id) {
            channel.resize(columns, rows);
        }
        Ok(())
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.channels.get_mut(&id) {
            // What sshd accepts by default on Debian and Amazon Linux.
            Some(channel) if name == "LANG" || name.starts_with("LC_") => {
                channel.environment.push((name.to_owned(), value.to_owned()));
                session.channel_success(id)
            }
            _ => session.channel_failure(id),
        }
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.start(id, Program::Shell, &[], session).await
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        self.start(id, Program::Command, command, session).await
    }

    async fn subsystem_request(&mut self, id: ChannelId, name: &str, session: &mut Session) -> Result<(), Self::Error> {
        if name != "sftp" {
            return session.channel_failure(id);
        }
        self.start(id, Program::Sftp, &[], session).await
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _session: &mut Session) -> Result<(), Self::Error> {
        if let Some(channel) = self.channels.get(&id) {
            channel.feed(data).await;
        }
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.end_input();
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.channels.remove(&id);
        Ok(())
    }

    async fn signal(&mut self, id: ChannelId, signal: Sig, _session: &mut Session) -> Result<(), Self::Error> {
        if let (Some(run), Some(number)) = (
            self.channels.get(&id).and_then(SessionChannel::run),
            channel::signal_number(&signal),
        ) {
            self.sandbox.signal(run, number).await;
        }
        Ok(())
    }
}
