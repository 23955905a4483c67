//! `scp -t` and `scp -f` of Ansible's clients, answered here: the instance needs no scp. Single files, as Ansible copies them; directories
//! are left to the scp of the instance.

use std::io::{self, SeekFrom};

use bakelite_engine::communicator::Upload;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncSeekExt as _, BufReader, copy, sink};

use super::command::{UNREACHABLE, status_of, text_of};
use super::instance::Instance;
use super::stream::{Input, Outlet, Streams};

/// No record is longer than a path with its mode and size.
const LONGEST_RECORD: u64 = 64 * 1024;

/// Bytes that are passed on at once.
const PIECE: usize = 32 * 1024;

/// Mode of a file that the instance does not tell the mode of.
const USUAL_MODE: u32 = 0o644;

/// What a client's scp wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    /// To write a file, or into a directory of this path.
    To { path: String, is_directory: bool },
    /// To read a file.
    From { path: String },
}

/// A command line of scp's that is answered here.
pub(super) fn parse(command: &str) -> Option<Transfer> {
    let mut words = shlex::split(command)?.into_iter().peekable();
    words.next().filter(|program| program == "scp")?;
    let mut flags = String::new();
    while let Some(word) = words.next_if(|word| word.len() > 1 && word.starts_with('-')) {
        if word == "--" {
            break;
        }
        flags.push_str(word.get(1..)?);
    }
    if !flags.chars().all(|flag| "tfvpdq".contains(flag)) {
        return None;
    }
    let path = words.collect::<Vec<_>>().join(" ");
    if path.is_empty() {
        return None;
    }
    match (flags.contains('t'), flags.contains('f')) {
        (true, false) => {
            let is_directory = flags.contains('d') || path.ends_with('/');
            Some(Transfer::To { path, is_directory })
        }
        (false, true) => Some(Transfer::From { path }),
        _ => None,
    }
}

/// Carries it out and answers the exit status.
pub(super) async fn run(instance: &Instance, transfer: &Transfer, streams: Streams) -> u32 {
    let Streams { input, output, .. } = streams;
    let mut wire = Wire {
        input: BufReader::with_capacity(PIECE, input),
        output,
    };
    let done = match transfer {
        Transfer::To { path, is_directory } => wire.receive(instance, path, *is_directory).await,
        Transfer::From { path } => wire.send(instance, path).await,
    };
    // A client that breaks off has its own opinion of how that ended.
    done.unwrap_or(UNREACHABLE)
}

/// The protocol's two streams.
struct Wire {
    input: BufReader<Input>,
    output: Outlet,
}

impl Wire {
    async fn receive(&mut self, instance: &Instance, path: &str, is_directory: bool) -> io::Result<u32> {
        let mut status = 0;
        self.output.send(&[0]).await?;
        loop {
            let record = self.record().await?;
            let (mode, size, name) = match record.split_first() {
                None => return Ok(status),
                // Times are not asked for by Ansible, and a communicator sets none.
                Some((b'T', _)) => {
                    self.output.send(&[0]).await?;
                    continue;
                }
                Some((b'C', rest)) => match parse_file(rest) {
                    Some(file) => file,
                    None => return self.complain("a record that is none of scp's").await,
                },
                Some((1 | 2, _)) => return Ok(1),
                Some(_) => return self.complain("directories are not copied by the proxy adapter").await,
            };
            let destination = if is_directory {
                format!("{}/{name}", path.trim_end_matches('/'))
            } else {
                path.to_owned()
            };
            self.output.send(&[0]).await?;
            let mut content = (&mut self.input).take(size);
            let uploaded = instance
                .communicator
                .upload(
                    Upload {
                        content: &mut content,
                        size,
                        mode,
                    },
                    &destination,
                )
                .await;
            // What was not wanted of it comes nevertheless.
            copy(&mut content, &mut sink()).await?;
            self.input.read_u8().await?;
            match uploaded {
                Ok(()) => self.output.send(&[0]).await?,
                Err(error) => {
                    self.complain(&text_of(&error)).await?;
                    status = status_of(&error);
                }
            }
        }
    }

    async fn send(&mut self, instance: &Instance, path: &str) -> io::Result<u32> {
        self.input.read_u8().await?;
        // The record says the size before the content comes.
        let mut spool = tokio::fs::File::from_std(tempfile::tempfile_in(&instance.temporary_directory)?);
        if let Err(error) = instance.communicator.download(path, &mut spool).await {
            self.complain(&text_of(&error)).await?;
            return Ok(status_of(&error));
        }
        let size = spool.seek(SeekFrom::End(0)).await?;
        spool.rewind().await?;
        let name = path.rsplit('/').next().unwrap_or(path);
        self.output
            .send(format!("C{USUAL_MODE:04o} {size} {name}\n").as_bytes())
            .await?;
        self.input.read_u8().await?;
        send_all(&mut self.output, spool).await?;
        self.output.send(&[0]).await?;
        self.input.read_u8().await?;
        Ok(0)
    }

    /// A line of the protocol; empty at the end.
    async fn record(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        (&mut self.input)
            .take(LONGEST_RECORD)
            .read_until(b'\n', &mut line)
            .await?;
        Ok(line)
    }

    async fn complain(&mut self, text: &str) -> io::Result<u32> {
        self.output
            .send(format!("\u{1}scp: {}\n", text.replace('\n', " ")).as_bytes())
            .await?;
        Ok(1)
    }
}

async fn send_all(output: &mut Outlet, mut content: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    while let length @ 1.. = content.read(&mut buffer).await? {
        output.send(buffer.get(..length).unwrap_or_default()).await?;
    }
    Ok(())
}

/// `0644 12 name`: mode, size and name.
fn parse_file(record: &[u8]) -> Option<(u32, u64, String)> {
    let text = std::str::from_utf8(record).ok()?.trim_end_matches('\n');
    let mut fields = text.splitn(3, ' ');
    let mode = u32::from_str_radix(fields.next()?, 8).ok()? & 0o7777;
    let size = fields.next()?.parse().ok()?;
    let name = fields
        .next()
        .filter(|name| !name.contains('/') && !matches!(*name, "" | "." | ".."))?;
    Some((mode, size, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ansible_copies_is_answered_here() {
        let to = |path: &str, is_directory| {
            Some(Transfer::To {
                path: path.into(),
                is_directory,
            })
        };
        assert_eq!(parse("scp -v -p -t '/tmp/it'\"'\"'s'"), to("/tmp/it's", false));
        assert_eq!(parse("scp -t /tmp/a b"), to("/tmp/a b", false));
        assert_eq!(parse("scp -d -t -- -x"), to("-x", true));
        assert_eq!(parse("scp -t /tmp/"), to("/tmp/", true));
        assert_eq!(parse("scp -pf /x"), Some(Transfer::From { path: "/x".into() }));
        for other in [
            "scp -r -t /x",
            "scp a b:c",
            "scp -t",
            "sudo scp -t /x",
            "cat",
            "",
            "scp -t 'x",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_record_names_a_file_and_no_path() {
        assert_eq!(parse_file(b"0644 12 my file\n"), Some((0o644, 12, "my file".into())));
        for bad in [
            &b"0644 12 ../x\n"[..],
            b"0644 12 ..\n",
            b"9 9 9",
            b"0644 x y",
            b"",
            b"\xff",
        ] {
            assert_eq!(parse_file(bad), None, "{bad:?}");
        }
    }
}
