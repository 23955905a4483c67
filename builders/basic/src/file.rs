//! The `file` builder: an artifact that is one file, from a string or from another file. For tests, and for pipelines that end in
//! post-processors.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bakelite_communicators::none::NoCommunicator;
use bakelite_engine::artifact::{Artifact, DeleteFiles};
use bakelite_engine::bake::{Bake, BakeError};
use bakelite_engine::builder::Builder;
use bakelite_engine::error::Explain;
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::plan::BuildData;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "file",
    "Writes a string to a file, or copies a file. No machine is involved.",
    Schema::of::<FileOptions>,
    Make::Builder(make),
);

#[derive(Debug, Deserialize, JsonSchema)]
struct FileOptions {
    /// The content of the file. Excludes `source`.
    content: Option<String>,
    /// The file to copy. Excludes `content`.
    source: Option<String>,
    /// The file to write. Its directory is created where there is none.
    target: String,
}

struct FileBuilder {
    options: FileOptions,
}

/// Why the file could not be written.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("failed to copy `{source_file}` to `{target}`")]
    Copy {
        source_file: String,
        target: String,
        source: std::io::Error,
    },
    #[error("failed to write `{target}`")]
    Write { target: String, source: std::io::Error },
    #[error("failed to create the directory of `{target}`")]
    Directory { target: String, source: std::io::Error },
}

impl Explain for FileError {
    fn option(&self) -> Option<Cow<'_, str>> {
        match self {
            FileError::Copy { .. } => Some("source".into()),
            FileError::Write { .. } | FileError::Directory { .. } => Some("target".into()),
        }
    }
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Builder>> {
    let options: FileOptions = read_options(decoded, complaints)?;
    match (&options.content, &options.source) {
        (Some(_), Some(_)) => {
            complaints.push(Complaint::error("source", "`content` and `source` exclude each other"));
        }
        (None, None) => complaints.push(Complaint::warning(
            "",
            "neither `content` nor `source` is given: the file will be empty",
        )),
        _ => {}
    }
    Some(Box::new(FileBuilder { options }))
}

#[async_trait]
impl Builder for FileBuilder {
    async fn bake(&self, bake: &Bake) -> Result<Artifact, BakeError> {
        let target = bake.run.working_directory.join(&self.options.target);
        self.write(bake, &target).await?;
        // There is no instance: what provisioners do here they do on this machine.
        bake.provision_without_clean_up(Arc::new(NoCommunicator), BuildData::new())
            .await?;
        Ok(Artifact {
            builder_id: "packer.file".into(),
            id: "File".into(),
            files: Some(vec![self.options.target.clone()]),
            description: format!("Stored file: {}", self.options.target),
            data: BuildData::new(),
            state: std::collections::BTreeMap::new(),
            destroy: Some(Arc::new(DeleteFiles(vec![target]))),
        })
    }
}

impl FileBuilder {
    async fn write(&self, bake: &Bake, target: &PathBuf) -> Result<(), FileError> {
        let options = &self.options;
        if let Some(directory) = target.parent() {
            let created = tokio::fs::create_dir_all(directory).await;
            created.map_err(|source| FileError::Directory {
                target: options.target.clone(),
                source,
            })?;
        }
        let Some(source_file) = &options.source else {
            let write = tokio::fs::write(target, options.content.as_deref().unwrap_or_default()).await;
            return write.map_err(|source| FileError::Write {
                target: options.target.clone(),
                source,
            });
        };
        let copy = tokio::fs::copy(bake.run.working_directory.join(source_file), target).await;
        let copied = copy.map_err(|source| FileError::Copy {
            source_file: source_file.clone(),
            target: options.target.clone(),
            source,
        })?;
        bake.ui
            .say(format!("Copied {source_file} to {} ({copied} bytes)", options.target));
        Ok(())
    }
}
