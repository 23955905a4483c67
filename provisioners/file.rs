//! The `file` provisioner: files and directories to the instance, or from it.

use std::borrow::Cow;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bakelite_engine::communicator::{CommunicatorError, Upload};
use bakelite_engine::error::Explain;
use bakelite_engine::private_file::random_number;
use bakelite_engine::provisioner::{ProvisionError, Provisioner, Provisioning};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::fs::File;

use crate::transfer::Counted;

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "file",
    "Uploads files and directories to the instance, or downloads them from it.",
    Schema::of::<FileOptions>,
    Make::Provisioner(make),
);

/// Options of file.
#[derive(Debug, Deserialize, JsonSchema)]
struct FileOptions {
    /// File or directory to transfer. A directory whose path ends in `/` stands for what is in it.
    source: Option<String>,
    /// More of them.
    #[serde(default)]
    sources: Vec<String>,
    /// Text that becomes the file, in place of a source. Only the user can read it (mode 0600).
    content: Option<String>,
    /// Path to transfer to. One that ends in `/`, on Windows also in `\`, is a directory, which must exist.
    destination: String,
    /// Whether files go to the instance or come from it.
    #[serde(default)]
    direction: Direction,
    /// The source is made during the bake: whether it exists is not checked before.
    #[serde(default)]
    generated: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Direction {
    /// To the instance.
    #[default]
    Upload,
    /// From the instance.
    Download,
}

struct FileTransfer {
    sources: Vec<String>,
    content: Option<String>,
    destination: String,
    direction: Direction,
}

/// Why a file was not transferred.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("failed to read `{path}`")]
    Source { path: String, source: io::Error },
    /// Users know this sentence for builds without an instance.
    #[error("{operation} is not implemented when communicator = '{communicator}'")]
    Unsupported {
        operation: &'static str,
        communicator: &'static str,
    },
    #[error(transparent)]
    Transfer(CommunicatorError),
    #[error("failed to write `{path}`")]
    Destination { path: String, source: io::Error },
}

impl Explain for FileError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            FileError::Transfer(error) => error.help(),
            FileError::Source { .. } | FileError::Unsupported { .. } | FileError::Destination { .. } => None,
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        match self {
            FileError::Source { .. } => Some("source".into()),
            FileError::Destination { .. } => Some("destination".into()),
            FileError::Unsupported { .. } | FileError::Transfer(_) => None,
        }
    }
}

impl Direction {
    /// As messages have it.
    fn name(self) -> &'static str {
        match self {
            Direction::Upload => "Upload",
            Direction::Download => "Download",
        }
    }

    fn failed(self, error: CommunicatorError) -> FileError {
        match error {
            CommunicatorError::Unsupported { communicator, .. } => FileError::Unsupported {
                operation: self.name(),
                communicator,
            },
            error => FileError::Transfer(error),
        }
    }
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Provisioner>> {
    let options: FileOptions = read_options(decoded, complaints)?;
    options.check(complaints);
    let provisioner = FileTransfer {
        direction: options.direction,
        sources: options
            .sources
            .into_iter()
            .chain(options.source)
            .filter(|source| !source.is_empty())
            .collect(),
        content: options.content,
        destination: options.destination,
    };
    Some(Box::new(provisioner))
}

impl FileOptions {
    fn check(&self, complaints: &mut Vec<Complaint>) {
        let sources: Vec<&String> = self
            .sources
            .iter()
            .chain(&self.source)
            .filter(|source| !source.is_empty())
            .collect();
        let content = self.content.is_some();
        if content && !sources.is_empty() {
            complaints.push(Complaint::error(
                "content",
                "`content` cannot be given together with `source` or `sources`",
            ));
        }
        if content && self.direction == Direction::Download {
            complaints.push(Complaint::error("content", "`content` cannot be downloaded"));
        }
        if !content && sources.is_empty() {
            let complaint = Complaint::warning(
                "",
                "nothing is transferred: neither `source`, `sources` nor `content` is given",
            );
            complaints.push(complaint.help("name a file: source = \"app.conf\""));
        }
        if self.generated || self.direction == Direction::Download {
            return;
        }
        for source in sources.into_iter().filter(|source| !Path::new(source).exists()) {
            let complaint = Complaint::error("source", format!("source `{source}` does not exist"));
            complaints.push(complaint.help("set `generated = true` if the file is made during the bake"));
        }
    }
}

#[async_trait]
impl Provisioner for FileTransfer {
    async fn provision(&self, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        let done = match self.direction {
            Direction::Upload => self.upload(provisioning).await,
            Direction::Download => self.download(provisioning).await,
        };
        done.map_err(|error| {
            let error = ProvisionError::new(error);
            let (name, text) = (self.direction.name(), error.report().text);
            provisioning.ui.error(format!("{name} failed: {text}"));
            error
        })
    }
}

impl FileTransfer {
    async fn upload(&self, provisioning: &Provisioning) -> Result<(), FileError> {
        for source in &self.sources {
            provisioning
                .ui
                .say(format!("Uploading {source} => {}", self.destination));
            let path = provisioning.run.working_directory.join(source);
            let source_error = |error| FileError::Source {
                path: source.clone(),
                source: error,
            };
            let metadata = tokio::fs::metadata(&path).await.map_err(source_error)?;
            if metadata.is_dir() {
                let directory =
                    provisioning
                        .communicator
                        .upload_directory(&path, source.ends_with('/'), &self.destination);
                directory.await.map_err(|error| Direction::Upload.failed(error))?;
                continue;
            }
            let file = File::open(&path).await.map_err(source_error)?;
            let mut content = Counted::new(file, provisioning.ui.events(), source, Some(metadata.len()));
            let upload = Upload {
                content: &mut content,
                size: metadata.len(),
                mode: mode(&metadata),
            };
            let destination = in_directory(&self.destination, &['/', '\\'], name(source));
            provisioning
                .communicator
                .upload(upload, &destination)
                .await
                .map_err(|error| Direction::Upload.failed(error))?;
        }
        match &self.content {
            Some(content) => self.upload_content(content, provisioning).await,
            None => Ok(()),
        }
    }

    async fn upload_content(&self, content: &str, provisioning: &Provisioning) -> Result<(), FileError> {
        provisioning
            .ui
            .say(format!("Uploading content => {}", self.destination));
        let name = format!("pkr-file-content{}", random_number());
        let destination = in_directory(&self.destination, &['/', '\\'], &name);
        let upload = Upload {
            content: &mut content.as_bytes(),
            size: content.len() as u64,
            mode: 0o600,
        };
        provisioning
            .communicator
            .upload(upload, &destination)
            .await
            .map_err(|error| Direction::Upload.failed(error))
    }

    async fn download(&self, provisioning: &Provisioning) -> Result<(), FileError> {
        for source in &self.sources {
            provisioning
                .ui
                .say(format!("Downloading {source} => {}", self.destination));
            let destination = &self.destination;
            if source.ends_with('/') || source.contains(['*', '?', '[']) {
                let directory = provisioning.run.working_directory.join(destination);
                let directory = provisioning.communicator.download_directory(source, &directory);
                directory.await.map_err(|error| Direction::Download.failed(error))?;
                continue;
            }
            let destination = in_directory(destination, &['/'], remote_name(source));
            download_file(
                provisioning,
                source,
                &provisioning.run.working_directory.join(destination),
            )
            .await?;
        }
        Ok(())
    }
}

/// Downloads a file under another name and gives it its own when it is complete.
async fn download_file(provisioning: &Provisioning, source: &str, destination: &Path) -> Result<(), FileError> {
    let destination_error = |error| FileError::Destination {
        path: destination.display().to_string(),
        source: error,
    };
    let directory = destination.parent().map_or_else(PathBuf::new, Path::to_owned);
    tokio::fs::create_dir_all(&directory).await.map_err(destination_error)?;
    // What is no plain file, as a device or a link, is written where it is.
    let in_place = std::fs::symlink_metadata(destination).is_ok_and(|metadata| !metadata.is_file());
    if in_place {
        let file = File::create(destination).await.map_err(destination_error)?;
        return receive(provisioning, source, file).await;
    }
    let mode = std::fs::Permissions::from_mode(0o644);
    let partial = tempfile::Builder::new()
        .prefix(".bakelite-")
        .permissions(mode)
        .tempfile_in(&directory)
        .map_err(destination_error)?;
    let (file, path) = partial.into_parts();
    receive(provisioning, source, File::from_std(file)).await?;
    path.persist(destination)
        .map_err(|error| destination_error(error.error))
}

async fn receive(provisioning: &Provisioning, source: &str, file: File) -> Result<(), FileError> {
    let mut counted = Counted::new(file, provisioning.ui.events(), source, None);
    provisioning
        .communicator
        .download(source, &mut counted)
        .await
        .map_err(|error| Direction::Download.failed(error))
}

/// A destination that ends in a separator is the directory of a file with this name. On an instance that may be Windows' separator.
fn in_directory(destination: &str, separators: &[char], name: &str) -> String {
    if destination.ends_with(separators) {
        format!("{destination}{name}")
    } else {
        destination.to_owned()
    }
}

/// The name of a file of this machine.
fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The name of a file of the instance, which has separators of Windows if it begins as paths do there.
fn remote_name(path: &str) -> &str {
    let is_of_windows = path.get(1..2) == Some(":") || path.starts_with('\\');
    let name = name(path);
    if is_of_windows {
        name.rsplit('\\').next().unwrap_or(name)
    } else {
        name
    }
}

fn mode(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    metadata.mode() & 0o7777
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(json: &str) -> Vec<String> {
        let mut complaints = Vec::new();
        serde_json::from_str::<FileOptions>(json)
            .unwrap()
            .check(&mut complaints);
        complaints
            .into_iter()
            .map(|complaint| format!("{:?} {}: {}", complaint.severity, complaint.option, complaint.message))
            .collect()
    }

    #[test]
    fn options_are_checked_against_each_other() {
        assert_eq!(
            complaints(r#"{"source": "file.rs", "destination": "/x"}"#),
            Vec::<String>::new()
        );
        assert_eq!(
            complaints(r#"{"source": "nosuch", "destination": "/x", "generated": true}"#),
            Vec::<String>::new()
        );
        assert_eq!(
            complaints(r#"{"source": "/nosuch", "destination": "/x", "direction": "download"}"#),
            Vec::<String>::new()
        );
        assert_eq!(
            complaints(r#"{"source": "nosuch", "destination": "/x"}"#),
            ["Error source: source `nosuch` does not exist"]
        );
        assert_eq!(
            complaints(r#"{"source": "file.rs", "content": "x", "destination": "/x"}"#),
            ["Error content: `content` cannot be given together with `source` or `sources`"]
        );
    }

    #[test]
    fn no_source_is_only_a_warning() {
        let all = complaints(r#"{"destination": "/x"}"#);
        assert!(all.len() == 1 && all[0].starts_with("Warning "), "{all:?}");
    }

    #[test]
    fn a_directory_as_destination_gets_the_name_of_the_source() {
        let both: &[char] = &['/', '\\'];
        assert_eq!(in_directory("/tmp/", both, name("a/b.txt")), "/tmp/b.txt");
        assert_eq!(in_directory("/tmp/x", both, name("a/b.txt")), "/tmp/x");
        assert_eq!(in_directory(r"C:\tmp\", both, name("b.txt")), r"C:\tmp\b.txt");
        assert_eq!(
            in_directory(r"tmp\", &['/'], "b"),
            r"tmp\",
            "here it is a letter as any other"
        );
        assert_eq!(remote_name(r"C:\logs\a.txt"), "a.txt");
        assert_eq!(remote_name(r"\\server\logs/a.txt"), "a.txt");
        assert_eq!(remote_name(r"/logs/a\b"), r"a\b");
    }
}
