//! Transfers by the other side's scp program (communicators.md §5.1–§5.3), each record acknowledged before the next is sent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use russh::Channel;
use russh::client::Msg;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::program::Program;
use super::quote;
use super::scp_wire::{Acknowledgement, Record, acknowledgement, consent, greeting, record as next_record};
use super::session::Session;
use super::transfer::TransferError;
use super::tree::{Entry, EntryKind, Links, mode, walk_beside};
use crate::destination::{Beside, plain};

type Link = (Arc<Session>, Channel<Msg>);

/// Writes a file of the other side.
pub(crate) async fn upload(
    link: Link,
    content: &mut (dyn AsyncRead + Send + Unpin),
    size: u64,
    mode: u32,
    destination: &str,
) -> Result<(), TransferError> {
    let (folder, name) = split(destination);
    // With `-p` the mode is exact and not what the umask leaves of it; with the slash a folder that is missing is an error and not
    // a file of its name.
    let command = format!("scp -pt {}", quote::word(&format!("{}/", folder.trim_end_matches('/'))));
    let mut wire = Program::start(link, "scp", &command).await?;
    greeting(&mut wire).await?;
    let sent = send_file(&mut wire, name.as_bytes(), content, size, mode).await;
    sent.map_err(TransferError::under_way)?;
    wire.finish().await.or_else(complaint_about_mode)
}

/// Copies a folder to the other side.
pub(crate) async fn upload_folder(
    link: Link,
    source: &Path,
    contents_only: bool,
    destination: &str,
) -> Result<(), TransferError> {
    let entries = walk_beside(source, Links::Follow).await.map_err(TransferError::Local)?;
    let (target, own_name) = folder_target(source, contents_only, destination)?;
    let mut wire = Program::start(link, "scp", &format!("scp -rt {}", quote::word(&target))).await?;
    greeting(&mut wire).await?;
    if let Some(name) = &own_name {
        let metadata = tokio::fs::metadata(source).await.map_err(TransferError::Local)?;
        open_folder(&mut wire, name, mode(&metadata)).await?;
    }
    let mut depth = 0;
    for entry in &entries {
        let above = entry.relative.components().count() - 1;
        while depth > above {
            close_folder(&mut wire).await?;
            depth -= 1;
        }
        send_entry(&mut wire, entry).await?;
        if entry.kind == EntryKind::Folder {
            depth += 1;
        }
    }
    for _ in 0..depth + usize::from(own_name.is_some()) {
        close_folder(&mut wire).await?;
    }
    wire.finish().await
}

/// Reads a file of the other side.
pub(crate) async fn download(
    link: Link,
    source: &str,
    destination: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<(), TransferError> {
    let mut wire = Program::start(link, "scp", &format!("scp -f {}", quote::word(source))).await?;
    wire.send(Bytes::from_static(&[0])).await?;
    let mut got = false;
    while let Some(record) = next_record(&mut wire).await? {
        match record {
            Record::File(_, size, _) => {
                receive_file(&mut wire, size, destination).await?;
                got = true;
            }
            Record::Folder(..) => return Err(TransferError::Refused(format!("`{source}` is a folder"))),
            Record::EndOfFolder | Record::Times(_) => {}
        }
        wire.send(Bytes::from_static(&[0])).await?;
    }
    if got {
        Ok(())
    } else {
        Err(TransferError::Refused("nothing was sent".into()))
    }
}

/// Copies a folder, or what a pattern matches, from the other side into `destination`.
pub(crate) async fn download_folder(link: Link, source: &str, destination: &Path) -> Result<(), TransferError> {
    let mut wire = Program::start(link, "scp", &format!("scp -rpf {}", quote::pattern(source))).await?;
    let destination = Beside::open(destination).await?;
    wire.send(Bytes::from_static(&[0])).await?;
    let mut folder = PathBuf::new();
    let mut modified = None;
    while let Some(record) = next_record(&mut wire).await? {
        match record {
            Record::File(mode, size, name) => {
                let file = destination.file(folder.join(plain(&name)?), mode).await?;
                let mut content = file.stream().map_err(TransferError::Local)?;
                receive_file(&mut wire, size, &mut content).await?;
                file.complete(modified.take()).map_err(TransferError::Local)?;
            }
            Record::Folder(mode, name) => {
                folder.push(plain(&name)?);
                destination.folder(folder.clone(), mode, modified.take()).await?;
            }
            Record::EndOfFolder => {
                if !folder.pop() {
                    return Err(TransferError::Refused("a folder ends that never began".into()));
                }
            }
            Record::Times(time) => modified = Some(time),
        }
        wire.send(Bytes::from_static(&[0])).await?;
    }
    Ok(destination.finish().await?)
}

async fn send_file(
    wire: &mut Program,
    name: &[u8],
    content: &mut (dyn AsyncRead + Send + Unpin),
    size: u64,
    mode: u32,
) -> Result<(), TransferError> {
    wire.send(record('C', mode, size, name)?).await?;
    consent(wire).await?;
    wire.send_content(content, size).await?;
    wire.send(Bytes::from_static(&[0])).await?;
    match acknowledgement(wire).await? {
        Acknowledgement::Fine => Ok(()),
        Acknowledgement::Complaint(text) => complaint_about_mode(TransferError::Refused(text)),
    }
}

async fn send_entry(wire: &mut Program, entry: &Entry) -> Result<(), TransferError> {
    let name = entry.relative.file_name().unwrap_or_default().as_encoded_bytes();
    match entry.kind {
        EntryKind::Folder => open_folder(wire, name, entry.mode).await,
        // Links are followed.
        EntryKind::Link(_) => Ok(()),
        EntryKind::File(size) => {
            let mut file = File::open(&entry.path).await.map_err(TransferError::Local)?;
            send_file(wire, name, &mut file, size, entry.mode).await
        }
    }
}

async fn open_folder(wire: &mut Program, name: &[u8], mode: u32) -> Result<(), TransferError> {
    wire.send(record('D', mode, 0, name)?).await?;
    consent(wire).await
}

async fn close_folder(wire: &mut Program) -> Result<(), TransferError> {
    wire.send(Bytes::from_static(b"E\n")).await?;
    consent(wire).await
}

async fn receive_file(
    wire: &mut Program,
    size: u64,
    destination: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<(), TransferError> {
    wire.send(Bytes::from_static(&[0])).await?;
    wire.receive(size, destination).await?;
    destination.flush().await.map_err(TransferError::Local)?;
    consent(wire).await
}

/// A file that belongs to somebody else can be written but not given a mode: what counts is that it was written.
fn complaint_about_mode(error: TransferError) -> Result<(), TransferError> {
    match error {
        TransferError::Refused(text) if text.contains("set mode:") => Ok(()),
        error => Err(error),
    }
}

fn record(kind: char, mode: u32, size: u64, name: &[u8]) -> Result<Vec<u8>, TransferError> {
    if name.contains(&b'\n') {
        let shown = String::from_utf8_lossy(name).into_owned();
        return Err(TransferError::Local(std::io::Error::other(format!(
            "scp cannot carry the line break in the name {shown:?}"
        ))));
    }
    let mut record = format!("{kind}{mode:04o} {size} ").into_bytes();
    record.extend_from_slice(name);
    record.push(b'\n');
    Ok(record)
}

/// Folder and name of a remote path.
fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((folder, name)) => (folder, name),
        None => (".", path),
    }
}

/// Where scp runs and the name under which the folder itself is sent (communicators.md §5.2). Contents go into the destination
/// whether it exists or not: it is sent as a folder into the one above.
fn folder_target(
    source: &Path,
    contents_only: bool,
    destination: &str,
) -> Result<(String, Option<Vec<u8>>), TransferError> {
    if !contents_only {
        // `.`, `..` and `/` have a name only when they are looked up.
        let full = std::fs::canonicalize(source).map_err(TransferError::Local)?;
        let name = source.file_name().or(full.file_name());
        return Ok((
            destination.to_owned(),
            name.map(|name| name.as_encoded_bytes().to_vec()),
        ));
    }
    let trimmed = destination.trim_end_matches('/');
    let (folder, name) = split(trimmed);
    if matches!(name, "" | "." | "..") || (trimmed.starts_with('~') && !trimmed.contains('/')) {
        return Ok((
            if trimmed.is_empty() {
                "/".into()
            } else {
                trimmed.to_owned()
            },
            None,
        ));
    }
    Ok((
        format!("{}/", folder.trim_end_matches('/')),
        Some(name.as_bytes().to_vec()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_go_into_the_destination_whether_it_exists_or_not() {
        let target = |destination: &str| {
            let (target, name) = folder_target(Path::new("src"), true, destination).unwrap();
            (target, name.map(|name| String::from_utf8(name).unwrap()))
        };
        assert_eq!(target("/opt/app"), ("/opt/".into(), Some("app".into())));
        assert_eq!(target("/opt/app/"), ("/opt/".into(), Some("app".into())));
        assert_eq!(target("/app"), ("/".into(), Some("app".into())));
        assert_eq!(target("app"), ("./".into(), Some("app".into())));
        assert_eq!(target("/"), ("/".into(), None));
        assert_eq!(target("~"), ("~".into(), None));
        assert_eq!(target("~/x"), ("~/".into(), Some("x".into())));
        assert_eq!(target("."), (".".into(), None));
    }
}
