//! The SFTP server: it runs in the machine, as the login user, so every path means what it means to that user there.

use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions, ReadDir};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

use russh_sftp::protocol::{
    Attrs, Data, File as Entry, FileAttributes, Handle, Name, OpenFlags, Packet, Status, StatusCode, Version,
};
use russh_sftp::server::{Handler, StatusReply};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

/// The longest read that is answered in one packet.
const LONGEST_READ: usize = 256 * 1024;
/// How many names of a directory go into one packet.
const NAMES: usize = 100;

/// Serves SFTP on the standard streams; returns the exit status.
pub(super) fn serve() -> i32 {
    let served = || -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let stream = tokio::io::join(
                pipe::Receiver::from_owned_fd(own(rustix::stdio::stdin())?)?,
                pipe::Sender::from_owned_fd(own(rustix::stdio::stdout())?)?,
            );
            let (alive, ended) = oneshot::channel();
            russh_sftp::server::run(
                stream,
                Files {
                    open: HashMap::new(),
                    next: 0,
                    _alive: alive,
                },
            )
            .await;
            ended.await.ok(); // the handler is dropped when the client closed the connection
            Ok(())
        })
    };
    i32::from(served().is_err())
}

/// A descriptor of our own; dropping it ends the stream for the other side once the standard one is closed.
fn own(stream: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    stream.try_clone_to_owned()
}

/// What a client has open.
struct Files {
    open: HashMap<String, Opened>,
    next: u64,
    _alive: oneshot::Sender<()>,
}

enum Opened {
    File(File),
    Directory(Box<ReadDir>),
}

impl Files {
    fn keep(&mut self, id: u32, opened: Opened) -> Handle {
        self.next += 1;
        let handle = self.next.to_string();
        self.open.insert(handle.clone(), opened);
        Handle { id, handle }
    }

    fn file(&self, handle: &str) -> Result<&File, StatusReply> {
        match self.open.get(handle) {
            Some(Opened::File(file)) => Ok(file),
            _ => Err(StatusCode::Failure.with_message("not an open file")),
        }
    }
}

/// The protocol's word for an error of the system.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn reply(error: io::Error) -> StatusReply {
    let code = match error.kind() {
        io::ErrorKind::NotFound => StatusCode::NoSuchFile,
        io::ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
        io::ErrorKind::Unsupported => StatusCode::OpUnsupported,
        _ => StatusCode::Failure,
    };
    code.with_message(error.to_string())
}

fn done(id: u32) -> Status {
    Status {
        id,
        status_code: StatusCode::Ok,
        error_message: "Success".into(),
        language_tag: "en".into(),
    }
}

fn attributes(found: &Metadata) -> FileAttributes {
    let seconds = |time: i64| u32::try_from(time).ok();
    FileAttributes {
        size: Some(found.len()),
        uid: Some(found.uid()),
        gid: Some(found.gid()),
        permissions: Some(found.mode()),
        atime: seconds(found.atime()),
        mtime: seconds(found.mtime()),
        ..FileAttributes::default()
    }
}

/// Sets what a client sent; the size last, for it may be refused where the rest is not.
fn set_attributes(path: &Path, wanted: &FileAttributes) -> io::Result<()> {
    if let (Some(uid), Some(gid)) = (wanted.uid, wanted.gid) {
        chown(path, Some(uid), Some(gid))?;
    }
    if let Some(mode) = wanted.permissions {
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))?;
    }
    if let (Some(atime), Some(mtime)) = (wanted.atime, wanted.mtime) {
        let time = |seconds: u32| Timespec {
            tv_sec: i64::from(seconds),
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: time(atime),
            last_modification: time(mtime),
        };
        utimensat(CWD, path, &times, AtFlags::empty())?;
    }
    if let Some(size) = wanted.size {
        OpenOptions::new().write(true).open(path)?.set_len(size)?;
    }
    Ok(())
}

/// The two strings of an extended request.
fn two_strings(mut data: &[u8]) -> Option<(String, String)> {
    let mut next = || {
        let length = usize::try_from(u32::from_be_bytes(*data.first_chunk::<4>()?)).ok()?;
        let text = String::from_utf8(data.get(4..4 + length)?.to_vec()).ok()?;
        data = &data[4 + length..];
        Some(text)
    };
    Some((next()?, next()?))
}

impl Handler for Files {
    type Error = StatusReply;

    fn unimplemented(&self) -> StatusReply {
        StatusReply::new(StatusCode::OpUnsupported)
    }

    async fn init(&mut self, _version: u32, _extensions: HashMap<String, String>) -> Result<Version, StatusReply> {
        let mut version = Version::new();
        for name in ["posix-rename@openssh.com", "hardlink@openssh.com"] {
            version.extensions.insert(name.into(), "1".into());
        }
        Ok(version)
    }

    async fn open(
        &mut self,
        id: u32,
        path: String,
        flags: OpenFlags,
        wanted: FileAttributes,
    ) -> Result<Handle, StatusReply> {
        let mut options = OpenOptions::from(flags);
        options.mode(wanted.permissions.map_or(0o666, |mode| mode & 0o7777));
        let file = options.open(path).map_err(reply)?;
        Ok(self.keep(id, Opened::File(file)))
    }

    async fn close(&mut self, id: u32, handle: String) -> Result<Status, StatusReply> {
        self.open
            .remove(&handle)
            .map(|_| done(id))
            .ok_or_else(|| StatusCode::Failure.with_message("not an open handle"))
    }

    async fn read(&mut self, id: u32, handle: String, offset: u64, length: u32) -> Result<Data, StatusReply> {
        let mut data = vec![0_u8; usize::try_from(length).unwrap_or(LONGEST_READ).min(LONGEST_READ)];
        let read = self.file(&handle)?.read_at(&mut data, offset).map_err(reply)?;
        if read == 0 && length > 0 {
            return Err(StatusReply::new(StatusCode::Eof));
        }
        data.truncate(read);
        Ok(Data { id, data })
    }

    async fn write(&mut self, id: u32, handle: String, offset: u64, data: Vec<u8>) -> Result<Status, StatusReply> {
        self.file(&handle)?.write_all_at(&data, offset).map_err(reply)?;
        Ok(done(id))
    }

    async fn lstat(&mut self, id: u32, path: String) -> Result<Attrs, StatusReply> {
        fs::symlink_metadata(path)
            .map(|found| Attrs {
                id,
                attrs: attributes(&found),
            })
            .map_err(reply)
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, StatusReply> {
        fs::metadata(path)
            .map(|found| Attrs {
                id,
                attrs: attributes(&found),
            })
            .map_err(reply)
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Result<Attrs, StatusReply> {
        self.file(&handle)?
            .metadata()
            .map(|found| Attrs {
                id,
                attrs: attributes(&found),
            })
            .map_err(reply)
    }

    async fn setstat(&mut self, id: u32, path: String, wanted: FileAttributes) -> Result<Status, StatusReply> {
        set_attributes(Path::new(&path), &wanted).map_err(reply)?;
        Ok(done(id))
    }

    async fn fsetstat(&mut self, id: u32, handle: String, wanted: FileAttributes) -> Result<Status, StatusReply> {
        let file = self.file(&handle)?;
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
        // The size by the handle: the file may be closed to new writers by now.
        if let Some(size) = wanted.size {
            file.set_len(size).map_err(reply)?;
        }
        let rest = FileAttributes { size: None, ..wanted };
        if let Some(mode) = rest.permissions {
            file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))
                .map_err(reply)?;
        }
        set_attributes(
            Path::new(&path),
            &FileAttributes {
                permissions: None,
                ..rest
            },
        )
        .map_err(reply)?;
        Ok(done(id))
    }

    async fn opendir(&mut self, id: u32, path: String) -> Result<Handle, StatusReply> {
        let directory = fs::read_dir(path).map_err(reply)?;
        Ok(self.keep(id, Opened::Directory(Box::new(directory))))
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Result<Name, StatusReply> {
        let Some(Opened::Directory(directory)) = self.open.get_mut(&handle) else {
            return Err(StatusCode::Failure.with_message("not an open directory"));
        };
        let mut files = Vec::new();
        for entry in directory.by_ref().take(NAMES) {
            let entry = entry.map_err(reply)?;
            let found = entry.metadata().map(|found| attributes(&found)).unwrap_or_default();
            files.push(Entry::new(entry.file_name().to_string_lossy(), found));
        }
        if files.is_empty() {
            Err(StatusReply::new(StatusCode::Eof))
        } else {
            Ok(Name { id, files })
        }
    }

    async fn remove(&mut self, id: u32, path: String) -> Result<Status, StatusReply> {
        fs::remove_file(path).map(|()| done(id)).map_err(reply)
    }

    async fn mkdir(&mut self, id: u32, path: String, wanted: FileAttributes) -> Result<Status, StatusReply> {
        use std::os::unix::fs::DirBuilderExt as _;
        let mode = wanted.permissions.map_or(0o777, |mode| mode & 0o7777);
        fs::DirBuilder::new()
            .mode(mode)
            .create(path)
            .map(|()| done(id))
            .map_err(reply)
    }

    async fn rmdir(&mut self, id: u32, path: String) -> Result<Status, StatusReply> {
        fs::remove_dir(path).map(|()| done(id)).map_err(reply)
    }

    async fn realpath(&mut self, id: u32, path: String) -> Result<Name, StatusReply> {
        let path = if path.is_empty() { "." } else { &path };
        let real = fs::canonicalize(path)
            .or_else(|error| {
                // The last part need not exist.
                let path = Path::new(path);
                let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                    return Err(error);
                };
                let parent = if parent.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    parent
                };
                fs::canonicalize(parent).map(|parent| parent.join(name))
            })
            .map_err(reply)?;
        Ok(Name {
            id,
            files: vec![Entry::dummy(real.to_string_lossy())],
        })
    }

    async fn rename(&mut self, id: u32, from: String, to: String) -> Result<Status, StatusReply> {
        if fs::symlink_metadata(&to).is_ok() {
            return Err(StatusCode::Failure.with_message("file exists"));
        }
        fs::rename(from, to).map(|()| done(id)).map_err(reply)
    }

    async fn readlink(&mut self, id: u32, path: String) -> Result<Name, StatusReply> {
        let target = fs::read_link(path).map_err(reply)?;
        Ok(Name {
            id,
            files: vec![Entry::dummy(target.to_string_lossy())],
        })
    }

    /// OpenSSH's client, and every other after it, sends the target first, against the letter of the draft.
    async fn symlink(&mut self, id: u32, target: String, link: String) -> Result<Status, StatusReply> {
        symlink(target, link).map(|()| done(id)).map_err(reply)
    }

    async fn extended(&mut self, id: u32, request: String, data: Vec<u8>) -> Result<Packet, StatusReply> {
        let paths = || two_strings(&data).ok_or(StatusReply::new(StatusCode::BadMessage));
        match request.as_str() {
            "posix-rename@openssh.com" => paths().and_then(|(from, to)| fs::rename(from, to).map_err(reply))?,
            "hardlink@openssh.com" => paths().and_then(|(from, to)| fs::hard_link(from, to).map_err(reply))?,
            _ => return Err(StatusReply::new(StatusCode::OpUnsupported)),
        }
        Ok(Packet::Status(done(id)))
    }
}
