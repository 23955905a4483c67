//! Archives between the thread that packs or unpacks them and the connection, in pieces: never more than a few at a time.

use std::io::{self, Read, Write};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::gzip::Packing;

/// Bytes that are sent at a time.
const PIECE: usize = 256 * 1024;

/// Gathers an archive into pieces on their way to the connection.
pub(crate) struct Pieces {
    sender: mpsc::Sender<(Bytes, u64)>,
    gathered: Vec<u8>,
    packing: Option<Packing>,
}

impl Pieces {
    /// Pieces that end in this channel, each with how much of the archive it is.
    pub(crate) fn new(sender: mpsc::Sender<(Bytes, u64)>, gzip: bool) -> Self {
        Self {
            sender,
            gathered: Vec::with_capacity(PIECE),
            packing: gzip.then(Packing::default),
        }
    }

    fn pass_on(&mut self) -> io::Result<()> {
        let length = self.gathered.len() as u64;
        if length == 0 {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.gathered, Vec::with_capacity(PIECE));
        let piece = match &mut self.packing {
            Some(packing) => packing.pack(&piece),
            None => piece,
        };
        let sent = self.sender.blocking_send((piece.into(), length));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(PIECE - self.gathered.len());
        self.gathered.extend_from_slice(bytes.get(..length).unwrap_or_default());
        if self.gathered.len() == PIECE {
            self.pass_on()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()
    }
}

/// What arrives, as a reader for the thread that unpacks it.
pub(crate) struct Received {
    pieces: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Received {
    /// What comes through this channel.
    pub(crate) fn new(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self {
            pieces,
            current: Bytes::new(),
        }
    }
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let taken = self.current.split_to(buffer.len().min(self.current.len()));
        if let Some(room) = buffer.get_mut(..taken.len()) {
            room.copy_from_slice(&taken);
        }
        Ok(taken.len())
    }
}
