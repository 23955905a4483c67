//! SFTP without an SFTP server: what OpenSSH's clients ask for when they copy files, answered with uploads and downloads of the
//! communicator. A file lies on this machine's disk while it is open: the whole of it goes over when it is closed, or comes when it is
//! opened. Everything else is refused as unsupported.

use std::collections::HashMap;
use std::io::SeekFrom;
use std::sync::Arc;

use bakelite_engine::communicator::{CommunicatorError, Upload};
use russh_sftp::protocol::{
    Attrs, Data, File as Entry, FileAttributes, FileMode, Handle, Name, OpenFlags, Status, StatusCode,
};
use russh_sftp::server::{Handler, StatusReply};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::command::text_of;
use super::instance::{Found, Instance};

/// Most bytes of one answer.
const LONGEST_READ: u32 = 128 * 1024;

/// Mode of a file whose client names none.
const USUAL_MODE: u32 = 0o644;

/// The files of one SFTP session.
pub(super) struct Files {
    instance: Arc<Instance>,
    open: HashMap<String, OpenFile>,
    opened: u64,
    /// Told when the connection to the instance is lost.
    lost: CancellationToken,
}

/// A file that a client has open.
struct OpenFile {
    path: String,
    /// Its content, here.
    spool: File,
    /// Bytes so far, when it is being written.
    written: Option<u64>,
    mode: u32,
}

impl Files {
    pub(super) fn new(instance: Arc<Instance>, lost: CancellationToken) -> Self {
        Self {
            instance,
            open: HashMap::new(),
            opened: 0,
            lost,
        }
    }

    /// What the client hears of a communicator's error.
    fn refusal(&self, error: &CommunicatorError) -> StatusReply {
        let code = match error {
            CommunicatorError::Disconnected { .. } => {
                self.lost.cancel();
                StatusCode::ConnectionLost
            }
            _ => StatusCode::Failure,
        };
        code.with_message(text_of(error))
    }

    fn spool(&self) -> Result<File, StatusReply> {
        tempfile::tempfile_in(&self.instance.temporary_directory)
            .map(File::from_std)
            .map_err(local)
    }

    async fn fetch(&self, path: &str) -> Result<File, StatusReply> {
        let mut spool = self.spool()?;
        let fetched = self.instance.communicator.download(path, &mut spool).await;
        fetched.map_err(|error| self.refusal(&error))?;
        spool.flush().await.map_err(local)?;
        Ok(spool)
    }

    async fn attributes(&self, path: &str, follow: bool) -> Result<FileAttributes, StatusReply> {
        let mut attributes = FileAttributes::empty();
        let found = self
            .instance
            .look_at(path, follow)
            .await
            .map_err(|error| self.refusal(&error))?;
        match found {
            Found::Nothing => return Err(StatusCode::NoSuchFile.into()),
            Found::Directory { mode } => {
                attributes.permissions = Some(mode);
                attributes.set_dir(true);
            }
            Found::File { mode, size } => {
                attributes.size = Some(size);
                attributes.permissions = Some(mode);
                attributes.set_regular(true);
            }
            // Windows: what can be fetched is there.
            Found::Unknown => {
                let fetched = self.fetch(path).await.map_err(|_| StatusCode::NoSuchFile)?;
                attributes.size = Some(fetched.metadata().await.map_err(local)?.len());
                attributes.permissions = Some(USUAL_MODE | FileMode::REG.bits());
            }
        }
        Ok(attributes)
    }

    fn file(&mut self, handle: &str) -> Result<&mut OpenFile, StatusReply> {
        self.open
            .get_mut(handle)
            .ok_or_else(|| StatusCode::Failure.with_message("no such handle"))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn local(error: std::io::Error) -> StatusReply {
    StatusCode::Failure.with_message(format!("keep a file on this machine while it goes over: {error}"))
}

fn fine(id: u32) -> Status {
    Status {
        id,
        status_code: StatusCode::Ok,
        error_message: "Ok".into(),
        language_tag: "en-US".into(),
    }
}

/// Ansible writes `C:\x` as `/C:/x`.
fn native(path: &str) -> &str {
    match path.as_bytes() {
        [b'/', drive, b':', ..] if drive.is_ascii_alphabetic() => path.get(1..).unwrap_or(path),
        _ => path,
    }
}

impl Handler for Files {
    type Error = StatusReply;

    fn unimplemented(&self) -> Self::Error {
        StatusCode::OpUnsupported.with_message("the proxy adapter copies files and nothing else")
    }

    /// Relative paths stay so: they are the login directory's on the instance as well.
    async fn realpath(&mut self, id: u32, path: String) -> Result<Name, Self::Error> {
        let path = if path.is_empty() { ".".to_owned() } else { path };
        Ok(Name {
            id,
            files: vec![Entry::dummy(path)],
        })
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, Self::Error> {
        let attrs = self.attributes(native(&path), true).await?;
        Ok(Attrs { id, attrs })
    }

    async fn lstat(&mut self, id: u32, path: String) -> Result<Attrs, Self::Error> {
        let attrs = self.attributes(native(&path), false).await?;
        Ok(Attrs { id, attrs })
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Result<Attrs, Self::Error> {
        let file = self.file(&handle)?;
        let mut attrs = FileAttributes::empty();
        attrs.size = Some(file.spool.metadata().await.map_err(local)?.len());
        attrs.permissions = Some(file.mode | FileMode::REG.bits());
        Ok(Attrs { id, attrs })
    }

    async fn open(
        &mut self,
        id: u32,
        filename: String,
        pflags: OpenFlags,
        attrs: FileAttributes,
    ) -> Result<Handle, Self::Error> {
        if pflags.intersects(OpenFlags::APPEND | OpenFlags::EXCLUDE) {
            return Err(self.unimplemented());
        }
        let path = native(&filename).to_owned();
        let writes = pflags.contains(OpenFlags::WRITE);
        let spool = if writes {
            self.spool()?
        } else {
            self.fetch(&path).await?
        };
        let mode = attrs.permissions.map_or(USUAL_MODE, |mode| mode & 0o7777);
        self.opened += 1;
        let handle = self.opened.to_string();
        self.open.insert(
            handle.clone(),
            OpenFile {
                path,
                spool,
                written: writes.then_some(0),
                mode,
            },
        );
        Ok(Handle { id, handle })
    }

    async fn read(&mut self, id: u32, handle: String, offset: u64, len: u32) -> Result<Data, Self::Error> {
        let file = self.file(&handle)?;
        file.spool.seek(SeekFrom::Start(offset)).await.map_err(local)?;
        let mut data = Vec::new();
        let mut piece = (&mut file.spool).take(u64::from(len.min(LONGEST_READ)));
        piece.read_to_end(&mut data).await.map_err(local)?;
        if data.is_empty() {
            return Err(StatusCode::Eof.into());
        }
        Ok(Data { id, data })
    }

    /// From its beginning on: what a file held before is not known here.
    async fn write(&mut self, id: u32, handle: String, offset: u64, data: Vec<u8>) -> Result<Status, Self::Error> {
        let unsupported = self.unimplemented();
        let file = self.file(&handle)?;
        let Some(written) = file.written.filter(|written| offset <= *written) else {
            return Err(unsupported);
        };
        file.spool.seek(SeekFrom::Start(offset)).await.map_err(local)?;
        file.spool.write_all(&data).await.map_err(local)?;
        file.written = Some(written.max(offset + data.len() as u64));
        Ok(fine(id))
    }

    /// Mode and length; times are not kept.
    async fn fsetstat(&mut self, id: u32, handle: String, attrs: FileAttributes) -> Result<Status, Self::Error> {
        let file = self.file(&handle)?;
        if let Some(mode) = attrs.permissions {
            file.mode = mode & 0o7777;
        }
        if let Some(size) = attrs.size {
            file.spool.flush().await.map_err(local)?;
            file.spool.set_len(size).await.map_err(local)?;
        }
        Ok(fine(id))
    }

    /// A file that was written goes over now.
    async fn close(&mut self, id: u32, handle: String) -> Result<Status, Self::Error> {
        let Some(mut file) = self.open.remove(&handle) else {
            return Err(StatusCode::Failure.with_message("no such handle"));
        };
        if file.written.is_some() {
            file.spool.flush().await.map_err(local)?;
            let size = file.spool.metadata().await.map_err(local)?.len();
            file.spool.rewind().await.map_err(local)?;
            let upload = Upload {
                content: &mut file.spool,
                size,
                mode: file.mode,
            };
            let uploaded = self.instance.communicator.upload(upload, &file.path).await;
            uploaded.map_err(|error| self.refusal(&error))?;
        }
        Ok(fine(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_of_windows_lose_the_slash_before_them() {
        assert_eq!(native("/C:/Users/x"), "C:/Users/x");
        for path in ["/tmp/C:/x", "/", "", "x", "/C/x"] {
            assert_eq!(native(path), path);
        }
    }
}
