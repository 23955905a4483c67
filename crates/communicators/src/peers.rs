//! What peers send, as bytes from anywhere: for those who throw bytes at the readers of it. No part of the crate's interface.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bakelite_net::tap::Tapped;
use russh_sftp::client::{Config, SftpSession};
use tokio::io::{AsyncWriteExt as _, duplex};

use crate::dial::{Dial, DialError, Stream};
use crate::ssh::proxy::{Proxy, ProxyKind};
use crate::ssh::{Record, console, parse_record};
use crate::transfer::archive::unpack;
use crate::transfer::destination::{Destination, DestinationError, place, plain};
use crate::transfer::listing::{Scales, Weighing};
use crate::winrm;

/// An archive of a directory's download.
pub fn tar(bytes: &[u8], directory: &Path) -> Result<(), String> {
    unpack(bytes, directory).map(drop).map_err(|error| error.to_string())
}

/// Records of scp, each with its content, of a directory's download.
pub fn scp(mut bytes: &[u8], directory: &Path) -> Result<(), String> {
    let mut receive = || {
        let mut destination = Destination::open(directory)?;
        let mut at = PathBuf::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            let Some(record) = parse_record(&String::from_utf8_lossy(line)) else {
                return Err(DestinationError::Refused("no record".into()));
            };
            match record {
                Record::File(mode, size, name) => {
                    let mut file = destination.file(&at.join(plain(&name)?), mode)?;
                    let size = usize::try_from(size).unwrap_or(usize::MAX).min(bytes.len());
                    let (content, rest) = bytes.split_at(size);
                    io::Write::write_all(file.content(), content)?;
                    file.complete(Some(size as u64))?;
                    bytes = rest;
                }
                Record::Directory(mode, name) => {
                    at.push(plain(&name)?);
                    destination.directory(&at, mode, Some(1))?;
                }
                Record::EndOfDirectory if at.pop() => {}
                Record::EndOfDirectory => return Err(DestinationError::Refused("no directory".into())),
                Record::Times(_) => {}
            }
        }
        destination.finish()
    };
    receive().map_err(|error| error.to_string())
}

/// Answers of an SFTP server to the questions for a version, for a link, and for the names in a directory.
pub async fn sftp(bytes: &[u8], directory: &Path) -> Result<(), String> {
    let (near, mut far) = duplex(1 << 20);
    let bytes = bytes.to_vec();
    let serving = async move {
        // Whoever has heard enough goes.
        let _ = far.write_all(&bytes).await;
        let _ = far.shutdown().await;
        let _ = tokio::io::copy(&mut far, &mut tokio::io::sink()).await;
    };
    let asking = async {
        let scales = Arc::<Scales>::default();
        let stream = Tapped {
            stream: near,
            tap: Weighing::new(Arc::clone(&scales)),
        };
        let wire = SftpSession::new_with_config(stream, Config::default()).await;
        let wire = wire.map_err(|error| error.to_string())?;
        let mut destination = Destination::open(directory).map_err(|error| error.to_string())?;
        let target = wire.read_link("l").await.unwrap_or_default();
        let metadata = wire.symlink_metadata("l").await;
        let (entries, _weight) = scales.weigh(wire.read_dir("d")).await;
        let mode = metadata.ok().and_then(|metadata| metadata.permissions).unwrap_or(0o644);
        let mut write = |name: &str| {
            let name = plain(name)?;
            destination.link(name, Path::new(&target))?;
            match mode & 1 {
                0 => Ok(destination.file(name, mode)?.complete(Some(1))?),
                _ => destination.directory(name, mode, Some(1)),
            }
        };
        for entry in entries.map_err(|error| error.to_string())? {
            write(&entry.file_name()).map_err(|error: DestinationError| error.to_string())?;
        }
        destination.finish().map_err(|error| error.to_string())
    };
    let (asked, ()) = tokio::join!(asking, serving);
    asked
}

/// What precedes a connection: a console with host keys, the answers of proxies.
pub async fn greeting(bytes: &[u8]) -> Result<(), String> {
    let found = console::fingerprints(&String::from_utf8_lossy(bytes));
    let mut answers = vec![format!("{} keys", found.len())];
    for kind in [ProxyKind::Socks5, ProxyKind::Http] {
        let proxy = Proxy {
            kind,
            dial: Arc::new(Recorded(bytes.to_vec())),
            name: "proxy".into(),
            login: Some(("u".into(), "p".into())),
            login_hint: "login",
            host: "host".into(),
            port: 22,
        };
        answers.push(
            proxy
                .open()
                .await
                .err()
                .map_or_else(String::new, |error| error.to_string()),
        );
    }
    Err(answers.join("; "))
}

/// A stream on which these bytes come, whatever is sent.
struct Recorded(Vec<u8>);

#[async_trait]
impl Dial for Recorded {
    async fn open(&self) -> Result<Box<dyn Stream>, DialError> {
        let bytes = io::Cursor::new(self.0.clone());
        Ok(Box::new(tokio::io::join(bytes, tokio::io::sink())))
    }
}

/// An answer of a WinRM service, whatever part of one it is: an envelope, a sealed one, a challenge, a line of a transfer.
pub fn winrm(bytes: &[u8], directory: &Path) -> Result<(), String> {
    let text = String::from_utf8_lossy(bytes);
    let mut said = winrm::read(bytes, &text);
    let write = |name: &str| {
        let mut destination = Destination::open(directory)?;
        destination.file(&place(name.as_bytes())?, 0o666)?.complete(None)?;
        destination.finish()
    };
    for name in winrm::names(&text) {
        said.extend(write(&name).err().map(|error: DestinationError| error.to_string()));
    }
    Err(said.join("; "))
}
