//! Folders as one tar stream through a command of the other side: as many round trips for ten thousand files as for one.
//!
//! What is there stays what it is, as with scp: folders keep their modes, and a link is written through and not replaced. tar would do
//! neither, so before it starts the script is asked what is there.

use std::io;
use std::path::{Path, PathBuf};

use bakelite_engine::transfer::Transfer;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use tokio::sync::mpsc;

use super::archive::{pack, unpack};
use super::pieces::{Pieces, Received};
use super::program::Program;
use super::tar_script::{packing, unpacking};
use super::transfer::TransferError;
use super::tree::{Entry, EntryKind, Links, mode, walk_beside};
use super::{Link, Ssh, file_stream};

/// Pieces between the archive and the connection.
const PIECES: usize = 4;

/// Bytes of names in one command line: Linux takes 128 KiB of it, and each is in it twice and quoted.
const NAMES_AT_ONCE: usize = 16 * 1024;

/// Copies a folder to the other side: into a destination that exists as a folder of its name, else as the destination.
pub(crate) async fn upload_folder(
    ssh: &Ssh,
    link: Link,
    source: &Path,
    contents_only: bool,
    destination: &str,
) -> Result<(), TransferError> {
    let mut entries = walk_beside(source, Links::KeepInside)
        .await
        .map_err(TransferError::Local)?;
    let name = if contents_only { None } else { Some(name_of(source)?) };
    let far = link.0.is_far();
    let mut tar = Program::start(link, "tar", &unpacking(destination, name.as_deref(), far)).await?;
    let ready = tar.ready().await?;
    let (state, folder) = ready.split_once(" in ").unwrap_or((&ready, destination));
    let progress = Transfer::begin(&ssh.events, &source.display().to_string(), Some(total(&entries)));
    let mut through_links = Vec::new();
    if state.starts_with("there") {
        let there = ask_what_is_there(&mut tar, &entries)
            .await
            .map_err(TransferError::under_way)?;
        through_links = leave_what_is_there(&mut entries, &there);
    } else {
        entries.insert(0, root(source)?);
    }
    tar.send(Bytes::from_static(b"\n"))
        .await
        .map_err(TransferError::under_way)?;
    send_archive(&mut tar, entries, state.ends_with("gzip"), &progress)
        .await
        .map_err(TransferError::under_way)?;
    for entry in through_links {
        send_through_link(ssh, &entry, folder).await?;
    }
    Ok(())
}

/// Copies a folder, or what a pattern matches, from the other side into `destination`.
pub(crate) async fn download_folder(
    ssh: &Ssh,
    link: Link,
    source: &str,
    destination: &Path,
) -> Result<(), TransferError> {
    let progress = Transfer::begin(&ssh.events, source, None);
    let outside = receive_archive(link, &packing(source, &[], ssh.is_far().await?), destination, &progress).await?;
    // What these lead to comes in their place.
    for names in commands(&outside) {
        let again = packing(source, names, false);
        receive_archive(ssh.link().await?, &again, destination, &progress).await?;
    }
    Ok(())
}

/// Names in portions that fit into a command line of the other side.
fn commands(names: &[PathBuf]) -> impl Iterator<Item = &[PathBuf]> {
    let mut left = names;
    std::iter::from_fn(move || {
        let mut room = NAMES_AT_ONCE;
        let fit = left.iter().take_while(|name| {
            let length = name.as_os_str().len();
            let fits = length <= room;
            room = room.saturating_sub(length);
            fits
        });
        let (portion, rest) = left.split_at(fit.count().max(1).min(left.len()));
        left = rest;
        (!portion.is_empty()).then_some(portion)
    })
}

async fn send_archive(
    tar: &mut Program,
    entries: Vec<Entry>,
    gzip: bool,
    progress: &Transfer<'_>,
) -> Result<(), TransferError> {
    let (sender, mut pieces) = mpsc::channel(PIECES);
    let packing = tokio::task::spawn_blocking(move || pack(&entries, Pieces::new(sender, gzip)));
    while let Some((piece, length)) = pieces.recv().await {
        tar.send(piece).await?;
        progress.add(length);
    }
    match packing.await.map_err(io::Error::other) {
        Ok(Ok(())) => tar.finish().await,
        Ok(Err(error)) | Err(error) => Err(TransferError::Local(error)),
    }
}

async fn receive_archive(
    link: Link,
    command: &str,
    destination: &Path,
    progress: &Transfer<'_>,
) -> Result<Vec<PathBuf>, TransferError> {
    let mut tar = Program::start(link, "tar", command).await?;
    let gzip = tar.ready().await? == "gzip";
    let (sender, pieces) = mpsc::channel::<Bytes>(PIECES);
    let destination = destination.to_owned();
    let unpacking = tokio::task::spawn_blocking(move || {
        let source = Received::new(pieces);
        if gzip {
            unpack(MultiGzDecoder::new(source), &destination)
        } else {
            unpack(source, &destination)
        }
    });
    while let Some(piece) = tar.piece().await.map_err(TransferError::under_way)? {
        progress.add(piece.len() as u64);
        if sender.send(piece).await.is_err() {
            // The archive has ended, or cannot be unpacked: it says which.
            break;
        }
    }
    drop(sender);
    let unpacked = unpacking.await.map_err(io::Error::other);
    let status = tar.status().await.map_err(TransferError::under_way)?;
    if status != Some(0) && !only_changed_files(status, &tar.complaints()) {
        return Err(tar.ended().under_way());
    }
    Ok(unpacked.map_err(TransferError::Local)??)
}

/// A log that grows while it is read is one: GNU tar complains and ends with 1.
fn only_changed_files(status: Option<u32>, complaints: &str) -> bool {
    const HARMLESS: [&str; 4] = [
        "file changed as we read it",
        "file removed before we read it",
        "socket ignored",
        "shrank by",
    ];
    let harmless = |line: &str| HARMLESS.iter().any(|text| line.contains(text));
    status == Some(1) && !complaints.is_empty() && complaints.lines().all(harmless)
}

/// Asks which of the entries are there in a way that matters: folders, and links in the place of files. First what is at the top:
/// what is below something that is not there is not there either.
async fn ask_what_is_there(tar: &mut Program, entries: &[Entry]) -> Result<Vec<PathBuf>, TransferError> {
    let at_top = |entry: &&Entry| entry.relative.components().count() == 1;
    let top: Vec<&Entry> = entries.iter().filter(at_top).collect();
    let mut there = ask(tar, &top).await?;
    let below: Vec<&Entry> = entries
        .iter()
        .filter(|entry| !at_top(entry) && there.iter().any(|folder| entry.relative.starts_with(folder)))
        .collect();
    if !below.is_empty() {
        there.extend(ask(tar, &below).await?);
    }
    Ok(there)
}

async fn ask(tar: &mut Program, entries: &[&Entry]) -> Result<Vec<PathBuf>, TransferError> {
    // A line cannot hold a name with a line break. Whoever has such a folder at both sides gets the mode of the new one.
    let asked: Vec<&&Entry> = entries
        .iter()
        .filter(|entry| !entry.relative.as_os_str().as_encoded_bytes().contains(&b'\n'))
        .collect();
    let mut question = Vec::new();
    for entry in &asked {
        question.extend_from_slice(if entry.kind == EntryKind::Folder { b"d" } else { b"L" });
        question.extend_from_slice(entry.relative.as_os_str().as_encoded_bytes());
        question.push(b'\n');
    }
    question.extend_from_slice(b".\n");
    tar.send(question).await?;
    let mut there = Vec::new();
    loop {
        let line = tar.line().await?;
        if line == b"." {
            return Ok(there);
        }
        let number = std::str::from_utf8(&line)
            .ok()
            .and_then(|text| text.parse::<usize>().ok());
        match number.and_then(|number| asked.get(number)) {
            Some(entry) => there.push(entry.relative.clone()),
            None => {
                return Err(TransferError::Refused(
                    "the shell does not answer what it is asked".into(),
                ));
            }
        }
    }
}

/// Leaves out folders that are there; answers the files that go through links, which tar would replace.
fn leave_what_is_there(entries: &mut Vec<Entry>, there: &[PathBuf]) -> Vec<Entry> {
    let there: std::collections::HashSet<&PathBuf> = there.iter().collect();
    let mut through_links = Vec::new();
    entries.retain(|entry| match entry.kind {
        EntryKind::Folder => !there.contains(&entry.relative),
        EntryKind::File(_) if there.contains(&entry.relative) => {
            through_links.push(entry.clone());
            false
        }
        EntryKind::File(_) | EntryKind::Link(_) => true,
    });
    through_links
}

async fn send_through_link(ssh: &Ssh, entry: &Entry, folder: &str) -> Result<(), TransferError> {
    let EntryKind::File(size) = entry.kind else {
        return Ok(());
    };
    let name = entry.relative.to_string_lossy();
    let path = format!("{}/{name}", folder.trim_end_matches('/'));
    let mut file = tokio::fs::File::open(&entry.path).await.map_err(TransferError::Local)?;
    file_stream::upload(ssh.link().await?, &mut file, size, entry.mode, &path).await
}

/// The folder itself, when it is new at the other side.
fn root(source: &Path) -> Result<Entry, TransferError> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(source).map_err(TransferError::Local)?;
    Ok(Entry {
        path: source.to_owned(),
        relative: PathBuf::new(),
        mode: mode(&metadata),
        modified: metadata.mtime(),
        kind: EntryKind::Folder,
    })
}

fn name_of(source: &Path) -> Result<String, TransferError> {
    // `.`, `..` and `/` have a name only when they are looked up.
    let full = std::fs::canonicalize(source).map_err(TransferError::Local)?;
    let name = source.file_name().or(full.file_name()).unwrap_or_default();
    let name = name.to_str().map(str::to_owned);
    name.ok_or_else(|| TransferError::Local(io::Error::other(format!("name of `{}` is not UTF-8", source.display()))))
}

fn total(entries: &[Entry]) -> u64 {
    let sizes = entries.iter().map(|entry| match entry.kind {
        EntryKind::File(size) => size.div_ceil(512) * 512 + 512,
        EntryKind::Folder | EntryKind::Link(_) => 512,
    });
    sizes.sum()
}
