//! The entries of an archive that a server sends, read in a memory that is ours to choose: a header that says how long a name is does
//! not decide how much of it is kept.

use std::io::{self, Read};

use bakelite_engine::foreign::quoted;
use tar::{EntryType, Header};

use crate::destination::DestinationError;

/// Longest name or target of a link.
const LONGEST_NAME: u64 = 64 * 1024;

/// Longest record of extensions (PAX) before an entry.
const LONGEST_RECORD: u64 = 1024 * 1024;

/// Bytes of an archive's blocks.
const BLOCK: usize = 512;

/// Bytes that are read at a time.
const PIECE: usize = 128 * 1024;

type Result<T> = std::result::Result<T, DestinationError>;

/// An entry; its content is read by [`Entries::content`].
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its path as the archive has it.
    pub(crate) path: Vec<u8>,
    /// What a link leads to.
    pub(crate) target: Vec<u8>,
    pub(crate) kind: EntryType,
    pub(crate) mode: u32,
    /// In seconds since 1970.
    pub(crate) modified: u64,
}

/// The entries of an archive.
pub(crate) struct Entries<R> {
    source: R,
    /// Of the present entry's content, this is still to be read, and then this much that fills its last block.
    left: u64,
    padding: u64,
    buffer: Vec<u8>,
}

/// What stands before an entry, where its own header is too small.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: Read> Entries<R> {
    /// Of what is read from there.
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            left: 0,
            padding: 0,
            buffer: vec![0; PIECE],
        }
    }

    /// The next entry. What was not read of the one before is passed over.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        let mut extension = Extension::default();
        loop {
            self.pass_over()?;
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            self.begin(number(header.entry_size())?)?;
            match header.entry_type() {
                EntryType::GNULongName => extension.path = Some(self.text(LONGEST_NAME)?),
                EntryType::GNULongLink => extension.target = Some(self.text(LONGEST_NAME)?),
                EntryType::XHeader => extension.read(&self.record(LONGEST_RECORD)?)?,
                // What it says of all entries is nothing that matters here.
                EntryType::XGlobalHeader => {}
                _ => return self.entry(&header, extension).map(Some),
            }
        }
    }

    /// More of the content of the present entry; empty at its end.
    pub(crate) fn content(&mut self) -> Result<&[u8]> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.buffer.len());
        let buffer = self.buffer.get_mut(..room).unwrap_or_default();
        let length = self.source.read(buffer)?;
        if length == 0 && self.left > 0 {
            return Err(ends_early());
        }
        self.left -= length as u64;
        Ok(self.buffer.get(..length).unwrap_or_default())
    }

    fn entry(&mut self, header: &Header, extension: Extension) -> Result<Entry> {
        if let Some(size) = extension.size {
            self.begin(size)?;
        }
        let path = extension.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let target = header.link_name_bytes().map(std::borrow::Cow::into_owned);
        let is_old = header.as_ustar().is_none() && header.as_gnu().is_none();
        let kind = match header.entry_type() {
            EntryType::Regular if is_old && path.ends_with(b"/") => EntryType::Directory,
            kind => kind,
        };
        Ok(Entry {
            kind,
            mode: number(header.mode())?,
            modified: number(header.mtime())?,
            target: extension.target.or(target).unwrap_or_default(),
            path,
        })
    }

    /// The next header that is one; blocks of zeros are passed over, as between archives that follow each other.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        loop {
            let block = header.as_mut_bytes();
            let mut filled = 0;
            while filled < BLOCK {
                match self.source.read(block.get_mut(filled..).unwrap_or_default()) {
                    Ok(0) if filled == 0 => return Ok(None),
                    Ok(0) => return Err(ends_early()),
                    Ok(length) => filled += length,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if block.iter().all(|byte| *byte == 0) {
                continue;
            }
            let own: u32 = block
                .iter()
                .take(148)
                .chain(block.iter().skip(156))
                .map(|byte| u32::from(*byte))
                .sum();
            if header.cksum().ok() != Some(own + 8 * u32::from(b' ')) {
                return Err(broken("what it sends is no tar archive"));
            }
            return Ok(Some(header));
        }
    }

    fn begin(&mut self, size: u64) -> Result<()> {
        let block = BLOCK as u64;
        self.left = size;
        self.padding = size.wrapping_neg() % block;
        match size.checked_add(self.padding) {
            Some(_) => Ok(()),
            None => Err(broken("an entry of the archive is longer than anything can be")),
        }
    }

    fn pass_over(&mut self) -> Result<()> {
        while !self.content()?.is_empty() {}
        self.left = std::mem::take(&mut self.padding);
        while !self.content()?.is_empty() {}
        Ok(())
    }

    /// The whole content, which is short.
    fn record(&mut self, longest: u64) -> Result<Vec<u8>> {
        if self.left > longest {
            let why = format!(
                "a name or record of the archive has {} bytes, more than {longest}",
                self.left
            );
            return Err(broken(&why));
        }
        let mut whole = Vec::new();
        loop {
            match self.content()? {
                [] => return Ok(whole),
                piece => whole.extend_from_slice(piece),
            }
        }
    }

    fn text(&mut self, longest: u64) -> Result<Vec<u8>> {
        let mut text = self.record(longest)?;
        let end = text.iter().position(|byte| *byte == 0);
        text.truncate(end.unwrap_or(text.len()));
        Ok(text)
    }
}

impl Extension {
    /// Reads records `LENGTH KEY=VALUE\n`.
    fn read(&mut self, mut records: &[u8]) -> Result<()> {
        let malformed = || broken("an extended header of the archive is malformed");
        while !records.is_empty() {
            let space = records
                .iter()
                .take(10)
                .position(|byte| *byte == b' ')
                .ok_or_else(malformed)?;
            let (length, _) = records.split_at(space);
            let length = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok());
            let (record, rest) = length
                .and_then(|length: usize| records.split_at_checked(length))
                .ok_or_else(malformed)?;
            let record = record.get(space + 1..).and_then(|record| record.strip_suffix(b"\n"));
            let record = record.ok_or_else(malformed)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
            let (key, value) = record.split_at(equals);
            self.take(key, value.get(1..).unwrap_or_default())?;
            records = rest;
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let is_long = value.len() as u64 > LONGEST_NAME;
        match key {
            b"path" | b"linkpath" if is_long => Err(broken("a name of the archive is too long")),
            b"path" => {
                self.path = Some(value.to_vec());
                Ok(())
            }
            b"linkpath" => {
                self.target = Some(value.to_vec());
                Ok(())
            }
            b"size" => {
                let size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok());
                self.size = Some(size.ok_or_else(|| broken("a length of the archive is no number"))?);
                Ok(())
            }
            key if key.starts_with(b"GNU.sparse.") => Err(broken(
                "it sends a file with holes as such, which is not supported: see that its tar does not (`--no-read-sparse`)",
            )),
            _ => Ok(()),
        }
    }
}

/// A number of a header. The library's error quotes the name beside it as it is.
fn number<T>(read: io::Result<T>) -> Result<T> {
    read.map_err(|error| broken(&error.to_string()))
}

fn ends_early() -> DestinationError {
    broken("the archive ends in the middle of an entry")
}

fn broken(why: &str) -> DestinationError {
    DestinationError::Refused(format!("the server's tar: {}", quoted(why)))
}
