//! The `artifice` post-processor: replaces the files of the artifact by others.

use std::borrow::Cow;

use async_trait::async_trait;
use bakelite_engine::artifact::Artifact;
use bakelite_engine::error::Explain;
use bakelite_engine::post_processor::{PostProcessError, PostProcessing, PostProcessor, Processed};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "artifice",
    "Replaces the artifact by files that provisioners or earlier post-processors made.",
    Schema::of::<ArtificeOptions>,
    Make::PostProcessor(make),
);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct ArtificeOptions {
    /// The files, as shell globs. One that matches nothing adds nothing.
    files: Vec<String>,
}

struct Artifice {
    options: ArtificeOptions,
}

/// Why the files were not found.
#[derive(Debug, thiserror::Error)]
enum ArtificeError {
    #[error("failed to read `files`")]
    Pattern(#[source] glob::PatternError),
    #[error("failed to read a directory of `files`")]
    Directory(#[source] glob::GlobError),
}

impl Explain for ArtificeError {
    fn option(&self) -> Option<Cow<'_, str>> {
        Some("files".into())
    }
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn PostProcessor>> {
    let options: ArtificeOptions = read_options(decoded, complaints)?;
    if options.files.is_empty() {
        let complaint = Complaint::error("files", "`files` names no file");
        complaints.push(complaint.help("name at least one: files = [\"out.tar.gz\"]"));
    }
    for pattern in &options.files {
        if let Err(error) = glob::Pattern::new(pattern) {
            complaints.push(Complaint::error("files", format!("`{pattern}` is not a glob: {error}")));
        }
    }
    Some(Box::new(Artifice { options }))
}

#[async_trait]
impl PostProcessor for Artifice {
    async fn process(&self, processing: &PostProcessing, artifact: &Artifact) -> Result<Processed, PostProcessError> {
        if let Some(discarded) = artifact.files.as_ref().filter(|files| !files.is_empty()) {
            processing
                .ui
                .say(format!("Discarding files from artifact: {}", discarded.join(", ")));
        }
        let directory = &processing.run.working_directory;
        let mut files = Vec::new();
        for pattern in &self.options.files {
            let absolute = directory.join(pattern);
            for path in glob::glob(&absolute.to_string_lossy()).map_err(ArtificeError::Pattern)? {
                let path = path.map_err(ArtificeError::Directory)?;
                files.push(
                    path.strip_prefix(directory)
                        .unwrap_or(&path)
                        .to_string_lossy()
                        .into_owned(),
                );
            }
        }
        processing
            .ui
            .say(format!("Using these artifact files: {}", files.join(", ")));
        let made = Artifact {
            builder_id: "packer.post-processor.artifice".into(),
            id: String::new(),
            description: format!("Created artifact from files: {}", files.join(", ")),
            files: Some(files),
            data: artifact.data.clone(),
            state: artifact.state.clone(),
            destroy: None,
        };
        Ok(Processed {
            artifact: Some(made),
            keep_input: true,
            must_keep_input: false,
        })
    }
}
