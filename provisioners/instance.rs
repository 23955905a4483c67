//! What provisioners do with an instance besides running scripts: commands with their output printed, files staged in a directory, and
//! what the build knows of the connection.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use bakelite_engine::communicator::{CommunicatorError, Exit, Upload};
use bakelite_engine::error::Explain;
use bakelite_engine::output::stream;
use bakelite_engine::provisioner::Provisioning;
use bakelite_hcl::value::Value;
use bakelite_scripts::quote;
use bakelite_template::plan::BuildData;

/// Why something could not be done on the instance.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstanceError {
    #[error("failed to read `{path}`")]
    Read { path: String, source: std::io::Error },
    #[error(transparent)]
    Communicator(#[from] CommunicatorError),
    #[error("`{command}` on the instance exited with status {status}")]
    Failed { command: String, status: u32 },
    #[error("connection lost while `{command}` ran on the instance")]
    Lost { command: String },
}

impl Explain for InstanceError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            InstanceError::Communicator(error) => error.help(),
            InstanceError::Read { .. } | InstanceError::Failed { .. } | InstanceError::Lost { .. } => None,
        }
    }
}

/// Runs a command of the instance's shell and prints its output; a status other than 0 is an error.
pub(crate) async fn run(provisioning: &Provisioning, command: &str) -> Result<(), InstanceError> {
    let running = provisioning.communicator.exec(command).await?;
    let command = command.to_owned();
    match stream(running, &provisioning.ui).await {
        Exit::Status(0) => Ok(()),
        Exit::Status(status) => Err(InstanceError::Failed { command, status }),
        Exit::Disconnected => Err(InstanceError::Lost { command }),
    }
}

/// A directory of the instance that files of this machine are uploaded to.
pub(crate) struct Staging<'a> {
    /// Its path on the instance.
    pub(crate) directory: &'a str,
    pub(crate) provisioning: &'a Provisioning,
}

/// The mode of files on the instance.
const MODE: u32 = 0o644;

impl Staging<'_> {
    /// A path in the directory.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    /// A path of this machine, as an option gives it.
    pub(crate) fn local(&self, path: &str) -> PathBuf {
        self.provisioning.run.working_directory.join(path)
    }

    /// Creates a directory of the instance with its parents.
    pub(crate) async fn make_directory(&self, path: &str) -> Result<(), InstanceError> {
        run(self.provisioning, &format!("mkdir -p {}", quote::path(path))).await
    }

    /// Uploads a file under its own name and returns its path on the instance.
    pub(crate) async fn upload_beside(&self, file: &str) -> Result<String, InstanceError> {
        let local = self.local(file);
        let path = self.path(&base_name(&local));
        self.upload_file(&local, &path).await?;
        Ok(path)
    }

    pub(crate) async fn upload_file(&self, local: &Path, path: &str) -> Result<(), InstanceError> {
        let read = |source| InstanceError::Read {
            path: local.display().to_string(),
            source,
        };
        self.provisioning.ui.say(format!("Uploading {}", local.display()));
        let mut content = tokio::fs::File::open(local).await.map_err(read)?;
        let size = content.metadata().await.map_err(read)?.len();
        let upload = Upload {
            content: &mut content,
            size,
            mode: MODE,
        };
        Ok(self.provisioning.communicator.upload(upload, path).await?)
    }

    pub(crate) async fn upload_text(&self, text: &str, path: &str) -> Result<(), InstanceError> {
        let upload = Upload {
            content: &mut text.as_bytes(),
            size: text.len() as u64,
            mode: MODE,
        };
        Ok(self.provisioning.communicator.upload(upload, path).await?)
    }

    /// Uploads what is in a directory of this machine.
    pub(crate) async fn upload_directory(&self, directory: &str, path: &str) -> Result<(), InstanceError> {
        self.provisioning.ui.say(format!("Uploading {directory}"));
        self.make_directory(path).await?;
        let local = self.local(directory);
        let uploading = self.provisioning.communicator.upload_directory(&local, true, path);
        Ok(uploading.await?)
    }
}

/// The last part of a path of this machine.
pub(crate) fn base_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_default()
}

/// What the build knows of the connection to the instance: `build.*`.
#[derive(Clone, Copy)]
pub(crate) struct Connection<'a>(pub(crate) &'a BuildData);

impl<'a> Connection<'a> {
    /// A string that is known and not empty. What a builder does not have starts with `ERR_`.
    pub(crate) fn string(self, key: &str) -> Option<&'a str> {
        let text = self.0.get(key).and_then(Value::as_str);
        text.filter(|text| !text.is_empty() && !text.starts_with("ERR_"))
    }
}
