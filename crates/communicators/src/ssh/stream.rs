//! Files and directories as one stream through a command of the other side: a file takes two round trips, has no window of its own, and
//! needs no program but a shell and `cat`; ten thousand files as a tar archive take as many round trips as one. Compressed where the
//! other side is far away and has gzip.
//!
//! What exists at the other side stays what it is, as with scp: directories keep their modes, and a link is written through and not
//! replaced. tar would do neither, so before it starts the script is asked what exists.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bakelite_engine::communicator::Upload;
use bakelite_engine::transfer::Transfer;
use bakelite_scripts::quote;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::connection::Connection;
use super::program::{Program, read_piece};
use super::session::Link;
use crate::transfer::TransferError;
use crate::transfer::archive::{pack, unpack};
use crate::transfer::tree::{Entry, EntryKind, Links, Source, walk_beside};

/// Smaller files are over before compression helps.
const WORTH_COMPRESSING: u64 = 64 * 1024;

/// Compressed bytes that are unpacked at a time: gzip makes a thousand bytes of one at most.
const UNPACKED_AT_ONCE: usize = 4 * 1024;

/// Pieces between the archive and the connection.
const PIECES: usize = 4;

/// Bytes of names in one command line: Linux takes 128 KiB of it, and each is in it twice and quoted.
const NAMES_AT_ONCE: usize = 16 * 1024;

/// Bytes that are sent at a time.
const ARCHIVE_PIECE: usize = 256 * 1024;

/// Pieces that are stored without trying after one that did not get smaller.
const PIECES_TO_SKIP: u32 = 8;

/// Fast enough for every line that is worth compressing for.
const LEVEL: u32 = 3;

/// Writes a file of the other side.
pub(crate) async fn upload(
    link: Link,
    Upload { content, size, mode }: &mut Upload<'_>,
    destination: &str,
) -> Result<(), TransferError> {
    let size = *size;
    let far = link.session.is_far() && size >= WORTH_COMPRESSING;
    let mut shell = Program::start(link, "the shell", &writing_script(destination, *mode, far)).await?;
    let mut packing = (shell.ready().await? == "gzip").then(Packing::default);
    let mut left = size;
    while left > 0 {
        let piece = read_piece(&mut **content, left, size).await?;
        left -= piece.len() as u64;
        let piece = match &mut packing {
            Some(packing) => packing.pack(&piece).into(),
            None => piece,
        };
        shell.send(piece).await.map_err(TransferError::under_way)?;
    }
    shell.finish().await.map_err(TransferError::under_way)
}

/// Reads a file of the other side.
pub(crate) async fn download(
    link: Link,
    source: &str,
    destination: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<(), TransferError> {
    let far = link.session.is_far();
    let mut shell = Program::start(link, "the shell", &reading_script(source, far)).await?;
    let mut unpacking = (shell.ready().await? == "gzip").then(|| flate2::write::MultiGzDecoder::new(Vec::new()));
    while let Some(piece) = shell.piece().await.map_err(TransferError::under_way)? {
        let Some(unpacking) = &mut unpacking else {
            destination.write_all(&piece).await.map_err(TransferError::Local)?;
            continue;
        };
        for little in piece.chunks(UNPACKED_AT_ONCE) {
            unpacking.write_all(little).map_err(|error| damaged(&error))?;
            let plain = std::mem::take(unpacking.get_mut());
            destination.write_all(&plain).await.map_err(TransferError::Local)?;
        }
    }
    shell.finish().await.map_err(TransferError::under_way)?;
    if let Some(unpacking) = unpacking {
        let rest = unpacking.finish().map_err(|error| damaged(&error))?;
        destination.write_all(&rest).await.map_err(TransferError::Local)?;
    }
    destination.flush().await.map_err(TransferError::Local)
}

fn damaged(error: &std::io::Error) -> TransferError {
    TransferError::refused(format!("the stream is damaged: {error}"))
}

/// The script that writes its input into a file. The file has its mode before it has its content; a device keeps its own.
fn writing_script(path: &str, mode: u32, far: bool) -> String {
    let script = format!(
        r#"p={path}
no() {{ echo "bakelite: $p: $1" >&2; exit 1; }}
[ -d "$p" ] && no 'Is a directory'
case $p in */*) d=${{p%/*}}; [ -d "${{d:-/}}" ] || no 'No such file or directory';; esac
umask 077
e=$({{ : >> "$p"; }} 2>&1) || no "${{e##*: }}"
exec 3> "$p"
[ -f "$p" ] && chmod {mode:o} "$p" 2>/dev/null
{filter}
exec $f >&3"#,
        path = quote::path(path),
        filter = choose_filter("gzip -dc", far),
    );
    format!("sh -c {}", quote::word(&script))
}

/// The script that prints the content of a file.
fn reading_script(path: &str, far: bool) -> String {
    let script = format!(
        r#"p={path}
no() {{ echo "bakelite: $p: $1" >&2; exit 1; }}
[ -d "$p" ] && no 'Is a directory'
[ -e "$p" ] || no 'No such file or directory'
e=$({{ : < "$p"; }} 2>&1) || no "${{e##*: }}"
exec 3< "$p"
{filter}
exec $f <&3"#,
        path = quote::path(path),
        filter = choose_filter("gzip -1c", far),
    );
    format!("sh -c {}", quote::word(&script))
}

/// Chooses what the bytes go through, and prints which.
fn choose_filter(gzip: &str, far: bool) -> String {
    if far {
        format!(
            "if command -v gzip >/dev/null 2>&1; then f='{gzip}' w=gzip; else f=cat w=plain; fi\nprintf 'bakelite-%s\\n' \"ready $w\""
        )
    } else {
        "f=cat; printf 'bakelite-%s\\n' 'ready plain'".into()
    }
}

/// The script that unpacks an archive. It prints where, and what exists when it is asked: `d` and a name asks for a directory, `L` and a
/// name for a link.
fn unpacking_script(destination: &str, name: Option<&str>, far: bool) -> String {
    let own = name.map_or_else(String::new, |name| {
        format!("[ -d \"$d\" ] && d=${{d%/}}/{}\n", quote::word(name))
    });
    let script = format!(
        r#"command -v tar >/dev/null 2>&1 || exit 127
d={destination}
no() {{ echo "bakelite: $d: ${{1##*: }}" >&2; exit 1; }}
{own}if [ -d "$d" ]; then w=there; else e=$(mkdir "$d" 2>&1) || no "$e"; w=new; fi
cd "$d" || exit 1
{gzip}printf 'bakelite-%s\n' "ready $w in $d"
n=0
while IFS= read -r f; do
case $f in
'') break;;
.) echo .; n=0; continue;;
d*) [ -d "${{f#?}}" ] && echo $n;;
L*) [ -L "${{f#?}}" ] && echo $n;;
esac
n=$((n+1))
done
case $w in *gzip) gzip -dc | tar -xpof -;; *) exec tar -xpof -;; esac"#,
        destination = quote::path(destination),
        gzip = if far {
            "command -v gzip >/dev/null 2>&1 && w=\"$w gzip\"\n"
        } else {
            ""
        },
    );
    format!("sh -c {}", quote::word(&script))
}

/// The script that packs a directory or what a pattern matches; with `outside`, only these below it, with what they lead to.
fn packing_script(source: &str, outside: &[PathBuf], far: bool) -> String {
    let trimmed = match source.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    };
    let (directory, last) = match trimmed.rsplit_once('/') {
        Some(("", last)) => ("/", last),
        Some((directory, last)) => (directory, last),
        None if trimmed.starts_with('~') => (trimmed, "."),
        None => (".", trimmed),
    };
    let (directory, last) = if matches!(last, "" | "." | "..") {
        (trimmed, ".")
    } else {
        (directory, last)
    };
    let names = if outside.is_empty() {
        format!("./{}", quote::pattern(last))
    } else {
        let names = outside
            .iter()
            .map(|path| format!("./{}", quote::word(&path.to_string_lossy())));
        names.collect::<Vec<_>>().join(" ")
    };
    let follow = if outside.is_empty() { "" } else { "h" };
    let filter = packing_filter(far);
    let script = format!(
        r#"command -v tar >/dev/null 2>&1 || exit 127
no() {{ echo "bakelite: $1: No such file or directory" >&2; exit 1; }}
for d in {directory}; do
[ -d "$d" ] || no "$d"
done
{filter}"#,
        directory = quote::pattern(directory),
    );
    let each = format!(
        "for d in {directory}; do (cd \"$d\" && set -- {names} && {{ [ -e \"$1\" ] || [ -L \"$1\" ] || exit 0; }} && exec tar -c{follow}f - \"$@\") || exit; done",
        directory = quote::pattern(directory),
    );
    let first = format!(
        "m=; for d in {directory}; do (cd \"$d\" && set -- {names} && {{ [ -e \"$1\" ] || [ -L \"$1\" ]; }}) && m=1; done; [ \"$m\" ] || no {shown}",
        directory = quote::pattern(directory),
        shown = quote::word(trimmed),
    );
    let ready = "printf 'bakelite-%s\\n' \"ready $w\"";
    let run = format!("case $w in gzip) {{ {each}; }} | gzip -1c;; *) {each};; esac");
    format!("sh -c {}", quote::word(&format!("{script}\n{first}\n{ready}\n{run}")))
}

fn packing_filter(far: bool) -> &'static str {
    if far {
        "w=plain; command -v gzip >/dev/null 2>&1 && w=gzip"
    } else {
        "w=plain"
    }
}

/// Copies a directory to the other side: into a destination that exists as a directory of its name, else as the destination.
pub(crate) async fn upload_directory(
    connection: &Connection,
    link: Link,
    source: Source<'_>,
    destination: &str,
) -> Result<(), TransferError> {
    let mut entries = walk_beside(source.path, Links::KeepInside)
        .await
        .map_err(TransferError::Local)?;
    let name = if source.contents_only {
        None
    } else {
        Some(name_of(source)?)
    };
    let far = link.session.is_far();
    let mut tar = Program::start(link, "tar", &unpacking_script(destination, name.as_deref(), far)).await?;
    let ready = tar.ready().await?;
    let (state, directory) = ready.split_once(" in ").unwrap_or((&ready, destination));
    let progress = Transfer::begin(
        &connection.events,
        &source.path.display().to_string(),
        Some(total(&entries)),
    );
    let mut through_links = Vec::new();
    if state.starts_with("there") {
        let there = ask_what_is_there(&mut tar, &entries)
            .await
            .map_err(TransferError::under_way)?;
        through_links = leave_what_is_there(&mut entries, &there);
    } else {
        entries.insert(0, source.root().map_err(TransferError::Local)?);
    }
    tar.send(Bytes::from_static(b"\n"))
        .await
        .map_err(TransferError::under_way)?;
    send_archive(&mut tar, entries, state.ends_with("gzip"), &progress)
        .await
        .map_err(TransferError::under_way)?;
    for entry in through_links {
        send_through_link(connection, &entry, directory).await?;
    }
    Ok(())
}

/// Copies a directory, or what a pattern matches, from the other side into `destination`.
pub(crate) async fn download_directory(
    connection: &Connection,
    link: Link,
    source: &str,
    destination: &Path,
) -> Result<(), TransferError> {
    let progress = Transfer::begin(&connection.events, source, None);
    let command = packing_script(source, &[], link.session.is_far());
    let outside = receive_archive(link, &command, destination, &progress).await?;
    // What these lead to comes in their place.
    for names in commands(&outside) {
        let again = packing_script(source, names, false);
        receive_archive(another_link(connection).await?, &again, destination, &progress).await?;
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
            // The archive has ended, or cannot be unpacked: its result shows which.
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

/// Asks which of the entries are there in a way that matters: directories, and links in the place of files. First what is at the top:
/// what is below something that is not there is not there either.
async fn ask_what_is_there(tar: &mut Program, entries: &[Entry]) -> Result<Vec<PathBuf>, TransferError> {
    let at_top = |entry: &&Entry| entry.relative.components().count() == 1;
    let top: Vec<&Entry> = entries.iter().filter(at_top).collect();
    let mut there = ask(tar, &top).await?;
    let below: Vec<&Entry> = entries
        .iter()
        .filter(|entry| !at_top(entry) && there.iter().any(|directory| entry.relative.starts_with(directory)))
        .collect();
    if !below.is_empty() {
        there.extend(ask(tar, &below).await?);
    }
    Ok(there)
}

async fn ask(tar: &mut Program, entries: &[&Entry]) -> Result<Vec<PathBuf>, TransferError> {
    // A line cannot hold a name with a line break. Whoever has such a directory at both sides gets the mode of the new one.
    let asked: Vec<&&Entry> = entries
        .iter()
        .filter(|entry| !entry.relative.as_os_str().as_encoded_bytes().contains(&b'\n'))
        .collect();
    let mut question = Vec::new();
    for entry in &asked {
        question.extend_from_slice(if entry.kind == EntryKind::Directory { b"d" } else { b"L" });
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
                return Err(TransferError::refused(
                    "the shell's answer is not one of the entries that it was asked for",
                ));
            }
        }
    }
}

/// Leaves out directories that are there; answers the files that go through links, which tar would replace.
fn leave_what_is_there(entries: &mut Vec<Entry>, there: &[PathBuf]) -> Vec<Entry> {
    let there: std::collections::HashSet<&PathBuf> = there.iter().collect();
    let mut through_links = Vec::new();
    entries.retain(|entry| match entry.kind {
        EntryKind::Directory => !there.contains(&entry.relative),
        EntryKind::File(_) if there.contains(&entry.relative) => {
            through_links.push(entry.clone());
            false
        }
        EntryKind::File(_) | EntryKind::Link(_) => true,
    });
    through_links
}

async fn another_link(connection: &Connection) -> Result<Link, TransferError> {
    connection.link().await.map_err(TransferError::Connection)
}

async fn send_through_link(connection: &Connection, entry: &Entry, directory: &str) -> Result<(), TransferError> {
    let EntryKind::File(size) = entry.kind else {
        return Ok(());
    };
    let name = entry.relative.to_string_lossy();
    let path = format!("{}/{name}", directory.trim_end_matches('/'));
    let mut file = tokio::fs::File::open(&entry.path).await.map_err(TransferError::Local)?;
    let file = &mut Upload {
        content: &mut file,
        size,
        mode: entry.mode,
    };
    upload(another_link(connection).await?, file, &path).await
}

fn name_of(source: Source<'_>) -> Result<String, TransferError> {
    let name = source.name().map_err(TransferError::Local)?;
    name.into_string().map_err(|_| {
        let shown = source.path.display();
        TransferError::Local(io::Error::other(format!("name of `{shown}` is not UTF-8")))
    })
}

fn total(entries: &[Entry]) -> u64 {
    let sizes = entries.iter().map(|entry| match entry.kind {
        EntryKind::File(size) => size.div_ceil(512) * 512 + 512,
        EntryKind::Directory | EntryKind::Link(_) => 512,
    });
    sizes.sum()
}

/// Gathers an archive into pieces on their way to the connection.
struct Pieces {
    sender: mpsc::Sender<(Bytes, u64)>,
    gathered: Vec<u8>,
    packing: Option<Packing>,
}

impl Pieces {
    /// Pieces that end in this channel, each with how much of the archive it is.
    fn new(sender: mpsc::Sender<(Bytes, u64)>, gzip: bool) -> Self {
        Self {
            sender,
            gathered: Vec::with_capacity(ARCHIVE_PIECE),
            packing: gzip.then(Packing::default),
        }
    }

    fn pass_on(&mut self) -> io::Result<()> {
        let length = self.gathered.len() as u64;
        if length == 0 {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.gathered, Vec::with_capacity(ARCHIVE_PIECE));
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
        let length = bytes.len().min(ARCHIVE_PIECE - self.gathered.len());
        self.gathered.extend_from_slice(bytes.get(..length).unwrap_or_default());
        if self.gathered.len() == ARCHIVE_PIECE {
            self.pass_on()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()
    }
}

/// What arrives, as a reader for the thread that unpacks it.
struct Received {
    pieces: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Received {
    /// What comes through this channel.
    fn new(pieces: mpsc::Receiver<Bytes>) -> Self {
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

/// A stream being compressed.
#[derive(Default)]
struct Packing {
    skip: u32,
}

impl Packing {
    /// A piece as a gzip member.
    fn pack(&mut self, piece: &[u8]) -> Vec<u8> {
        if self.skip > 0 {
            self.skip -= 1;
            return member(piece, Compression::none());
        }
        let packed = member(piece, Compression::new(LEVEL));
        if packed.len() > piece.len() / 10 * 9 {
            self.skip = PIECES_TO_SKIP;
        }
        packed
    }
}

fn member(piece: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(piece.len() + 64), level);
    // A vector takes everything.
    let _ = encoder.write_all(piece);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_one_stream_and_noise_is_stored() {
        let text = "setting = value\n".repeat(10_000).into_bytes();
        let mut state = 1_u32;
        let noise: Vec<u8> = (0..200_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let mut packing = Packing::default();
        let packed_text = packing.pack(&text);
        assert!(packed_text.len() < text.len() / 10);
        let (tried, stored) = (packing.pack(&noise), packing.pack(&noise));
        assert!(tried.len() < noise.len() + 200 && stored.len() < noise.len() + 200);
        let stream = [packed_text, tried, stored].concat();
        let mut back = Vec::new();
        flate2::read::MultiGzDecoder::new(stream.as_slice())
            .read_to_end(&mut back)
            .unwrap();
        assert!(back == [text, noise.clone(), noise].concat());
    }
}
