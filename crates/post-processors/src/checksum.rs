//! The `checksum` post-processor: sums of the artifact's files, a line each, appended to a file.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bakelite_engine::artifact::Artifact;
use bakelite_engine::error::Explain;
use bakelite_engine::post_processor::{PostProcessError, PostProcessing, PostProcessor, Processed};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Digest;

use crate::output::output;

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "checksum",
    "Writes checksums of the artifact's files, each line with the sum, a tab and the file's base name.",
    Schema::of::<ChecksumOptions>,
    Make::PostProcessor(make),
);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
struct ChecksumOptions {
    /// The checksums to write.
    checksum_types: Vec<Kind>,
    /// The file; `{{.BuildName}}`, `{{.BuilderType}}` and `{{.ChecksumType}}` are filled in. Directories are created.
    #[schemars(extend("x-late" = true))]
    output: String,
}

/// A checksum by the name of its hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Default for ChecksumOptions {
    fn default() -> Self {
        Self {
            checksum_types: vec![Kind::Md5],
            output: "packer_{{.BuildName}}_{{.BuilderType}}_{{.ChecksumType}}.checksum".into(),
        }
    }
}

struct Checksum {
    options: ChecksumOptions,
}

/// Why sums could not be written.
#[derive(Debug, thiserror::Error)]
enum ChecksumError {
    #[error("failed to {operation} `{}`", path.display())]
    File {
        operation: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
}

impl Explain for ChecksumError {}

/// Computes the hexadecimal sum of all that a reader yields.
type Sum = fn(&mut dyn Read) -> std::io::Result<String>;

impl Kind {
    /// As templates and file names have it.
    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    fn sum(self) -> Sum {
        match self {
            Self::Md5 => sum::<md5::Md5>,
            Self::Sha1 => sum::<sha1::Sha1>,
            Self::Sha224 => sum::<sha2::Sha224>,
            Self::Sha256 => sum::<sha2::Sha256>,
            Self::Sha384 => sum::<sha2::Sha384>,
            Self::Sha512 => sum::<sha2::Sha512>,
        }
    }
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn PostProcessor>> {
    let options: ChecksumOptions = read_options(decoded, complaints)?;
    Some(Box::new(Checksum { options }))
}

#[async_trait]
impl PostProcessor for Checksum {
    async fn process(&self, processing: &PostProcessing, artifact: &Artifact) -> Result<Processed, PostProcessError> {
        let inputs = artifact.files.clone().unwrap_or_default();
        let mut files = inputs.clone();
        for kind in &self.options.checksum_types {
            let (kind, sum) = (kind.name(), kind.sum());
            let output = output(&self.options.output, processing, Some(("ChecksumType", kind)))?;
            let (directory, inputs, target) =
                (processing.run.working_directory.clone(), inputs.clone(), output.clone());
            let is_new = tokio::task::spawn_blocking(move || append_sums(&directory, &inputs, &target, sum)).await??;
            if is_new && !files.contains(&output) {
                files.push(output);
            }
        }
        let made = Artifact {
            builder_id: "packer.post-processor.checksum".into(),
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
            must_keep_input: true,
        })
    }
}

/// Appends a line for each input. Answers whether the file is new; without inputs none is made.
fn append_sums(directory: &Path, inputs: &[String], output: &str, sum: Sum) -> Result<bool, ChecksumError> {
    let error = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| ChecksumError::File {
            operation,
            path,
            source,
        }
    };
    let target = directory.join(output);
    let is_new = !target.exists();
    for input in inputs {
        let path = directory.join(input);
        let mut content = File::open(&path).map_err(error("open", &path))?;
        let line = sum(&mut content).map_err(error("read", &path))?;
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(error("create the directory of", &target))?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&target)
            .map_err(error("open", &target))?;
        let base = Path::new(input).file_name().unwrap_or_default().to_string_lossy();
        writeln!(file, "{line}\t{base}").map_err(error("write", &target))?;
    }
    Ok(is_new && !inputs.is_empty())
}

fn sum<D: Digest + std::io::Write>(content: &mut dyn Read) -> std::io::Result<String> {
    let mut digest = D::new();
    std::io::copy(content, &mut digest)?;
    Ok(hex::encode(digest.finalize()))
}
