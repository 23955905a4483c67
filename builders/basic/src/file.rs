//! The `file` builder: an artifact that is one file, from a text or from another file. For tests, and for pipelines that end in
//! post-processors.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bakelite_communicators::none::Nobody;
use bakelite_engine::artifact::{Artifact, DeleteFiles};
use bakelite_engine::bake::{Bake, BakeError};
use bakelite_engine::builder::Builder;
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_template::component::{Complaint, Component, ComponentKind, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::plan::BuildData;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) const REGISTRATION: Registration = Registration {
    component: Component {
        kind: ComponentKind::Builder,
        name: "file",
        doc: "Writes a file from a text, or copies one. No machine is involved.",
        schema: Schema::of::<FileOptions>,
        yields: Yields::BuildData(&[]),
    },
    make: Make::Builder(make),
    undo: None,
};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct FileOptions {
    /// The text to write. Excludes `source`.
    content: String,
    /// The file to copy. Excludes `content`.
    source: String,
    /// The file to write.
    target: String,
}

struct FileBuilder {
    options: FileOptions,
}

/// Why the file could not be written.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("copy `{source_file}` to `{target}`")]
    Copy {
        source_file: String,
        target: String,
        source: std::io::Error,
    },
    #[error("write `{target}`")]
    Write { target: String, source: std::io::Error },
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Builder>> {
    let options: FileOptions = read_options(decoded, complaints)?;
    let before = complaints.len();
    if options.target.is_empty() {
        complaints
            .push(Complaint::error("", "`target` must be given").help("name the file to write: target = \"out.txt\""));
    }
    if !options.content.is_empty() && !options.source.is_empty() {
        complaints.push(Complaint::error("source", "`content` and `source` exclude each other"));
    }
    let usable = complaints.len() == before;
    if options.content.is_empty() && options.source.is_empty() {
        complaints.push(Complaint::warning(
            "",
            "neither `content` nor `source` is given: the file will be empty",
        ));
    }
    usable.then(|| Box::new(FileBuilder { options }) as Box<dyn Builder>)
}

#[async_trait]
impl Builder for FileBuilder {
    async fn bake(&self, bake: &Bake) -> Result<Artifact, BakeError> {
        let target = bake.run.working_folder.join(&self.options.target);
        self.write(bake, &target).await.map_err(BakeError::failed)?;
        // There is no instance: what provisioners do here they do on this machine.
        bake.provision_without_clean_up(Arc::new(Nobody), BuildData::new())
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
        if options.source.is_empty() {
            let write = tokio::fs::write(target, &options.content).await;
            return write.map_err(|source| FileError::Write {
                target: options.target.clone(),
                source,
            });
        }
        let copy = tokio::fs::copy(bake.run.working_folder.join(&options.source), target).await;
        let copied = copy.map_err(|source| FileError::Copy {
            source_file: options.source.clone(),
            target: options.target.clone(),
            source,
        })?;
        bake.ui.say(format!(
            "Copied {} to {} ({copied} bytes)",
            options.source, options.target
        ));
        Ok(())
    }
}
