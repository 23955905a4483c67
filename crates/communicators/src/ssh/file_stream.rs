//! Single files as one stream through a command of the other side: two round trips, no window of its own, and no program but a shell
//! and `cat`. Compressed where the other side is far away and has gzip.

use flate2::write::MultiGzDecoder;
use std::io::Write as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::Link;
use super::gzip::Packing;
use super::program::{Program, read_piece};
use super::quote;
use super::transfer::TransferError;

/// Smaller files are over before compression helps.
const WORTH_COMPRESSING: u64 = 64 * 1024;

/// Compressed bytes that are unpacked at a time: gzip makes a thousand bytes of one at most.
const UNPACKED_AT_ONCE: usize = 4 * 1024;

/// Writes a file of the other side.
pub(crate) async fn upload(
    link: Link,
    content: &mut (dyn AsyncRead + Send + Unpin),
    size: u64,
    mode: u32,
    destination: &str,
) -> Result<(), TransferError> {
    let far = link.0.is_far() && size >= WORTH_COMPRESSING;
    let mut shell = Program::start(link, "the shell", &writing(destination, mode, far)).await?;
    let mut packing = (shell.ready().await? == "gzip").then(Packing::default);
    let mut left = size;
    while left > 0 {
        let piece = read_piece(content, left, size).await?;
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
    let far = link.0.is_far();
    let mut shell = Program::start(link, "the shell", &reading(source, far)).await?;
    let mut unpacking = (shell.ready().await? == "gzip").then(|| MultiGzDecoder::new(Vec::new()));
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
    TransferError::Refused(format!("the stream is damaged: {error}"))
}

/// The script that writes its input into a file. The file has its mode before it has its content; a device keeps its own.
fn writing(path: &str, mode: u32, far: bool) -> String {
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
        path = quote::word(path),
        filter = filter("gzip -dc", far),
    );
    format!("sh -c {}", quote::text(&script))
}

/// The script that says what a file holds.
fn reading(path: &str, far: bool) -> String {
    let script = format!(
        r#"p={path}
no() {{ echo "bakelite: $p: $1" >&2; exit 1; }}
[ -d "$p" ] && no 'Is a directory'
[ -e "$p" ] || no 'No such file or directory'
e=$({{ : < "$p"; }} 2>&1) || no "${{e##*: }}"
exec 3< "$p"
{filter}
exec $f <&3"#,
        path = quote::word(path),
        filter = filter("gzip -1c", far),
    );
    format!("sh -c {}", quote::text(&script))
}

/// Chooses what the bytes go through, and says so.
fn filter(gzip: &str, far: bool) -> String {
    if far {
        format!(
            "if command -v gzip >/dev/null 2>&1; then f='{gzip}' w=gzip; else f=cat w=plain; fi\nprintf 'bakelite-%s\\n' \"ready $w\""
        )
    } else {
        "f=cat; printf 'bakelite-%s\\n' 'ready plain'".into()
    }
}
