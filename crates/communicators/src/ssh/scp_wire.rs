//! The scp protocol over a channel: records, acknowledgements, data. Who speaks first and what is sent is told in `scp.rs`.

use std::collections::VecDeque;
use std::sync::Arc;

use bakelite_engine::communicator::CommunicatorError;
use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::session::Session;

/// Longest record: a name of 4 KiB and what stands before it.
const LONGEST_RECORD: usize = 8 * 1024;

/// As much of the other side's words as is kept for an error.
const LONGEST_COMPLAINT: usize = 4 * 1024;

/// Why a transfer by scp did not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScpError {
    /// There is no scp program, or what runs in its place does not speak the protocol.
    #[error("scp cannot be used on the other side: {0}")]
    Missing(String),
    /// The other side complains.
    #[error("{0}")]
    Refused(String),
    /// A file of this machine.
    #[error(transparent)]
    Local(std::io::Error),
    /// The connection, or the server as a whole.
    #[error(transparent)]
    Connection(CommunicatorError),
}

/// What the other side has to say about what it got.
pub(crate) enum Acknowledgement {
    /// Go on.
    Fine,
    /// Something did not work.
    Complaint(String),
}

/// A record of a transfer from the other side.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A file of this mode, length and name.
    File(u32, u64, String),
    /// A folder of this mode and name opens.
    Folder(u32, String),
    /// It closes.
    EndOfFolder,
    /// Times of what comes next.
    Times,
}

/// A channel on which scp runs at the other end.
pub(crate) struct Wire {
    session: Arc<Session>,
    read: ChannelReadHalf,
    write: ChannelWriteHalf<Msg>,
    arrived: VecDeque<Bytes>,
    complaints: Vec<u8>,
    status: Option<u32>,
}

impl Wire {
    /// Starts the command.
    pub(crate) async fn start(
        session: Arc<Session>,
        mut channel: Channel<Msg>,
        command: &str,
    ) -> Result<Self, ScpError> {
        super::exec::start(&session, &mut channel, command)
            .await
            .map_err(ScpError::Connection)?;
        let (read, write) = channel.split();
        Ok(Self {
            session,
            read,
            write,
            arrived: VecDeque::new(),
            complaints: Vec::new(),
            status: None,
        })
    }

    /// Sends bytes.
    pub(crate) async fn send(&self, bytes: impl Into<Bytes>) -> Result<(), ScpError> {
        let sent = self.write.data_bytes(bytes).await;
        sent.map_err(|error| ScpError::Connection(self.session.lost(Some(error))))
    }

    /// Sends exactly `size` bytes of a content. When the other side ends meanwhile, so does this.
    pub(crate) async fn send_content(
        &mut self,
        content: &mut (dyn AsyncRead + Send + Unpin),
        size: u64,
    ) -> Result<(), ScpError> {
        let mut left = size;
        while left > 0 {
            let mut piece = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(128 * 1024)];
            let length = content.read(&mut piece).await.map_err(ScpError::Local)?;
            if length == 0 {
                let message = format!("content ends {left} bytes before its length of {size}");
                return Err(ScpError::Local(std::io::Error::new(
                    std::io::ErrorKind::UnexpectedEof,
                    message,
                )));
            }
            piece.truncate(length);
            left -= length as u64;
            self.send_while_open(piece.into()).await?;
        }
        Ok(())
    }

    /// Sends a piece while listening: a server whose scp has ended opens its window no more, and only says so.
    async fn send_while_open(&mut self, piece: Bytes) -> Result<(), ScpError> {
        let sending = self.write.data_bytes(piece);
        tokio::pin!(sending);
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => return sent.map_err(|error| ScpError::Connection(self.session.lost(Some(error)))),
                message = self.read.wait() => match message {
                    Some(ChannelMsg::Data { data }) => self.arrived.push_back(data),
                    Some(ChannelMsg::ExtendedData { data, .. }) => keep_complaint(&mut self.complaints, &data),
                    Some(ChannelMsg::ExitStatus { exit_status }) => self.status = Some(exit_status),
                    Some(ChannelMsg::Close) | None => return Err(ended(&self.session, self.status, &self.complaints)),
                    Some(_) => {}
                },
            }
        }
    }

    /// Waits for the other side's word on what it got.
    pub(crate) async fn acknowledgement(&mut self) -> Result<Acknowledgement, ScpError> {
        match self.byte().await? {
            0 => Ok(Acknowledgement::Fine),
            1 | 2 => {
                let line = self.line().await?;
                let line = String::from_utf8_lossy(&line).into_owned();
                Ok(Acknowledgement::Complaint(
                    line.trim().trim_start_matches("scp: ").to_owned(),
                ))
            }
            other => {
                let rest = self.line().await.unwrap_or_default();
                let text = format!("{}{}", char::from(other), String::from_utf8_lossy(&rest));
                Err(ScpError::Missing(format!("it answers `{}`", text.trim())))
            }
        }
    }

    /// Waits for the other side's consent.
    pub(crate) async fn consent(&mut self) -> Result<(), ScpError> {
        match self.acknowledgement().await? {
            Acknowledgement::Fine => Ok(()),
            Acknowledgement::Complaint(text) => Err(ScpError::Refused(text)),
        }
    }

    /// The next record; `None` when there are no more.
    pub(crate) async fn record(&mut self) -> Result<Option<Record>, ScpError> {
        if !self.more().await? {
            return self.finish().await.map(|()| None);
        }
        let line = self.line().await?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let complaint = || {
            ScpError::Refused(
                line.get(1..)
                    .unwrap_or_default()
                    .trim()
                    .trim_start_matches("scp: ")
                    .to_owned(),
            )
        };
        match line.as_bytes().first() {
            Some(1 | 2) => Err(complaint()),
            _ => parse_record(&line)
                .map(Some)
                .ok_or_else(|| ScpError::Missing(format!("it sends `{}`", line.trim()))),
        }
    }

    /// Receives exactly `size` bytes into `destination`.
    pub(crate) async fn receive(
        &mut self,
        size: u64,
        destination: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<(), ScpError> {
        let mut left = size;
        while left > 0 {
            if !self.more().await? {
                return Err(ended(&self.session, self.status, &self.complaints));
            }
            let Some(mut piece) = self.arrived.pop_front() else {
                continue;
            };
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let taken = piece.split_to(wanted);
            if !piece.is_empty() {
                self.arrived.push_front(piece);
            }
            left -= taken.len() as u64;
            destination.write_all(&taken).await.map_err(ScpError::Local)?;
        }
        Ok(())
    }

    /// Ends what we send and waits for the end of the other side.
    pub(crate) async fn finish(&mut self) -> Result<(), ScpError> {
        // It may have ended already.
        let _ = self.write.eof().await;
        while self.more().await? {
            self.arrived.clear();
        }
        match self.status {
            Some(0) => Ok(()),
            _ => Err(ended(&self.session, self.status, &self.complaints)),
        }
    }

    /// Is there anything to read, now or later?
    async fn more(&mut self) -> Result<bool, ScpError> {
        loop {
            if self.arrived.front().is_some_and(|bytes| !bytes.is_empty()) {
                return Ok(true);
            }
            self.arrived.pop_front();
            match self.read.wait().await {
                Some(ChannelMsg::Data { data }) => self.arrived.push_back(data),
                Some(ChannelMsg::ExtendedData { data, .. }) => keep_complaint(&mut self.complaints, &data),
                Some(ChannelMsg::ExitStatus { exit_status }) => self.status = Some(exit_status),
                Some(ChannelMsg::Close) | None => return Ok(false),
                Some(_) => {}
            }
        }
    }

    async fn byte(&mut self) -> Result<u8, ScpError> {
        if !self.more().await? {
            return Err(ended(&self.session, self.status, &self.complaints));
        }
        let byte = self
            .arrived
            .front_mut()
            .and_then(|bytes| bytes.split_to(1).first().copied());
        byte.ok_or_else(|| ScpError::Missing("it sends nothing".into()))
    }

    /// Bytes up to the end of the line, which is not part of the answer.
    async fn line(&mut self) -> Result<Vec<u8>, ScpError> {
        let mut line = Vec::new();
        loop {
            match self.byte().await? {
                b'\n' => return Ok(line),
                _ if line.len() >= LONGEST_RECORD => {
                    return Err(ScpError::Missing("it sends a line without end".into()));
                }
                byte => line.push(byte),
            }
        }
    }
}

/// What it means that the channel has ended before it should.
fn ended(session: &Session, status: Option<u32>, complaints: &[u8]) -> ScpError {
    let said = String::from_utf8_lossy(complaints).trim().to_owned();
    let said = |otherwise: &str| {
        if said.is_empty() {
            otherwise.to_owned()
        } else {
            said.clone()
        }
    };
    match status {
        Some(127) => ScpError::Missing(said("the command was not found")),
        Some(0) => ScpError::Missing(said("it ended before the transfer did")),
        Some(status) => ScpError::Refused(said(&format!("scp ended with status {status}"))),
        None => ScpError::Connection(session.lost(None)),
    }
}

fn keep_complaint(complaints: &mut Vec<u8>, data: &[u8]) {
    let room = LONGEST_COMPLAINT.saturating_sub(complaints.len());
    complaints.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
}

fn parse_record(line: &str) -> Option<Record> {
    let kind = line.chars().next()?;
    let mut fields = line.get(1..)?.splitn(3, ' ');
    match kind {
        'E' => Some(Record::EndOfFolder),
        'T' => Some(Record::Times),
        'C' | 'D' => {
            let mode = u32::from_str_radix(fields.next()?, 8).ok()? & 0o7777;
            let size = fields.next()?.parse().ok()?;
            let name = fields.next()?.to_owned();
            Some(if kind == 'C' {
                Record::File(mode, size, name)
            } else {
                Record::Folder(mode, name)
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_with_spaces_in_names() {
        assert_eq!(
            parse_record("C0644 12 with space.txt"),
            Some(Record::File(0o644, 12, "with space.txt".into()))
        );
        assert_eq!(
            parse_record("D0755 0 folder"),
            Some(Record::Folder(0o755, "folder".into()))
        );
        assert_eq!(parse_record("E"), Some(Record::EndOfFolder));
        assert_eq!(parse_record("Welcome to the instance"), None);
        assert_eq!(parse_record("C0644 -1 x"), None);
        assert_eq!(parse_record(""), None);
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "\\PC*") {
            parse_record(&line);
        }
    }
}
