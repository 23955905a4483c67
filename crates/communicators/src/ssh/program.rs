//! A program of the other side at work on a transfer: its input, its output, which is read while it is sent input, and what its end
//! means.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bakelite_engine::untrusted::visible;
use bytes::Bytes;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::session::{Link, Session};
use crate::transfer::TransferError;

/// Longest line that a program may print: a name of 4 KiB and what precedes it.
const LONGEST_LINE: usize = 8 * 1024;

/// As much of its standard error as is kept for an error.
const LONGEST_COMPLAINT: usize = 4 * 1024;

/// What a script of ours prints when it is ready; written by `printf 'bakelite-%s'`, so that a shell that echoes its commands does not
/// print it before.
const READY: &str = "bakelite-ready";

/// How complaints of our scripts begin.
const COMPLAINT: &str = "bakelite: ";

/// How long a shell may take to run a script of ours. A server that allows nothing but SFTP runs that, and waits for us to speak.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(15);

/// Lines that a shell may print before our script does.
const LONGEST_BANNER: usize = 1000;

/// Bytes of a content that are read at a time.
const PIECE: usize = 256 * 1024;

/// Bytes that a program may print while it is sent input: as many answers as ten thousand questions have, many times over.
const MOST_UNREAD: usize = 16 * 1024 * 1024;

/// A channel on which a program runs at the other end.
pub(crate) struct Program {
    session: Arc<Session>,
    name: &'static str,
    read: ChannelReadHalf,
    write: ChannelWriteHalf<Msg>,
    arrived: VecDeque<Bytes>,
    /// What has come while we were sending, since all of it was read the last time.
    unread: usize,
    complaints: Vec<u8>,
    status: Option<u32>,
    /// The other side has ended its output. A status alone does not mean that: it may overtake output.
    complete: bool,
}

impl Program {
    /// Starts a command; `name` is what people know the program by.
    pub(crate) async fn start(
        Link { session, mut channel }: Link,
        name: &'static str,
        command: &str,
    ) -> Result<Self, TransferError> {
        super::exec::start(&session, &mut channel, command)
            .await
            .map_err(TransferError::Connection)?;
        let (read, write) = channel.split();
        Ok(Self {
            session,
            name,
            read,
            write,
            arrived: VecDeque::new(),
            unread: 0,
            complaints: Vec::new(),
            status: None,
            complete: false,
        })
    }

    /// What it has complained about so far, on its standard error.
    pub(crate) fn complaints(&self) -> String {
        shown(&self.complaints)
    }

    /// Sends bytes while listening: a server whose program has ended opens its window no more, and only reports the end.
    pub(crate) async fn send(&mut self, piece: impl Into<Bytes>) -> Result<(), TransferError> {
        let sending = self.write.data_bytes(piece);
        tokio::pin!(sending);
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => {
                    return sent.map_err(|error| TransferError::Connection(self.session.lost(Some(error))));
                }
                message = self.read.wait() => match message {
                    Some(ChannelMsg::Data { data }) => {
                        // Pieces are counted with what each takes by itself: they may be of one byte.
                        self.unread += data.len() + size_of::<Bytes>();
                        self.arrived.push_back(data);
                        if self.unread > MOST_UNREAD {
                            return Err(TransferError::refused(format!(
                                "{} sends output instead of reading its input",
                                self.name
                            )));
                        }
                    }
                    Some(ChannelMsg::ExtendedData { data, .. }) => keep_complaint(&mut self.complaints, &data),
                    Some(ChannelMsg::ExitStatus { exit_status }) => self.status = Some(exit_status),
                    Some(ChannelMsg::Eof) => self.complete = true,
                    Some(ChannelMsg::Close) => return Err(ended(&self.session, self.name, self.status, &self.complaints)),
                    None => return Err(TransferError::Connection(self.session.lost(None))),
                    Some(_) => {}
                },
            }
        }
    }

    /// Sends exactly `size` bytes of a content.
    pub(crate) async fn send_content(
        &mut self,
        content: &mut (dyn AsyncRead + Send + Unpin),
        size: u64,
    ) -> Result<(), TransferError> {
        let mut left = size;
        while left > 0 {
            let piece = read_piece(content, left, size).await?;
            left -= piece.len() as u64;
            self.send(piece).await?;
        }
        Ok(())
    }

    /// Receives exactly `size` bytes into `destination`.
    pub(crate) async fn receive(
        &mut self,
        size: u64,
        destination: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<(), TransferError> {
        let mut left = size;
        while left > 0 {
            let Some(mut piece) = self.piece().await? else {
                return Err(self.ended());
            };
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let taken = piece.split_to(wanted);
            if !piece.is_empty() {
                self.arrived.push_front(piece);
            }
            left -= taken.len() as u64;
            destination.write_all(&taken).await.map_err(TransferError::Local)?;
        }
        Ok(())
    }

    /// The next bytes that it prints; `None` after the last.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, TransferError> {
        if self.more().await? {
            Ok(self.arrived.pop_front())
        } else {
            Ok(None)
        }
    }

    /// The next byte that it prints.
    pub(crate) async fn byte(&mut self) -> Result<u8, TransferError> {
        if !self.more().await? {
            return Err(self.ended());
        }
        let byte = self
            .arrived
            .front_mut()
            .and_then(|bytes| bytes.split_to(1).first().copied());
        byte.ok_or_else(|| TransferError::Missing("it sends nothing".into()))
    }

    /// Bytes up to the end of the line, which is not part of the answer.
    pub(crate) async fn line(&mut self) -> Result<Vec<u8>, TransferError> {
        let mut line = Vec::new();
        loop {
            match self.byte().await? {
                b'\n' => return Ok(line),
                _ if line.len() >= LONGEST_LINE => {
                    return Err(TransferError::Missing("it sends a line that does not end".into()));
                }
                byte => line.push(byte),
            }
        }
    }

    /// Waits for the line that a script of ours prints when it is ready, and returns what follows the mark. What is printed before,
    /// as a banner of the shell, is skipped. An end before that is a complaint of the script, or there is no such shell.
    pub(crate) async fn ready(&mut self) -> Result<String, TransferError> {
        let ready = tokio::time::timeout(READY_TIMEOUT, self.mark()).await;
        ready.unwrap_or_else(|_| Err(TransferError::Missing("no answer from what the server runs".into())))
    }

    async fn mark(&mut self) -> Result<String, TransferError> {
        for _ in 0..LONGEST_BANNER {
            if !self.more().await? {
                return Err(self.not_ready());
            }
            let line = self.line().await.map_err(|error| match error {
                TransferError::Connection(error) => TransferError::Connection(error),
                _ => self.not_ready(),
            })?;
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some((_, word)) = line.split_once(READY) {
                return Ok(word.trim().to_owned());
            }
        }
        Err(TransferError::Missing(
            "the shell prints much and does not run the script".into(),
        ))
    }

    fn not_ready(&self) -> TransferError {
        let complaints = self.complaints();
        if let Some(complaint) = complaints.lines().find_map(|line| line.strip_prefix(COMPLAINT)) {
            return TransferError::complaint(complaint.to_owned());
        }
        match self.ended() {
            TransferError::Refused { message, .. } => TransferError::Missing(message),
            error => error,
        }
    }

    /// Is there anything to read, now or later?
    pub(crate) async fn more(&mut self) -> Result<bool, TransferError> {
        loop {
            if self.arrived.front().is_some_and(|bytes| !bytes.is_empty()) {
                return Ok(true);
            }
            self.arrived.pop_front();
            if self.arrived.is_empty() {
                self.unread = 0;
            }
            match self.read.wait().await {
                Some(ChannelMsg::Data { data }) => self.arrived.push_back(data),
                Some(ChannelMsg::ExtendedData { data, .. }) => keep_complaint(&mut self.complaints, &data),
                Some(ChannelMsg::ExitStatus { exit_status }) => self.status = Some(exit_status),
                Some(ChannelMsg::Eof) => self.complete = true,
                Some(ChannelMsg::Close) => {
                    self.complete = true;
                    return Ok(false);
                }
                None if self.complete => return Ok(false),
                None => return Err(TransferError::Connection(self.session.lost(None))),
                Some(_) => {}
            }
        }
    }

    /// Ends what we send and waits for the end of the other side.
    pub(crate) async fn finish(&mut self) -> Result<(), TransferError> {
        match self.status().await? {
            Some(0) => Ok(()),
            _ => Err(self.ended()),
        }
    }

    /// The same, for who judges the status: none is that of a connection that is gone.
    pub(crate) async fn status(&mut self) -> Result<Option<u32>, TransferError> {
        // It may have ended already.
        let _ = self.write.eof().await;
        while self.more().await? {
            self.arrived.clear();
        }
        Ok(self.status)
    }

    /// What it means that the program has ended.
    pub(crate) fn ended(&self) -> TransferError {
        ended(&self.session, self.name, self.status, &self.complaints)
    }
}

/// The next piece of a content of `size` bytes, of which `left` are still to come.
pub(crate) async fn read_piece(
    content: &mut (dyn AsyncRead + Send + Unpin),
    left: u64,
    size: u64,
) -> Result<Bytes, TransferError> {
    let limit = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
    let mut piece = Vec::with_capacity(limit);
    let length = (&mut *content)
        .take(limit as u64)
        .read_buf(&mut piece)
        .await
        .map_err(TransferError::Local)?;
    if length == 0 {
        let message = format!("content ends {left} bytes before its length of {size}");
        let error = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, message);
        return Err(TransferError::Local(error));
    }
    Ok(piece.into())
}

fn ended(session: &Session, name: &str, status: Option<u32>, complaints: &[u8]) -> TransferError {
    let printed = shown(complaints);
    let printed = |otherwise: String| if printed.is_empty() { otherwise } else { printed.clone() };
    match status {
        Some(127) => TransferError::Missing(printed("the command was not found".into())),
        Some(0) => TransferError::Missing(printed("it ended before the transfer did".into())),
        Some(status) => TransferError::complaint(printed(format!("{name} ended with status {status}"))),
        None => TransferError::Connection(session.lost(None)),
    }
}

/// Standard error as it can be shown: several lines, as tar prints them.
fn shown(complaints: &[u8]) -> String {
    visible(String::from_utf8_lossy(complaints).trim()).into_owned()
}

fn keep_complaint(complaints: &mut Vec<u8>, data: &[u8]) {
    let room = LONGEST_COMPLAINT.saturating_sub(complaints.len());
    complaints.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
}
