//! Transfers by the other side's scp program, each record acknowledged before the next is sent.

use std::path::{Path, PathBuf};

use bakelite_engine::communicator::Upload;
use bakelite_engine::untrusted::quoted;
use bakelite_scripts::quote;
use bytes::Bytes;
use tokio::fs::File;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::program::{Program, READY_TIMEOUT};
use super::session::Link;
use crate::transfer::TransferError;
use crate::transfer::destination::{Beside, plain};
use crate::transfer::tree::{Entry, EntryKind, Links, Source, walk_beside};

/// Writes a file of the other side.
pub(crate) async fn upload(link: Link, file: &mut Upload<'_>, destination: &str) -> Result<(), TransferError> {
    let (directory, name) = split(destination);
    // With `-p` the mode is exact and not what the umask leaves of it; with the slash a directory that is missing is an error and not
    // a file of its name.
    let command = format!(
        "scp -pt {}",
        quote::path(&format!("{}/", directory.trim_end_matches('/')))
    );
    let mut wire = Program::start(link, "scp", &command).await?;
    greeting(&mut wire).await?;
    let sent = send_file(&mut wire, name.as_bytes(), file).await;
    sent.map_err(TransferError::under_way)?;
    wire.finish().await.or_else(unless_about_mode)
}

/// Copies a directory to the other side.
pub(crate) async fn upload_directory(link: Link, source: Source<'_>, destination: &str) -> Result<(), TransferError> {
    let entries = walk_beside(source.path, Links::Follow)
        .await
        .map_err(TransferError::Local)?;
    let (target, own_name) = directory_target(source, destination)?;
    let mut wire = Program::start(link, "scp", &format!("scp -rt {}", quote::path(&target))).await?;
    greeting(&mut wire).await?;
    if let Some(name) = &own_name {
        let own = source.root().map_err(TransferError::Local)?;
        open_directory(&mut wire, name, own.mode).await?;
    }
    let mut depth = 0;
    for entry in &entries {
        let above = entry.relative.components().count() - 1;
        while depth > above {
            close_directory(&mut wire).await?;
            depth -= 1;
        }
        send_entry(&mut wire, entry).await?;
        if entry.kind == EntryKind::Directory {
            depth += 1;
        }
    }
    for _ in 0..depth + usize::from(own_name.is_some()) {
        close_directory(&mut wire).await?;
    }
    wire.finish().await
}

/// Reads a file of the other side.
pub(crate) async fn download(
    link: Link,
    source: &str,
    destination: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<(), TransferError> {
    let mut wire = Program::start(link, "scp", &format!("scp -f {}", quote::path(source))).await?;
    wire.send(Bytes::from_static(&[0])).await?;
    let mut got = false;
    while let Some(record) = next_record(&mut wire).await? {
        match record {
            Record::File(_, size, _) => {
                receive_file(&mut wire, size, destination).await?;
                got = true;
            }
            Record::Directory(..) => return Err(TransferError::refused(format!("`{source}` is a directory"))),
            Record::EndOfDirectory | Record::Times(_) => {}
        }
        wire.send(Bytes::from_static(&[0])).await?;
    }
    if got {
        Ok(())
    } else {
        Err(TransferError::refused("nothing was sent"))
    }
}

/// Copies a directory, or what a pattern matches, from the other side into `destination`.
pub(crate) async fn download_directory(link: Link, source: &str, destination: &Path) -> Result<(), TransferError> {
    let mut wire = Program::start(link, "scp", &format!("scp -rpf {}", quote::pattern(source))).await?;
    let destination = Beside::open(destination).await?;
    wire.send(Bytes::from_static(&[0])).await?;
    let mut directory = PathBuf::new();
    let mut modified = None;
    while let Some(record) = next_record(&mut wire).await? {
        match record {
            Record::File(mode, size, name) => {
                let file = destination.file(directory.join(plain(&name)?), mode).await?;
                let mut content = file.stream().map_err(TransferError::Local)?;
                receive_file(&mut wire, size, &mut content).await?;
                file.complete(modified.take()).map_err(TransferError::Local)?;
            }
            Record::Directory(mode, name) => {
                directory.push(plain(&name)?);
                destination.directory(directory.clone(), mode, modified.take()).await?;
            }
            Record::EndOfDirectory => {
                if !directory.pop() {
                    return Err(TransferError::refused("a directory ends that never began"));
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
    Upload { content, size, mode }: &mut Upload<'_>,
) -> Result<(), TransferError> {
    wire.send(record('C', *mode, *size, name)?).await?;
    consent(wire).await?;
    wire.send_content(&mut **content, *size).await?;
    wire.send(Bytes::from_static(&[0])).await?;
    match acknowledgement(wire).await? {
        Acknowledgement::Fine => Ok(()),
        Acknowledgement::Complaint(text) => unless_about_mode(TransferError::complaint(text)),
    }
}

async fn send_entry(wire: &mut Program, entry: &Entry) -> Result<(), TransferError> {
    let name = entry.relative.file_name().unwrap_or_default().as_encoded_bytes();
    match entry.kind {
        EntryKind::Directory => open_directory(wire, name, entry.mode).await,
        // Links are followed.
        EntryKind::Link(_) => Ok(()),
        EntryKind::File(size) => {
            let mut file = File::open(&entry.path).await.map_err(TransferError::Local)?;
            let mut file = Upload {
                content: &mut file,
                size,
                mode: entry.mode,
            };
            send_file(wire, name, &mut file).await
        }
    }
}

async fn open_directory(wire: &mut Program, name: &[u8], mode: u32) -> Result<(), TransferError> {
    wire.send(record('D', mode, 0, name)?).await?;
    consent(wire).await
}

async fn close_directory(wire: &mut Program) -> Result<(), TransferError> {
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
fn unless_about_mode(error: TransferError) -> Result<(), TransferError> {
    match error {
        TransferError::Refused { message, .. } if message.contains("set mode:") => Ok(()),
        error => Err(error),
    }
}

fn record(kind: char, mode: u32, size: u64, name: &[u8]) -> Result<Vec<u8>, TransferError> {
    if name.contains(&b'\n') {
        let shown = String::from_utf8_lossy(name).into_owned();
        return Err(TransferError::Local(std::io::Error::other(format!(
            "scp cannot transfer a name with a line break: {shown:?}"
        ))));
    }
    let mut record = format!("{kind}{mode:04o} {size} ").into_bytes();
    record.extend_from_slice(name);
    record.push(b'\n');
    Ok(record)
}

/// Directory and name of a remote path.
fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((directory, name)) => (directory, name),
        None => (".", path),
    }
}

/// Where scp runs and the name under which the directory itself is sent. Contents go into the destination
/// whether it exists or not: it is sent as a directory into the one above.
fn directory_target(source: Source<'_>, destination: &str) -> Result<(String, Option<Vec<u8>>), TransferError> {
    if !source.contents_only {
        let name = source.name().map_err(TransferError::Local)?;
        return Ok((destination.to_owned(), Some(name.into_encoded_bytes())));
    }
    let trimmed = destination.trim_end_matches('/');
    let (directory, name) = split(trimmed);
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
        format!("{}/", directory.trim_end_matches('/')),
        Some(name.as_bytes().to_vec()),
    ))
}

/// The other side's reply to what it received.
enum Acknowledgement {
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
    /// A directory of this mode and name opens.
    Directory(u32, String),
    /// It closes.
    EndOfDirectory,
    /// When what comes next was last changed, in seconds since 1970.
    Times(u64),
}

/// Waits for the other side's word on what it got.
async fn acknowledgement(scp: &mut Program) -> Result<Acknowledgement, TransferError> {
    match scp.byte().await? {
        0 => Ok(Acknowledgement::Fine),
        1 | 2 => {
            let line = scp.line().await?;
            Ok(Acknowledgement::Complaint(complaint(&line)))
        }
        other => {
            let rest = scp.line().await.unwrap_or_default();
            let text = format!("{}{}", char::from(other), String::from_utf8_lossy(&rest));
            Err(TransferError::Missing(format!("it answers `{}`", quoted(text.trim()))))
        }
    }
}

/// Waits for the other side's consent.
async fn consent(scp: &mut Program) -> Result<(), TransferError> {
    match acknowledgement(scp).await? {
        Acknowledgement::Fine => Ok(()),
        Acknowledgement::Complaint(text) => Err(TransferError::complaint(text)),
    }
}

/// Waits for the first word of an scp that was started.
async fn greeting(scp: &mut Program) -> Result<(), TransferError> {
    let first = tokio::time::timeout(READY_TIMEOUT, consent(scp)).await;
    first.unwrap_or_else(|_| Err(TransferError::Missing("no answer from what the server runs".into())))
}

/// The next record; `None` when there are no more.
async fn next_record(scp: &mut Program) -> Result<Option<Record>, TransferError> {
    if !scp.more().await? {
        return scp.finish().await.map(|()| None);
    }
    let line = scp.line().await?;
    if let [1 | 2, text @ ..] = line.as_slice() {
        return Err(TransferError::complaint(complaint(text)));
    }
    let line = String::from_utf8_lossy(&line).into_owned();
    parse_record(&line)
        .map(Some)
        .ok_or_else(|| TransferError::Missing(format!("it sends `{}`", quoted(line.trim()))))
}

fn complaint(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    quoted(line.trim().trim_start_matches("scp: "))
}

/// Reads a record; nothing when the line is none.
pub(crate) fn parse_record(line: &str) -> Option<Record> {
    let kind = line.chars().next()?;
    let mut fields = line.get(1..)?.splitn(3, ' ');
    match kind {
        'E' => Some(Record::EndOfDirectory),
        'T' => Some(Record::Times(fields.next()?.parse().ok()?)),
        'C' | 'D' => {
            let mode = u32::from_str_radix(fields.next()?, 8).ok()? & 0o7777;
            let size = fields.next()?.parse().ok()?;
            let name = fields.next()?.to_owned();
            Some(if kind == 'C' {
                Record::File(mode, size, name)
            } else {
                Record::Directory(mode, name)
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_go_into_the_destination_whether_it_exists_or_not() {
        let target = |destination: &str| {
            let (target, name) = {
                let source = Source {
                    path: Path::new("src"),
                    contents_only: true,
                };
                directory_target(source, destination).unwrap()
            };
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

    #[test]
    fn records_are_read_with_spaces_in_names() {
        assert_eq!(
            parse_record("C0644 12 with space.txt"),
            Some(Record::File(0o644, 12, "with space.txt".into()))
        );
        assert_eq!(
            parse_record("D0755 0 directory"),
            Some(Record::Directory(0o755, "directory".into()))
        );
        assert_eq!(parse_record("E"), Some(Record::EndOfDirectory));
        assert_eq!(parse_record("T86400 0 90000 0"), Some(Record::Times(86_400)));
        assert_eq!(parse_record("T-1 0 0 0"), None);
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
