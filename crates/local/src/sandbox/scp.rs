//! The remote end of `scp`, for roots that have none: the protocol behind `scp -t` (receive) and `scp -f` (send).
//!
//! Every message is a line: `C0644 12 name` a file, `D0755 0 name` a directory, `E` its end, `T…` times of the next one; each
//! is answered by a zero byte, or by 1 (go on) or 2 (stop) and a line that says why.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

/// How a remote end was called.
#[derive(Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each option letter")]
struct Call {
    receives: bool,
    sends: bool,
    recursive: bool,
    preserves: bool,
    target_is_directory: bool,
    paths: Vec<PathBuf>,
}

/// Whether a command is the remote end of `scp`.
pub(super) fn is_wanted(command: &[u8]) -> bool {
    parse(command).is_some()
}

/// Serves it on the standard streams; returns the exit status.
pub(super) fn serve(command: &[u8]) -> i32 {
    let Some(call) = parse(command) else { return 1 };
    let mut peer = Peer {
        from: BufReader::new(io::stdin()),
        to: BufWriter::new(io::stdout()),
        errors: 0,
    };
    let outcome = if call.receives {
        receive(&mut peer, &call)
    } else {
        send(&mut peer, &call)
    };
    if let Err(error) = outcome {
        peer.refuse(2, &error.to_string()).ok(); // a client that is gone reads no reason
        return 1;
    }
    i32::from(peer.errors > 0)
}

/// Reads a command line, or nothing if it is not the remote end of `scp`.
fn parse(command: &[u8]) -> Option<Call> {
    let words = split(command)?;
    let (program, arguments) = words.split_first()?;
    if Path::new(program).file_name()? != "scp" {
        return None;
    }
    let mut call = Call::default();
    let mut only_paths = false;
    for argument in arguments {
        match argument.as_bytes() {
            b"--" if !only_paths => only_paths = true,
            [b'-', letters @ ..] if !only_paths && !letters.is_empty() => {
                for letter in letters {
                    match letter {
                        b't' => call.receives = true,
                        b'f' => call.sends = true,
                        b'r' => call.recursive = true,
                        b'p' => call.preserves = true,
                        b'd' => call.target_is_directory = true,
                        b'v' | b'q' | b'C' => {}
                        _ => return None,
                    }
                }
            }
            _ => call.paths.push(PathBuf::from(argument)),
        }
    }
    let usable = call.receives != call.sends
        && if call.receives {
            call.paths.len() == 1
        } else {
            !call.paths.is_empty()
        };
    usable.then_some(call)
}

/// Splits a command line as a shell would, without expansion but of a leading `~/`; nothing if it is more than a command.
fn split(command: &[u8]) -> Option<Vec<OsString>> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = command.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' | b'\n' => words.extend(word.take()),
            b'\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next()? {
                        b'\'' => break,
                        byte => word.push(byte),
                    }
                }
            }
            b'"' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next()? {
                        b'"' => break,
                        b'$' | b'`' => return None,
                        b'\\' => match bytes.next()? {
                            byte @ (b'"' | b'\\' | b'$' | b'`') => word.push(byte),
                            byte => word.extend([b'\\', byte]),
                        },
                        byte => word.push(byte),
                    }
                }
            }
            b'\\' => word.get_or_insert_default().push(bytes.next()?),
            b'$' | b'`' | b';' | b'|' | b'&' | b'<' | b'>' | b'(' | b')' | b'*' | b'?' => return None,
            byte => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    // The process starts in the home directory.
    Some(
        words
            .into_iter()
            .map(|word| word.strip_prefix(b"~/").map_or(word.clone(), <[u8]>::to_vec))
            .map(OsString::from_vec)
            .collect(),
    )
}

/// The other end.
struct Peer {
    from: BufReader<io::Stdin>,
    to: BufWriter<io::Stdout>,
    errors: u32,
}

impl Peer {
    fn agree(&mut self) -> io::Result<()> {
        self.to.write_all(&[0])?;
        self.to.flush()
    }

    fn refuse(&mut self, level: u8, reason: &str) -> io::Result<()> {
        self.errors += 1;
        self.to.write_all(&[level])?;
        writeln!(self.to, "scp: {}", reason.replace('\n', " "))?;
        self.to.flush()
    }

    /// A line without its end; nothing at the end of the input.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        const LONGEST: u64 = 16 * 1024;
        let mut line = Vec::new();
        let length = self.from.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(None);
        }
        if line.pop() != Some(b'\n') {
            return Err(io::Error::other("protocol error: line without end"));
        }
        Ok(Some(line))
    }

    /// Reads the answer to a message; whether it was agreement.
    fn agreed(&mut self) -> io::Result<bool> {
        let mut level = [0_u8];
        self.from.read_exact(&mut level)?;
        match level {
            [0] => Ok(true),
            [1] => {
                self.line()?;
                self.errors += 1;
                Ok(false)
            }
            _ => {
                let reason = self.line()?.unwrap_or_default();
                Err(io::Error::other(String::from_utf8_lossy(&reason).into_owned()))
            }
        }
    }
}

/// A message that announces a file or a directory.
struct Announced {
    mode: u32,
    size: u64,
    name: OsString,
}

fn announced(line: &[u8]) -> io::Result<Announced> {
    let wrong = || io::Error::other(format!("protocol error: `{}`", String::from_utf8_lossy(line)));
    let mut fields = line.get(1..).ok_or_else(wrong)?.splitn(3, |byte| *byte == b' ');
    let mut text = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
    let mode = text()
        .and_then(|mode| u32::from_str_radix(mode, 8).ok())
        .ok_or_else(wrong)?;
    let size = text().and_then(|size| size.parse().ok()).ok_or_else(wrong)?;
    let name = fields.next().ok_or_else(wrong)?;
    // A name is one directory's entry: a client cannot reach elsewhere through it.
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
        return Err(io::Error::other(format!(
            "unexpected file name `{}`",
            String::from_utf8_lossy(name)
        )));
    }
    Ok(Announced {
        mode: mode & 0o7777,
        size,
        name: OsString::from_vec(name.to_vec()),
    })
}

fn receive(peer: &mut Peer, call: &Call) -> io::Result<()> {
    let Some(target) = call.paths.first() else {
        return Ok(());
    };
    if call.target_is_directory && !target.is_dir() {
        return Err(io::Error::other(format!("{}: not a directory", target.display())));
    }
    peer.agree()?;
    receive_into(peer, call, target, 0)
}

fn receive_into(peer: &mut Peer, call: &Call, target: &Path, depth: usize) -> io::Result<()> {
    const DEEPEST: usize = 200;
    let is_directory = target.is_dir();
    let mut times = None;
    while let Some(line) = peer.line()? {
        match line.first() {
            Some(b'C') => {
                let file = announced(&line)?;
                let path = if is_directory {
                    target.join(&file.name)
                } else {
                    target.to_owned()
                };
                receive_file(peer, call, &path, &file, times.take())?;
            }
            Some(b'D') if call.recursive && depth < DEEPEST => {
                let directory = announced(&line)?;
                let path = if is_directory {
                    target.join(&directory.name)
                } else {
                    target.to_owned()
                };
                if !path.is_dir() {
                    fs::create_dir(&path).map_err(|error| named(&path, &error))?;
                }
                peer.agree()?;
                let times = times.take();
                receive_into(peer, call, &path, depth + 1)?;
                if call.preserves {
                    fs::set_permissions(&path, fs::Permissions::from_mode(directory.mode))?;
                }
                set_times(&path, times)?;
            }
            Some(b'T') => {
                times = parse_times(&line);
                peer.agree()?;
            }
            Some(b'E') if depth > 0 => {
                peer.agree()?;
                return Ok(());
            }
            Some(1) => peer.errors += 1,
            Some(2) => return Err(io::Error::other("the other end gave up")),
            _ => {
                return Err(io::Error::other(format!(
                    "protocol error: `{}`",
                    String::from_utf8_lossy(&line)
                )));
            }
        }
    }
    Ok(())
}

fn receive_file(
    peer: &mut Peer,
    call: &Call,
    path: &Path,
    file: &Announced,
    times: Option<Timestamps>,
) -> io::Result<()> {
    let existed = path.exists();
    let opened = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(file.mode | 0o200)
        .open(path);
    let mut to = match opened {
        Ok(to) => to,
        Err(error) => return peer.refuse(1, &named(path, &error).to_string()),
    };
    peer.agree()?;
    let copied = io::copy(&mut peer.from.by_ref().take(file.size), &mut to);
    if !matches!(copied, Ok(copied) if copied == file.size) {
        return Err(copied.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()));
    }
    if call.preserves || !existed {
        let mode = if call.preserves { file.mode } else { file.mode & !0o022 };
        to.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    drop(to);
    set_times(path, times)?;
    if peer.agreed()? { peer.agree() } else { Ok(()) }
}

fn send(peer: &mut Peer, call: &Call) -> io::Result<()> {
    if !peer.agreed()? {
        return Ok(());
    }
    for path in &call.paths {
        send_entry(peer, call, path)?;
    }
    Ok(())
}

fn send_entry(peer: &mut Peer, call: &Call, path: &Path) -> io::Result<()> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) => return peer.refuse(1, &named(path, &error).to_string()),
    };
    let name = fs::canonicalize(path)
        .ok()
        .and_then(|real| real.file_name().map(OsString::from))
        .unwrap_or_else(|| "/".into());
    let name = path.file_name().map_or(name, OsString::from);
    let wanted = found.is_file() || found.is_dir() && call.recursive;
    if !wanted {
        return peer.refuse(1, &format!("{}: not a regular file", path.display()));
    }
    let mut file = match found.is_file().then(|| File::open(path)).transpose() {
        Ok(file) => file,
        Err(error) => return peer.refuse(1, &named(path, &error).to_string()),
    };
    if call.preserves {
        writeln!(peer.to, "T{} 0 {} 0", found.mtime().max(0), found.atime().max(0))?;
        peer.to.flush()?;
        peer.agreed()?;
    }
    let (kind, size) = if file.is_some() { ('C', found.len()) } else { ('D', 0) };
    write!(peer.to, "{kind}{:04o} {size} ", found.mode() & 0o7777)?;
    peer.to.write_all(name.as_bytes())?;
    writeln!(peer.to)?;
    peer.to.flush()?;
    if !peer.agreed()? {
        return Ok(());
    }
    if let Some(file) = &mut file {
        let copied = io::copy(&mut file.take(size), &mut peer.to)?;
        // A file that has become shorter is filled up: its size is promised.
        io::copy(&mut io::repeat(0).take(size - copied), &mut peer.to)?;
        peer.agree()?;
    } else {
        for entry in fs::read_dir(path)? {
            send_entry(peer, call, &entry?.path())?;
        }
        peer.to.write_all(b"E\n")?;
        peer.to.flush()?;
    }
    peer.agreed().map(|_| ())
}

fn parse_times(line: &[u8]) -> Option<Timestamps> {
    let text = std::str::from_utf8(line.get(1..)?).ok()?;
    let mut fields = text.split(' ').map(|field| field.parse::<i64>().ok());
    let modified = fields.next()??;
    let accessed = fields.nth(1)??;
    let time = |seconds| Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    Some(Timestamps {
        last_access: time(accessed),
        last_modification: time(modified),
    })
}

fn set_times(path: &Path, times: Option<Timestamps>) -> io::Result<()> {
    match times {
        Some(times) => Ok(utimensat(CWD, path, &times, AtFlags::empty())?),
        None => Ok(()),
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_recognised_as_clients_make_them() {
        let call = parse(b"scp -vt /tmp").unwrap();
        assert!(call.receives && !call.recursive);
        assert_eq!(call.paths, [PathBuf::from("/tmp")]);
        let call = parse(b"/usr/bin/scp -v -r -p -d -t -- '/tmp/with space'").unwrap();
        assert!(call.recursive && call.preserves && call.target_is_directory);
        assert_eq!(call.paths, [PathBuf::from("/tmp/with space")]);
        assert!(parse(b"scp -f a 'b'").unwrap().sends);
    }

    #[test]
    fn everything_else_is_the_shells() {
        for command in [
            &b"scp a b:c"[..],
            b"scp -t",
            b"scp -t a; rm b",
            b"scp -t $HOME",
            b"echo scp -t a",
            b"scp -t -f a",
            b"",
            b"scp -t 'a",
        ] {
            assert_eq!(parse(command), None, "{}", String::from_utf8_lossy(command));
        }
    }

    #[test]
    fn names_stay_in_their_directory() {
        for line in [
            &b"C0644 1 ../x"[..],
            b"C0644 1 ..",
            b"C0644 1 ",
            b"C0644 1",
            b"C",
            b"Cx y z",
            b"C0644 -1 a",
        ] {
            assert!(announced(line).is_err(), "{}", String::from_utf8_lossy(line));
        }
        assert_eq!(announced(b"C0644 12 a b").unwrap().name, "a b");
    }
}
