//! What services tell about themselves (`sd_notify`).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, bind, recv, socket_with};

/// Where the sockets are.
const DIRECTORY: &str = "/run/bakelite/notify";
/// The longest message.
const LONGEST: usize = 4096;
/// The most messages that are read at a time.
const MOST: usize = 64;

/// What a message has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    Ready,
    /// This is the main process.
    Main(i32),
    Status(String),
}

/// The socket that one service tells things to.
#[derive(Debug)]
pub(super) struct Socket {
    file: OwnedFd,
    path: PathBuf,
}

impl Socket {
    pub(super) fn new() -> io::Result<Socket> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let path = Path::new(DIRECTORY).join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::create_dir_all(DIRECTORY)?;
        std::fs::remove_file(&path).ok();
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let file = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        bind(&file, &SocketAddrUnix::new(&path)?)?;
        // The service may run as any user.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
        Ok(Socket { file, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// What has come in. Files that come along are closed, which is what `sd_notify_barrier` waits for.
    pub(super) fn read(&self) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut buffer = [0_u8; LONGEST];
        for _ in 0..MOST {
            match recv(&self.file, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _)) => notices.extend(parse(buffer.get(..length).unwrap_or_default())),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
        notices
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok(); // nobody would read from it
    }
}

fn parse(message: &[u8]) -> Vec<Notice> {
    let text = String::from_utf8_lossy(message);
    let lines = text.lines().filter_map(|line| match line.split_once('=')? {
        ("READY", "1") => Some(Notice::Ready),
        ("MAINPID", pid) => pid.parse().ok().filter(|pid| *pid > 1).map(Notice::Main),
        ("STATUS", status) => Some(Notice::Status(status.to_owned())),
        _ => None,
    });
    let mut notices: Vec<Notice> = lines.collect();
    // Who is ready has told its main process before.
    notices.sort_by_key(|notice| matches!(notice, Notice::Ready));
    notices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read() {
        assert_eq!(
            parse(b"READY=1\nMAINPID=7\nSTATUS=up\nMAINPID=1\nX\nREADY=0\n\xff=1"),
            [Notice::Main(7), Notice::Status("up".into()), Notice::Ready]
        );
    }
}
